"""The ledger: every event, and every step of every delivery, as commits brought them; what retention removed included.

It is written with each commit that succeeds, and then asks of the commit itself what no moment may break: positions are dense, what
has ended stays ended, nothing is put twice, what is removed is past what its bus keeps. At a start, and whenever the house is
looked at, the store must hold exactly what the ledger says. A commit that failed on the disk may, after a crash, be there after all:
then one that is kept in doubt explains what the store holds.
"""

import copy
import json
from collections.abc import Sequence
from typing import Any

from eventyard.core.bus_state import Loaded
from eventyard.core.changes import Backfill, BusRecord, Changes, Moved, Retention, StoredEvent
from eventyard.core.delivery import Delivery, Key, State
from eventyard.core.rule import RuleRecord, Status
from eventyard.core.view import View
from tests.simulation.alarms import Alarms
from tests.simulation.books import BrokenPromise
from tests.simulation.moves import why_not
from tests.simulation.told import Told
from tests.simulation.watched import Step
from tests.simulation.world import World

Span = tuple[int, int]
"""Positions, both ends included."""


EMITTERS_CREATED = ("io.eventyard.detector.created", "io.eventyard.expectation.created")
EMITTERS_DELETED = ("io.eventyard.detector.deleted", "io.eventyard.expectation.deleted")


class BusLedger:
    """One bus.

    `floors`: by position, the floor before and after the commit that brought it; `clocks`, the latest time read by then. `live`: where a run
    judged as it came. `kept`: what the bus was ever told to keep. `replayed`: by rule and run, the pattern that narrows a replay; `opened_ms`,
    when one began, in true time. `pushed`: rules that push or did. `edited`: rules that the last commit changed. `died`: what was a dead letter at any time. `steps`: every commit; `emitters`:
    which there ever were, and whether they are there; `rests_until_ms`: as in `Step`.
    """

    def __init__(self, record: BusRecord) -> None:
        self.record = record
        self.head = 0
        self.floor = 1
        self.log_bytes = 0
        self.log: dict[int, StoredEvent] = {}
        self.documents: dict[int, Any] = {}
        self.floors: dict[int, Span] = {}
        self.clocks: dict[int, int] = {}
        self.rows: dict[Key, Delivery] = {}
        self.rules: dict[int, RuleRecord] = {}
        self.backfills: dict[tuple[int, int], Backfill] = {}
        self.live: dict[tuple[int, int], list[Span]] = {}
        self.kept: list[Retention] = [record.retention]
        self.replayed: dict[tuple[int, int], Any] = {}
        self.opened_ms: dict[tuple[int, int], int] = {}
        self.head_before = 0
        self.pushed: set[int] = set()
        self.edited: set[int] = set()
        self.died: set[Key] = set()
        self.told = Told()
        self.alarms = Alarms()
        self.steps: list[Step] = []
        self.rests_until_ms = (0, 0)
        self.emitters: dict[int, bool] = {}

    def copy(self) -> "BusLedger":
        """A twin that can go on by itself. What is in it is never changed."""
        twin = copy.copy(self)
        for name, held in vars(self).items():
            setattr(twin, name, copy.copy(held))
        twin.live = {run: spans.copy() for run, spans in self.live.items()}
        twin.told = self.told.copy()
        twin.alarms = self.alarms.copy()
        return twin

    def fail(self, text: str) -> None:
        raise BrokenPromise(f"bus {self.record.incarnation}: {text}")

    def is_own(self, position: int) -> bool:
        """Whether the bus says it there of itself. What another one said a rule may have brought here, and this one's own round a circle."""
        document = self.documents[position]
        return bool(document["type"].startswith("io.eventyard.") and document["id"] == f"{self.record.incarnation}-{position}")

    def is_live_at(self, uid: int, run: int, position: int) -> bool:
        """Whether the run judged the event in the very step that accepted it."""
        return any(first <= position <= last for first, last in self.live.get((uid, run), ()))

    # What a commit brings

    def take(self, changes: Changes, clock_ms: int, now_ms: int) -> None:
        """`clock_ms`: the latest time that any part of the house has read; `now_ms`: true time."""
        floor, head = self.floor, self.head
        self.head_before = head
        for event in changes.events:
            self._append(event)
        if (changes.head, changes.log_bytes) != (self.head, self.log_bytes):
            self.fail(
                f"a commit says the log ends at {changes.head}, {changes.log_bytes}, and it does at {self.head}, {self.log_bytes}"
            )
        for put in changes.puts:
            self._put(put)
        for move in changes.moves:
            self._move(move)
        self._take_rules(changes.rules, head)
        self._take_backfills(changes.backfills, now_ms)
        own = [event.position for event in changes.events if self.is_own(event.position)]
        self.alarms.take(changes, own, self.documents, {uid for uid, record in self.rules.items() if record.is_deleted})
        self._raise_floor(changes.floor, clock_ms)
        time, (rests_ms, may_rest_ms) = changes.time, self.rests_until_ms
        self.steps.append(Step(head + 1, self.head, time.time_ms, time.work_ms, self.floor, rests_ms, may_rest_ms))
        for event in changes.events:
            self.floors[event.position] = (floor, self.floor)
            self.clocks[event.position] = clock_ms

    def _append(self, event: StoredEvent) -> None:
        before = self.log.get(self.head)
        if event.position != self.head + 1 or event.offset != self.log_bytes:
            self.fail(f"position {event.position} at {event.offset} follows {self.head} at {self.log_bytes}")
        if before is not None and before.accepted_ms > event.accepted_ms:
            self.fail(f"accepted time runs backwards from {before.position} to {event.position}")
        self.head += 1
        self.log_bytes += len(event.json)
        self.log[event.position] = event
        document = self.documents[event.position] = json.loads(event.json)
        if document["type"].startswith("io.eventyard."):
            self.told.unspoken.add(event.position)
        if self.is_own(event.position):
            self.told.take(event.position, event.accepted_ms, document["type"], document["data"])
        if document["type"] in EMITTERS_CREATED and self.is_own(event.position):
            self.emitters[event.position] = True
        elif document["type"] in EMITTERS_DELETED and self.is_own(event.position):
            self.emitters[document["data"]["uid"]] = False

    def begin_life(self, work_ms: int) -> None:
        """The house starts anew, at this work time: for five seconds no hold ends."""
        until_ms = work_ms + 5_000
        self.rests_until_ms = (until_ms if any(self.emitters.values()) else 0, until_ms if self.emitters else 0)

    def _put(self, row: Delivery) -> None:
        if row.key in self.rows:
            self.fail(f"{row} was put, and it was there before: {self.rows[row.key]}")
        if row.position not in self.log:
            self.fail(f"{row} was put, and there is no such event")
        if self.told.closed.get((row.rule, row.run), self.head + 1) <= self.head_before:
            self.fail(f"{row} was put in a run that was closed before")
        self.rows[row.key] = row

    def _move(self, move: Moved) -> None:
        before, now = self.rows.get(move.now.key), move.now
        if before is None or before.state is not move.was:
            self.fail(f"{move} does not follow {before}")
        elif why := why_not(self.told, self.head_before, before, now):
            self.fail(f"a delivery may not go from {before} to {now}: {why}")
        self.rows[now.key] = now
        if now.state is State.DEAD:
            self.died.add(now.key)

    def _take_rules(self, records: Sequence[RuleRecord], head: int) -> None:
        """A rule that is live in the same run before and after a step was live for all of it; it may leave only at its end."""
        before = dict(self.rules)
        self.edited = {record.uid for record in records}
        self.rules.update((record.uid, record) for record in records)
        self.pushed.update(record.uid for record in records if not record.is_pulled)
        if self.head == head:
            return
        for uid, record in self.rules.items():
            known = before.get(uid)
            was_live = known is not None and known.status is Status.LIVE
            if known is not None and was_live and known.run == record.run:
                self.live.setdefault((uid, known.run), []).append((head + 1, self.head))
            elif known is None and record.status is Status.LIVE and record.rule.start == "latest" and not record.run:
                self.live.setdefault((uid, 0), []).append((uid + 1, self.head))

    def _take_backfills(self, backfills: Sequence[Backfill], now_ms: int) -> None:
        for backfill in backfills:
            self.backfills[backfill.key] = backfill
            self.opened_ms.setdefault(backfill.key, now_ms)
            if backfill.is_replay:
                self.replayed[backfill.key] = json.loads(backfill.pattern) if backfill.pattern else None

    def _raise_floor(self, floor: int, clock_ms: int) -> None:
        if floor < self.floor or floor > self.head + 1:
            self.fail(f"the floor went from {self.floor} to {floor}, with the head at {self.head}")
        for position in range(self.floor, floor):
            if not self._may_go(self.log[position], clock_ms):
                self.fail(f"event {position} was removed, and the bus still keeps it: {self.kept}")
        self.floor = floor

    def _may_go(self, event: StoredEvent, clock_ms: int) -> bool:
        """By what the bus ever kept least: what is asked for may change between a look and the steps that follow it."""
        age_ms = min(int(keep.max_age_s * 1000) for keep in self.kept)
        size = min(keep.max_bytes for keep in self.kept)
        return event.accepted_ms < clock_ms - age_ms or event.offset < self.log_bytes - size

    # What the store holds

    def difference(self, loaded: Loaded, view: View) -> str:
        """The first thing in which the store is not what the ledger says. Empty: none."""
        number = loaded.record.number
        has = (loaded.head, loaded.floor, loaded.log_bytes)
        if has != (self.head, self.floor, self.log_bytes):
            return f"head, floor and bytes are {has}, and were {(self.head, self.floor, self.log_bytes)}"
        stored = view.events(number, 1, self.head, self.head + 1)
        owed = {row.position for row in self.rows.values() if row.state.is_owed}
        expected = [self.log[at] for at in range(1, self.head + 1) if at >= self.floor or at in owed]
        if stored != expected:
            return _unequal(
                "events", {event.position: event for event in expected}, {event.position: event for event in stored}
            )
        rows = {row.key: row for row in view.deliveries(number, list(self.rows))}
        kept = {event.position for event in expected}
        return _unequal("deliveries", {key: row for key, row in self.rows.items() if key[2] in kept}, rows)


def _unequal(what: str, expected: dict[Any, Any], found: dict[Any, Any]) -> str:
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            return f"of the {what}, {key} is {found.get(key)}, and was {expected.get(key)}"
    return ""


class Ledger:
    """All buses, by number. `clock_ms`: the latest time that any part of the house has read."""

    def __init__(self, world: World) -> None:
        self.buses: dict[int, BusLedger] = {}
        self.clock_ms = 0
        self._world = world
        self._doubtful: list[Sequence[Changes]] = []

    def of(self, incarnation: str) -> BusLedger | None:
        return next((bus for bus in self.buses.values() if bus.record.incarnation == incarnation), None)

    def take(self, batch: Sequence[Changes]) -> None:
        """A commit that succeeded. Nothing that failed before can come back after it."""
        self._doubtful = []
        self._take(self.buses, batch)

    def _take(self, buses: dict[int, BusLedger], batch: Sequence[Changes]) -> None:
        for changes in batch:
            self.clock_ms = max(self.clock_ms, changes.time.time_ms)
            for record in changes.buses:
                self._follow(buses, record)
        for changes in batch:
            if changes.bus in buses:
                buses[changes.bus].take(changes, self.clock_ms, self._world.now_ms)

    def _follow(self, buses: dict[int, BusLedger], record: BusRecord) -> None:
        known = buses.get(record.number)
        if known is None or known.record.incarnation != record.incarnation:
            buses[record.number] = BusLedger(record)
        elif known.record.retention != record.retention:
            known.kept.append(record.retention)
        buses[record.number].record = record

    def begin_life(self) -> None:
        """Work goes on where the last commit, on whatever bus, left it."""
        work_ms = max((bus.steps[-1].work_ms for bus in self.buses.values() if bus.steps), default=0)
        for bus in self.buses.values():
            bus.begin_life(work_ms)

    def doubt(self, batch: Sequence[Changes]) -> None:
        """A commit that failed on the disk: it may come back at the next start."""
        self._doubtful.append(batch)

    def check(self, loaded: list[Loaded], view: View) -> None:
        """The store holds what was committed and nothing else."""
        if different := _difference(self.buses, loaded, view):
            raise BrokenPromise(different)

    def settle_doubts(self, loaded: list[Loaded], view: View) -> None:
        """After a start: the store is as the last commit left it, or as one of those left it that failed after it."""
        different = _difference(self.buses, loaded, view)
        doubtful, self._doubtful = self._doubtful, []
        for batch in doubtful:
            if not different:
                return
            buses = {number: bus.copy() for number, bus in self.buses.items()}
            self._take(buses, batch)
            if not _difference(buses, loaded, view):
                self.buses = buses
                return
        if different:
            raise BrokenPromise(different)


def _difference(buses: dict[int, BusLedger], loaded: list[Loaded], view: View) -> str:
    for bus in loaded:
        known = buses.get(bus.record.number)
        if known is None or known.record.incarnation != bus.record.incarnation:
            return f"bus {bus.record.name} is in the store, and no commit brought it"
        if different := known.difference(bus, view):
            return f"bus {bus.record.incarnation}: {different}"
    there = {bus.record.number for bus in loaded}
    lost = [bus.record.name for bus in buses.values() if not bus.record.is_deleted and bus.record.number not in there]
    return f"buses are gone: {lost}" if lost else ""
