"""Mutants of schedules: instants lost, published twice, or in spite of their misfire."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any
from unittest import mock

import msgspec

from eventyard.core import limits, machine, schedule, scheduling
from eventyard.core.commands import PauseSchedule
from eventyard.core.draft import Draft
from eventyard.core.schedule import ScheduleRecord

Patch = Callable[[], AbstractContextManager[object]]
_replace = msgspec.structs.replace


def _as(misfire: str, other: str) -> Patch:
    """One misfire is carried out as another, and told as itself."""
    missed, caught_up = scheduling._missed, scheduling._caught_up

    def changed(record: ScheduleRecord) -> ScheduleRecord:
        return (
            _replace(record, schedule=_replace(record.schedule, misfire=other))
            if record.schedule.misfire == misfire
            else record
        )

    def missed_so(draft: Draft, record: ScheduleRecord, *args: Any, **options: Any) -> ScheduleRecord:
        return _replace(missed(draft, changed(record), *args, **options), schedule=record.schedule)

    def caught_up_so(draft: Draft, record: ScheduleRecord) -> ScheduleRecord:
        return _replace(caught_up(draft, changed(record)), schedule=record.schedule)

    return lambda: mock.patch.multiple(scheduling, _missed=missed_so, _caught_up=caught_up_so)


def _first_for_last() -> AbstractContextManager[object]:
    """Of what was missed in a row the first is published."""
    caught_up = scheduling._caught_up

    def first(draft: Draft, record: ScheduleRecord) -> ScheduleRecord:
        row = record.missed
        if row is None or record.schedule.misfire != "once":
            return caught_up(draft, record)
        return _replace(caught_up(draft, _replace(record, missed=_replace(row, last_ms=row.first_ms))), done_ms=record.done_ms)

    return mock.patch.object(scheduling, "_caught_up", first)


def _untold() -> AbstractContextManager[object]:
    """A row of missed instants ends in silence."""
    caught_up = scheduling._caught_up

    def silent(draft: Draft, record: ScheduleRecord) -> ScheduleRecord:
        with mock.patch.object(Draft, "append_bus_event"):
            return caught_up(draft, record)

    return mock.patch.object(scheduling, "_caught_up", silent)


def _resumed_where_it_was() -> AbstractContextManager[object]:
    """What passed while it was paused is made up for."""
    set_paused = scheduling.set_paused

    def resumed(draft: Draft, command: Any) -> ScheduleRecord:
        before = draft.schedules.named(command.name)
        after = set_paused(draft, command)
        if before is not None and before.is_paused and not after.is_paused:
            after = _replace(after, done_ms=before.done_ms)
            draft.schedules.set(after)
        return after

    return mock.patch.dict(machine._STEPS, {PauseSchedule: resumed})


def _named_by_when() -> AbstractContextManager[object]:
    """An event is named by when it was published."""
    published = scheduling._published
    event_at = schedule.event_at

    def by_now(draft: Draft, record: ScheduleRecord, instant_ms: int) -> ScheduleRecord:
        def named(record: ScheduleRecord, _: int, *, bus: str, incarnation: str) -> Any:
            return event_at(record, draft.time.time_ms, bus=bus, incarnation=incarnation)

        with mock.patch.object(schedule, "event_at", named):
            return published(draft, record, instant_ms)

    return mock.patch.object(scheduling, "_published", by_now)


def _done_is_not_kept() -> AbstractContextManager[object]:
    """What was published in a step is not marked as done where the step had more to do."""

    def again(draft: Draft, record: ScheduleRecord, instant_ms: int) -> ScheduleRecord:
        after = published(draft, record, instant_ms)
        return after if draft.head % 7 else _replace(after, done_ms=record.done_ms)

    published = scheduling._published
    return mock.patch.object(scheduling, "_published", again)


def _too_soon() -> AbstractContextManager[object]:
    """The clock is looked at a second ahead."""
    due_ms = schedule.Timetable.due_ms
    return mock.patch.object(schedule.Timetable, "due_ms", lambda *args: due_ms(*args) - 1_000)


SCHEDULE_MUTANTS: Mapping[str, Patch] = MappingProxyType(
    {
        "skipped-are-published": _as("skip", "once"),
        "all-are-once": _as("all", "once"),
        "once-is-never": _as("once", "skip"),
        "first-for-last": _first_for_last,
        "missed-in-silence": _untold,
        "nothing-is-missed": lambda: mock.patch.object(limits, "SCHEDULE_GRACE_MS", 10**12),
        "edits-drop-what-is-due": lambda: mock.patch.object(scheduling, "_settled", lambda _, record: record),
        "pauses-are-made-up-for": _resumed_where_it_was,
        "instants-have-no-name": _named_by_when,
        "published-again": _done_is_not_kept,
        "a-second-too-soon": _too_soon,
    }
)
