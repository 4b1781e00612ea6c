"""A store that ends before what it had kept is found out, told, and only read."""

import random
import stat
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import apsw
import msgspec
import pytest

from eventyard.core.changes import Changes, Moved
from eventyard.core.delivery import Delivery, State
from eventyard.core.errors import StorageFailed, StoreBehind
from eventyard.engines.sqlite import SqliteEngine, files, log_tail, marks
from eventyard.engines.sqlite import engine as engines
from eventyard.engines.sqlite.marks import DiskMarks, Mark, Marks
from tests.conformance.engines import BUS, SMALL, TIME, changes, event, founding, record, waiting
from tests.conformance.faulty_vfs import FaultyVFS
from tests.support.harm import crashed, cut, flip

COMMITS = 40
SEEDS = range(60)


def opened(path: Path) -> SqliteEngine:
    return SqliteEngine(str(path), layout=SMALL)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "eventyard.db"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose process ended without a word: half of its commits in the file, half in the log."""
    path = tmp_path_factory.mktemp("written") / "eventyard.db"
    engine = opened(path)
    engine.commit([founding(BUS)])
    for number in range(1, COMMITS + 1):
        engine.commit([changes(*(event(number * 3 + step, note="x" * 300) for step in (-2, -1, 0)))])
        if number == COMMITS // 2:
            engine._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    copy = crashed(path)
    engine.close()
    return copy


HEAD = COMMITS * 3


@pytest.fixture
def store(written: Path, tmp_path: Path) -> Path:
    """A copy of it to be harmed."""
    (tmp_path / "store").mkdir()
    for file in written.parent.iterdir():
        (tmp_path / "store" / file.name).write_bytes(file.read_bytes())
    return tmp_path / "store" / written.name


def truth(position: int) -> object:
    return event(position, note="x" * 300)


# What must never happen


def check_nothing_is_lost_in_silence(path: Path) -> SqliteEngine:
    """Every event is there, or its loss is told; what is there is as it was written."""
    engine = opened(path)
    head = engine.load()[1].head
    found = engine.view.events(BUS, 1, HEAD, HEAD)
    assert all(stored == truth(stored.position) for stored in found)
    missing = set(range(1, HEAD + 1)) - {stored.position for stored in found}
    told = {position for position in missing if engine.is_damaged(BUS, position)}
    if missing - told:
        assert engine.losses is not None
        assert head < HEAD
    return engine


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flipped_bit_in_the_log_is_found_and_what_it_took_is_told(store: Path, seed: int) -> None:
    flip(files.log(store), random.Random(seed))

    check_nothing_is_lost_in_silence(store).close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flipped_bit_in_the_log_is_found_without_any_marks_but_in_the_last_commit(store: Path, seed: int) -> None:
    """The last commit alone looks as if a crash had torn it."""
    files.marks(store).unlink()
    size = files.log(store).stat().st_size
    last = 24 + 8192
    at = flip(files.log(store), random.Random(seed))

    engine = opened(store)
    head = engine.load()[1].head
    is_whole = head == HEAD and len(engine.view.events(BUS, 1, HEAD, HEAD)) + engine.damage.count == HEAD
    assert is_whole or engine.losses is not None or at > size - 12 * last
    engine.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_log_cut_short_is_found(store: Path, seed: int) -> None:
    cut(files.log(store), random.Random(seed))

    check_nothing_is_lost_in_silence(store).close()


def test_a_log_that_is_gone_is_found_and_the_gap_is_named(store: Path) -> None:
    files.log(store).unlink()
    engine = check_nothing_is_lost_in_silence(store)

    assert engine.losses is not None
    assert engine.losses.text == f'bus "bus1" ends at position 60 and had reached {HEAD}: 61 to {HEAD} are lost'
    assert engine.losses.repair == f"eventyard doctor --repair --data {store.parent}"
    engine.close()


def test_a_database_that_is_gone_is_found(store: Path) -> None:
    store.unlink()
    files.log(store).unlink()
    engine = opened(store)

    assert engine.losses is not None
    assert 'bus "number 1" ends at position 0 and had reached 120: 1 to 120 are lost' in engine.losses.text
    engine.close()


def test_an_older_copy_of_the_database_is_found(store: Path, path: Path) -> None:
    old = opened(path)
    old.commit([founding(BUS), changes(event(1))])
    old.close()
    files.log(store).unlink()
    store.write_bytes(path.read_bytes())
    engine = opened(store)

    assert engine.losses is not None
    assert "2 to 120 are lost" in engine.losses.text
    engine.close()


def test_commits_without_an_event_are_missed_too(path: Path) -> None:
    """What became of deliveries is lost with them: they would be pushed again under ids that were settled."""
    engine = opened(path)
    row = waiting(1)
    engine.commit([founding(BUS), Changes(BUS, TIME, 1, events=[event(1)], puts=[row])])
    engine._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    done = Delivery(row.rule, row.run, 1, State.DELIVERED, 5, 1, 1)
    engine.commit([Changes(BUS, TIME, 1, moves=[Moved(State.WAITING, done)])])
    copy = crashed(path)
    engine.close()
    files.log(copy).unlink()
    found = opened(copy)

    assert found.losses is not None
    assert found.losses.text == 'bus "bus1" lacks its last 1 commits: what became of deliveries in them is lost'
    found.close()


# Read only


def test_a_store_that_lost_something_can_be_read_and_refuses_every_commit(store: Path) -> None:
    files.log(store).unlink()
    engine = opened(store)

    with pytest.raises(StoreBehind, match=r"61 to 120 are lost; wanted a repair, with the server stopped: eventyard doctor"):
        engine.commit([changes(event(61))])
    assert len(engine.view.events(BUS, 1, 60, 60)) == 60
    with engine.reader() as view:
        assert view.event(BUS, 60) == truth(60)
    assert engine.load()[1].head == 60
    engine.close()


def test_a_store_that_lost_something_is_left_as_it_was_found(store: Path) -> None:
    """Frames behind the damage can be saved by a repair; a checkpoint would overwrite them."""
    flip(files.log(store), random.Random(3), within=range(20_000, 200_000))
    before = {file.name: file.read_bytes() for file in store.parent.iterdir()}
    for _ in range(2):
        engine = opened(store)
        assert engine.losses is not None
        with engine.reader() as view:
            view.events(BUS, 1, HEAD, HEAD)
        engine.close()

    assert {name: store.with_name(name).read_bytes() for name in before} == before


def test_a_file_that_cannot_be_read_at_all_keeps_its_log(store: Path) -> None:
    data = bytearray(store.read_bytes())
    data[8192:] = b"\xff" * (len(data) - 8192)
    store.write_bytes(data)
    before = files.log(store).read_bytes()

    with pytest.raises(Exception, match="damaged"):
        check_nothing_is_lost_in_silence(store)
    assert files.log(store).read_bytes() == before


# No false alarm


def test_a_crash_loses_nothing_and_is_no_loss(store: Path) -> None:
    engine = opened(store)

    assert engine.losses is None
    assert engine.load()[1].head == HEAD
    engine.commit([changes(event(HEAD + 1))])
    engine.close()


@pytest.mark.parametrize("seed", range(20))
def test_a_commit_torn_by_a_crash_is_no_loss(path: Path, seed: int) -> None:
    """Its frames are in the log in part, nobody was answered, and the marks do not know of it."""
    engine = opened(path)
    engine.commit([founding(BUS)])
    for number in range(1, 6):
        engine.commit([changes(event(number))])
    before = crashed(path, "before")
    engine.commit([changes(*(event(number, note="y" * 5_000) for number in range(6, 16)))])
    whole = files.log(path).read_bytes()
    engine.close()
    rng = random.Random(seed)
    torn = bytearray(whole)
    for at in range(files.log(before).stat().st_size, len(whole), 512):
        if rng.random() < 0.5:
            torn[at : at + 512] = bytes(512)
    files.log(before).write_bytes(torn)
    found = opened(before)

    assert found.losses is None
    assert found.load()[1].head in (5, 15)
    found.close()


def test_what_failed_commits_leave_in_the_log_is_no_loss(path: Path, vfs: FaultyVFS) -> None:
    """Each failed one overwrites the one before from the same place on; longer ones leave their ends standing."""
    engine = SqliteEngine(str(path), vfs=vfs.name, is_exclusive=True)
    engine.commit([founding(BUS), changes(event(1))])
    vfs.failing = "-wal"
    for size in (9, 6, 3):
        with pytest.raises(StorageFailed):
            engine.commit([changes(*(event(2 + number, note="z" * 9_000) for number in range(size)))])
    copy = crashed(path)
    vfs.failing = None
    engine.close()
    content = files.log(copy).read_bytes()
    found = opened(copy)

    ends = [frame for _, frame in log_tail.frames(content, log_tail.read_header(content, 8192)) if frame.database_pages]
    assert len(ends) >= 4
    assert found.losses is None
    assert found.load()[1].head == 1
    found.close()


@pytest.fixture
def vfs() -> Iterator[FaultyVFS]:
    made = FaultyVFS("faulty-losses")
    yield made
    made.unregister()


def test_a_clean_end_and_a_new_start_are_no_loss(path: Path) -> None:
    for number in range(1, 4):
        engine = opened(path)
        assert engine.losses is None
        engine.commit([founding(BUS), changes(event(number))])
        engine.close()


def test_a_bus_that_was_deleted_is_no_loss(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(BUS, 2), changes(event(1), bus=2)])
    engine.commit([Changes(0, TIME, 0, buses=[record(2, is_deleted=True)])])
    engine.commit([Changes(0, TIME, 0, buses=[record(2, is_deleted=True, is_removed=True)])])
    engine.close()
    again = opened(path)

    assert again.losses is None
    again.close()
    assert 2 not in Marks(DiskMarks(files.marks(path))).found


# The marks themselves


def read_marks(path: Path) -> Marks:
    return Marks(DiskMarks(files.marks(path)))


def test_marks_are_written_before_a_commit_returns(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(BUS)])
    for head in range(1, 5):
        engine.commit([changes(event(head))])
        assert read_marks(path).found[BUS] == Mark(marks.life_of("i1"), head, head)
    engine.close()


def test_marks_are_their_owners_only_and_made_beside_the_database(path: Path) -> None:
    opened(path).close()

    assert stat.S_IMODE(files.marks(path).stat().st_mode) == 0o600
    assert files.marks(path) == path.with_name("eventyard.marks")


def test_marks_that_are_not_there_are_made_anew_and_it_is_told(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    files.marks(store).unlink()
    engine = opened(store)

    assert engine.losses is None
    assert "the store has no marks" in caplog.text
    assert read_marks(store).found[BUS].head == HEAD
    engine.close()


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_in_the_marks_is_told_and_proves_nothing(
    store: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    slots = range(marks.HEADER_BYTES, marks.HEADER_BYTES + 2 * marks.SLOT_BYTES)
    flip(files.marks(store), random.Random(seed), within=slots)
    engine = opened(store)

    assert engine.losses is None
    assert "has no mark that can be read" in caplog.text
    assert read_marks(store).found[BUS].head == HEAD
    engine.close()


@pytest.mark.parametrize("length", [0, 1, 63, 64, 80, 96, 100, 127, 128, 4095])
def test_marks_cut_anywhere_prove_nothing(store: Path, length: int) -> None:
    files.marks(store).write_bytes(files.marks(store).read_bytes()[:length])
    engine = opened(store)

    assert engine.losses is None
    assert read_marks(store).found[BUS].head == HEAD
    engine.close()


def test_a_wrong_mark_opens_the_store_to_be_read_only(store: Path) -> None:
    """Better a repair for nothing than positions issued twice."""
    found = Marks(DiskMarks(files.marks(store)))
    found._file.write(marks._offset(BUS), marks._pack(BUS, Mark(marks.life_of("i1"), 5_000, 9)))
    engine = opened(store)

    assert engine.losses is not None
    assert "121 to 5000 are lost" in engine.losses.text
    engine.close()


def test_a_mark_of_another_life_counts_for_positions_only(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(BUS), *(changes(event(1)) for _ in range(9))])
    engine.commit([Changes(0, TIME, 0, buses=[msgspec.structs.replace(record(BUS), incarnation="new")])])
    engine.close()
    files.marks(path).write_bytes(_as_of(files.marks(path), BUS, Mark(marks.life_of("i1"), 1, 500)))
    again = opened(path)

    assert again.losses is None
    assert read_marks(path).found[BUS].life == marks.life_of("new")
    again.close()


def _as_of(path: Path, number: int, mark: Mark) -> bytes:
    data = bytearray(path.read_bytes())
    at = marks._offset(number)
    data[at : at + marks.SLOT_BYTES] = marks._pack(number, mark)
    return bytes(data)


class FullMarks(DiskMarks):
    """Marks on a disk that is full while a test says so."""

    is_full = False

    def write(self, offset: int, data: bytes) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().write(offset, data)


@pytest.fixture
def full(path: Path) -> Iterator[FullMarks]:
    made = FullMarks(files.marks(path))
    yield made
    made.close()


def test_a_mark_that_finds_no_room_fails_no_commit_and_is_written_later(
    path: Path, full: FullMarks, caplog: pytest.LogCaptureFixture
) -> None:
    engine = SqliteEngine(str(path), layout=SMALL, marks=full)
    engine.commit([founding(BUS), changes(event(1))])
    full.is_full = True
    engine.commit([changes(event(2))])
    engine.commit([changes(event(3))])

    assert engine.view.event(BUS, 3) == event(3)
    assert read_marks(path).found[BUS].head == 1
    assert caplog.text.count("the marks cannot be written") == 1

    full.is_full = False
    engine.commit([Changes(0, TIME, 0)])
    assert read_marks(path).found[BUS].head == 3
    engine.close()


def test_the_marks_are_synced_with_every_checkpoint_and_at_the_end(path: Path) -> None:
    file = DiskMarks(files.marks(path))
    engine = SqliteEngine(str(path), layout=SMALL, marks=file)
    with mock.patch.object(file, "sync", wraps=file.sync) as sync:
        engine.commit([founding(BUS)])
        assert sync.call_count == 0
        with mock.patch.object(engines, "WAL_BYTES", 1):
            engine.commit([changes(event(1))])
        assert sync.call_count == 1
        engine.close()
        assert sync.call_count == 2


def test_after_a_failed_sync_every_mark_is_written_again(path: Path) -> None:
    file = DiskMarks(files.marks(path))
    kept = Marks(file)
    kept.begin([])
    kept.keep([changes(event(1)), changes(event(7), bus=2)])
    with mock.patch.object(file, "sync", side_effect=OSError(5, "Input/output error")):
        kept.sync()
    assert kept.failure
    with mock.patch.object(file, "write", wraps=file.write) as write:
        kept.sync()
    assert write.call_count == 2
    assert not kept.failure
    kept.close()


# The checksum of the log, against SQLite's own


def test_the_logs_checksums_are_those_that_sqlite_writes(written: Path) -> None:
    content = files.log(written).read_bytes()
    header = log_tail.read_header(content, 8192)
    assert header.is_whole
    before = header.sum
    frames = list(log_tail.frames(content, header))
    for number, frame in frames:
        before = log_tail.checksum(before, log_tail.covered(content, header, number), is_big=header.is_big)
        assert before == frame.sum
    assert sum(frame.database_pages > 0 for _, frame in frames) == COMMITS // 2
