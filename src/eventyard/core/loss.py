"""What a store has lost, as values: a loss that was found and not yet repaired, and a gap that a repair has recorded."""

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
