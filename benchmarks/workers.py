"""Push with more than one core: a ready backlog pushed by the server itself, and by two workers that lease from it.

    python benchmarks/workers.py --events 20000

The rule is paused while its events are published; then it is resumed and the clock runs until the target has had them all. `cpu` is
the processor time of each process for a delivery: where their sum times the rate comes to two cores, this machine has no
more to give, however many workers share the work.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.pull import body
from benchmarks.support.filling import fill
from benchmarks.support.processes import BUS, Running, server, wait_until
from benchmarks.support.progress import announce

SINK = Path(__file__).parent / "support" / "sink.py"
PATIENCE_S = 120.0
CONCURRENCY = 128


class Found(NamedTuple):
    """Deliveries a second, and microseconds of processor time for each: of the server, of all workers, of the target."""

    per_second: float
    server_us: float
    workers_us: float
    sink_us: float


def measure(folder: Path, count: int, workers: int) -> Found:
    """A round: with `workers` 0 the server pushes, else that many processes do."""
    with ExitStack() as stack:
        sink = stack.enter_context(running_sink())
        flags = ("--no-dispatch",) if workers else ()
        bus = stack.enter_context(server(*BUS, str(folder), *flags))
        pushing = [stack.enter_context(worker(bus.url)) for _ in range(workers)]
        put_paused(bus.url, f"http://127.0.0.1:{sink.url}/events")
        fill(bus.url, "default", count, body)
        processes = [bus, *pushing, sink]
        before = [each.cpu_s() for each in processes]
        began = time.perf_counter()
        httpx.post(f"{bus.url}/v1/buses/default/rules/all/resume").raise_for_status()
        with httpx.Client() as client:
            wait_until(
                lambda: int(client.get(f"http://127.0.0.1:{sink.url}/count").text) >= count,
                f"{count:,} pushes arrive",
                patience_s=PATIENCE_S,
            )
        took_s = time.perf_counter() - began
        used = [(each.cpu_s() - cpu_s) / count * 1e6 for each, cpu_s in zip(processes, before, strict=True)]
        return Found(count / took_s, used[0], sum(used[1:-1]), used[-1])


def running_sink() -> AbstractContextManager[Running]:
    return server(str(SINK), "--port", "0")


@contextmanager
def worker(url: str) -> Iterator[Running]:
    with subprocess.Popen([sys.executable, "-m", "eventyard", "worker", "--server", url], stdout=subprocess.DEVNULL) as process:
        try:
            yield Running(url, process.pid)
        finally:
            process.terminate()


def put_paused(url: str, target: str) -> None:
    rule = {
        "pattern": {"type": ["order.paid"]},
        "target": {"http": {"url": target}},
        "delivery": {"concurrency": CONCURRENCY},
    }
    httpx.put(f"{url}/v1/buses/default/rules/all", json=rule).raise_for_status()
    httpx.post(f"{url}/v1/buses/default/rules/all/pause").raise_for_status()


def show(name: str, rounds: list[Found]) -> float:
    rate: float = statistics.median(each.per_second for each in rounds)
    used = [statistics.median(column) for column in zip(*(each[1:] for each in rounds), strict=True)]
    cores = sum(used) * rate / 1e6
    print(
        f"{name:13} {rate:8,.0f} deliveries/s   cpu {used[0]:.0f} us server + {used[1]:.0f} us workers + {used[2]:.0f} us target"
        f"   {cores:.2f} of {os.cpu_count()} cores"
    )
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    found: dict[int, list[Found]] = {0: [], options.workers: []}
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        for number in range(options.rounds):
            for workers, rounds in found.items():
                announce(f"round {number + 1} of {options.rounds}: {workers or 'no'} workers")
                rounds.append(measure(Path(folder) / f"{number}-{workers}", options.events, workers))
    announce("")
    rates = [show("in-process" if not workers else f"{workers} workers", rounds) for workers, rounds in found.items()]
    print(f"ratio         {rates[1] / rates[0]:8.2f} of in-process push")


if __name__ == "__main__":
    main()
