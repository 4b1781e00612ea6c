"""Names to addresses, for the transport: a few threads, each name asked once at a time, answers believed for a while.

`getaddrinfo` blocks and cannot be interrupted, so a lookup that hangs holds one of our threads until the system gives up.
Whoever waits for it leaves at the push's own time limit; the thread comes back later. The threads are daemons for the same
reason: a hung lookup must not hold up the end of the process.

`known` and `ask` belong to one thread (the transport's); only `learned` is called from the resolver's own threads.
"""

import math
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from queue import SimpleQueue

import msgspec

from eventyard.core import limits

Resolve = Callable[[str], tuple[str, ...]]
"""A host name to its addresses as text, or OSError."""


class Names(msgspec.Struct, frozen=True):
    """Where a host leads: addresses, or why not (`is_refused`: the policy says no). Believed until `expires_s` (monotonic)."""

    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    failure: str = ""
    is_refused: bool = False
    expires_s: float = math.inf


def system_resolve(host: str) -> tuple[str, ...]:
    """All addresses that the system knows for a name, in the order (RFC 6724) in which they should be tried."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class Resolver:
    """Call `known`; where it answers None, `ask`, and `learned(host, names)` is called once from another thread."""

    def __init__(self, resolve: Resolve, *, threads_max: int, learned: Callable[[str, Names], None]) -> None:
        self._resolve = resolve
        self._threads_max = threads_max
        self._threads_started = 0
        self._learned = learned
        self._questions: SimpleQueue[str | None] = SimpleQueue()
        self._names: dict[str, Names] = {}

    def known(self, host: str) -> Names | None:
        names = self._names.get(host)
        return names if names and names.expires_s > time.monotonic() else None

    def remember(self, host: str, names: Names) -> None:
        """The oldest name makes room: it is the one whose answer ends first."""
        self._names.pop(host, None)
        if len(self._names) >= limits.RESOLVER_NAMES_MAX:
            self._names.pop(next(iter(self._names)))
        self._names[host] = names

    def ask(self, host: str) -> None:
        """Start a lookup. The caller asks for each name once at a time."""
        self._questions.put(host)
        if self._threads_started < self._threads_max:
            self._threads_started += 1
            threading.Thread(target=self._answer_all, name="eventyard-resolver", daemon=True).start()

    def close(self) -> None:
        """Lets the threads go when they are free. Nobody waits for them."""
        for _ in range(self._threads_started):
            self._questions.put(None)

    def _answer_all(self) -> None:
        while (host := self._questions.get()) is not None:
            self._learned(host, self._look_up(host))

    def _look_up(self, host: str) -> Names:
        try:
            addresses = tuple(ip_address(text) for text in self._resolve(host))
        except Exception:  # noqa: BLE001 - a name server's odd answer must not end a thread that others wait for
            return _failed(f"the name {host} was not found")
        if not addresses:
            return _failed(f"the name {host} has no address")
        return Names(addresses=addresses, expires_s=time.monotonic() + limits.RESOLVER_TTL_S)


def _failed(reason: str) -> Names:
    return Names(failure=reason, expires_s=time.monotonic() + limits.RESOLVER_FAILURE_TTL_S)
