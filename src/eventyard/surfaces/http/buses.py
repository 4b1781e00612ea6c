"""Buses: PUT, GET and DELETE of one, and the list."""

from typing import Annotated

import msgspec

from eventyard.core import document
from eventyard.core.changes import Retention
from eventyard.core.errors import InvalidRequest
from eventyard.history import BusStatus
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.schemas import Time
from eventyard.surfaces.http.times import rfc3339

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=3_153_600_000)]


class RetentionPut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is left out stays as it is."""

    max_age_s: _Seconds | None = None
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)] | None = None
    dead_letters_s: _Seconds | None = None


class BusPut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`retention`: what the bus keeps of its log, by age and by bytes of events, and how long dead letters live."""

    retention: RetentionPut | None = None


class BusAnswer(msgspec.Struct, frozen=True):
    """`head` is the position of its last event, 0 where there is none. `floor` is the first position that is kept whole: below it
    stand only events that somebody is owed. `bytes` are those of the events from `floor` to `head`.
    """

    name: str
    created: Time
    head: int
    floor: int
    bytes: int
    retention: Retention


class BusesAnswer(msgspec.Struct, frozen=True):
    """By name."""

    buses: list[BusAnswer]
    next: str | None = None


async def put_bus(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, BusPut, InvalidRequest) if call.body else BusPut()
    name = call.path["bus"]
    record, is_new = await call.yard.create_bus(name, principal=call.principal)
    if asked.retention is not None:
        changed = {field: value for field, value in msgspec.structs.asdict(asked.retention).items() if value is not None}
        retention = msgspec.structs.replace(record.retention, **changed)
        await call.yard.set_retention(name, retention, principal=call.principal)
    return json_answer(_shown(await call.yard.bus_status(name)), 201 if is_new else 200)


async def bus(call: Call[NoFields]) -> Answer:
    return json_answer(_shown(await call.yard.bus_status(call.path["bus"])))


async def delete_bus(call: Call[NoFields]) -> Answer:
    await call.yard.delete_bus(call.path["bus"], principal=call.principal)
    return Answer(204)


async def buses(call: Call[NoFields]) -> Answer:
    sees = call.caller.sees
    return json_answer(BusesAnswer([_shown(status) for status in await call.yard.bus_statuses() if sees(status.record.name)]))


def _shown(status: BusStatus) -> BusAnswer:
    record = status.record
    return BusAnswer(record.name, rfc3339(record.created_ms), status.head, status.floor, status.bytes, record.retention)


def read_nothing(body: bytes) -> None:
    """A document without fields may be left out."""
    if body:
        document.read(body, NoFields, InvalidRequest)
