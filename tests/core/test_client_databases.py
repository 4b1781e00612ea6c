"""What is asked of a driver: its placeholders, and whose SQL it speaks."""

import sqlite3
import sys
import types
from contextlib import closing
from typing import Any

import pytest

from eventyard.client import Inbox, Outbox
from eventyard.client.databases import Database, spell
from eventyard.client.event import encode

SQL = "UPDATE t SET a = :one WHERE b = :two AND c = :one"
VALUES = {"one": 1, "two": 2}


@pytest.mark.parametrize(
    ("style", "text", "parameters"),
    [
        ("qmark", "UPDATE t SET a = ? WHERE b = ? AND c = ?", (1, 2, 1)),
        ("format", "UPDATE t SET a = %s WHERE b = %s AND c = %s", (1, 2, 1)),
        ("numeric", "UPDATE t SET a = :1 WHERE b = :2 AND c = :1", (1, 2)),
        ("numeric_dollar", "UPDATE t SET a = $1 WHERE b = $2 AND c = $1", (1, 2)),
        ("named", "UPDATE t SET a = :one WHERE b = :two AND c = :one", VALUES),
        ("pyformat", "UPDATE t SET a = %(one)s WHERE b = %(two)s AND c = %(one)s", VALUES),
    ],
)
def test_a_statement_is_spelt_as_the_paramstyle_has_it(style: str, text: str, parameters: Any) -> None:
    assert spell(SQL, VALUES, style) == (text, parameters)


def test_a_paramstyle_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted one of format, named, numeric"):
        spell(SQL, VALUES, "dollar")


@pytest.mark.parametrize("style", ["qmark", "numeric", "named"])
def test_sqlite_takes_each_spelling_that_it_knows(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "paramstyle", style)
    with closing(sqlite3.connect(":memory:")) as connection:
        Inbox("packing").create(connection)
        seen = [Inbox("packing").first_time(connection, {"source": "/shop", "id": "1"}) for _ in range(2)]
    assert seen == [True, False]


class Rows(sqlite3.Connection):
    """Somebody's own kind of connection."""


def test_a_connection_of_a_class_of_their_own_is_known_by_what_it_is_made_of() -> None:
    with closing(sqlite3.connect(":memory:", factory=Rows)) as connection:
        assert Database(connection).dialect == "sqlite"
        Outbox().create(connection)
        assert Outbox().add(connection, type="t", source="/shop", id="1") == "1"


@pytest.mark.parametrize(
    "rows", [sqlite3.Row, lambda cursor, row: dict(zip((each[0] for each in cursor.description), row, strict=True))]
)
def test_rows_are_read_whatever_the_connection_makes_of_them(rows: Any) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = rows
        assert Database(connection).rows("SELECT 1 AS a, 2 AS b") == [(1, 2)]


def test_adding_needs_no_more_of_a_database_than_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """An insert is the same everywhere; the relay and the inbox are what has to know the database."""
    module = types.ModuleType("elsewhere")
    module.paramstyle = "format"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    connection = Elsewhere()
    Outbox().add(connection, {"id": "1"})
    assert connection.executed == [("INSERT INTO eventyard_outbox (event) VALUES (%s)", (encode({"id": "1"}).decode(),))]
    with pytest.raises(ValueError, match="not known"):
        Outbox().create(connection)


class Elsewhere:
    """A driver of another database, as far as adding goes."""

    __module__ = "elsewhere.connections"
    rowcount = 1

    def __init__(self) -> None:
        self.executed: list[Any] = []

    def cursor(self) -> "Elsewhere":
        return self

    def execute(self, *statement: Any) -> None:
        self.executed.append(statement)

    def close(self) -> None:
        pass


def test_what_is_no_connection_is_refused_by_what_is_missing() -> None:
    with pytest.raises(ValueError, match="has no paramstyle"):
        Database(object())


def test_a_connection_that_is_awaited_is_refused_with_the_way_out() -> None:
    class Awaited:
        async def commit(self) -> None: ...

    with pytest.raises(TypeError, match="run_sync"):
        Database(Awaited())


@pytest.mark.parametrize("table", ["", "a b", "a.b.c", "x;y", "1a", "ž", "a" * 49])
def test_a_table_is_named_so_that_it_can_stand_in_sql(table: str) -> None:
    for kind in (lambda: Outbox(table=table), lambda: Inbox("packing", table=table)):
        with pytest.raises(ValueError, match="wanted letters, digits and _"):
            kind()


def test_tables_may_stand_in_a_schema_and_bear_other_names() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        Outbox(table="main.events").create(connection)
        Inbox("packing", table="main.seen").create(connection)
        made = connection.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY name").fetchall()
    assert made == [("events",), ("events_waiting",), ("seen",), ("seen_seen",)]
