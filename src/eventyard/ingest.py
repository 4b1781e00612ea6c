"""The publish door: what arrived as headers and bytes becomes events, or one clear refusal.

The content type decides the mode, as the CloudEvents HTTP binding has it: structured, batched, else binary.
"""

import re
from collections.abc import Iterable
from typing import NoReturn

import msgspec

from eventyard.core.errors import InvalidEvent, Refused, UnsupportedContentType
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
    essence, charset = _content_type_parts(content_type or "")
    if essence in (STRUCTURED, BATCHED):
        _check_charset(charset)
        return _accept_batch(body) if essence == BATCHED else _alone(from_structured(body))
    attributes = _attributes(headers)
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


def _content_type_parts(content_type: str) -> tuple[str, str]:
    essence, _, parameters = content_type.partition(";")
    charset = _CHARSET.search(";" + parameters)
    return essence.strip().lower(), charset[1].lower() if charset else "utf-8"


def _check_charset(charset: str) -> None:
    if charset not in ("utf-8", "utf8"):
        raise UnsupportedContentType(f"the charset {charset}", wanted="utf-8", at="header content-type")


def _refuse_content_type(content_type: str | None) -> NoReturn:
    found = f"the content type {content_type}" if content_type else "no content type"
    wanted = (
        f"{STRUCTURED} for one event, {BATCHED} for an array of them, or the headers ce-specversion, ce-id, ce-source and"
        " ce-type with the data as the body"
    )
    raise UnsupportedContentType(f"{found}, no ce- headers", wanted=wanted, at="header content-type")


def _attributes(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for header, value in headers:
        if header.startswith("ce-"):
            name = header[3:]
            if name in attributes:
                raise InvalidEvent("the header a second time", wanted="each attribute once", at=f"header {header}")
            attributes[name] = _header_text(header, value)
    return attributes


def _header_text(header: str, value: str) -> str:
    """The attribute's text: double quotes undone, then one round of percent-decoding (HTTP binding, 3.1.3.2).

    Python's servers hand over header bytes as Latin-1; bytes that were sent as bare UTF-8 are taken as that.
    """
    if "%" not in value and '"' not in value and value.isascii():
        return value
    if quoted := _QUOTED.fullmatch(value):
        value = _QUOTED_PAIR.sub(r"\1", quoted[1])
    if _STRAY_PERCENT.search(value):
        wanted = "%25 for a percent sign (CloudEvents HTTP binding, 3.1.3.2)"
        raise InvalidEvent("a percent sign without two hexadecimal digits", wanted=wanted, at=f"header {header}")
    try:
        return _PERCENT.sub(lambda byte: bytes.fromhex(byte[1].decode()), _header_bytes(value)).decode()
    except UnicodeDecodeError:
        wanted = "UTF-8, percent-encoded"
        raise InvalidEvent("bytes that are not UTF-8", wanted=wanted, at=f"header {header}") from None


def _header_bytes(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)
_QUOTED = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
