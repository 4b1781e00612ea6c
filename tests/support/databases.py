"""Databases of a service: SQLite and PostgreSQL, by the driver alone and under SQLAlchemy; one empty one for each test."""

import itertools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import sqlalchemy
from psycopg.conninfo import make_conninfo
from sqlalchemy.pool import NullPool

from eventyard.client.databases import Database

Connect = Callable[[], Any]

KINDS = ("sqlite", "postgresql", "sqlalchemy-sqlite", "sqlalchemy-postgresql")

_numbers = itertools.count(1)


def connector(kind: str, place: str) -> Connect:
    """`place`: the file of SQLite, or the connection string of PostgreSQL."""
    if kind == "sqlite":
        return lambda: sqlite3.connect(place)
    if kind == "postgresql":
        return lambda: psycopg.connect(place)
    driver = connector(kind.removeprefix("sqlalchemy-"), place)
    url = "sqlite://" if kind.endswith("sqlite") else "postgresql+psycopg://"
    return sqlalchemy.create_engine(url, creator=driver, poolclass=NullPool).connect


def new_place(kind: str, folder: Path, server: str) -> str:
    if kind.endswith("sqlite"):
        return str(folder / "service.db")
    schema = f"service_{next(_numbers)}"
    with closing(psycopg.connect(server, autocommit=True)) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    return make_conninfo(server, options=f"-c search_path={schema}")


class Service(NamedTuple):
    """Where a service keeps its data."""

    kind: str
    place: str

    def connect(self) -> Any:
        return connector(self.kind, self.place)()

    def asked(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(self.connect()) as connection:
            return Database(connection).rows(sql)

    def done(self, *work: Callable[[Any], object]) -> None:
        """Each with the same connection, and committed together."""
        with closing(self.connect()) as connection:
            for each in work:
                each(connection)
            connection.commit()
