"""Durable publishing of single events, beside the same server answering 202 from an empty handler, in turns within one run.

The bus has its dedup window full and ten rules of which one matches, and pushes each event to a sink (`--held`: its deliveries
are written and wait). The empty server is the same process set-up (uvicorn, our connection class, uvloop) with a handler that
does nothing: the ratio is what it costs to check, route and keep an event.

    python benchmarks/publish_single.py --seconds 20 --concurrency 64
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support import load
from benchmarks.support.fill_window import fill

ROUNDS = 4
SUPPORT = Path(__file__).parent / "support"
BUS = """
import sys
from eventyard.serve import serve
from eventyard.settings import Settings
sys.exit(serve(Settings(port=0, data=sys.argv[1])))
"""
EMPTY = """
import socket, sys, uvloop
from eventyard.surfaces.http import Server
BODY = b'{"id":"0000000000000000","source":"/benchmark","position":1234567,"duplicate":false}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 202, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
sys.setswitchinterval(0.0005)
url = f"http://127.0.0.1:{listener.getsockname()[1]}"
uvloop.run(Server(app, started=lambda: print(url, flush=True)).serve([listener]))
"""


@contextmanager
def server(code: str, *arguments: str) -> Iterator[str]:
    """The URL of a server whose first line ends in it."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe, for mypy
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


@contextmanager
def sink() -> Iterator[str]:
    with subprocess.Popen([sys.executable, SUPPORT / "sink.py", "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe, for mypy
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/events"
        finally:
            process.terminate()


def copy_filled(folder: Path, filled: str | None) -> None:
    """A store at `folder` whose dedup window is full: a copy of `filled`, or a new one."""
    folder.mkdir()
    if filled:
        shutil.copyfile(filled, folder / "eventyard.db")
        os.sync()
    else:
        fill(str(folder / "eventyard.db"))


def put_rules(url: str, target: str) -> None:
    """Ten rules, of which one matches the events of `event`."""
    for number in range(10):
        kind = "order.paid" if number == 0 else f"order.other-{number}"
        rule = {"pattern": {"type": [kind]}, "target": {"http": {"url": target}}, "delivery": {"concurrency": 64}}
        httpx.put(f"{url}/v1/buses/default/rules/rule-{number}", json=rule).raise_for_status()


def event(bytes_wanted: int) -> bytes:
    """An event of about that size, with a place for its number."""
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": load.PLACE.decode(),
        "source": "/benchmark",
        "type": "order.paid",
        "time": "2026-01-31T08:00:00Z",
        "data": {"order": 4711, "total": 29.5, "currency": "EUR", "items": []},
    }
    items = document["data"]["items"]
    while len(json.dumps(document)) < bytes_wanted - 60:
        items.append({"sku": f"SKU-{len(items):04}", "count": len(items), "note": "in stock"})
    return json.dumps(document).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the whole run")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--body-bytes", type=int, default=880)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    parser.add_argument("--filled", help="a store whose window is full, to be copied; default: fill one (some 10 s)")
    parser.add_argument("--held", action="store_true", help="pause the rule that matches: its deliveries are written and wait")
    options = parser.parse_args()
    body, share = event(options.body_bytes), options.seconds / ROUNDS / 2
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=options.data)) + "/bus"
        copy_filled(Path(folder), options.filled)
        target, bus, empty = (stack.enter_context(each) for each in (sink(), server(BUS, folder), server(EMPTY)))
        put_rules(bus, target)
        if options.held:
            httpx.post(f"{bus}/v1/buses/default/rules/rule-0/pause").raise_for_status()
        ours, bare = [], []
        for _ in range(ROUNDS):
            ours.append(load.run(f"{bus}/v1/buses/default/events", body, concurrency=options.concurrency, seconds=share))
            bare.append(load.run(f"{empty}/v1/buses/default/events", body, concurrency=options.concurrency, seconds=share))
        status = httpx.get(f"{bus}/v1/buses/default/rules/rule-0/status").json()
    show("bus", ours)
    show("empty", bare)
    ratio = statistics.median(o["per_second"] / b["per_second"] for o, b in zip(ours, bare, strict=True))
    print(
        f"ratio  {ratio:9.2f}      one rule matched: {status['delivered']:,} delivered, {status['waiting']:,} waiting at the end"
    )


def show(name: str, rounds: list[dict[str, Any]]) -> None:
    rates = [each["per_second"] for each in rounds]
    latency = {point: statistics.median(each["latency_ms"][point] for each in rounds) for point in ("p50", "p99", "max")}
    statuses = {status for each in rounds for status in each["statuses"]}
    print(
        f"{name:6} {statistics.median(rates):9,.0f} req/s ({min(rates):,.0f} to {max(rates):,.0f})"
        f"   p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms, max {latency['max']:.0f} ms   statuses {sorted(statuses)}"
    )


if __name__ == "__main__":
    main()
