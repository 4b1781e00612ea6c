"""The scrubber: reads the whole log again and again, slowly, so that damage is found before somebody needs what it hit.

Two things in turns. New events are looked at once, soon after they were written, which keeps short what the next start has to look
at. And a pass goes through every bus from its first event to its last, rests for a day, and begins again. What is found is counted
and told by the engine, is never served, and makes the bus no less ready: everything else is there.
"""

from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from eventyard import logbook
from eventyard.core import limits
from eventyard.core.bus_state import BusState
from eventyard.core.errors import Corrupt, Unavailable
from eventyard.ports import Engine


class Progress(msgspec.Struct, frozen=True):
    """Where the pass under way stands: in which bus, at which position of how many (bus empty: it rests). `passes` are done."""

    bus: str
    position: int
    of: int
    passes: int


class Scrubber:
    """Called from one thread, the keeper's. `now_ms` is any clock that only goes forward."""

    def __init__(self, engine: Engine, states: Mapping[int, BusState], now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._states = states
        self._now_ms = now_ms
        self._due_ms = now_ms()
        self._pass_due_ms = self._due_ms
        self._is_turn_of_new = True
        self._new: deque[int] = deque()
        self._left: deque[int] = deque()
        self._number = _RESTING
        self._at = 0
        self._until = 0
        self._passes = 0

    def step(self) -> bool:
        """One bounded look, where it is time for one. True when there was something to look at."""
        now_ms = self._now_ms()
        if now_ms < self._due_ms:
            return False
        self._due_ms = now_ms + limits.SCRUB_INTERVAL_MS
        self._is_turn_of_new = not self._is_turn_of_new
        try:
            if self._is_turn_of_new:
                return self._look_at_new() or self._go_on(now_ms)
            return self._go_on(now_ms) or self._look_at_new()
        except (Unavailable, Corrupt) as error:
            logbook.SCRUBBER_RESTS(error=error.detail)
            self._due_ms = now_ms + limits.SCRUB_FAILED_MS
            return False

    @property
    def progress(self) -> Progress:
        """May be read from any thread; a moment old."""
        state = self._states.get(self._number)
        if state is None:
            return Progress("", 0, 0, self._passes)
        return Progress(state.record.name, min(self._at, state.head), state.head, self._passes)

    # New events

    def _look_at_new(self) -> bool:
        """The next bus that has events which nobody has looked at."""
        if not self._new:
            self._new.extend(list(self._states))
        for _ in range(min(len(self._new), limits.SCRUB_BUSES_PER_STEP)):
            state = self._states.get(self._new.popleft())
            if state is not None and (first := self._engine.verified(state.record.number) + 1) <= state.head:
                self._engine.verify(state.record.number, first, state.head)
                return True
        return False

    # The pass

    def _go_on(self, now_ms: int) -> bool:
        """One look further. A pass takes the buses as they are when it comes to them."""
        if self._number == _RESTING and not self._begin(now_ms):
            return False
        if self._number in self._states and self._at < self._until:
            self._at = self._engine.verify(self._number, self._at + 1, self._until).last
        if self._number not in self._states or self._at >= self._until:
            self._enter_next(now_ms)
        return True

    def _begin(self, now_ms: int) -> bool:
        if now_ms < self._pass_due_ms or not self._states:
            return False
        self._left.extend(list(self._states))
        self._enter_next(now_ms)
        return True

    def _enter_next(self, now_ms: int) -> None:
        if not self._left:
            self._number = _RESTING
            self._passes += 1
            self._pass_due_ms = now_ms + limits.SCRUB_REST_MS
            return
        number = self._left.popleft()
        state = self._states.get(number)
        self._at, self._until = 0, state.head if state is not None else 0
        self._number = number


_RESTING = -1
"""The number of no bus."""
