"""POST /v1/transforms/test: what request a target would get of an event."""

import asyncio

import msgspec

from eventyard.core import document, strict_json
from eventyard.core.errors import InvalidRequest
from eventyard.core.target import HttpTarget
from eventyard.core.transform import TransformFailed
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.schemas import PatternText


class TransformTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A target that pushes, as a rule's."""

    http: HttpTarget


class TransformTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`event` is any JSON object."""

    target: TransformTarget
    event: PatternText


class ShapedRequest(msgspec.Struct, frozen=True):
    """`headers` are the target's own and those that the transform makes; a secret is not shown. What the bus adds to each push is not here."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class TransformTestAnswer(msgspec.Struct, frozen=True):
    """The request; null where the transform fails, and then why."""

    request: ShapedRequest | None
    failure: str = ""


async def test_transform(call: Call[NoFields]) -> Answer:
    """Read on a thread of its own, as a pattern is. Nothing is sent."""
    test = await asyncio.to_thread(_read, call.body)
    try:
        request = await call.yard.preview(test.target.http, bytes(test.event))
    except TransformFailed as failure:
        return json_answer(TransformTestAnswer(None, str(failure)))
    shown = request.body.decode("utf-8", "replace")
    return json_answer(TransformTestAnswer(ShapedRequest(request.method, request.url, dict(request.headers), shown)))


def _read(body: bytes) -> TransformTest:
    test = document.read(body, TransformTest, InvalidRequest)
    if not isinstance(strict_json.decode(bytes(test.event)), dict):
        raise InvalidRequest("found another kind of JSON value", wanted="a JSON object", at="/event")
    return test
