"""A bus that others can reach: what it starts with, where its first key comes from, and what it says when nobody needs one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import eventyard
from eventyard import entrance, first_key, serve
from eventyard.core import access
from eventyard.core.commands import RevokeKey
from eventyard.core.errors import ForbiddenOrigin, InvalidSettings
from eventyard.core.system import SYSTEM_BUS
from eventyard.settings import Settings
from eventyard.surfaces.http.origins import OriginGuard
from tests.support.buses import composed

WAIT_S = 20.0
ANYWHERE = "0.0.0.0"  # noqa: S104 - listening there is the point
START = """
import json, sys
from eventyard.serve import serve
from eventyard.settings import Settings
sys.exit(serve(Settings(port=0, log_format="json", **json.loads(sys.argv[1]))))
"""


class Started:
    """A server as a process. `said`: its greeting; `url` reaches it over the loopback."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.said: list[str] = []
        while not self.said or not self.said[-1].startswith("Stop with"):
            self.said.append(process.stdout.readline())
            assert self.said[-1], self.said
        self.url = f"http://127.0.0.1:{self.said[0].strip().rsplit(':', 1)[1]}"

    def ended(self) -> str:
        """What it has logged, once it has ended well."""
        self.process.send_signal(signal.SIGTERM)
        out, log = self.process.communicate(timeout=WAIT_S)
        assert self.process.returncode == 0
        return "".join(self.said) + out + log


@contextmanager
def started(data: Path, **settings: Any) -> Iterator[Started]:
    environment = os.environ | {"PYTHONPATH": str(Path(eventyard.__file__).parents[1])}
    command = [sys.executable, "-c", START, json.dumps({"data": str(data), **settings})]
    with subprocess.Popen(command, text=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield Started(process)
        finally:
            process.kill()


def status(url: str, path: str, key: str = "") -> int:
    return httpx.get(url + path, headers={"authorization": f"Bearer {key}"} if key else {}).status_code


@pytest.mark.parametrize("host", [ANYWHERE, "::", ""])
def test_a_host_that_others_can_reach_needs_a_key(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        serve.serve(Settings(host=host, port=0, data=str(tmp_path / "data")))
    assert refused.value.at == "host"
    assert "no access key" in refused.value.found
    assert "--first-key" in refused.value.wanted


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_an_address_of_no_machine_is_told_as_one(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        serve.serve(Settings(host=host, port=0, data=str(tmp_path / "data")))
    assert (refused.value.at, host in refused.value.found) == ("host", True)


def test_a_bus_with_a_first_key_file_starts_publicly_and_opens_to_that_key_alone(tmp_path: Path) -> None:
    file = tmp_path / "first.key"
    with started(tmp_path / "data", host=ANYWHERE, first_key=str(file)) as server:
        key = file.read_text().strip()
        assert file.stat().st_mode & 0o777 == 0o600
        assert status(server.url, "/v1/keys") == 401
        assert status(server.url, "/v1/keys", key) == 200
        assert httpx.get(f"{server.url}/readyz", headers={"authorization": f"Bearer {key}"}).json()["remarks"] == []
        written = server.ended()
    assert key[12:] not in written
    assert key[3:11] in written
    with started(tmp_path / "data", host=ANYWHERE) as server:
        assert status(server.url, "/v1/keys", key) == 200


def test_insecure_starts_without_a_key_and_says_so_everywhere(tmp_path: Path) -> None:
    for _ in range(2):
        with started(tmp_path / "data", host=ANYWHERE, insecure=True) as server:
            assert any(line.startswith("INSECURE") for line in server.said)
            ready = httpx.get(f"{server.url}/readyz").json()
            assert (ready["ready"], "insecure" in ready["remarks"][0]) == (True, True)
            entries = [json.loads(line) for line in server.ended().splitlines() if line.startswith("{")]
        assert [entry["level"] for entry in entries if entry["event"] == "open-to-all"] == ["warning"]


def test_insecure_does_not_open_a_bus_that_has_keys(tmp_path: Path) -> None:
    file = tmp_path / "first.key"
    with started(tmp_path / "data", first_key=str(file)) as server:
        server.ended()
    with started(tmp_path / "data", host=ANYWHERE, insecure=True) as server:
        assert status(server.url, "/v1/keys") == 401
        assert not any(line.startswith("INSECURE") for line in server.said)


def test_targets_on_the_loopback_are_for_a_bus_that_listens_there_alone(tmp_path: Path) -> None:
    rule = {"pattern": {"type": ["t"]}, "target": {"http": {"url": "http://127.0.0.1:9/"}}}
    with started(tmp_path / "data", host=ANYWHERE, insecure=True) as server:
        answer = httpx.put(f"{server.url}/v1/buses/default/rules/r", json=rule)
    assert answer.json()["type"] == "urn:eventyard:problem:forbidden-target"


# The file of the first key


def test_a_key_that_stands_in_the_file_is_the_first(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(access.key_text(bytes(36)) + "\n")
    file.chmod(0o600)
    assert first_key.read_or_make(file) == access.key_text(bytes(36))


def test_a_start_that_was_cut_off_finds_the_key_that_it_wrote(tmp_path: Path) -> None:
    assert first_key.read_or_make(tmp_path / "key") == first_key.read_or_make(tmp_path / "key")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    first_key.read_or_make(file)
    file.chmod(mode)
    with pytest.raises(InvalidSettings, match=f"found the mode {mode:04o}"):
        first_key.read_or_make(file)


def test_what_is_no_key_is_refused_and_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("hunter2")
    file.chmod(0o600)
    with pytest.raises(InvalidSettings, match="found no key") as refused:
        first_key.read_or_make(file)
    assert "hunter2" not in refused.value.detail


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    for name in ("pipe", "", "no/where", "dangling"):
        with pytest.raises(InvalidSettings):
            first_key.read_or_make(tmp_path / name)


def test_a_first_key_that_was_revoked_does_not_come_back(tmp_path: Path) -> None:
    """A restart with the setting still there must not undo what was revoked because it leaked."""
    file = tmp_path / "key"
    yard = composed()
    yard.open()
    entrance.let_first_key_in(yard, file)
    yard._writer.run_now(SYSTEM_BUS, RevokeKey(yard.access_keys()[0].id))
    with pytest.raises(InvalidSettings, match="was revoked"):
        entrance.let_first_key_in(yard, file)
    file.unlink()
    entrance.let_first_key_in(yard, file)
    assert yard.has_key_manager


# Which names it answers to


@pytest.mark.parametrize(
    ("host", "is_public", "is_key_needed", "is_taken"),
    [
        (b"bus.example", False, True, False),
        (b"bus.example", True, False, False),
        (b"bus.example", True, True, True),
        (b"192.0.2.7:8410", False, True, False),
        (b"192.0.2.7:8410", True, False, True),
        (b"[2001:db8::1]:8410", True, False, True),
        (b"localhost", True, False, True),
    ],
)
def test_a_name_that_somebody_made_point_here_gains_nothing(
    host: bytes, is_public: bool, is_key_needed: bool, is_taken: bool
) -> None:
    """An address cannot be made to point elsewhere; a name can, and then only a key keeps the page out."""
    guard = OriginGuard(is_public=is_public)
    assert passes(guard, host, is_key_needed=is_key_needed) == is_taken


def test_names_that_are_set_are_the_only_ones() -> None:
    guard = OriginGuard(("Bus.example",), is_public=True)
    assert passes(guard, b"bus.EXAMPLE:443", is_key_needed=True)
    assert not passes(guard, b"other.example", is_key_needed=True)


def passes(guard: OriginGuard, host: bytes, *, is_key_needed: bool) -> bool:
    try:
        guard.check({b"host": host}, is_key_needed=is_key_needed)
    except ForbiddenOrigin:
        return False
    return True
