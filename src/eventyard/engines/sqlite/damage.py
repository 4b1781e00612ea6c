"""What was found damaged: counted and told, so that leaving it out of answers is never silent."""

from collections.abc import Callable

FOUND_MAX = 10_000
"""Damaged events remembered, so that one is told once however often it is read. Past this a disk wants replacing."""


class DamageLog:
    """The damaged events found since the start. `on_damage(bus, position)` is called once for each, on the reading thread."""

    def __init__(self, on_damage: Callable[[int, int], None] | None = None) -> None:
        self.count = 0
        self.found: set[tuple[int, int]] = set()
        self._on_damage = on_damage

    def add(self, bus: int, position: int) -> None:
        if (bus, position) in self.found or len(self.found) >= FOUND_MAX:
            return
        self.found.add((bus, position))
        self.count += 1
        if self._on_damage is not None:
            self._on_damage(bus, position)
