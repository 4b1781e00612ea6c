"""How fast old events are read: a range in chunks of 1,000, each row's checksum verified.

    PYTHONPATH=src python -m benchmarks.history [--folder DIR] [--events N]

The yardstick in the same run is a bare apsw SELECT of the same rows, in the same chunks, from which nothing is built.
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.engine_commit import BUS, batches
from eventyard.core.changes import BusRecord, Changes
from eventyard.core.clock import BusTime
from eventyard.engines.sqlite import SqliteEngine
from eventyard.engines.sqlite import connection as connections
from eventyard.engines.sqlite import place as places

CHUNK = 1_000
ROUNDS = 5


def fill(path: Path, count: int) -> None:
    engine = SqliteEngine(str(path), synchronous="OFF")
    now = BusTime(int(time.time() * 1000), 1)
    engine.commit([Changes(0, now, 0, buses=[BusRecord(0, "system", "i0", 1), BusRecord(BUS, "default", "i1", 1)])])
    for events in batches(1, CHUNK, count, now.time_ms):
        engine.commit([Changes(BUS, now, events[-1].position, events=events)])
    engine.close()


def read(engine: SqliteEngine) -> int:
    """By the view, as a backfill or a caller who pages through history."""
    first = seen = 0
    with engine.reader() as view:
        while events := view.events(BUS, first, places.POSITION_MAX, CHUNK):
            seen += len(events)
            first = events[-1].position + 1
    return seen


def read_bare(path: Path) -> int:
    connection = connections.open_reader(str(path), vfs=None)
    first, last = places.span(BUS)
    seen = 0
    while rows := connections.rows(connection, "events_ascending", first, last, CHUNK):
        seen += len(rows)
        first = rows[-1][0] + 1
    connection.close()
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="where the file stands (default: a new temporary folder)")
    parser.add_argument("--events", type=int, default=300_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        measure(Path(folder) / "bus.db", asked.events)


def measure(path: Path, count: int) -> None:
    fill(path, count)
    engine = SqliteEngine(str(path))
    for _ in range(ROUNDS):
        start = time.perf_counter()
        seen = read(engine)
        built = time.perf_counter()
        bare = read_bare(path)
        end = time.perf_counter()
        print(
            f"{seen / (built - start):>10,.0f} events/s   bare rows {bare / (end - built):>10,.0f}/s   ratio {(end - built) / (built - start):.2f}"
        )
    engine.close()


if __name__ == "__main__":
    main()
