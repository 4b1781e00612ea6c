"""What a store has lost, as values: a loss that was found and not yet repaired, and a gap that a repair has recorded."""

from collections.abc import Container, Iterable
from typing import Final

import msgspec

from eventyard.core.errors import StoreBehind

TOLD_MAX: Final = 5
"""Losses that one message names: enough to see what happened, short enough to read. `doctor` tells all."""


class Loss(msgspec.Struct, frozen=True):
    """One bus (empty name: the store as a whole) ends before what it had kept.

    `first` to `last` are the positions that are gone; none where `last` is below `first`. `commits` is how many commits are
    known to be gone with them, 0 where that is not known.
    """

    bus: str
    first: int
    last: int
    commits: int = 0

    @property
    def text(self) -> str:
        if not self.bus:
            return f"the write-ahead log is damaged, and at least {self.commits} commits behind the damage cannot be read"
        if self.last >= self.first:
            ends = f'bus "{self.bus}" ends at position {self.first - 1} and had reached {self.last}'
            return f"{ends}: {self.first} to {self.last} are lost"
        return f'bus "{self.bus}" lacks its last {self.commits} commits: what became of deliveries in them is lost'


class Losses(msgspec.Struct, frozen=True):
    """Every loss of a store, and the command that repairs it."""

    found: tuple[Loss, ...]
    repair: str

    @property
    def text(self) -> str:
        more = len(self.found) - TOLD_MAX
        told = "; ".join(loss.text for loss in self.found[:TOLD_MAX])
        return f"{told}; and {more} more" if more > 0 else told

    def refusal(self) -> StoreBehind:
        """What every write is answered. A new one each time: an exception raised twice would keep the traces of both."""
        return StoreBehind(f"found that {self.text}", wanted=f"a repair, with the server stopped: {self.repair}")


class Gap(msgspec.Struct, frozen=True):
    """Positions that a repair has given up, both ends included: explained for ever after. `recorded_ms` is Unix time."""

    first: int
    last: int
    reason: str
    recorded_ms: int


class Verified(msgspec.Struct, frozen=True):
    """A stretch of the log was looked at up to `last`. `found`: events in it that are damaged, or absent without a known reason."""

    last: int
    found: int
    bytes: int = 0


def explained(gaps: tuple[Gap, ...], position: int) -> Gap | None:
    """The gap that a position lies in."""
    return next((gap for gap in gaps if gap.first <= position <= gap.last), None)


def damaged_in(gaps: tuple[Gap, ...], stretch: range, there: Container[int]) -> list[int]:
    """Positions of a stretch of the kept log at which no event could be read, and no gap says why."""
    return [position for position in stretch if position not in there and explained(gaps, position) is None]


def without_gaps(gaps: tuple[Gap, ...], first: int, last: int) -> list[tuple[int, int]]:
    """What of `first` to `last` no gap explains, as stretches in their order."""
    return outside([(gap.first, gap.last) for gap in gaps], first, last)


def outside(stretches: Iterable[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """What of `first` to `last` is in none of the stretches, in order. All ends are included."""
    left = []
    for begin, end in sorted(stretches):
        if end < first or begin > last:
            continue
        if first < begin:
            left.append((first, begin - 1))
        first = end + 1
    return [*left, (first, last)] if first <= last else left
