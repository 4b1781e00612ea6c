"""A reply: the event that a target answers a push with.

A target of a rule with `reply` may answer 200 with one event, in structured or binary mode. Here it is read as strictly as what a publisher
sends, before anything of it reaches a step, and given what it came of. No other status is a reply, and neither is a 200 without a body.

A reply keeps its own source and id, for they are its producer's. One without an id gets one made of the delivery's, so a target that cannot
make ids need not. Exactly one reply of a delivery is kept in any case, since it is appended in the step that settles the delivery, and a
delivery is settled once.
"""

import enum
from collections.abc import Mapping

import msgspec

from eventyard.core import content_mode, limits
from eventyard.core import event as events
from eventyard.core.cause import Cause
from eventyard.core.errors import InvalidEvent, Refused, TooLarge, UnsupportedContentType
from eventyard.core.event import BATCHED, STRUCTURED, Event

OFFER = ("eventyard-reply", "true")
"""The header by which a push says that an answer may be a reply."""


class Reply(msgspec.Struct, frozen=True, array_like=True, tag="reply"):
    """One that was read. `document` of its event is None."""

    event: Event


class RefusedReply(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """One that is no event, or none that anybody may publish: the code of the error, and what it says."""

    code: str
    detail: str


class StoppedLoop(msgspec.Struct, frozen=True, array_like=True, tag="stopped"):
    """What was `made` of the delivery ("bus") was refused where it was brought, for too many hops lie behind it."""

    made: str


class ReplyOutcome(enum.StrEnum):
    """What became of a reply. DUPLICATE: its source and id were known with the same content. STOPPED: too many hops lie behind it
    (or behind what a rule brought to another bus).
    """

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    STOPPED = "stopped"


def read(status: int, headers: Mapping[str, str], body: bytes, *, cause: Cause, delivery: str) -> Reply | RefusedReply | None:
    """The reply that an answer is; None where it is none. `headers` have names in lower case; `delivery` is the delivery's id."""
    if status != REPLY or not (body or "ce-id" in headers or "ce-type" in headers):
        return None
    try:
        event = _event(headers, body, f"{delivery}-reply")
        events.refuse_reserved(event)
        return Reply(_caused(event, cause))
    except Refused as refused:
        return refusal(refused)


def check(reply: Reply) -> Reply | RefusedReply:
    """Read again one that another process has read: what stands in a log was proven by whoever keeps it."""
    try:
        event = events.from_structured(reply.event.json)
        events.refuse_reserved(event)
    except Refused as refused:
        return refusal(refused)
    return Reply(_lean(event))


def refusal(refused: Refused) -> RefusedReply:
    return RefusedReply(refused.code, refused.detail[: limits.FAILURE_TOLD_CHARACTERS])


def _event(headers: Mapping[str, str], body: bytes, id_: str) -> Event:
    if len(body) > limits.REPLY_BYTES_MAX:
        raise TooLarge(f"more than {limits.REPLY_BYTES_MAX} bytes", wanted=f"at most {limits.REPLY_BYTES_MAX}")
    content_type = headers.get("content-type")
    essence, charset = content_mode.content_type_parts(content_type or "")
    if essence == STRUCTURED:
        content_mode.check_charset(charset)
        return _structured(body, id_)
    attributes = content_mode.attributes_of(headers.items())
    if not attributes or essence == BATCHED:
        found = f"the content type {content_type[:100]}" if content_type else "no content type"
        raise UnsupportedContentType(f"{found}, and no ce- headers", wanted=f"one event: {STRUCTURED}, or the headers ce-...")
    return events.from_binary({"id": id_} | attributes, content_type, body)


def _structured(body: bytes, id_: str) -> Event:
    try:
        return events.from_structured(body)
    except InvalidEvent as error:
        if (error.found, error.at) != ("no id", "/id"):
            raise
    return events.from_structured(events.with_attribute(body, "id", id_))


def _caused(event: Event, cause: Cause) -> Event:
    """What it came of is not the target's to say; what its chain goes by is, and so are hops that it knows more of."""
    own = event.document or {}
    more = cause.attributes | {"eventyardhops": max(cause.hops + 1, event.hops)}
    if own.get("correlationid") is not None:
        del more["correlationid"]
    return _lean(events.with_attributes(event, more))


def _lean(event: Event) -> Event:
    """Decoded it takes ten times the memory, and it may wait."""
    return msgspec.structs.replace(event, document=None)


REPLY = 200
