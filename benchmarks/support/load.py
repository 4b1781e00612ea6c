"""A load generator: keep-alive connections over raw HTTP/1.1, each with one request under way, in a process of its own.

`python benchmarks/support/load.py URL --concurrency 64 --seconds 5 --body-file event.json` prints one line of JSON: how many
requests were answered and how, per second, and the percentiles of latency. Where the body holds `%NUMBER%` each request gets a
number of its own there, 16 digits, so that no two events are the same.

Latency is as the caller sees it in a closed loop: a server that stalls is asked less meanwhile (coordinated omission), so read
the percentiles beside the rate, never alone.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

PLACE = b"%NUMBER%"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Load:
    """What all connections share: the request's parts, when it ends, and what came of it."""

    def __init__(self, url: str, content_type: str, body: bytes, seconds: float, requests: int) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self._before, self._place, self._after = body.partition(PLACE)
        length = len(body) + (16 - len(PLACE) if self._place else 0)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        ).encode()
        self._numbers = itertools.count(time.time_ns() // 1000)
        self._left = requests or sys.maxsize
        self._seconds = seconds
        self.ends_at = 0.0
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []

    def start(self) -> None:
        self.ends_at = time.perf_counter() + self._seconds

    def next_request(self) -> bytes | None:
        """The next request, None when the load is over."""
        if self._left <= 0 or time.perf_counter() >= self.ends_at:
            return None
        self._left -= 1
        number = b"%016d" % next(self._numbers) if self._place else b""
        return self._head + self._before + number + self._after


class Caller(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._data = b""
        self._asked_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        request = self._load.next_request()
        if self._transport is None:
            return
        if request is None:
            self._transport.close()
            return
        self._asked_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._data, 0, end)
        size = end + 4 + (int(length[1]) if length else 0)
        if len(self._data) >= size:
            self._load.latencies.append(time.perf_counter() - self._asked_at)
            self._load.statuses[int(self._data[9:12])] += 1
            self._data = self._data[size:]
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._load.statuses[0] += 1
        with contextlib.suppress(asyncio.InvalidStateError):
            self.ended.set_result(None)


async def _run(load: Load, concurrency: int) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    connected = [await loop.create_connection(lambda: Caller(load), load.host, load.port) for _ in range(concurrency)]
    callers = [caller for _, caller in connected]
    load.start()
    began = time.perf_counter()
    for caller in callers:
        caller.ask()
    await asyncio.gather(*(caller.ended for caller in callers))
    return _told(load, time.perf_counter() - began)


def _told(load: Load, took_s: float) -> dict[str, Any]:
    latencies = sorted(load.latencies) or [0.0]
    points = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    at = {name: min(len(latencies) - 1, int(point * len(latencies))) for name, point in points.items()}
    return {
        "per_second": len(load.latencies) / took_s,
        "count": len(load.latencies),
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "latency_ms": {name: round(latencies[index] * 1000, 3) for name, index in at.items()},
    }


def run(
    url: str,
    body: bytes,
    *,
    concurrency: int = 64,
    seconds: float = 5.0,
    requests: int = 0,
    content_type: str = "application/cloudevents+json",
) -> dict[str, Any]:
    """Load `url` from a process of its own. Ends after `seconds`, or `requests` if that is sooner."""
    command = [sys.executable, __file__, url, "--concurrency", str(concurrency), "--seconds", str(seconds)]
    command += ["--requests", str(requests), "--content-type", content_type]
    done = subprocess.run(command, input=body, stdout=subprocess.PIPE, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--requests", type=int, default=0, help="0: as many as the time allows")
    parser.add_argument("--content-type", default="application/cloudevents+json")
    parser.add_argument("--body-file", type=Path, help="else standard input")
    options = parser.parse_args()
    body = options.body_file.read_bytes() if options.body_file else sys.stdin.buffer.read()
    load = Load(options.url, options.content_type, body, options.seconds, options.requests)
    print(json.dumps(uvloop.run(_run(load, options.concurrency))))


if __name__ == "__main__":
    main()
