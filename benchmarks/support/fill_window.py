"""Fill a file's dedup window with made-up ids, far faster than by publishing them: 305 segments in a few seconds.

Publishing is measured with the window full, because a bus that has run for a day has it full.

    python -m benchmarks.support.fill_window FILE
"""

import random
import sys
import time
from zlib import crc32

from eventyard.core.changes import BusRecord, Changes
from eventyard.core.clock import BusTime
from eventyard.engines.sqlite import SqliteEngine, id_segments
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.id_segments import Segment
from eventyard.engines.sqlite.ids import LAYOUT
from eventyard.engines.sqlite.statements import SQL

WINDOW_SEGMENTS = 305


def fill(path: str, bus: int = 1, segments: int = WINDOW_SEGMENTS) -> int:
    """A new file at `path` whose bus has `segments` full segments behind its head. The head."""
    engine = SqliteEngine(path, synchronous="OFF")
    now = BusTime(int(time.time() * 1000), 1)
    head = segments * LAYOUT.segment_ids
    records = [BusRecord(0, "system", "i0", 1), BusRecord(bus, "default", "i1", 1)]
    engine.commit([Changes(0, now, 0, buses=records), Changes(bus, now, head)])
    connection = engine._connection  # noqa: SLF001 - this is what publishing would write, without the events
    rng = random.Random(1)
    bloom = LAYOUT.new_bloom()
    for number in range(segments):
        first = number * LAYOUT.segment_ids + 1
        ids = {rng.getrandbits(64): n for n in range(LAYOUT.segment_ids)}
        bloom.update(ids)
        with connection:
            id_segments.write(connection, bus, Segment(number, first, first + LAYOUT.segment_ids - 1, now.time_ms), ids)
            if (number + 1) % LAYOUT.slice_segments == 0:
                saved = bloom.save_bytes()
                slice_place = places.place(bus, number // LAYOUT.slice_segments)
                connection.execute(SQL["add_id_slice"], (slice_place, crc32(saved), saved))
                bloom = LAYOUT.new_bloom()
    engine.close()
    return head


if __name__ == "__main__":
    start = time.perf_counter()
    print(f"head {fill(sys.argv[1])} in {time.perf_counter() - start:.1f} s")
