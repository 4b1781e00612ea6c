"""POST /v1/patterns/test: does this pattern match that event, and why."""

import asyncio
from typing import Any

import msgspec

from eventyard.core import document, strict_json
from eventyard.core.errors import EventyardError, InvalidRequest
from eventyard.core.pattern import evaluator, language
from eventyard.core.pattern.eventbridge import from_eventbridge
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.schemas import PatternText


class PatternTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`event` is any JSON object. With `eventbridge` both are in EventBridge's names (`detail-type`, `detail`)."""

    pattern: PatternText
    event: PatternText
    eventbridge: bool = False


class PatternTestAnswer(msgspec.Struct, frozen=True):
    """The verdict, and in one sentence why."""

    match: bool
    why: str


async def test_pattern(call: Call[NoFields]) -> Answer:
    """On a thread of its own: the largest pattern on the largest event is work that others must not wait for."""
    return json_answer(await asyncio.to_thread(_tested, call.body))


def _tested(body: bytes) -> PatternTestAnswer:
    """Both texts are read as they were spelt, since a number is compared by its spelling where a double would lose it."""
    test = document.read(body, PatternTest, InvalidRequest, any_number=True)
    pattern, event = bytes(test.pattern), _object(bytes(test.event), "/event")
    if test.eventbridge:
        pattern = _ENCODER.encode(_renamed(_object(pattern, "/pattern"), "/pattern"))
        event = _renamed(event, "/event")
    verdict = evaluator.why(_parsed(pattern), event)
    return PatternTestAnswer(verdict.matches, verdict.sentence)


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def _object(text: bytes, at: str) -> dict[str, Any]:
    value = strict_json.decode(text, any_number=True)
    if not isinstance(value, dict):
        raise InvalidRequest("found another kind of JSON value", wanted="a JSON object", at=at)
    return value


def _parsed(text: bytes) -> language.Pattern:
    try:
        return language.parse(text)
    except EventyardError as error:
        raise _below(error, "/pattern") from error


def _renamed(value: dict[str, Any], at: str) -> dict[str, Any]:
    try:
        return from_eventbridge(value)
    except EventyardError as error:
        raise _below(error, at) from error


def _below(error: EventyardError, at: str) -> EventyardError:
    return type(error)(error.found, wanted=error.wanted, at=at + error.at)
