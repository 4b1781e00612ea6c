"""Deliveries received and acknowledged per second in batches of 500, durable, beside JetStream and Redis Streams in turns.

    python benchmarks/pull.py --events 50000 --rounds 3

A round adds the same events to a new queue of each system and then lets consumers empty it; only that is timed. Consumers are
processes of their own on the same cores (support/pull_client.py tells how each asks). `cpu` is processor time for each delivery,
of the server and of its consumers: a loaded machine changes it far less than the rate.

What has reached the disk when an acknowledgement is answered: ours, all of it, fsynced; Redis with appendfsync always, as ours; with
everysec, what is older than a second; JetStream writes what consumers acknowledged when it comes to it, and its acks have
no answer. A peer that is not installed is left out and named.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_single import event
from benchmarks.support import peers
from benchmarks.support.filling import fill
from benchmarks.support.load import PLACE
from benchmarks.support.processes import BUS, Running, server
from benchmarks.support.progress import announce

ROOT = Path(__file__).parents[1]
BATCH = 500
_EVENT = event(920)
"""As it counts: about 880 bytes on the way, ids included."""


class Variant(NamedTuple):
    """One way to empty the queue of one system."""

    name: str
    system: str
    server: str
    way: str = "plain"
    consumers: int = 1


VARIANTS = (
    Variant("eventyard", "eventyard", "eventyard"),
    Variant("eventyard, overlapped", "eventyard", "eventyard", "overlapped"),
    Variant("eventyard, 2 consumers", "eventyard", "eventyard", consumers=2),
    Variant("jetstream", "jetstream", "jetstream"),
    Variant("jetstream, overlapped", "jetstream", "jetstream", "overlapped"),
    Variant("jetstream, 2 consumers", "jetstream", "jetstream", consumers=2),
    Variant("jetstream, one ack a batch", "jetstream", "jetstream", "together"),
    Variant("jetstream sync always", "jetstream", "jetstream-always"),
    Variant("redis everysec", "redis", "redis-everysec"),
    Variant("redis everysec, overlapped", "redis", "redis-everysec", "overlapped"),
    Variant("redis always", "redis", "redis-always"),
    Variant("redis always, overlapped", "redis", "redis-always", "overlapped"),
    Variant("redis always, 2 consumers", "redis", "redis-always", consumers=2),
)


class Found(NamedTuple):
    """What one round of one variant came to: a rate, and microseconds of processor time for each delivery."""

    per_second: float
    server_us: float
    consumers_us: float


def start(stack: ExitStack, folder: Path, wanted: set[str]) -> dict[str, Running]:
    """The servers that the variants need and that are installed."""
    starts: dict[str, tuple[str, Callable[[], Any]]] = {
        "eventyard": ("", lambda: server(*BUS, str(folder / "eventyard"))),
        "jetstream": (peers.jetstream_missing(), lambda: peers.jetstream(folder / "jetstream")),
        "jetstream-always": (peers.jetstream_missing(), lambda: peers.jetstream(folder / "jetstream-always", sync="always")),
        "redis-everysec": (peers.redis_missing(), lambda: peers.redis(folder / "redis-everysec", fsync="everysec")),
        "redis-always": (peers.redis_missing(), lambda: peers.redis(folder / "redis-always", fsync="always")),
    }
    running: dict[str, Running] = {}
    for name in (name for name in starts if name in wanted):
        missing, begin = starts[name]
        if missing:
            print(f"skipped {name}: {missing}", flush=True)
        else:
            running[name] = stack.enter_context(begin())
    return running


def add(variant: Variant, url: str, name: str, count: int) -> None:
    """A new queue `name` in which the events wait."""
    match variant.system:
        case "jetstream":
            peers.fill_jetstream(url, name, map(body, range(count)), acknowledges_all=variant.way == "together")
        case "redis":
            peers.fill_redis(url, name, map(body, range(count)))
        case _:
            put_queue(url, name)
            fill(url, name.partition("/")[0], count, body)


def body(number: int) -> bytes:
    return _EVENT.replace(PLACE, b"%016d" % number)


def put_queue(url: str, name: str, delivery: dict[str, Any] | None = None) -> None:
    """A new bus and its pull rule, BUS/RULE, that matches every event of ours."""
    bus, _, rule = name.partition("/")
    with httpx.Client(base_url=f"{url}/v1/buses/{bus}", timeout=60) as client:
        client.put(f"{url}/v1/buses/{bus}").raise_for_status()
        document = {"pattern": {"type": ["order.paid"]}, "target": {"queue": {}}, "delivery": delivery or {}}
        client.put(f"/rules/{rule}", json=document).raise_for_status()


def drain(variant: Variant, running: Running, name: str, count: int) -> Found:
    """Let the consumers go all at once and wait until they find nothing more."""
    command = [sys.executable, "-m", "benchmarks.support.pull_client", variant.system, running.url, name, "--way", variant.way]
    with ExitStack() as stack:
        consumers = [
            stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            )
            for _ in range(variant.consumers)
        ]
        for consumer in consumers:
            read_line(consumer)
        cpu_s = running.cpu_s()
        for consumer in consumers:
            write_line(consumer)
        told: list[dict[str, Any]] = [json.loads(read_line(consumer)) for consumer in consumers]
        cpu_s = running.cpu_s() - cpu_s
    taken = sum(each["count"] for each in told)
    if taken != count:
        raise SystemExit(f"{variant.name}: found {taken:,} messages received and acknowledged, wanted {count:,}")
    took_s = max(each["ended"] for each in told) - min(each["began"] for each in told)
    return Found(count / took_s, cpu_s / count * 1e6, sum(each["cpu_s"] for each in told) / count * 1e6)


def read_line(consumer: subprocess.Popen[str]) -> str:
    line = consumer.stdout.readline() if consumer.stdout else ""
    if not line:
        raise SystemExit("a consumer ended early; its error stands above")
    return line


def write_line(consumer: subprocess.Popen[str]) -> None:
    if consumer.stdin:
        consumer.stdin.write("go\n")


def measure(folder: Path, variants: Sequence[Variant], rounds: int, count: int) -> dict[Variant, list[Found]]:
    found: dict[Variant, list[Found]] = {}
    with ExitStack() as stack:
        servers = start(stack, folder, {variant.server for variant in variants})
        there = [variant for variant in variants if variant.server in servers]
        for number in range(rounds * len(there)):
            variant, name = (
                there[number % len(there)],
                f"queue-{number}" + ("/all" if there[number % len(there)].system == "eventyard" else ""),
            )
            announce(f"{number + 1}/{rounds * len(there)} {variant.name}: {count:,} events to add and take")
            add(variant, servers[variant.server].url, name, count)
            found.setdefault(variant, []).append(drain(variant, servers[variant.server], name, count))
    announce("")
    return found


def show(found: dict[Variant, list[Found]], ours: float) -> None:
    for variant, rounds in found.items():
        rates = [each.per_second for each in rounds]
        rate = statistics.median(rates)
        print(
            f"{variant.name:27} {rate:8,.0f} deliveries/s ({min(rates):,.0f} to {max(rates):,.0f})"
            f"   cpu {statistics.median(each.server_us for each in rounds):5.1f} us server"
            f" + {statistics.median(each.consumers_us for each in rounds):4.1f} us consumers{f'   ours / this {ours / rate:.2f}' if ours else ''}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000, help="in each round of each variant; a multiple of 500")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only the variants in whose name this regular expression is found")
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    chosen = [variant for variant in VARIANTS if re.search(options.only, variant.name)]
    print(f"batches of {BATCH}, {options.events:,} events; load average {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        found = measure(Path(folder), chosen, options.rounds, options.events)
    ours = [
        statistics.median(each.per_second for each in rounds)
        for variant, rounds in found.items()
        if variant.system == "eventyard"
    ]
    show(found, max(ours, default=0.0))


if __name__ == "__main__":
    main()
