"""A stream that behaves as badly as a cluster may: it loses questions and answers, is late, and lets others go first at every step.

Everything is drawn from one random generator, so a seed is one story. What it never does is what JetStream promises not to: it checks the
expected sequence when it stores, and what it has stored stays.
"""

from collections.abc import Callable
from random import Random

from eventyard.core.errors import JournalAway
from eventyard.engines.nats.stream import Outcome

PART_BYTES = 24
"""Bodies of more than this go in parts."""


class Log:
    """What the servers hold. `is_fenced`: whether they check what an append expects; without it the laws must break."""

    def __init__(self, random: Random, *, is_fenced: bool = True, badness: float = 1.0) -> None:
        self.random = random
        self.badness = badness
        """By how much more or less often than usual something goes wrong."""
        self.messages: list[bytes] = []
        self.late: list[tuple[bytes, int]] = []
        """Appends that are on their way, perhaps for long."""
        self.is_fenced = is_fenced
        self.is_calm = False
        self.is_full = False

    def store(self, message: bytes, expected: int) -> bool:
        if self.is_fenced and len(self.messages) != expected:
            return False
        self.messages.append(message)
        return True

    def deliver_late(self) -> None:
        """Some of what was on its way comes in now, in any order."""
        self.random.shuffle(self.late)
        while self.late and (self.is_calm or self.random.random() < 0.5):
            self.store(*self.late.pop())

    def chance(self, likely: float) -> bool:
        return not self.is_calm and self.random.random() < likely * self.badness


class SimulatedStream:
    """One node's connection to a `Log`. `between` is called at every step, for others to do something in between."""

    def __init__(self, log: Log, between: Callable[[], None] = lambda: None, *, bytes_max: int = 1024 + PART_BYTES) -> None:
        self._log = log
        self._between = between
        self.bytes_max = bytes_max

    def append(self, message: bytes, expected: int) -> Outcome:
        assert len(message) <= self.bytes_max
        try:
            return self._append(message, expected)
        except JournalAway:
            return Outcome.UNKNOWN

    def _append(self, message: bytes, expected: int) -> Outcome:
        self._step()
        if self._log.chance(0.15):
            self._log.late.append((message, expected))
            return Outcome.UNKNOWN
        if self._log.chance(0.1):
            return Outcome.UNKNOWN
        if self._log.is_full:
            return Outcome.FULL
        is_stored = self._log.store(message, expected)
        self._step()
        if self._log.chance(0.2):
            return Outcome.UNKNOWN
        return Outcome.STORED if is_stored else Outcome.TAKEN

    def read(self, sequence: int) -> bytes | None:
        """A stream's leader that was deposed may not know of a message yet."""
        self._step()
        if self._log.chance(0.1):
            return None
        return self._log.messages[sequence - 1] if sequence <= len(self._log.messages) else None

    def read_on(self, first: int, last: int) -> list[bytes]:
        self._step()
        found = self._log.messages[first - 1 : last]
        return found[: self._log.random.randint(1, len(found))]

    def last(self) -> int:
        """Nor of where it ends."""
        self._step()
        return len(self._log.messages) - (1 if self._log.messages and self._log.chance(0.1) else 0)

    def _step(self) -> None:
        self._between()
        self._log.deliver_late()
        if self._log.chance(0.05):
            raise JournalAway("found nobody who answers")


class SimulatedStreams:
    """Streams by bus, for one process after the other. Those with a `random` lose questions and answers, the others behave."""

    def __init__(self, random: Random | None = None, *, badness: float = 1.0) -> None:
        self.logs: dict[int, Log] = {}
        self._random = random
        self._badness = badness
        self.pauses = 0

    def open(self, bus: int) -> SimulatedStream | None:
        return SimulatedStream(self.logs[bus], bytes_max=4096) if bus in self.logs else None

    def create(self, bus: int) -> SimulatedStream:
        if bus not in self.logs:
            self.logs[bus] = Log(self._random or Random(0), badness=self._badness)
            self.logs[bus].is_calm = self._random is None
        return SimulatedStream(self.logs[bus], bytes_max=4096)

    def calm(self) -> None:
        self._random = None
        for log in self.logs.values():
            log.is_calm = True

    def remove(self, bus: int) -> None:
        self.logs.pop(bus, None)

    def pause(self) -> None:
        """Nobody waits for anything here: it is asked again."""
        assert self._random is not None, "nothing of this is to be asked again"
        self.pauses += 1

    def give_up(self) -> None:
        """Nobody waits."""

    def close(self) -> None:
        """Nothing to give back."""
