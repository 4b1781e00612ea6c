"""Damage in the database itself: whatever is hit, nothing wrong is served, what is gone is told, and the rest can be used."""

import random
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import apsw
import msgspec
import pytest

from eventyard.core import limits
from eventyard.core.errors import Damaged, StorageFailed
from eventyard.core.loss import Verified
from eventyard.engines.sqlite import SqliteEngine, files, reading, verifying
from eventyard.engines.sqlite.place import place
from tests.conformance.engines import BUS, SMALL, changes, event, founding
from tests.support.harm import crashed, cut, flip

HEAD = 400
PAGE = 8192


def opened(path: Path) -> SqliteEngine:
    return SqliteEngine(str(path), layout=SMALL)


def truth(position: int) -> object:
    return event(position, note="x" * (300 + position % 5 * 700))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three hundred pages or so, closed in order."""
    path = tmp_path_factory.mktemp("written") / "eventyard.db"
    engine = opened(path)
    engine.commit([founding(BUS)])
    for first in range(1, HEAD, 40):
        engine.commit([changes(*(event(n, note="x" * (300 + n % 5 * 700)) for n in range(first, first + 40)))])
    engine.close()
    return path


@pytest.fixture
def store(written: Path) -> Path:
    return crashed(written, f"store{random.Random().getrandbits(40)}")


# Nothing wrong is ever served


def overwrite(path: Path, rng: random.Random) -> None:
    """A page full of something else."""
    _put_page(path, rng.randrange(path.stat().st_size // PAGE), rng.choice((bytes(PAGE), b"\xff" * PAGE, rng.randbytes(PAGE))))


def misdirect(path: Path, rng: random.Random) -> None:
    """A page written to the place of another: each is whole in itself."""
    pages = path.stat().st_size // PAGE
    data = path.read_bytes()
    source = rng.randrange(pages)
    _put_page(path, rng.randrange(pages), data[source * PAGE : (source + 1) * PAGE])


def _put_page(path: Path, number: int, page: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(number * PAGE)
        file.write(page)


HARMS: list[Callable[[Path, random.Random], object]] = [flip, cut, overwrite, misdirect]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_whatever_is_hit_every_event_is_right_or_told_to_be_damaged(
    store: Path, harm: Callable[[Path, random.Random], object], seed: int
) -> None:
    harm(store, random.Random(seed))
    try:
        engine = opened(store)
        engine.load()
    except Damaged:
        return  # What it needs to start cannot be read: said at the start.
    _look_at_all(engine)
    found = {stored.position: stored for stored in engine.view.events(BUS, 1, HEAD, HEAD)}
    upwards = {stored.position: stored for stored in engine.view.events(BUS, 1, HEAD, HEAD, is_descending=True)}

    assert all(stored == truth(position) for position, stored in (found | upwards).items())
    unexplained = [n for n in range(1, HEAD + 1) if n not in found and not engine.is_damaged(BUS, n)]
    assert not unexplained or engine.losses is not None
    assert all(engine.view.event(BUS, n) in (None, truth(n)) for n in range(1, HEAD + 1, 7))
    engine.close()


def _look_at_all(engine: SqliteEngine) -> None:
    at = 0
    while at < HEAD:
        at = engine.verify(BUS, at + 1, HEAD).last


# One bad page hides its own events and no others


def _page_of(path: Path, position: int) -> int:
    """A leaf of the log that holds the event, told by the text of its id."""
    text = f'"id":"e{position}","source"'.encode()
    return path.read_bytes().index(text) // PAGE


@pytest.mark.parametrize("position", [1, 60, 199, 333])
def test_a_page_that_cannot_be_read_takes_a_few_events_and_the_rest_is_there(store: Path, position: int) -> None:
    _put_page(store, _page_of(store, position), b"\xff" * PAGE)
    engine = opened(store)
    _look_at_all(engine)
    found = [stored.position for stored in engine.view.events(BUS, 1, HEAD, HEAD)]
    back = [stored.position for stored in engine.view.events(BUS, 1, HEAD, HEAD, is_descending=True)]
    at = engine.view.events_at(BUS, range(1, HEAD + 1))

    assert engine.view.event(BUS, position) is None
    assert sorted(at) == found
    assert HEAD - 40 <= len(found) < HEAD
    assert back == found[::-1]
    assert engine.damaged(BUS) == HEAD - len(found)
    engine.commit([changes(event(HEAD + 1))])
    assert engine.view.event(BUS, HEAD + 1) == event(HEAD + 1)
    engine.close()


def test_a_bad_page_at_the_very_end_leaves_the_log_to_be_read(store: Path) -> None:
    """Nothing can be appended behind it: that takes a repair."""
    _put_page(store, _page_of(store, HEAD), b"\xff" * PAGE)
    engine = opened(store)

    with pytest.raises(Damaged, match="doctor"):
        engine.commit([changes(event(HEAD + 1))])
    assert len(engine.view.events(BUS, 1, HEAD, HEAD)) == HEAD - engine.damaged(BUS)
    assert engine.view.events(BUS, HEAD + 1, HEAD + 1, 1) == []
    engine.close()


def test_a_bad_page_that_retention_comes_to_stands_in_nobodys_way(store: Path) -> None:
    """Who publishes in the same commit is not refused because of it."""
    _put_page(store, _page_of(store, 60), b"\xff" * PAGE)
    engine = opened(store)
    forgetting = msgspec.structs.replace(changes(event(HEAD + 1)), floor=100, forgotten=[(1, 99)])
    engine.commit([forgetting])

    assert engine.load()[1].floor == 100
    assert engine.view.event(BUS, HEAD + 1) == event(HEAD + 1)
    assert engine.view.events(BUS, 100, HEAD, 2)[0].position == 100
    engine.close()


def test_two_bad_pages_far_apart_leave_what_is_between(store: Path) -> None:
    for position in (50, 350):
        _put_page(store, _page_of(store, position), bytes(PAGE))
    engine = opened(store)
    found = {stored.position for stored in engine.view.events(BUS, 1, HEAD, HEAD)}

    assert set(range(100, 300)) <= found
    assert not found & {50, 350}
    engine.close()


# What is looked at, and when


def test_rows_that_are_gone_are_found_where_nothing_explains_them(store: Path) -> None:
    raw = apsw.Connection(str(store))
    raw.execute("DELETE FROM event WHERE place IN (?, ?, ?)", (place(BUS, 7), place(BUS, 8), place(BUS, HEAD)))
    raw.execute("INSERT INTO gap VALUES (?, 8, 8, 'test', 1)", (BUS,))
    raw.close()
    engine = opened(store)
    _look_at_all(engine)

    assert engine.damaged(BUS) == 2
    assert [n for n in range(1, HEAD + 1) if engine.is_damaged(BUS, n)] == [7, HEAD]
    assert engine.load()[1].gaps[0].first == 8
    engine.close()


def test_a_start_looks_at_what_was_committed_since_the_last_time(store: Path) -> None:
    engine = opened(store)
    assert engine.verified(BUS) == HEAD
    engine.commit([changes(event(HEAD + 1), event(HEAD + 2))])
    copy = crashed(store)
    engine.close()
    raw = apsw.Connection(str(copy))
    raw.execute("UPDATE event SET checksum = 0 WHERE place IN (?, ?)", (place(BUS, 3), place(BUS, HEAD + 2)))
    raw.close()
    again = opened(copy)

    assert again.verified(BUS) == HEAD + 2
    assert (again.is_damaged(BUS, HEAD + 2), again.is_damaged(BUS, 3)) == (True, False)
    again.close()


def test_what_a_start_looks_at_is_bounded_and_the_rest_is_left(path: Path) -> None:
    _crash_with(path, 50)
    with mock.patch.multiple(limits, VERIFIED_AT_START_EVENTS_MAX=20, SCRUB_EVENTS_PER_STEP=10):
        engine = opened(path.parent / "crashed" / path.name)
        assert engine.verified(BUS) == 20
        engine.close()
    again = opened(path.parent / "crashed" / path.name)
    assert again.verified(BUS) == 50
    again.close()


def test_a_start_is_bounded_in_bytes_too(path: Path) -> None:
    _crash_with(path, 50)
    with mock.patch.multiple(limits, VERIFIED_AT_START_BYTES_MAX=5_000, SCRUB_EVENTS_PER_STEP=5):
        engine = opened(path.parent / "crashed" / path.name)
    assert engine.verified(BUS) == 10
    engine.close()


def _crash_with(path: Path, count: int) -> None:
    engine = opened(path)
    engine.commit([founding(BUS), changes(*(event(n, note="x" * 500) for n in range(1, count + 1)))])
    crashed(path)
    engine.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "eventyard.db"


def test_a_clean_end_leaves_nothing_to_look_at(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(BUS), changes(*(event(n) for n in range(1, 31)))])
    engine.close()
    with mock.patch.object(verifying, "verify") as verify:
        opened(path).close()

    assert verify.call_count == 0


def test_how_far_it_has_come_is_kept_with_a_checkpoint(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(BUS), changes(*(event(n) for n in range(1, 31)))])
    engine.verify(BUS, 1, 30)
    with mock.patch("eventyard.engines.sqlite.engine.WAL_BYTES", 1):
        engine.commit([changes(event(31))])
    copy = crashed(path)
    engine.close()

    assert apsw.Connection(str(copy)).execute("SELECT verified FROM bus WHERE number = ?", (BUS,)).get == 30


def test_one_look_is_bounded_in_events_and_bytes(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(BUS), changes(*(event(n, note="x" * 1_000) for n in range(1, 301)))])
    with mock.patch.object(limits, "SCRUB_EVENTS_PER_STEP", 70):
        assert engine.verify(BUS, 11, 300).last == 80
    with mock.patch.object(limits, "SCRUB_BYTES_PER_STEP", 3_000):
        assert engine.verify(BUS, 11, 300).last == 10 + verifying.ROWS_AT_ONCE
    assert engine.verify(BUS, 295, 300).last == 300
    engine.close()


def test_a_look_beyond_the_rows_says_what_is_absent(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(BUS), changes(event(1), event(2), head=5)])

    looked = engine.verify(BUS, 1, 5)
    assert (looked.last, looked.found) == (5, 3)
    assert engine.verify(BUS, 1, 5).found == 3
    assert engine.damaged(BUS) == 3
    engine.close()


def test_a_disk_that_fails_is_no_damage(store: Path) -> None:
    engine = opened(store)
    failing = mock.patch.object(verifying, "event_rows_around", side_effect=StorageFailed("the test's disk"))
    with failing, pytest.raises(StorageFailed):
        engine.verify(BUS, 1, HEAD)
    assert engine.damaged(BUS) == 0
    assert engine.verify(BUS, 1, HEAD) == Verified(HEAD, 0, engine.verify(BUS, 1, HEAD).bytes)
    engine.close()


def test_the_marks_are_beside_the_store_of_these_tests(written: Path) -> None:
    """Else half of what is told here could not be."""
    assert files.marks(written).exists()


def test_what_retention_takes_away_while_it_is_read_is_not_damaged(store: Path) -> None:
    """A reader that met a hole looked around it in several statements, and each saw another state."""
    engine, look, removals = opened(store), reading._first, iter([101])
    engine.commit([msgspec.structs.replace(changes(), head=HEAD, floor=3, forgotten=[(1, 2)])])

    def remove_and_look(connection: apsw.Connection, low: int, high: int) -> int | None:
        found = look(connection, low, high)
        for floor in removals:
            engine.commit([msgspec.structs.replace(changes(), head=HEAD, floor=floor, forgotten=[(3, floor - 1)])])
        return found

    with mock.patch.object(reading, "_first", remove_and_look), engine.reader() as view:
        view.events(BUS, 1, HEAD, HEAD)
    assert engine.damaged(BUS) == 0
    engine.close()
