"""The rows of an outbox as one relay holds them: taken, settled or left, so that no other relay has them meanwhile.

PostgreSQL: a batch is one transaction, which locks its rows (`FOR UPDATE SKIP LOCKED`) and, to keep order, an advisory lock of the
table; both end with the transaction, however it ends. It is open for one request to the bus, never for a retry. SQLite has one
writer, which must not wait for a network: its rows are read and deleted in short transactions, and what keeps a second relay out is
an exclusive lock on a small database file of its own beside the database, which the system gives back when the process ends.
"""

import contextlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from eventyard.client.databases import Database
from eventyard.client.protocol import BATCH_BYTES

if TYPE_CHECKING:
    import sqlite3

_SIZES = "SELECT number, {bytes} FROM {table} WHERE refused IS NULL ORDER BY number LIMIT :most"
_EVENTS = "SELECT number, event FROM {table} WHERE number IN ({numbers}) ORDER BY number"
_DELETE = "DELETE FROM {table} WHERE number IN ({numbers})"
_REFUSE = "UPDATE {table} SET refused = :reason WHERE number = :number"
_LOCK = "SELECT pg_try_advisory_xact_lock(8410, CAST(CAST(CAST('{table}' AS regclass) AS oid) AS int))"
"""Of this very table: another schema's of the same name is another one."""

_UNHURRIED = "SELECT set_config('synchronous_commit', 'off', true)"
"""For this transaction alone: a mark that a power failure takes back costs duplicates, and waiting for the disk costs time each batch."""


class Row(msgspec.Struct, frozen=True):
    number: int
    event: str


class Rows(Protocol):
    """`take`, then `settle` or `leave`; None where another relay is at work. Numbers are ours, so they stand in the SQL itself."""

    def take(self, most: int) -> list[Row] | None: ...

    def settle(self, accepted: Sequence[int], refused: Iterable[tuple[int, str]]) -> None: ...

    def leave(self) -> None: ...

    def close(self) -> None: ...


def rows_of(connection: Any, table: str, *, in_order: bool) -> Rows:
    database = Database(connection)
    if database.dialect == "sqlite":
        return SqliteRows(database, table)
    database.require_transaction()
    return PostgresRows(database, table, in_order=in_order)


class PostgresRows:
    def __init__(self, database: Database, table: str, *, in_order: bool) -> None:
        self._database = database
        self._table = table
        self._lock = _LOCK.format(table=table) if in_order else ""
        self._sizes = _SIZES.format(table=table, bytes="octet_length(event)") + " FOR UPDATE SKIP LOCKED"

    def take(self, most: int) -> list[Row] | None:
        if self._lock and not self._database.rows(self._lock)[0][0]:
            self.leave()
            return None
        self._database.rows(_UNHURRIED)
        taken = _taken(self._database, self._table, self._sizes, most)
        if not taken:
            self.leave()
        return taken

    def settle(self, accepted: Sequence[int], refused: Iterable[tuple[int, str]]) -> None:
        _write(self._database, self._table, accepted, refused)

    def leave(self) -> None:
        self._database.rollback()

    def close(self) -> None:
        """Whoever closes the connection ends its transaction."""


class SqliteRows:
    def __init__(self, database: Database, table: str) -> None:
        self._database = database
        self._table = table
        self._sizes = _SIZES.format(table=table, bytes="length(CAST(event AS BLOB))")
        self._lock: sqlite3.Connection | None = None

    def take(self, most: int) -> list[Row] | None:
        if not self._holds_lock():
            return None
        taken = _taken(self._database, self._table, self._sizes, most)
        self.leave()
        return taken

    def settle(self, accepted: Sequence[int], refused: Iterable[tuple[int, str]]) -> None:
        _write(self._database, self._table, accepted, refused)

    def leave(self) -> None:
        self._database.rollback()

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _holds_lock(self) -> bool:
        """Held from the first batch until the end. A database in memory has no file, and nobody else has it."""
        if self._lock is None:
            schema, _, bare = self._table.rpartition(".")
            paths = {name: path for _, name, path in self._database.rows("PRAGMA database_list")}
            path = paths.get(schema or "main")
            self._lock = _locked(f"{path}-{bare}-relay" if path else ":memory:")
        return self._lock is not None


def _locked(path: str) -> "sqlite3.Connection | None":
    import sqlite3  # noqa: PLC0415 - who relays from PostgreSQL needs none of it, and some Pythons are built without

    lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return None
    return lock


def _taken(database: Database, table: str, sizes: str, most: int) -> list[Row]:
    """Sizes first: a thousand events of a mebibyte each are not to be read for a batch that takes four of them."""
    numbers: list[int] = []
    left = BATCH_BYTES
    for number, size in database.rows(sizes, most=most):
        left -= size + 1
        if numbers and left < 0:
            break
        numbers.append(number)
    if not numbers:
        return []
    return [Row(*each) for each in database.rows(_EVENTS.format(table=table, numbers=_listed(numbers)))]


def _write(database: Database, table: str, accepted: Sequence[int], refused: Iterable[tuple[int, str]]) -> None:
    try:
        if accepted:
            database.change(_DELETE.format(table=table, numbers=_listed(accepted)))
        for number, reason in refused:
            database.change(_REFUSE.format(table=table), number=number, reason=reason)
        database.commit()
    except BaseException:
        with contextlib.suppress(Exception):  # What went wrong first is what is told.
            database.rollback()
        raise


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(str(int(number)) for number in numbers)
