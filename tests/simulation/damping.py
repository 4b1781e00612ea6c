"""How often a detector may tell: which of its edges may have had to wait for their turn, and that no more came than it allows.

When each took its turn the log does not say, only that it was between when it began to wait and its being told. So both questions are asked of the
intervals: whether turns enough may lie close together, and whether too many surely do.
"""

from collections.abc import Callable, Hashable

BURST_S = 10
"""So many seconds' worth at once."""


class Damping:
    """By hold, the earliest and the latest work time at which it may have taken its turn; and when what was told was."""

    def __init__(self) -> None:
        self._turns: dict[Hashable, tuple[int, int]] = {}
        self._told: dict[Hashable, int] = {}

    def take_turn(self, hold: Hashable, earliest_ms: int, now_ms: int) -> None:
        known = self._turns.get(hold, (earliest_ms, now_ms))
        self._turns[hold] = (min(known[0], earliest_ms), max(known[1], now_ms))

    def tell(self, hold: Hashable, now_ms: int) -> None:
        self._told.setdefault(hold, now_ms)

    def may_wait(self, per_s: float, now_ms: int, due: int) -> bool:
        """Whether so many turns may have been taken by now that one more has to wait. `due`: holds that may have taken theirs unseen."""
        every_ms, burst_ms = 1000 / per_s, BURST_S * 1000
        latest = sorted((latest for _, latest in self._turns.values()), reverse=True)
        counts = [(since, due + number) for number, since in enumerate(latest, 1)]
        return any(since + count * every_ms > now_ms + burst_ms for since, count in [(now_ms, due), *counts])

    def check(self, per_s: float, fail: Callable[[str], None]) -> None:
        """Of any stretch: no more edges that began to wait in it were told in it."""
        told = [(self._turns[hold][0], at_ms) for hold, at_ms in self._told.items()]
        for first, _ in told:
            for _, last in told:
                within = sum(first <= began and at <= last for began, at in told)
                if last >= first and within > 1 + per_s * (BURST_S + (last - first + 1) / 1000):
                    fail(f"{within} edges were told from {first} to {last} ms of work, at {per_s} a second: {told}")
