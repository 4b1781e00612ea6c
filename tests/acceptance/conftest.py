"""A server process for all tests of a file, and command lines against it."""

import io
import itertools
import sys
from collections.abc import Iterator

import pytest

from eventyard.cli import run
from tests.support.commands import Command, Ended, served

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("data")) as address:
        yield address


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
