"""What streams cost publishers and how soon they hear: publishing at 100 events/s with 200 streams on the bus, and with none.

    python benchmarks/streams.py --seconds 20 --streams 200

An open loop. `answered` is how long a publish took until its 202, `heard` until the last stream that came had it; the others are read
in another process on the same cores. `cpu` is what the server took for it all. Its yardstick in the same run, in turns, is the same bus with nobody following.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_single import event
from benchmarks.support.load import PLACE
from benchmarks.support.open_loop import Arrivals, Publisher, percentile
from benchmarks.support.processes import BUS, Running, server

ROUNDS = 2
DRAIN = Path(__file__).parent / "support" / "drain.py"
PATH = "/v1/buses/default/stream"
_EVENT = event(920)


class Found(NamedTuple):
    """Seconds of each event; percent of a core."""

    answered: list[float]
    heard: list[float]
    cpu: float


class Witness(asyncio.Protocol):
    """A stream that looks at each event. `began` is set once it has said where it begins."""

    def __init__(self, url: str, arrivals: Arrivals) -> None:
        self._request = f"GET {PATH} HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\n\r\n".encode()
        self._arrivals = arrivals
        self._rest = b""
        self.began = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        *messages, self._rest = (self._rest + data).split(b"\n\n")
        for message in messages:
            self._arrivals.arrived(message)
        if messages:
            self.began.set()


@contextmanager
def drained(bus: Running, count: int) -> Iterator[None]:
    """So many streams that are read and not looked at."""
    command = [sys.executable, str(DRAIN), bus.url + PATH, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe, for mypy
        process.stdout.readline()
        yield
        process.communicate()


async def measure(bus: Running, rate: float, seconds: float, *, is_followed: bool) -> Found:
    arrivals, witness = Arrivals(), None
    publisher = Publisher(f"{bus.url}/v1/buses/default/events", arrivals, body, is_awaited=lambda _: is_followed)
    await publisher.connect()
    if is_followed:
        parts = urlsplit(bus.url)
        connecting = asyncio.get_running_loop().create_connection(
            lambda: Witness(bus.url, arrivals), parts.hostname or "", parts.port or 0
        )
        witness, protocol = await connecting
        await protocol.began.wait()
    await publisher.run(rate, 1.0)
    publisher.answered.clear()
    arrivals.took.clear()
    cpu_s, began = bus.cpu_s(), time.perf_counter()
    await publisher.run(rate, seconds)
    found = Found(publisher.answered, arrivals.took, (bus.cpu_s() - cpu_s) / (time.perf_counter() - began) * 100)
    publisher.close()
    if witness is not None:
        witness.close()
    return found


def body(number: int) -> bytes:
    return _EVENT.replace(PLACE, b"%d" % number)


def show(name: str, rounds: list[Found]) -> None:
    answered = [each for found in rounds for each in found.answered]
    heard = [each for found in rounds for each in found.heard]
    line = f"{name:12} answered p50 {percentile(answered, 0.5):.2f} p99 {percentile(answered, 0.99):.2f} ms"
    if heard:
        line += f"   heard p50 {percentile(heard, 0.5):.2f} p99 {percentile(heard, 0.99):.2f} ms"
    print(f"{line}   cpu {statistics.median(found.cpu for found in rounds):.0f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the whole run")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rate", type=float, default=100.0, help="events a second")
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    share = options.seconds / ROUNDS / 2
    alone: list[Found] = []
    followed: list[Found] = []
    with tempfile.TemporaryDirectory(dir=options.data) as folder, server(*BUS, folder) as bus:
        for _ in range(ROUNDS):
            alone.append(uvloop.run(measure(bus, options.rate, share, is_followed=False)))
            with drained(bus, options.streams - 1):
                followed.append(uvloop.run(measure(bus, options.rate, share, is_followed=True)))
    show("nobody", alone)
    show(f"{options.streams} streams", followed)
    p99 = [percentile([each for found in rounds for each in found.answered], 0.99) for rounds in (followed, alone)]
    print(f"ratio {p99[0] / p99[1]:.2f} of the p99 until 202")


if __name__ == "__main__":
    main()
