"""The outbox: events wait in the producer's own database, written in the transaction that makes them true.

Theory of operation. `add` inserts a row, so that the event and the change it tells of are committed together or not at all. A relay
(see `relaying`) publishes what waits and deletes what the bus has accepted; a crash in between has it publish again, and the event's
id, settled when it was added, makes that a duplicate which the bus drops. A relay keeps no cursor: it asks what waits. A row whose
transaction commits late, behind rows of higher numbers (PostgreSQL gives numbers when rows are inserted), is found as soon as it is
there, where a cursor would have passed it by for ever.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from eventyard.client import tables
from eventyard.client.buffering import spelt
from eventyard.client.databases import Database, Dialect, Parameters, spell
from eventyard.client.event import Event, given
from eventyard.client.relaying import RefusedRow, Relay, Relayed

if TYPE_CHECKING:
    from eventyard.client.shells import Client

_ADD = "INSERT INTO {table} (event) VALUES (:event)"
_REFUSED = (
    "SELECT number, event, refused FROM {table} WHERE refused IS NOT NULL AND number > :after ORDER BY number LIMIT :most"
)
_PUT_BACK = "UPDATE {table} SET refused = NULL WHERE number = :number AND refused IS NOT NULL"

REFUSED_MOST = 100


class Outbox:
    """Events that wait in `table`. It holds no connection: each method is given the caller's."""

    def __init__(self, *, table: str = "eventyard_outbox") -> None:
        self._table = tables.checked(table)

    def create(self, connection: Any) -> None:
        """Make the table where it is not there, within the caller's transaction."""
        database = Database(connection)
        for statement in self.schema(database.dialect):
            database.change(statement)

    def schema(self, dialect: Dialect) -> list[str]:
        """The same as SQL, for migrations of your own."""
        return tables.schema(tables.OUTBOX[dialect], self._table)

    def add(
        self,
        connection: Any,
        event: Event | None = None,
        *,
        type: str = "",  # noqa: A002 - CloudEvents' own name
        source: str = "",
        id: str = "",  # noqa: A002 - CloudEvents' own name
        subject: str = "",
        data: Any = msgspec.UNSET,
        **attributes: Any,
    ) -> str:
        """Write `event`, or one made of the rest, within the caller's transaction; its id. Nothing is sent, committed or rolled back.

        `connection`: of a DB-API driver, or SQLAlchemy's Connection or Session. A ValueError where it commits each statement by
        itself, and where the event is no JSON object with an id; whether the bus will take it shows when it is published.
        """
        name, text = spelt(given(event, type=type, source=source, id=id, subject=subject, data=data, **attributes))
        database = Database(connection)
        database.require_transaction()
        database.change(_ADD.format(table=self._table), event=text.decode())
        return name

    def statement(self, event: Event, paramstyle: str) -> tuple[str, Parameters]:
        """What `add` executes, for a driver that is awaited: its SQL and parameters in this paramstyle (asyncpg: `numeric_dollar`)."""
        _, text = spelt(event)
        return spell(_ADD.format(table=self._table), {"event": text.decode()}, paramstyle)

    def relay(
        self,
        client: "Client",
        connect: Callable[[], Any],
        *,
        bus: str = "default",
        batch: int = 1_000,
        wait_s: float = 0.5,
        in_order: bool = True,
        until_empty: bool = False,
        stop: threading.Event | None = None,
        on_refused: Callable[[RefusedRow], None] | None = None,
    ) -> Relayed:
        """Publish what waits and what comes, until `stop` is set, or nothing waits (`until_empty`); what came of it.

        `connect` gives a connection for the relay alone, which looks for events every `wait_s` when there are none. It publishes
        `batch` of them at once, at most 1,000 and 4 MiB. With `in_order` one relay of a table is at work and others stand by, to
        take over when it ends; without, relays on PostgreSQL share the work, and batches may pass one another.

        What the bus refuses is kept with the reason (`refused`, and told to `on_refused`) and holds nothing up. While the bus is
        away it is asked again, ever more seldom, for ever. A ProblemError is raised where no event would fare better (no such bus,
        a key that may not publish), and whatever the database raises is let through: start it again, nothing is lost.
        """
        relay = Relay(client, connect, self._table, bus=bus, batch=batch, in_order=in_order, on_refused=on_refused)
        return relay.run(stop or threading.Event(), wait_s=wait_s, until_empty=until_empty)

    def refused(self, connection: Any, *, after: int = 0, most: int = REFUSED_MOST) -> list[RefusedRow]:
        """Events that the bus refused, behind number `after`, at most `most` of them."""
        rows = Database(connection).rows(_REFUSED.format(table=self._table), after=after, most=most)
        return [RefusedRow(int(number), str(event), str(reason)) for number, event, reason in rows]

    def put_back(self, connection: Any, number: int) -> bool:
        """Have a refused event published again, when the caller's transaction commits. False where it is not there."""
        return Database(connection).change(_PUT_BACK.format(table=self._table), number=number) == 1
