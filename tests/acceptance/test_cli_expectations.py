"""Expectations on the command line: put, shown, asked about their keys, deleted."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Command

SHIPPED: dict[str, Any] = {
    "after": {"type": ["order.paid"]},
    "expect": {"type": ["order.shipped"]},
    "within_s": 600,
    "emit": {"missed": {"type": "order.overdue"}, "late": {"type": "order.late"}},
}


@pytest.fixture
def shipped(eventyard: Command, bus: str, tmp_path: Path) -> str:
    """The file of an expectation that is in force."""
    file = tmp_path / "shipped.json"
    file.write_text(json.dumps(SHIPPED))
    put = eventyard("expectations", "put", "shipped", str(file), "--bus", bus)
    assert put.out.splitlines()[0].startswith("expectation shipped created: ")
    return str(file)


def tell(eventyard: Command, bus: str, kind: str, *keys: str) -> None:
    for key in keys:
        arguments = ("--type", kind, "--source", "/s", "--subject", key, "--id", f"{kind}-{key}", "--bus", bus)
        assert eventyard("publish", *arguments).code == 0


@pytest.mark.usefixtures("shipped")
def test_what_is_open_is_shown_and_counted(eventyard: Command, bus: str) -> None:
    tell(eventyard, bus, "order.paid", "o-1", "o-2", "o-3")
    tell(eventyard, bus, "order.shipped", "o-2")
    keys = eventyard("expectations", "keys", "shipped", "--bus", bus, "--json").documents
    assert [(key["key"], key["state"], key["after"]["id"]) for key in keys] == [
        ("o-1", "open", "order.paid-o-1"),
        ("o-3", "open", "order.paid-o-3"),
    ]
    first = eventyard("expectations", "keys", "shipped", "--limit", "1", "--bus", bus, "--json").documents
    assert [key["key"] for key in first] == ["o-1"]
    rest = eventyard("expectations", "keys", "shipped", "--after", "o-1", "--bus", bus, "--json").documents
    assert [key["key"] for key in rest] == ["o-3"]
    rows = dict(line.split("  ", 1) for line in eventyard("expectations", "show", "shipped", "--bus", bus).out.splitlines())
    shown = {name: value.strip() for name, value in rows.items()}
    assert (shown["keys"], shown["outcomes"], shown["late for"]) == ("2, 2 of them open", "1 met, 0 missed, 0 late", "600 s")


@pytest.mark.usefixtures("shipped")
def test_of_a_key_of_which_nothing_is_open_that_is_told(eventyard: Command, bus: str) -> None:
    assert eventyard("expectations", "keys", "shipped", "--bus", bus).out == "the expectation shipped has nothing open\n"
    asked = eventyard("expectations", "keys", "shipped", "o-1", "--bus", bus)
    assert (asked.code != 0, '"o-1"' in asked.err) == (True, True)


def test_what_show_prints_can_be_put_again(eventyard: Command, bus: str, shipped: str) -> None:
    shown = eventyard("expectations", "show", "shipped", "--bus", bus, "--json").out
    again = eventyard("expectations", "put", "shipped", "-", "--bus", bus, "--json", stdin=shown).documents[0]
    assert again["state"]["version"] == 1
    longer = json.dumps(json.loads(Path(shipped).read_text()) | {"within_s": 900})
    changed = eventyard("expectations", "put", "shipped", "-", "--bus", bus, stdin=longer)
    assert "changed (version 2)" in changed.out


@pytest.mark.usefixtures("shipped")
def test_one_is_deleted_with_what_it_has_open(eventyard: Command, bus: str) -> None:
    tell(eventyard, bus, "order.paid", "o-1")
    deleted = eventyard("expectations", "delete", "shipped", "--yes", "--bus", bus)
    assert (deleted.code, deleted.out) == (0, "expectation shipped is deleted\n")
    assert eventyard("expectations", "show", "shipped", "--bus", bus).code != 0
    assert eventyard("expectations", "delete", "shipped", "--yes", "--bus", bus).code != 0
