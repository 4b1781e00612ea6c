"""Retention, as a stage: finds what a bus need keep no longer, and has it removed in bounded steps.

Three things are looked for, each as often as its constant says: events past the bus's age or bytes; backlogs past their rule's cap;
dead letters past theirs. A wall clock that runs ahead is believed by bus time only within a bound (`core.clock`), so it removes nothing
that is not old. Where a bus is emptied from its old end, the stage goes on without waiting until it has caught up.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from eventyard import logbook
from eventyard.core import limits
from eventyard.core.bus_state import BusState, RuleQueue
from eventyard.core.changes import StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.commands import ClearDead, Command, EnforceCap, Retain
from eventyard.core.delivery import Key, State
from eventyard.core.errors import EventyardError, Unavailable
from eventyard.core.rule import RuleRecord
from eventyard.core.system import SYSTEM_BUS
from eventyard.core.view import View
from eventyard.ports import Engine

FLOOR_EVERY_MS = 5_000
RULES_EVERY_MS = 60_000
"""How often floors, and the caps and dead letters of rules, are looked at. A log may grow past its bounds by that much."""

PARTS_EVERY_MS = 500
"""How long after a part of the rules the next part is looked at. So with a hundred thousand rules that all owe something a round takes two
minutes, and less than a tenth of a core instead of all of it for seconds."""

Submit = Callable[[int, Command, Callable[[Any], None]], None]


class _Watch(msgspec.Struct):
    """When a bus, and the next part of its rules, is looked at (work time), the floor that it is on its way to, and the first event that it keeps.

    `owing`: rules that are still to be looked at this time. `dead`: by rule, up to which (position, run) its dead letters were looked at.
    """

    floor_ms: int
    rules_ms: int
    floor: int = 0
    first: StoredEvent | None = None
    is_under_way: bool = False
    owing: list[int] = []
    part_ms: int = 0
    dead: dict[int, tuple[int, int]] = {}


class RetentionStage:
    """Called from one thread, the keeper's; the answers to what it submits come on the writer's."""

    def __init__(self, engine: Engine, states: Mapping[int, BusState], submit: Submit, now: Callable[[], BusTime]) -> None:
        self._engine = engine
        self._states = states
        self._submit = submit
        self._now = now
        self._watches: dict[int, _Watch] = {}

    def step(self) -> bool:
        """One bounded step for each bus that wants one. False when none did, or the disk could not be read: then later."""
        time = self._now()
        did_something = False
        for gone in self._watches.keys() - self._states.keys():
            del self._watches[gone]
        for number, state in list(self._states.items()):
            watch = self._watches.get(number)
            if watch is None:  # At a start there is more urgent work.
                watch = self._watches[number] = _Watch(time.work_ms + FLOOR_EVERY_MS, time.work_ms + RULES_EVERY_MS)
            try:
                did_something |= self._step(state, watch, time)
            except Unavailable as error:
                watch.owing = []  # Until they are due again.
                logbook.RETENTION_WAITS(error=error.detail)
        return did_something

    def _step(self, state: BusState, watch: _Watch, time: BusTime) -> bool:
        if time.work_ms >= watch.floor_ms:
            watch.floor_ms = time.work_ms + FLOOR_EVERY_MS
            self._look_at_floor(state, watch, time)
        did_something = self._lower(state, watch)
        if time.work_ms >= watch.rules_ms and not watch.owing and state.record.number != SYSTEM_BUS:
            watch.rules_ms = time.work_ms + RULES_EVERY_MS
            watch.owing = _owing(state)
            watch.dead = {uid: watch.dead[uid] for uid in watch.owing if uid in watch.dead}
        if watch.owing and time.work_ms >= watch.part_ms:
            watch.part_ms = time.work_ms + PARTS_EVERY_MS
            did_something |= self._look_at_rules(state, watch, time)
        return did_something

    def _look_at_floor(self, state: BusState, watch: _Watch, time: BusTime) -> None:
        """A bus whose first event may stay costs one read in all, however long it sleeps."""
        if watch.first is None or watch.first.position < state.floor:
            with self._engine.reader() as view:
                found = view.events(state.record.number, state.floor, state.head, 1)
            watch.first = found[0] if found else None
        if watch.first is not None and _is_past(state, watch.first, time):
            with self._engine.reader() as view:
                watch.floor = _wanted_floor(view, state, time)

    def _lower(self, state: BusState, watch: _Watch) -> bool:
        if watch.is_under_way or state.floor >= watch.floor:
            return False
        watch.is_under_way = True
        before = state.floor

        def done(floor: Any) -> None:
            watch.is_under_way = False
            if floor == before or isinstance(floor, EventyardError):
                watch.floor = before  # Something unread is in the way, or the disk is: until the next look.

        self._submit(state.record.number, Retain(watch.floor), done)
        return True

    def _look_at_rules(self, state: BusState, watch: _Watch, time: BusTime) -> bool:
        """At the next ones of those that owe anything. Rules by the thousand would keep leases from being taken back meanwhile."""
        part = watch.owing[-limits.RULES_LOOKED_AT_PER_STEP :]
        records = [record for uid in part if (record := state.by_uid.get(uid)) is not None and not record.is_deleted]
        with self._engine.reader() as view:
            wanted = [command for record in records for command in _of_rule(view, state, record, watch, time)]
        del watch.owing[-len(part) :]
        for command in wanted:
            self._submit(state.record.number, command, _ignore)
        return bool(wanted)


def _is_past(state: BusState, event: StoredEvent, time: BusTime) -> bool:
    keep = state.record.retention
    is_old = event.accepted_ms < time.time_ms - int(keep.max_age_s * 1000)
    return is_old or state.log_bytes - event.offset > keep.max_bytes


def _wanted_floor(view: View, state: BusState, time: BusTime) -> int:
    """Where the bus's age and bytes put its floor."""
    keep, number = state.record.retention, state.record.number
    by_age = view.position_at(number, time.time_ms - int(keep.max_age_s * 1000))
    return max(by_age, view.position_at_offset(number, max(0, state.log_bytes - keep.max_bytes)))


# Rules


def _owing(state: BusState) -> list[int]:
    """The rules of which anything is pending, unread or dead."""
    read_for = {uid for uid, _ in state.reading.copy()}
    return sorted(state.pending.copy().keys() | state.dead.copy().keys() | read_for, reverse=True)


def _queue(state: BusState, record: RuleRecord) -> RuleQueue:
    """Empty where the rule was deleted since its record was read."""
    return state.queues.get(record.uid) or RuleQueue()


def _of_rule(view: View, state: BusState, record: RuleRecord, watch: _Watch, time: BusTime) -> Iterator[Command]:
    for run in list(_queue(state, record).runs):
        if (cap := _cap(view, state, record, run, time)) is not None:
            yield cap
    if _queue(state, record).counts[State.DEAD]:
        until_ms = time.time_ms - int(state.record.retention.dead_letters_s * 1000)
        if keys := _dead_before(view, state, record, watch, until_ms):
            yield ClearDead(record.name, keys, until_ms)


def _dead_before(view: View, state: BusState, record: RuleRecord, watch: _Watch, until_ms: int) -> tuple[Key, ...]:
    """Of one page of the rule's dead letters, and the next time of the page after it: they stand by position, not by age."""
    rows = view.dead(state.record.number, record.uid, watch.dead.get(record.uid, (0, -1)), limits.PAGE_MAX)
    watch.dead[record.uid] = (rows[-1].position, rows[-1].run) if len(rows) == limits.PAGE_MAX else (0, -1)
    return tuple([row.key for row in rows if row.at_ms < until_ms])


def _cap(view: View, state: BusState, record: RuleRecord, run: int, time: BusTime) -> EnforceCap | None:
    """What of one run's backlog is past the rule's cap. Bytes count to the head, so they say nothing of a replay."""
    number, cap = state.record.number, record.rule.delivery.backlog
    oldest = _oldest_owed(view, state, record, run)
    event = view.events(number, oldest, state.head, 1) if oldest is not None else []
    if not event:
        return None
    since_ms, since_bytes = time.time_ms - int(cap.max_age_s * 1000), state.log_bytes - cap.max_bytes
    if event[0].accepted_ms < since_ms and _owed_since_ms(view, state, record, run, time) < since_ms:
        because = f"its backlog was older than {cap.max_age_s:g} s"
        return EnforceCap(record.uid, run, view.position_at(number, since_ms), because)
    if event[0].offset < since_bytes and run == record.run:
        because = f"its backlog was larger than {cap.max_bytes} bytes of events"
        return EnforceCap(record.uid, run, view.position_at_offset(number, since_bytes), because)
    return None


def _oldest_owed(view: View, state: BusState, record: RuleRecord, run: int) -> int | None:
    backfill = state.backfills.get((record.uid, run))
    unread = [backfill.next_position] if backfill is not None and not backfill.is_done else []
    queue = _queue(state, record).runs.get(run)
    oldest = view.oldest(state.record.number, record.uid, run) if queue is not None and queue.pending else None
    return min([*unread, *([oldest] if oldest is not None else [])], default=None)


def _owed_since_ms(view: View, state: BusState, record: RuleRecord, run: int, time: BusTime) -> int:
    """Since when, in bus time: a rule that starts in the past is not late with what it has only just been given.

    What its queue holds first was put, or first tried, at a work time; what a backfill has not read is owed since the backfill began.
    """
    backfill = state.backfills.get((record.uid, run))
    since = [backfill.created_ms] if backfill is not None and not backfill.is_done else []
    worked = [time.work_ms - (row.first_ms or row.at_ms) for row in view.pending(state.record.number, record.uid, 1, run=run)]
    since += [time.time_ms - max(0, worked_ms) for worked_ms in worked]
    return min(since, default=time.time_ms)


def _ignore(_: Any) -> None:
    """What came of it is in the log."""
