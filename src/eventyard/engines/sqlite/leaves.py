"""Events found without the tree: every page of a file is looked at for rows of the log, which tell by their checksum that they are.

Where the root of the log is gone, or a page half way down, no walk reaches what hangs below it; but the rows are in leaves that stand
in the file all the same. Pages that the tree gave up are found too, with events that retention has removed, so whoever asks has to know
what he wants. (The format of pages, cells and records: sqlite.org/fileformat.html, sections 1.6 and 2.1.)
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from eventyard.engines.sqlite.connection import PAGE_BYTES
from eventyard.engines.sqlite.event_rows import EventRow, is_whole
from eventyard.engines.sqlite.soundness import Progress

_LEAF = 0x0D
_COLUMNS = 6
_LOCAL_MAX = PAGE_BYTES - 35
_LOCAL_MIN = (PAGE_BYTES - 12) * 32 // 255 - 23
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_u16 = struct.Struct(">H")
_u32 = struct.Struct(">I")
_PAYLOAD_MAX = 64 * 1024 * 1024
"""No row is larger; a size that says so is no size."""


def events_in(path: Path, progress: Progress, pages: Iterable[int] | None = None) -> Iterator[EventRow]:
    """Every whole event in any page of the file (or in some, by their numbers from 0), in no order, some more than once."""
    with path.open("rb") as file:
        count = path.stat().st_size // PAGE_BYTES
        for number in range(1, count) if pages is None else pages:
            if number % 1_000 == 0:
                progress("looking at every page", number, count)
            file.seek(number * PAGE_BYTES)
            page = file.read(PAGE_BYTES)
            if page[:1] == bytes([_LEAF]):
                yield from _events(page, file)


def _events(page: bytes, file: BinaryIO) -> Iterator[EventRow]:
    (cells,) = _u16.unpack_from(page, 3)
    for index in range(min(cells, (PAGE_BYTES - 8) // 2)):
        (at,) = _u16.unpack_from(page, 8 + 2 * index)
        try:
            row = _row(page, at, file)
        except (IndexError, struct.error):
            continue
        if row is not None and is_whole(row):
            yield row


def _row(page: bytes, at: int, file: BinaryIO) -> EventRow | None:
    size, at = _varint(page, at)
    place, at = _varint(page, at)
    if not 0 < size <= _PAYLOAD_MAX:
        return None
    payload = _payload(page, at, size, file)
    return None if payload is None else _record(place, payload)


def _payload(page: bytes, at: int, size: int, file: BinaryIO) -> bytes | None:
    """What stands in the page, and what of it goes on in a chain of others."""
    if size <= _LOCAL_MAX:
        return page[at : at + size]
    local = _LOCAL_MIN + (size - _LOCAL_MIN) % (PAGE_BYTES - 4)
    local = local if local <= _LOCAL_MAX else _LOCAL_MIN
    parts = [page[at : at + local]]
    (following,) = _u32.unpack_from(page, at + local)
    left = size - local
    while left > 0 and following:
        file.seek((following - 1) * PAGE_BYTES)
        more = file.read(PAGE_BYTES)
        if len(more) < PAGE_BYTES:
            return None
        parts.append(more[4 : 4 + left])
        left -= PAGE_BYTES - 4
        (following,) = _u32.unpack_from(more)
    return b"".join(parts)


def _record(place: int, payload: bytes) -> EventRow | None:
    """The columns of a row of `event`; None for a row of anything else. The first, the place, stands outside the record."""
    header, at = _varint(payload, 0)
    kinds: list[int] = []
    while at < header and len(kinds) <= _COLUMNS:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if len(kinds) != _COLUMNS or kinds[0] != 0:
        return None
    values, at = [], header
    for kind in kinds[1:]:
        value, at = _value(payload, kind, at)
        values.append(value)
    accepted_ms, offset, digest, checksum, json = values
    return (place, accepted_ms, offset, digest, checksum, json)  # type: ignore[return-value]


def _value(payload: bytes, kind: int, at: int) -> tuple[int | bytes | None, int]:
    if kind in _INTEGER_BYTES:
        end = at + _INTEGER_BYTES[kind]
        return int.from_bytes(payload[at:end], "big", signed=True), end
    if kind in (8, 9):
        return kind - 8, at
    if kind >= 12 and kind % 2 == 0:
        end = at + (kind - 12) // 2
        return payload[at:end], end
    return None, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of up to nine bytes, and what stands behind it."""
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return value << 8 | data[at], at + 1
