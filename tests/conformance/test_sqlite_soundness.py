"""What is found wrong with a store before there is a backup of it."""

from pathlib import Path
from typing import Any

import pytest

from eventyard.core.commands import Publish
from eventyard.core.errors import Damaged
from eventyard.engines.sqlite import soundness
from eventyard.engines.sqlite.backup import back_up
from eventyard.engines.sqlite.place import place
from eventyard.engines.sqlite.soundness import Contents
from tests.support.builders import Stepped, an_event
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


def copied(database: Path, target: Path, **options: Any) -> Contents:
    return back_up(database, target, lambda *_: None, **options)


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_damaged_event_is_named_and_no_backup_of_it_is_made(database: Path, target: Path) -> None:
    change(database, "UPDATE event SET json = CAST(json || ' ' AS BLOB) WHERE place = ?", place(BUS, 7))
    target.write_text("the last good one")

    with pytest.raises(Damaged, match=r'bus "default": event 7 is not what was written; wanted .*--keep-damage'):
        copied(database, target, is_replacing=True)
    assert (target.read_text(), left(target)) == ("the last good one", ["monday.db"])


def test_a_damaged_event_is_taken_along_where_that_was_asked_for(database: Path, target: Path) -> None:
    change(database, "UPDATE event SET json = CAST(json || ' ' AS BLOB) WHERE place = ?", place(BUS, 7))

    contents = copied(database, target, is_damage_kept=True)

    assert contents.faults == ('bus "default": event 7 is not what was written',)
    assert dump(target) == dump(database)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM event WHERE place & 0xFFFF IN (7, 8)", 'bus "default" lacks positions 7 to 8'),
        ("DELETE FROM event WHERE place & 0xFFFF = 45", 'bus "default" lacks positions 45 to 45'),
        ("UPDATE bus SET head = 44 WHERE number = 1", 'bus "default" ends at 44, and holds events up to 47'),
        ("DELETE FROM bus WHERE number = 2", "there is an event of a bus 2 that is not there"),
        (
            "UPDATE tally SET waiting = waiting + 1 WHERE rule = 1",
            "bus 1, rule 1, run 0: counts say [23, 1, 16, 0, 1, 1, 0], and its deliveries are [22, 1, 16, 0, 1, 1, 0]",
        ),
    ],
)
def test_what_does_not_fit_together_is_a_fault(database: Path, target: Path, statement: str, fault: str) -> None:
    change(database, statement)

    assert copied(database, target, is_damage_kept=True).faults[-1] == fault


def test_many_faults_are_counted(database: Path, target: Path) -> None:
    change(database, "UPDATE event SET checksum = 0 WHERE place BETWEEN ? AND ?", place(BUS, 1), place(BUS, 30))

    faults = copied(database, target, is_damage_kept=True).faults
    assert (len(faults), faults[-1]) == (soundness.FAULTS_TOLD + 1, "and 20 more")


def test_a_store_that_lost_its_log_is_not_taken_for_whole(tmp_path: Path, target: Path) -> None:
    """As a copy of the database alone would be: every page is sound, and what was answered for is not there."""
    database = tmp_path / "data" / "eventyard.db"
    make_store(database).engine.close()
    kept = database.read_bytes()
    bus = Stepped(opened(database))
    bus.do(Publish((an_event("answered for"),)))
    bus.engine.close()
    database.write_bytes(kept)

    with pytest.raises(Damaged, match=r'bus "default" ends at position 47 and had reached 48: 48 to 48 are lost'):
        copied(database, target)
    assert left(target) == []
    assert len(copied(database, target, is_damage_kept=True).faults) == 1


def test_a_store_whose_structure_is_broken_is_never_backed_up(database: Path, target: Path) -> None:
    change(database, "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET rootpage = 4 WHERE name = 'delivery_dead'")

    with pytest.raises(Damaged, match=r"copy of the store damaged|eventyard\.db damaged"):
        copied(database, target, is_damage_kept=True)
    assert left(target) == []


def test_a_log_that_is_being_taken_away_may_lack_its_beginning(database: Path, target: Path) -> None:
    change(
        database,
        "UPDATE bus SET record = CAST(replace(record, '\"is_deleted\":false', '\"is_deleted\":true') AS BLOB) WHERE number = 1",
    )
    change(database, "DELETE FROM event WHERE place BETWEEN ? AND ?", place(BUS, 1), place(BUS, 9))

    contents = copied(database, target)
    assert [bus.name for bus in contents.buses] == ["system", "other"]


def test_below_the_floor_only_what_is_owed_need_be_there(database: Path, target: Path) -> None:
    change(database, "UPDATE bus SET floor = 21 WHERE number = 1")
    change(database, "DELETE FROM event WHERE place IN (?, ?, ?)", place(BUS, 1), place(BUS, 5), place(BUS, 20))
    assert copied(database, target).faults == ()

    change(database, "DELETE FROM event WHERE place = ?", place(BUS, 21))
    faults = copied(database, target, is_replacing=True, is_damage_kept=True).faults
    assert faults == ('bus "default" lacks positions 21 to 21',)
