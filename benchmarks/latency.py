"""From publish to webhook at a steady 500 events/s: the time from just before the request is sent until the push arrives.

    python benchmarks/latency.py --seconds 10 --rate 500

The publisher is an open loop: each event is sent when it is due, whether or not the last one was answered, and its time runs from
when it was due, so a stall counts for every event that it held up. Publisher and target are one process with one clock. The
yardsticks of the same run: the same requests sent straight to the target, which is what the publisher, two sockets and this
machine's scheduler take; and an fsync of 8 KiB written in place, as the write-ahead log is. A delivery waits for one, and where
another event came before it, for the rest of that one's.
"""

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_batches import BUS, PATH, server
from benchmarks.publish_single import event, put_rules
from benchmarks.support.load import PLACE

CONNECTIONS = 16
PATIENCE_S = 10.0
SYNCED_BYTES = 200 * 8192
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

    def send(self, request: bytes) -> None:
        if self.transport is not None:
            self.transport.write(request)

    def received(self, message: bytes) -> None:
        status = int(message[9:12])
        if status not in (202, 204):
            raise SystemExit(f"found status {status}, wanted 202")
        self._publisher.free(self)


class Publisher:
    """An open loop over some connections; what finds none idle is sent as soon as one is."""

    def __init__(self, url: str, arrivals: Arrivals) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._arrivals = arrivals
        self._idle: deque[Sender] = deque()
        self._late: deque[bytes] = deque()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, sender = await loop.create_connection(lambda: Sender(self), self._host, self._port)
            self._idle.append(sender)

    async def run(self, rate: float, seconds: float) -> None:
        began, first = time.perf_counter(), time.time_ns() // 1000
        for index in range(int(rate * seconds)):
            due = began + index / rate
            await asyncio.sleep(due - time.perf_counter())
            self._arrivals.due[first + index] = due
            self._send(self._request(first + index))

    def free(self, sender: Sender) -> None:
        self._idle.append(sender)
        if self._late:
            self._send(self._late.popleft())

    def close(self) -> None:
        for sender in self._idle:
            if sender.transport is not None:
                sender.transport.close()

    def _send(self, request: bytes) -> None:
        if self._idle:
            self._idle.popleft().send(request)
        else:
            self._late.append(request)

    def _request(self, number: int) -> bytes:
        body = _EVENT.replace(PLACE, b"%d" % number)
        head = (
            f"POST {self._path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
            f"content-type: application/cloudevents+json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


_EVENT = event(880)


async def measure(url: str, arrivals: Arrivals, rate: float, seconds: float) -> list[float]:
    """What each event took, sorted. A second of warming up is not counted."""
    publisher = Publisher(url, arrivals)
    await publisher.connect()
    await publisher.run(rate, min(1.0, seconds))
    await _all_arrived(arrivals)
    arrivals.took.clear()
    await publisher.run(rate, seconds)
    await _all_arrived(arrivals)
    publisher.close()
    return sorted(arrivals.took)


async def _all_arrived(arrivals: Arrivals) -> None:
    deadline = time.perf_counter() + PATIENCE_S
    while arrivals.due and time.perf_counter() < deadline:  # noqa: ASYNC110 - counted on every arrival
        await asyncio.sleep(0.01)
    if arrivals.due:
        raise SystemExit(f"found {len(arrivals.due)} events that did not arrive within {PATIENCE_S:.0f} s")


async def run(folder: str, rate: float, seconds: float) -> None:
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Target(arrivals), "127.0.0.1", 0)
    target = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/events"
    with server(*BUS, folder) as bus:
        put_rules(bus.url, target)
        synced_ms = sync_ms(Path(folder))
        bare = await measure(target, arrivals, rate, seconds / 3)
        ours = await measure(bus.url + PATH, arrivals, rate, seconds * 2 / 3)
        listening.close()
    p50 = show("webhook", ours)
    show("bare", bare)
    print(f"fsync   p50 {synced_ms:7.2f} ms")
    print(f"ratio   {p50 / synced_ms:11.1f} fsyncs to the webhook at p50")


def sync_ms(folder: Path) -> float:
    """The median of writing 8 KiB in place and having the disk confirm it."""
    descriptor = os.open(folder / "sync", os.O_CREAT | os.O_WRONLY)
    os.pwrite(descriptor, bytes(SYNCED_BYTES), 0)
    os.fsync(descriptor)
    took = []
    for offset in range(0, SYNCED_BYTES, 8192):
        began = time.perf_counter()
        os.pwrite(descriptor, b"x" * 8192, offset)
        os.fdatasync(descriptor)
        took.append(time.perf_counter() - began)
    os.close(descriptor)
    return statistics.median(took) * 1e3


def show(name: str, took: list[float]) -> float:
    """One line; the median in milliseconds."""
    p50, p90, p99 = (took[int(len(took) * point)] * 1e3 for point in (0.5, 0.9, 0.99))
    print(f"{name:7} p50 {p50:7.2f} ms   p90 {p90:.2f} ms   p99 {p99:.2f} ms   max {took[-1] * 1e3:.1f} ms   of {len(took):,}")
    return p50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of the whole run")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second")
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        uvloop.run(run(folder, options.rate, options.seconds))


if __name__ == "__main__":
    main()
