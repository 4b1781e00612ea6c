"""An open loop: each request is sent when it is due, whether or not the last one was answered, and its time runs from when it was
due, so a stall counts for every request that it held up. Publisher and targets are one process with one clock."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

CONNECTIONS = 16
PATIENCE_S = 10.0
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_NUMBER = re.compile(rb'"id": *"([0-9]+)"')


class Arrivals:
    """When each event was due and what it took until it arrived. A second arrival, as after a lost answer, counts nothing."""

    def __init__(self) -> None:
        self.due: dict[int, float] = {}
        self.took: list[float] = []

    def arrived(self, request: bytes) -> None:
        found = _NUMBER.search(request)
        began = self.due.pop(int(found[1]), None) if found else None
        if began is not None:
            self.took.append(time.perf_counter() - began)


class Messages(asyncio.Protocol):
    """A connection on which whole HTTP messages arrive."""

    def __init__(self) -> None:
        self._data = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._data, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._data) < size:
                return
            message, self._data = self._data[:size], self._data[size:]
            self.received(message)

    def received(self, message: bytes) -> None:
        raise NotImplementedError


class Target(Messages):
    """The webhook: notes the arrival and answers 204."""

    def __init__(self, arrivals: Arrivals) -> None:
        super().__init__()
        self._arrivals = arrivals

    def received(self, message: bytes) -> None:
        self._arrivals.arrived(message)
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


class Sender(Messages):
    """One connection of the publisher, idle once its request was answered."""

    def __init__(self, publisher: "Publisher") -> None:
        super().__init__()
        self._publisher = publisher
        self._due = 0.0

    def send(self, due: float, request: bytes) -> None:
        self._due = due
        if self.transport is not None:
            self.transport.write(request)

    def received(self, message: bytes) -> None:
        status = int(message[9:12])
        if status not in (202, 204):
            raise SystemExit(f"found status {status}, wanted 202")
        self._publisher.answered.append(time.perf_counter() - self._due)
        self._publisher.free(self)


class Publisher:
    """An open loop over some connections; what finds none idle is sent as soon as one is.

    `body(number)` makes each request's event and holds the number as its id. `answered` is what each took until its answer.
    `is_awaited(number)` tells whether `arrivals` is to see it arrive.
    """

    def __init__(
        self,
        url: str,
        arrivals: Arrivals,
        body: Callable[[int], bytes],
        *,
        is_awaited: Callable[[int], bool] = lambda _: True,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._arrivals = arrivals
        self._body = body
        self._is_awaited = is_awaited
        self._idle: deque[Sender] = deque()
        self._late: deque[tuple[float, bytes]] = deque()
        self.answered: list[float] = []

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, sender = await loop.create_connection(lambda: Sender(self), self._host, self._port)
            self._idle.append(sender)

    async def run(self, rate: float, seconds: float) -> None:
        """Publish, and wait until all has been answered and has arrived."""
        began, first = time.perf_counter(), time.time_ns() // 1000
        for index in range(int(rate * seconds)):
            due = began + index / rate
            await asyncio.sleep(due - time.perf_counter())
            if self._is_awaited(first + index):
                self._arrivals.due[first + index] = due
            self._send(due, self._request(first + index))
        await self._all_ended()

    async def measure(self, rate: float, seconds: float) -> None:
        """As `run`, after a second of warming up that counts nowhere."""
        await self.run(rate, min(1.0, seconds))
        self.answered.clear()
        self._arrivals.took.clear()
        await self.run(rate, seconds)

    def free(self, sender: Sender) -> None:
        self._idle.append(sender)
        if self._late:
            self._send(*self._late.popleft())

    def close(self) -> None:
        for sender in self._idle:
            if sender.transport is not None:
                sender.transport.close()

    def _send(self, due: float, request: bytes) -> None:
        if self._idle:
            self._idle.popleft().send(due, request)
        else:
            self._late.append((due, request))

    def _request(self, number: int) -> bytes:
        body = self._body(number)
        head = (
            f"POST {self._path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
            f"content-type: application/cloudevents+json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def _all_ended(self) -> None:
        deadline = time.perf_counter() + PATIENCE_S
        while self._is_waiting() and time.perf_counter() < deadline:  # noqa: ASYNC110 - counted on every arrival
            await asyncio.sleep(0.01)
        if self._is_waiting():
            raise SystemExit(
                f"found {len(self._arrivals.due)} events that did not arrive and {CONNECTIONS - len(self._idle)} requests"
                f" without an answer within {PATIENCE_S:.0f} s"
            )

    def _is_waiting(self) -> bool:
        return bool(self._arrivals.due) or len(self._idle) < CONNECTIONS


def percentile(took: list[float], point: float) -> float:
    """In milliseconds."""
    ordered = sorted(took)
    return ordered[min(len(ordered) - 1, int(len(ordered) * point))] * 1e3
