"""What order costs: a pull rule with `order: key` over 100,000 keys beside one without order, in turns within one run.

    python benchmarks/order.py --events 100000 --keys 100000

A round publishes the events in batches to a new bus with one rule, and then empties its queue in batches. Keys are drawn with a
seed, so some have several events and most one or none. With few keys (`--keys 10`) the batches are small, for one delivery of a key
is out at a time: that is not a cost but what was asked for.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_single import event
from benchmarks.pull import Variant, drain, put_queue
from benchmarks.support.filling import fill
from benchmarks.support.load import PLACE
from benchmarks.support.processes import BUS, Running, server
from benchmarks.support.progress import announce

ORDERS = ("none", "key")
_EVENT = event(890).replace(b'"time"', b'"partitionkey": "key-%KEY%", "time"')
_PULL = Variant("pull", "eventyard", "eventyard")


class Found(NamedTuple):
    """Events a second: published, then received and acknowledged, and both one after the other."""

    published: float
    pulled: float
    both: float


def measure(running: Running, name: str, order: str, keys: list[int]) -> Found:
    put_queue(running.url, name, {"order": order})
    count = len(keys)
    published_s = fill(running.url, name.partition("/")[0], count, lambda number: body(number, keys[number]))
    found = drain(_PULL, running, name, count)
    return Found(count / published_s, found.per_second, count / (published_s + count / found.per_second))


def body(number: int, key: int) -> bytes:
    return _EVENT.replace(PLACE, b"%016d" % number).replace(b"%KEY%", b"%06d" % key)


def show(order: str, rounds: list[Found]) -> None:
    published, pulled, both = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"order {order:4} {both:8,.0f} events/s published and pulled   {published:,.0f} published/s   {pulled:,.0f} pulled/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000, help="in each round")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    print(f"{options.events:,} events over {options.keys:,} keys; load average {os.getloadavg()[0]:.1f}", flush=True)
    rng = random.Random(1)
    keys = [rng.randrange(options.keys) for _ in range(options.events)]
    found: dict[str, list[Found]] = {order: [] for order in ORDERS}
    with tempfile.TemporaryDirectory(dir=options.data) as folder, server(*BUS, folder) as running:
        for number in range(options.rounds):
            for order, rounds in found.items():
                announce(f"round {number + 1} of {options.rounds}: order {order}")
                rounds.append(measure(running, f"bus-{order}-{number}/all", order, keys))
    announce("")
    for order, rounds in found.items():
        show(order, rounds)
    ratios = [
        statistics.median(getattr(k, field) / getattr(n, field) for n, k in zip(found["none"], found["key"], strict=True))
        for field in Found._fields
    ]
    print(
        f"ratio      {ratios[2]:8.2f} of the events/s with order, both steps; {ratios[0]:.2f} publishing; {ratios[1]:.2f} pulling"
    )


if __name__ == "__main__":
    main()
