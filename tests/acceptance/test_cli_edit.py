"""Editing in an editor, asking before something is gone, watching, and names that a shell completes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from eventyard.client import Client
from tests.support.commands import Command
from tests.support.terminal import COLUMNS, on_a_terminal, read_rest, read_until

Editor = Callable[[str], None]


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    """What the editor does with `text` and `path`, as Python, before it saves `text`."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("VISUAL", raising=False)

    def does(what: str) -> None:
        script = tmp_path / "editor.py"
        script.write_text(
            f"import os, subprocess, sys\npath = sys.argv[1]\ntext = open(path).read()\n{what}\nopen(path, 'w').write(text)\n"
        )
        monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")

    return does


@pytest.fixture
def rewards(eventyard: Command, bus: str) -> str:
    """A bus with this rule."""
    eventyard("rules", "put", "rewards", "--bus", bus, "--queue", "--type", "paid", "--owner", "t", "--start", "earliest")
    return bus


def left(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("eventyard-*.yaml"))


def shown(eventyard: Command, bus: str) -> dict[str, Any]:
    [document] = eventyard("rules", "show", "rewards", "--bus", bus, "--json").documents
    return dict(document)


def test_what_is_saved_is_put_and_shown(eventyard: Command, rewards: str, editor: Editor, tmp_path: Path) -> None:
    editor("text = text.replace('paid', 'sent') + 'description: Points\\n'")
    ended = eventyard("rules", "edit", "rewards", "--bus", rewards)
    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"~ rule {rewards}/rewards",
        "    description",
        '      - ""',
        '      + "Points"',
        "    pattern.type",
        '      - ["paid"]',
        '      + ["sent"]',
    ]
    assert (shown(eventyard, rewards)["description"], left(tmp_path)) == ("Points", [])


@pytest.mark.parametrize("change", ["", "text += '# a remark\\n'"])
def test_what_says_the_same_changes_nothing(
    eventyard: Command, rewards: str, editor: Editor, tmp_path: Path, change: str
) -> None:
    editor(change)
    ended = eventyard("rules", "edit", "rewards", "--bus", rewards)
    assert (ended.code, ended.out) == (0, "")
    assert "nothing was changed" in ended.err
    assert (shown(eventyard, rewards)["state"]["version"], left(tmp_path)) == (1, [])


def test_somebody_elses_change_is_not_overwritten_and_ones_own_is_kept(
    eventyard: Command, server: str, rewards: str, editor: Editor, tmp_path: Path
) -> None:
    theirs = [
        "eventyard",
        "rules",
        "put",
        "rewards",
        "--bus",
        rewards,
        "--queue",
        "--type",
        "paid",
        "--owner",
        "u",
        "--url",
        server,
    ]
    editor(f"subprocess.run([sys.executable, '-m', *{theirs!r}], check=True, stdout=2); text += 'description: Points\\n'")
    ended = eventyard("rules", "edit", "rewards", "--bus", rewards)
    assert (ended.code, ended.out) == (3, "")
    assert "next:  somebody changed it meanwhile" in ended.err
    [kept] = left(tmp_path)
    assert f"kept in {kept}" in ended.err
    assert "Points" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (shown(eventyard, rewards)["owner"], shown(eventyard, rewards)["description"]) == ("u", "")


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ("text = text.replace('[paid]', 'paid')", 2, "at /pattern/type"),
        ("text = text.replace('name: rewards', 'name: points')", 2, "found another name, bus or document"),
        ("text += 'delivery: {order: key}\\n'", 2, "at /delivery/order"),
        ("text = '{'", 2, "while parsing a flow node"),
        ("text = text.replace('queue: {}', 'http: {url: \"http://169.254.169.254/\"}')", 3, "at /target/http/url"),
        ("open(path, 'wb').write(b'name: \\xff'); os._exit(0)", 2, "invalid"),
        ("sys.exit(7)", 2, "ended in 7"),
    ],
)
def test_what_cannot_be_put_is_refused_with_the_place(  # noqa: PLR0917 - fixtures and a case
    eventyard: Command, rewards: str, editor: Editor, tmp_path: Path, change: str, code: int, said: str
) -> None:
    editor(change)
    ended = eventyard("rules", "edit", "rewards", "--bus", rewards)
    assert ended.code == code
    assert said in ended.err
    assert len(left(tmp_path)) == (0 if "ended" in said else 1)
    assert shown(eventyard, rewards)["state"]["version"] == 1


def test_an_editor_that_is_not_there_is_named(eventyard: Command, rewards: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor --wait")
    assert "cannot run the editor no-such-editor" in eventyard("rules", "edit", "rewards", "--bus", rewards).err


def test_what_a_bus_keeps_is_edited_alike(eventyard: Command, server: str, bus: str, editor: Editor) -> None:
    editor("text = text.replace('max_age_s: 604800', 'max_age_s: 86400')")
    assert eventyard("buses", "edit", bus).out.splitlines()[:2] == [f"~ bus {bus}", "    retention.max_age_s"]
    assert "1d" in eventyard("buses", "show", bus).out
    theirs = ["eventyard", "buses", "set-retention", bus, "--max-age", "2d", "--url", server]
    editor(f"subprocess.run([sys.executable, '-m', *{theirs!r}], check=True, stdout=2); text = text.replace('86400', '3600')")
    ended = eventyard("buses", "edit", bus)
    assert ended.code == 3
    assert "somebody changed the bus" in ended.err


# Asking first


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_on_a_terminal_a_deletion_is_asked_for(eventyard: Command, server: str, rewards: str, answer: str, code: int) -> None:
    with on_a_terminal("rules", "delete", "rewards", "--bus", rewards, "--url", server) as (process, terminal):
        assert "with 0 events that it is owed and 0 dead letters?" in read_until(terminal, "[y/N]: ")
        os.write(terminal, f"{answer}\n".encode())
        read_rest(terminal)
        assert process.wait() == code
    assert eventyard("rules", "show", "rewards", "--bus", rewards).code == (0 if code else 1)


def test_on_a_terminal_dead_letters_are_not_discarded_by_a_slip(eventyard: Command, server: str, rewards: str) -> None:
    eventyard("publish", "--bus", rewards, "--type", "paid", "--source", "/s")
    [delivery] = eventyard("queue", "receive", "rewards", "--bus", rewards, "--json").documents
    eventyard("queue", "reject", "rewards", delivery["lease"], "--bus", rewards)
    with on_a_terminal("dead-letters", "purge", "rewards", "--all", "--bus", rewards, "--url", server) as (process, terminal):
        assert "discard 1 dead letters of rewards for good?" in read_until(terminal, "[y/N]: ")
        os.write(terminal, b"\n")
        read_rest(terminal)
        assert process.wait() == 1
    assert eventyard("dead-letters", "purge", "rewards", "--all", "--bus", rewards).out.startswith("1 discarded")


def test_a_table_on_a_narrow_terminal_leaves_every_column_some_room(eventyard: Command, server: str, rewards: str) -> None:
    name = "a-rule-with-a-name-that-is-almost-as-long-as-a-name-may-become-in-this-house"
    eventyard("rules", "put", name, "--bus", rewards, "--to", "http://127.0.0.1:9/", "--type", "order.paid")
    with on_a_terminal("rules", "list", "--bus", rewards, "--url", server, NO_COLOR="1") as (process, terminal):
        table = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in read_rest(terminal).splitlines()]
        assert process.wait() == 0
    assert all(len(line) <= COLUMNS for line in table)
    assert table[0].split() == ["RULE", "STATE", "PATTERN", "TARGET"]
    assert "http://" in table[1]
    assert "".join(line.split()[0] for line in table[1:3]) == name  # A name can still be read whole.


def test_what_is_not_there_names_the_command_that_lists(eventyard: Command, rewards: str) -> None:
    for arguments, advice in (
        (("rules", "show", "nothing", "--bus", rewards), f"eventyard rules list --bus {rewards} shows what is there"),
        (("rules", "show", "nothing"), "eventyard rules list shows what is there"),
        (("rules", "list", "--bus", "nowhere"), "eventyard buses list shows what is there"),
        (("events", "show", "99", "--bus", rewards), "eventyard events list shows what is there"),
    ):
        ended = eventyard(*arguments)
        assert (ended.code, ended.err.splitlines()[-1]) == (1, f"next:  {advice}")


def test_a_bus_is_created_with_what_it_keeps(eventyard: Command, bus: str) -> None:
    assert eventyard("buses", "create", f"{bus}-2", "--max-age", "3d").code == 0
    assert "3d" in eventyard("buses", "show", f"{bus}-2").out
    assert eventyard("buses", "create", f"{bus}-3", "--max-age", "soon").code == 2
    assert eventyard("buses", "show", f"{bus}-3").code == 1


# Watching


def test_who_does_what_to_rules_is_seen_as_it_happens(eventyard: Command, server: str, rewards: str) -> None:
    command = [sys.executable, "-m", "eventyard", "rules", "watch", "--bus", rewards, "--after", "0", "--url", server]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().split() == ["POSITION", "ACCEPTED", "WHAT", "RULE", "TOLD"]
        assert process.stdout.readline().split()[2:] == ["rule.created", "rewards"]
        eventyard("publish", "--bus", rewards, "--type", "paid", "--source", "/s")
        eventyard("rules", "pause", "rewards", "--bus", rewards)
        assert process.stdout.readline().split()[2:] == ["rule.paused", "rewards"]
        eventyard("rules", "seek", "rewards", "latest", "--bus", rewards)
        assert process.stdout.readline().split()[2:] == ["rule.sought", "rewards", "position=5"]
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert eventyard("rules", "watch", "nothing", "--bus", rewards).code == 1


def test_a_status_is_shown_again_until_ctrl_c(server: str, rewards: str) -> None:
    with on_a_terminal("rules", "status", "rewards", "--bus", rewards, "--watch", "--url", server) as (process, terminal):
        read_until(terminal, "backfill at")
        read_until(terminal, "backfill at")
        process.send_signal(signal.SIGINT)
        read_rest(terminal)
        assert process.wait() == 130


# Completion


def completed(server: str, *words: str, **environment: str) -> list[str]:
    """What a shell is offered for the last of the words."""
    asked = {
        "_EVENTYARD_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("eventyard", *words)),
        "COMP_CWORD": str(len(words)),
        "EVENTYARD_URL": server,
    }
    command = [sys.executable, "-m", "eventyard"]
    ended = subprocess.run(command, env=os.environ | asked | environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


def offers(server: str, *words: str, wanted: list[str]) -> None:
    """A server that is slow to answer offers nothing, and whoever wants something presses the key again."""
    found: list[str] = []
    for _ in range(20):
        found = completed(server, *words)
        if found:
            break
    assert found == wanted


def test_names_are_completed_as_the_server_has_them(eventyard: Command, server: str, rewards: str) -> None:
    eventyard("rules", "put", "returns", "--bus", rewards, "--queue", "--type", "x")
    offers(server, "rules", "show", "--bus", rewards, "re", wanted=["returns", "rewards"])
    offers(server, "tail", "--bus", rewards[:-1], wanted=[rewards])
    assert completed(server, "rules", "show", "rew") == []  # Of the default bus.


def test_of_more_rules_than_a_page_those_with_the_beginning_are_offered(server: str, bus: str) -> None:
    names = [f"a{number}" for number in range(520)] + ["b.1", "b1", "c"]
    with Client(server) as client, ThreadPoolExecutor(16) as threads:  # at once, so that many are one commit
        list(
            threads.map(
                lambda name: client.put_rule(name, {"pattern": {"type": ["x"]}, "target": {"queue": {}}}, bus=bus), names
            )
        )
    offers(server, "rules", "show", "--bus", bus, "b", wanted=["b.1", "b1"])


@pytest.mark.parametrize(
    "more", [{"EVENTYARD_URL": "http://127.0.0.1:9"}, {"EVENTYARD_URL": "not a url"}, {"EVENTYARD_KEY_FILE": "/no"}]
)
def test_where_no_server_can_be_asked_nothing_is_said(server: str, more: dict[str, str]) -> None:
    assert completed(server, "rules", "show", "", **more) == []


def test_a_document_that_is_shown_is_json_where_it_is_asked_for(eventyard: Command, rewards: str, editor: Editor) -> None:
    editor("text += 'description: Points\\n'")
    [step] = eventyard("rules", "edit", "rewards", "--bus", rewards, "--json").documents
    assert json.dumps(step["differences"]) == '[{"field": "description", "before": "\\"\\"", "after": "\\"Points\\""}]'


def test_a_rule_that_may_feed_itself_is_put_with_a_warning(eventyard: Command, bus: str) -> None:
    target = '{"http": {"url": "http://127.0.0.1:9/", "reply": true}}'
    ran = eventyard("rules", "put", "r", "-", "--bus", bus, stdin=f'{{"pattern": {{"subject": ["s"]}}, "target": {target}}}')
    assert ran.code == 0
    assert "warning: its pattern asks for no type and no source" in ran.err
    quiet = eventyard("rules", "put", "r", "-", "--bus", bus, stdin=f'{{"pattern": {{"type": ["s"]}}, "target": {target}}}')
    assert "warning" not in quiet.err
