"""The dedup window of the SQLite engine: segments, slices and filters, over restarts, failures and time."""

import random
from pathlib import Path
from unittest import mock

import apsw
import msgspec
import pytest

from eventyard.core import limits
from eventyard.core.changes import Changes
from eventyard.core.clock import BusTime
from eventyard.engines.sqlite import SqliteEngine, id_segments, ids
from tests.conformance.engines import BUS, SMALL, TIME, changes, event


def opened(path: Path) -> SqliteEngine:
    return SqliteEngine(str(path), layout=SMALL)


def filled(path: Path, count: int, *, step: int = 3) -> SqliteEngine:
    engine = opened(path)
    for first in range(1, count + 1, step):
        engine.commit([changes(*(event(n) for n in range(first, min(first + step, count + 1))))])
    return engine


def known(engine: SqliteEngine, count: int) -> list[int]:
    found = engine.view.find_ids(BUS, [("/s", f"e{n}") for n in range(1, count + 20)])
    return sorted(answer.position for answer in found.values())


def raw(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.db"


def test_segments_and_slices_close_as_they_fill(path: Path) -> None:
    engine = filled(path, 100)

    assert raw(path).execute("SELECT count(*) FROM id_segment").get == 16
    assert raw(path).execute("SELECT count(*) FROM id_slice").get == 5
    assert len(engine._ids._buses[BUS].open) == 4
    assert len(engine._ids._buses[BUS].slices) == 6
    engine.close()


@pytest.mark.parametrize("count", [1, 4, 5, 6, 14, 15, 16, 17, 29, 30, 31, 100])
def test_every_id_is_known_after_a_restart_at_any_fill(path: Path, count: int) -> None:
    filled(path, count, step=1).close()
    engine = opened(path)

    assert known(engine, count) == list(range(1, count + 1))
    engine.commit([changes(*(event(count + n) for n in range(1, 9)))])
    assert known(engine, count + 8) == list(range(1, count + 9))
    engine.close()


def test_one_commit_larger_than_a_slice_closes_one_segment(path: Path) -> None:
    engine = filled(path, 50, step=50)

    assert raw(path).execute("SELECT count(*) FROM id_segment").get == 1
    assert known(engine, 50) == list(range(1, 51))
    engine.close()


def test_a_failed_commit_that_would_close_a_slice_changes_nothing(path: Path) -> None:
    engine = filled(path, 14, step=1)
    before = vars(engine._ids._buses[BUS]).copy()
    engine._connection.set_commit_hook(lambda: True)
    for _ in range(3):
        with pytest.raises(Exception, match="cannot be read or written"):
            engine.commit([changes(event(15))])
    engine._connection.set_commit_hook(None)

    assert vars(engine._ids._buses[BUS]) == before
    assert known(engine, 15) == list(range(1, 15))
    engine.commit([changes(event(15, id="other"))])
    assert engine.view.find_ids(BUS, [("/s", "e15")]) == {}
    engine.close()


def test_segments_behind_the_window_by_count_are_dropped(path: Path) -> None:
    with mock.patch.object(limits, "DEDUP_WINDOW_IDS", 20):
        engine = filled(path, 200)
        found = known(engine, 200)
        assert raw(path).execute("SELECT count(*) FROM id_segment").get <= 6
        assert raw(path).execute("SELECT count(*) FROM id_slice").get <= 2
        engine.close()
        again = opened(path)
        assert known(again, 200) == found
        again.close()

    assert set(range(181, 201)) <= set(found)
    assert min(found) > 160


def test_segments_behind_the_window_by_time_are_dropped_but_for_the_newest(path: Path) -> None:
    engine = filled(path, 40)
    later = BusTime(TIME.time_ms + limits.DEDUP_WINDOW_MS + 10_000, TIME.work_ms)
    for position in range(41, 45):
        engine.commit([msgspec.structs.replace(changes(event(position, at_ms=later.time_ms)), time=later)])
    found = known(engine, 44)
    engine.close()

    again = opened(path)
    assert known(again, 44) == found
    assert found == list(range(37, 45))
    assert raw(path).execute("SELECT count(*), max(place) FROM id_bucket WHERE place >> 44 = 1").get[0] <= 15
    again.close()


def test_what_is_dropped_with_one_commit_is_bounded(path: Path) -> None:
    engine = filled(path, 98)
    later = BusTime(TIME.time_ms + limits.DEDUP_WINDOW_MS + 10_000, TIME.work_ms)
    before = raw(path).execute("SELECT count(*) FROM id_segment").get
    engine.commit([Changes(BUS, later, 99, events=[event(99, at_ms=later.time_ms)])])

    assert raw(path).execute("SELECT count(*) FROM id_segment").get == before - ids.DROPPED_PER_COMMIT
    engine.close()


@pytest.mark.parametrize("width", [1, 3])
def test_ids_of_one_hash_are_never_taken_for_each_other(path: Path, width: int) -> None:
    def few(_source: str, id: str) -> int:  # noqa: A002 - it is the event's id
        return int(id[1:]) % width << 62

    with mock.patch.object(ids, "hash_id", few):
        engine = filled(path, 60)
        for number in range(1, 90):
            found = engine.view.find_ids(BUS, [("/s", f"e{number}")])
            assert [answer.position for answer in found.values()] in ([], [number])
        engine.close()


@pytest.mark.parametrize("damage", ["filter = zeroblob(length(filter))", "checksum = checksum + 1", "filter = x'00'"])
def test_a_damaged_filter_is_made_again_from_its_segments(path: Path, damage: str) -> None:
    filled(path, 60).close()
    raw(path).execute(f"UPDATE id_slice SET {damage}")  # noqa: S608 - the test's own
    engine = opened(path)

    assert known(engine, 60) == list(range(1, 61))
    engine.close()


def test_a_lost_filter_is_made_again_from_its_segments(path: Path) -> None:
    filled(path, 60).close()
    raw(path).execute("DELETE FROM id_slice")
    engine = opened(path)

    assert known(engine, 60) == list(range(1, 61))
    engine.close()


def test_buses_beyond_the_memory_bound_are_forgotten_and_read_again(path: Path) -> None:
    engine = opened(path)
    with mock.patch.object(ids, "MEMORY_BYTES_MAX", 100):
        for first in range(1, 40, 3):
            for bus in range(1, 6):
                engine.commit([changes(*(event(first + n, id=f"{bus}-{first + n}") for n in range(3)), bus=bus)])
        assert list(engine._ids._buses) == [5]
        for bus in range(1, 6):
            assert len(engine.view.find_ids(bus, [("/s", f"{bus}-{n}") for n in range(1, 50)])) == 39
    engine.close()


def test_a_segment_finds_every_id_and_no_other(path: Path) -> None:
    engine = opened(path)
    rng = random.Random(1)
    held = {rng.getrandbits(64): n for n in range(5_000)} | {0: 6_000, 2**64 - 1: 6_001}
    segment = id_segments.Segment(3, 1_000, 7_001, 0)
    id_segments.write(engine._connection, BUS, segment, held)

    def find(key: int) -> list[int]:
        return list(id_segments.find(engine._connection, BUS, [segment], key))

    assert all(find(key) == [1_000 + offset] for key, offset in held.items())
    assert not any(find(rng.getrandbits(64)) for _ in range(2_000))
    assert sorted(id_segments.hashes(engine._connection, BUS, segment)) == sorted(held)
    engine.close()


def test_the_usual_layout_is_what_the_window_is_reckoned_with() -> None:
    bloom = ids.LAYOUT.new_bloom()
    assert bloom.size_in_bits / (ids.LAYOUT.segment_ids * ids.LAYOUT.slice_segments) == pytest.approx(16, abs=0.1)
    rng = random.Random(2)
    bloom.update(rng.getrandbits(64) for _ in range(ids.LAYOUT.segment_ids * 8))
    assert not any(rng.getrandbits(64) in bloom for _ in range(2_000))
