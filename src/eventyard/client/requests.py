"""What was POSTed to a receiver, as events, and the answer to it. CloudEvents over HTTP: binary, structured, batched. Pure.

A batch is answered event by event, in its body; its status is the worst of them, so that a sender that reads no bodies loses nothing:
it sends the batch again, or keeps it as refused.
"""

import base64
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any
from urllib.parse import unquote

import msgspec

from eventyard.client.errors import Reject, Retry
from eventyard.client.event import encode_json
from eventyard.client.received import Came, members_of
from eventyard.client.signatures import Fields

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"

BODY_BYTES_MAX = 8 * 1024 * 1024
"""A batch as large as a bus takes one."""

REPLY_BYTES_MAX = 256 * 1024
"""What a bus takes as a reply; what is larger is published."""

REASON_LENGTH_MAX = 500
"""A bus keeps the start of an answer with a dead letter; no more is needed there."""

REPLIED, DONE, BAD_REQUEST, FORBIDDEN, UNSUPPORTED, REFUSED, FAILED, LATER = 200, 204, 400, 403, 415, 422, 500, 503


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class NotTaken(Exception):
    """The request as a whole is no event: answered with `status`."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


def mode_of(fields: Fields) -> str:
    """`structured`, `batched` or `binary`. NotTaken where it is none."""
    content_type = _media_type(fields)
    if content_type == STRUCTURED:
        return "structured"
    if content_type == BATCHED:
        return "batched"
    if any(name == "ce-specversion" for name, _ in fields):
        return "binary"
    wanted = f"{STRUCTURED}, {BATCHED}, or ce- headers"
    raise NotTaken(UNSUPPORTED, f"found the content type {content_type!r} and no header ce-specversion; wanted {wanted}")


def events_of(fields: Fields, body: bytes, delivery: str = "") -> list[Came]:
    """The events of a request. NotTaken where there are none to be read. `delivery`: its id, where that is known to be true."""
    attempt, position = _number(fields, "eventyard-attempt") or 1, _number(fields, "eventyard-position")
    delivery = delivery or _value(fields, "eventyard-delivery")
    match mode_of(fields):
        case "structured":
            return [Came(body, delivery, attempt, position)]
        case "binary":
            return [Came(_structured(fields, body), delivery, attempt, position)]
        case _:
            return [Came(bytes(each)) for each in _batch(body)]


def reply_bytes_max(fields: Fields) -> int:
    """How large a reply may be; 0 where whoever sent this takes none."""
    return REPLY_BYTES_MAX if _value(fields, "eventyard-reply") == "true" and mode_of(fields) != "batched" else 0


def replied(event: bytes) -> Answer:
    """Done, and this came of it."""
    return Answer(REPLIED, event, (("content-type", STRUCTURED),))


def answer_to(failure: Exception | None) -> Answer:
    """What the bus is to make of it: done, a dead letter at once (Reject), or again later."""
    match failure:
        case None:
            return Answer(DONE)
        case Reject():
            return _told(REFUSED, failure.reason or "rejected")
        case Retry():
            return _told(LATER, str(failure), ("retry-after", str(max(0, -int(-failure.delay_s // 1)))))
        case _:
            return _told(FAILED, f"{type(failure).__name__}: {failure}")


def batch_answer(events: Sequence[Came], answers: Sequence[Answer]) -> Answer:
    """One answer for all: `{"events": [{"id", "source", "status", "error"}]}`, one for each in their order."""
    verdicts = [_verdict(event, answer) for event, answer in zip(events, answers, strict=True)]
    worst = max((answer.status for answer in answers), default=DONE)
    headers = tuple(
        {header for answer in answers if answer.status == worst for header in answer.headers if header[0] == "retry-after"}
    )
    latest = max(headers, key=lambda header: int(header[1]), default=None)
    status = 200 if worst == DONE else worst
    return Answer(status, encode_json({"events": verdicts}), (_JSON, *([latest] if latest else [])))


ALLOWED_METHODS = "OPTIONS, POST"


def allowance(fields: Fields, origins: AbstractSet[str]) -> Answer:
    """The answer to whoever asks before it pushes (HTTP 1.1 Web Hooks for Event Delivery, section 4), by its origin, `*` being all. Consent is in the headers alone."""
    allow = ("allow", ALLOWED_METHODS)
    origin = _value(fields, "webhook-request-origin")
    if not origin:
        return Answer(DONE, headers=(allow,))
    if not origins & {"*", origin.lower()}:
        return Answer(FORBIDDEN, headers=(allow,))
    return Answer(200, headers=(allow, ("webhook-allowed-origin", origin), ("webhook-allowed-rate", "*")))


def refusal(status: int, reason: str) -> Answer:
    return _told(status, reason)


_JSON = ("content-type", "application/json")


def _told(status: int, reason: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, encode_json({"error": reason[:REASON_LENGTH_MAX]}), (_JSON, *headers))


def _verdict(event: Came, answer: Answer) -> dict[str, Any]:
    said = msgspec.json.decode(answer.body) if answer.body else {}
    return {**_named(event.json), "status": answer.status, **said}


def _named(json: bytes) -> dict[str, Any]:
    try:
        members = members_of(json)
        return {name: msgspec.json.decode(members[name]) for name in ("id", "source") if name in members}
    except (Reject, msgspec.MsgspecError):
        return {}


def _batch(body: bytes) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotTaken(BAD_REQUEST, f"found no JSON array of events: {error}") from error


def _structured(fields: Fields, body: bytes) -> bytes:
    """A binary request in structured form, so that there is one way to read events."""
    attributes: dict[str, Any] = {}
    for name, value in fields:
        if name.startswith("ce-"):
            if name[3:] in attributes or name in ("ce-data", "ce-data_base64", "ce-datacontenttype"):
                raise NotTaken(BAD_REQUEST, f"found the header {name} twice, or where there is none")
            attributes[name[3:]] = _decoded(name, value)
    content_type = _value(fields, "content-type")
    if content_type:
        attributes["datacontenttype"] = content_type
    return encode_json(attributes)[:-1] + _data_member(_media_type(fields), body) + b"}"


def _data_member(media_type: str, body: bytes) -> bytes:
    if not body:
        return b""
    if media_type in ("", "application/json") or media_type.endswith("+json"):
        try:
            msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotTaken(BAD_REQUEST, f"found a body that is not the {media_type or 'JSON'} it should be: {error}") from error
        return b',"data":' + body
    if media_type.startswith("text/"):
        try:
            return b',"data":' + encode_json(body.decode())
        except UnicodeDecodeError:
            pass
    return b',"data_base64":"' + base64.b64encode(body) + b'"'


def _decoded(name: str, value: str) -> str:
    """Percent-decoded, as the HTTP binding (3.1.3.2) has it; quotes around it are its sender's."""
    try:
        return unquote(value.strip('"'), errors="strict")
    except UnicodeDecodeError as error:
        raise NotTaken(BAD_REQUEST, f"found a header {name} that is no percent-encoded UTF-8") from error


def _media_type(fields: Fields) -> str:
    return _value(fields, "content-type").partition(";")[0].strip().lower()


def _value(fields: Fields, wanted: str) -> str:
    return next((value for name, value in fields if name == wanted), "")


def _number(fields: Fields, name: str) -> int | None:
    text = _value(fields, name)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None
