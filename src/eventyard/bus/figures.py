"""Figures: what whoever watches the bus is told, read on a thread of its own and in bounded time.

Counters are the meter's. What waits is in memory by rule; how old it is stands in the store, and is asked for as long as a scrape may
take. Nothing here is asked of the writer, so a scrape costs it a share of the processor and no step.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from eventyard import history
from eventyard.core import limits
from eventyard.core.bus_state import BusState, RuleQueue
from eventyard.core.clock import BusTime
from eventyard.core.delivery import State
from eventyard.core.emitter import Kind
from eventyard.core.errors import Corrupt, Unavailable
from eventyard.core.rule import RuleRecord
from eventyard.core.view import View
from eventyard.metering import OTHER, Meter
from eventyard.ports import Engine, Footprint
from eventyard.scrubber import Progress

T = TypeVar("T")

Labels = tuple[str, str]


class BusDepth(msgspec.Struct):
    """One bus, or all those together that have no label of their own. `damaged`: events found so since the start. `bytes` None: not read."""

    events: int = 0
    head: int = 0
    bytes: int | None = 0
    damaged: int = 0
    rules: int = 0
    schedules: int = 0
    overdue_s: float = 0.0
    """How late the schedule is that should have published longest ago."""


class RuleDepth(msgspec.Struct):
    """One rule, or all those of a bus together that have no label of their own: then sums, and the worst of the ages.

    `behind_s`: from the acceptance of the oldest event that it owes to that of the bus's last; `oldest_s`: from the same to now. None where
    it was not read. `held`: by what keeps deliveries that are due from going. `concurrency`, `rate_per_s`: as allowed now; None where none has a rate.
    """

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * len(State))
    parked: int = 0
    lag: int = 0
    paused: int = 0
    failing: int = 0
    open: int = 0
    held: dict[str, int] = msgspec.field(default_factory=dict)
    concurrency: int = 0
    rate_per_s: float | None = None
    behind_s: float | None = None
    oldest_s: float | None = None

    def add(self, other: "RuleDepth") -> None:
        self.counts = [mine + more for mine, more in zip(self.counts, other.counts, strict=True)]
        self.parked += other.parked
        self.lag += other.lag
        self.paused += other.paused
        self.failing += other.failing
        self.open += other.open
        self.held = {by: self.held.get(by, 0) + other.held.get(by, 0) for by in self.held.keys() | other.held.keys()}
        self.concurrency += other.concurrency
        if other.rate_per_s is not None:
            self.rate_per_s = (self.rate_per_s or 0.0) + other.rate_per_s
        self.behind_s = _worse(self.behind_s, other.behind_s)
        self.oldest_s = _worse(self.oldest_s, other.oldest_s)


def _worse(one: float | None, other: float | None) -> float | None:
    return one if other is None else other if one is None else max(one, other)


class Holdings(msgspec.Struct, frozen=True):
    """What a store holds, over all buses. `pending`: deliveries that are not ended; `bytes`: of its files."""

    buses: int
    events: int
    rules: int
    pending: int
    bytes: int


class Waiting(msgspec.Struct, frozen=True):
    """What waits inside the process, and who: commands for the writer, pushes, verdicts, receives, streams."""

    commands: int = 0
    command_bytes: int = 0
    pushes: int = 0
    verdicts: int = 0
    receives: int = 0
    streams: int = 0


class Figures(msgspec.Struct, frozen=True):
    """`unread`: rules of which the ages are missing. `took_s`: what reading all this took."""

    meter: Meter
    buses: Mapping[str, BusDepth]
    rules: Mapping[Labels, RuleDepth]
    detectors: dict[Labels, Mapping[str, int]]
    """By bus and detector, what was counted."""
    expectations: dict[Labels, Mapping[str, int]]
    """By bus and expectation, what was counted."""
    unread: int
    waiting: Waiting
    scrub: Progress
    footprint: Footprint
    unready: int
    spans_dropped: int
    took_s: float


class Watch:
    """Called on any event loop; reads on one thread, so that any number of watchers cost what one does."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(1, "eventyard-watch")
        self._kept: tuple[float, Any, Any] | None = None

    async def told(self, read: Callable[[], Figures], tell: Callable[[Figures], T]) -> T:
        """What `tell` makes of the figures as they are, or were a moment ago."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._tell, read, tell)

    def _tell(self, read: Callable[[], Figures], tell: Callable[[Figures], T]) -> T:
        if self._kept is not None:
            at_s, told_by, told = self._kept
            if told_by is tell and self._seconds() - at_s < limits.METRICS_KEPT_S:
                kept: T = told
                return kept
        fresh = tell(read())
        self._kept = self._seconds(), tell, fresh
        return fresh

    def close(self) -> None:
        """Wait for the reading under way, which is bounded. Not on an event loop."""
        self._threads.shutdown()


class _Late(msgspec.Struct, eq=False):
    """A rule that owes something, so that its ages have to be read."""

    state: BusState
    record: RuleRecord
    depth: RuleDepth
    labels: Labels


class Reading:
    """One reading of all buses and rules. `turn` is where reading ages begins: where the last reading came to, so that each has its turn."""

    def __init__(
        self, engine: Engine, states: Mapping[int, BusState], meter: Meter, now: Callable[[], BusTime], turn: int = 0
    ) -> None:
        self._engine = engine
        self._states = states
        self._meter = meter
        self._now = now
        self._newest_ms: dict[int, int | None] = {}
        self.turn = turn
        self.began_s = meter.seconds()
        self.unread = 0
        self.buses: dict[str, BusDepth] = {}
        self.rules: dict[Labels, RuleDepth] = {}
        self.detectors: dict[Labels, Mapping[str, int]] = {}
        self.expectations: dict[Labels, Mapping[str, int]] = {}

    def read(self) -> None:
        with self._engine.reader() as view:
            late: list[_Late] = []
            for number, state in list(self._states.items()):
                if (label := self._meter.bus_label(number)) is not None:
                    self._add_bus(self.buses.setdefault(label, BusDepth()), state, view)
                    late += self._add_rules(number, label, state)
                    self._add_emitters(label, state)
            self._read_ages(late, view)
        for rule in late:
            self._add(rule.labels, rule.depth)

    @property
    def took_s(self) -> float:
        return self._meter.seconds() - self.began_s

    @property
    def _is_late(self) -> bool:
        return self.took_s > limits.METRICS_READ_S_MAX

    def _add(self, labels: Labels, depth: RuleDepth) -> None:
        self.rules.setdefault(labels, RuleDepth()).add(depth)

    def _add_bus(self, depth: BusDepth, state: BusState, view: View) -> None:
        depth.events += max(0, state.head + 1 - state.floor)
        depth.head += state.head
        depth.damaged += self._engine.damaged(state.record.number)
        depth.rules += len(state.by_name)
        depth.schedules += len(state.schedules.by_name)
        depth.overdue_s = max(depth.overdue_s, state.schedules.overdue_ms(self._now().time_ms) / 1000)
        read = None if self._is_late else _or_none(lambda: history.bus_status(view, state).bytes)
        depth.bytes = None if read is None or depth.bytes is None else depth.bytes + read

    def _add_emitters(self, bus: str, state: BusState) -> None:
        """What was counted of each. Buses without a label of their own tell of none."""
        if bus == OTHER:
            return
        for record in state.emitters.by_name.copy().values():
            counts = state.emitters.counts(record.uid)
            match record.kind:
                case Kind.DETECTOR:
                    self.detectors[bus, record.name] = counts
                case Kind.EXPECTATION:
                    self.expectations[bus, record.name] = counts

    def _add_rules(self, number: int, bus: str, state: BusState) -> list[_Late]:
        """Add what memory tells, and give those of which the store has to be asked.

        Of the rules without labels of their own only those are looked at that there is something to tell of: there may be very many.
        """
        own = self._meter.own(number)
        late = [rule for uid, meter in own.items() for rule in self._add_rule(uid, meter.labels, state)]
        noted = _noted(state) - own.keys()
        late_others = [rule for uid in noted for rule in self._add_rule(uid, (bus, OTHER), state)]
        if len(state.by_uid) - len(own) > len(late_others):  # Some of them owe nothing.
            self._add((bus, OTHER), RuleDepth(behind_s=0.0, oldest_s=0.0))
        return late + late_others

    def _add_rule(self, uid: int, labels: Labels, state: BusState) -> Iterator[_Late]:
        record = state.by_uid.get(uid)
        if record is None:
            return
        depth = _depth(state, record, self._now())
        if depth.lag:
            yield _Late(state, record, depth, labels)
        else:
            depth.behind_s = depth.oldest_s = 0.0
            self._add(labels, depth)

    def _read_ages(self, late: list[_Late], view: View) -> None:
        """Those that have labels of their own first; while there is time, of the others those that lag most."""
        own = [rule for rule in late if rule.labels[1] != OTHER]
        turn = self.turn % len(own) if own else 0
        others = (rule for rule in late if rule.labels[1] == OTHER)
        read_of_others = heapq.nlargest(limits.METRICS_OTHERS_READ_MAX, others, key=lambda rule: rule.depth.lag)
        ordered = own[turn:] + own[:turn] + read_of_others
        self.unread += len(late) - len(ordered)
        for read, rule in enumerate(ordered):
            if self._is_late:
                self.unread += len(ordered) - read
                self.turn = turn + read
                return
            self._read_age(rule, view)

    def _read_age(self, rule: _Late, view: View) -> None:
        """What the disk does not give is missing, as everything that has not been read."""
        state, depth = rule.state, rule.depth
        accepted_ms = _or_none(lambda: history.oldest_accepted_ms(view, state, rule.record))
        if accepted_ms is None:
            self.unread += 1
            return
        depth.oldest_s = max(0, self._now().time_ms - accepted_ms) / 1000
        if (newest_ms := self._newest(state, view)) is not None:
            depth.behind_s = max(0, newest_ms - accepted_ms) / 1000

    def _newest(self, state: BusState, view: View) -> int | None:
        number = state.record.number
        if number not in self._newest_ms:
            self._newest_ms[number] = _accepted_ms(view, state, state.head)
        return self._newest_ms[number]


def _noted(state: BusState) -> set[int]:
    """Rules that owe anything, are paused, or fail."""
    read_for = {uid for uid, _ in state.reading.copy()}
    return read_for.union(state.pending.copy(), state.dead.copy(), state.health.copy(), state.paused.copy())


def _depth(state: BusState, record: RuleRecord, time: BusTime) -> RuleDepth:
    queue, lanes = state.queues.get(record.uid) or RuleQueue(), state.lanes.get(record.uid)
    counts = queue.counts
    lag = sum(counts[: State.BLOCKED + 1]) + history.unread(state, record.uid)
    parked = lanes.parked_behind if lanes is not None else 0
    health = state.health.get(record.uid)
    is_paused, is_failing = record.is_paused and not record.is_deleted, health is not None and health.is_failing
    protected = history.protection_status(state, record, time)
    return RuleDepth(
        counts,
        parked,
        lag,
        int(is_paused),
        int(is_failing),
        int(record.uid in state.protection.opened),
        {} if protected.waits_for is None else {protected.waits_for: 1},
        protected.concurrency,
        protected.rate_per_s,
    )


def _accepted_ms(view: View, state: BusState, position: int) -> int | None:
    found = _or_none(lambda: view.events(state.record.number, position, position, 1)) or []
    return found[0].accepted_ms if found else None


def _or_none(read: Callable[[], T]) -> T | None:
    """A figure that cannot be read is missing; whoever watches a bus with a bad disk wants the others all the more."""
    try:
        return read()
    except (Unavailable, Corrupt):
        return None


def states_of(depth: RuleDepth) -> Iterator[tuple[str, int]]:
    """How many deliveries are in each state in which they may stay."""
    for state in (State.WAITING, State.RETRYING, State.LEASED, State.BLOCKED, State.DEAD):
        yield state.name.lower(), depth.counts[state]
