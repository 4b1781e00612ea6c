"""The command line against a running server: each command, what it prints and how it ends."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Command, lines

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"

EVENT = {"type": "order.paid", "source": "/shop"}


# publish


def test_an_event_from_flags_is_accepted_once(eventyard: Command, bus: str) -> None:
    flags = ("publish", "--bus", bus, "--type", "order.paid", "--source", "/shop", "--id", "1", "--subject", "o-1")
    assert eventyard(*flags, "--data", '{"total": 25}') == (0, "accepted: position 1, id 1\n", "")
    assert eventyard(*flags, "--data", '{"total": 25}') == (0, "duplicate: position 1 already holds id 1\n", "")
    conflict = eventyard(*flags, "--data", '{"total": 26}')
    assert conflict.code == 3
    assert "other content" in conflict.err
    assert "next:  a new event needs a new id" in conflict.err


def test_data_keeps_its_spelling_from_a_flag_a_file_or_a_pipe(eventyard: Command, bus: str, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text("1.10")
    flags = ("publish", "--bus", bus, "--type", "a", "--source", "/b", "--data")
    for data, stdin in (("1.10", ""), (f"@{file}", ""), ("-", "1.10")):
        assert eventyard(*flags, data, stdin=stdin).code == 0
    listed = eventyard("events", "list", "--bus", bus, "--json").out
    assert listed.count('"data": 1.10}') == 3


def test_a_file_of_lines_is_published_and_refused_lines_are_named(eventyard: Command, bus: str, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    again = EVENT | {"id": "1"}
    file.write_text(
        lines(again, "not json", EVENT, "", again, {"type": "a", "id": "2"}, "[1]", EVENT | {"type": "io.eventyard.a"})
    )
    ended = eventyard("publish", str(file), "--bus", bus)
    assert (ended.code, ended.out) == (1, "2 accepted, 1 duplicate, 4 refused\n")
    said = [line.split(" refused: ") for line in ended.err.splitlines()]
    assert [place for place, _ in said] == ["line 2", "line 6", "line 7", "line 8"]
    assert said[1][1].startswith("at /source: no source")


def test_a_pipe_is_published_and_each_line_has_its_json_verdict(eventyard: Command, bus: str) -> None:
    ended = eventyard("publish", "-", "--bus", bus, "--json", stdin=lines(EVENT | {"id": "1"}, "x"))
    assert ended.code == 1
    accepted, refused = ended.documents
    assert accepted == {"number": 1, "id": "1", "source": "/shop", "position": 1}
    assert (refused["number"], refused["error"]["type"]) == (2, "urn:eventyard:problem:invalid-json")


@pytest.mark.parametrize("text", [json.dumps([EVENT, EVENT], indent=1), json.dumps(EVENT, indent=1), json.dumps([EVENT])])
def test_a_json_document_is_published_too(eventyard: Command, bus: str, text: str) -> None:
    ended = eventyard("publish", "--bus", bus, stdin=text)
    assert (ended.code, ended.out) == (0, f"{text.count('order.paid')} accepted, 0 duplicate, 0 refused\n")


def test_one_buss_events_can_be_piped_into_another_byte_by_byte(eventyard: Command, bus: str) -> None:
    eventyard("publish", "--bus", bus, stdin='{"type":"a",  "source":"/b","id":"1","data":{ "n": 1.10 }}')
    listed = eventyard("events", "list", "--bus", bus, "--json")
    assert eventyard("publish", "--bus", bus, stdin=listed.out).out == "0 accepted, 1 duplicate, 0 refused\n"


def test_more_refusals_than_a_screen_holds_are_counted(eventyard: Command, bus: str) -> None:
    ended = eventyard("publish", "--bus", bus, stdin=lines(*["x"] * 25))
    assert len(ended.err.splitlines()) == 21
    assert "and 5 more refused" in ended.err


def test_a_bus_that_is_not_there_is_said_before_anything_is_read(eventyard: Command) -> None:
    ended = eventyard("publish", "--bus", "nowhere", stdin=lines(EVENT))
    assert (ended.code, ended.out) == (1, "")
    assert 'found no bus "nowhere"' in ended.err


# events


def test_events_are_listed_newest_first_and_filtered(eventyard: Command, bus: str) -> None:
    eventyard("publish", "--bus", bus, stdin=lines(EVENT, EVENT | {"type": "order.sent"}, EVENT | {"source": "/web"}))

    def positions(*flags: str) -> list[int]:
        listed = eventyard("events", "list", "--bus", bus, "--json", *flags)
        assert listed.code == 0
        return [document["position"] for document in listed.documents]

    assert positions() == [3, 2, 1]
    assert positions("--order", "asc", "--limit", "2") == [1, 2]
    assert positions("--order", "asc", "--after", "1") == [2, 3]
    assert positions("--type", "order.sent") == [2]
    assert positions("--type", "order.paid", "--source", "/web") == [3]
    assert positions("--pattern", '{"source": [{"prefix": "/w"}]}', "--all") == [3]
    assert positions("--from", "1h") == [3, 2, 1]
    assert positions("--until", "1h") == []
    assert positions("--from", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z") == []


def test_the_table_of_events_has_a_row_each(eventyard: Command, bus: str) -> None:
    eventyard("publish", "--bus", bus, stdin=lines(EVENT | {"id": "[red]"}))
    head, row = eventyard("events", "list", "--bus", bus).out.splitlines()
    assert head.split() == ["POSITION", "ACCEPTED", "TYPE", "SOURCE", "SUBJECT", "ID"]
    assert row.split()[2:] == ["order.paid", "/shop", "-", "[red]"]


def test_an_empty_list_is_an_answer(eventyard: Command, bus: str) -> None:
    assert eventyard("events", "list", "--bus", bus) == (0, "no such events\n", "")
    assert eventyard("events", "list", "--bus", bus, "--json") == (0, "", "")


def test_an_event_is_shown_in_full_and_one_that_is_not_there_is_a_no(eventyard: Command, bus: str) -> None:
    eventyard("publish", "--bus", bus, stdin=lines(EVENT | {"id": "1"}))
    shown = eventyard("events", "show", "1", "--bus", bus)
    assert shown.code == 0
    assert '  "id": "1"\n' in shown.out
    assert eventyard("events", "show", "1", "--bus", bus, "--json").documents[0]["event"]["id"] == "1"
    assert eventyard("events", "show", "2", "--bus", bus).code == 1


# rules


def test_a_rule_is_put_listed_shown_paused_resumed_and_deleted(eventyard: Command, bus: str) -> None:
    to = "http://127.0.0.1:9/events"
    put = ("rules", "put", "rewards", "--bus", bus, "--type", "order.paid", "--to", to)
    assert eventyard(*put).out == f'rule rewards created: {{"type":["order.paid"]}} -> {to}\n'
    assert "rule rewards changed (version 2)" in eventyard(*put, "--description", "Points", "--owner", "team-a").out
    assert eventyard("rules", "list", "--bus", bus).out.splitlines()[1].split()[:2] == ["rewards", "live"]
    assert "Points" in eventyard("rules", "show", "rewards", "--bus", bus).out
    assert eventyard("rules", "pause", "rewards", "--bus", bus).code == 0
    assert eventyard("rules", "status", "rewards", "--bus", bus, "--json").documents[0]["paused"] is True
    assert "state             paused" in eventyard("rules", "status", "rewards", "--bus", bus).out
    assert eventyard("rules", "resume", "rewards", "--bus", bus).code == 0
    assert eventyard("rules", "list", "--bus", bus, "--json").documents[0]["state"]["paused"] is False
    assert eventyard("rules", "delete", "rewards", "--bus", bus).out == "rule rewards is deleted\n"
    assert eventyard("rules", "show", "rewards", "--bus", bus).code == 1
    assert eventyard("rules", "list", "--bus", bus).out == f'no rules on bus "{bus}" yet\n'


@pytest.mark.parametrize(
    ("start", "kept"),
    [("earliest", "earliest"), ("1", {"position": 1}), ("2026-01-01T00:00:00Z", {"time": "2026-01-01T00:00:00Z"})],
)
def test_a_rule_may_start_in_the_past(eventyard: Command, bus: str, start: str, kept: object) -> None:
    flags = ("--bus", bus, "--type", "a", "--to", "http://127.0.0.1:9/", "--start", start, "--json")
    [rule] = eventyard("rules", "put", f"late-{len(start)}", *flags).documents
    assert rule["start"] == kept


def test_what_is_shown_of_a_rule_can_be_put(eventyard: Command, bus: str, tmp_path: Path) -> None:
    pattern = '{"data": {"total": [{"numeric": [">", 1.10]}]}}'
    eventyard("rules", "put", "a", "--bus", bus, "--pattern", pattern, "--source", "/shop", "--to", "http://127.0.0.1:9/")
    file = tmp_path / "rule.json"
    file.write_text(eventyard("rules", "show", "a", "--bus", bus, "--json").out)
    [rule] = eventyard("rules", "put", "b", str(file), "--bus", bus, "--json").documents
    assert rule["pattern"] == {"data": {"total": [{"numeric": [">", 1.10]}]}, "source": ["/shop"]}
    assert "1.10" in eventyard("rules", "show", "b", "--bus", bus).out


def test_a_bad_rule_file_is_refused_with_the_place(eventyard: Command, bus: str, tmp_path: Path) -> None:
    file = tmp_path / "rule.json"
    file.write_text('{"pattern": {"type": "order.paid"}, "target": {"http": {"url": "http://127.0.0.1:9/"}}}')
    ended = eventyard("rules", "put", "bad", str(file), "--bus", bus)
    assert ended.code == 3
    assert "at /pattern/type: " in ended.err
    as_json = eventyard("rules", "put", "bad", "-", "--bus", bus, "--json", stdin=file.read_text())
    told = json.loads(as_json.err)["error"]
    assert (told["exit"], told["problem"]["code"], told["problem"]["at"]) == (3, "invalid-pattern", "/pattern/type")


# pattern, buses, doctor, version


@pytest.mark.parametrize(
    ("pattern", "event", "flags", "code"),
    [
        ('{"type": ["a"]}', '{"type": "a"}', (), 0),
        ('{"type": ["a"]}', '{"type": "b"}', (), 1),
        ('{"detail": {"n": [1]}}', '{"detail": {"n": 1}}', ("--eventbridge",), 0),
    ],
)
def test_a_pattern_is_tried_on_an_event(  # noqa: PLR0917 - two fixtures and a case
    eventyard: Command, tmp_path: Path, pattern: str, event: str, flags: tuple[str, ...], code: int
) -> None:
    file = tmp_path / "pattern.json"
    file.write_text(pattern)
    assert eventyard("pattern", "test", str(file), "-", *flags, stdin=event).code == code
    ended = eventyard("pattern", "test", pattern, event, "--json", *flags)
    assert (ended.code, ended.documents[0]["match"]) == (code, code == 0)


def test_a_bus_is_created_listed_and_deleted_only_when_sure(eventyard: Command) -> None:
    assert eventyard("buses", "create", "spare").code == 0
    assert "spare" in [document["name"] for document in eventyard("buses", "list", "--json").documents]
    unsure = eventyard("buses", "delete", "spare")
    assert (unsure.code, "add --yes" in unsure.err) == (2, True)
    assert eventyard("buses", "delete", "spare", "--yes").code == 0
    assert eventyard("buses", "delete", "spare", "--yes").code == 1


def test_the_doctor_finds_the_server_well(eventyard: Command, tmp_path: Path) -> None:
    ended = eventyard("doctor", "--data", str(tmp_path), "--json")
    grades = {document["check"]: document["grade"] for document in ended.documents}
    assert list(grades) == ["python", "sqlite", "sqlite3", "fsync", "disk", "store", "server"]
    assert (grades["sqlite"], grades["server"]) == ("well", "well")
    assert list(tmp_path.iterdir()) == []


# The reference's examples


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (REFERENCE / page).read_text(), flags=re.MULTILINE | re.DOTALL)


def test_the_command_line_begins_as_its_reference_says(eventyard: Command) -> None:
    commands = [shlex.split(line, comments=True)[1:] for line in blocks("cli.md", "sh")[0].splitlines()]
    assert [eventyard(*command).code for command in commands if command[0] != "serve"] == [0, 0, 0, 0]


@pytest.mark.parametrize("number", range(len(blocks("client.md", "python"))))
def test_the_clients_examples_run(server: str, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    text = blocks("client.md", "python")[number]
    text = text.replace("http://127.0.0.1:8410", server).replace("Client()", f'Client("{server}")')
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102 - our own documentation
    if "main" in names:
        asyncio.run(names["main"]())
    said = re.findall(r"# (invalid.*)$", text, flags=re.MULTILINE)
    assert not said or capsys.readouterr().out.splitlines() == said


# As a process


def test_ctrl_c_ends_a_publish_quietly(server: str) -> None:
    command = [sys.executable, "-m", "eventyard", "publish", "-", "--url", server, "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(lines(EVENT).encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["number"] == 1  # a trickle is published at once
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (130, b"")


def test_a_reader_that_goes_away_is_no_error(server: str) -> None:
    command = [sys.executable, "-m", "eventyard", "buses", "list", "--url", server]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        ended = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (141, b"")
