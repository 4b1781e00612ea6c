"""Events all the way: published one by one, kept, routed and pushed, until the last push has arrived; fan-out 1 and 3.

    python benchmarks/end_to_end.py --seconds 20 --concurrency 64

A run publishes a number of events as fast as they are accepted and ends when the target has had every delivery, so a backlog
counts against it: the rate is one that can be sustained. The yardstick is how many bare requests of the same bytes the same
target answers to a load client alone, by wrk where it is installed (without a body, then), else by our own. Every event
that is delivered k times is 1 + k HTTP requests on this machine and two commits, all on the cores that client and target use too.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_batches import PATH
from benchmarks.publish_single import event, put_rules, sink
from benchmarks.support import load
from benchmarks.support.processes import BUS, server

FAN_OUTS = (1, 3)
PATIENCE_S = 60.0
_WRK_RATE = re.compile(r"Requests/sec:\s*([0-9.]+)")


class Sustained(NamedTuple):
    published: float
    """Events a second while publishing went on."""
    delivered: float
    """Deliveries a second, from the first request to the last arrival."""
    deliveries: int


def measure(folder: Path, target: str, fan_out: int, concurrency: int, seconds: float) -> Sustained:
    with server(*BUS, str(folder)) as bus:
        put_rules(bus.url, target)
        match_too(bus.url, target, fan_out)
        before = arrived(target)
        told = load.run(bus.url + PATH, event(880), concurrency=concurrency, seconds=seconds)
        published_s, wanted = told["count"] / told["per_second"], told["count"] * fan_out
        drained_s = wait_for(target, before + wanted)
        return Sustained(told["per_second"], wanted / (published_s + drained_s), wanted)


def match_too(url: str, target: str, fan_out: int) -> None:
    """Of the ten rules, have so many match the events of `event`."""
    for number in range(1, fan_out):
        rule = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": target}}, "delivery": {"concurrency": 64}}
        httpx.put(f"{url}/v1/buses/default/rules/rule-{number}", json=rule).raise_for_status()


def arrived(target: str) -> int:
    return int(httpx.get(target.replace("/events", "/count")).text)


def wait_for(target: str, count: int) -> float:
    """The seconds until the target has had so many."""
    began = time.perf_counter()
    while (found := arrived(target)) < count:
        if time.perf_counter() > began + PATIENCE_S:
            raise SystemExit(f"found {found} deliveries, wanted {count}, after {PATIENCE_S:.0f} s more")
        time.sleep(0.02)
    return time.perf_counter() - began


def yardstick(target: str, concurrency: int, seconds: float) -> tuple[str, float]:
    """Who asked, and the bare requests a second that were answered."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return "own client", float(load.run(target, event(880), concurrency=concurrency, seconds=seconds)["per_second"])
    command = [wrk, "--threads", "1", "--connections", str(concurrency), "--duration", f"{max(1, round(seconds))}s", target]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = _WRK_RATE.search(told)
    if found is None:
        raise SystemExit(f"found no rate in what wrk said:\n{told}")
    return "wrk", float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the whole run, the time to drain aside")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    share = options.seconds / (len(FAN_OUTS) + 1)
    with tempfile.TemporaryDirectory(dir=options.data) as folder, sink() as target:
        who, bare = yardstick(target, options.concurrency, share)
        print(f"bare       {bare:9,.0f} requests/s ({who})")
        for fan_out in FAN_OUTS:
            data = Path(folder) / f"fan-out-{fan_out}"
            show(fan_out, measure(data, target, fan_out, options.concurrency, share), bare)


def show(fan_out: int, found: Sustained, bare: float) -> None:
    print(
        f"fan-out {fan_out}  {found.delivered:9,.0f} deliveries/s   ratio {found.delivered / bare:.2f}"
        f"   {found.published:,.0f} events/s while publishing, {found.deliveries:,} deliveries in all"
    )


if __name__ == "__main__":
    main()
