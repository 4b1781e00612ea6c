"""Saving what can be read of a file that SQLite calls malformed: its rows, one table after the other, into a new file.

Each table is walked in the order of its key from both ends, and around what cannot be read (the log as `reading` does it). Then what hangs
together is made to: a bus whose row is gone is found again in the log of the system bus, heads are those of the events, counts those of
the deliveries, and the ids of the dedup window are read anew from the events. What no row tells any more is in the account.
"""

import contextlib
import itertools
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
import msgspec

from eventyard.core import limits
from eventyard.core.access import AccessKey, Grant
from eventyard.core.bus_events import BUS_CREATED, BUS_DELETED
from eventyard.core.changes import BusRecord
from eventyard.core.delivery import Note, Reason, encode_note
from eventyard.core.errors import Damaged
from eventyard.core.system import SYSTEM_BUS
from eventyard.engines.sqlite import connection as connections
from eventyard.engines.sqlite import event_rows, files, first_pages, id_segments, leaves, log_tail, record_rows
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.damage import DamageLog, Stretch
from eventyard.engines.sqlite.event_rows import EventRow
from eventyard.engines.sqlite.id_segments import Segment, hash_id
from eventyard.engines.sqlite.ids import LAYOUT
from eventyard.engines.sqlite.migrating import migrate, migrations
from eventyard.engines.sqlite.reading import event_rows_around
from eventyard.engines.sqlite.soundness import Progress
from eventyard.engines.sqlite.statements import read

SQL = read(Path(__file__).with_name("salvaging.sql").read_text(encoding="utf-8"))

BY_BUS = (
    "derivation",
    "delivery",
    "tally",
    "rule",
    "rule_version",
    "backfill",
    "intent",
    "health",
    "emitter",
    "kept",
    "schedule",
    "gap",
)
"""Tables whose key begins with the bus and goes on with a number."""

BY_NAME = ("tombstone", "access_key")
"""Tables whose key is, or ends in, a text."""

EVENTS_AT_ONCE = 256
ROWS_AT_ONCE = 2_000

Row = tuple[Any, ...]

_DEFAULT_BUS = 1
"""The number of the bus that always exists."""


class Salvaged(msgspec.Struct):
    """What could not be saved besides events. `unread`: stretches of deliveries by bus. `rules`: (bus, uid) that deliveries name."""

    buses: list[str] = []
    unread: dict[int, list[Stretch]] = {}
    rules: list[tuple[int, int]] = []
    orphans: dict[int, int] = {}
    tables: list[str] = []
    """Other tables of which a part could not be read."""


def salvage(source: Path, target: Path, progress: Progress, *, now_ms: int) -> Salvaged:
    """Save the rows of `source` into the new file `target`. `source` may be changed on the way, so it is a copy.

    `Damaged` where nothing can be read, or where an older eventyard wrote it.
    """
    new = connections.open_writer(str(target), vfs=None, synchronous="OFF", is_exclusive=True)
    try:
        migrate(new, str(target))
        first_pages.fill_up(source)
        if not first_pages.is_readable(source):
            first_pages.lend(source)
        covered = list(leaves.events_in(source, progress, _covered(source)))
        _take_log_in(source)
        old = _opened(source)
        try:
            return _Salvage(_Source(old, source, covered), new, progress, now_ms).run()
        finally:
            old.close()
    finally:
        connections.close_in_order(new)


def _covered(source: Path) -> list[int]:
    """The pages that the log will be written over: of a log that was cut they can be older than what a checkpoint had moved already."""
    with log_tail.content_of(files.log(source)) as content:
        header = log_tail.read_header(content, connections.PAGE_BYTES)
        return sorted({frame.page - 1 for _, frame in log_tail.frames(content, header)})


def _take_log_in(source: Path) -> None:
    """So that every page stands in the file. That goes page by page, whatever the pages hold."""
    with contextlib.suppress(apsw.Error), contextlib.closing(apsw.Connection(str(source))) as connection:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _opened(source: Path) -> apsw.Connection:
    if not first_pages.is_readable(source):
        raise Damaged(f"found that nothing of {source.name} can be read", wanted="a backup: eventyard restore FILE")
    connection = connections.open_reader(str(source), vfs=None)
    version = connection.pragma("user_version")
    if version != len(migrations()):
        connection.close()
        raise Damaged(
            f"found {source.name} malformed and of an older version ({version}), which cannot be brought up to today's",
            wanted="a repair by the eventyard that wrote it, or a backup",
        )
    return connection


def _rows(connection: apsw.Connection, name: str, *bindings: Any) -> list[Any]:
    return connection.execute(SQL[name], bindings).fetchall()


class _Source(msgspec.Struct, frozen=True):
    """Where rows are read from: over a connection, from the pages of the file, and `covered`, from pages that its log is now over."""

    connection: apsw.Connection
    path: Path
    covered: list[EventRow]


class _Salvage:
    def __init__(self, source: _Source, new: apsw.Connection, progress: Progress, now_ms: int) -> None:
        self._old = source.connection
        self._source = source
        self._new = new
        self._progress = progress
        self._now_ms = now_ms
        self._salvaged = Salvaged()

    def run(self) -> Salvaged:
        with self._new:
            self._walk("bus", 0, places.BUS_MAX)
            for bus in self._buses():
                self._save_bus(bus)
            self._walk("stub", 0, places.place(places.BUS_MAX, places.POSITION_MAX))
            for table in BY_NAME:
                self._save_named(table)
            self._stay_closed()
        with self._new:
            self._save_stray_events()
        if not _rows(self._new, "has_any")[0][0]:
            raise Damaged("found neither an event nor a bus in the store", wanted="a backup: eventyard restore FILE")
        with self._new:
            self._find_buses()
            self._agree()
        with self._new:
            self._remember_ids()
        return self._salvaged

    # Reading

    def _buses(self) -> list[int]:
        """Those with a row, and those that only have events left, the next one of which a look into the log tells."""
        found = {number for (number,) in _rows(self._new, "bus_numbers")}
        at: int | None = 0
        while at is not None:
            found.add(places.bus(at))
            after, end = places.place(places.bus(at) + 1, 0), places.place(places.BUS_MAX, places.POSITION_MAX)
            rows = event_rows_around(self._old, after, end, 1, DamageLog(is_told=False))
            at = rows[0][0] if rows else None
        return sorted(found)

    def _save_bus(self, bus: int) -> None:
        self._save_events(bus)
        for table in BY_BUS:
            unread = self._walk(table, 0, places.POSITION_MAX, bus)
            if table == "delivery" and unread:
                self._salvaged.unread[bus] = unread

    def _save_events(self, bus: int) -> None:
        """Whole ones only: a damaged one is as good as gone, and would be found again by everybody."""
        low, high = places.span(bus)
        quiet = DamageLog(is_told=False)
        while rows := event_rows_around(self._old, low, high, EVENTS_AT_ONCE, quiet):
            self._new.executemany(SQL["keep_event"], [row for row in rows if event_rows.is_whole(row)])
            low = rows[-1][0] + 1
            self._progress("saving events", places.position(low), 0)

    def _save_stray_events(self) -> None:
        """What no walk reaches; not what retention has taken, nor events of buses that were deleted.

        Which buses there are that have no row any more the log of the system bus tells, so that one comes first.
        """
        floors = {SYSTEM_BUS: 1} | dict(_rows(self._new, "bus_floors"))
        self._keep_strays(floors)
        rowless = {number: 1 for number in (*self._recorded(), _DEFAULT_BUS) if number not in floors}
        if rowless:
            self._keep_strays(rowless)

    def _keep_strays(self, floors: dict[int, int]) -> None:
        """`floors`: by bus that is wanted, the first position that is."""
        found = itertools.chain(self._source.covered, leaves.events_in(self._source.path, self._progress))
        wanted = (row for row in found if places.position(row[0]) >= floors.get(places.bus(row[0]), places.POSITION_MAX))
        while part := list(islice(wanted, EVENTS_AT_ONCE)):
            self._new.executemany(SQL["keep_event"], part)

    def _walk(self, table: str, low: int, high: int, bus: int | None = None) -> list[Stretch]:
        """Save a table's rows from both ends. What neither walk came through, of what is not simply empty."""
        self._progress(f"saving {table}", 0, 0)
        extra = () if bus is None else (bus,)
        keep = SQL[f"keep_{table}"]
        skipped: list[list[Stretch]] = []
        for direction in ("up", "down"):
            walk = _Walk(self._old, SQL[f"walk_{table}_{direction}"], (low, high), extra, is_down=direction == "down")
            rows = walk.rows()
            while part := list(islice(rows, ROWS_AT_ONCE)):
                self._keep(keep, self._readable(table, part))
            skipped.append(walk.skipped)
            if not walk.skipped:
                return []
        unread = _in_both(*skipped)
        if unread and table != "delivery":
            self._salvaged.tables.append(table)
        return unread

    def _readable(self, table: str, rows: list[Row]) -> list[Row]:
        """Without rows whose record is none any more: a bus is found again otherwise, a rule has to be put again."""
        if table not in record_rows.KINDS:
            return rows
        at = 1 if table == "bus" else -1
        kept = [row for row in rows if record_rows.is_readable(table, row[at])]
        if len(kept) < len(rows) and table != "bus":
            self._salvaged.tables.append(table)
        return kept

    def _keep(self, statement: str, rows: list[Row]) -> None:
        """Rows of a damaged page may hold values of any type, which a strict table refuses."""
        try:
            self._new.executemany(statement, rows)
        except (apsw.ConstraintError, apsw.MismatchError):
            for row in rows:
                self._keep_one(statement, row)

    def _keep_one(self, statement: str, row: Row) -> None:
        try:
            self._new.execute(statement, row)
        except (apsw.ConstraintError, apsw.MismatchError):
            self._salvaged.tables.append(f"a row with values of other kinds ({row[:2]})")

    def _save_named(self, table: str) -> None:
        """Texts are no numbers: what is behind a bad page at both ends is given up."""
        for direction in ("up", "down"):
            try:
                for row in self._old.execute(SQL[f"walk_{table}_{direction}"]):
                    self._keep(SQL[f"keep_{table}"], self._readable(table, [row]))
            except apsw.CorruptError:
                self._salvaged.tables.append(table)
            else:
                return

    def _stay_closed(self) -> None:
        """A bus that may have lost its last key would ask nobody for one. A key that opens nothing stands for those that are gone."""
        if "access_key" in self._salvaged.tables:
            lost = AccessKey(
                "00000000", b"", "lost", Grant(()), created_ms=self._now_ms, revoked_ms=self._now_ms, revoked_by="repair"
            )
            self._keep(SQL["keep_access_key"], [(lost.id, msgspec.json.encode(lost))])

    # Making it hang together

    def _find_buses(self) -> None:
        """Rows for buses of which only the log is left, and records for rows whose record is none."""
        has = {number for number, _ in _rows(self._new, "bus_records")}
        with_log = {number for (number,) in _rows(self._new, "missing_buses")}
        known = self._recorded()
        for number in sorted((with_log | known.keys()) - has):
            record = known.get(number) or BusRecord(number, f"bus-{number}", "", self._now_ms)
            self._salvaged.buses.append(record.name)
            self._add_bus(record)

    def _recorded(self) -> dict[int, BusRecord]:
        """What the log of the system bus tells of buses: created at the position that is their number, and not deleted since."""
        records = {SYSTEM_BUS: BusRecord(SYSTEM_BUS, "system", "", self._now_ms)}
        for place, accepted_ms, json in _rows(self._new, "window_events", *places.span(SYSTEM_BUS), -1):
            document = msgspec.json.decode(json)
            name = document.get("data", {}).get("name", "")
            if document["type"] == BUS_CREATED:
                records[places.position(place)] = BusRecord(places.position(place), name, "", accepted_ms)
            elif document["type"] == BUS_DELETED:
                records = {number: record for number, record in records.items() if record.name != name}
        return records

    def _add_bus(self, record: BusRecord) -> None:
        first, last, time_ms, size = self._log_ends(record.number)
        work_ms = _rows(self._new, "work_reached")[0][0]
        self._new.execute(SQL["drop_bus"], (record.number,))
        row = (record.number, msgspec.json.encode(record), last, time_ms, work_ms, max(first, 1), size)
        self._new.execute(SQL["add_bus"], row)

    def _log_ends(self, bus: int) -> tuple[int, int, int, int]:
        first, last, time_ms, size = (value or 0 for value in _rows(self._new, "log_ends", *places.span(bus))[0])
        return first, last, time_ms, size

    def _agree(self) -> None:
        """Heads are not below the last event, lanes have heads, nothing is owed to a rule that is not there, counts are those of the rows."""
        for (number,) in _rows(self._new, "bus_numbers"):
            _, last, _, size = self._log_ends(number)
            self._new.execute(SQL["lift_head"], (number, last, size))
        self._salvaged.rules = _rows(self._new, "lacking_rules")
        self._salvaged.orphans = dict(_rows(self._new, "orphans"))
        note = encode_note(Note(reason=Reason.DAMAGED, at_ms=self._now_ms))
        self._new.execute(SQL["discard_orphans"], (self._now_ms, note))
        recount(self._new)

    # The dedup window

    def _remember_ids(self) -> None:
        """Closed segments as the engine would have made them; what is left behind the last one it reads by itself."""
        for number, head in _rows(self._new, "bus_heads"):
            ids = self._ids(number, max(1, head - limits.DEDUP_WINDOW_IDS + 1))
            segment = 0
            while len(part := list(islice(ids, LAYOUT.segment_ids))) == LAYOUT.segment_ids:
                self._progress("remembering ids", part[-1][0], head)
                first, last = part[0][0], part[-1][0]
                held = {key: position - first for position, _, key in part}
                id_segments.write(self._new, number, Segment(segment, first, last, part[-1][1]), held)
                segment += 1

    def _ids(self, bus: int, first: int) -> Iterator[tuple[int, int, int]]:
        """Position, time and hash of everything that the window knows, in order."""
        low, high = places.span(bus, first)
        stubs = [
            (places.position(place), at_ms, hashed + (1 << 63))
            for place, at_ms, hashed in _rows(self._new, "window_stubs", low, high)
        ]
        yield from stubs
        low = places.place(bus, max(first, stubs[-1][0] + 1 if stubs else first))
        while rows := _rows(self._new, "window_events", low, high, ROWS_AT_ONCE):
            for place, at_ms, json in rows:
                document = msgspec.json.decode(json)
                yield places.position(place), at_ms, hash_id(document["source"], document["id"])
            low = rows[-1][0] + 1


def recount(connection: apsw.Connection) -> None:
    """Make the kept counts those of the rows; of ended deliveries that retention has removed they go on telling."""
    connection.execute(SQL["unblock"])
    connection.execute(SQL["drop_counts"])
    connection.execute(SQL["clear_counts"])
    connection.execute(SQL["recount"])


class _Walk:
    """The rows between two numbers, which are their first column, in one direction; `skipped` is what could not be read."""

    def __init__(
        self, connection: apsw.Connection, statement: str, span: Stretch, extra: tuple[int, ...], *, is_down: bool
    ) -> None:
        self._connection = connection
        self._statement = statement
        self._low, self._high = span
        self._extra = extra
        self._is_down = is_down
        self.skipped: list[Stretch] = []

    def rows(self) -> Iterator[Row]:
        while self._low <= self._high:
            try:
                yield from self._good_rows()
            except apsw.CorruptError:
                self._skip()
            else:
                return

    def _good_rows(self) -> Iterator[Row]:
        for row in self._query(self._low, self._high):
            if not isinstance(row[0], int) or not self._low <= row[0] <= self._high:
                raise apsw.CorruptError("a row of another place")
            self._low, self._high = (self._low, row[0]) if self._is_down else (row[0], self._high)
            yield row

    def _query(self, low: int, high: int) -> apsw.Cursor:
        return self._connection.execute(self._statement, (low, high, *self._extra))

    def _skip(self) -> None:
        """Go on behind the bad place: by strides that double from where it stopped."""
        size, stride = self._high - self._low + 1, 1
        while stride < size and not self._can_enter(stride):
            stride *= 2
        stride = min(stride, size)
        if self._is_down:
            self.skipped.append((self._high - stride + 1, self._high))
            self._high -= stride
        else:
            self.skipped.append((self._low, self._low + stride - 1))
            self._low += stride

    def _can_enter(self, stride: int) -> bool:
        low, high = (self._low, self._high - stride) if self._is_down else (self._low + stride, self._high)
        try:
            row = next(iter(self._query(low, high)), None)
        except apsw.CorruptError:
            return False
        return row is None or (isinstance(row[0], int) and low <= row[0] <= high)


def _in_both(up: list[Stretch], down: list[Stretch]) -> list[Stretch]:
    """What both walks skipped."""
    return [
        stretch
        for first, last in up
        for begin, end in down
        if (stretch := (max(first, begin), min(last, end)))[0] <= stretch[1]
    ]
