"""The demo's tables."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.table import Table

from .account import Account, Logged


def log(entries: Iterable[Logged]) -> Table:
    """A stretch of the log, with what caused what."""
    table = _table("position", "type", "source", "because of")
    types: dict[str, str] = {}
    for entry in entries:
        types[entry.id] = str(entry.event["type"])
        cause = types.get(str(entry.event.get("causationid")), "a customer")
        table.add_row(str(entry.position), types[entry.id], entry.source, cause)
    return table


def told(entries: Iterable[Logged]) -> Table:
    """What a detector or an expectation published, and why."""
    table = _table("position", "type", "of", "because")
    for entry in entries:
        data = entry.event["data"]
        table.add_row(
            str(entry.position), str(entry.event["type"]), str(entry.event["subject"]), data.get("why") or _waited(data)
        )
    return table


def _waited(data: Mapping[str, Any]) -> str:
    came = f"{data['expect']['type']} at position {data['expect']['position']}" if data["expect"] else "nothing"
    return f"{data['waited_s']:.1f} s after {data['after']['type']}: {came}"


def dead_letters(letters: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("dead letter", "event", "reason", "last answer")
    for letter in letters:
        answer = letter["last_answer"]
        event = letter["event"]
        table.add_row(
            letter["id"], f"{event['type']} {event['subject']}", letter["reason"], f"{answer['status']} {answer['body']}"
        )
    return table


def published(account: Account) -> Table:
    table = _table("events published by", ">has to show", ">in the bus's log")
    for row in account.published:
        table.add_row(row.service, str(row.shown), str(row.logged))
    table.add_row("the bus, of itself", "", str(account.of_the_bus))
    return table


def delivered(account: Account) -> Table:
    """One row per rule: what it was owed, what the bus says became of it, and what its service took, of that some twice."""
    table = _table("rule", ">match", ">delivered", ">dead", ">discarded", ">pending", ">taken", ">twice")
    for row in account.delivered:
        fates = (row.delivered, row.dead, row.discarded, row.pending)
        table.add_row(row.rule, *(str(number) for number in (row.owed, *fates, row.received, row.repeated)))
    return table


def _table(*columns: str) -> Table:
    """A column whose name begins with `>` holds numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return table
