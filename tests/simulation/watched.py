"""Whether detectors told what they promise: the log is gone through event by event, and says which edges there have to be, each once.

The detectors in force, the observations and the edges are read from the log alone; of the house only when each commit was (`Step`). An edge has to
stand in the step of the observation that brings it about, or in a later one once its hold has ended; it has to be what the model of its key owes next, in all that
it says; and whatever an observation finds due was told before it, or in its step.
"""

import datetime
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from eventyard.core import detecting
from eventyard.core.clock import rfc3339
from eventyard.core.detector import Phase
from eventyard.core.view import View
from tests.simulation.books import BrokenPromise
from tests.simulation.damping import Damping
from tests.simulation.holding import Edge, Known, Seen, Terms, due_ms, edge_of, fields_of, judged, learnt, read_terms, turned
from tests.simulation.reading import at, matches

EDITS = re.compile(r"io\.eventyard\.detector\.(created|changed|deleted)")
SPOKEN = re.compile(r"/eventyard/buses/[^/]+/detectors/(.+)")

States = frozenset[Known | None]
NOTHING: States = frozenset({None})
"""Nothing is known of the key."""


class Step(NamedTuple):
    """A commit: what it appended (`last` is before `first` where nothing), when it was, and where the log began after it.

    `rests_until_ms`: until which work time surely no hold ends; `may_rest_until_ms`: until which that may be, since there may be a detector that is
    being deleted.
    """

    first: int
    last: int
    time_ms: int
    work_ms: int
    floor: int
    rests_until_ms: int
    may_rest_until_ms: int

    @property
    def clocks(self) -> list[int]:
        """Until which work times holds may end in this step; 0: none but those that wait for nothing."""
        if self.work_ms < self.rests_until_ms:
            return [0]
        return [0, self.work_ms] if self.work_ms < self.may_rest_until_ms else [self.work_ms]


class Watch:
    """A detector. `versions`: by version, its terms and when (bus time) it came."""

    def __init__(self, uid: int, name: str, document: Any, at_ms: int) -> None:
        self.uid = uid
        self.name = name
        self.version = uid
        self.versions: dict[int, tuple[Terms, int]] = {uid: (read_terms(document), at_ms)}
        self.is_deleted = False
        self.keys: dict[str, States] = {}
        self.counts = dict.fromkeys(("unkeyed", "unordered", "rise", "fall"), 0)
        self.damping = Damping()

    @property
    def terms(self) -> Terms:
        return self.versions[self.version][0]

    def known(self, key: str) -> States:
        return self.keys.get(key, NOTHING)


class Watching:
    """`watches`: by uid, every detector that ever was."""

    def __init__(self, incarnation: str, documents: dict[int, Any]) -> None:
        self._incarnation = incarnation
        self._documents = documents
        self.watches: dict[int, Watch] = {}
        self._awake_ms = 0
        """The latest work time at which holds may have ended."""
        self._touched: set[tuple[int, str]] = set()

    def fail(self, text: str) -> None:
        raise BrokenPromise(f"bus {self._incarnation}: {text}")

    def take(self, step: Step) -> None:
        self._awake_ms = max(self._awake_ms, *step.clocks)
        self._touched = set()
        for position in range(step.first, step.last + 1):
            document = self._documents[position]
            if spoken := SPOKEN.fullmatch(document["source"]):
                self._hear(spoken[1], position, document, step)
            for watch in self.watches.values():
                if not watch.is_deleted and matches(watch.terms.on, document):
                    self._observe(watch, position, document, step)
            if edit := EDITS.fullmatch(document["type"]):
                self._edit(edit[1], position, document["data"], step)
        self._check_told(step)

    # Edits

    def _edit(self, kind: str, position: int, data: Any, step: Step) -> None:
        if kind == "created":
            self.watches[position] = Watch(position, data["name"], data["detector"], step.time_ms)
            return
        watch = self.watches[data["uid"]]
        for key in watch.keys:
            watch.keys[key] = self._possible(watch, key, step)
        self._check_told(step)
        if kind == "deleted":
            watch.is_deleted = True
            watch.keys = {}
            return
        watch.version = position
        watch.versions[position] = (read_terms(data["detector"]), step.time_ms)

    # What time and sweeps may have made of a key

    def _possible(self, watch: Watch, key: str, step: Step) -> States:
        """Everything that may be known of the key by now, though nothing was heard of it."""
        found: set[Known | None] = set()
        waiting = list(watch.known(key))
        while waiting:
            known = waiting.pop()
            if known in found:
                continue
            found.add(known)
            if known is not None:
                waiting += self._next(watch, key, known, step)
        return frozenset(found)

    def _next(self, watch: Watch, key: str, known: Known, step: Step) -> Iterator[Known | None]:
        terms = watch.versions[known.version][0]
        due = due_ms(known, terms)
        if known.untold:
            return
        if due is not None and due <= self._awake_ms and terms.types[not known.truth] is None:
            self._take_turn(watch, key, known, step)
            yield turned(known)
        if due is None and terms.forget_after_ms is not None and known.heard_ms + terms.forget_after_ms <= self._awake_ms:
            yield None
        if known.version != watch.version:
            yield from self._judged(watch, known, step)

    def _judged(self, watch: Watch, known: Known, step: Step) -> Iterator[Known]:
        """By the version in force. What stands below the floor may be there or not."""
        terms, edit_ms = watch.versions[watch.version]
        document = self._documents[known.position]
        yield from judged(known, watch.version, terms, document, edit_ms)
        if known.position < step.floor:
            yield from judged(known, watch.version, terms, None, edit_ms)

    def _in_force(self, watch: Watch, key: str, step: Step) -> list[Known | None]:
        """As `_possible`, judged by the version in force: nobody looks at a key otherwise."""
        return [known for known in self._possible(watch, key, step) if known is None or known.version == watch.version]

    # Observations

    def _observe(self, watch: Watch, position: int, document: Any, step: Step) -> None:
        terms = watch.terms
        key = text_of(at(document, terms.key.split(".")))
        if key is None:
            watch.counts["unkeyed"] += 1
            return
        told_ms = min(step.time_ms, _ms(document["time"]) if "time" in document else step.time_ms)
        mark = _mark(document, terms, told_ms, position)
        if mark is None:
            watch.counts["unordered"] += 1
            return
        at_ms = max(told_ms, step.time_ms - terms.late_by_ms)
        began_ms = step.work_ms - (step.time_ms - at_ms)
        seen = Seen(position, mark, at_ms, began_ms, step.work_ms, terms.signal(document), terms.said(document))
        fits = [fit for known in self._in_force(watch, key, step) for fit in self._after(watch, key, known, seen, step)]
        watch.keys[key] = frozenset(fits)
        self._touched.add((watch.uid, key))

    def _after(self, watch: Watch, key: str, known: Known | None, seen: Seen, step: Step) -> Iterator[Known | None]:
        terms = watch.terms
        if known is None:
            least, most = self._count_others(watch, key, step)
            if most >= terms.max_keys:
                yield None
            if least >= terms.max_keys:
                return
            yield from self._learn(watch, key, Known(watch.version), seen, step)
            return
        for clock_ms in step.clocks:
            for ended in self._ended(watch, key, known, clock_ms, step):
                is_over = ended.hold is None and terms.forget_after_ms is not None
                if is_over and clock_ms >= ended.heard_ms + (terms.forget_after_ms or 0):
                    yield from self._learn(watch, key, Known(watch.version, untold=ended.untold), seen, step)
                elif seen.mark < ended.mark:
                    yield ended
                else:
                    yield from self._learn(watch, key, ended, seen, step)

    def _learn(self, watch: Watch, key: str, known: Known, seen: Seen, step: Step) -> Iterator[Known]:
        for clock_ms in step.clocks:
            yield from self._ended(watch, key, learnt(known, seen, watch.terms), clock_ms, step)

    def _ended(self, watch: Watch, key: str, known: Known, clock_ms: int, step: Step) -> Iterator[Known]:
        """The key, its hold ended where it is due, or put off where too many were told."""
        due = due_ms(known, watch.terms)
        if due is None or due > clock_ms:
            yield known
            return
        assert known.hold is not None
        waits = any(terms.is_damped for terms, _ in watch.versions.values()) and self._may_wait(watch, known, clock_ms, step)
        if waits:
            yield known._replace(hold=known.hold._replace(is_put_off=True))
        self._take_turn(watch, key, known, step)
        is_told = watch.terms.types[not known.truth] is not None
        untold = (*known.untold, edge_of(known, watch.terms)) if is_told else known.untold
        yield turned(known)._replace(untold=untold)

    def _take_turn(self, watch: Watch, key: str, known: Known, step: Step) -> None:
        """Some time since the hold began: a change may have given one that waited for its turn a longer time."""
        if known.hold is not None and not known.untold:
            watch.damping.take_turn((key, known.hold.position), known.hold.began_ms, step.work_ms)

    def _may_wait(self, watch: Watch, known: Known, clock_ms: int, step: Step) -> bool:
        if known.hold is not None and known.hold.is_put_off and not clock_ms:
            return True
        due = sum(any(self._is_due(watch, one, step) for one in states) for states in watch.keys.values())
        slowest = min(terms.max_edges_per_s for terms, _ in watch.versions.values())
        return watch.damping.may_wait(slowest, step.work_ms, due)

    def _is_due(self, watch: Watch, known: Known | None, step: Step) -> bool:
        due = None if known is None else due_ms(known, watch.versions[known.version][0])
        return due is not None and due <= step.work_ms

    def _count_others(self, watch: Watch, key: str, step: Step) -> tuple[int, int]:
        """How many other keys there are at least, and at most."""
        if len(watch.keys) < watch.terms.max_keys:
            return 0, len(watch.keys) - (key in watch.keys)
        possible = [self._possible(watch, other, step) for other in watch.keys if other != key]
        return sum(None not in states for states in possible), sum(states != NOTHING for states in possible)

    # Edges

    def _hear(self, name: str, position: int, document: Any, step: Step) -> None:
        uid, key = int(document["id"].split("-")[1]), document["subject"]
        watch = self.watches.get(uid)
        if watch is None or watch.is_deleted or watch.name != name:
            self.fail(f"position {position} is the edge of a detector that is not there: {document}")
            return
        left: set[Known | None] = set()
        owed: list[Any] = []
        for known in self._possible(watch, key, step):
            edge = None if known is None else self._owed(watch, known, step)
            if edge is None or known is None:
                continue
            owed.append(self._document(watch, key, edge))
            if _is_same(owed[-1], document) and _tells_why(document["data"]["why"], watch.versions[edge.version][0], edge):
                left.add(known._replace(untold=known.untold[1:]) if known.untold else turned(known))
                self._take_turn(watch, key, known, step)
                watch.damping.tell((key, edge.position), step.work_ms)
        if not left:
            self.fail(f"{name} told of {key} at {position} what it does not owe: {document}, owed {owed}")
        watch.keys[key] = frozenset(left)
        watch.counts[document["data"]["edge"]] += 1
        self._touched.add((uid, key))

    def _owed(self, watch: Watch, known: Known, step: Step) -> Edge | None:
        """What has to be told next, or may be since time has ended a hold."""
        if known.untold:
            return known.untold[0]
        if known.version != watch.version or watch.terms.types[not known.truth] is None:
            return None
        due = due_ms(known, watch.terms)
        return edge_of(known, watch.terms) if due is not None and due <= max(step.clocks) else None

    def _document(self, watch: Watch, key: str, edge: Edge) -> dict[str, Any]:
        cause, terms = self._documents[edge.position], watch.versions[edge.version][0]
        bus = self.watches[watch.uid]
        return {
            "id": f"{self._incarnation}-{bus.uid}-{edge.version}-{edge.position}",
            "type": terms.types[edge.is_rise],
            "subject": key,
            "time": rfc3339(edge.time_ms),
            "causationid": cause["id"],
            "causationsource": cause["source"],
            "correlationid": cause.get("correlationid", cause["id"]),
            "eventyardhops": cause.get("eventyardhops", 0) + 1,
            "data": {
                "detector": watch.name,
                "key": key,
                "edge": "rise" if edge.is_rise else "fall",
                "before": None if edge.before is None else dict(edge.before),
                "after": dict(edge.after),
                "since": rfc3339(edge.since_ms),
                "held_for_s": edge.held_ms,
                "cause": {"position": edge.position} | {name: cause[name] for name in ("source", "id", "type")},
            },
        }

    # The end of a step, and of all

    def _check_told(self, step: Step) -> None:
        """What an observation brought about at once stands in its step."""
        for uid, key in self._touched:
            watch = self.watches[uid]
            if watch.is_deleted:
                continue
            told = frozenset(known for known in watch.known(key) if known is None or not known.untold)
            if not told:
                self.fail(f"{watch.name} did not tell of {key} by {step}: {watch.known(key)}")
            watch.keys[key] = told

    def check_damped(self) -> None:
        for watch in self.watches.values():
            if all(terms.is_damped for terms, _ in watch.versions.values()):
                watch.damping.check(max(terms.max_edges_per_s for terms, _ in watch.versions.values()), self.fail)

    def check_kept(self, view: View, bus: int, step: Step) -> None:
        """What the house says of each key is what may be known of it."""
        for watch in self._there():
            for key in watch.keys:
                row = view.kept(bus, watch.uid, key)
                kept = None if row is None else detecting.read_key(row.record)
                found = None if kept is None else (kept.version, PHASES[kept.phase], kept.position)
                possible = self._possible(watch, key, step)
                may_be = [
                    known and (known.version, (known.truth, known.hold is not None), known.position) for known in possible
                ]
                if found not in may_be:
                    self.fail(f"of {key} {watch.name} keeps {kept}, and it may be {possible}")

    def check_at_rest(self, step: Step) -> None:
        """Nothing waits any more, of what was ever observed."""
        for watch in self._there():
            for key in watch.keys:
                possible = self._possible(watch, key, step)
                if all(known is not None and known.hold is not None for known in possible):
                    self.fail(f"{watch.name} never told of {key}: {possible}")

    def _there(self) -> list[Watch]:
        return [watch for watch in self.watches.values() if not watch.is_deleted]


PHASES = {
    Phase.UNKNOWN: (None, False),
    Phase.FALSE: (False, False),
    Phase.PENDING: (False, True),
    Phase.TRUE: (True, False),
    Phase.RELEASING: (True, True),
}
"""As the house writes it: what is true of a key, and whether a hold is under way."""


def _is_same(owed: dict[str, Any], document: dict[str, Any]) -> bool:
    least, most = owed["data"]["held_for_s"]
    found = {name: document.get(name) for name in owed} | {"data": {**document["data"]}}
    held_s = found["data"].pop("held_for_s")
    found["data"].pop("why")
    wanted = owed | {"data": {name: value for name, value in owed["data"].items() if name != "held_for_s"}}
    return found == wanted and least <= round(held_s * 1000) <= most


def _tells_why(why: str, terms: Terms, edge: Edge) -> bool:
    """It speaks of what decided: of each field of the condition that holds, or of one that does not."""
    is_until = not edge.is_rise and terms.until is not None
    fields = fields_of(terms.until if is_until else terms.when)
    if not why:
        return edge.position < edge.version  # A change of the detector asks of what is no observation any more.
    names = [field in why for field in fields]
    return all(names) if edge.is_rise or is_until else any(names)


def text_of(value: Any) -> str | None:
    """A key: 7 and "7" are one."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str() if value:
            return value
    return None


def _mark(document: Any, terms: Terms, told_ms: int, position: int) -> int | None:
    match terms.order_by:
        case "time":
            return told_ms
        case "position":
            return position
    value = document.get("sequence")
    return None if value is None else int(value)


def _ms(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1000)
