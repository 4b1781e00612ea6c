"""A stop of a server: in which order things end, and by when.

    asked      not ready from now on (/readyz, metrics, systemd), at work as before      SIGTERM or Ctrl-C
    leave      listens no more, leases nothing more, answers who waits with nothing      after `stop-delay-s`
    drain      requests and pushes under way end, verdicts on them are written           for at most `drain-s`
    closed     what was accepted is on disk; what had no answer is pushed again at the next start

So nobody is sent to a server that is about to go, and what was pushed and answered in time is settled and not pushed again. A second signal ends the
process at once, which loses nothing either: it is as a crash.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable

from eventyard import logbook, process


class Stop:
    """The stop of one server. Belongs to its event loop."""

    def __init__(self, delay_s: float, drain_s: float) -> None:
        self._delay_s = delay_s
        self._drain_s = drain_s
        self._ends_at: float | None = None

    def follow_signals(self, *, leave: Callable[[], None], listen_no_more: Callable[[], None]) -> None:
        """`leave`: be not ready. `listen_no_more`: begin to drain."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask, number, leave, listen_no_more)

    def _ask(self, number: int, leave: Callable[[], None], listen_no_more: Callable[[], None]) -> None:
        if self._ends_at is not None:
            os._exit(130)
        self._ends_at = time.monotonic() + self._delay_s + self._drain_s
        leave()
        process.notify("STOPPING=1")
        logbook.SERVER_STOPPING(by=signal.Signals(number).name, delay_s=self._delay_s, drain_s=self._drain_s)
        later = f"In {self._delay_s:g} s it listens no more. " if self._delay_s else ""
        process.say(f"Stopping: {later}What was accepted is kept, pushes under way may end. Once more to end it at once.")
        asyncio.get_running_loop().call_later(self._delay_s, listen_no_more)

    @property
    def left_s(self) -> float:
        """How long may still be waited. All of it where nobody asked: something else has ended the server."""
        return self._drain_s if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())

    def tell_end(self, unanswered: int) -> None:
        logbook.SERVER_STOPPED(unanswered=unanswered)
        if unanswered:
            process.say(f"Stopped. {unanswered} pushes had no answer in time: they are sent again at the next start.")
        else:
            process.say("Stopped. Every push had its answer, and all that was accepted is on disk.")
