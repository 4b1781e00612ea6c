"""How fast a relay empties an outbox into a durable bus, beside the same client publishing the same events in batches.

    python benchmarks/outbox.py --events 30000 --rounds 3

`sqlite` and, where it is installed, `postgresql` (started for this, with its fsync on): one relay in order, batches of 1,000, with
the events of 880 bytes committed there beforehand. `plain` is the yardstick: `Client.publish_many` of as many, one connection. They
take turns. `ratio` is what reading, marking and one transaction for each batch cost on top of publishing. `added`: events/s put in
beforehand, a hundred to a transaction.
"""

import argparse
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_single import event
from benchmarks.support.load import PLACE
from benchmarks.support.processes import BUS, Running, server
from eventyard.client import Client, Outbox
from tests.support.postgres import postgres, programs

EVENT_BYTES = 920
ADDED_TOGETHER = 100
Connect = Callable[[], Any]


def texts(count: int) -> Iterator[bytes]:
    """No event twice, in whatever round."""
    before, _, after = event(EVENT_BYTES).partition(PLACE)
    began = time.time_ns()
    return (b"%b%d-%08d%b" % (before, began, number, after) for number in range(count))


def fill(connect: Connect, count: int) -> float:
    """How long it took."""
    outbox, began = Outbox(), time.perf_counter()
    with closing(connect()) as connection:
        outbox.create(connection)
        for number, text in enumerate(texts(count), 1):
            outbox.add(connection, text)
            if number % ADDED_TOGETHER == 0:
                connection.commit()
        connection.commit()
    return time.perf_counter() - began


class Round(NamedTuple):
    """One way once. Processor time is of this process, which relays, and of the bus."""

    took_s: float
    cpu_s: float
    bus_cpu_s: float


def timed(bus: Running, work: Callable[[], None]) -> Round:
    began, cpu_s, bus_cpu_s = time.perf_counter(), time.process_time(), bus.cpu_s()
    work()
    return Round(time.perf_counter() - began, time.process_time() - cpu_s, bus.cpu_s() - bus_cpu_s)


def relay(client: Client, connect: Connect, count: int) -> None:
    relayed = Outbox().relay(client, connect, until_empty=True)
    if relayed.accepted != count or relayed.duplicates:
        raise SystemExit(f"found {relayed}; wanted {count} events accepted, none of them twice")


def plain(client: Client, events: list[bytes]) -> None:
    accepted = sum(verdict.is_accepted and not verdict.duplicate for verdict in client.publish_many(events))
    if accepted != len(events):
        raise SystemExit(f"found {accepted} events accepted; wanted {len(events)}")


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, Connect]]:
    found: dict[str, Connect] = {"sqlite": lambda: sqlite3.connect(folder / "service.db")}
    with closing(found["sqlite"]()) as connection:
        connection.execute("PRAGMA journal_mode = wal")
    with ExitStack() as stack:
        if programs() is None:
            print("postgresql  left out: it is not installed here")
        else:
            import psycopg  # noqa: PLC0415 - an extra of benchmarks, and only for this line

            connection_string = stack.enter_context(postgres(fsync=True))
            found["postgresql"] = lambda: psycopg.connect(connection_string)
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=30_000, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        run(Path(folder), options.events, options.rounds)


def run(folder: Path, count: int, rounds: int) -> None:
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    found: dict[str, list[Round]] = {"plain": []}
    added: dict[str, list[float]] = {}
    with databases(folder) as connects, server(*BUS, str(folder / "bus")) as bus, Client(bus.url) as client:
        for _ in range(rounds):
            events = list(texts(count))
            found["plain"].append(timed(bus, lambda events=events: plain(client, events)))  # type: ignore[misc]
            for name, connect in connects.items():
                added.setdefault(name, []).append(fill(connect, count))
                work = lambda connect=connect: relay(client, connect, count)  # noqa: E731 - bound to this turn
                found.setdefault(name, []).append(timed(bus, work))
    yardstick = show("plain", found["plain"], count)
    for name in connects:
        ours = show(name, found[name], count, f"   added {count / statistics.median(added[name]):,.0f}/s")
        print(f"ratio       {ours / yardstick:8.2f} {name} / plain")


def show(name: str, rounds: list[Round], count: int, more: str = "") -> float:
    """One line; the median rate."""
    rates = [count / each.took_s for each in rounds]
    cpu_us, bus_cpu_us = (statistics.median(each[index] for each in rounds) / count * 1e6 for index in (1, 2))
    print(
        f"{name:11} {statistics.median(rates):8,.0f} events/s ({min(rates):,.0f} to {max(rates):,.0f})"
        f"   cpu {cpu_us:.1f} us, of the bus {bus_cpu_us:.1f} us{more}",
        flush=True,
    )
    return statistics.median(rates)


if __name__ == "__main__":
    main()
