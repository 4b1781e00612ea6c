"""Rounds of pushing a ready backlog, one rule's target after the other in turns: what benchmarks of pushes share.

The rule is paused while its events are published, then resumed, and the clock runs until the target has had them all.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from benchmarks.pull import body
from benchmarks.support.filling import fill
from benchmarks.support.processes import BUS, server, wait_until
from benchmarks.support.progress import announce
from benchmarks.workers import CONCURRENCY, PATIENCE_S, running_sink

_NONE: Mapping[str, dict[str, Any]] = {}


def run(
    told: str,
    targets: Mapping[str, dict[str, Any]],
    *,
    beside: Callable[[str], str],
    events: int,
    rounds: int,
    deliveries: Mapping[str, dict[str, Any]] = _NONE,
) -> None:
    """`targets`: what each says beside its URL. `deliveries`: what some say of delivery. `beside`: the one that another is held against."""
    parser = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=events, help="in each round")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    found: dict[str, list[float]] = {name: [] for name in targets}
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        for number in range(options.rounds):
            for name, target in sorted(targets.items(), reverse=bool(number % 2)):  # None of them always comes first.
                announce(f"round {number + 1} of {options.rounds}: {name}")
                found[name].append(measure(Path(folder) / f"{number}-{name}", options.events, target, deliveries.get(name, {})))
    announce("")
    for name, of_one in found.items():
        ratio = statistics.median(own / other for own, other in zip(of_one, found[beside(name)], strict=True))
        print(f"{name:24} {statistics.median(of_one):8,.0f} deliveries/s   ratio {ratio:.2f}")


def measure(folder: Path, count: int, target: dict[str, Any], delivery: dict[str, Any] | None = None) -> float:
    """Deliveries a second of one round."""
    with ExitStack() as stack:
        sink = stack.enter_context(running_sink())
        bus = stack.enter_context(server(*BUS, str(folder)))
        client = stack.enter_context(httpx.Client(base_url=bus.url))
        rule = "/v1/buses/default/rules/all"
        http = {"url": f"http://127.0.0.1:{sink.url}/events", **target}
        document = {
            "pattern": {"type": ["order.paid"]},
            "target": {"http": http},
            "delivery": {"concurrency": CONCURRENCY} | (delivery or {}),
        }
        client.put(rule, json=document).raise_for_status()
        client.post(f"{rule}/pause").raise_for_status()
        fill(bus.url, "default", count, body)
        began = time.perf_counter()
        client.post(f"{rule}/resume").raise_for_status()
        wait_until(
            lambda: int(client.get(f"http://127.0.0.1:{sink.url}/count").text) >= count,
            f"{count:,} pushes arrive",
            patience_s=PATIENCE_S,
        )
        return count / (time.perf_counter() - began)
