"""A token bucket: so many a second, with a little ahead.

It fills evenly and holds a tenth of a second's worth, at least one. So over any stretch of t seconds no more than rate * t and that tenth go
out, and a step that comes a moment late loses nothing of the rate. A bucket of a full second, as is often seen, lets twice the rate
through in the first second after a rest, which is what a target with a limit refuses.
"""

import math

import msgspec

from eventyard.core import limits

_EPSILON = 1e-9
"""What sums of floats may lack of a whole token."""


class Bucket(msgspec.Struct, frozen=True):
    """As it stood at `at_ms` (work time). Of a bucket that nothing was taken from yet nothing is kept: `full`."""

    tokens: float
    at_ms: int

    def filled(self, rate_per_s: float, work_ms: int) -> "Bucket":
        """As it stands at `work_ms`, having filled at this rate since. A rate that was lowered takes away what is above the brim."""
        gained = max(0, work_ms - self.at_ms) * rate_per_s / 1000
        return Bucket(min(brim(rate_per_s), self.tokens + gained), max(self.at_ms, work_ms))

    def without(self, count: int) -> "Bucket":
        return Bucket(self.tokens - count, self.at_ms)

    @property
    def whole(self) -> int:
        """How many may go now."""
        return max(0, int(self.tokens + _EPSILON))

    def next_ms(self, rate_per_s: float) -> int:
        """When one may go."""
        return self.at_ms + max(0, math.ceil((1 - self.tokens) * 1000 / rate_per_s - _EPSILON))


def full(rate_per_s: float, work_ms: int) -> Bucket:
    return Bucket(brim(rate_per_s), work_ms)


def brim(rate_per_s: float) -> float:
    """What a bucket holds at the most."""
    return max(1.0, rate_per_s * limits.RATE_AHEAD_S)
