"""Events as they come in a file or a pipe: JSON lines, or one JSON document that is an event or an array of them.

Theory of operation. A group is what one read gives, cut at what one request takes: a pipe that trickles gives small groups at
once, a file gives full ones, so nothing waits for a thousandth line that may never come. A line is only split off here and proved
to be a JSON object, since one that is not would spoil its whole batch; everything else about it is the server's to judge.
"""

import itertools
import uuid
from collections.abc import Iterable, Iterator
from io import BufferedReader

import msgspec

GROUP_EVENTS = 1_000
READ_BYTES = 1024 * 1024
"""One group fits in one request (1,000 events, 8 MiB): a read aside it holds at most one more line."""

DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
"""A document that is no JSON lines is held as a whole; past this size it is taken for lines."""


LISTED = {"position", "accepted", "event"}
"""What `events list --json` prints around an event. It is taken off, so that one bus's events can be piped into another."""


class Line(msgspec.Struct, frozen=True):
    """One event's text at its number (from 1), or the `fault` for which it cannot be sent. `noun` is what to call it."""

    number: int
    text: bytes
    fault: str = ""
    noun: str = "line"


def groups(source: BufferedReader) -> Iterator[list[Line]]:
    """The events of `source` in groups that each fit in one request. Blank lines are passed over but counted."""
    chunks: Iterator[bytes] = iter(lambda: source.read1(READ_BYTES), b"")
    start = _first_line(chunks)
    if _may_be_document(start):
        start += _rest(chunks)
        if elements := _elements(start):
            yield from _cut(_checked(number, text, "event") for number, text in enumerate(elements, 1))
            return
    yield from _line_groups(itertools.chain([start], chunks))


def _first_line(chunks: Iterator[bytes]) -> bytes:
    """What was read up to a line's end after something that is not blank, and whatever came with it."""
    read = b""
    while b"\n" not in read.lstrip() and (chunk := next(chunks, b"")):
        read += chunk
    return read


def _may_be_document(start: bytes) -> bool:
    """The first line opens an object or an array that goes on in the next lines, or is an array."""
    first = start.lstrip().split(b"\n", 1)[0]
    return first.startswith(b"[") or (first.startswith(b"{") and _members(first) is None)


def _rest(chunks: Iterator[bytes]) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < DOCUMENT_BYTES_MAX and (chunk := next(chunks, b"")):
        parts.append(chunk)
        size += len(chunk)
    return b"".join(parts)


def _elements(text: bytes) -> list[bytes]:
    """The events of a document; none where `text` is no JSON document."""
    if _members(text) is not None:
        return [text]
    try:
        return [bytes(element) for element in msgspec.json.decode(text, type=list[msgspec.Raw])]
    except (msgspec.MsgspecError, RecursionError):
        return []


def _line_groups(chunks: Iterable[bytes]) -> Iterator[list[Line]]:
    rest = b""
    first = 1
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from _cut(_checked(number, text) for number, text in enumerate(whole, first) if text.strip())
        first += len(whole)
    if rest.strip():
        yield [_checked(first, rest)]


def _cut(lines: Iterable[Line]) -> Iterator[list[Line]]:
    remaining = iter(lines)
    while group := list(itertools.islice(remaining, GROUP_EVENTS)):
        yield group


def _checked(number: int, text: bytes, noun: str = "line") -> Line:
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        if members.keys() == LISTED:
            text = bytes(members["event"])
            members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Line(number, text, f"not a JSON object: {error}", noun)
    return Line(number, _completed(text.strip(), members.keys()), noun=noun)


def _completed(text: bytes, names: Iterable[str]) -> bytes:
    """The event with the `specversion` and `id` that it lacks, and otherwise as it was written."""
    given = {"specversion": '"1.0"', "id": f'"{uuid.uuid4()}"'}
    missing = [f'"{name}":{value},' for name, value in given.items() if name not in names]
    return b"{" + "".join(missing).encode() + text[1:] if names and missing else text


def _members(text: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
