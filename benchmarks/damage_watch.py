"""What watching for damage costs, and how long looking and repairing take.

    PYTHONPATH=src python -m benchmarks.damage_watch [--folder DIR] [--events N]

The marks: commits on two stores in one run, in turns, one with marks and one without (the yardstick). The scrubber: the processor time of
its steps, as a share of a core at its pace. Then a start that has as much to look at as it ever has, `doctor` on the whole store, and two
repairs: of a log with one flipped bit, and of a file with one page that cannot be read.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from benchmarks.engine_commit import BUS, batches
from eventyard.core import limits
from eventyard.core.changes import BusRecord, Changes
from eventyard.core.clock import BusTime
from eventyard.engines.sqlite import SqliteEngine, examining, files, repairing
from eventyard.engines.sqlite.marks import NoMarks
from eventyard.process import SWITCH_INTERVAL_S

SHAPES = ((1, 6_000), (30, 90_000), (100, 150_000))
PAGE = 8192


def changes(events: list[Any], now_ms: int) -> list[Changes]:
    head = events[-1].position
    return [Changes(BUS, BusTime(now_ms, head), head, events=events)]


def marks(folder: Path) -> None:
    engines = {
        "with": SqliteEngine(str(folder / "with.db")),
        "without": SqliteEngine(str(folder / "without.db"), marks=NoMarks()),
    }
    now_ms = int(time.time() * 1000)
    first = 1
    for size, count in SHAPES:
        took: dict[str, list[float]] = {name: [] for name in engines}
        cpu = dict.fromkeys(engines, 0.0)
        for number, events in enumerate(batches(first, size, count, now_ms)):
            order = list(engines.items())
            for name, engine in order if number % 2 else order[::-1]:
                batch = changes(events, now_ms)
                start, began = time.perf_counter(), time.thread_time()
                engine.commit(batch)
                cpu[name] += time.thread_time() - began
                took[name].append(time.perf_counter() - start)
        first += count
        own, bare = (statistics.median(took[name]) * 1e6 for name in ("with", "without"))
        more = (cpu["with"] - cpu["without"]) / len(took["with"]) * 1e6
        print(
            f"commits of {size:>3}: {own:,.0f} us with marks, {bare:,.0f} us without, ratio {bare / own:.3f}; {more:+.1f} us of processor"
        )
    for engine in engines.values():
        engine.close()


def scrubber(path: Path, count: int) -> None:
    now_ms = int(time.time() * 1000)
    engine = SqliteEngine(str(path))
    engine.commit(
        [Changes(0, BusTime(now_ms, 0), 0, buses=[BusRecord(0, "system", "a", 1), BusRecord(BUS, "default", "b", 1)])]
    )
    for events in batches(1, 1_000, count, now_ms):
        engine.commit(changes(events, now_ms))
    steps, at = 0, 0
    began = time.thread_time()
    while at < count:
        at = engine.verify(BUS, at + 1, count).last
        steps += 1
    step_s = (time.thread_time() - began) / steps
    share = step_s * 1000 / limits.SCRUB_INTERVAL_MS
    print(f"scrubber: {step_s * 1e3:.2f} ms of processor a step of {count // steps} events, {share:.1%} of a core at its pace")
    engine.close()


def timed(what: str, call: Callable[[], Any], count: int) -> Any:
    start = time.perf_counter()
    answer = call()
    took = time.perf_counter() - start
    print(f"{what}: {took:.2f} s ({count / took:,.0f} events/s)")
    return answer


def start_and_repairs(path: Path, count: int) -> None:
    raw = apsw.Connection(str(path))
    raw.execute("UPDATE bus SET verified = 0")
    raw.close()
    engine = timed("start with the most it looks at", lambda: SqliteEngine(str(path)), limits.VERIFIED_AT_START_EVENTS_MAX)
    engine._connection.close()  # noqa: SLF001 - a process that dies
    timed("doctor on the whole store", lambda: examining.examine(path, quiet), count)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // PAGE // 2 * PAGE)
        file.write(b"\xff" * PAGE)
    plan = timed(
        "repair of a file with one bad page", lambda: repairing.repair(path, quiet, now_ms=int(time.time() * 1000)), count
    )
    lost = sum(loss.positions for loss in plan.losses)
    print(f"  which lacks {lost} of {count:,} events")
    plan.drop()


def mended_log(path: Path) -> None:
    now_ms = int(time.time() * 1000)
    engine = SqliteEngine(str(path))
    engine.commit(
        [Changes(0, BusTime(now_ms, 0), 0, buses=[BusRecord(0, "system", "a", 1), BusRecord(BUS, "default", "b", 1)])]
    )
    for events in batches(1, 10, 5_000, now_ms):
        engine.commit(changes(events, now_ms))
    engine._connection.close()  # noqa: SLF001 - as above
    log = bytearray(files.log(path).read_bytes())
    log[len(log) // 10] ^= 1
    files.log(path).write_bytes(log)
    found = examining.examine(path, quiet)
    print(f"one flipped bit in a log of {len(log) / 2**20:.0f} MiB: {'; '.join(loss.text for loss in found.losses)}")
    plan = timed("  repair", lambda: repairing.repair(path, quiet, now_ms=now_ms), 5_000)
    print(f"  which lacks {sum(loss.positions for loss in plan.losses)} of 5,000 events")


def quiet(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="where the files stand (default: a new temporary folder)")
    parser.add_argument("--events", type=int, default=300_000)
    asked = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for name in ("marks", "store", "log"):
            (Path(folder) / name).mkdir()
        marks(Path(folder) / "marks")
        scrubber(Path(folder) / "store" / files.DATABASE, asked.events)
        start_and_repairs(Path(folder) / "store" / files.DATABASE, asked.events)
        mended_log(Path(folder) / "log" / files.DATABASE)


if __name__ == "__main__":
    main()
