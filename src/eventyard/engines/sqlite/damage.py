"""What was found damaged: counted and told, so that leaving it out of answers is never silent."""

import threading
from collections.abc import Callable

from eventyard import logbook
from eventyard.core.loss import outside

STRETCHES_MAX = 10_000
"""Damaged stretches remembered, so that each is told once however often it is met. Past this a disk wants replacing."""

Stretch = tuple[int, int]
"""First and last position."""


class DamageLog:
    """The damage found since the start, by anybody who read: of each bus, stretches that do not overlap. Threads share it.

    `on_damage(bus, position)` is called once for each event whose row is not as it was written, on the reading thread. `is_told`: in the
    log of the process too.
    """

    def __init__(self, on_damage: Callable[[int, int], None] | None = None, *, is_told: bool = True) -> None:
        self._is_told = is_told
        self._lock = threading.Lock()
        self._stretches: dict[int, list[Stretch]] = {}
        self._on_damage = on_damage

    @property
    def count(self) -> int:
        return sum(self.count_of(bus) for bus in list(self._stretches))

    def count_of(self, bus: int) -> int:
        """How many events of one bus are damaged or gone."""
        return sum(last - first + 1 for first, last in self.stretches(bus))

    def stretches(self, bus: int) -> list[Stretch]:
        with self._lock:
            return sorted(self._stretches.get(bus, ()))

    def has(self, bus: int, position: int) -> bool:
        return any(first <= position <= last for first, last in self.stretches(bus))

    def add(self, bus: int, position: int) -> None:
        """The row at `position` is not as it was written."""
        if self._note(bus, position, position):
            if self._is_told:
                logbook.EVENT_DAMAGED(position=position, bus_number=bus)
            if self._on_damage is not None:
                self._on_damage(bus, position)

    def add_stretch(self, bus: int, first: int, last: int) -> None:
        """These positions cannot be read, or are not there, and nothing explains it."""
        for begin, end in self._note(bus, first, last):
            if self._is_told:
                logbook.EVENTS_GONE(first=begin, last=end, bus_number=bus)

    def _note(self, bus: int, first: int, last: int) -> list[Stretch]:
        """What of it is news."""
        with self._lock:
            known = self._stretches.setdefault(bus, [])
            if len(known) >= STRETCHES_MAX:
                return []
            news = outside(known, first, last)
            known += news
            return news
