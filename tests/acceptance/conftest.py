"""A server process for all tests of a file, and command lines against it."""

import io
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventyard.cli import run
from tests.support.commands import Command, Ended, served
from tests.support.databases import KINDS, Service, new_place
from tests.support.postgres import postgres, programs

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("data")) as address:
        yield address


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    if programs() is None:
        pytest.skip("PostgreSQL is not installed here (Debian: apt-get install postgresql)")
    with postgres() as connection_string:
        yield connection_string


@pytest.fixture(params=KINDS)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    """An empty database of each kind. Where PostgreSQL is not installed, its tests say that they were skipped."""
    kind: str = request.param
    server = request.getfixturevalue("postgresql") if "postgresql" in kind else ""
    return Service(kind, new_place(kind, tmp_path, server))


@pytest.fixture
def eventyard(server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """One command line, in this process; `stdin` is what is piped into it."""
    monkeypatch.setenv("EVENTYARD_URL", server)

    def ended(*arguments: str, stdin: str = "") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = run(arguments)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return ended


@pytest.fixture
def bus(eventyard: Command, request: pytest.FixtureRequest) -> str:
    """An empty bus for one test."""
    name = f"{request.node.name.removeprefix('test_').split('[')[0][:100]}-{next(_numbers)}"
    assert eventyard("buses", "create", name).code == 0
    return name
