"""What a bus tells of its troubles, held against what became of its deliveries, commit by commit.

It knows the promises: every dead letter of somebody's event is told once, by itself or in a count; failing and recovered alternate, each with a
cause since the other; none comes oftener than is stated; and no delivery of the bus's own events is the cause of any.
"""

import copy
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from eventyard.core import bus_events, limits
from eventyard.core.changes import Changes
from eventyard.core.delivery import Delivery, State, decode_note, parse_delivery_id
from tests.simulation.books import BrokenPromise

STATES = (bus_events.DELIVERY_FAILING, bus_events.DELIVERY_RECOVERED)


class Alarms:
    """By rule: `owed`, dead letters that are yet to be told; `is_failing`, what the log says; `causes`, failures and successes
    since that was said, of which a failure `is_sure`; `last_ms`, the work time at which each kind was told last; `singles_ms`, and dead letters by themselves.
    """

    def __init__(self) -> None:
        self.owed: dict[int, int] = defaultdict(int)
        self.is_failing: dict[int, bool] = {}
        self.causes: dict[int, set[bool]] = defaultdict(set)
        self.is_sure: set[int] = set()
        self.last_ms: dict[tuple[int, str], int] = {}
        self.singles_ms: dict[int, list[int]] = defaultdict(list)

    def copy(self) -> "Alarms":
        return copy.deepcopy(self)

    def take(self, changes: Changes, own: Iterable[int], documents: Mapping[int, Any], deleted: set[int]) -> None:
        """A commit. `own`: the positions of what the bus says in it of itself. `deleted`: rules that are gone, or going, after it."""
        rows = [*changes.puts, *(move.now for move in changes.moves)]
        of_others = [row for row in rows if not documents[row.position]["type"].startswith("io.eventyard.")]
        died = self._deaths(changes, of_others)
        for row in died.values():
            self.owed[row.rule] += 1
        self._note_causes(changes, of_others)
        for position in own:
            document = documents[position]
            if document["type"] in STATES:
                self._take_state(document["type"], document["data"], changes.time.work_ms)
            elif document["type"] == bus_events.DELIVERY_DEADLETTERED:
                self._take_dead(document["data"], changes.time.work_ms, died, documents)
        for uid in deleted:
            self.owed.pop(uid, None)
        if any(count < 0 for count in self.owed.values()):
            raise BrokenPromise(f"more dead letters were told than there are: {dict(self.owed)}")

    def _deaths(self, changes: Changes, of_others: Iterable[Delivery]) -> dict[tuple[int, int, int], Delivery]:
        were_dead = {move.now.key for move in changes.moves if move.was is State.DEAD}
        return {row.key: row for row in of_others if row.state is State.DEAD and row.key not in were_dead}

    def _note_causes(self, changes: Changes, of_others: Iterable[Delivery]) -> None:
        """An attempt that came to nothing; or one that was done, in whatever state its delivery was by then.

        What goes back into its queue may have failed, or a restart has released it.
        """
        was = {move.now.key: move.was for move in changes.moves}
        for row in of_others:
            if row.state is State.DELIVERED:
                self.causes[row.rule].add(False)
            elif row.state is State.DEAD or (row.state <= State.RETRYING and was.get(row.key) is State.LEASED):
                self.causes[row.rule].add(True)
            if row.state is State.DEAD:
                self.is_sure.add(row.rule)

    # What is told

    def _take_state(self, kind: str, data: Any, work_ms: int) -> None:
        uid, is_failing = data["uid"], kind == bus_events.DELIVERY_FAILING
        if self.is_failing.get(uid, False) is is_failing:
            raise BrokenPromise(f"rule {uid} was told to be {kind} twice")
        if is_failing not in self.causes[uid]:
            raise BrokenPromise(f"rule {uid} was told to be {kind}, and no delivery of anybody's event is the cause")
        if data["failures"] + data["deliveries"] < 1:
            raise BrokenPromise(f"rule {uid} was told to be {kind} by nothing: {data}")
        self._check_rate(uid, kind, work_ms, limits.TROUBLE_TOLD_EVERY_MS)
        self.is_failing[uid] = is_failing
        self.causes[uid].clear()
        self.is_sure.discard(uid)

    def _take_dead(
        self, data: Any, work_ms: int, died: dict[tuple[int, int, int], Delivery], documents: Mapping[int, Any]
    ) -> None:
        uid = data["uid"]
        self.owed[uid] -= data["count"]
        if "event" not in data:
            self._check_rate(uid, "dead letters", work_ms, limits.DEAD_LETTERS_TOLD_EVERY_MS)
            if not (0 < data["first"] <= data["last"] and data["count"] > 0):
                raise BrokenPromise(f"dead letters were told that are none: {data}")
            return
        self._check_single(data, died, documents)
        self._check_singles(uid, work_ms)

    def _check_singles(self, uid: int, work_ms: int) -> None:
        """Two intervals may touch, so as many as two of them may have come within the length of one."""
        most = 2 * limits.DEAD_LETTERS_TOLD_EACH
        times = self.singles_ms[uid] = [*self.singles_ms[uid], work_ms][-most - 1 :]
        if len(times) > most and work_ms < times[0] + limits.DEAD_LETTERS_TOLD_EVERY_MS:
            raise BrokenPromise(f"more than {most} dead letters of rule {uid} were told by themselves: {times}")

    def _check_single(self, data: Any, died: dict[tuple[int, int, int], Delivery], documents: Mapping[int, Any]) -> None:
        parsed = parse_delivery_id(data["delivery"])
        row = died.get(parsed[1]) if parsed is not None else None
        if row is None:
            raise BrokenPromise(f"a dead letter was told that did not die, or not of anybody's event: {data}")
        document = documents[row.position]
        event = {"position": row.position} | {name: document[name] for name in ("source", "id", "type")}
        if (data["event"], data["reason"], data["attempts"]) != (event, decode_note(row.note).reason, row.attempts):
            raise BrokenPromise(f"a dead letter was told otherwise than it is: {data}, {row}")

    def _check_rate(self, uid: int, kind: str, work_ms: int, every_ms: int) -> None:
        last_ms = self.last_ms.get((uid, kind))
        if last_ms is not None and work_ms < last_ms + every_ms:
            raise BrokenPromise(f"rule {uid} was told {kind} at {last_ms} and again at {work_ms}")
        self.last_ms[uid, kind] = work_ms

    # In the end

    def check_at_rest(self, rules: Iterable[int]) -> None:
        """Everything was told; and whatever only ever went well since the log was told of a rule, it is not told to be failing."""
        if owed := {uid: count for uid, count in self.owed.items() if count}:
            raise BrokenPromise(f"dead letters were never told: {owed}")
        for uid in rules:
            is_failing, causes = self.is_failing.get(uid, False), self.causes[uid]
            if causes == {not is_failing} and (is_failing or uid in self.is_sure):
                raise BrokenPromise(
                    f"rule {uid} is told to be failing: {self.is_failing.get(uid)}, and since then {self.causes[uid]}"
                )
