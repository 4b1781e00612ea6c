"""The process of `service`: orders with an outbox, a relay, and a consumer with an inbox, all on one database, until it is killed.

    python run_service.py DATABASE ADDRESS MOMENT COUNT

ADDRESS is a file with the server's URL, empty while it is down. It ends itself with SIGKILL at the COUNTth time of MOMENT: `published`, the bus has
accepted a batch of the outbox whose rows are still there; `worked`, an event's work is committed and nothing is acknowledged. Asked to stop
by SIGTERM it publishes what waits and exits with 0. In `peace` it makes nothing new.
"""

import itertools
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from eventyard.client import Client, ClientError, Delivery, Inbox, Outbox, Patience, stop_on_signals

SOURCE = "/service"
RULE = "worked"
TABLES = (
    "CREATE TABLE IF NOT EXISTS made (id TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS worked (id TEXT NOT NULL, event TEXT NOT NULL)",
)
LOOK_S = 0.02
MAKE_EVERY_S = 0.01
ONCE = Patience(attempts_max=1)


class Death:
    def __init__(self, moment: str, count: int) -> None:
        self._moment = moment
        self._left = count

    def at(self, moment: str) -> None:
        if moment == self._moment:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Life:
    """One address of the server: `stop` for whoever works with it, set when it is another one or the process is to end."""

    def __init__(self, address: Path, is_stopping: Callable[[], bool]) -> None:
        self.url = address.read_text()
        self._address = address
        self._is_stopping = is_stopping

    def is_set(self) -> bool:
        return self._is_stopping() or self._address.read_text() != self.url

    def wait(self, timeout_s: float) -> bool:
        ends_at = time.monotonic() + timeout_s
        while not self.is_set() and time.monotonic() < ends_at:
            time.sleep(LOOK_S)
        return self.is_set()


class Mortal:
    """A client for the relay, that may die of success."""

    def __init__(self, client: Client, death: Death) -> None:
        self._client = client
        self._death = death

    def send(self, call: Any) -> Any:
        answer = self._client.send(call)
        self._death.at("published")
        return answer


def main() -> None:
    database, address, death = sys.argv[1], Path(sys.argv[2]), Death(sys.argv[3], int(sys.argv[4]))
    logging.getLogger("eventyard.client").setLevel(logging.CRITICAL)  # that the server is away is no news here
    _create(database)
    with stop_on_signals(signal.SIGTERM) as stop:
        threads = [
            threading.Thread(target=_make, args=(database, lambda: stop.is_set() or sys.argv[3] == "peace")),
            threading.Thread(target=_relay, args=(database, address, death, stop.is_set)),
            threading.Thread(target=_consume, args=(database, address, death, stop.is_set)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with Client(address.read_text()) as client:
        Outbox().relay(client, lambda: _connect(database), until_empty=True)


def _create(database: str) -> None:
    with closing(_connect(database)) as db, db:
        for table in TABLES:
            db.execute(table)
        Outbox().create(db)
        Inbox(RULE).create(db)


def _connect(database: str) -> sqlite3.Connection:
    """Unsynced: a killed process takes no page cache with it."""
    connection = sqlite3.connect(database, timeout=30)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _make(database: str, is_stopping: Callable[[], bool]) -> None:
    """Orders, each with its event in one transaction. Every tenth is taken back: of that nobody may ever hear."""
    with closing(_connect(database)) as db:
        for number in itertools.count():
            if is_stopping():
                return
            db.execute("BEGIN IMMEDIATE")
            name = Outbox().add(db, type="order.made", source=SOURCE, data={"n": number})
            db.execute("INSERT INTO made VALUES (?)", (name,))
            db.rollback() if number % 10 == 9 else db.commit()
            time.sleep(MAKE_EVERY_S)


def _relay(database: str, address: Path, death: Death, is_stopping: Callable[[], bool]) -> None:
    def relay(client: Client, life: Life) -> None:
        Outbox().relay(Mortal(client, death), lambda: _connect(database), stop=life, batch=20, wait_s=LOOK_S)  # type: ignore[arg-type]

    _in_each_life(address, is_stopping, relay)


def _consume(database: str, address: Path, death: Death, is_stopping: Callable[[], bool]) -> None:
    def handle(delivery: Delivery) -> None:
        event = delivery.event
        with closing(_connect(database)) as db:
            db.execute("BEGIN IMMEDIATE")
            if Inbox(RULE).first_time(db, delivery):
                name = Outbox().add(db, type="order.worked", source=SOURCE, data={}, causationid=event["id"])
                db.execute("INSERT INTO worked VALUES (?, ?)", (event["id"], name))
            db.commit()
        death.at("worked")

    def consume(client: Client, life: Life) -> None:
        client.consume(RULE, handle, wait_s=1, lease_s=1, stop=life)

    _in_each_life(address, is_stopping, consume)


def _in_each_life(address: Path, is_stopping: Callable[[], bool], work: Callable[[Client, Life], None]) -> None:
    while not is_stopping():
        life = Life(address, is_stopping)
        if not life.url:
            life.wait(1)
            continue
        try:
            with Client(life.url, patience=ONCE) as client:
                work(client, life)
        except ClientError:
            time.sleep(LOOK_S)  # The server dies before its address is gone.


if __name__ == "__main__":
    main()
