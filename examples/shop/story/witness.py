"""What the services have to show, read where they keep it, and not from the bus: their own databases, and what they printed.

No service keeps books for the demo. Of one that is made with the client the inbox stays; what is put into its outbox goes when the bus
has it, so a trigger in that database writes down its id, and another one how often an event came.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from .account import Logged, Said

ANSWER_EACH = frozenset({"payments", "invoices", "rewards", "labels"})
"""These say one thing of each event that they take."""

_WATCH = """
    CREATE TABLE IF NOT EXISTS watched (what TEXT NOT NULL, id TEXT NOT NULL);
    CREATE TRIGGER IF NOT EXISTS watched_inbox BEFORE INSERT ON eventyard_inbox
        BEGIN INSERT INTO watched VALUES (NEW.consumer, NEW.id); END;
    CREATE TRIGGER IF NOT EXISTS watched_outbox AFTER INSERT ON eventyard_outbox
        BEGIN INSERT INTO watched VALUES ('published', json_extract(NEW.event, '$.id')); END;
"""
_TAKEN = "SELECT id, max(1, (SELECT count(*) FROM watched WHERE what = consumer AND watched.id = i.id)) FROM eventyard_inbox i WHERE consumer = ?"


class Witness:
    """`folder` is where the services keep their databases, `said` the lines that they printed, each with its service."""

    def __init__(self, folder: Path, said: Iterable[tuple[str, str]]) -> None:
        self._folder = folder
        self._said = said

    def watch(self, service: str) -> None:
        """From now on, over all lives of the service."""
        if self._has_inbox(service):
            with self._opened(service) as db:
                db.executescript(_WATCH)

    def unsent(self, service: str) -> int:
        if not self._has_inbox(service):
            return 0
        with self._opened(service) as db:
            return int(db.execute("SELECT count(*) FROM eventyard_outbox").fetchone()[0])

    def taken(self, rule: str, service: str, log: Sequence[Logged]) -> Mapping[str, int]:
        """Which events the service took by its rule, and how often each came."""
        if service == "labels":
            return self._labelled(log)
        with self._opened(service) as db:
            if service == "invoices":
                return dict.fromkeys((event for (event,) in db.execute("SELECT event FROM invoices")), 1)
            return dict(db.execute(_TAKEN, (rule,)))

    def published(self, service: str, taken: Iterable[str]) -> Said:
        """`taken`: all that it took."""
        if service in ANSWER_EACH:
            return Said(service, sorted(taken), is_by_cause=True)
        with self._opened(service) as db:
            return Said(service, [row[0] for row in db.execute("SELECT id FROM watched WHERE what = 'published'")])

    def _labelled(self, log: Sequence[Logged]) -> Mapping[str, int]:
        """A shell script has no database: what it has printed are its labels, one for each order that shipped."""
        shipped = {entry.event["subject"]: entry.id for entry in log if entry.event["type"] == "order.shipped"}
        printed = [line.removeprefix("a label for ") for service, line in self._said if service == "labels"]
        return Counter(shipped.get(order, order) for order in printed)

    def _has_inbox(self, service: str) -> bool:
        return service not in ("invoices", "labels")

    @contextmanager
    def _opened(self, service: str) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._folder / f"{service}.db", timeout=10)) as db, db:
            yield db
