"""`eventyard doctor` on a store that no server holds: what it says, what it repairs, and how it ends."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eventyard.cli import run
from eventyard.core.commands import Publish
from eventyard.engines.sqlite import SqliteEngine, files, hold
from eventyard.engines.sqlite.place import place
from tests.support.builders import Stepped, an_event
from tests.support.harm import crashed
from tests.support.stores import change, make_store, opened

PAGE = 8192


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Doctor = Callable[..., Ended]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store whose process died with commits in its log."""
    path = tmp_path / "data" / files.DATABASE
    make_store(path).engine.close()
    bus = Stepped(opened(path))
    for number in range(100, 110):
        bus.do(Publish((an_event(number, data="x" * 900),)))
    copy = crashed(path, "store")
    bus.engine.close()
    return copy


@pytest.fixture
def doctor(store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    def ended(*arguments: str, stdin: Any = None) -> Ended:
        monkeypatch.setattr(sys, "stdin", stdin or io.StringIO())
        code = run(["doctor", "--data", str(store.parent), *arguments])
        return Ended(code, *capsys.readouterr())

    return ended


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


def finding(ended: Ended) -> dict[str, Any]:
    return next(document for document in ended.documents if document["check"] == "store")


def content(store: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in store.parent.iterdir() if file.name not in ("lock", "eventyard.db-shm")}


# Examining


def test_a_sound_store_is_well_and_left_as_it_is(doctor: Doctor, store: Path) -> None:
    before = content(store)

    assert finding(doctor("--json"))["grade"] == "well"
    assert content(store) == before


def test_a_store_that_a_process_holds_is_left_to_it(doctor: Doctor, store: Path) -> None:
    with hold(store.parent):
        found = finding(doctor("--json"))
        repairing = doctor("--repair", "--yes")

    assert (found["grade"], "/readyz says what it finds" in found["found"]) == ("well", True)
    assert (repairing.code, "held by another eventyard" in repairing.err) == (2, True)


def test_what_was_lost_is_said_with_the_command_that_repairs(doctor: Doctor, store: Path) -> None:
    files.log(store).unlink()
    ended = doctor("--json")

    assert ended.code == 1
    assert finding(ended) == {
        "check": "store",
        "grade": "wrong",
        "found": 'bus "default" ends at position 47 and had reached 57: 48 to 57 are lost',
        "advice": f"eventyard doctor --repair --data {store.parent}",
    }


def test_damaged_events_are_named(doctor: Doctor, store: Path) -> None:
    opened(store).close()
    change(store, "UPDATE event SET checksum = 0 WHERE place IN (?, ?)", place(1, 7), place(1, 9))

    assert finding(doctor("--json"))["found"] == 'bus "default": positions 7, 9 damaged or gone'


def test_a_store_without_marks_is_looked_at_twice(doctor: Doctor, store: Path) -> None:
    files.marks(store).unlink()
    found = finding(doctor("--json"))

    assert (found["grade"], "there are no marks beside it" in found["found"]) == ("doubtful", True)


def test_a_folder_without_a_store_is_no_fault(doctor: Doctor, store: Path) -> None:
    shutil.rmtree(store.parent)
    assert finding(doctor("--json"))["grade"] == "well"
    assert doctor("--repair").code == 2


# Repairing


def test_a_sound_store_is_not_repaired(doctor: Doctor, store: Path) -> None:
    before = content(store)
    ended = doctor("--repair", "--yes")

    assert (ended.code, "there is nothing to repair" in ended.out) == (0, True)
    assert content(store) == before


def test_a_repair_says_what_is_lost_asks_and_can_be_declined(doctor: Doctor, store: Path) -> None:
    files.log(store).unlink()
    before = content(store)
    ended = doctor("--repair", stdin=Terminal("n\n"))

    assert ended.code == 1
    assert "48 to 57 are lost" in ended.out
    assert 'bus "default": positions 48 to 57 (10 in all); it starts a new incarnation' in ended.out
    assert "11 commits: edits of rules" in ended.out
    assert "put the repaired store in place?" in ended.err
    assert ended.out.endswith("nothing was changed\n")
    assert content(store) == before


def test_a_repair_that_is_agreed_to_leaves_a_sound_store_and_the_old_files(doctor: Doctor, store: Path) -> None:
    files.log(store).unlink()
    before = content(store)
    ended = doctor("--repair", stdin=Terminal("y\n"))

    assert ended.code == 0
    kept = next(store.parent.glob("eventyard.damaged-*"))
    assert f"the files as they were are in {kept}" in ended.out
    assert {file.name: file.read_bytes() for file in kept.iterdir()} == before
    assert doctor("--repair").out.startswith("the store is sound")
    engine = SqliteEngine(str(store))
    assert engine.losses is None
    assert Stepped(engine).do(Publish((an_event("new"),)))[0].position == 59
    engine.close()


def test_where_nobody_can_be_asked_a_repair_wants_yes(doctor: Doctor, store: Path) -> None:
    files.log(store).unlink()
    before = content(store)
    ended = doctor("--repair")

    assert (ended.code, "add --yes" in ended.err) == (2, True)
    assert content(store) == before


def test_a_repair_for_programs_is_one_document(doctor: Doctor, store: Path) -> None:
    files.log(store).unlink()
    ended = doctor("--repair", "--yes", "--json")

    assert ended.code == 0
    (told,) = ended.documents
    assert (told["repaired"], told["log_mended"], told["remaining"]) == (True, False, [])
    assert told["losses"] == [{"bus": "default", "lost": [[48, 57]], "commits": 11, "owed": {}}]


def test_rows_that_had_to_be_saved_are_told(doctor: Doctor, store: Path) -> None:
    opened(store).close()
    with store.open("r+b") as file:
        file.truncate(12 * PAGE)
    ended = doctor("--repair", "--yes")

    assert ended.code == 0, ended.err
    assert "structure" in ended.out or "malformed" in ended.out
    assert "rows of the table" in ended.out or "deliveries of bus number" in ended.out or "are lost" in ended.out
    assert doctor("--repair").code == 0


def test_what_cannot_be_repaired_ends_in_five_with_a_backup_as_advice(doctor: Doctor, store: Path) -> None:
    files.log(store).unlink()
    files.marks(store).unlink()
    store.write_bytes(b"notes " * 5_000)
    before = content(store)
    ended = doctor("--repair", "--yes")

    assert (ended.code, "backup" in ended.err) == (5, True)
    assert content(store) == before


def test_the_database_of_an_embedded_bus_is_named_itself(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = store.with_name("shop.db")
    for name in (files.log, files.marks):
        name(store).rename(name(shop))
    store.rename(shop)
    files.log(shop).unlink()

    assert run(["doctor", "--repair", "--yes", "--data", str(shop)]) == 0
    assert next(store.parent.glob("shop.damaged-*"), None) is not None
    capsys.readouterr()
