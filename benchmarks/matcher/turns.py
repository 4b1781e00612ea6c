"""Three ways with the same lines, in turns, on one thread: ours, `orjson.loads`, and a reader that looks for nothing.

What is counted is processor time of the thread: an event's cost, whoever else has work for the core. The garbage
collector runs as in a server, and its time is the way's that caused it. The reader that looks for nothing is msgspec's decoder with a type
without fields: it passes over the whole text, and a matcher that reads by it cannot be faster.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import orjson

from benchmarks.matcher.collector import AsInLife
from benchmarks.matcher.figures import Pace
from benchmarks.support.progress import announce

Way = Callable[[bytes], Any]


class _Nothing(msgspec.Struct):
    """No field of an event."""


LINES_A_TURN = 1_000
"""Some 5 ms: what slows a core for a while, others at work on the same machine, slows all ways alike."""
_pass_over = msgspec.json.Decoder(_Nothing).decode


def in_turns(match: Way, lines: Sequence[bytes], rounds: int, told: str) -> tuple[Pace, Pace, Pace]:
    """The pace of `match`, that of `orjson.loads`, and that of the reader of nothing, after a round of each that does not count."""
    ways = (match, orjson.loads, _pass_over)
    with AsInLife():
        took = []
        for number in range(rounds + 1):
            announce(f"{told}: round {number} of {rounds}")
            took.append(one_round(ways, lines))
    ours, loads, nothing = (pace(each) for each in zip(*took[1:], strict=True))
    return ours, loads, nothing


def one_round(ways: Sequence[Way], lines: Sequence[bytes]) -> list[float]:
    """What a line takes each way, in microseconds. They change turns every thousand lines, and none always comes first."""
    took = [0] * len(ways)
    for turn, start in enumerate(range(0, len(lines), LINES_A_TURN)):
        stretch = lines[start : start + LINES_A_TURN]
        for place in range(len(ways)):
            which = (place + turn) % len(ways)
            took[which] += nanoseconds(ways[which], stretch)
    return [each / 1e3 / len(lines) for each in took]


def nanoseconds(way: Way, lines: Sequence[bytes]) -> int:
    began = time.thread_time_ns()
    for line in lines:
        way(line)
    return time.thread_time_ns() - began


def pace(rounds: Sequence[float]) -> Pace:
    return Pace(min(rounds), statistics.median(rounds))
