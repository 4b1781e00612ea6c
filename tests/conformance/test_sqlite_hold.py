"""Holding a data folder."""

import os
import stat
from pathlib import Path

import pytest

from eventyard.core.errors import InvalidSettings
from eventyard.engines.sqlite import hold


def test_a_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    with hold(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "lock").stat().st_mode) == 0o600


def test_a_held_folder_is_refused_with_the_process_that_holds_it(tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(InvalidSettings, match=f"process {os.getpid()}.*wanted to stop that process first"):
        hold(tmp_path)


def test_a_folder_let_go_may_be_held_again(tmp_path: Path) -> None:
    first = hold(tmp_path)
    first.release()
    first.release()

    hold(tmp_path).release()


def test_a_folder_that_cannot_be_made_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InvalidSettings, match=r"cannot be written.*another with --data"):
        hold(tmp_path / "file" / "data")


def test_a_lock_left_by_a_process_that_is_gone_holds_nobody(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("999999\n")

    with hold(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
