"""What a long backlog costs: memory and the time to be ready again, and what a rule that catches up costs live traffic.

    python benchmarks/backlog.py --events 1000000

`pull`: the events wait for a pull rule that nobody asks. `down`: they wait for a push rule whose target refuses every connection, so
attempts and retries go on meanwhile. Memory is the resident set of the server that accepted them, at the end and at its
highest; ready is the time from the start of the process to 200 from /readyz, after a stop and after a SIGKILL. The yardstick of
both is the same server on a new store.

Then the pull rule's consumers empty its queue at full speed while single events flow to another rule's webhook, an open loop; in
turns with the same traffic while nobody pulls. `answered` is publish to 202, `arrived` publish to webhook.
"""

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_single import event
from benchmarks.support.filling import fill
from benchmarks.support.load import PLACE
from benchmarks.support.open_loop import Arrivals, Publisher, Target, percentile
from benchmarks.support.processes import BUS, Running, server, wait_until
from benchmarks.support.progress import announce
from benchmarks.support.sockets import refusing_port

ROOT = Path(__file__).parents[1]
CATCH_UP_ROUNDS = 3
_OLD = event(920)
_LIVE = event(920).replace(b"order.paid", b"order.live")


class Started(NamedTuple):
    running: Running
    ready_s: float


@contextmanager
def ready_server(folder: Path) -> Iterator[Started]:
    """A bus on the folder, and how long it took from nothing to 200 from /readyz."""
    began = time.perf_counter()
    with server(*BUS, str(folder)) as running, httpx.Client(base_url=running.url) as client:
        wait_until(lambda: client.get("/readyz").is_success, "/readyz is 200", patience_s=60)
        yield Started(running, time.perf_counter() - began)


def yardstick(folder: Path) -> tuple[float, float]:
    """The resident megabytes of a server on a new store, and the seconds until it is ready."""
    with ready_server(folder):
        pass
    with ready_server(folder) as (running, ready_s):
        return running.resident_mb(), ready_s


def measure(name: str, target: dict[str, Any], folder: Path, count: int, least: tuple[float, float]) -> None:
    with ready_server(folder) as (running, _):
        put_rule(running.url, name, "order.paid", target)
        took_s = fill(running.url, "default", count, old_event, what=name)
        resident = running.resident_mb()
        pending = pending_of(running.url, name)
        print(
            f"{name:5} {count:,} events, {pending:,} undelivered: {resident:7.1f} MB resident, {running.peak_mb():.1f} MB at most"
            f"   {least[0]:.1f} MB empty   published at {count / took_s:,.0f}/s",
            flush=True,
        )
        announce(f"{name}: the server stops")
    stopped = restart(folder)
    with ready_server(folder) as (running, _):
        os.kill(running.pid, signal.SIGKILL)
    killed = restart(folder)
    print(
        f"{name:5} ready {stopped.ready_s:.2f} s after a stop, {killed.ready_s:.2f} s after a SIGKILL; {least[1]:.2f} s empty"
        f"   {stopped.resident_mb:.1f} MB resident then",
        flush=True,
    )


class Restarted(NamedTuple):
    ready_s: float
    resident_mb: float


def restart(folder: Path) -> Restarted:
    with ready_server(folder) as (running, ready_s):
        return Restarted(ready_s, running.resident_mb())


def put_rule(url: str, name: str, kind: str, target: dict[str, Any]) -> None:
    rule = {"pattern": {"type": [kind]}, "target": target, "delivery": {"concurrency": 64}}
    httpx.put(f"{url}/v1/buses/default/rules/{name}", json=rule).raise_for_status()


def pending_of(url: str, name: str) -> int:
    """What the rule is owed: put or not yet."""
    status = httpx.get(f"{url}/v1/buses/default/rules/{name}/status").json()
    return int(status["lag"])


def old_event(number: int) -> bytes:
    return _OLD.replace(PLACE, b"%016d" % number)


def live_event(number: int) -> bytes:
    return _LIVE.replace(PLACE, b"%d" % number)


# Live traffic while a rule catches up


class Live(NamedTuple):
    """Percentiles of one round, in milliseconds, and how many deliveries a second were caught up meanwhile."""

    answered_p99: float
    arrived_p50: float
    arrived_p99: float
    caught_up: float


async def catch_up(folder: Path, name: str, rate: float, seconds: float) -> None:
    arrivals = Arrivals()
    listening = await asyncio.get_running_loop().create_server(lambda: Target(arrivals), "127.0.0.1", 0)
    quiet, busy = [], []
    with ready_server(folder) as (running, _):
        webhook = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/events"
        put_rule(running.url, "live", "order.live", {"http": {"url": webhook}})
        for number in range(CATCH_UP_ROUNDS):
            announce(f"live traffic, round {number + 1} of {CATCH_UP_ROUNDS}")
            quiet.append(await live(running.url, arrivals, rate, seconds))
            with consumer(running.url, name):
                busy.append(await live(running.url, arrivals, rate, seconds, name))
        listening.close()
    announce("")
    show("quiet", quiet)
    show("catching up", busy)
    ratios = [
        statistics.median(getattr(b, field) / getattr(q, field) for q, b in zip(quiet, busy, strict=True))
        for field in ("answered_p99", "arrived_p99")
    ]
    print(f"ratio       {ratios[0]:6.2f} answered p99, {ratios[1]:.2f} arrived p99, catching up / quiet")


async def live(url: str, arrivals: Arrivals, rate: float, seconds: float, name: str = "") -> Live:
    """A round of live traffic. `name`: the rule that catches up meanwhile."""
    publisher = Publisher(f"{url}/v1/buses/default/events", arrivals, live_event)
    await publisher.connect()
    began, before = time.perf_counter(), pending_of(url, name) if name else 0
    await publisher.measure(rate, seconds)
    publisher.close()
    caught_up = (before - pending_of(url, name)) / (time.perf_counter() - began) if name else 0.0
    return Live(
        percentile(publisher.answered, 0.99), percentile(arrivals.took, 0.5), percentile(arrivals.took, 0.99), caught_up
    )


@contextmanager
def consumer(url: str, name: str) -> Iterator[None]:
    """A process that pulls at full speed; ended with the round."""
    command = [sys.executable, "-m", "benchmarks.support.pull_client", "eventyard", url, f"default/{name}"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None  # noqa: S101 - they are pipes, for mypy
        assert process.stdout is not None  # noqa: S101 - as above
        process.stdout.readline()
        process.stdin.write("go\n")
        try:
            yield
        finally:
            process.kill()


def show(name: str, rounds: list[Live]) -> None:
    answered, p50, p99, rate = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{name:11} answered p99 {answered:6.2f} ms   arrived p50 {p50:.2f} ms, p99 {p99:.2f} ms"
        f"   caught up {rate:,.0f} deliveries/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round of live traffic")
    parser.add_argument("--rate", type=float, default=500.0, help="live events a second")
    parser.add_argument("--without-down", action="store_true", help="leave out the rule whose target is down")
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as temporary:
        folder = Path(temporary)
        print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
        least = yardstick(folder / "empty")
        measure("pull", {"queue": {}}, folder / "pull", options.events, least)
        uvloop.run(catch_up(folder / "pull", "pull", options.rate, options.seconds))
        if not options.without_down:
            with refusing_port() as port:
                target = {"http": {"url": f"http://127.0.0.1:{port}/events"}}
                measure("down", target, folder / "down", options.events, least)


if __name__ == "__main__":
    main()
