"""Schedules in a step: edits of them, and the events of instants whose time has come.

Theory of operation. A record says up to which instant all is done. A tick appends the events of those that are due and moves that mark, in one
step: so each instant is published once, whatever crashes. Steps look at a bounded number of instants; where more are due, the keeper asks again.

An instant is missed when the bus comes to it more than a minute late: it was down, or its clock was moved. Missed ones in a row are gone
through one by one, up to a bound, then passed over at once; what becomes of them is the schedule's `misfire`. When a row of them is
through, the log is told (`schedule.missed`).
"""

from typing import Any

import msgspec

from eventyard.core import limits
from eventyard.core import schedule as schedules
from eventyard.core.bus_events import (
    SCHEDULE_CHANGED,
    SCHEDULE_CREATED,
    SCHEDULE_DELETED,
    SCHEDULE_MISSED,
    SCHEDULE_PAUSED,
    SCHEDULE_RESUMED,
)
from eventyard.core.clock import rfc3339
from eventyard.core.commands import DeleteSchedule, PauseSchedule, PutSchedule, SchedulePut, Tick
from eventyard.core.draft import Draft
from eventyard.core.errors import InvalidSchedule, NotFound, VersionConflict
from eventyard.core.schedule import Missed, Schedule, ScheduleRecord, Timetable

# Edits


def put(draft: Draft, command: PutSchedule) -> SchedulePut:
    """Create the schedule, change it, or find that nothing changes (then the log gets no event)."""
    before = draft.schedules.named(command.name)
    if before is not None and before.schedule == command.schedule:
        return SchedulePut(before, is_created=False)
    _check_version(command, before)
    if before is None:
        return SchedulePut(_create(draft, command), is_created=True)
    return SchedulePut(_change(draft, _settled(draft, before), command), is_created=False)


def _create(draft: Draft, command: PutSchedule) -> ScheduleRecord:
    if draft.schedules.count >= limits.SCHEDULES_PER_BUS_MAX:
        raise InvalidSchedule(f"found {limits.SCHEDULES_PER_BUS_MAX} schedules on this bus", wanted="to delete one first")
    position, now_ms = draft.head + 1, draft.time.time_ms
    _check_ahead(command.schedule, now_ms)
    record = ScheduleRecord(position, command.name, position, command.schedule, now_ms, now_ms, now_ms)
    return _recorded(draft, SCHEDULE_CREATED, record, command.principal)


def _change(draft: Draft, before: ScheduleRecord, command: PutSchedule) -> ScheduleRecord:
    """Other times begin now. The same times go on where they are, so that an instant that is spread out is not lost."""
    now_ms = draft.time.time_ms
    is_same = before.schedule.times == command.schedule.times
    if not is_same:
        _check_ahead(command.schedule, now_ms)
    record = msgspec.structs.replace(
        before,
        schedule=command.schedule,
        version=draft.head + 1,
        changed_ms=now_ms,
        done_ms=before.done_ms if is_same else now_ms,
        missed=before.missed if is_same else None,
    )
    return _recorded(draft, SCHEDULE_CHANGED, record, command.principal)


def _check_ahead(schedule: Schedule, now_ms: int) -> None:
    if Timetable(schedule).next_ms(now_ms) is None:
        at = "/at" if schedule.at is not None else "/end" if schedule.end is not None else "/cron"
        raise InvalidSchedule("found no instant that is yet to come", wanted=f"one after {rfc3339(now_ms)}", at=at)


def delete(draft: Draft, command: DeleteSchedule) -> ScheduleRecord:
    before = _there(draft, command.name)
    _check_version(command, before)
    record = msgspec.structs.replace(_settled(draft, before), is_deleted=True)
    return _recorded(draft, SCHEDULE_DELETED, msgspec.structs.replace(record, version=draft.head + 1), command.principal)


def set_paused(draft: Draft, command: PauseSchedule) -> ScheduleRecord:
    """Instants that pass while it is paused are none: it goes on with the first after it is resumed."""
    before = _there(draft, command.name)
    if before.is_paused == command.is_paused:
        return before
    now_ms = draft.time.time_ms
    before = _settled(draft, before)
    record = msgspec.structs.replace(before, is_paused=command.is_paused, changed_ms=now_ms, done_ms=now_ms, missed=None)
    return _recorded(draft, SCHEDULE_PAUSED if command.is_paused else SCHEDULE_RESUMED, record, command.principal)


def _there(draft: Draft, name: str) -> ScheduleRecord:
    record = draft.schedules.named(name)
    if record is None:
        found = f'found no schedule "{name[:60]}" on bus "{draft.state.record.name}"'
        raise NotFound(found, wanted="a schedule that exists")
    return record


def _check_version(command: PutSchedule | DeleteSchedule, there: ScheduleRecord | None) -> None:
    version = 0 if there is None else there.version
    if command.version is None or command.version == version:
        return
    found = f'found the schedule "{command.name}" in version {version}' if version else f'found no schedule "{command.name}"'
    raise VersionConflict(found, wanted=f"version {command.version}" if command.version else "none to be there")


def _settled(draft: Draft, record: ScheduleRecord) -> ScheduleRecord:
    """What was due before the edit is published before it. Of a long row of missed instants that is as much as one step publishes; the others
    are passed over at once, and all are told, since nobody comes back to them.
    """
    timetable = draft.schedules.timetable(record)
    if timetable is None or record.is_paused:
        return record
    _go_on(draft, record, limits.SCHEDULE_INSTANTS_PER_STEP)
    record = draft.schedules.record(record.uid) or record
    late_ms = draft.time.time_ms - limits.SCHEDULE_GRACE_MS
    next_ms = timetable.next_ms(record.done_ms)
    if next_ms is not None and next_ms + timetable.jitter_ms < late_ms:
        row = record.missed or Missed(next_ms, next_ms)
        record = msgspec.structs.replace(record, missed=row)
        record = _missed(draft, record, next_ms, timetable, late_ms, is_last=True)
        draft.schedules.set(record)
    _go_on(draft, record, limits.SCHEDULE_INSTANTS_AT_EDIT, is_whole=True)
    record = draft.schedules.record(record.uid) or record
    return _caught_up(draft, record)


def _recorded(draft: Draft, kind: str, record: ScheduleRecord, principal: str) -> ScheduleRecord:
    document = msgspec.json.decode(msgspec.json.encode(record.schedule))
    data = {"name": record.name, "uid": record.uid, "principal": principal, "schedule": document}
    draft.append_bus_event(kind, record.name, data)
    draft.schedules.set(record)
    return record


# Instants


def tick(draft: Draft, command: Tick) -> None:
    """The due instants of these schedules, as many as one step looks at."""
    left = limits.SCHEDULE_INSTANTS_PER_STEP
    for uid in command.schedules:
        record = draft.schedules.record(uid)
        if left <= 0 or draft.is_full:
            return
        if record is not None:
            left -= _go_on(draft, record, left)


def _go_on(draft: Draft, record: ScheduleRecord, most: int, *, is_whole: bool = False) -> int:
    """Go on from instant to instant until one is not due yet. How many were looked at, `most` at the most. `is_whole`: however full the step is."""
    timetable = draft.schedules.timetable(record)
    if timetable is None or record.is_paused:
        return 0
    now_ms, seed = draft.time.time_ms, schedules.seed(record, draft.state.record.incarnation)
    late_ms = now_ms - limits.SCHEDULE_GRACE_MS
    before, looked = record, 0
    while looked < most and (is_whole or not draft.is_full):
        instant_ms = timetable.next_ms(record.done_ms)
        looked += 1
        due_ms = None if instant_ms is None else timetable.due_ms(instant_ms, seed)
        if record.missed is not None and (due_ms is None or due_ms >= late_ms):
            record = _caught_up(draft, record)
        if instant_ms is None or due_ms is None or due_ms > now_ms:
            break
        record = (
            _missed(draft, record, instant_ms, timetable, late_ms)
            if due_ms < late_ms
            else _published(draft, record, instant_ms)
        )
    if record is not before:
        draft.schedules.set(record)
    return looked


def _published(draft: Draft, record: ScheduleRecord, instant_ms: int) -> ScheduleRecord:
    bus = draft.state.record
    draft.append(schedules.event_at(record, instant_ms, bus=bus.name, incarnation=bus.incarnation))
    done_ms = max(record.done_ms, instant_ms)
    return msgspec.structs.replace(record, done_ms=done_ms, last_ms=instant_ms, published=record.published + 1)


def _missed(
    draft: Draft, record: ScheduleRecord, instant_ms: int, timetable: Timetable, late_ms: int, *, is_last: bool = False
) -> ScheduleRecord:
    """One more that was missed. Past the bound, or after the last one, all that are still missed go at once."""
    row = record.missed or Missed(instant_ms, instant_ms)
    row = msgspec.structs.replace(row, last_ms=instant_ms, count=row.count + 1)
    if record.schedule.misfire == "all" and not row.is_more and row.published < limits.SCHEDULE_MISSED_MAX:
        record = _published(draft, record, instant_ms)
        row = msgspec.structs.replace(row, published=row.published + 1)
    done_ms = instant_ms
    if is_last or row.count >= limits.SCHEDULE_MISSED_MAX:
        until_ms = late_ms - 1 - timetable.jitter_ms
        last_ms = timetable.last_ms(instant_ms, until_ms)
        if last_ms is not None:
            done_ms = until_ms
            row = msgspec.structs.replace(row, last_ms=last_ms, is_more=True)
    return msgspec.structs.replace(record, missed=row, done_ms=done_ms)


def _caught_up(draft: Draft, record: ScheduleRecord) -> ScheduleRecord:
    """The row of missed instants has ended: of `once` the last is published now, and the log is told."""
    row = record.missed
    if row is None:
        return record
    if record.schedule.misfire == "once":
        record = _published(draft, record, row.last_ms)
        row = msgspec.structs.replace(row, published=1)
    draft.append_bus_event(SCHEDULE_MISSED, record.name, _told(record, row))
    skipped = record.skipped + row.count - row.published
    return msgspec.structs.replace(record, missed=None, skipped=skipped)


def _told(record: ScheduleRecord, row: Missed) -> dict[str, Any]:
    return {
        "name": record.name,
        "uid": record.uid,
        "misfire": record.schedule.misfire,
        "missed": row.count,
        "more": row.is_more,
        "first": rfc3339(row.first_ms),
        "last": rfc3339(row.last_ms),
        "published": row.published,
    }
