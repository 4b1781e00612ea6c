"""The publish door: what arrived as headers and bytes becomes events, or one clear refusal.

The content type decides the mode, as the CloudEvents HTTP binding has it: structured, batched, else binary.
"""

from collections.abc import Iterable
from typing import NoReturn

import msgspec

from eventyard.core import content_mode
from eventyard.core.errors import Refused, UnsupportedContentType
from eventyard.core.event import (
    BATCHED,
    STRUCTURED,
    Event,
    from_binary,
    from_structured,
    refuse_reserved,
    split_batch,
)


class Batch(msgspec.Struct, frozen=True):
    """What one request holds, in the order in which it stood there. A request of one event is a batch of one."""

    events: tuple[Event | Refused, ...]
    is_batch: bool


def accept(content_type: str | None, headers: Iterable[tuple[str, str]], body: bytes) -> Batch:
    """The events of one request. Of the headers, names in lower case, only those that begin with `ce-` are read.

    A single event is accepted or raises Refused. In a batch each element has its own verdict, in its place; a batch
    raises only where its elements cannot be told apart. Nothing is kept here, so a crash leaves nothing behind.
    """
    essence, charset = content_mode.content_type_parts(content_type or "")
    if essence in (STRUCTURED, BATCHED):
        content_mode.check_charset(charset)
        return _accept_batch(body) if essence == BATCHED else _alone(from_structured(body))
    attributes = content_mode.attributes_of(headers)
    if not attributes or essence.startswith("application/cloudevents"):
        _refuse_content_type(content_type)
    return _alone(from_binary(attributes, content_type, body))


def _alone(event: Event) -> Batch:
    refuse_reserved(event)
    return Batch((event,), is_batch=False)


def _accept_batch(body: bytes) -> Batch:
    elements = enumerate(split_batch(body))
    return Batch(tuple(_accept_element(index, element) for index, element in elements), is_batch=True)


def _accept_element(index: int, element: bytes) -> Event | Refused:
    try:
        event = from_structured(element)
        refuse_reserved(event)
    except Refused as refusal:
        return type(refusal)(refusal.found, wanted=refusal.wanted, at=_in_batch(index, refusal.at))
    return event


def _in_batch(index: int, at: str) -> str:
    """A place in an element, as a place in the batch: `/3/time`, or `/3, byte 17` counted from the element's start."""
    return f"/{index}, {at}" if at and not at.startswith("/") else f"/{index}{at}"


def _refuse_content_type(content_type: str | None) -> NoReturn:
    found = f"the content type {content_type}" if content_type else "no content type"
    wanted = (
        f"{STRUCTURED} for one event, {BATCHED} for an array of them, or the headers ce-specversion, ce-id, ce-source and"
        " ce-type with the data as the body"
    )
    raise UnsupportedContentType(f"{found}, no ce- headers", wanted=wanted, at="header content-type")
