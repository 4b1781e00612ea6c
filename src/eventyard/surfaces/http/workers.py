"""The workers' own protocol: deliveries to push one way, what came of them the other, in messages of `core.handout`."""

from typing import Annotated

import msgspec

from eventyard.core import document, handout, limits
from eventyard.core.errors import InvalidRequest, UnsupportedContentType
from eventyard.surfaces.http.calls import Answer, Call, NoFields

MESSAGE = handout.CONTENT_TYPE.encode()


Message = Annotated[
    str,
    msgspec.Meta(
        description="MessagePack between a server and workers of one version.", extra_json_schema={"format": "binary"}
    ),
]


class HandOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `max` deliveries of push rules of any bus; `wait_s` for the first to come."""

    max: Annotated[int, msgspec.Meta(ge=1, le=limits.WORKER_RECEIVE_MAX)]
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=limits.RECEIVE_WAIT_S_MAX)] = 0.0


async def hand_out(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, HandOut, InvalidRequest)
    receiving = call.yard.hand_out(count=asked.max, wait_s=asked.wait_s)
    return Answer(200, await (call.while_there(receiving) if asked.wait_s else receiving), MESSAGE)


async def take_report(call: Call[NoFields]) -> Answer:
    content_type = dict(call.headers).get(b"content-type", b"")
    if content_type != MESSAGE:
        found = f"the content type {content_type[:100].decode('latin-1')}"
        raise UnsupportedContentType(found, wanted=handout.CONTENT_TYPE, at="header content-type")
    return Answer(200, await call.yard.take_report(call.body), MESSAGE)
