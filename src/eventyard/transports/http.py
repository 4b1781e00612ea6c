"""Pushes over HTTP: libcurl's multi interface, driven by epoll in a thread of its own.

Theory of operation. Any thread calls `send`, which puts the push into an inbox and, if the transport's thread sleeps, writes
a byte to a socket pair to wake it (pycurl has no wakeup of its own, and `select` cannot watch descriptors past 1,024). All
else happens on that one thread, so nothing else needs a lock. One turn of it:

    inbox -> find the target's addresses, judged -> hand to libcurl
    libcurl's sockets and its one timer -> `socket_action` -> what ended -> `done`

libcurl tells us which sockets it waits on (`poller.watch`) and when it wants to be called in any case (`_set_timer`), and
`socket_action` touches only the transfer that a socket belongs to. A turn costs what is ready, not what is under way, so a
thousand targets that hang cost nothing until they time out.

Where a push goes is decided three times. The URL is rebuilt from what we understood of it (`core.network`); the name is
resolved by us, every address judged (one forbidden address refuses them all: a name that mixes them is an attack or a
mistake), and pinned in libcurl, which thus asks no DNS; and the address of the very socket is judged again. A connection
that is kept was judged when it was opened.

At least once. libcurl sends a request again by itself in one case: a kept connection that the target closes before the
first byte of an answer. It then takes a fresh connection, and nothing tells us. The target may have acted on the first
request, so it may see the same push twice, under the same delivery id: that is what a lost answer is, and it is allowed.

`done` runs on the transport's thread, outside of libcurl, so it may call `send` and `close`. One that raises is reported to
the log and harms no other push.
"""

import contextlib
import heapq
import itertools
import math
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import certifi
import msgspec
import pycurl  # type: ignore[import-untyped]  # its own stub knows only Any

import eventyard
from eventyard import logbook
from eventyard.core import limits
from eventyard.core.errors import InvalidRule
from eventyard.core.network import Policy, Url, parse_url
from eventyard.ports import PushAnswer, PushRequest
from eventyard.transports.exchange import Done, Exchange, InvalidHeader, Push, forbidden, timed_out
from eventyard.transports.poller import Poller
from eventyard.transports.resolver import Names, Resolve, Resolver, system_resolve

Between = Callable[[bool], float]

_CLOSED = "the bus is stopping"
_POLL_S_MAX = 60.0


class _Target(msgspec.Struct, frozen=True):
    """A URL as understood, None when it was not. `names` is set where nothing has to be looked up."""

    url: Url | None
    names: Names | None


class HttpTransport:
    """`ports.Transport`. Give `connections_max` at least as many as pushes may be under way.

    `resolve` turns a name into addresses (blocking, on the resolver's threads). `ca_file` is the operator's own set of
    certificate authorities; else the system's, else certifi's. An answer whose body has exactly `answer_bytes_max` bytes
    may have been longer: reading stops there and the status counts.

    `between` is called on the transport's thread after each turn, with whether the turn found nothing to do. It may send, and tells in how
    many seconds at the latest it wants to be called again; `wake` has it called soon.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        resolve: Resolve = system_resolve,
        resolver_threads: int = limits.RESOLVER_THREADS_MAX,
        connections_max: int = limits.PUSH_CONNECTIONS_MAX,
        connect_timeout_s: float = limits.PUSH_CONNECT_TIMEOUT_S,
        ca_file: str = "",
    ) -> None:
        self.between: Between = _nothing_between
        self._idle_s = _POLL_S_MAX
        self._policy = policy
        self._connect_timeout_s = connect_timeout_s
        self._ca_file = ca_file or _default_ca_file()
        self._lock = threading.Lock()
        self._is_closed = False
        self._is_asleep = False
        self._is_due = False
        self._inbox: deque[Push] = deque()
        self._learned: deque[tuple[str, Names]] = deque()
        self._resolver = Resolver(resolve, threads_max=resolver_threads, learned=self._learn)
        self._targets: dict[str, _Target] = {}
        self._waiting: dict[str, dict[int, Push]] = {}
        self._deadlines: list[tuple[float, int, str]] = []
        self._numbers = itertools.count()
        self._held: Push | None = None  # between two of the places above and below, should we fail just then
        self._under_way: dict[Any, Exchange] = {}
        self._idle: list[Exchange] = []
        self._timer_at = math.inf
        self._open(connections_max)

    def _open(self, connections_max: int) -> None:
        self._poller = Poller()
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._poller.watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, connections_max)
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, connections_max)
        self._thread = threading.Thread(target=self._run, name="eventyard-push", daemon=True)
        self._thread.start()

    # From any thread

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def send(self, request: PushRequest, done: Done) -> None:
        """Start a push; `done` is told once. After `close` it is told at once, on the caller's thread."""
        push = Push(request, done)
        with self._lock:
            is_taken = not self._is_closed
            if is_taken:
                self._inbox.append(push)
                self._wake()
        if not is_taken:
            _tell(push, push.failed(_CLOSED))

    def wake(self) -> None:
        """Have `between` called soon. Also from a signal's handler, on a thread that neither sends nor closes."""
        with self._lock:
            self._is_due = True
            self._wake()

    def close(self) -> None:
        """End every push under way, each with a failure. Harmless twice, and from within `done`."""
        with self._lock:
            self._is_closed = True
            self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(limits.TRANSPORT_CLOSE_S)

    def _learn(self, host: str, names: Names) -> None:
        with self._lock:
            if not self._is_closed:
                self._learned.append((host, names))
                self._wake()

    def _wake(self) -> None:
        """Under the lock. A thread that is awake looks into the inbox anyway before it sleeps."""
        if self._is_asleep:
            self._is_asleep = False
            self._poller.ring()

    # The transport's thread

    def _run(self) -> None:
        try:
            while not self._is_closed:
                was_idle = not self._turn()
                self._is_due = False
                self._idle_s = self.between(was_idle)
        finally:
            self._end()

    def _turn(self) -> bool:
        """True where sockets were ready. What ended is taken before the poll too: a fast target answers while libcurl starts the push, and no event follows."""
        self._take_inbox()
        self._take_names()
        self._end_late_waits()
        self._fire_timer()
        self._take_ended()
        ready = self._poll()
        for descriptor, events in ready:
            self._multi.socket_action(descriptor, events)
        self._take_ended()
        return bool(ready)

    def _poll(self) -> list[tuple[int, int]]:
        timeout_s = self._sleep_s()
        with self._lock:
            if self._inbox or self._learned or self._is_due or self._is_closed:
                timeout_s = 0
            self._is_asleep = timeout_s > 0
        ready = self._poller.poll(timeout_s)
        self._is_asleep = False
        return ready

    def _sleep_s(self) -> float:
        wanted_at = min(self._timer_at, self._deadlines[0][0] if self._deadlines else math.inf)
        return max(0.0, min(wanted_at - time.monotonic(), self._idle_s, _POLL_S_MAX))

    def _fire_timer(self) -> None:
        if time.monotonic() >= self._timer_at:
            self._timer_at = math.inf
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _take_ended(self) -> None:
        left = 1
        while left:
            left, well, badly = self._multi.info_read()
            for curl in well:
                self._finish(curl, 0, "")
            for curl, code, message in badly:
                self._finish(curl, code, message)

    def _finish(self, curl: Any, code: int, message: str) -> None:
        exchange = self._under_way[curl]
        self._multi.remove_handle(curl)
        push = exchange.push
        answer = exchange.end(code, message)
        del self._under_way[curl]
        self._put_back(exchange)
        if push:
            _tell(push, answer)

    def _set_timer(self, timeout_ms: int) -> None:
        """Libcurl's timer callback."""
        self._timer_at = math.inf if timeout_ms < 0 else time.monotonic() + timeout_ms / 1000

    # From the inbox to libcurl

    def _take_inbox(self) -> None:
        for _ in range(len(self._inbox)):
            self._held = self._inbox.popleft()
            self._start(self._held)
        self._held = None

    def _start(self, push: Push) -> None:
        if not 0 < push.request.timeout_s <= limits.PUSH_TIMEOUT_S_MAX:
            _tell(push, push.failed(f"a time limit of {push.request.timeout_s} s is not one to keep"))
            return
        target = self._target(push.request.url)
        names = target.names or (self._resolver.known(target.url.host) if target.url else None)
        if names:
            self._use(push, target, names)
        elif target.url:
            self._wait(push, target.url.host)

    def _target(self, text: str) -> _Target:
        target = self._targets.get(text)
        if target is None:
            if len(self._targets) >= limits.TRANSPORT_URLS_MAX:
                self._targets.clear()
            target = self._targets[text] = self._read_target(text)
        return target

    def _read_target(self, text: str) -> _Target:
        try:
            url = parse_url(text)
        except InvalidRule as error:
            return _Target(url=None, names=Names(failure=f"the URL is not one to call: {error.found}"))
        return _Target(url=url, names=self._judge(Names(addresses=(url.address,))) if url.address else None)

    def _judge(self, names: Names) -> Names:
        for address in names.addresses:
            reason = self._policy.verdict(address)
            if reason:
                return Names(failure=forbidden(address, reason), is_refused=True, expires_s=names.expires_s)
        return names

    def _use(self, push: Push, target: _Target, names: Names) -> None:
        if names.failure or target.url is None:
            _tell(push, push.failed(names.failure, is_refused=names.is_refused))
        else:
            self._begin(push, target.url, names.addresses)

    def _begin(self, push: Push, url: Url, addresses: tuple[IPv4Address | IPv6Address, ...]) -> None:
        exchange = self._idle.pop() if self._idle else self._new_exchange()
        try:
            exchange.begin(push, url, addresses)
        except InvalidHeader as error:
            self._put_back(exchange)
            _tell(push, push.failed(str(error)))
            return
        self._multi.add_handle(exchange.curl)
        self._under_way[exchange.curl] = exchange

    def _new_exchange(self) -> Exchange:
        return Exchange(
            self._policy,
            opened=self._poller.opened,
            user_agent=f"eventyard/{eventyard.__version__}",
            ca_file=self._ca_file,
            connect_timeout_s=self._connect_timeout_s,
        )

    def _put_back(self, exchange: Exchange) -> None:
        if len(self._idle) < limits.PUSH_HANDLES_IDLE_MAX:
            self._idle.append(exchange)
        else:
            exchange.curl.close()

    # Waiting for a name

    def _wait(self, push: Push, host: str) -> None:
        push.has_waited = True
        is_asked = host in self._waiting
        number = next(self._numbers)
        self._waiting.setdefault(host, {})[number] = push
        heapq.heappush(self._deadlines, (push.deadline, number, host))
        if not is_asked:
            self._resolver.ask(host)

    def _take_names(self) -> None:
        for _ in range(len(self._learned)):
            host, names = self._learned.popleft()
            judged = self._judge(names)
            self._resolver.remember(host, judged)
            waiting = self._waiting.get(host, {})
            for number in list(waiting):
                self._held = push = waiting.pop(number)
                self._use(push, self._target(push.request.url), judged)
            self._held = None
            self._waiting.pop(host, None)

    def _end_late_waits(self) -> None:
        """A host stays in `_waiting`, maybe with nobody, until its lookup returns: so it is asked once at a time."""
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, number, host = heapq.heappop(self._deadlines)
            push = self._waiting.get(host, {}).pop(number, None)
            if push:
                _tell(push, push.failed(timed_out(push.request)))

    # The end

    def _end(self) -> None:
        """Also after a fault of our own: whoever waits for an answer gets one, and later pushes are refused."""
        with self._lock:
            self._is_closed = True
            self._is_asleep = False
        self._resolver.close()
        for push in self._take_all():
            _tell(push, push.failed(_CLOSED))
        for exchange in self._idle:
            exchange.curl.close()
        self._multi.close()
        self._poller.close()

    def _take_all(self) -> list[Push]:
        """Every push that was not answered, out of every place where one can be."""
        found = [push for waiting in self._waiting.values() for push in waiting.values()]
        found += [self._held] if self._held else []
        for curl, exchange in self._under_way.items():
            with contextlib.suppress(pycurl.error):  # removed already, if the fault came just then
                self._multi.remove_handle(curl)
            found += [exchange.push] if exchange.push else []
            self._idle.append(exchange)
        found += self._inbox
        self._waiting.clear()
        self._under_way.clear()
        self._inbox.clear()
        return found


def _tell(push: Push, answer: PushAnswer) -> None:
    """A fault of one receiver must not end the pushes of all, so it is logged here and raised nowhere.

    `SystemExit` is no exception: on a thread that is not the main one it would end nothing but this transport.
    """
    try:
        push.done(answer)
    except BaseException:  # noqa: BLE001 - ruff lets a logged Exception pass, not this one
        logbook.ANSWER_UNHEARD()


def _nothing_between(_was_idle: bool) -> float:
    return _POLL_S_MAX


def _default_ca_file() -> str:
    """The system's authorities, where administrators add their own; a wheel's OpenSSL does not know where they stand."""
    system = ssl.get_default_verify_paths().cafile
    return system if system and Path(system).is_file() else certifi.where()
