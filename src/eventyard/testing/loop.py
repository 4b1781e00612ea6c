"""An event loop that stands still: it runs what is ready when it is told to, and its time is a clock's that a test moves.

Theory of operation. What asyncio asks of a loop is inherited; what waits for the outside world is not there: no selector, no socket, no
thread. `turn` runs what is ready and comes back. Timers are ready when the clock has reached them. What is meant for a thread
(`asyncio.to_thread`) is carried out between two turns, by whoever turns the loop, so it may itself ask for something that the loop has to do.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from eventyard.ports import Clock


class _NothingOutside:
    """A selector that has nothing to wait for."""

    def select(self, _timeout: float | None) -> list[Any]:
        return []


class StandingLoop(asyncio.BaseEventLoop):
    """Turned from one thread, and never while it runs: `is_running` says so."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._selector = _NothingOutside()
        self._clock = clock
        self._calls: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()

    def time(self) -> float:
        return self._clock.monotonic_ms() / 1000

    def turn(self) -> bool:
        """Run what is ready. False where nothing was."""
        is_busy = self._carry_out()
        if self._ready or self._is_timer_due():
            self.call_soon(self.stop)
            self.run_forever()
            return True
        return is_busy

    def idle_ms(self) -> int | None:
        """How long until a timer is due; None: there is none."""
        at = min((timer.when() for timer in self._scheduled if not timer.cancelled()), default=None)
        return None if at is None else max(0, math.ceil((at - self.time()) * 1000 - _ROUNDED))

    def _is_timer_due(self) -> bool:
        return self.idle_ms() == 0

    def _carry_out(self) -> bool:
        if not self._calls:
            return False
        future, call = self._calls.popleft()
        if future.cancelled():
            return True
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            future.set_exception(error)
        return True

    # What a loop with an outside does otherwise

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future = self.create_future()
        self._calls.append((future, partial(func, *args)))
        return future

    def _process_events(self, events: list[Any]) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""


_ROUNDED = 1e-6
"""Of a millisecond: what adding seconds as floats may be off by, and far less than a loop's own resolution."""
