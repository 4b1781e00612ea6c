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
from typing import BinaryIO

import msgspec

from eventyard.engines.sqlite.log_tail import (
    Content,
    Header,
    Sum,
    checksum,
    count_frames,
    covered,
    fits,
    frame_at,
    read_header,
)

_header = struct.Struct(">IIIIII")
_sum = struct.Struct(">II")
_MAGIC = 0x377F0682
_VERSION = 3007000


class Mendable(msgspec.Struct, frozen=True):
    """What stands in a log. `sure`: how many frames there are up to the last commit that is proven; `hopeful`: up to one that may be a
    leftover. `damaged` counts bad places; none, and there is nothing to mend.
    """

    sure: int
    hopeful: int
    damaged: int


def look(content: Content, page_bytes: int) -> Mendable:
    header = read_header(content, page_bytes)
    runs = _runs(content, header)
    ends = [[number for number in run if _ends_commit(content, header, number)] for run in runs]
    is_anchored = bool(runs[0]) and header.is_whole and fits(content, header, 0, header.sum)
    sure = max((of[-1] + 1 for number, of in enumerate(ends) if len(of) > (0 if number == 0 and is_anchored else 1)), default=0)
    hopeful = max((of[-1] + 1 for of in ends if of), default=0)
    return Mendable(sure, hopeful, sum(0 < run.start < hopeful for run in runs) + (not is_anchored))


def write(content: Content, page_bytes: int, frames: int, target: BinaryIO) -> None:
    """The first `frames` of a log as a log of their own, with new checksums all along. None is an empty file."""
    if not frames:
        return
    header = read_header(content, page_bytes)
    start = _header.pack(_MAGIC, _VERSION, page_bytes, 0, *header.salts)
    before: Sum = checksum((0, 0), start, is_big=False)
    target.write(start + _sum.pack(*before))
    for number in range(frames):
        frame = covered(content, header, number)
        before = checksum(before, frame, is_big=False)
        target.write(frame[:8] + _sum.pack(*header.salts) + _sum.pack(*before) + frame[8:])


def _runs(content: Content, header: Header) -> list[range]:
    """Stretches of frames each of which fits onto the one before it. Frames of other rounds are among them: a salt may be what is damaged."""
    count = count_frames(content, header)
    starts = [n for n in range(1, count) if not fits(content, header, n, frame_at(content, header, n - 1).sum)]
    return [range(start, end) for start, end in pairwise([0, *starts, count])]


def _ends_commit(content: Content, header: Header, number: int) -> bool:
    """Whether a frame is the last of a commit of this round of the log; those of earlier rounds fit onto one another too."""
    frame = frame_at(content, header, number)
    return frame.database_pages > 0 and frame.salts == header.salts
