"""What waits for the writer: a bounded buffer that any thread fills and one thread empties."""

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from eventyard.core import limits
from eventyard.core.commands import Command
from eventyard.core.errors import Overloaded, Stopping

Done = Callable[[Any], None]
"""Called once, on the writer's thread, with the command's answer or the `EventyardError` that refused it."""


class Ticket(msgspec.Struct, eq=False):
    """A command that waits for its answer. A `Publish` cut between two steps keeps what it has been answered so far."""

    bus: int
    command: Command
    size: int
    done: Done
    answer: Any = None
    answers: list[Any] = msgspec.field(default_factory=list)


class Inbox:
    """Counts a ticket from `put` until `release`, so what a step still works on is bounded with what waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._tickets: list[Ticket] = []
        self._held = 0
        self._held_bytes = 0
        self._is_closed = False

    def put(self, ticket: Ticket, *, is_bounded: bool) -> None:
        """Keep a ticket for the next step; `wake` sees to it that there is one.

        `Overloaded` or `Stopping` where a bounded ticket finds no room. The bus's own stages bound themselves.
        """
        with self._lock:
            if is_bounded:
                self._check_room(ticket.size)
            self._tickets.append(ticket)
            self._held += 1
            self._held_bytes += ticket.size

    def _check_room(self, size: int) -> None:
        if self._is_closed:
            raise Stopping("the bus is stopping", wanted="to try again when it is back")
        if self._held >= limits.INBOX_COMMANDS_MAX or self._held_bytes + size > limits.INBOX_BYTES_MAX:
            raise Overloaded(f"found {self._held} requests waiting to be written", wanted="to try again shortly")

    def heed(self) -> None:
        """Begin a step: whatever `wake` tells from here on is for the next one. Before anything is taken, or it is lost."""
        self._wake.clear()

    def take(self) -> list[Ticket]:
        with self._lock:
            taken, self._tickets = self._tickets, []
        return taken

    def release(self, tickets: list[Ticket]) -> None:
        """These are answered: their room is free."""
        with self._lock:
            self._held -= len(tickets)
            self._held_bytes -= sum(ticket.size for ticket in tickets)

    def wait(self, timeout_s: float) -> None:
        self._wake.wait(timeout_s)

    def wake(self) -> None:
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        self._is_closed = True
        self._wake.set()

    @property
    def held(self) -> tuple[int, int]:
        """How many tickets, and how many bytes. May be read from any thread."""
        return self._held, self._held_bytes

    @property
    def is_closed(self) -> bool:
        return self._is_closed
