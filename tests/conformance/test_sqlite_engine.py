"""What only the SQLite engine has: a file, a disk that fails, and damage."""

import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import apsw
import msgspec
import pytest

from eventyard.core.changes import Changes
from eventyard.core.delivery import State
from eventyard.core.errors import Damaged, InvalidSettings, StorageFailed, StorageFull
from eventyard.engines.sqlite import SqliteEngine
from eventyard.engines.sqlite import connection as connections
from eventyard.engines.sqlite import engine as engines
from eventyard.engines.sqlite.place import place
from eventyard.engines.sqlite.statements import SQL, read
from tests.conformance.engines import BUS, RULE, SMALL, TIME, changes, event, founding, waiting
from tests.conformance.faulty_vfs import FaultyVFS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.db"


@pytest.fixture
def vfs() -> Iterator[FaultyVFS]:
    made = FaultyVFS("faulty")
    yield made
    made.unregister()


def opened(path: Path) -> SqliteEngine:
    return SqliteEngine(str(path), layout=SMALL)


def crashed(path: Path) -> Path:
    """What a new process finds if this one ends now."""
    copy = path.with_name("crashed.db")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    return copy


# Durability


def test_a_commit_survives_a_process_that_is_gone(path: Path) -> None:
    script = (
        "import os, sys; from tests.conformance.engines import *; engine = SqliteEngine(sys.argv[1], layout=SMALL);"
        "engine.commit([founding(1)]);"
        "[engine.commit([changes(*(event(n * 10 + k) for k in range(1, 11)))]) for n in range(5)]; os._exit(9)"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(path)], env={"PYTHONPATH": ":".join(sys.path)}, check=False)
    assert ended.returncode == 9

    engine = opened(path)
    assert engine.load()[1].head == 50
    assert len(engine.view.find_ids(BUS, [("/s", f"e{n}") for n in range(1, 60)])) == 50
    engine.close()


def test_the_file_is_synced_fully_and_keeps_a_write_ahead_log(path: Path) -> None:
    engine = opened(path)

    assert engine._connection.pragma("synchronous") == 2
    assert engine._connection.pragma("journal_mode") == "wal"
    assert engine._connection.pragma("mmap_size") == 0
    engine.close()


def test_an_exclusive_engine_needs_no_shared_memory(path: Path, vfs: FaultyVFS) -> None:
    engine = SqliteEngine(str(path), vfs=vfs.name, is_exclusive=True)
    engine.commit([founding(1), changes(event(1))])
    assert path.with_name("bus.db-wal").exists()
    assert not path.with_name("bus.db-shm").exists()
    engine.close()

    again = SqliteEngine(str(path), vfs=vfs.name, is_exclusive=True)
    assert again.load()[1].head == 1
    again.close()


# A disk that fails


def test_a_full_disk_refuses_keeps_what_was_accepted_and_recovers(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(1), changes(event(1))])
    pages = engine._connection.pragma("page_count")
    engine._connection.pragma("max_page_count", pages + 2)
    big = event(2, note="x" * 100_000)

    with pytest.raises(StorageFull):
        engine.commit([changes(big)])
    assert engine.view.event(BUS, 2) is None
    assert engine.view.find_ids(BUS, [("/s", "e2")]) == {}
    assert engine.load()[1].head == 1

    engine._connection.pragma("max_page_count", pages + 1000)
    engine.commit([changes(big)])
    assert engine.view.event(BUS, 2) == big
    engine.close()


def test_a_commit_whose_sync_fails_is_refused_and_never_surfaces(path: Path, vfs: FaultyVFS) -> None:
    engine = SqliteEngine(str(path), vfs=vfs.name, is_exclusive=True)
    engine.commit([founding(1), changes(event(1))])
    vfs.failing = "-wal"
    with pytest.raises(StorageFailed), mock.patch.object(engine, "_bury", side_effect=lambda: _recover(vfs, engine)):
        engine.commit([changes(event(2))])

    assert engine.view.event(BUS, 2) is None
    found = SqliteEngine(str(crashed(path)))
    assert found.load()[1].head == 1
    assert found.view.events(BUS, 1, 9, 9) == [event(1)]
    found.close()
    engine.commit([changes(event(2, id="other"))])
    assert engine.view.event(BUS, 2) == event(2, id="other")
    engine.close()


def _recover(vfs: FaultyVFS, engine: SqliteEngine) -> None:
    """The disk is well again by the time of the commit that buries."""
    vfs.failing = None
    SqliteEngine._bury(engine)


def test_a_sick_disk_may_get_well_without_a_restart(path: Path, vfs: FaultyVFS) -> None:
    engine = SqliteEngine(str(path), vfs=vfs.name, is_exclusive=True)
    engine.commit([founding(1)])
    for _ in range(3):
        vfs.failing = "-wal"
        with pytest.raises(StorageFailed):
            engine.commit([changes(event(1))])
    vfs.failing = None

    engine.commit([changes(event(1))])

    assert engine.load()[1].head == 1
    engine.close()


def test_a_checkpoint_that_fails_does_not_fail_the_commit_before_it(path: Path, vfs: FaultyVFS) -> None:
    with mock.patch.object(engines, "WAL_BYTES", 1):
        engine = SqliteEngine(str(path), vfs=vfs.name, is_exclusive=True, synchronous="NORMAL")
        engine.commit([founding(1)])
        vfs.failing = "bus.db"
        engine.commit([changes(event(1))])
        vfs.failing = None
    assert engine.view.event(BUS, 1) == event(1)
    engine.close()


def test_part_of_a_batch_that_cannot_be_written_takes_all_of_it_back(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(1, 2)])

    broken = msgspec.structs.replace(event(1), digest=None)
    with pytest.raises(TypeError):
        engine.commit([changes(event(1)), changes(broken, bus=2)])

    assert [bus.head for bus in engine.load()] == [0, 0, 0]
    assert not engine.view.holds(1)
    engine.commit([changes(event(1))])
    engine.close()


def test_the_write_ahead_log_stays_bounded(path: Path) -> None:
    with mock.patch.object(engines, "WAL_BYTES", 200_000):
        engine = opened(path)
        for first in range(1, 600, 3):
            engine.commit([changes(*(event(first + n, note="x" * 1000) for n in range(3)))])
        assert path.with_name("bus.db-wal").stat().st_size < 400_000
    engine.close()
    assert not path.with_name("bus.db-wal").exists()


# Damage


def test_a_damaged_event_is_left_out_and_reported_once(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(1), changes(*(event(n) for n in range(1, 6)), head=5)])
    engine.close()
    _flip(path, 3)
    told: list[tuple[int, int]] = []
    engine = SqliteEngine(str(path), on_damage=lambda bus, position: told.append((bus, position)), layout=SMALL)

    assert engine.view.event(BUS, 3) is None
    assert [found.position for found in engine.view.events(BUS, 1, 9, 3)] == [1, 2, 4]
    assert [found.position for found in engine.view.events(BUS, 1, 9, 3, is_descending=True)] == [5, 4, 2]
    assert list(engine.view.bodies_at(BUS, [2, 3, 4])) == [2, 4]
    assert list(engine.view.bodies_at(BUS, [5, 3])) == [5]
    assert engine.view.find_ids(BUS, [("/s", "e3")]) == {}
    assert engine.view.position_at(BUS, TIME.time_ms + 3) == 4
    with engine.reader() as view:
        assert view.event(BUS, 3) is None
    assert (engine.damage.count, told) == (1, [(BUS, 3)])
    engine.close()


@pytest.mark.parametrize(
    "column", ["accepted_ms = accepted_ms + 1", "digest = zeroblob(16)", "place = place + 100", "checksum = 0"]
)
def test_damage_anywhere_in_the_row_is_found(path: Path, column: str) -> None:
    engine = opened(path)
    engine.commit([changes(event(1), event(2))])
    engine.close()
    apsw.Connection(str(path)).execute(f"UPDATE event SET {column} WHERE place = ?", (place(BUS, 2),))  # noqa: S608 - the test's own
    engine = opened(path)

    assert engine.view.events(BUS, 1, 900, 900) == [event(1)]
    assert engine.view.bodies_at(BUS, [1, 2]) == {1: event(1).json}
    engine.close()


def _flip(path: Path, position: int) -> None:
    """One bit of the stored event, as a disk would."""
    raw = apsw.Connection(str(path))
    blob = raw.blob_open("main", "event", "json", place(BUS, position), True)
    data = bytearray(blob.read())
    data[len(data) // 2] ^= 4
    blob.seek(0)
    blob.write(bytes(data))
    blob.close()
    raw.close()


# Files that are not ours


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_bytes(b"these are my notes, not a database" * 500)

    with pytest.raises(Damaged, match=r"bus\.db is not a database"):
        opened(path)


def test_a_damaged_file_is_named(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(1), changes(*(event(n, note="x" * 3000) for n in range(1, 100)))])
    engine.close()
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xff" * (len(data) - 8192)
    path.write_bytes(data)

    with pytest.raises(Damaged, match=r"bus\.db damaged"):
        opened(path)


def test_a_version_from_the_future_is_refused_with_what_to_do(path: Path) -> None:
    opened(path).close()
    apsw.Connection(str(path)).pragma("user_version", 99)

    with pytest.raises(InvalidSettings, match=r"version 99.*knows versions up to [0-9]+; wanted a newer eventyard"):
        opened(path)


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    apsw.Connection(str(path)).execute("CREATE TABLE recipe (name)")

    with pytest.raises(InvalidSettings, match="another program's database"):
        opened(path)


def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be opened"):
        opened(tmp_path / "nowhere" / "bus.db")


def test_the_file_is_its_owners_only(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(1)])

    for suffix in ("", "-wal", "-shm"):
        assert stat.S_IMODE(Path(f"{path}{suffix}").stat().st_mode) == 0o600
    engine.close()


def test_an_old_sqlite_is_refused(path: Path) -> None:
    with (
        mock.patch.object(apsw, "sqlite_lib_version", return_value="3.40.1"),
        pytest.raises(InvalidSettings, match=r"3\.51\.3"),
    ):
        opened(path)


# Schema and statements


def test_the_migrations_make_the_schema(path: Path) -> None:
    opened(path).close()
    made, wanted = apsw.Connection(str(path)), apsw.Connection(":memory:")
    wanted.execute(Path(engines.__file__).with_name("schema.sql").read_text())

    assert _schema(made) == _schema(wanted)


def _schema(connection: apsw.Connection) -> set[tuple[str, str, str]]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return {(str(kind), str(name), _spelled(str(sql))) for kind, name, sql in rows}


def _spelled(sql: str) -> str:
    """A table that was renamed has its name in quotes, and a column that was added no line of its own."""
    return " ".join(sql.replace('"', "").replace(",", " , ").replace(")", " ) ").split())


def test_every_statement_is_used_and_every_used_one_is_there() -> None:
    folder = Path(engines.__file__).parent
    code = "".join(file.read_text() for file in folder.glob("*.py"))

    assert [name for name in SQL if f'"{name}"' not in code] == []


def test_two_statements_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two statements"):
        read("-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n")


@pytest.mark.parametrize("name", SQL)
def test_no_statement_reads_a_whole_table_that_grows(path: Path, name: str) -> None:
    engine = opened(path)
    numbered = max((int(number) for number in re.findall(r"\?(\d+)", SQL[name])), default=0)
    values = (0,) * (numbered or SQL[name].count("?"))
    plan = engine._connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", values).fetchall()

    steps = [str(row[-1]) for row in plan]
    allowed = {
        "SCAN CONSTANT ROW",
        "SCAN bus",
        "SCAN access_key",
        "SCAN p",
        "SCAN stand",  # one row a bus
        "SCAN carray VIRTUAL TABLE INDEX 1:",
        "SCAN p VIRTUAL TABLE INDEX 1:",
        "SCAN wanted VIRTUAL TABLE INDEX 1:",
    }
    assert [step for step in steps if step.startswith("SCAN") and step not in allowed] == []
    assert not any("TEMP B-TREE" in step for step in steps)
    if name not in {"holds", "empty_delivery"}:
        assert not [
            step for step in steps if re.search(r"SEARCH (delivery|d) USING PRIMARY KEY \(bus=\?( AND position<\?)?\)", step)
        ]
    engine.close()


# Readers


def test_a_reader_cannot_write(path: Path) -> None:
    engine = opened(path)
    reader = connections.open_reader(str(path), vfs=None)

    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM event")
    reader.close()
    engine.close()


def test_readers_are_kept_up_to_a_bound_and_closed_with_the_engine(path: Path) -> None:
    engine = opened(path)
    with engine.reader(), engine.reader(), engine.reader(), engine.reader(), engine.reader():
        pass
    assert len(engine._idle) == engines.IDLE_READERS_MAX

    with engine.reader():
        engine.close()
    assert len(engine._idle) == 0


def test_a_queue_of_leased_rows_loads_without_the_waiting_ones(path: Path) -> None:
    engine = opened(path)
    engine.commit([founding(1), Changes(BUS, TIME, 500, puts=[waiting(n) for n in range(1, 500)])])

    loaded = engine.load()[1]

    assert loaded.leased == ()
    assert loaded.queues[RULE, 0].counts[State.WAITING] == 499
    engine.close()
