"""The end of SQLite's write-ahead log: did it end in a crash, or was it cut short by damage?

Theory of operation. A log is frames, each a page with a header; the last frame of a commit says so. Every frame's checksum goes on
from that of the frame before, and recovery stops for good at the first that does not fit: at the end of what was written, or at a
flipped bit. The two look alike to SQLite. Not to us: a commit is synced before the next one begins, so only the last one can be
torn. Two commits behind the first bad frame, the later one's frames fitting onto the earlier one's last, prove that the earlier was
written and synced, and all before it too; so the bad frame is damage.

That the frames fit together matters: a commit whose sync failed leaves frames behind that the next one overwrites in part, and
frames of two such attempts never fit. Frames of the log's earlier rounds carry other salts. (sqlite.org/fileformat2.html#walformat)
"""

import contextlib
import mmap
import struct
from array import array
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
PAIRS_MAX = 16
"""Pairs of commits that are held together: each is a proof by itself, and the shortest cost least."""

_header = struct.Struct(">IIIIIIII")
_frame = struct.Struct(">IIIIII")
_MAGIC_LITTLE = 0x377F0682
_MAGIC_BIG = 0x377F0683

Sum = tuple[int, int]


class Header(msgspec.Struct, frozen=True):
    """`salts` mark the frames of this round. Checksums are reckoned over words in the byte order that `is_big` tells."""

    page_bytes: int
    salts: Sum
    sum: Sum
    is_big: bool
    is_whole: bool


class Frame(msgspec.Struct, frozen=True):
    """A frame's header. `database_pages` above 0: it is the last of a commit."""

    page: int
    database_pages: int
    salts: Sum
    sum: Sum


Content = bytes | mmap.mmap


@contextlib.contextmanager
def content_of(log: Path) -> Iterator[Content]:
    """A log as if it were in memory, however long it is; nothing where there is none."""
    if not log.exists() or not log.stat().st_size:
        yield b""
        return
    with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def lost_commits(content: Content, page_bytes: int, whole: int) -> int:
    """How many commits stand, whole or not, behind the `whole` frames that SQLite takes; 0 unless damage is certain.

    A lower bound: the last one is not counted, for a crash may have torn it.
    """
    header = read_header(content, page_bytes)
    ends = [number for number, frame in frames(content, header) if number >= whole and frame.database_pages]
    between = sorted(pairwise(ends), key=lambda pair: pair[1] - pair[0])
    is_certain = any(_is_joined(content, header, *pair) for pair in between[:PAIRS_MAX])
    return len(ends) - 1 if is_certain else 0


def read_header(content: Content, page_bytes: int) -> Header:
    """The log's header; where it is damaged itself, what the first frame tells of it."""
    start = content[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")
    magic, _, said_bytes, _, *salts, first, second = _header.unpack_from(start)
    is_big = magic == _MAGIC_BIG
    is_whole = (
        magic in (_MAGIC_LITTLE, _MAGIC_BIG)
        and said_bytes == page_bytes
        and checksum((0, 0), start[:24], is_big=is_big) == (first, second)
    )
    if not is_whole and len(content) >= HEADER_BYTES + FRAME_HEADER_BYTES:
        salts = list(_frame.unpack_from(content, HEADER_BYTES)[2:4])
    return Header(page_bytes, (salts[0], salts[1]), (first, second), is_big, is_whole)


def frames(content: Content, header: Header) -> Iterator[tuple[int, Frame]]:
    """The frames of this round by number, from 0, whether they fit or not."""
    for number in range(count_frames(content, header)):
        frame = frame_at(content, header, number)
        if frame.salts == header.salts:
            yield number, frame


def count_frames(content: Content, header: Header) -> int:
    """How many frames there is room for, of this round or of others."""
    return max(0, (len(content) - HEADER_BYTES) // (FRAME_HEADER_BYTES + header.page_bytes))


def frame_at(content: Content, header: Header, number: int) -> Frame:
    page, database_pages, *rest = _frame.unpack_from(content, _place(header, number))
    return Frame(page, database_pages, (rest[0], rest[1]), (rest[2], rest[3]))


def fits(content: Content, header: Header, number: int, before: Sum) -> bool:
    """Whether a frame's checksum goes on from `before`."""
    sum_of = frame_at(content, header, number).sum
    return checksum(before, covered(content, header, number), is_big=header.is_big) == sum_of


def covered(content: Content, header: Header, number: int) -> bytes:
    """What a frame's checksum is reckoned over: page and end of commit, and the page itself."""
    at = _place(header, number)
    body = at + FRAME_HEADER_BYTES
    return content[at : at + 8] + content[body : body + header.page_bytes]


def _place(header: Header, number: int) -> int:
    return HEADER_BYTES + number * (FRAME_HEADER_BYTES + header.page_bytes)


def checksum(before: Sum, data: bytes, *, is_big: bool) -> Sum:
    """SQLite's checksum over `data`, a multiple of 8 bytes, going on from `before`."""
    words = array("I", data)
    if is_big:
        words.byteswap()
    first, second = before
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & 0xFFFFFFFF
        second = (second + words[index + 1] + first) & 0xFFFFFFFF
    return first, second


def _is_joined(content: Content, header: Header, end: int, later_end: int) -> bool:
    """Whether every frame behind `end`, up to `later_end`, fits onto the one before it."""
    before = frame_at(content, header, end).sum
    for number in range(end + 1, later_end + 1):
        frame = frame_at(content, header, number)
        if frame.salts != header.salts or not fits(content, header, number, before):
            return False
        before = frame.sum
    return True
