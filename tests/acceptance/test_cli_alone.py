"""The command line without a server: what it refuses itself, what it says when nobody answers, and its parts."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import eventyard
from eventyard.cli import checks, run
from eventyard.cli.checks import Grade
from eventyard.cli.failures import code_of_status
from eventyard.cli.lines import Line, groups
from eventyard.cli.screen import printable
from tests.support.targets import Target, answer, answers_in_turn


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address that is held, so that no other test's server gets it, and at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        monkeypatch.setenv("EVENTYARD_URL", url)
        yield url


@pytest.mark.parametrize(
    "arguments",
    [
        ("publish", "--type", "a", "--source", "/b"),
        ("publish", "-"),
        ("rules", "list"),
        ("events", "list"),
        ("dead-letters", "redrive", "a", "--all"),
        ("pattern", "test", "{}", "{}"),
        ("buses", "list"),
    ],
)
def test_a_server_that_is_not_there_ends_in_4_with_what_to_do(
    nobody: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run(arguments) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: no server answers at {nobody} ")
    assert "next:  start a server with: eventyard serve" in err
    assert "Traceback" not in err


def test_under_json_an_error_is_json(nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["buses", "list", "--json"]) == 4
    told = json.loads(capsys.readouterr().err)["error"]
    assert (told["exit"], told["problem"]) == (4, None)
    assert nobody in told["message"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rulse",), "Did you mean 'rules'"),
        (("publish", "--tipe", "a"), "No such option: --tipe"),
        (("publish", "--type", "a"), "found no --source"),
        (("publish", "--type", "a", "--source", "/b", "--data", "{1"), "the data '{1' is not JSON: Expecting property name"),
        (
            ("publish", "--type", "a", "--source", "/b", "--data", "@/nowhere"),
            "cannot read /nowhere: No such file or directory",
        ),
        (("publish", "/nowhere"), "cannot read /nowhere: No such file or directory"),
        (("publish", "a.jsonl", "--type", "a"), "found a file and flags of one event"),
        (("rules", "put", "a"), "found no --to"),
        (("rules", "put", "a", "--to", "http://x/"), "found no --type, --source or --pattern"),
        (("rules", "put", "a", "a.json", "--to", "http://x/"), "found a file and --to"),
        (("rules", "put", "a", "/nowhere"), "cannot read /nowhere"),
        (
            ("rules", "put", "a", "--to", "http://x/", "--type", "a", "--pattern", '{"type": ["b"]}'),
            'found "type" in the pattern',
        ),
        (("rules", "put", "a", "--to", "http://x/", "--type", "a", "--pattern", "[]"), "the pattern is not a JSON object"),
        (("dead-letters", "redrive", "a"), "found no dead letters to redrive"),
        (("dead-letters", "redrive", "a", "b", "--all"), "found both ids and --all"),
        (("pattern", "test", "-", "-"), "found - for both"),
        (("pattern", "test", "{}", "nowhere.json"), "the event 'nowhere.json' is not JSON"),
        (("events", "show", "0"), "Invalid value for 'POSITION'"),
        (("events", "list", "--order", "up"), "'up' is not one of 'asc', 'desc'"),
        (("buses", "list", "--url", "localhost"), 'found the server address "localhost"'),
        (("serve", "--port", "70000"), "port"),
        (("serve", "--config", "/nowhere"), "cannot read the file"),
        (("serve", "--host", "0.0.0.0"), "a loopback address"),  # noqa: S104 - what is refused
    ],
)
def test_a_command_that_cannot_be_ends_in_2_and_says_why(
    nobody: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert nobody
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "next:" in err


def test_a_file_that_is_not_json_is_refused_with_the_line(
    nobody: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nobody
    file = tmp_path / "rule.json"
    file.write_text('{\n "pattern": {,}\n}')
    assert run(["rules", "put", "a", str(file)]) == 2
    assert f"{file} is not JSON: Expecting property name enclosed in double quotes: line 2 column 14" in capsys.readouterr().err


def test_a_defect_is_one_message_with_its_place(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("wheel off")

    monkeypatch.setattr("eventyard.cli.rules.connect", broken)
    assert run(["rules", "list"]) == 5
    err = capsys.readouterr().err
    assert "this is a defect of Eventyard: RuntimeError: wheel off at " in err
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, 1), (400, 3), (403, 3), (409, 3), (413, 3), (429, 4), (503, 4), (507, 4), (500, 5), (200, 5)],
)
def test_every_status_of_a_problem_has_its_exit_code(status: int, code: int) -> None:
    assert code_of_status(status) == code


@pytest.mark.parametrize("arguments", [(), ("rules",), ("events",), ("pattern",), ("buses",), ("dead-letters",)])
def test_a_group_alone_shows_its_help(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert run(arguments) == 0
    assert "Usage: eventyard" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["eventyard"] == eventyard.__version__
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"eventyard {eventyard.__version__}\n"


def test_help_loads_neither_the_client_nor_a_server() -> None:
    code = "import sys; from eventyard.cli import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert "typer" in loaded
    assert not {"apsw", "eventyard.bus", "eventyard.client", "httpx", "pycurl", "starlette", "uvicorn"} & set(loaded)


def test_a_demo_that_is_not_installed_says_where_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("eventyard.__file__", str(tmp_path / "src" / "eventyard" / "__init__.py"))
    assert run(["demo"]) == 1
    assert "examples/shop/demo.py is missing" in capsys.readouterr().err


def test_the_demo_is_run_with_its_arguments_and_ends_as_it_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "examples" / "shop" / "demo.py"
    script.parent.mkdir(parents=True)
    script.write_text("import sys; sys.exit(7 if sys.argv[1:] == ['--quick', 'x'] else 0)")
    monkeypatch.setattr("eventyard.__file__", str(tmp_path / "__init__.py"))
    assert run(["demo", "--quick", "x"]) == 7


def test_a_publish_that_breaks_off_says_how_far_it_came(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"type":"a","source":"/b","id":"1"}\n' * 1001)
    bus = b'{"name":"default","created":"","head":0}'
    taken = b'{"events":[' + b",".join([b'{"id":"1","source":"/b","position":1,"duplicate":false}'] * 1000) + b"]}"
    with Target(answers_in_turn(iter([answer(200, body=bus), answer(202, body=taken), answer(507)]))) as target:
        assert run(["publish", str(file), "--url", target.url]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "stopped at line 1001 (1000 accepted, 0 duplicate, 0 refused before it)" in err


# The doctor's checks


@pytest.mark.parametrize(
    ("version", "is_affected"),
    [
        ("3.6.23", False),
        ("3.7.0", True),
        ("3.40.1", True),
        ("3.44.5", True),
        ("3.44.6", False),
        ("3.45.0", True),
        ("3.50.6", True),
        ("3.50.7", False),
        ("3.51.2", True),
        ("3.51.3", False),
        ("3.54.1", False),
    ],
)
def test_the_wal_reset_bug_is_known_by_version(version: str, is_affected: bool) -> None:
    assert checks.is_affected(version) is is_affected
    assert checks.sqlite(version).grade == (Grade.WRONG if is_affected else Grade.WELL)
    assert checks.stdlib_sqlite(version).grade == (Grade.DOUBTFUL if is_affected else Grade.WELL)


def test_every_finding_that_is_not_well_says_what_to_do(nobody: str, tmp_path: Path) -> None:
    findings = [
        checks.python((3, 10, 9)),
        checks.grade_fsync(tmp_path, 25.0),
        checks.grade_fsync(tmp_path, 0.001),
        checks.grade_free(tmp_path, 5 * checks.GIB),
        checks.grade_free(tmp_path, 0),
        checks.fsync_speed(tmp_path / "nowhere"),
        checks.server(nobody),
    ]
    assert all(finding.grade != Grade.WELL and finding.advice for finding in findings)


def test_a_port_that_another_program_holds_is_named(nobody: str) -> None:
    finding = checks.server(nobody)
    assert (finding.grade, "its port is taken" in finding.found) == (Grade.WRONG, True)


# Printing


def test_what_would_steer_a_terminal_is_spelt_out() -> None:
    assert printable("a\x1b[2J\u009b\nb é") == r"a\x1b[2J\x9b\nb é"


# Lines


def grouped(*chunks: bytes) -> list[list[Line]]:
    """The groups of a source that gives `chunks`, one for each read."""
    reads = iter([*chunks, b""])

    class Source(io.BufferedReader):
        def read1(self, _size: int = -1, /) -> bytes:
            return next(reads)

    return list(groups(Source(io.BytesIO())))


def test_each_read_is_a_group_so_that_a_trickle_is_not_held_back() -> None:
    found = grouped(b'{"id":"1","specversion":"1.0"}\n{"id"', b':"2","specversion":"1.0"}\n', b'{"id":"3","specversion":"1.0"}')
    assert [[line.number for line in group] for group in found if group] == [[1], [2], [3]]
    assert found[1][0].text == b'{"id":"2","specversion":"1.0"}'


def test_a_group_ends_at_what_one_request_takes() -> None:
    assert [len(group) for group in grouped(b'{"a":1}\n' * 1001)] == [1000, 1]


def test_an_event_without_an_id_gets_one_and_keeps_its_text() -> None:
    [[line]] = grouped(b'  {"data": 1.10}  ')
    assert line.text.endswith(b'"data": 1.10}')
    assert json.loads(line.text).keys() == {"specversion", "id", "data"}


def test_a_document_that_is_cut_off_is_taken_for_lines() -> None:
    found = grouped(b'{"a":\n', b'{"b":1}\n')
    assert [(line.number, bool(line.fault)) for group in found for line in group] == [(1, True), (2, False)]


@pytest.mark.parametrize("text", [b"", b"\n\n", b"[]"])
def test_nothing_to_publish_gives_no_event(text: bytes) -> None:
    assert [line for group in grouped(text) for line in group if not line.fault] == []
