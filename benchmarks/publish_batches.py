"""Durable publishing in batches of 100 with the dedup window full, beside the same door answering without a writer.

    python benchmarks/publish_batches.py --seconds 20 --connections 4

The bus has ten rules of which one matches, and writes a delivery for every event. `held`: that rule is paused, so its deliveries
wait. `pushed`: they go to a sink at the same time, out of the same two cores. `door` is the yardstick: the same HTTP server,
the same strict ingest of the same bytes and the same answer, but nothing is routed or kept. So `ratio` is what routing and
durability cost on top of reading events at all. A bare apsw insert of the same bytes is what the disk and SQLite alone take.
`cpu us` is the server's processor time for each event, which a loaded machine changes far less than the rate.
"""

import argparse
import http.client
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import engine_commit
from benchmarks.publish_single import copy_filled, event, put_rules, sink
from benchmarks.support.load import PLACE
from benchmarks.support.processes import BUS, Running, server

ROUNDS = 3
EVENT_BYTES = 920
"""As `event` counts: about 880 on the way, ids included."""
BARE_EVENTS = 50_000
PATH = "/v1/buses/default/events"
DOOR = """
import socket, sys, uvloop
from eventyard.core.commands import Published
from eventyard.metering import Meter
from eventyard.surfaces.http import Server, app
class Yard:
    meter, has_keys, is_traced = Meter(), False, False
    def bus(self, name): pass
    async def publish(self, bus, events, **_):
        return [Published(1, event.source, event.id, is_duplicate=False) for event in events]
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
sys.setswitchinterval(0.0005)
print(f"listens on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvloop.run(Server(app(Yard())).serve([listener]))
"""


class Publisher:
    """One connection that sends batch after batch, no event twice."""

    def __init__(self, url: str, name: int, size: int) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        before, _, after = event(EVENT_BYTES).partition(PLACE)
        elements = (b"%b%02d-%b-%04d%b" % (before, name, PLACE, index, after) for index in range(size))
        self._pieces = (b"[" + b",".join(elements) + b"]").split(PLACE)
        self._size = size

    def run(self, seconds: float) -> list[float]:
        """The seconds that each batch took to be accepted."""
        took, ends_at = [], time.perf_counter() + seconds
        while (began := time.perf_counter()) < ends_at:
            self._publish(b"%d" % time.time_ns())
            took.append(time.perf_counter() - began)
        return took

    def _publish(self, number: bytes) -> None:
        headers = {"content-type": "application/cloudevents-batch+json"}
        self._connection.request("POST", PATH, number.join(self._pieces), headers)
        answer = self._connection.getresponse()
        accepted = answer.read().count(b'"duplicate":false')
        if answer.status != 202 or accepted != self._size:
            raise SystemExit(f"found status {answer.status} and {accepted} of {self._size} events accepted")


class Round(NamedTuple):
    """What a share of the run came to."""

    per_second: float
    cpu_us: float
    took: list[float]


def measure(running: Running, connections: int, size: int, seconds: float) -> Round:
    publishers = [Publisher(running.url, name, size) for name in range(connections)]
    began, cpu_s = time.perf_counter(), running.cpu_s()
    with ThreadPoolExecutor(connections) as pool:
        took = [each for run in pool.map(lambda publisher: publisher.run(seconds), publishers) for each in run]
    events = len(took) * size
    return Round(events / (time.perf_counter() - began), (running.cpu_s() - cpu_s) / events * 1e6, took)


def show(name: str, rounds: list[Round]) -> float:
    """One line; the median rate."""
    rates = [each.per_second for each in rounds]
    took = sorted(each for one in rounds for each in one.took)
    p50, p99 = took[len(took) // 2] * 1e3, took[int(len(took) * 0.99)] * 1e3
    print(
        f"{name:7} {statistics.median(rates):8,.0f} events/s ({min(rates):,.0f} to {max(rates):,.0f})"
        f"   cpu {statistics.median(each.cpu_us for each in rounds):5.1f} us   p50 {p50:.1f} ms, p99 {p99:.1f} ms a batch"
    )
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the whole run")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--size", type=int, default=100, help="events in a batch")
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    parser.add_argument("--filled", help="a store whose window is full, to be copied; default: fill one (some 10 s)")
    options = parser.parse_args()
    share = options.seconds / ROUNDS / 3
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        run(Path(folder), options, share)


def run(folder: Path, options: argparse.Namespace, share: float) -> None:
    held: list[Round] = []
    door: list[Round] = []
    pushed: list[Round] = []
    copy_filled(folder / "held", options.filled)
    copy_filled(folder / "pushed", str(folder / "held" / "eventyard.db"))
    with sink() as target, server("-c", DOOR) as yardstick:
        with server(*BUS, str(folder / "held")) as bus:
            put_rules(bus.url, target)
            httpx.post(f"{bus.url}/v1/buses/default/rules/rule-0/pause").raise_for_status()
            for _ in range(ROUNDS):
                held.append(measure(bus, options.connections, options.size, share))
                door.append(measure(yardstick, options.connections, options.size, share))
        with server(*BUS, str(folder / "pushed")) as bus:
            put_rules(bus.url, target)
            pushed += [measure(bus, options.connections, options.size, share) for _ in range(ROUNDS)]
            status = httpx.get(f"{bus.url}/v1/buses/default/rules/rule-0/status").json()
    rates = [show("held", held), show("pushed", pushed), show("door", door)]
    bare = BARE_EVENTS / engine_commit.yardstick(folder, options.size, BARE_EVENTS)
    print(f"bare    {bare:8,.0f} events/s inserted by apsw in commits of {options.size}")
    print(
        f"ratio   {rates[0] / rates[2]:8.2f} held / door; {rates[1] / rates[2]:.2f} pushed / door; {rates[0] / bare:.2f} held / bare"
    )
    print(f"pushed: {status['delivered']:,} delivered, {status['waiting']:,} still waited at the end of the run")


if __name__ == "__main__":
    main()
