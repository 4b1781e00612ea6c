"""A connection of the caller's, whatever its driver: DB-API 2.0 (PEP 249), or SQLAlchemy's `Connection` or `Session`.

Nothing is imported for it. A driver tells its placeholders by `paramstyle`, SQLAlchemy is known by its methods, and the caller's
transaction is never ended here.
"""

import functools
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Literal

Dialect = Literal["sqlite", "postgresql"]

Parameters = tuple[Any, ...] | dict[str, Any]

_DIALECTS: Mapping[str, Dialect] = {
    "sqlite3": "sqlite",
    "pysqlite3": "sqlite",
    "sqlcipher3": "sqlite",
    "psycopg": "postgresql",
    "psycopg2": "postgresql",
    "psycopg2cffi": "postgresql",
    "pg8000": "postgresql",
    "sqlite": "sqlite",
    "postgresql": "postgresql",
}
"""By the driver's package, or by SQLAlchemy's name for it."""

_PLACEHOLDER = re.compile(r":(\w+)")
_POSITIONAL = {"qmark": "?", "format": "%s"}
_NUMBERED = {"numeric": ":{}", "numeric_dollar": "${}"}
_NAMED = {"named": ":{}", "pyformat": "%({})s"}
_IDLE = 0
"""What PostgreSQL's drivers call a connection without a transaction."""


class Database:
    """A connection as outbox and inbox use it. Values are written `:name` in their SQL, and spelt as the driver has it."""

    def __init__(self, connection: Any) -> None:
        if inspect.iscoroutinefunction(getattr(connection, "commit", None)):
            raise TypeError(
                f"found {_kind(connection)}, which is awaited; wanted a connection that is not: with SQLAlchemy the one that "
                "`run_sync` gives, with another driver execute `statement(...)` yourself"
            )
        self._alchemy = _alchemy(connection)
        self.driver = _driver(connection if self._alchemy is None else self._alchemy)
        self._style = _style(self.driver) if self._alchemy is None else str(self._alchemy.dialect.dbapi.paramstyle)
        self._connection = connection if self._alchemy is None else self._alchemy

    @property
    def dialect(self) -> Dialect:
        names = _roots(self.driver) if self._alchemy is None else [str(self._alchemy.dialect.name)]
        for name in names:
            if name in _DIALECTS:
                return _DIALECTS[name]
        raise ValueError(f"found a database that is not known ({_kind(self._connection)}); wanted SQLite or PostgreSQL")

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        with closing(self._executed(sql, values)) as cursor:
            return [tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in cursor.fetchall()]

    def change(self, sql: str, **values: Any) -> int:
        """How many rows it concerned."""
        with closing(self._executed(sql, values)) as cursor:
            return int(cursor.rowcount)

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def require_transaction(self) -> None:
        """ValueError where a statement would be committed at once, which no later rollback could take back."""
        if _commits_at_once(self.driver):
            raise ValueError(
                f"found {_kind(self.driver)} that commits each statement by itself (autocommit), and no transaction begun on it; "
                "wanted the transaction that changes the data too"
            )

    def _executed(self, sql: str, values: dict[str, Any]) -> Any:
        spelt, parameters = spell(sql, values, self._style)
        if self._alchemy is not None:
            return self._alchemy.exec_driver_sql(spelt, parameters or None)
        cursor = self._connection.cursor()
        try:
            cursor.execute(spelt, parameters) if values else cursor.execute(spelt)
        except BaseException:
            cursor.close()
            raise
        return cursor


def spell(sql: str, values: Mapping[str, Any], style: str) -> tuple[str, Parameters]:
    """SQL with `:name` in it as a driver of this paramstyle takes it, and the values for it."""
    text, names = _spelt(sql, style)
    return text, ({name: values[name] for name in names} if style in _NAMED else tuple(values[name] for name in names))


@functools.lru_cache(maxsize=256)
def _spelt(sql: str, style: str) -> tuple[str, Sequence[str]]:
    names: list[str] = _PLACEHOLDER.findall(sql)
    if style in _POSITIONAL:
        return _PLACEHOLDER.sub(_POSITIONAL[style], sql), names
    if style in _NAMED:
        return _PLACEHOLDER.sub(lambda found: _NAMED[style].format(found[1]), sql), names
    if style not in _NUMBERED:
        known = ", ".join(sorted([*_POSITIONAL, *_NUMBERED, *_NAMED]))
        raise ValueError(f'found the paramstyle "{style}"; wanted one of {known}')
    once = list(dict.fromkeys(names))
    return _PLACEHOLDER.sub(lambda found: _NUMBERED[style].format(once.index(found[1]) + 1), sql), once


def _alchemy(connection: Any) -> Any:
    """SQLAlchemy's Connection, be it that of a Session; None where the connection is the driver's."""
    if hasattr(connection, "exec_driver_sql"):
        return connection
    return connection.connection() if hasattr(connection, "get_bind") and callable(connection.connection) else None


def _driver(connection: Any) -> Any:
    """The driver's own connection, out of SQLAlchemy's and its pool's."""
    pooled = connection.connection if hasattr(connection, "exec_driver_sql") else connection
    return getattr(pooled, "dbapi_connection", pooled)


def _style(driver: Any) -> str:
    for name in _modules(driver):
        if style := getattr(sys.modules.get(name), "paramstyle", ""):
            return str(style)
    raise ValueError(
        f"found {_kind(driver)}, whose module has no paramstyle; wanted a DB-API connection of the driver, or SQLAlchemy's"
    )


def _modules(driver: Any) -> Iterator[str]:
    """Where its class and those that it is made of come from, inner packages first."""
    for kind in type(driver).__mro__:
        name = kind.__module__
        while name:
            yield name
            name = name.rpartition(".")[0]


def _roots(driver: Any) -> Iterator[str]:
    return (name for name in _modules(driver) if "." not in name)


def _commits_at_once(driver: Any) -> bool:
    """False where the driver does not tell."""
    if hasattr(driver, "isolation_level") and hasattr(driver, "in_transaction"):  # sqlite3
        autocommit = getattr(driver, "autocommit", -1)
        by_itself = driver.isolation_level is None if autocommit == -1 else autocommit is True
        return by_itself and not driver.in_transaction
    if getattr(driver, "autocommit", False) is not True:
        return False
    if hasattr(driver, "get_transaction_status"):  # psycopg2
        return bool(driver.get_transaction_status() == _IDLE)
    return bool(getattr(getattr(driver, "info", None), "transaction_status", None) == _IDLE)  # psycopg


def _kind(value: Any) -> str:
    return f"a {type(value).__module__}.{type(value).__qualname__}"
