"""Keys on the command line: made, sent by every command and by workers, and never shown where others could read them."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import Command, Ended

LIMIT_S = 30


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    """What the tests of this file have made so far, by name; the server is theirs alone."""
    return {}


@pytest.fixture
def admin(eventyard: Command, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Commands of who manages keys: the first one is made when it is asked for."""
    if "admin" not in keys:
        made = eventyard("keys", "create", "admin", "--scope", "all")
        assert made.code == 0
        keys["admin"] = made.out.strip()
    monkeypatch.setenv("EVENTYARD_KEY", keys["admin"])
    return eventyard


def refused(ended: Ended, code: int, text: str) -> None:
    assert ended.code == code
    assert text in ended.err


def test_a_key_is_printed_alone_so_that_a_shell_can_keep_it(admin: Command) -> None:
    made = admin("keys", "create", "reader", "--scope", "read", "--bus", "default", "--expires-in", "90d")
    assert re.fullmatch(r"ey_[0-9a-f]{8}_[0-9a-f]{64}\n", made.out)
    assert "cannot be shown again" in made.err


def test_commands_send_the_key_and_say_what_is_missing(admin: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reader = admin("keys", "create", "reader", "--scope", "read").out.strip()
    monkeypatch.delenv("EVENTYARD_KEY")
    refused(admin("buses", "list"), 3, "next:  set EVENTYARD_KEY, or --key-file FILE")
    file = tmp_path / "key"
    file.write_text(reader + "\n")
    assert admin("buses", "list", "--key-file", str(file)).code == 0
    refused(admin("buses", "create", "b", "--key-file", str(file)), 3, "the scope manage on bus b")
    monkeypatch.setenv("EVENTYARD_KEY_FILE", str(file))
    assert admin("rules", "list").code == 0


def test_a_file_without_a_key_is_not_quoted(admin: Command, tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("binary", b"\xff\x00secret"), ("lines", b"one secret\ntwo secret")):
        (tmp_path / name).write_bytes(content)
        ended = admin("buses", "list", "--key-file", str(tmp_path / name))
        assert ended.code == 2
        assert "secret" not in ended.err
    refused(admin("buses", "list", "--key-file", str(tmp_path / "nothing")), 2, "cannot read the key")


def test_a_key_can_be_written_to_a_new_file_of_ones_own(admin: Command, tmp_path: Path) -> None:
    file = tmp_path / "key"
    made = admin("keys", "create", "writer", "--scope", "publish", "--source", "/shop/", "--write", str(file))
    assert not re.search(r"ey_[0-9a-f]{8}_", made.out + made.err)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("ey_")
    refused(admin("keys", "create", "again", "--scope", "publish", "--write", str(file)), 2, "cannot write")
    refused(admin("keys", "create", "no/name", "--scope", "read", "--write", str(tmp_path / "other")), 3, "name")
    assert not (tmp_path / "other").exists()


def test_the_list_tells_of_every_key_and_shows_none(admin: Command, keys: dict[str, str]) -> None:
    admin("keys", "create", "narrow", "--scope", "publish", "--bus", "shop", "--source", "/shop/", "--type", "order.*")
    told = admin("keys", "list")
    assert "publish (source /shop/; type order.*)" in told.out
    assert keys["admin"][12:] not in told.out
    documents = admin("keys", "list", "--json").documents
    assert documents[0]["name"] == "admin"
    assert documents[-1]["buses"] == ["shop"]


def test_one_key_is_shown_without_what_would_open_anything(admin: Command) -> None:
    key = admin("keys", "create", "narrow", "--scope", "publish", "--bus", "shop").out.strip()
    told = admin("keys", "show", key[3:11])
    assert [line.split()[:2] for line in told.out.splitlines()[1:4]] == [
        ["name", "narrow"],
        ["scopes", "publish"],
        ["buses", "shop"],
    ]
    assert key[12:] not in told.out
    refused(admin("keys", "show", "00000000"), 1, "next:  eventyard keys list")


def test_a_revoked_key_opens_nothing(admin: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    key = admin("keys", "create", "brief", "--scope", "read").out.strip()
    assert admin("keys", "revoke", key[3:11]).code == 0
    assert "revoked" in admin("keys", "list").out
    refused(admin("keys", "revoke", "00000000"), 1, "no key")
    monkeypatch.setenv("EVENTYARD_KEY", key)
    refused(admin("buses", "list"), 3, "was revoked")


def test_a_whole_key_on_the_command_line_is_warned_of(admin: Command) -> None:
    key = admin("keys", "create", "shown", "--scope", "read").out.strip()
    refused(admin("keys", "revoke", key), 0, "where other users of this machine can read it")


@pytest.mark.parametrize(
    "flags", [(), ("--scope", "everything"), ("--scope", "read", "--scope", "all"), ("--scope", "read", "--expires-in", "soon")]
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(admin: Command, flags: tuple[str, ...]) -> None:
    assert admin("keys", "create", "k", *flags).code == 2


def test_the_doctor_knows_a_server_that_wants_a_key(admin: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EVENTYARD_KEY")
    assert "wants another key" in admin("doctor", "--data", str(tmp_path)).out


def test_a_worker_needs_a_key_that_may_consume_everywhere(admin: Command, server: str) -> None:
    reader = admin("keys", "create", "worker", "--scope", "read").out.strip()
    consumer = admin("keys", "create", "worker", "--scope", "consume").out.strip()
    assert first_word_of_a_worker(server, "") == (3, "status 401")
    assert first_word_of_a_worker(server, reader) == (3, "the scope consume")
    assert first_word_of_a_worker(server, consumer) == (None, "Pushing for the server")


def first_word_of_a_worker(server: str, key: str) -> tuple[int | None, str]:
    """Its exit code where it ended, and which of these it said."""
    words = ("the scope consume", "Pushing for the server", "status 401")
    command = [sys.executable, "-m", "eventyard", "worker", "--server", server]
    environment = os.environ | {"EVENTYARD_KEY": key}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                for word in words:
                    if word in line:
                        return (None if word == words[1] else process.wait(LIMIT_S)), word
        finally:
            process.kill()
    raise AssertionError("it said nothing of the kind")
