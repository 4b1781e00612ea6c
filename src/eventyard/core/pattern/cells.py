"""Cells: sets of rules along a line that is cut into pieces, so that one bisection answers for every range at once.

A set is an int, one bit for each rule. Ranges of one rule may overlap; between cuts nothing changes, so each cell's set is that of
its neighbour with some bits turned over, and n ranges cost n steps rather than n times the number of cells.
"""

from collections.abc import Iterable
from itertools import accumulate
from operator import xor

Range = tuple[int, int, int]
"""One rule's bit, and the first and the last cell where it holds."""


def cells(ranges: Iterable[Range], count: int) -> list[int]:
    """The set of each of `count` cells."""
    turns = [0] * (count + 1)
    for bit, first, last in _apart(ranges):
        turns[first] ^= bit
        turns[last + 1] ^= bit
    return list(accumulate(turns[:count], xor))


def _apart(ranges: Iterable[Range]) -> list[Range]:
    """The same without overlaps of one rule's: turning a bit over twice in one place would undo it."""
    apart: list[Range] = []
    for bit, first, last in sorted(range_ for range_ in ranges if range_[1] <= range_[2]):
        if apart and apart[-1][0] == bit and first <= apart[-1][2]:
            apart[-1] = (bit, apart[-1][1], max(last, apart[-1][2]))
        else:
            apart.append((bit, first, last))
    return apart
