"""What dead targets cost the healthy ones: publish to webhook with 1,000 rules of which 10 have a dead target, and with none dead.

    python benchmarks/dead_targets.py --seconds 20

Every event matches one rule, by its type; the ten get a tenth of all events. Of the dead targets one refuses every connection
and the others take a connection and never answer, so their rules fill up with pushes that hang until they time out and are
tried again. A server of its own for each round, in turns. Only events for healthy rules count.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_single import event
from benchmarks.support.load import PLACE
from benchmarks.support.open_loop import Arrivals, Publisher, Target, percentile
from benchmarks.support.processes import BUS, server
from benchmarks.support.progress import announce
from benchmarks.support.sockets import hanging_port, refusing_port

RULES = 1_000
DEAD = 10
DEAD_SHARE = 10
"""Every tenth event is for one of the ten, by turns."""
TIMEOUT_S = 2.0
_EVENT = event(920)


class Found(NamedTuple):
    """Of the healthy rules, in milliseconds; and how many deliveries the ten still owed at the end."""

    p50: float
    p99: float
    worst: float
    answered_p99: float
    owed: int


def rule_of(number: int) -> int:
    """The rule that the event matches: the ten share every tenth event, the others the rest."""
    if number % DEAD_SHARE == 0:
        return number // DEAD_SHARE % DEAD
    return DEAD + number % (RULES - DEAD)


def body(number: int) -> bytes:
    return _EVENT.replace(PLACE, b"%d" % number).replace(b"order.paid", b"kind-%d" % rule_of(number))


def is_for_healthy(number: int) -> bool:
    return rule_of(number) >= DEAD


async def measure(folder: Path, rate: float, seconds: float, *, are_dead: bool) -> Found:
    arrivals = Arrivals()
    listening = await asyncio.get_running_loop().create_server(lambda: Target(arrivals), "127.0.0.1", 0)
    healthy = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/events"
    with ExitStack() as stack:
        dead = [f"http://127.0.0.1:{stack.enter_context(refusing_port())}/"] if are_dead else [healthy]
        dead += [f"http://127.0.0.1:{stack.enter_context(hanging_port())}/" if are_dead else healthy for _ in range(DEAD - 1)]
        bus = stack.enter_context(server(*BUS, str(folder), "--drain-s", "0"))
        put_rules(bus.url, [*dead, *[healthy] * (RULES - DEAD)])
        publisher = Publisher(f"{bus.url}/v1/buses/default/events", arrivals, body, is_awaited=is_for_healthy)
        await publisher.connect()
        await publisher.run(rate, TIMEOUT_S * 2)  # Until the first that hang have timed out.
        await publisher.measure(rate, seconds)
        publisher.close()
        owed = sum(owed_to(bus.url, number) for number in range(DEAD))
    listening.close()
    took = arrivals.took
    return Found(percentile(took, 0.5), percentile(took, 0.99), max(took) * 1e3, percentile(publisher.answered, 0.99), owed)


def put_rules(url: str, targets: list[str]) -> None:
    with httpx.Client(base_url=f"{url}/v1/buses/default/rules") as client:
        for number, target in enumerate(targets):
            rule: dict[str, Any] = {
                "pattern": {"type": [f"kind-{number}"]},
                "target": {"http": {"url": target, "timeout_s": TIMEOUT_S}},
            }
            client.put(f"/rule-{number}", json=rule).raise_for_status()


def owed_to(url: str, number: int) -> int:
    status = httpx.get(f"{url}/v1/buses/default/rules/rule-{number}/status").json()
    return int(status["waiting"]) + int(status["leased"])


def show(name: str, rounds: list[Found]) -> None:
    p50, p99, worst, answered, owed = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{name:13} p50 {p50:6.2f} ms   p99 {p99:7.2f} ms   max {worst:.1f} ms   202 at p99 after {answered:.2f} ms"
        f"   {owed:,.0f} deliveries owed to the ten at the end"
    )


async def run(folder: Path, rate: float, seconds: float, rounds: int) -> None:
    healthy, dead = [], []
    for number in range(rounds):
        announce(f"round {number + 1} of {rounds}: all are healthy")
        healthy.append(await measure(folder / f"healthy-{number}", rate, seconds, are_dead=False))
        announce(f"round {number + 1} of {rounds}: {DEAD} are dead")
        dead.append(await measure(folder / f"dead-{number}", rate, seconds, are_dead=True))
    announce("")
    show("all healthy", healthy)
    show(f"{DEAD} dead", dead)
    ratio = statistics.median(d.p99 / h.p99 for d, h in zip(dead, healthy, strict=True))
    print(f"ratio         {ratio:10.2f} of the healthy ones' p99 with {DEAD} dead / all healthy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=300.0, help="events a second")
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        uvloop.run(run(Path(folder), options.rate, options.seconds, options.rounds))


if __name__ == "__main__":
    main()
