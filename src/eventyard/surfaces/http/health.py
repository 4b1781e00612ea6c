"""Whether the process lives, whether it takes work, and what the door's main addresses are."""

import msgspec

import eventyard
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer


class Alive(msgspec.Struct, frozen=True):
    alive: bool = True


class Scrub(msgspec.Struct, frozen=True):
    """Where the scrubber's pass stands: in which bus (empty: it rests), at which position of how many; and how many are done."""

    bus: str
    position: int
    of: int
    passes: int


class Ready(msgspec.Struct, frozen=True):
    """`waiting_for` names what is not ready. `damaged`: by bus, events found damaged or gone since the start. `remarks`: what keeps nothing
    from working and should be known, as that nobody is asked for a key.
    """

    ready: bool
    waiting_for: list[str]
    scrub: Scrub
    damaged: dict[str, int]
    remarks: list[str] = []


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
    scrub = msgspec.convert(call.yard.scrubbing(), Scrub, from_attributes=True)
    return json_answer(Ready(not missing, missing, scrub, call.yard.damaged(), call.remarks()), 503 if missing else 200)
