"""A backup: one moment of a store in use, whole and verified, or nothing."""

import fcntl
import itertools
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import apsw
import pytest

from eventyard.core.commands import Publish
from eventyard.core.errors import InvalidBackup, StorageFull
from eventyard.engines.sqlite import SqliteEngine, gentle
from eventyard.engines.sqlite import engine as engines
from eventyard.engines.sqlite.backup import back_up
from eventyard.engines.sqlite.soundness import Contents
from tests.conformance.engines import changes, event, founding
from tests.support.builders import an_event
from tests.support.stores import change, dump, make_store, opened

BUS = 1


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A store that nobody serves any more."""
    path = tmp_path / "data" / "eventyard.db"
    make_store(path).engine.close()
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "monday.db"


def copied(database: Path, target: Path, at: Callable[[str], None] = lambda _stage: None, **options: Any) -> Contents:
    return back_up(database, target, lambda stage, _done, _total: at(stage), **options)


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


# What it holds


def test_a_backup_holds_every_row_of_the_store(database: Path, target: Path) -> None:
    contents = copied(database, target)

    assert dump(target) == dump(database)
    assert [(bus.name, bus.head) for bus in contents.buses] == [("system", 2), ("default", 47), ("other", 1)]
    assert (contents.events, contents.faults, contents.bytes) == (50, (), target.stat().st_size)


def test_a_backup_is_one_file_for_its_owner_only_and_needs_no_other_to_be_read(database: Path, target: Path) -> None:
    copied(database, target)

    assert left(target) == ["monday.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    connection = apsw.Connection(f"file:{target}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    assert connection.pragma("journal_mode") == "delete"
    assert connection.pragma("integrity_check") == "ok"
    connection.close()


@pytest.fixture
def page_by_page() -> Iterator[None]:
    """What is read, copied and compared at once is one page."""
    with (
        mock.patch("eventyard.engines.sqlite.backup.PIECE_BYTES", 8192),
        mock.patch("eventyard.engines.sqlite.backup.READ_BYTES", 8192),
    ):
        yield


@pytest.mark.usefixtures("page_by_page")
def test_a_backup_is_of_the_moment_at_which_it_catches_up_while_the_store_is_written_all_along(
    tmp_path: Path, target: Path
) -> None:
    """Between two pages something is committed and moved into the database, so no two pages of the first pass fit together."""
    database = tmp_path / "data" / "eventyard.db"
    bus = make_store(database)
    bus.engine._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)  # type: ignore[attr-defined]
    numbers = itertools.count()
    stages: list[str] = []
    moment: dict[str, list[Any]] = {}

    def publish(stage: str) -> None:
        if stage == "catching up" and not moment:
            moment.update(dump(database))
        if stage in ("copying", "catching up"):
            bus.do(Publish((an_event(f"meanwhile-{next(numbers)}", data="x" * 20_000),)))
            bus.engine._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)  # type: ignore[attr-defined]
        stages.append(stage)

    contents = copied(database, target, publish)

    written = stages.count("copying")
    assert min(written, stages.count("catching up")) > 10
    assert dump(target) == moment
    assert [(found.name, found.head) for found in contents.buses] == [("system", 2), ("default", 47 + written), ("other", 1)]
    assert bus.state.head == 47 + next(numbers)
    bus.engine.close()


def test_most_is_copied_before_the_transaction_is_opened(tmp_path: Path, target: Path) -> None:
    """The server's log is held back only while pages are compared."""
    database = tmp_path / "data" / "eventyard.db"
    bus = make_store(database)
    sizes: dict[str, int] = {}
    bus.engine.close()
    log = Path(f"{database}-wal")
    reopened = opened(database)

    def look(stage: str) -> None:
        if stage == "copying":
            reopened._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            sizes[stage] = log.stat().st_size

    copied(database, target, look)
    assert sizes == {"copying": 0}
    reopened.close()


def test_the_log_of_a_crash_is_in_the_backup_and_stays_as_it_was(tmp_path: Path, target: Path) -> None:
    bus = make_store(tmp_path / "data" / "eventyard.db")
    crashed = tmp_path / "crashed.db"
    for suffix in ("", "-wal"):
        Path(f"{crashed}{suffix}").write_bytes(Path(f"{tmp_path}/data/eventyard.db{suffix}").read_bytes())
    bus.engine.close()
    before = Path(f"{crashed}-wal").read_bytes()

    copied(crashed, target)

    assert dump(target) == dump(tmp_path / "data" / "eventyard.db")
    assert Path(f"{crashed}-wal").read_bytes() == before


def test_a_store_that_nobody_serves_is_left_without_a_log(database: Path, target: Path) -> None:
    before = left(database)
    copied(database, target)

    assert left(database) == before == ["eventyard.db", "eventyard.marks"]


# What it leaves to the server


def test_what_gathered_in_the_log_meanwhile_is_in_the_database_when_it_ends(tmp_path: Path, target: Path) -> None:
    database = tmp_path / "data" / "eventyard.db"
    bus = make_store(database)
    numbers = itertools.count()

    def publish(stage: str) -> None:
        if stage == "catching up":
            bus.do(Publish((an_event(f"meanwhile-{next(numbers)}"),)))

    copied(database, target, publish)

    alone = tmp_path / "without-its-log.db"
    alone.write_bytes(database.read_bytes())
    assert any(b"meanwhile-0" in row[-1] for row in dump(alone)["event"])
    bus.engine.close()


def test_a_log_that_grew_behind_a_long_read_gives_its_room_back(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    with mock.patch.object(engines, "WAL_BYTES", 100_000):
        engine = opened(path)
        engine.commit([founding(1)])
        with engine.reader() as view:
            reader = view._connection  # type: ignore[attr-defined]
            reader.execute("BEGIN")
            reader.pragma("user_version")
            fill(engine, 1, 300)
            grown = Path(f"{path}-wal").stat().st_size
            reader.execute("COMMIT")
        fill(engine, 301, 500)

    assert grown > 1_000_000
    assert Path(f"{path}-wal").stat().st_size <= 400_000
    engine.close()


def fill(engine: SqliteEngine, first: int, last: int) -> None:
    for position in range(first, last + 1):
        engine.commit([changes(event(position, note="x" * 4_000))])


def test_pieces_are_synced_and_rested_after_only_while_somebody_writes(tmp_path: Path) -> None:
    log = tmp_path / "bus.db-wal"
    traffic = gentle.Traffic(log)
    asked = [traffic.flows()]
    log.write_bytes(b"a commit")
    asked += [traffic.flows(), traffic.flows()]
    log.write_bytes(b"and another one")
    asked.append(traffic.flows())

    assert asked == [False, True, False, True]
    assert traffic.has_flowed()


# Places that do not serve


def test_a_file_that_is_there_is_not_overwritten_unless_asked(database: Path, target: Path) -> None:
    target.write_text("what was there")

    with pytest.raises(InvalidBackup, match=r"monday\.db there already; wanted another name, or --force"):
        copied(database, target)
    assert target.read_text() == "what was there"

    copied(database, target, is_replacing=True)
    assert dump(target) == dump(database)
    assert left(target) == ["monday.db"]


def test_a_file_that_appears_while_the_copy_is_made_is_not_overwritten(database: Path, target: Path) -> None:
    with pytest.raises(InvalidBackup, match="there already"):
        copied(database, target, lambda _stage: target.touch())

    assert (target.read_bytes(), left(target)) == (b"", ["monday.db"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("backups/nowhere/a.db", r"no folder .*nowhere; wanted to make it first: mkdir -p .*nowhere"),
        ("backups", r"backups is a folder; wanted the name of a file"),
        ("data/eventyard.db", r"eventyard\.db belongs to the store itself; wanted another name"),
        ("data/eventyard.db-wal", "belongs to the store itself"),
        ("data/lock", "belongs to the store itself"),
        ("data/../data/eventyard.db", "belongs to the store itself"),
    ],
)
def test_a_place_that_does_not_serve_is_refused_with_what_to_do(database: Path, target: Path, name: str, message: str) -> None:
    before = database.read_bytes()

    with pytest.raises(InvalidBackup, match=message):
        copied(database, target.parent.parent / name, is_replacing=True)
    assert database.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_refused_with_what_to_do(database: Path) -> None:
    with pytest.raises(InvalidBackup, match=r"/proc cannot be written .*; wanted a folder that this user may write"):
        copied(database, Path("/proc/monday.db"))


def test_a_store_that_is_not_there_is_refused_with_what_to_do(tmp_path: Path, target: Path) -> None:
    with pytest.raises(InvalidBackup, match=r"no store at .*nowhere.*--data FOLDER"):
        copied(tmp_path / "nowhere" / "eventyard.db", target)
    assert left(target) == []


# Ends before the end


def test_a_disk_without_room_is_told_before_anything_is_copied(database: Path, target: Path) -> None:
    with (
        mock.patch("shutil.disk_usage", return_value=mock.Mock(free=1000)),
        pytest.raises(StorageFull, match=r"0 MiB free in .*backups, and the store is 0 MiB; wanted more room"),
    ):
        copied(database, target, pytest.fail)
    assert left(target) == []


class FullVFS(apsw.VFS):
    """A disk on which parts find room for `room` writes."""

    def __init__(self, room: int) -> None:
        self.room = room
        super().__init__("full", "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return FullFile(self, name, flags)


class FullFile(apsw.VFSFile):
    def __init__(self, vfs: FullVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.vfs = vfs
        self.is_part = isinstance(name, apsw.URIFilename) and name.filename().endswith(".part")
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self.is_part and self.vfs.room == 0:
            raise apsw.FullError("the test's disk")
        self.vfs.room -= self.is_part
        super().xWrite(data, offset)


@pytest.mark.parametrize(("is_in_log", "room"), [(False, 0), (False, 1), (False, 2), (True, 0), (True, 7), (True, 15)])
def test_a_disk_that_fills_up_leaves_nothing_and_says_what_to_do(
    tmp_path: Path, target: Path, is_in_log: bool, room: int
) -> None:
    """While the database's bytes are copied, and while what stands in its log is caught up with."""
    bus = make_store(tmp_path / "data" / "eventyard.db")
    if not is_in_log:
        bus.engine.close()
    vfs = FullVFS(room)
    target.write_text("the last good one")
    try:
        with pytest.raises(StorageFull, match=r"no room in .*backups; wanted space there, or a folder on another disk"):
            copied(tmp_path / "data" / "eventyard.db", target, vfs="full", is_replacing=True)
    finally:
        vfs.unregister()

    assert (target.read_text(), left(target)) == ("the last good one", ["monday.db"])
    bus.engine.close()


@pytest.mark.parametrize("stage", ["copying", "catching up", "checking its structure", "checking events"])
def test_ctrl_c_leaves_nothing(database: Path, target: Path, stage: str) -> None:
    def interrupt(reached: str) -> None:
        if reached == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copied(database, target, interrupt)
    assert left(target) == []


def test_what_a_killed_backup_left_is_taken_over(database: Path, target: Path) -> None:
    (target.parent / ".monday.db.part").write_bytes(b"half a backup" * 100_000)

    copied(database, target)

    assert dump(target) == dump(database)
    assert left(target) == ["monday.db"]


def test_two_backups_into_one_file_do_not_meet(database: Path, target: Path) -> None:
    part = target.parent / ".monday.db.part"
    with part.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InvalidBackup, match="another process writes"):
            copied(database, target)
    assert part.exists()


# Files that are not ours


def test_another_programs_database_is_refused(tmp_path: Path, target: Path) -> None:
    path = tmp_path / "recipes.db"
    apsw.Connection(str(path)).execute("CREATE TABLE recipe (name)")

    with pytest.raises(InvalidBackup, match="another program's database"):
        copied(path, target)
    assert left(target) == []


def test_a_store_of_a_newer_version_is_refused(database: Path, target: Path) -> None:
    change(database, "PRAGMA user_version = 99")

    with pytest.raises(InvalidBackup, match=r"version 99.*wanted a newer eventyard"):
        copied(database, target)
    assert left(target) == []
