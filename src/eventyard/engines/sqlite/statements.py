"""The engine's SQL by name, as `queries.sql` has it: statements are read and reviewed as SQL, not as strings in Python."""

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import apsw

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)
_VALUES = re.compile(r"VALUES (\([?, ]+\))")

ROWS_PER_STATEMENT_MAX = 64
"""Rows that one INSERT carries: past this a statement costs as much to bind as it saves. Each number of rows is a statement
of its own that stays prepared, so the writer's cache of statements must hold them all."""


def read(text: str) -> dict[str, str]:
    """The statements of `-- name: x` blocks. Other comments are for people and left out."""
    parts = _NAME.split(text)[1:]
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError("found two statements of one name")
    return {name: _COMMENT.sub("", body).strip() for name, body in zip(names, bodies, strict=True)}


SQL: Mapping[str, str] = MappingProxyType(read(Path(__file__).with_name("queries.sql").read_text(encoding="utf-8")))


def insert_all(connection: apsw.Connection, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Run a named INSERT for all rows, many to a statement.

    APSW lets other Python threads in at every statement, and getting back in behind a busy one takes up to a switch interval
    each time: with a statement per row the writer stood still for most of a commit.
    """
    waiting = list(rows)
    start = 0
    while start < len(waiting):
        part = waiting[start : start + ROWS_PER_STATEMENT_MAX]
        connection.execute(_repeated(name, len(part)), tuple(itertools.chain.from_iterable(part)))
        start += len(part)


@functools.cache
def _repeated(name: str, count: int) -> str:
    """The statement with its row of values `count` times."""
    return _VALUES.sub(lambda match: "VALUES " + ", ".join([match[1]] * count), SQL[name])
