"""Two ways with the same lines, in turns, on one thread.

What is counted is processor time of the thread: an event's cost, whoever else has work for the core. The garbage
collector runs as in a server, and its time is the way's that caused it.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from benchmarks.matcher.collector import AsInLife
from benchmarks.matcher.figures import Pace
from benchmarks.support.progress import announce

Way = Callable[[bytes], Any]


def beside_loads(match: Way, lines: Sequence[bytes], rounds: int, told: str) -> tuple[Pace, Pace]:
    """The pace of `match` and that of `orjson.loads`, after one round of each that does not count."""
    ways = (match, orjson.loads)
    took: tuple[list[float], list[float]] = ([], [])
    with AsInLife():
        for number in range(rounds + 1):
            announce(f"{told}: round {number} of {rounds}")
            for which in (0, 1) if number % 2 else (1, 0):  # Neither always comes second.
                took[which].append(microseconds(ways[which], lines))
    return pace(took[0][1:]), pace(took[1][1:])


def microseconds(way: Way, lines: Sequence[bytes]) -> float:
    """For one line, as the mean of all."""
    began = time.thread_time_ns()
    for line in lines:
        way(line)
    return (time.thread_time_ns() - began) / 1e3 / len(lines)


def pace(rounds: Sequence[float]) -> Pace:
    return Pace(min(rounds), statistics.median(rounds))
