"""`eventyard rules backtest` against a running server."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from eventyard.cli import trials
from eventyard.client import Client, Problem, ProblemError, Unreachable
from eventyard.client.methods import Methods
from eventyard.core import limits
from tests.support.commands import Command, Ended, lines

PAID = '{"type": ["order.paid"]}'
EVENTS = limits.BACKTEST_EVENTS_MAX + 1
"""One more than one look takes."""

CHANGED = Problem(type="urn:eventyard:problem:version-conflict", title="Not the rule that the caller saw", status=412)

BIG = '{"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 20]}]}}'


def publish(eventyard: Command, bus: str, *totals: int, kind: str = "order.paid") -> None:
    events = [{"type": kind, "source": "/shop", "id": f"{kind}-{total}", "data": {"total": total}} for total in totals]
    assert eventyard("publish", "--bus", bus, stdin=lines(*events)).code == 0


@pytest.fixture
def shop(eventyard: Command, bus: str) -> str:
    """A bus whose rule `rewards` (version 1) takes orders of 20 and more, with orders at positions 2 to 5 and another event at 6."""
    eventyard("rules", "put", "rewards", "--bus", bus, "--pattern", BIG, "--queue")
    publish(eventyard, bus, 10, 20, 30, 40)
    publish(eventyard, bus, 50, kind="order.sent")
    return bus


@pytest.fixture
def backtest(eventyard: Command, shop: str) -> Command:
    def ended(*arguments: str, stdin: str = "") -> Ended:
        return eventyard("rules", "backtest", *arguments, "--bus", shop, stdin=stdin)

    return ended


def test_a_pattern_is_tried_on_the_log(backtest: Command) -> None:
    ended = backtest(PAID, "--limit", "2")
    said, head, day, _, samples, columns, *rows = ended.out.splitlines()
    assert (ended.code, said) == (0, "the pattern: 4 of 6 events matched, within a minute")
    assert head.split() == ["DAY", "EVENTS", "MATCHED"]
    assert day.split()[1:] == ["6", "4"]
    assert samples == "matched, 2 of 4:"
    assert columns.split() == ["POSITION", "ACCEPTED", "TYPE", "SOURCE", "SUBJECT", "ID"]
    assert [row.split()[0] for row in rows] == ["3", "5"]


def test_what_changes_against_the_rule_in_force_is_shown_with_the_reason(backtest: Command, shop: str) -> None:
    pattern = '{"type": ["order.paid"], "data": {"total": [{"numeric": ["<", 30]}]}}'
    ended = backtest(pattern, "--rule", "rewards")
    out = ended.out.splitlines()
    assert out[:2] == [
        f"{shop}/rewards: 2 of 6 events matched, within a minute",
        "beside version 1, which is in force: 1 newly matched, 2 no longer matched",
    ]
    assert out[2].split() == ["DAY", "EVENTS", "MATCHED", "NEW", "GONE"]
    assert out[3].split()[1:] == ["6", "2", "1", "2"]
    assert "data.total 10 is not >= 20" in ended.out
    assert "data.total 30 is not < 30" in ended.out
    assert "data.total 40 is not < 30" in ended.out


@pytest.mark.parametrize("where", ["file", "at", "stdin", "inline", "yaml"])
def test_a_pattern_may_stand_anywhere(backtest: Command, tmp_path: Path, where: str) -> None:
    (tmp_path / "p.json").write_text(PAID)
    (tmp_path / "p.yaml").write_text("type: [order.paid]\n")
    argument = {
        "file": str(tmp_path / "p.json"),
        "at": f"@{tmp_path}/p.json",
        "stdin": "-",
        "inline": PAID,
        "yaml": str(tmp_path / "p.yaml"),
    }[where]
    assert backtest(argument, stdin=PAID).out.startswith("the pattern: 4 of 6")


def test_a_number_in_a_file_keeps_its_spelling(eventyard: Command, bus: str, tmp_path: Path) -> None:
    event = '{"type": "t", "source": "/s", "data": {"n": 12345678901234567891}}'
    assert eventyard("publish", "--bus", bus, stdin=lines(event)).code == 0
    for name, text in (("p.json", '{"data": {"n": [12345678901234567891]}}'), ("p.yaml", "data: {n: [12345678901234567891]}")):
        (tmp_path / name).write_text(text)
        assert eventyard("rules", "backtest", str(tmp_path / name), "--bus", bus).code == 0
    assert eventyard("rules", "backtest", '{"data": {"n": [12345678901234567890]}}', "--bus", bus).code == 1


def test_the_document_that_rules_put_takes_is_tried(backtest: Command, tmp_path: Path) -> None:
    document = tmp_path / "rewards.json"
    document.write_text(json.dumps({"pattern": json.loads(PAID), "target": {"queue": {}}}))
    assert backtest(str(document)).out.startswith("the pattern: 4 of 6")
    assert (
        "beside version 1, which is in force: 1 newly matched, 0 no longer" in backtest(str(document), "--rule", "rewards").out
    )


def test_what_rules_show_prints_is_tried_and_changes_nothing(eventyard: Command, backtest: Command, shop: str) -> None:
    shown = eventyard("rules", "show", "rewards", "--bus", shop, "--json").out
    assert "beside version 1, which is in force: 0 newly matched, 0 no longer matched" in backtest("-", stdin=shown).out


@pytest.fixture
def folder(tmp_path: Path, shop: str) -> Path:
    """As `apply` takes it."""
    queue: Any = {"queue": {}}
    rules = [
        {"name": "rewards", "pattern": json.loads(PAID), "target": queue},
        {"name": "sent", "pattern": {"type": ["order.sent"]}, "target": queue},
    ]
    (tmp_path / "rules.json").write_text(json.dumps({"bus": shop, "rules": rules}))
    (tmp_path / "bus.json").write_text(json.dumps({"name": shop, "retention": {"max_age_s": 3600}}))
    return tmp_path


def test_every_rule_of_a_folder_is_tried_in_one_pass(
    backtest: Command, shop: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    method = vars(Methods)["backtest"]
    describe = method._describe

    def described(*tried: Any, **how: Any) -> Any:
        calls.append(tried)
        return describe(*tried, **how)

    monkeypatch.setattr(method, "_describe", described)
    ended = backtest(str(folder))
    said, *table = ended.out.splitlines()
    assert (ended.code, said, len(calls)) == (0, "6 events, within a minute", 1)
    assert [line.split() for line in table[:3]] == [
        ["RULE", "MATCHED", "A", "DAY", "NEW", "GONE", "FAILED"],
        [f"{shop}/rewards", "4", "-", "1", "0", "0"],
        [f"{shop}/sent", "1", "-", "-", "-", "0"],
    ]
    assert "data.total 10 is not >= 20" in ended.out
    assert f"{shop}/sent:" not in ended.out


def test_more_rules_than_one_request_takes_are_tried_in_several(
    backtest: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("BATCH_RULES", "BATCH_BYTES", "BATCH_FIELDS"):
        with monkeypatch.context() as bounded:
            bounded.setattr(trials, bound, 1)
            assert [told["matched"] for told in backtest(str(folder), "--json").documents] == [4, 1]
            assert len(list(trials.batches(trials.read(str(folder), bus="", rule="")))) == 2


def test_one_rule_of_a_folder_is_chosen(backtest: Command, shop: str, folder: Path) -> None:
    assert backtest(str(folder), "--rule", "sent").out.startswith(f"{shop}/sent: 1 of 6 events matched")
    ended = backtest(str(folder), "--rule", "nobody")
    assert (ended.code, 'found no rule "nobody"' in ended.err) == (2, True)


def test_programs_get_a_document_for_each_rule_with_the_events(backtest: Command, shop: str, folder: Path) -> None:
    ended = backtest(str(folder), "--json", "--limit", "1")
    rewards, sent = ended.documents
    assert (rewards["bus"], rewards["rule"], rewards["version"], rewards["next_after"]) == (shop, "rewards", 1, None)
    assert (rewards["matched"], rewards["added"], rewards["removed"], rewards["failed"], rewards["per_day"]) == (
        4,
        1,
        0,
        0,
        None,
    )
    [day] = rewards["days"]
    assert day == {"day": rewards["begins"][:10], "events": 6, "matched": 4, "added": 1, "removed": 0}
    [added] = rewards["samples"]["added"]
    assert (added["position"], added["event"]["data"], added["why"]) == (2, {"total": 10}, "data.total 10 is not >= 20")
    [matched] = sent["samples"]["matched"]
    assert (matched["event"]["id"], "why" in matched, sent["version"]) == ("order.sent-50", False, 0)
    assert ended.err == ""


def test_times_choose_what_is_looked_at(backtest: Command) -> None:
    assert backtest(PAID, "--since", "1h").out.startswith("the pattern: 4 of 6")
    for flags in (("--until", "1h"), ("--since", "2999-01-01T00:00:00Z")):
        ended = backtest(PAID, *flags)
        assert (ended.code, ended.out) == (1, "the pattern: no events were accepted in that time\n")
    assert backtest(PAID, "--since", "yesterday").code == 3


def test_a_pattern_that_nothing_matches_is_a_no(backtest: Command) -> None:
    ended = backtest('{"type": ["nothing"]}')
    assert (ended.code, ended.out.splitlines()[0]) == (1, "the pattern: 0 of 6 events matched, within a minute")


def test_what_cannot_be_used_is_refused_before_anything_is_sent(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "two.jsonl").write_text(f"{PAID}\n{PAID}\n")
    (tmp_path / "no-target.json").write_text(json.dumps({"pattern": json.loads(PAID)}))
    for argument, said in (
        ('{"type": "order.paid"}', "the pattern: The pattern cannot be used: at /type:"),
        (str(tmp_path / "broken.json"), "broken.json"),
        (str(tmp_path / "two.jsonl"), 'found neither "rules"'),
        (str(tmp_path / "no-target.json"), 'no "target"'),
        (str(tmp_path / "nowhere.json"), "cannot read"),
    ):
        ended = backtest(argument)
        assert (ended.code, said in ended.err, "next:" in ended.err) == (2, True, True), ended.err


def test_a_rule_that_is_not_there_is_a_no(backtest: Command) -> None:
    ended = backtest(PAID, "--rule", "rewrads")
    assert (ended.code, 'found no rule "rewrads"' in ended.err) == (1, True)


@pytest.mark.parametrize(
    ("error", "code", "said", "is_looked_up"),
    [
        (KeyboardInterrupt(), 130, "it ended early", True),
        (Unreachable("http://127.0.0.1:1", "connection refused"), 4, "no server answers", False),
        (ProblemError(CHANGED), 3, "somebody changed it meanwhile", True),
    ],
)
def test_what_was_found_is_shown_when_it_ends_early(  # noqa: PLR0917 - three fixtures and a case
    eventyard: Command,
    server: str,
    bus: str,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    said: str,
    is_looked_up: bool,
) -> None:
    """By Ctrl-C, because the server went away, or because somebody changed the rule: before the second stretch."""
    with Client(server) as client:
        events = ({"type": "order.paid", "source": "/shop", "id": f"order-{number}"} for number in range(EVENTS))
        assert all(verdict.is_accepted for verdict in client.publish_many(events, bus=bus))
    send = Client.send
    looks: list[Any] = []

    def sent(self: Client, call: Any) -> Any:
        if call.request.path.endswith("/backtest"):
            if looks:
                raise error
            looks.append(call)
        return send(self, call)

    monkeypatch.setattr(Client, "send", sent)
    ended = eventyard("rules", "backtest", PAID, "--bus", bus)
    found = re.match(r"the pattern: ([\d ]+) of ([\d ]+) events matched", ended.out)
    assert found
    matched, looked_at = (int(count.replace(" ", "")) for count in found.groups())
    assert 0 < matched == looked_at < EVENTS
    assert f"it ended early: positions up to {looked_at} of {EVENTS} were looked at" in ended.err
    assert (ended.code, said in ended.err, "order-" in ended.out) == (code, True, is_looked_up)
