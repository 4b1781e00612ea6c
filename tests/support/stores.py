"""Whole stores in files: one with something in every table, and what a file holds, row by row."""

from pathlib import Path
from typing import Any

import apsw

from eventyard.core.commands import CreateBus, DeleteRule, Publish, Settle, Settlement
from eventyard.core.delivery import Note
from eventyard.core.verdict import Dead, Delivered, Retry
from eventyard.engines.sqlite import SqliteEngine
from eventyard.engines.sqlite.ids import Layout
from tests.support.builders import Stepped, an_event

SMALL = Layout(segment_ids=5, slice_segments=3)
"""Segments and slices of ids that close within a test."""

DEAD = Dead(Note(reason="answer", status=422))
RETRY = Retry(60_000, Note(reason="answer", status=503))


def opened(path: Path) -> SqliteEngine:
    return SqliteEngine(str(path), layout=SMALL)


def open_and_close(arguments: list[str]) -> None:
    """What an upgrade takes."""
    opened(Path(arguments[0])).close()


def make_store(path: Path) -> Stepped:
    """A store of two buses in use: rules live, late and being deleted, and deliveries of every state. Close its `engine`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bus = Stepped(opened(path))
    bus.writer.submit_system(CreateBus("other", "life-other"), _nothing)
    while bus.writer.step():
        pass
    bus.do(Publish((an_event("elsewhere"),)), bus="other")
    rule = bus.put("rewards")
    bus.receiver.want(rule.uid, 4)
    bus.do(Publish(tuple(an_event(number) for number in range(40))))
    delivered, dead, waiting, _leased = bus.receiver.leases[:4]
    for lease, verdict in ((delivered, Delivered(Note())), (dead, DEAD), (waiting, RETRY)):
        bus.do(Settle((Settlement(lease.delivery.key, lease.delivery.leases, verdict),)))
    bus.put("late", start="earliest")
    gone = bus.put("gone")
    bus.receiver.want(gone.uid, 1)
    bus.do(Publish((an_event("last"),)))
    bus.do(DeleteRule("gone"))
    return bus


def dump(path: Path) -> dict[str, list[Any]]:
    """Every row of every table of a file, by table. How far a log was looked at for damage is no part of what a store holds."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = rows_of(connection)
    connection.close()
    return found


def rows_of(connection: apsw.Connection) -> dict[str, list[Any]]:
    tables = [str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}  # noqa: S608 - our own tables
    columns = [str(column[1]) for column in connection.execute("PRAGMA table_info(bus)")]
    if "verified" in columns:
        at = columns.index("verified")
        found["bus"] = [row[:at] + row[at + 1 :] for row in found["bus"]]
    return found


def change(path: Path, statement: str, *bindings: Any) -> None:
    """What a disk or a stranger does to a file."""
    connection = apsw.Connection(str(path))
    connection.execute(statement, bindings)
    connection.close()


def _nothing(_answer: Any) -> None:
    """Nobody waits for it."""
