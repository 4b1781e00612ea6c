"""What a durable commit costs on this disk, with the dedup window full.

    PYTHONPATH=src python -m benchmarks.engine_commit [--folder DIR] [--profile]

Every line: commits of so many events, each with so many deliveries put already leased and, in the next commit, settled, as a
push does it. `ids` is what asking for the ids of a batch and noting them costs of that. The yardstick in the same run
is a bare apsw insert of the same event bytes into one table of a write-ahead log with the same `synchronous`.
"""

import argparse
import cProfile
import itertools
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from benchmarks.support.fill_window import fill
from eventyard.core.changes import Changes, Moved, StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, State
from eventyard.engines.sqlite import SqliteEngine

BUS = 1
SHAPES = (
    (1, 1, 3_000),
    (30, 1, 60_000),
    (100, 1, 100_000),
    (1000, 1, 200_000),
    (30, 3, 60_000),
    (100, 3, 100_000),
    (1000, 3, 200_000),
)


def event(position: int, now_ms: int) -> StoredEvent:
    """880 bytes, as the events of the other benchmarks."""
    json = (
        b'{"specversion":"1.0","id":"evt-%012d","source":"https://shop.example/orders","type":"order.paid",'
        b'"subject":"orders/%d","time":"2026-01-01T00:00:00Z","data":{"total":12.5,"note":"%b"}}'
    ) % (position, position, b"x" * 680)
    return StoredEvent(
        position, now_ms, position.to_bytes(16, "little"), json, "https://shop.example/orders", f"evt-{position:012d}"
    )


def batches(first: int, size: int, count: int, now_ms: int) -> Iterator[list[StoredEvent]]:
    for start in range(first, first + count, size):
        yield [event(position, now_ms) for position in range(start, start + size)]


def commit_all(engine: SqliteEngine, first: int, size: int, deliveries: int, count: int) -> tuple[float, float, list[float]]:
    """Seconds in all, of them for ids, and for each commit. The making of the events is not counted."""
    now_ms = int(time.time() * 1000)
    took, ids = [], 0.0
    leased: list[Delivery] = []
    for events in batches(first, size, count, now_ms):
        head = events[-1].position
        puts = [
            Delivery(rule, 0, stored.position, State.LEASED, head + 30_000, 1, 1, head)
            for stored in events
            for rule in range(1, deliveries + 1)
        ]
        settled = [Delivery(row.rule, 0, row.position, State.DELIVERED, now_ms, 1, 1) for row in leased]
        moves = [Moved(State.LEASED, now) for now in settled]
        changes = Changes(BUS, BusTime(now_ms, head), head, events=events, puts=puts, moves=moves)
        asked = [(stored.source, stored.id) for stored in events]
        start = time.perf_counter()
        engine.view.find_ids(BUS, asked)
        found = time.perf_counter()
        engine.commit([changes])
        took.append(time.perf_counter() - start)
        ids += found - start
        leased = puts
    return sum(took), ids, took


def yardstick(folder: Path, size: int, count: int) -> float:
    """Seconds of a bare insert of the same bytes."""
    path = folder / "bare.db"
    bare = apsw.Connection(str(path))
    bare.pragma("page_size", 8192)
    bare.pragma("journal_mode", "WAL")
    bare.pragma("synchronous", "FULL")
    bare.execute("CREATE TABLE event (id INTEGER PRIMARY KEY, json BLOB)")
    took = 0.0
    for events in batches(1, size, count, 1):
        rows = [(stored.position, stored.json) for stored in events]
        start = time.perf_counter()
        with bare:
            bare.executemany("INSERT INTO event VALUES (?, ?)", rows)
        took += time.perf_counter() - start
    bare.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="where the file stands (default: a new temporary folder)")
    parser.add_argument("--profile", action="store_true", help="profile the commits of 100 events with 3 deliveries instead")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        measure(Path(folder), is_profiled=asked.profile)


def measure(folder: Path, *, is_profiled: bool) -> None:
    start = time.perf_counter()
    head = fill(str(folder / "bus.db"))
    print(
        f"window of {head:,} ids filled in {time.perf_counter() - start:.1f} s; {os.cpu_count()} cores; {fsync_ms(folder):.2f} ms a fsync"
    )
    engine = SqliteEngine(str(folder / "bus.db"))
    start = time.perf_counter()
    engine.view.find_ids(BUS, [("a", "b")])
    print(f"ids read at start in {time.perf_counter() - start:.2f} s")
    first = head + 1
    if is_profiled:
        profile(engine, first)
        return
    print(
        f"{'events':>6} {'deliveries':>10} {'events/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'ids us/event':>13} {'bare events/s':>14}"
    )
    for size, deliveries, count in SHAPES:
        seconds, ids, took = commit_all(engine, first, size, deliveries, count)
        first += count
        bare = yardstick(folder, size, count)
        low, high = statistics.median(took), statistics.quantiles(took, n=100)[98]
        print(
            f"{size:>6} {deliveries:>10} {count / seconds:>9,.0f} {low * 1e3:>8.2f} {high * 1e3:>8.2f} {max(took) * 1e3:>8.1f}"
            f" {ids / count * 1e6:>13.2f} {count / bare:>14,.0f}"
        )
    engine.close()


def profile(engine: SqliteEngine, first: int) -> None:
    profiler = cProfile.Profile()
    profiler.enable()
    commit_all(engine, first, 100, 3, 50_000)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


def fsync_ms(folder: Path) -> float:
    """A plain append of 8 KiB and fdatasync, for the sake of comparing disks."""
    descriptor = os.open(folder / "sync", os.O_CREAT | os.O_WRONLY)
    took = []
    for _ in itertools.repeat(None, 200):
        os.write(descriptor, b"x" * 8192)
        start = time.perf_counter()
        os.fdatasync(descriptor)
        took.append(time.perf_counter() - start)
    os.close(descriptor)
    return statistics.median(took) * 1e3


if __name__ == "__main__":
    main()
