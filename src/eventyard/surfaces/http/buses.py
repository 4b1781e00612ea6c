"""Buses: PUT, GET and DELETE of one, and the list."""

import msgspec

from eventyard.bus import Eventyard
from eventyard.core import document
from eventyard.core.changes import BusRecord
from eventyard.core.errors import InvalidRequest
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.schemas import Time
from eventyard.surfaces.http.times import rfc3339


class BusAnswer(msgspec.Struct, frozen=True):
    """`head` is the position of its last event, 0 where there is none."""

    name: str
    created: Time
    head: int


class BusesAnswer(msgspec.Struct, frozen=True):
    """By name."""

    buses: list[BusAnswer]
    next: str | None = None


async def put_bus(call: Call[NoFields]) -> Answer:
    read_nothing(call.body)
    record, is_new = await call.yard.create_bus(call.path["bus"])
    return json_answer(_shown(call.yard, record), 201 if is_new else 200)


async def bus(call: Call[NoFields]) -> Answer:
    return json_answer(_shown(call.yard, call.yard.bus(call.path["bus"])))


async def delete_bus(call: Call[NoFields]) -> Answer:
    await call.yard.delete_bus(call.path["bus"])
    return Answer(204)


async def buses(call: Call[NoFields]) -> Answer:
    return json_answer(BusesAnswer([_shown(call.yard, record) for record in call.yard.buses()]))


def _shown(yard: Eventyard, record: BusRecord) -> BusAnswer:
    return BusAnswer(record.name, rfc3339(record.created_ms), yard.head(record.name))


def read_nothing(body: bytes) -> None:
    """A document without fields may be left out."""
    if body:
        document.read(body, NoFields, InvalidRequest)
