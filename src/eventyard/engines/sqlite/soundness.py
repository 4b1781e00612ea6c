"""Whether a whole file of Eventyard is sound: what must hold of a backup before anybody relies on it.

Theory of operation. SQLite proves its own structure (`integrity_check`: every page, every row, every index against its table), but
not what the bytes say. So every event's checksum is computed again, positions must be dense from each bus's floor up to its head but for
gaps that are known, and the counts that the bus keeps must be those of the rows. All is read once, from front to back, and nothing is written.

A file whose structure is broken is refused outright. Everything else is told as a fault: one event that its checksum disowns does
not spoil the others, and it is for the operator to say whether a copy with it is better than none.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec

from eventyard.core.changes import BusRecord
from eventyard.core.delivery import State
from eventyard.core.errors import Damaged, InvalidBackup
from eventyard.engines.sqlite import event_rows
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.connection import failures_named
from eventyard.engines.sqlite.marks import Marks, NoMarks, standings
from eventyard.engines.sqlite.migrating import APPLICATION_ID, migrations
from eventyard.engines.sqlite.statements import read

SQL = read(Path(__file__).with_name("soundness.sql").read_text(encoding="utf-8"))

FAULTS_TOLD = 10
"""Faults that are named; the rest is counted."""

CHUNK_ROWS = 2_000

INTERRUPT_STEPS = 100_000
"""SQLite's steps between two looks at whether somebody pressed Ctrl-C: a few milliseconds."""

Progress = Callable[[str, int, int], None]
"""Told often: what is under way, how much of it is done, and how much there is (0: not known)."""


class BusContents(msgspec.Struct, frozen=True):
    name: str
    head: int
    events: int


class Contents(msgspec.Struct, frozen=True):
    """What a file holds. `faults` are sentences, none where it is sound."""

    buses: tuple[BusContents, ...]
    bytes: int
    faults: tuple[str, ...]

    @property
    def events(self) -> int:
        return sum(bus.events for bus in self.buses)


def examine(path: str, progress: Progress, *, called: str = "", marks: bytes = b"") -> Contents:
    """Read all of a file that nobody writes. Raises `InvalidBackup` for one that is not ours, `Damaged` for one that is broken.

    `called` is what messages name instead of `path`. `marks` is what the store's mark file said before the file was copied from it.
    """
    name = called or path
    with failures_named(name):
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_progress_handler(lambda: False, INTERRUPT_STEPS)
            version = check_version(name, *next(_rows(connection, "file_version")))
            _check_structure(connection, name, progress)
            contents = _contents(connection, version, Path(path).stat().st_size, progress)
            lost = _loss_faults(connection, marks) if version == len(migrations()) else ()
            return msgspec.structs.replace(contents, faults=(*lost, *contents.faults))
        finally:
            connection.close()


def _rows(connection: apsw.Connection, name: str, *bindings: int) -> Iterator[Any]:
    yield from connection.execute(SQL[name], bindings)


def check_version(name: str, version: int, application: int) -> int:
    """The version of the file's schema, one that this eventyard knows."""
    if application != APPLICATION_ID:
        raise InvalidBackup(f"found that {name} is another program's database", wanted="a file of eventyard")
    known = len(migrations())
    if version > known:
        raise InvalidBackup(
            f"found {name} at version {version}, and this eventyard knows versions up to {known}", wanted="a newer eventyard"
        )
    return version


def _check_structure(connection: apsw.Connection, name: str, progress: Progress) -> None:
    progress("checking its structure", 0, 0)
    found = [str(text) for (text,) in connection.execute(f"PRAGMA integrity_check({FAULTS_TOLD})")]
    if found != ["ok"]:
        raise Damaged(f"found {name} damaged ({'; '.join(found)[:500]})", wanted="the file as eventyard wrote it")


def _contents(connection: apsw.Connection, version: int, size: int, progress: Progress) -> Contents:
    has_floor, has_gaps = next(_rows(connection, "has"))
    gaps = _gaps(connection) if has_gaps else {}
    found = _rows(connection, "buses" if has_floor else "buses_1")
    logs = [_Log(_record(number, text), head, floor, gaps.get(number, [])) for number, text, head, floor in found]
    faults = list(itertools.chain(_event_faults(connection, logs, progress), count_faults(connection, version)))
    buses = tuple(BusContents(log.name, log.head, log.count) for log in logs if not log.is_deleted)
    told = faults[:FAULTS_TOLD] + ([f"and {len(faults) - FAULTS_TOLD} more"] if len(faults) > FAULTS_TOLD else [])
    return Contents(buses, size, tuple(told))


def _gaps(connection: apsw.Connection) -> dict[int, list[tuple[int, int]]]:
    """By bus, the positions whose absence is known."""
    gaps: dict[int, list[tuple[int, int]]] = {}
    for bus, first, last in _rows(connection, "gaps"):
        gaps.setdefault(bus, []).append((first, last))
    return gaps


def _record(number: int, text: bytes | None) -> BusRecord:
    """A bus that wrote before it was recorded has no record yet."""
    return msgspec.json.decode(text, type=BusRecord) if text else BusRecord(number, f"number {number}", "", 0)


# Events


class _Log:
    """One bus's log on the way through it. Below the floor only what is owed is left; a deleted bus's log is being taken away, and nobody reads it."""

    def __init__(self, record: BusRecord, head: int, floor: int, gaps: list[tuple[int, int]]) -> None:
        self.number = record.number
        self.name = record.name
        self.is_deleted = record.is_deleted
        self.head = head
        self.count = 0
        self._gaps = deque(gaps)
        self._next = floor

    def step(self, position: int) -> Iterator[str]:
        """Go on to an event that is there."""
        self.count += 1
        yield from self._missing(position)
        self._next = max(self._next, position + 1)

    def end(self) -> Iterator[str]:
        yield from self._missing(self.head + 1)
        if self._next > self.head + 1:
            yield f'bus "{self.name}" ends at {self.head}, and holds events up to {self._next - 1}'

    def _missing(self, position: int) -> Iterator[str]:
        """What is not there before `position` and not known to be gone."""
        while self._gaps and self._gaps[0][0] < position:
            first, last = self._gaps.popleft()
            yield from self._lacks(first)
            self._next = max(self._next, last + 1)
        yield from self._lacks(position)

    def _lacks(self, position: int) -> Iterator[str]:
        if position > self._next and not self.is_deleted:
            yield f'bus "{self.name}" lacks positions {self._next} to {position - 1}'


def _event_faults(connection: apsw.Connection, logs: list[_Log], progress: Progress) -> Iterator[str]:
    by_number = {log.number: log for log in logs}
    total = sum(log.head for log in logs)
    for done, (place, accepted_ms, digest, written, json) in enumerate(_events(connection)):
        if done % CHUNK_ROWS == 0:
            progress("checking events", done, total)
        log = by_number.get(places.bus(place))
        if log is None:
            yield f"there is an event of a bus {places.bus(place)} that is not there"
            continue
        yield from log.step(places.position(place))
        if not log.is_deleted and event_rows.checksum(place, accepted_ms, digest, json) != written:
            yield f'bus "{log.name}": event {places.position(place)} is not what was written'
    for log in logs:
        yield from log.end()


def _events(connection: apsw.Connection) -> Iterator[tuple[int, int, bytes, int, bytes]]:
    """Every event in the order of places: place, accepted_ms, digest, checksum, json. No statement stays open over all of them, so Ctrl-C ends it between two chunks."""
    after = -1
    while rows := list(_rows(connection, "events_after", after, CHUNK_ROWS)):
        yield from rows
        after = rows[-1][0]


# Counts

_ENDED = (State.DELIVERED, State.DISCARDED)
"""Rows of these go with their events when retention removes them, and the counts go on."""


def count_faults(connection: apsw.Connection, version: int) -> Iterator[str]:
    """The kept counts against the rows. A file of an older schema keeps others; it is not counted."""
    if version < len(migrations()):
        return
    counted: dict[tuple[int, int, int], list[int]] = {}
    for bus, rule, run, state, count in _rows(connection, "delivery_counts"):
        counted.setdefault((bus, rule, run), [0] * len(State))[state] = count
    for bus, rule, run, *kept in _rows(connection, "tallies"):
        found = counted.get((bus, rule, run), [0] * len(State))
        if any(found[state] > kept[state] if state in _ENDED else found[state] != kept[state] for state in State):
            yield f"bus {bus}, rule {rule}, run {run}: counts say {kept}, and its deliveries are {found}"


# Losses


def _loss_faults(connection: apsw.Connection, marks: bytes) -> tuple[str, ...]:
    """Where the file ends before what its store had answered for."""
    return tuple(loss.text for loss in Marks(_Copied(marks)).losses(standings(connection)))


class _Copied(NoMarks):
    """`MarkFile` of which only what it once held is left."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content
