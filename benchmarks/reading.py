"""Old events over HTTP: pages of history, and the stream from the beginning, each event verified on its way.

    python benchmarks/reading.py --events 100000

`history` follows `next` from page to page (`GET .../events`, 1,000 a page), `stream` reads `GET .../stream?after=0` up to the head. The
reader is a process of its own that counts events and looks into none. The yardstick of the same run is the same number of bytes in answers
of the same size from a server that keeps them ready: what sockets, HTTP and the reader take. `cpu` is the bus's processor time.
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.pull import body
from benchmarks.support.filling import fill
from benchmarks.support.processes import BUS, Running, server
from benchmarks.support.progress import announce

PAGE = 1_000
PATIENCE_S = 60.0
ACCEPTED = b'"accepted":'
"""Stands once in what is told of an event."""
SINK = Path(__file__).parent / "support" / "sink.py"


class Found(NamedTuple):
    per_second: float
    cpu_us: float


def read_history(running: Running, count: int) -> int:
    """Page after page, to the head."""
    connection = _connect(running.url)
    seen, after = 0, "0"
    while seen < count and after:
        connection.request("GET", f"/v1/buses/default/events?limit={PAGE}&after={after}")
        page = _body(connection)
        seen += page.count(ACCEPTED)
        after = json.loads(b"{" + page[page.rindex(b'"next"') :])["next"] or ""
    connection.close()
    return seen


def read_stream(running: Running, count: int) -> int:
    """Until as many came as there are."""
    connection = _connect(running.url)
    connection.request("GET", "/v1/buses/default/stream?after=0")
    answer = connection.getresponse()
    seen, rest = 0, b""
    while seen < count and (chunk := answer.read1(1 << 20)):
        chunk = rest + chunk
        seen += chunk.count(ACCEPTED)
        rest = chunk[1 - len(ACCEPTED) :]  # One that two chunks share is counted with the second.
    connection.close()
    return seen


def read_ready(running: Running, count: int) -> int:
    """As many bytes, in answers that stand ready."""
    connection = _connect(f"http://127.0.0.1:{running.url}")
    for _ in range(count // PAGE):
        connection.request("POST", "/", b"next")
        _body(connection)
    connection.close()
    return count


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)


def _body(connection: http.client.HTTPConnection) -> bytes:
    answer = connection.getresponse()
    page = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise SystemExit(f"found status {answer.status}: {page[:500]!r}")
    return page


def measure(running: Running, read: Callable[[Running, int], int], count: int) -> Found:
    cpu_s, began = running.cpu_s(), time.perf_counter()
    seen = read(running, count)
    took_s = time.perf_counter() - began
    if seen < count:
        raise SystemExit(f"found {seen:,} events, wanted {count:,}")
    return Found(seen / took_s, (running.cpu_s() - cpu_s) / seen * 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    answer_bytes = str(PAGE * (len(body(0)) + 70))
    found: dict[str, list[Found]] = {"history": [], "stream": [], "ready": []}
    with (
        tempfile.TemporaryDirectory(dir=options.data) as folder,
        server(*BUS, folder) as bus,
        server(str(SINK), "--status", "200", "--answer-bytes", answer_bytes) as ready,
    ):
        fill(bus.url, "default", options.events, body, what="reading")
        for number in range(options.rounds):
            announce(f"round {number + 1} of {options.rounds}")
            found["history"].append(measure(bus, read_history, options.events))
            found["stream"].append(measure(bus, read_stream, options.events))
            found["ready"].append(measure(ready, read_ready, options.events))
    announce("")
    bare = statistics.median(each.per_second for each in found["ready"])
    for name, rounds in found.items():
        rate = statistics.median(each.per_second for each in rounds)
        cpu_us = statistics.median(each.cpu_us for each in rounds)
        print(f"{name:8} {rate:9,.0f} events/s   cpu {cpu_us:5.2f} us   ratio {rate / bare:.2f}")


if __name__ == "__main__":
    main()
