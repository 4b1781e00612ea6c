"""Some of many, evenly from all of them."""

from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


def spread(some: Sequence[T], count: int) -> list[T]:
    """At most `count` of them, in their order."""
    if len(some) <= count:
        return list(some)
    return [some[(2 * at + 1) * len(some) // (2 * count)] for at in range(count)]


class Spread(Generic[T]):
    """As `spread`, of so many that they are not kept, and nobody knows beforehand how many they are."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._kept: list[T] = []
        self._seen = 0
        self._every = 1

    def add(self, one: T) -> None:
        """One in `_every` is kept; where that is too many, every other one of these goes."""
        if self._seen % self._every == 0:
            self._kept.append(one)
        if len(self._kept) > 2 * self._count_max:
            self._kept = self._kept[::2]
            self._every *= 2
        self._seen += 1

    def some(self, count: int) -> list[T]:
        """At most `count` of all that were added, and never more than `count_max`."""
        return spread(self._kept, min(count, self._count_max))
