"""Mending a write-ahead log: a log that is damaged in one place is made one that SQLite takes to its end.

A frame's checksum goes on from the one before, so one flipped bit makes everything behind it unreadable to SQLite although it is there.
All that is needed is to reckon the checksums anew. What the damage did to the frame itself stays in its page: an event's
own checksum, or the check of the file's structure, finds it there. Whether the result is better than the log that was cut off is for
whoever mends to say.

How far a log can be trusted behind a bad place is told by its commits, as in `log_tail`: two that fit together prove everything before the
later one. A single one may be the last that was ever kept, or a leftover of one that failed: the marks have to say.
"""

import struct
from itertools import pairwise

import msgspec

from eventyard.engines.sqlite.log_tail import (
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    Frame,
    Header,
    Sum,
    checksum,
    frame_at,
    read_header,
)

_header = struct.Struct(">IIIIII")
_sum = struct.Struct(">II")
_MAGIC = 0x377F0682
_VERSION = 3007000


class Mended(msgspec.Struct, frozen=True):
    """`sure` is the log up to the last commit that is proven, `hopeful` goes on to one that may be a leftover. `damaged` counts bad places."""

    sure: bytes
    hopeful: bytes
    damaged: int


def mend(content: bytes, page_bytes: int) -> Mended:
    """The log with every commit that stands in it, whatever is damaged before. Where nothing is to be gained both are what SQLite takes."""
    header = read_header(content, page_bytes)
    frames = _frames(content, header)
    runs = _runs(frames, header)
    ends = [[number for number in run if _ends_commit(frames[number], header)] for run in runs]
    is_anchored = bool(frames) and header.is_whole and _fits(frames[0], header.sum, header)
    sure = max((of[-1] + 1 for number, of in enumerate(ends) if len(of) > (0 if number == 0 and is_anchored else 1)), default=0)
    hopeful = max((of[-1] + 1 for of in ends if of), default=0)
    bad = sum(0 < run.start < hopeful for run in runs) + (not is_anchored)
    return Mended(_written(frames[:sure], header), _written(frames[:hopeful], header), bad)


def _frames(content: bytes, header: Header) -> list[Frame]:
    """All frames there are room for; those of other rounds too, for a salt may be what is damaged."""
    size = FRAME_HEADER_BYTES + header.page_bytes
    return [frame_at(content, header, number) for number in range((len(content) - HEADER_BYTES) // size)]


def _runs(frames: list[Frame], header: Header) -> list[range]:
    """Stretches of frames each of which fits onto the one before it."""
    starts = [0] + [
        number + 1 for number, (before, frame) in enumerate(pairwise(frames)) if not _fits(frame, before.sum, header)
    ]
    return [range(start, end) for start, end in pairwise([*starts, len(frames)])]


def _fits(frame: Frame, before: Sum, header: Header) -> bool:
    return checksum(before, frame.covered, is_big=header.is_big) == frame.sum


def _ends_commit(frame: Frame, header: Header) -> bool:
    """Whether it is the last of a commit of this round of the log; those of earlier rounds fit onto one another too."""
    return frame.database_pages > 0 and frame.salts == header.salts


def _written(frames: list[Frame], header: Header) -> bytes:
    """A log of these frames with new checksums all along; an empty one has no header."""
    if not frames:
        return b""
    start = _header.pack(_MAGIC, _VERSION, header.page_bytes, 0, *header.salts)
    before: Sum = checksum((0, 0), start, is_big=False)
    parts = [start, _sum.pack(*before)]
    for frame in frames:
        before = checksum(before, frame.covered, is_big=False)
        parts += [frame.covered[:8], _sum.pack(*header.salts), _sum.pack(*before), frame.covered[8:]]
    return b"".join(parts)
