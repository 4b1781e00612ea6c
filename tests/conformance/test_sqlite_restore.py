"""Restoring a backup: a store as it was, in another life, or nothing."""

import itertools
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from eventyard.core.commands import Publish
from eventyard.core.delivery import State
from eventyard.core.errors import Damaged, EventyardError, InvalidBackup, InvalidSettings, StorageFull
from eventyard.engines.sqlite import hold
from eventyard.engines.sqlite.backup import back_up
from eventyard.engines.sqlite.place import place
from eventyard.engines.sqlite.restore import restore
from eventyard.engines.sqlite.soundness import Contents
from tests.support.builders import Stepped, an_event
from tests.support.stores import change, dump, make_store, opened

BUS = 1
NOW_MS = 1_700_003_600_000
MARKED = ("event", "bus", "delivery", "tally")
"""Tables in which a restore leaves its mark."""
STORE = ["eventyard.db", "eventyard.marks", "lock"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "eventyard.db"
    bus = make_store(path)
    bus.put("watch", pattern={"type": [{"prefix": "io.eventyard.bus."}]})
    bus.engine.close()
    return path


@pytest.fixture
def backup(database: Path, tmp_path: Path) -> Path:
    path = tmp_path / "monday.db"
    back_up(database, path, silent)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "again"


def silent(_stage: str, _done: int, _total: int) -> None:
    """Nobody looks."""


def restored(backup: Path, folder: Path, at: Callable[[str], None] = lambda _stage: None, **options: Any) -> Contents:
    lives = (f"again{number}" for number in itertools.count())
    return restore(
        backup,
        folder,
        lambda stage, _done, _total: at(stage),
        now_ms=NOW_MS,
        new_incarnation=lambda: next(lives),
        **options,
    )


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# What comes back


def test_everything_of_the_backup_is_there_again(backup: Path, database: Path, folder: Path) -> None:
    contents = restored(backup, folder)

    before, after = dump(database), dump(folder / "eventyard.db")
    assert {name: after[name] for name in after if name not in MARKED} == {
        name: before[name] for name in before if name not in MARKED
    }
    assert set(before["event"]) < set(after["event"])
    kept = {row for row in before["delivery"] if row[4] != State.LEASED}
    assert kept < set(after["delivery"])
    assert {row[:4] for row in before["delivery"]} < {row[:4] for row in after["delivery"]}
    assert len(after["event"]) == len(before["event"]) + 3
    assert [(bus.name, bus.head) for bus in contents.buses] == [("system", 2), ("default", 48), ("other", 1)]


def test_a_restored_store_is_for_its_owner_only_and_nothing_else_is_left(backup: Path, folder: Path) -> None:
    restored(backup, folder)

    assert left(folder) == STORE
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in STORE} == {0o600}


def test_every_bus_starts_a_new_incarnation_and_says_so_in_its_log(backup: Path, folder: Path) -> None:
    restored(backup, folder)

    engine = opened(folder / "eventyard.db")
    loaded = engine.load()
    assert [(bus.record.name, bus.record.incarnation, bus.head) for bus in loaded] == [
        ("system", "again0", 3),
        ("default", "again1", 49),
        ("other", "again2", 2),
    ]
    told = engine.view.event(BUS, 49)
    assert told is not None
    event = json.loads(told.json)
    assert (event["type"], event["id"], event["subject"]) == ("io.eventyard.bus.restored", "again1-49", "default")
    assert (event["source"], event["time"]) == ("/eventyard/buses/default", "2023-11-14T23:13:20.000Z")
    assert event["data"] == {
        "name": "default",
        "principal": "",
        "incarnation": "again1",
        "previous_incarnation": "life1",
        "last_position": 48,
        "last_time": "2023-11-14T22:13:20.000Z",
    }
    engine.close()


def test_no_lease_outlives_the_restore(backup: Path, folder: Path) -> None:
    restored(backup, folder)

    before, after = dump(backup)["delivery"], dump(folder / "eventyard.db")["delivery"]
    leased = {(row[:4], row[6], row[7]) for row in before if row[4] == State.LEASED}
    assert len(leased) > 1
    assert leased < {(row[:4], row[6], row[7]) for row in after if row[4] == State.RETRYING}
    assert not any(row[4] == State.LEASED for row in after)
    engine = opened(folder / "eventyard.db")
    assert [bus.leased for bus in engine.load()] == [(), (), ()]
    engine.close()


def test_a_rule_that_watches_for_it_gets_the_event(backup: Path, folder: Path) -> None:
    restored(backup, folder)

    engine = opened(folder / "eventyard.db")
    delivery = engine.view.delivery(BUS, (48, 0, 49))
    assert delivery is not None
    assert delivery.state is State.WAITING
    assert engine.load()[1].queues[48, 0].counts[State.WAITING] == 1
    engine.close()


def test_the_bus_goes_on_where_the_backup_ended(backup: Path, folder: Path) -> None:
    restored(backup, folder)

    bus = Stepped(opened(folder / "eventyard.db"))
    again, fresh = bus.do(Publish((an_event(3), an_event("fresh"))))
    assert (again.is_duplicate, again.position) == (True, 5)
    assert (fresh.is_duplicate, fresh.position) == (False, 50)
    counts = bus.state.queues[1].counts
    assert (counts[State.LEASED], counts[State.WAITING] + counts[State.RETRYING]) == (0, 40)
    bus.engine.close()


def test_time_goes_on_from_the_later_of_the_backup_and_the_clock(backup: Path, folder: Path, tmp_path: Path) -> None:
    restored(backup, folder)
    restore(backup, tmp_path / "yesterday", silent, now_ms=1_000)

    for path, expected in ((folder, NOW_MS), (tmp_path / "yesterday", 1_700_000_000_000)):
        engine = opened(path / "eventyard.db")
        assert {bus.time.time_ms for bus in engine.load()} == {expected}
        engine.close()


def test_a_restored_store_can_be_backed_up_and_restored_again(backup: Path, folder: Path, tmp_path: Path) -> None:
    restored(backup, folder)
    back_up(folder / "eventyard.db", tmp_path / "tuesday.db", silent)

    contents = restored(tmp_path / "tuesday.db", tmp_path / "third")
    assert [bus.head for bus in contents.buses] == [3, 49, 2]


# In place of an older life


def test_positions_go_on_above_all_that_the_folder_ever_issued(backup: Path, database: Path) -> None:
    bus = Stepped(opened(database))
    bus.do(Publish(tuple(an_event(f"after the backup {number}") for number in range(14))))
    assert bus.state.head == 62
    bus.engine.close()
    database.rename(database.with_name("lost.db"))

    restored(backup, database.parent)

    engine = opened(database)
    assert engine.losses is None
    assert [(bus.record.name, bus.head) for bus in engine.load()] == [("system", 3), ("default", 63), ("other", 2)]
    told = engine.view.event(BUS, 63)
    assert told is not None
    assert json.loads(told.json)["data"]["last_position"] == 48
    assert [event.position for event in engine.view.events(BUS, 47, 99, 99)] == [47, 48, 63]
    engine.close()
    assert dump(database)["gap"] == [(BUS, 49, 62, "restore", NOW_MS)]


def test_a_gap_that_a_restore_left_is_no_fault(backup: Path, database: Path, tmp_path: Path) -> None:
    bus = Stepped(opened(database))
    bus.do(Publish((an_event("after the backup"),)))
    bus.engine.close()
    database.rename(database.with_name("lost.db"))
    restored(backup, database.parent)

    assert back_up(database, tmp_path / "tuesday.db", silent).faults == ()
    change(database, "DELETE FROM event WHERE place = ?", place(BUS, 48))
    contents = back_up(database, tmp_path / "wednesday.db", silent, is_damage_kept=True)
    assert contents.faults == ('bus "default" lacks positions 48 to 48',)


def test_a_restored_store_starts_with_marks_of_its_own(backup: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    restored(backup, folder)
    opened(folder / "eventyard.db").close()

    assert caplog.messages == []


def test_the_store_is_whole_where_the_old_marks_were_still_in_place(backup: Path, database: Path) -> None:
    """As after a kill between its two last steps."""
    database.rename(database.with_name("lost.db"))
    marks = database.with_suffix(".marks")
    old = marks.read_bytes()
    restored(backup, database.parent)
    marks.write_bytes(old)

    engine = opened(database)
    assert engine.losses is None
    engine.close()


# What is refused


def refusal(backup: Path, folder: Path, **options: Any) -> EventyardError:
    with pytest.raises(EventyardError) as refused:
        restored(backup, folder, **options)
    assert "eventyard.db" not in left(folder)
    assert ".eventyard.db.part" not in left(folder)
    return refused.value


def test_a_folder_that_another_process_holds_is_refused(backup: Path, folder: Path) -> None:
    with hold(folder):
        assert isinstance(refusal(backup, folder), InvalidSettings)


@pytest.mark.parametrize("name", ["eventyard.db", "eventyard.db-wal"])
def test_a_folder_that_holds_a_store_is_refused_and_left_alone(backup: Path, folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).write_text("what was there")

    with pytest.raises(InvalidBackup, match=rf"{name} there already; wanted another folder with --data; or, .* mv "):
        restored(backup, folder)
    assert (folder / name).read_text() == "what was there"
    assert left(folder) == sorted([name, "lock"])


@pytest.mark.parametrize("content", [b"", b"these are my notes", b"x" * 10_000])
def test_a_file_that_is_no_database_is_refused(folder: Path, tmp_path: Path, content: bytes) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_bytes(content)

    assert "is no database" in refusal(notes, folder).found
    assert left(folder) == []


def test_a_backup_that_is_not_there_is_refused(folder: Path, tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere.db", folder).found


def test_the_database_of_a_store_is_no_backup(database: Path, backup: Path, folder: Path) -> None:
    assert "no backup: what stood in its log may be missing" in refusal(database, folder).found

    Path(f"{backup}-wal").touch()
    assert "no backup" in refusal(backup, folder).found


def test_a_backup_of_a_newer_version_is_refused(backup: Path, folder: Path) -> None:
    change(backup, "PRAGMA user_version = 99")

    assert refusal(backup, folder).wanted == "a newer eventyard"


def test_another_programs_database_is_refused(backup: Path, folder: Path) -> None:
    change(backup, "PRAGMA application_id = 7")

    assert "another program's database" in refusal(backup, folder).found


@pytest.mark.parametrize("cut", [1, 8192, 100_000])
def test_a_backup_that_was_cut_is_refused(backup: Path, folder: Path, cut: int) -> None:
    content = backup.read_bytes()
    backup.write_bytes(content[:-cut])

    found = refusal(backup, folder)
    assert isinstance(found, Damaged)
    assert f"is {len(content) - cut} bytes and says it has {len(content)}" in found.found
    assert left(folder) == []


def test_a_flipped_bit_is_found_and_named(backup: Path, folder: Path) -> None:
    backup.write_bytes(backup.read_bytes().replace(b'"id":"e7"', b'"id":"g7"'))

    found = refusal(backup, folder)
    assert isinstance(found, Damaged)
    assert "event 9 is not what was written" in found.found
    assert str(backup) in found.found
    assert restored(backup, folder, is_damage_kept=True).faults == ('bus "default": event 9 is not what was written',)
    engine = opened(folder / "eventyard.db")
    assert engine.view.event(BUS, 9) is None
    assert engine.damage.count == 1
    engine.close()


def test_a_backup_whose_structure_is_broken_is_refused_whatever_was_asked_for(backup: Path, folder: Path) -> None:
    content = bytearray(backup.read_bytes())
    content[3 * 8192 : 5 * 8192] = bytes(2 * 8192)
    backup.write_bytes(content)

    assert isinstance(refusal(backup, folder, is_damage_kept=True), Damaged)


def test_lost_events_are_found(backup: Path, folder: Path) -> None:
    change(backup, "DELETE FROM event WHERE place = ?", place(BUS, 20))

    assert 'bus "default" lacks positions 20 to 20' in refusal(backup, folder).found


# Ends before the end


@pytest.mark.parametrize("stage", ["copying", "checking its structure", "checking events"])
def test_ctrl_c_leaves_no_store(backup: Path, folder: Path, stage: str) -> None:
    def interrupt(reached: str) -> None:
        if reached == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restored(backup, folder, interrupt)
    assert left(folder) == ["lock"]


def test_a_new_life_that_cannot_be_written_leaves_no_store(backup: Path, folder: Path) -> None:
    with mock.patch("eventyard.engines.sqlite.engine.SqliteEngine.commit", side_effect=StorageFull("found no room")):
        assert isinstance(refusal(backup, folder), StorageFull)
    assert left(folder) == ["lock"]


def test_what_a_killed_restore_left_is_taken_over(backup: Path, folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    for name in ("part", "part-wal", "part-shm", "part-journal", "marks"):
        (folder / f".eventyard.db.{name}").write_bytes(backup.read_bytes()[::-1])

    restored(backup, folder)
    restored(backup, tmp_path / "clean")
    assert left(folder) == STORE
    assert dump(folder / "eventyard.db") == dump(tmp_path / "clean" / "eventyard.db")
