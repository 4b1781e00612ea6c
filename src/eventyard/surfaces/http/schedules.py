"""Schedules: PUT, GET and DELETE of one, the list, pause and resume."""

from typing import Annotated, Any

import msgspec

from eventyard.core.clock import rfc3339
from eventyard.core.schedule import ScheduleRecord
from eventyard.surfaces.http.buses import read_nothing
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.rules import tagged, version_of
from eventyard.surfaces.http.schemas import Time

NEXT_SHOWN = 5
"""Of one schedule; of each in a list it is one."""


class ScheduleState(msgspec.Struct, frozen=True):
    """`uid` is the position of the event that records its creation, `version` that of its last change.

    `next`: the instants to come, none while it is paused. `last`: the instant of the last event published. `published` and `skipped` count
    since it was created; `catching_up`: instants that were missed are just being gone through.
    """

    paused: bool
    uid: int
    version: int
    created: Time
    changed: Time
    next: list[Time]
    last: Time | None
    published: int
    skipped: int
    catching_up: bool


class ScheduleAnswer(msgspec.Struct, frozen=True):
    """A schedule's document as it is in force, every default written out, its name and where it stands."""

    name: str
    emit: Annotated[dict[str, Any], msgspec.Meta(description='{"type", "subject", "data"} of the event that it publishes')]
    cron: str | None
    every_s: float | None
    at: str | None
    zone: str
    start: str | None
    end: str | None
    jitter_s: float
    misfire: str
    description: str
    owner: str
    state: ScheduleState


class SchedulesAnswer(msgspec.Struct, frozen=True):
    """By name. `next` given as `after` continues."""

    schedules: list[ScheduleAnswer]
    next: str | None


class SchedulesQuery(msgspec.Struct, frozen=True):
    """Schedules whose names come after `after`."""

    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100


async def put_schedule(call: Call[NoFields]) -> Answer:
    bus, name = call.path["bus"], call.path["schedule"]
    put = await call.yard.put_schedule(bus, name, call.body, principal=call.principal, version=version_of(call.headers))
    return _tagged(call, put.record, 201 if put.is_created else 200)


async def schedule(call: Call[NoFields]) -> Answer:
    return _tagged(call, call.yard.schedule(call.path["bus"], call.path["schedule"]))


async def delete_schedule(call: Call[NoFields]) -> Answer:
    bus, name = call.path["bus"], call.path["schedule"]
    await call.yard.delete_schedule(bus, name, principal=call.principal, version=version_of(call.headers))
    return Answer(204)


async def schedules(call: Call[SchedulesQuery]) -> Answer:
    query = call.query
    records = call.yard.schedules(call.path["bus"], after=query.after, limit=query.limit + 1)
    page = [_shown(call, record, 1) for record in records[: query.limit]]
    return json_answer(SchedulesAnswer(page, page[-1].name if len(records) > len(page) else None))


async def pause_schedule(call: Call[NoFields]) -> Answer:
    return await _pause(call, is_paused=True)


async def resume_schedule(call: Call[NoFields]) -> Answer:
    return await _pause(call, is_paused=False)


async def _pause(call: Call[NoFields], *, is_paused: bool) -> Answer:
    read_nothing(call.body)
    bus, name = call.path["bus"], call.path["schedule"]
    record = await call.yard.pause_schedule(bus, name, is_paused=is_paused, principal=call.principal)
    return json_answer(_shown(call, record, NEXT_SHOWN))


def _tagged(call: Call[NoFields], record: ScheduleRecord, status: int = 200) -> Answer:
    return tagged(json_answer(_shown(call, record, NEXT_SHOWN), status), record.version)


def _shown(call: Call[Any], record: ScheduleRecord, count: int) -> ScheduleAnswer:
    said = record.schedule
    instants = call.yard.next_instants(call.path["bus"], record, count)
    return ScheduleAnswer(
        name=record.name,
        emit={"type": said.emit.type, "subject": said.emit.subject, "data": said.emit.data},
        cron=said.cron,
        every_s=said.every_s,
        at=said.at,
        zone=said.zone,
        start=said.start,
        end=said.end,
        jitter_s=said.jitter_s,
        misfire=said.misfire,
        description=said.description,
        owner=said.owner,
        state=ScheduleState(
            paused=record.is_paused,
            uid=record.uid,
            version=record.version,
            created=rfc3339(record.created_ms),
            changed=rfc3339(record.changed_ms),
            next=[rfc3339(instant) for instant in instants],
            last=None if record.last_ms is None else rfc3339(record.last_ms),
            published=record.published,
            skipped=record.skipped,
            catching_up=record.missed is not None,
        ),
    )
