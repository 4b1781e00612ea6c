"""The keeper: carries out, in bounded steps, what commands have only recorded, and what time alone brings about.

Redrives, emptied queues and deleted buses are continued; leases that ran out are taken back; what is parked past its limit is
trimmed; trouble that the log could not be told at once is told; holds of detectors end; what schedules have due is published. Retries that fall due need no keeper: the writer finds them by their time.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from eventyard.core import limits
from eventyard.core.bus_state import BusState
from eventyard.core.changes import Intent, IntentKind
from eventyard.core.clock import BusTime
from eventyard.core.commands import (
    Command,
    ContinueIntent,
    EmptyBus,
    Expire,
    ForgetTombstones,
    RunTimers,
    Sweep,
    TellTrouble,
    Tick,
    TrimParked,
)
from eventyard.core.system import SYSTEM_BUS

Submit = Callable[[int, Command, Callable[[Any], None]], None]

LEASES_EVERY_MS = 100
"""How often leases are looked through for those that ran out: a lease may last so much longer. So with trouble that is to be told."""

TOMBSTONES_EVERY_MS = 60_000
"""How often deleted rules are looked through for those to forget."""


class Keeper:
    """Called from one thread; the answers to what it submits come on the writer's."""

    def __init__(self, states: Mapping[int, BusState], submit: Submit, now: Callable[[], BusTime]) -> None:
        self._states = states
        self._submit = submit
        self._now = now
        self._under_way: set[tuple[int, Command]] = set()
        self._tombstones_ms = 0
        self._leases_ms = 0

    def step(self) -> bool:
        """Ask for one more step of everything that is not done. False when all is."""
        wanted = [
            (number, command) for number, command in self._wanted(self._now()) if (number, command) not in self._under_way
        ]
        for key in wanted:
            self._under_way.add(key)
            self._submit(*key, self._done(key))
        return bool(wanted)

    def idle_ms(self) -> int | None:
        """How long until it has something to look at that time brings about, now that a step found nothing; None: nothing does."""
        states = list(self._states.values())
        looked = [max(at_ms, self._leases_ms) for state in states for at_ms in _looked_for(state)]
        time = self._now()
        at_ms = min([*looked, *(at_ms for state in states for at_ms in _timed(state, time))], default=None)
        return None if at_ms is None else max(0, at_ms - time.work_ms)

    def _wanted(self, time: BusTime) -> Iterator[tuple[int, Command]]:
        work_ms = time.work_ms
        are_tombstones_due, are_leases_due = work_ms >= self._tombstones_ms, work_ms >= self._leases_ms
        if are_leases_due:
            self._leases_ms = work_ms + LEASES_EVERY_MS
        for number, state in list(self._states.items()):
            yield from ((number, command) for command in _of_bus(state))
            if are_leases_due and any(lease.at_ms <= work_ms for lease in state.leased.copy().values()):
                yield number, Expire(limits.LEASES_PER_STEP_MAX)
            if are_leases_due and (rules := _in_trouble(state, work_ms)):
                yield number, TellTrouble(rules)
            if _is_any_key_due(state, work_ms):
                yield number, RunTimers(limits.TIMERS_PER_STEP)
            if due := state.schedules.due(time.time_ms):
                yield number, Tick(tuple(due[: limits.SCHEDULE_INSTANTS_PER_STEP]))
            if are_tombstones_due and state.tombstones:
                yield number, ForgetTombstones()
        if are_tombstones_due:
            self._tombstones_ms = work_ms + TOMBSTONES_EVERY_MS
        if system := self._states.get(SYSTEM_BUS):
            yield from ((SYSTEM_BUS, EmptyBus(bus.number)) for bus in list(system.buses.values()) if bus.is_deleted)

    def _done(self, key: tuple[int, Command]) -> Callable[[Any], None]:
        return lambda _: self._under_way.discard(key)


def _of_bus(state: BusState) -> Iterator[Command]:
    for intent in list(state.intents.values()):
        if _has_room(state, intent):
            yield ContinueIntent(intent.number)
    yield from map(TrimParked, state.overparked.copy())
    yield from map(Sweep, state.emitters.sweeping)


def _is_any_key_due(state: BusState, work_ms: int) -> bool:
    """Whether a hold may end, or a key be forgotten."""
    due_ms = state.emitters.due_ms
    return due_ms is not None and due_ms <= work_ms and work_ms >= state.emitters.rest_until_ms


def _looked_for(state: BusState) -> Iterator[int]:
    """Work times at which a lease runs out, or trouble is to be told: what is looked for now and then."""
    yield from (lease.at_ms for lease in state.leased.copy().values())
    rows, opened = state.health.copy().values() if state.health else (), state.protection.opened.copy()
    for row in rows:
        if row.due_ms is not None:
            yield row.due_ms
        turn_ms = row.breaker_turn_ms
        if row.owes_breaker(turn_ms, is_open=row.rule in opened):
            yield turn_ms


def _timed(state: BusState, time: BusTime) -> Iterator[int]:
    """The work times at which a key of a detector is due, and a schedule, as long as both clocks go alike."""
    if (due_ms := state.schedules.due_ms) is not None:
        yield time.work_ms + due_ms - time.time_ms
    if state.emitters.due_ms is not None:
        yield max(state.emitters.due_ms, state.emitters.rest_until_ms)


def _in_trouble(state: BusState, work_ms: int) -> tuple[int, ...]:
    """Rules of which something falls due to be told, as many as one step tells of."""
    rows = state.health.copy().values() if state.health else ()
    opened = state.protection.opened.copy()
    due = (
        row.rule
        for row in rows
        if row.rule not in state.by_uid
        or (row.due_ms is not None and row.due_ms <= work_ms)
        or row.owes_breaker(work_ms, is_open=row.rule in opened)
    )
    return tuple(itertools.islice(due, limits.TROUBLE_EVENTS_PER_STEP))


def _has_room(state: BusState, intent: Intent) -> bool:
    """A redrive goes no further ahead of its consumer than a backfill does. What is parked waits for the redrive itself."""
    return intent.kind is not IntentKind.REDRIVE or state.unparked(intent.rule) < limits.BACKFILL_UNSETTLED_MAX
