"""What would become of many machines: a model, not a measurement. What it assumes is in its arguments.

    python benchmarks/scale_model.py

*Partitions*: one bus is cut by key into partitions, each with a leader of its own. Keys are not alike: the k-th busiest comes `1 / k ** skew` as
often as the first. A key is in one partition, since its order is kept there, so the busiest partition says how much all of them can take.

*Leaders*: many buses, unlike in the same way, and a few nodes that lead them. Where a bus belongs follows from its name and the nodes alone
(rendezvous hashing), with and without a bound on what a node takes (Mirrokni, Thorup, Zadimoghaddam: consistent hashing with bounded loads); or
from what its nodes have to do (the least busy takes the next, the busiest first). Then a node is lost, and comes back.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.progress import announce

Loads = Mapping[str, float]
"""By bus, what part of all events is its own."""

Placement = Mapping[str, str]
"""By bus, the node that leads it."""

Place = Callable[[Loads, Sequence[str], Placement], dict[str, str]]
"""Says who leads what, where these nodes are there and those led before."""

YEAR_S = 365.25 * 24 * 3600
PARTITIONS = (1, 4, 16, 64)
SKEWS = (0.0, 0.8, 1.0, 1.2)
BOUND = 1.25
"""What a node takes at the most, as a multiple of the mean."""


def shares(count: int, skew: float) -> list[float]:
    """Of each of `count` things, the busiest first; together 1."""
    weights = [1 / rank**skew for rank in range(1, count + 1)]
    whole = sum(weights)
    return [weight / whole for weight in weights]


def busiest_partition(keys: Sequence[float], partitions: int) -> float:
    """Its share of all events, where each key is where its hash says."""
    loads = [0.0] * partitions
    for rank, share in enumerate(keys):
        loads[drawn(f"key {rank}") % partitions] += share
    return max(loads)


def drawn(name: str) -> int:
    """64 bits, as if by chance, the same for the same name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


# Who leads what.


def ranked(bus: str, nodes: Sequence[str]) -> list[str]:
    return sorted(nodes, key=lambda node: drawn(f"{node} {bus}"))


def by_name(loads: Loads, nodes: Sequence[str], _: Placement) -> dict[str, str]:
    return {bus: ranked(bus, nodes)[0] for bus in loads}


def by_name_bounded(loads: Loads, nodes: Sequence[str], _: Placement) -> dict[str, str]:
    """The first in a bus's own order that has room; the busiest bus chooses first, and one larger than the bound has a node of its own."""
    room = dict.fromkeys(nodes, BOUND * sum(loads.values()) / len(nodes))
    placed: dict[str, str] = {}
    for bus in sorted(loads, key=lambda bus: -loads[bus]):
        order = ranked(bus, nodes)
        placed[bus] = next((node for node in order if room[node] >= loads[bus]), max(order, key=lambda node: room[node]))
        room[placed[bus]] -= loads[bus]
    return placed


def by_load(loads: Loads, nodes: Sequence[str], before: Placement) -> dict[str, str]:
    """Leaders stay where they are; what has none goes to the least busy. Then the busiest gives to the least busy while that makes both more alike."""
    placed = {bus: node for bus, node in before.items() if node in nodes}
    busy = dict.fromkeys(nodes, 0.0)
    for bus, node in placed.items():
        busy[node] += loads[bus]
    for bus in sorted(loads.keys() - placed.keys(), key=lambda bus: (-loads[bus], bus)):
        placed[bus] = min(nodes, key=lambda node: busy[node])
        busy[placed[bus]] += loads[bus]
    while True:
        most, least = max(nodes, key=lambda node: busy[node]), min(nodes, key=lambda node: busy[node])
        gap = busy[most] - busy[least]
        if gap <= (BOUND - 1) * sum(busy.values()) / len(nodes):
            return placed
        movable = [bus for bus, node in placed.items() if node == most and loads[bus] < gap]
        if not movable:
            return placed
        moved = min(movable, key=lambda bus: abs(loads[bus] - gap / 2))
        placed[moved] = least
        busy[most] -= loads[moved]
        busy[least] += loads[moved]


def imbalance(loads: Loads, placed: Placement, nodes: Sequence[str]) -> float:
    """The busiest node's load as a multiple of the mean."""
    busy = dict.fromkeys(nodes, 0.0)
    for bus, node in placed.items():
        busy[node] += loads[bus]
    return max(busy.values()) / (sum(busy.values()) / len(nodes))


def moved(before: Placement, after: Placement, nodes: Sequence[str]) -> int:
    """Leaders that changed though the node that they had is still there: each is an outage that nobody needed."""
    return sum(1 for bus, node in before.items() if node in nodes and after[bus] != node)


WAYS: dict[str, Place] = {"by name": by_name, f"by name, bound {BOUND}": by_name_bounded, "by load": by_load}


# What is printed.


def tell_partitions(keys: int, capacity: float) -> None:
    print(f"Partitions: {keys:,} keys, a leader takes {capacity:,.0f} events/s")
    print("skew   busiest key  " + "  ".join(f"{partitions:>4} partitions" for partitions in PARTITIONS))
    for skew in SKEWS:
        announce(f"partitions at skew {skew}")
        each = shares(keys, skew)
        taken = [capacity / busiest_partition(each, partitions) for partitions in PARTITIONS]
        announce("")
        print(f"{skew:4.1f}   {each[0]:10.4%}  " + "  ".join(f"{events:>13,.0f}/s" for events in taken))


def tell_leaders(buses: int, nodes: int, skew: float) -> None:
    loads = {f"bus-{at}": share for at, share in enumerate(shares(buses, skew))}
    names = [f"node-{at}" for at in range(nodes)]
    print(
        f"\nLeaders: {buses:,} buses on {nodes} nodes, skew {skew}; the busiest bus is {max(loads.values()) * nodes:.2f} of a node's mean"
    )
    print(f"{'placed':22}  busiest node  after a loss  moved needlessly  after it is back  moved then")
    for way, place in WAYS.items():
        announce(f"leaders {way}")
        before = place(loads, names, {})
        left = names[1:]
        lost = place(loads, left, before)
        back = place(loads, names, lost)
        announce("")
        of_lost, of_back = imbalance(loads, lost, left), imbalance(loads, back, names)
        print(
            f"{way:22}  {imbalance(loads, before, names):12.2f}  {of_lost:12.2f}  {moved(before, lost, left):16,}"
            f"  {of_back:16.2f}  {moved(lost, back, left):10,}"
        )


def tell_outages(buses: int, nodes: int, takeover_s: float, losses_a_year: float) -> None:
    """Of one bus: how long in a year nobody led it."""
    led = 1 - takeover_s * losses_a_year / YEAR_S
    print(
        f"\nOutages: its leader is lost to a bus {losses_a_year:g} times a year, and {takeover_s:g} s pass until another leads"
    )
    print(
        f"it has none for {takeover_s * losses_a_year:.0f} s a year, {1 - led:.5%} of it; one loss of a node moves {buses / nodes:,.0f} leaders"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000, help="of the bus that is cut (default 1000000)")
    parser.add_argument("--capacity", type=float, default=15_000, help="events/s that one leader takes (default 15000)")
    parser.add_argument("--buses", type=int, default=10_000, help="that nodes lead (default 10000)")
    parser.add_argument("--nodes", type=int, default=10, help="(default 10)")
    options = parser.parse_args()
    tell_partitions(options.keys, options.capacity)
    for skew in (0.5, 1.0):
        tell_leaders(options.buses, options.nodes, skew)
    tell_outages(options.buses, options.nodes, takeover_s=10, losses_a_year=12)


if __name__ == "__main__":
    main()
