"""A store that can be made again is kept where it is certain to be whole, and thrown away where it is not."""

import shutil
from pathlib import Path
from unittest import mock

import pytest

from eventyard.engines.sqlite import open_remade, remade
from eventyard.engines.sqlite.engine import SqliteEngine
from tests.conformance.engines import changes, event, founding


def filled(path: Path) -> SqliteEngine:
    store = open_remade(str(path))
    store.commit([founding(1), changes(event(1))])
    return store


def killed(path: Path) -> Path:
    """What a process leaves that is killed while it has the store open."""
    store = filled(path)
    left = path.parent / "left"
    left.mkdir()
    for file in path.parent.glob("replica*"):
        shutil.copy(file, left / file.name)
    store.close()
    return left / path.name


def head(path: Path) -> int | None:
    store = open_remade(str(path))
    loaded = store.load()
    store.close()
    return loaded[1].head if loaded else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replica.db"


def test_a_store_that_was_closed_is_kept(path: Path) -> None:
    filled(path).close()

    assert head(path) == 1
    assert not remade.note(str(path)).exists()


def test_a_store_whose_process_was_killed_is_kept_without_a_word(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert head(killed(path)) == 1
    assert not caplog.records


def test_a_store_that_was_closed_is_kept_when_the_machine_started_anew(path: Path) -> None:
    filled(path).close()

    with mock.patch.object(remade, "boot_id", return_value=b"another"):
        assert head(path) == 1


def test_a_store_that_was_open_when_the_machine_stopped_is_thrown_away(path: Path) -> None:
    left = killed(path)

    with mock.patch.object(remade, "boot_id", return_value=b"another"):
        assert head(left) is None


def test_a_store_that_was_open_on_a_machine_that_names_no_runs_is_thrown_away(path: Path) -> None:
    with mock.patch.object(remade, "boot_id", return_value=b""):
        left = killed(path)
        assert head(left) is None


def test_a_store_that_is_no_database_is_thrown_away(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)

    assert head(path) is None


def test_a_store_whose_log_is_broken_is_thrown_away(path: Path) -> None:
    left = killed(path)
    log = Path(f"{left}-wal")
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 0xFF
    log.write_bytes(content)

    assert head(left) is None
