"""The inbox: a consumer's database remembers which events it has worked on, in the transaction that does the work.

Deliveries come at least once. What is done in the same transaction as `first_time` is done once: either both are committed, or neither.
"""

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from eventyard.client import tables
from eventyard.client.answers import Delivery, StoredEvent
from eventyard.client.databases import Database, Dialect, Parameters, spell
from eventyard.client.received import CloudEvent

Named = Delivery | StoredEvent | CloudEvent[Any] | Mapping[str, Any] | bytes | str
"""What has an event's source and id: a delivery, an event as a handler gets it, its attributes, or its JSON."""

_SEE = "INSERT INTO {table} (consumer, source, id, seen) VALUES (:consumer, :source, :id, :seen) ON CONFLICT DO NOTHING"
_PRUNE = (
    "DELETE FROM {table} WHERE consumer = :consumer AND (source, id) IN "
    "(SELECT source, id FROM {table} WHERE consumer = :consumer AND seen < :before ORDER BY seen LIMIT :most)"
)

PRUNE_MOST = 10_000
"""Rows of one call: a transaction of a fraction of a second, behind which nobody waits for long."""


class Inbox:
    """What `consumer` has worked on, by `source` and `id`. Consumers of one database share the table, each with a name of its own."""

    def __init__(self, consumer: str, *, table: str = "eventyard_inbox") -> None:
        if not consumer:
            raise ValueError("found a consumer without a name; wanted the one under which it remembers")
        self._consumer = consumer
        self._table = tables.checked(table)

    def create(self, connection: Any) -> None:
        """Make the table where it is not there, within the caller's transaction."""
        database = Database(connection)
        for statement in self.schema(database.dialect):
            database.change(statement)

    def schema(self, dialect: Dialect) -> list[str]:
        """The same as SQL, for migrations of your own."""
        return tables.schema(tables.INBOX[dialect], self._table)

    def first_time(self, connection: Any, event: Named) -> bool:
        """Whether this consumer sees the event for the first time; remembered when the caller's transaction commits.

        In PostgreSQL a second consumer at the same event waits for the first one's transaction, and is told what came of it. A
        ValueError where the connection commits each statement by itself.
        """
        database = Database(connection)
        database.require_transaction()
        return database.change(self._see, **self._row(event)) == 1

    def statement(self, event: Named, paramstyle: str) -> tuple[str, Parameters]:
        """What `first_time` executes, for a driver that is awaited: it is the first time where it concerned one row."""
        return spell(self._see, self._row(event), paramstyle)

    def prune(self, connection: Any, *, older_than_s: float, most: int = PRUNE_MOST) -> int:
        """Forget what was seen so long ago, the oldest first; how many rows, at most `most`. Within the caller's transaction.

        An event that comes again after that is a first time: leave it longer than the bus may deliver it, redriven or replayed.
        """
        before = int(time.time() - older_than_s)
        sql = _PRUNE.format(table=self._table)
        return Database(connection).change(sql, consumer=self._consumer, before=before, most=most)

    @property
    def _see(self) -> str:
        return _SEE.format(table=self._table)

    def _row(self, event: Named) -> dict[str, Any]:
        key = _key(event)
        return {"consumer": self._consumer, "source": key.source, "id": key.id, "seen": int(time.time())}


class _Key(msgspec.Struct, frozen=True):
    source: str
    id: str


def _key(event: Named) -> _Key:
    try:
        match event:
            case CloudEvent():
                return _Key(event.source, event.id)
            case Delivery() | StoredEvent():
                return msgspec.json.decode(event.raw, type=_Key)
            case bytes() | str():
                return msgspec.json.decode(event, type=_Key)
            case _:
                return msgspec.convert(event, type=_Key)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"found what has no source and id of an event ({error}): {event!r:.200}") from error
