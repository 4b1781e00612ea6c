"""Disk space comes back, and what taking it back costs who publishes.

    python benchmarks/retention.py --events 300000

`space`: a bus is filled, every event delivered to a pull rule, and then told to keep a tenth of it. What its files take is read
before and after, and how long it took until they were small again. The yardstick is what the same tenth takes in a new store; what
stays above that is kept for the next events: free pages, and the write-ahead log.

`cost`: two buses of one server, filled in turns in batches. One keeps everything. The other is told to keep a few megabytes, less than a
round writes, so what is published pushes as much out at the old end. The ratio is what is left of the rate; `removed` says that
it kept up.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.pull import Variant, body, drain, put_queue
from benchmarks.support.filling import fill
from benchmarks.support.processes import BUS, server, wait_until
from benchmarks.support.progress import announce

PATIENCE_S = 300.0
COST_SHARE = 5
ROLLING_BYTES = 8 * 1024 * 1024
_PULL = Variant("pull", "eventyard", "eventyard")


class Space(NamedTuple):
    full_mb: float
    left_mb: float
    took_s: float


def size_mb(folder: Path) -> float:
    """What the files of the store take on the disk."""
    return sum(file.stat().st_blocks * 512 for file in folder.iterdir() if file.is_file()) / 1024 / 1024


def measure_space(folder: Path, count: int) -> Space:
    """Fill, deliver, keep a tenth, and wait until the files grow smaller no more."""
    with server(*BUS, str(folder)) as bus:
        put_queue(bus.url, "shop/all")
        fill(bus.url, "shop", count, body, what="space")
        announce("space: the events are delivered")
        drain(_PULL, bus, "shop/all", count)
        full_mb, began = size_mb(folder), time.perf_counter()
        keep(bus.url, "shop", max_bytes=count // 10 * len(body(0)))
        wanted = count - count // 10
        wait_until(lambda: shown(bus.url, "shop")["floor"] >= wanted, f"the floor is at {wanted:,}", patience_s=PATIENCE_S)
        wait_until(Settled(folder), "the files grow smaller no more", patience_s=PATIENCE_S)
        return Space(full_mb, size_mb(folder), time.perf_counter() - began)


class Settled:
    """True once the files have kept their size for a while."""

    QUIET_S = 3.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._size_mb = 0.0
        self._since = time.perf_counter()

    def __call__(self) -> bool:
        size = size_mb(self._folder)
        if size != self._size_mb:
            self._size_mb, self._since = size, time.perf_counter()
        return time.perf_counter() - self._since >= self.QUIET_S


def yardstick_mb(folder: Path, count: int) -> float:
    with server(*BUS, str(folder)) as bus:
        put_queue(bus.url, "shop/all")
        fill(bus.url, "shop", count, body)
        drain(_PULL, bus, "shop/all", count)
    return size_mb(folder)


def keep(url: str, bus: str, **retention: float) -> None:
    httpx.put(f"{url}/v1/buses/{bus}", json={"retention": retention}).raise_for_status()


def shown(url: str, bus: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{url}/v1/buses/{bus}").raise_for_status().json()
    return answer


def measure_cost(folder: Path, count: int, rounds: int) -> tuple[list[float], list[float], int]:
    """Events a second that were published, keeping all and keeping little; and how many were removed meanwhile."""
    rates: dict[str, list[float]] = {"kept": [], "rolling": []}
    with server(*BUS, str(folder)) as bus:
        for name in rates:
            httpx.put(f"{bus.url}/v1/buses/{name}").raise_for_status()
        keep(bus.url, "rolling", max_bytes=ROLLING_BYTES)
        for number in range(rounds):
            announce(f"cost: round {number + 1} of {rounds}")
            for name, each in rates.items():
                each.append(count / fill(bus.url, name, count, partial(_body_from, number * count)))
        removed = shown(bus.url, "rolling")["floor"] - 1
    announce("")
    return rates["kept"], rates["rolling"], removed


def _body_from(first: int, number: int) -> bytes:
    return body(first + number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--events", type=int, default=300_000, help="to fill the bus; a fifth of them in each round of the cost"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(dir=options.data) as temporary:
        folder = Path(temporary)
        space = measure_space(folder / "space", options.events)
        tenth_mb = yardstick_mb(folder / "tenth", options.events // 10)
        print(
            f"space    {space.full_mb:7.1f} MB full, {space.left_mb:.1f} MB after {space.took_s:.0f} s"
            f"   {tenth_mb:.1f} MB a new store with as much"
            f"   came back {(space.full_mb - space.left_mb) / (space.full_mb - tenth_mb):.2f}",
            flush=True,
        )
        kept, rolling, removed = measure_cost(folder / "cost", options.events // COST_SHARE, options.rounds)
    print(
        f"cost     {statistics.median(rolling):7,.0f} events/s with retention, {statistics.median(kept):,.0f} events/s without"
        f"   ratio {statistics.median(r / k for r, k in zip(rolling, kept, strict=True)):.2f}"
        f"   removed {removed:,} of {options.events // COST_SHARE * options.rounds:,}"
    )


if __name__ == "__main__":
    main()
