"""What signing costs a push: a ready backlog pushed unsigned, signed with one secret, and with two, in binary mode too, in turns.

    python benchmarks/signed_push.py --events 20000

As `workers.py`, with the server itself pushing: the rule is paused while its events are published, then resumed, and the clock runs until the target has
had them all. The target verifies nothing, so that what is measured is the sender.
"""

import argparse
import base64
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.pull import body
from benchmarks.support.filling import fill
from benchmarks.support.processes import BUS, server, wait_until
from benchmarks.support.progress import announce
from benchmarks.workers import CONCURRENCY, PATIENCE_S, running_sink

SECRETS = [{"secret": "whsec_" + base64.b64encode(bytes([number]) * 32).decode()} for number in range(2)]
TARGETS: dict[str, dict[str, Any]] = {
    "unsigned": {},
    "one secret": {"signing": {"secrets": SECRETS[:1]}},
    "two secrets": {"signing": {"secrets": SECRETS}},
    "unsigned, binary": {"mode": "binary"},
    "two secrets, binary": {"mode": "binary", "signing": {"secrets": SECRETS}},
}


def measure(folder: Path, count: int, target: dict[str, Any]) -> float:
    """Deliveries a second of one round."""
    with ExitStack() as stack:
        sink = stack.enter_context(running_sink())
        bus = stack.enter_context(server(*BUS, str(folder)))
        client = stack.enter_context(httpx.Client(base_url=bus.url))
        rule = "/v1/buses/default/rules/all"
        http = {"url": f"http://127.0.0.1:{sink.url}/events", **target}
        document = {"pattern": {"type": ["order.paid"]}, "target": {"http": http}, "delivery": {"concurrency": CONCURRENCY}}
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    rounds: dict[str, list[float]] = {name: [] for name in TARGETS}
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        for number in range(options.rounds):
            for name, target in sorted(TARGETS.items(), reverse=bool(number % 2)):  # None of them always comes first.
                announce(f"round {number + 1} of {options.rounds}: {name}")
                rounds[name].append(measure(Path(folder) / f"{number}-{name}", options.events, target))
    announce("")
    for name, found in rounds.items():
        beside = rounds["unsigned, binary" if "binary" in name else "unsigned"]
        ratio = statistics.median(own / other for own, other in zip(found, beside, strict=True))
        print(f"{name:20} {statistics.median(found):8,.0f} deliveries/s   ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
