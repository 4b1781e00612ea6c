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
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_batches import PATH
from benchmarks.publish_single import event, put_rules
from benchmarks.support.load import PLACE
from benchmarks.support.open_loop import Arrivals, Publisher, Target
from benchmarks.support.processes import BUS, server

SYNCED_BYTES = 200 * 8192
_EVENT = event(880)


async def measure(url: str, arrivals: Arrivals, rate: float, seconds: float) -> list[float]:
    """What each event took, sorted. A second of warming up is not counted."""
    publisher = Publisher(url, arrivals, lambda number: _EVENT.replace(PLACE, b"%d" % number))
    await publisher.connect()
    await publisher.measure(rate, seconds)
    publisher.close()
    return sorted(arrivals.took)


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
