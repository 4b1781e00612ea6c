"""How fast patterns are tried on the log over HTTP, and what that costs publishers meanwhile: a log of 880-byte events.

    python benchmarks/backtest.py --events 200000

The bus is `eventyard serve` on a filled store, the client a plain one on the same cores. `one` tries a pattern that reads `data`, `beside` the same
beside a rule in force, `hundred` a hundred patterns in one pass. The yardstick, in turns with them: the log read through history, in
pages of 1,000 (`pages`) and filtered by the same pattern, which nothing matches (`filtered`). `cpu us` is the server's processor time for each event.

Then an open loop publishes 100 events/s while a backtest goes on and on (`meanwhile`), while somebody reads history as long (`reading`), and alone:
the time until each 202.
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import streams
from benchmarks.history import fill
from benchmarks.history_http import Round, connect, read_pages
from benchmarks.support.open_loop import percentile
from benchmarks.support.processes import BUS, Running, server

ROUNDS = 3
RATE = 100.0
JSON = {"content-type": "application/json"}
BIG: Any = {"data": {"total": [{"numeric": [">", 20]}]}}
SMALL: Any = {"type": ["order.paid"], "data": {"total": [{"numeric": ["<", 10]}]}}
HUNDRED: Any = [{"type": [f"order.kind{number}"], "data": {"total": [{"numeric": [">", number]}]}} for number in range(100)]


def asked(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> Any:
    connection.request(method, path, None if body is None else json.dumps(body), JSON)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path} was answered {answer.status}: {text.decode()}")
    return json.loads(text)


def backtest(url: str, *patterns: Any, name: str = "") -> int:
    """To the end of the log: how many events were looked at."""
    connection = connect(url)
    count = 0
    request: dict[str, Any] = {"rules": [{"pattern": pattern, "name": name} for pattern in patterns]}
    while True:
        found = asked(connection, "POST", "/v1/buses/default/backtest", request)
        count += int(found["events"])
        if found["next_after"] is None:
            connection.close()
            return count
        request |= {"after": found["next_after"], "last": found["last"]}


def filtered(url: str, events: int) -> int:
    connection, after = connect(url), "0"
    while after:
        path = f"/v1/buses/default/events?limit=1000&pattern={quote(json.dumps(BIG))}&after={after}"
        after = asked(connection, "GET", path)["next"]
    connection.close()
    return events


@contextmanager
def going_on(read: Callable[[], int]) -> Iterator[None]:
    """Again and again, meanwhile."""
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.is_set():
            read()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def measure(bus: Running, events: int) -> None:
    readings: dict[str, Callable[[], int]] = {
        "pages": lambda: read_pages(bus.url),
        "filtered": lambda: filtered(bus.url, events),
        "one": lambda: backtest(bus.url, BIG),
        "beside": lambda: backtest(bus.url, BIG, name="small"),
        "hundred": lambda: backtest(bus.url, *HUNDRED),
    }
    rounds: dict[str, list[Round]] = {name: [] for name in readings}
    for _ in range(ROUNDS):
        for name, reading in readings.items():
            rounds[name].append(Round(bus, reading))
    rates = {name: statistics.median(each.per_second for each in of_name) for name, of_name in rounds.items()}
    for name, of_name in rounds.items():
        cpu_us = statistics.median(each.cpu_us for each in of_name)
        print(f"{name:9} {rates[name]:9,.0f} events/s   cpu {cpu_us:5.1f} us")
    ratios = "; ".join(f"{rates[name] / rates['filtered']:.2f} {name} / filtered" for name in ("one", "beside", "hundred"))
    print(f"ratio     {ratios}")


def measure_publishing(bus: Running, events: int, seconds: float) -> None:
    beside: dict[str, AbstractContextManager[None]] = {}
    answered: dict[str, list[float]] = {"alone": [], "reading": [], "meanwhile": []}
    for _ in range(streams.ROUNDS):
        beside["alone"] = nullcontext()
        beside["reading"] = going_on(lambda: filtered(bus.url, events))
        beside["meanwhile"] = going_on(lambda: backtest(bus.url, BIG))
        for name, work in beside.items():
            with work:
                answered[name] += uvloop.run(streams.measure(bus, RATE, seconds, is_followed=False)).answered
    for name, of_name in answered.items():
        print(f"{name:9} answered p50 {percentile(of_name, 0.5):.2f} p99 {percentile(of_name, 0.99):.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of publishing")
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        fill(Path(folder) / "eventyard.db", options.events)
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        with server(*BUS, folder) as bus:
            rule = {"pattern": SMALL, "target": {"queue": {}}}
            asked(connect(bus.url), "PUT", "/v1/buses/default/rules/small", rule)
            measure(bus, options.events)
            measure_publishing(bus, options.events, options.seconds / streams.ROUNDS / 3)


if __name__ == "__main__":
    main()
