"""What services of the shop share that are made with `eventyard.client`: where the bus is, a memory that survives a kill, and a voice.

A bus delivers at least once, and a process can die at any moment. Two habits make both harmless, and each is a transaction of the
service's own database:

- The *inbox* remembers which events were taken, in the transaction that does what follows from them: an event that comes twice
  changes nothing the second time, and one that was half taken was not taken.
- The *outbox* holds what is to be published, written in the transaction that makes it true. A relay sends it until the bus has
  answered 202, under the same id, which the bus accepts once.
"""

import os
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from eventyard.client import Client, CloudEvent, Inbox, Outbox

URL = os.environ.get("EVENTYARD_URL", "http://127.0.0.1:8410")
"""Where the bus is: all that a service knows of the others."""

FOLDER = Path(os.environ.get("SHOP_DATA", "."))


class Memory:
    """What a service knows, in one SQLite file, so that a new process goes on where a killed one ended. `tables` are its own, as SQL."""

    def __init__(self, name: str, tables: str) -> None:
        self._source = f"/shop/{name}"
        self._file = FOLDER / f"{name}.db"
        self.outbox = Outbox()
        with self.transaction() as db:
            db.execute(tables)
            self.outbox.create(db)
            Inbox(name).create(db)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it is kept, or, where something is raised, nothing. Several threads wait for each other."""
        with closing(self.connect()) as db, db:
            db.execute("BEGIN IMMEDIATE")
            yield db

    @contextmanager
    def once(self, event: CloudEvent[Any]) -> Iterator[sqlite3.Connection | None]:
        """The transaction in which an event is taken; None where it was taken before, by this rule: then nothing is left to do."""
        with self.transaction() as db:
            yield db if Inbox(event.rule).first_time(db, event) else None

    def publish(
        self, db: sqlite3.Connection, kind: str, order: Mapping[str, Any], cause: CloudEvent[Any] | None = None
    ) -> None:
        """Say what happened to an order, and because of what. It is on its way when the transaction is done."""
        because = {"causationid": cause.id, "causationsource": cause.source} if cause else {}
        self.outbox.add(db, type=kind, source=self._source, subject=order["order"], data=order, **because)

    def start_relay(self) -> None:
        """A thread that brings to the bus what the outbox holds."""
        threading.Thread(target=self._relay, daemon=True).start()

    def _relay(self) -> None:
        with Client(URL) as client:
            self.outbox.relay(client, self.connect, wait_s=0.05)

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=30)


def say(text: str) -> None:
    """One line, in one write: several threads speak."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
