"""The key file, and what is sealed with its keys."""

import os
from pathlib import Path

import pytest

from eventyard.core import limits
from eventyard.core.errors import InvalidRequest, InvalidSettings, SecretLost
from eventyard.vault import KeyFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "secrets.key"


def test_a_key_file_is_made_for_its_owner_alone_and_read_again(path: Path) -> None:
    sealed = KeyFile(path).seal("Bearer 1", "shop/paid/authorization")
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyFile(path).open(sealed, "shop/paid/authorization") == "Bearer 1"
    assert "Bearer" not in sealed


def test_it_is_private_whatever_the_process_would_make(path: Path) -> None:
    before = os.umask(0)
    try:
        KeyFile(path).rotate()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_same_secret_is_sealed_differently_each_time(path: Path) -> None:
    vault = KeyFile(path)
    assert vault.seal("Bearer 1", "a") != vault.seal("Bearer 1", "a")


def test_what_was_sealed_for_one_rule_does_not_open_for_another(path: Path) -> None:
    vault = KeyFile(path)
    sealed = vault.seal("Bearer 1", "shop/paid/authorization")
    with pytest.raises(SecretLost, match="sealed for something else"):
        vault.open(sealed, "shop/mine/authorization")


@pytest.mark.parametrize("place", [-5, -20, -1])
def test_what_was_changed_does_not_open(path: Path, place: int) -> None:
    vault = KeyFile(path)
    sealed = vault.seal("Bearer 1", "a")
    other = "A" if sealed[place] != "A" else "B"
    with pytest.raises(SecretLost):
        vault.open(sealed[:place] + other + (sealed[place + 1 :] if place != -1 else "x"), "a")


@pytest.mark.parametrize(
    "text", ["", "sealed:", "sealed:12345678:", "Bearer 1", "sealed:{key}:", "sealed:{key}:AAAA", "sealed:{key}:ü"]
)
def test_what_is_nothing_sealed_does_not_open(path: Path, text: str) -> None:
    vault = KeyFile(path)
    with pytest.raises(SecretLost):
        vault.open(text.format(key=vault.rotate()), "a")


def test_after_a_rotation_old_and_new_open_until_the_old_key_is_forgotten(path: Path) -> None:
    vault = KeyFile(path)
    old = vault.seal("Bearer 1", "a")
    name = vault.rotate()
    new = vault.seal("Bearer 1", "a")
    assert (vault.is_current(old), vault.is_current(new), name in new) == (False, True, True)
    assert [KeyFile(path).open(sealed, "a") for sealed in (old, new)] == ["Bearer 1"] * 2
    assert vault.forget() == 1
    for known in (vault, KeyFile(path)):
        assert known.open(new, "a") == "Bearer 1"
        with pytest.raises(SecretLost, match="which the key file does not have"):
            known.open(old, "a")


def test_so_many_keys_are_kept_and_no_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECRET_KEYS_MAX", 2)
    vault = KeyFile(path)
    vault.rotate()
    with pytest.raises(InvalidRequest, match="found 2 keys"):
        vault.rotate()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(path: Path, mode: int) -> None:
    KeyFile(path)
    path.chmod(mode)
    with pytest.raises(InvalidSettings, match=f"chmod 600 {path}"):
        KeyFile(path)


@pytest.mark.parametrize("text", [b"", b"# only words\n", b"nonsense\n", b"12345678 c2hvcnQ=\n", b"\xff\xfe\x00", b"a b c\n"])
def test_a_file_that_holds_no_keys_is_refused_and_left_alone(path: Path, text: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(InvalidSettings):
        KeyFile(path)
    assert path.read_bytes() == text


def test_what_a_cut_rotation_leaves_behind_is_in_nobodys_way(path: Path) -> None:
    vault = KeyFile(path)
    path.with_name("secrets.key.part").write_text("half")
    vault.rotate()
    assert not path.with_name("secrets.key.part").exists()


def test_a_place_where_no_file_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSettings, match="cannot make it"):
        KeyFile(tmp_path / "file" / "secrets.key")
