"""`eventyard explain` against a running server."""

import re
import sys
from typing import Any

import pytest

from eventyard.cli import explaining
from eventyard.client import Client
from tests.support.commands import Command

BIG = '{"data": {"total": [{"numeric": [">=", 20]}]}}'


def published(eventyard: Command, bus: str, total: int = 12) -> str:
    flags = ("--type", "order.paid", "--source", "/shop", "--data", f'{{"total": {total}}}', "--json")
    return str(eventyard("publish", "--bus", bus, *flags).documents[0]["position"])


def test_what_has_a_delivery_stands_first_and_what_does_not_match_last(eventyard: Command, bus: str) -> None:
    eventyard("rules", "put", "big", "--bus", bus, "--pattern", BIG, "--queue")
    eventyard("rules", "put", "all", "--bus", bus, "--type", "order.paid", "--queue")
    position = published(eventyard, bus)
    eventyard("rules", "put", "late", "--bus", bus, "--type", "order.paid", "--queue")

    first, *table = eventyard("explain", position, "--bus", bus).out.splitlines()
    assert first.startswith(f"position {position}: order.paid from /shop, id ")
    assert [line.split()[0] for line in table if line[0] != " "] == ["RULE", "all", "late", "big"]
    assert table[-1] == "big   no-match       data.total 12 is not >= 20"


def test_one_rule_is_told_there_or_deleted(eventyard: Command, bus: str) -> None:
    eventyard("rules", "put", "all", "--bus", bus, "--type", "order.paid", "--queue")
    position = published(eventyard, bus)
    eventyard("rules", "delete", "all", "--bus", bus)

    told = eventyard("explain", position, "all", "--bus", bus).out.splitlines()[2:]
    assert re.fullmatch(r"all\*  discarded  discarded at \S+: its rule was deleted", told[0])
    assert told[1].strip() == "the rule is deleted"


def test_both_runs_of_a_rule_that_sought_are_told(eventyard: Command, server: str, bus: str) -> None:
    with Client(server) as client:
        client.put_rule("all", {"pattern": {"type": ["order.paid"]}, "target": {"queue": {}}}, bus=bus)
        position = published(eventyard, bus)
        run = client.seek("all", "earliest", bus=bus).state.run

    told = eventyard("explain", position, "all", "--bus", bus).out
    assert re.search(r"at first: discarded at \S+: a seek moved the rule elsewhere in the log", told)
    assert f"after the seek at {run}: it waits for a consumer to receive it" in told


def test_of_many_rules_that_do_not_match_the_first_are_shown(
    eventyard: Command, bus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "UNMATCHED_SHOWN", 1)
    for number in range(3):
        eventyard("rules", "put", f"big{number}", "--bus", bus, "--pattern", BIG, "--queue")
    position = published(eventyard, bus)

    some = eventyard("explain", position, "--bus", bus)
    assert (some.out.count("no-match"), some.err) == (1, "... and 2 more rules that do not match; --all shows them\n")
    every = eventyard("explain", position, "--bus", bus, "--all")
    assert (every.out.count("no-match"), every.err) == (3, "")


def test_programs_get_a_document_for_each_rule(eventyard: Command, bus: str) -> None:
    eventyard("rules", "put", "big", "--bus", bus, "--pattern", BIG, "--queue")
    (told,) = eventyard("explain", published(eventyard, bus), "--bus", bus, "--json").documents
    assert (told["rule"], told["outcome"], told["then"]["match"]) == ("big", "no-match", False)


def test_an_event_or_a_rule_that_is_not_there_is_a_no(eventyard: Command, bus: str) -> None:
    position = published(eventyard, bus)
    assert eventyard("explain", position, "--bus", bus).out.endswith("no rule was there for it, and none is now\n")
    assert eventyard("explain", "99", "--bus", bus).code == 1
    assert eventyard("explain", position, "nobody", "--bus", bus).code == 1


def test_a_sentence_is_broken_where_the_terminal_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    lines: Any = explaining._wrapped("rewards  paused  ", "it waits: the rule is paused since 2026-01-31T08:00:00.000Z by ann")
    assert lines == [
        "rewards  paused  it waits: the rule is paused since",
        "                   2026-01-31T08:00:00.000Z by ann",
    ]
