"""The log: every entry is on its page with its fields, every call is an entry's, lines are what the page says, secrets are not in them."""

import ast
import gc
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import eventyard
from eventyard import logbook
from eventyard.logbook import ENTRIES, Entry, JsonLines, TextLines
from tests.support import targets
from tests.support.buses import served_bus
from tests.support.targets import Target

SOURCE = Path(eventyard.__file__).parent
PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "logs.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (\w+) \|([^|]*)\| ([^|]+) \|$", PAGE, re.MULTILINE)
ALWAYS = {"time", "level", "part", "event", "message", "trace"}

# The page, the table, the calls


def test_every_entry_is_told_with_its_level_part_and_fields_and_no_other_is() -> None:
    told = {name: (level, part, tuple(fields.replace(",", " ").split())) for name, level, part, fields, _ in ROWS}
    assert told == {entry.name: (logging.getLevelName(entry.level).lower(), entry.part, entry.fields) for entry in ENTRIES}
    assert len(ROWS) == len(ENTRIES)


def test_no_field_takes_the_place_of_what_every_line_has() -> None:
    assert not {field for entry in ENTRIES for field in entry.fields} & ALWAYS
    assert all(f"| `{member}` |" in PAGE for member in ALWAYS)


def tree_of(file: Path) -> ast.Module:
    """Without the garbage collector: where it runs meanwhile, CPython 3.11 may take its finalizers' calls for a fault of its own
    (SystemError: AST constructor recursion depth mismatch).
    """
    gc.disable()
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    finally:
        gc.enable()


def calls() -> Iterator[tuple[str, ast.Call]]:
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.Call):
                yield str(file.relative_to(SOURCE)), node


def entry_calls() -> Iterator[tuple[str, Entry, ast.Call]]:
    for file, call in calls():
        match call.func:
            case ast.Attribute(value=ast.Name(id="logbook"), attr=name) if name.isupper():
                yield f"{file}:{call.lineno}", getattr(logbook, name), call


def test_every_call_gives_the_fields_of_its_entry() -> None:
    for where, entry, call in entry_calls():
        assert not call.args, where
        assert {keyword.arg for keyword in call.keywords} == set(entry.fields), where


def test_every_entry_is_written_somewhere() -> None:
    assert {entry.name for _, entry, _ in entry_calls()} == {entry.name for entry in ENTRIES}


def test_nothing_is_logged_but_entries() -> None:
    """The client is a library in somebody else's program, and speaks by that program's rules."""
    for file, call in calls():
        if file.startswith("client/") or file in {"logbook.py", "process.py"}:
            continue
        match call.func:
            case ast.Attribute(value=ast.Name(id="logging")):
                raise AssertionError(f"{file}:{call.lineno} logs past the logbook")


# Lines


def record(entry: Any, *args: Any, trace: bool = False) -> logging.LogRecord:
    made = logging.LogRecord("eventyard.writer", logging.WARNING, __file__, 1, entry, args, None)
    made.created = 1_769_846_400.0
    if trace:
        try:
            int("made up")
        except ValueError:
            made.exc_info = sys.exc_info()
    return made


def test_a_line_of_json_is_as_the_page_shows_it() -> None:
    [example] = re.findall(r"```json\n(.*?)\n```", PAGE)
    line = JsonLines().format(record(logbook.COMMIT_FAILED, {"error": "no space left on the disk"}))
    assert line == example


def test_a_line_of_text_says_the_same() -> None:
    line = TextLines().format(record(logbook.COMMIT_FAILED, {"error": "no space left on the disk"}))
    assert line == "2026-01-31T08:00:00.000Z warning writer commit-failed: a commit failed: no space left on the disk"


def test_a_line_of_somebody_else_is_foreign() -> None:
    said = json.loads(JsonLines().format(record("took %s seconds", 5)))
    assert (said["event"], said["message"]) == ("foreign", "took 5 seconds")


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
def test_an_exception_comes_with_its_trace(lines: logging.Formatter) -> None:
    said = lines.format(record(logbook.REQUEST_FAILED, trace=True))
    assert "ValueError: invalid literal" in said
    if isinstance(lines, JsonLines):
        assert "ValueError: invalid literal" in json.loads(said)["trace"]


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
def test_what_a_caller_sent_begins_no_line_of_its_own(lines: logging.Formatter) -> None:
    said = lines.format(record(logbook.COMMIT_FAILED, {"error": "one\ntwo\r\x1b[31m\u2028three"}))
    assert len(said.splitlines()) == 1
    assert "\x1b" not in said


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
@pytest.mark.parametrize(
    ("text", "secret", "left"),
    [
        ("key ey_abcd1234_s3cr3t-0123456789abcdef is gone", "s3cr3t", "ey_abcd1234_***"),
        ("cannot reach https://user:hunter2@shop.example/in", "hunter2", "https://***@shop.example"),
        ("authorization: Bearer eyJhbGciOiJSUzI1NiJ9.e30.sig", "eyJhb", "Bearer ***"),
        ("found whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ", "whsec_***"),
        ("Basic dXNlcjpodW50ZXIy was refused", "dXNlc", "Basic ***"),
    ],
)
def test_secrets_are_struck_out_wherever_they_come_from(lines: logging.Formatter, text: str, secret: str, left: str) -> None:
    said = lines.format(record(logbook.COMMIT_FAILED, {"error": text}))
    assert secret not in said
    assert left in said


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_can_be_written(entry: Entry, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="eventyard")
    values = {field: 7 if f"%({field})d" in entry.text else 7.0 for field in entry.fields}
    entry(**values)
    [written] = caplog.records
    assert written.getMessage()
    assert json.loads(JsonLines().format(written)).items() >= {"event": entry.name, **values}.items()


# What a bus writes


def test_at_debug_each_step_push_and_request_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="eventyard")
    with Target(targets.answers(204)) as target, served_bus() as bus:
        bus.put("/v1/buses/default/rules/r", json={"pattern": {"type": ["t"]}, "target": {"http": {"url": target.url}}})
        bus.publish("default", {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": "told-to-nobody"})
        bus.wait_until(lambda: bus.get("/v1/buses/default/rules/r/status").json()["delivered"] == 1)
        bus.get("/v1/buses/default/events?limit=5")
    said = [json.loads(JsonLines().format(record)) for record in caplog.records if isinstance(record.msg, Entry)]
    steps = [line for line in said if line["event"] == "step"]
    assert {"events": 1, "commands": 1, "outcome": "kept"}.items() <= next(s for s in steps if s["events"]).items()
    [push] = [line for line in said if line["event"] == "pushed"]
    assert (push["bus"], push["rule"], push["position"], push["attempt"], push["status"]) == ("default", "r", 2, 1, 204)
    asked = [(line["method"], line["path"], line["status"]) for line in said if line["event"] == "request"]
    assert ("POST", "/v1/buses/default/events", 202) in asked
    assert ("GET", "/v1/buses/default/events", 200) in asked
    assert "told-to-nobody" not in caplog.text
    assert "limit=5" not in caplog.text


def test_at_info_a_bus_at_work_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="eventyard")
    with served_bus() as bus:
        bus.publish("default", {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"})
        bus.publish("default", b"no event")
    assert caplog.messages == []
