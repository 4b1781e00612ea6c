"""Whether the process lives, whether it takes work, and what the door's main addresses are."""

import msgspec

import eventyard
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer


class Alive(msgspec.Struct, frozen=True):
    alive: bool = True


class Ready(msgspec.Struct, frozen=True):
    """`waiting_for` names what is not ready."""

    ready: bool
    waiting_for: list[str]


class Index(msgspec.Struct, frozen=True):
    """The door's main addresses."""

    name: str = "eventyard"
    version: str = eventyard.__version__
    openapi: str = "/v1/openapi.json"
    buses: str = "/v1/buses"
    publish: str = "/v1/buses/default/events"
    healthy: str = "/healthz"
    ready: str = "/readyz"


async def healthz(_: Call[NoFields]) -> Answer:
    return json_answer(Alive())


async def index(_: Call[NoFields]) -> Answer:
    return json_answer(Index())


async def readyz(call: Call[NoFields]) -> Answer:
    missing = call.unready()
    return json_answer(Ready(not missing, missing), 503 if missing else 200)
