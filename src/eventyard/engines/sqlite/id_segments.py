"""A closed segment of ids: how it is packed into rows, and how one id is found in it.

A segment's ids are sorted by hash and cut into buckets by the first bits of the hash. Hashes are spread evenly, so each
bucket is one row of about 1.5 KB, and a look-up reads one such row. (One blob of a whole segment was tried on paper and
left: SQLite reaches the middle of a blob only by walking its chain of overflow pages, 32 reads of 8 KB instead of one.)
"""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import apsw
import msgspec

from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.connection import rows
from eventyard.engines.sqlite.statements import SQL, insert_all

BUCKET_BITS = 8
_BUCKET_SHIFT = 64 - BUCKET_BITS

_HASH_BYTES = 8
_OFFSET_BYTES = 4

# The packed form is little-endian, and the arrays are the machine's own: we run on no other kind.
_HASH: Final = "Q"
_OFFSET: Final = "I"


class Segment(msgspec.Struct, frozen=True):
    """Ids accepted at `first_position` to `last_position`, the last of them at `last_accepted_ms`."""

    number: int
    first_position: int
    last_position: int
    last_accepted_ms: int


def hash_id(source: str, id: str) -> int:  # noqa: A002 - it is the event's id
    """64 bits of a source and an id. The length in front keeps ("a", "bc") and ("ab", "c") apart."""
    front = source.encode()
    digest = hashlib.blake2b(b"%d:%b%b" % (len(front), front, id.encode()), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest, "little")


def write(connection: apsw.Connection, bus: int, segment: Segment, ids: Mapping[int, int]) -> None:
    """Write a segment's rows. `ids`: position less `first_position`, by hash. Belongs inside the transaction that accepts its last event."""
    at = places.place(bus, segment.number)
    connection.execute(SQL["add_id_segment"], (at, segment.first_position, segment.last_position, segment.last_accepted_ms))
    insert_all(connection, "add_id_bucket", _bucket_rows(bus, segment, ids))


def find(connection: apsw.Connection, bus: int, segments: Sequence[Segment], key: int) -> Iterator[int]:
    """The positions at which the hash `key` was accepted within the segments, newest first: none, or nearly always one.

    All their rows are read by one statement: 64 of them cost a third of 64 statements.
    """
    bucket = key >> _BUCKET_SHIFT
    by_place = {_bucket_place(bus, segment.number, bucket): segment for segment in segments}
    for place, packed in rows(connection, "id_buckets_at", apsw.carray(array("q", by_place))):
        count = len(packed) // (_HASH_BYTES + _OFFSET_BYTES)
        hashes = memoryview(packed)[: count * _HASH_BYTES].cast(_HASH)
        index = bisect_left(hashes, key)
        if index < count and hashes[index] == key:
            offsets = memoryview(packed)[count * _HASH_BYTES :].cast(_OFFSET)
            yield by_place[place].first_position + offsets[index]


def hashes(connection: apsw.Connection, bus: int, segment: Segment) -> Iterator[int]:
    """Every hash of the segment, to fill a filter with."""
    for (packed,) in rows(connection, "id_buckets", *_bucket_span(bus, segment.number)):
        count = len(packed) // (_HASH_BYTES + _OFFSET_BYTES)
        yield from memoryview(packed)[: count * _HASH_BYTES].cast(_HASH)


def remove(connection: apsw.Connection, bus: int, segment: Segment) -> None:
    connection.execute(SQL["remove_id_segment"], (places.place(bus, segment.number),))
    connection.execute(SQL["remove_id_buckets"], _bucket_span(bus, segment.number))


def load(connection: apsw.Connection, bus: int) -> list[Segment]:
    """The closed segments of a bus, oldest first."""
    found = rows(connection, "id_segments", *places.span(bus))
    return [Segment(places.position(at), first, last, accepted_ms) for at, first, last, accepted_ms in found]


def _bucket_rows(bus: int, segment: Segment, ids: Mapping[int, int]) -> Iterator[tuple[int, bytes]]:
    keys = sorted(ids)
    start = 0
    while start < len(keys):
        bucket = keys[start] >> _BUCKET_SHIFT
        end = bisect_left(keys, (bucket + 1) << _BUCKET_SHIFT, start)
        part = keys[start:end]
        offsets = array(_OFFSET, map(ids.__getitem__, part))
        yield _bucket_place(bus, segment.number, bucket), array(_HASH, part).tobytes() + offsets.tobytes()
        start = end


def _bucket_place(bus: int, number: int, bucket: int) -> int:
    return places.place(bus, number << BUCKET_BITS | bucket)


def _bucket_span(bus: int, number: int) -> tuple[int, int]:
    return _bucket_place(bus, number, 0), _bucket_place(bus, number, (1 << BUCKET_BITS) - 1)
