"""What the simulated house stands in: time, chance, and what is to happen later. Everything follows from one seed."""

import hashlib
import heapq
import random
from collections.abc import Callable

HOUR_MS = 3_600_000


class World:
    """`now_ms` is true time, which nobody in the house can read; the clocks that they read are made from it. `life` counts the
    lives of the house's process.

    A trace line is written for whatever happens, so that two runs of a seed can be held beside each other.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now_ms = 0
        self.life = 0
        self.trace: list[str] = []
        self._digest = hashlib.blake2b(digest_size=8)
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def note(self, text: str) -> None:
        line = f"{self.now_ms:>9} {text}"
        self.trace.append(line)
        self._digest.update(line.encode())

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (self.now_ms + delay_ms, self._count, action))

    @property
    def next_ms(self) -> int | None:
        """How long until something on the agenda happens."""
        return max(0, self._agenda[0][0] - self.now_ms) if self._agenda else None

    def pass_time(self, elapsed_ms: int) -> None:
        """Let time pass, and everything that falls due in it happen at its moment."""
        until_ms = self.now_ms + elapsed_ms
        while self._agenda and self._agenda[0][0] <= until_ms:
            at_ms, _, action = heapq.heappop(self._agenda)
            self.now_ms = max(self.now_ms, at_ms)
            action()
        self.now_ms = until_ms

    def forget(self) -> None:
        """The process is dead: what it waited for does not happen."""
        self._agenda = []


class SimulatedClock:
    """The machine's two clocks. The wall clock can be wrong by any amount; the monotonic one starts anew with the machine."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.wall_offset_ms = 1_700_000_000_000
        self.boot_ms = 0

    def now_ms(self) -> int:
        return self._world.now_ms + self.wall_offset_ms

    def monotonic_ms(self) -> int:
        return self._world.now_ms - self.boot_ms

    def reboot(self) -> None:
        self.boot_ms = self._world.now_ms
