"""Looking for damage in the log: every checksum, and no position absent that nothing explains.

Above the retention floor positions are dense, so a row that is gone shows as well as one that was changed. Three look: the start at
what was committed since the last time, the scrubber at everything in turn, and `doctor` at everything at once.
"""

import contextlib
from collections.abc import Iterable, Sequence

import apsw
import msgspec

from eventyard.core import limits
from eventyard.core.errors import EventyardError
from eventyard.core.loss import Gap, Verified, outside, without_gaps
from eventyard.engines.sqlite import event_rows
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.connection import failures_named, rows
from eventyard.engines.sqlite.damage import DamageLog, Stretch
from eventyard.engines.sqlite.event_rows import EventRow
from eventyard.engines.sqlite.marks import Standing
from eventyard.engines.sqlite.reading import event_rows_around
from eventyard.engines.sqlite.statements import SQL

ROWS_AT_ONCE = 64
"""Read before their bytes are counted: 64 MiB of the largest events."""


class Bounds(msgspec.Struct, frozen=True):
    """How much one look may read."""

    events: int
    bytes: int


def one_step() -> Bounds:
    return Bounds(limits.SCRUB_EVENTS_PER_STEP, limits.SCRUB_BYTES_PER_STEP)


class Verification:
    """How far each bus was looked at since its events were written, kept in the database so that the next start knows."""

    def __init__(self, damage: DamageLog) -> None:
        self._damage = damage
        self._reached: dict[int, int] = {}
        self._stored: dict[int, int] = {}

    def begin(self, connection: apsw.Connection, standings: Sequence[Standing]) -> None:
        """Look at what was committed since the last time, the oldest first. What is beyond the bound is left to the scrubber."""
        self._stored = {bus.number: bus.verified for bus in standings}
        self._reached = dict(self._stored)
        self._look_at_new(connection, [(bus.number, bus.mark.head) for bus in standings if not bus.is_deleted])

    def reached(self, bus: int) -> int:
        """Everything up to this position was looked at once."""
        return self._reached.get(bus, 0)

    def look(self, connection: apsw.Connection, bus: int, first: int, last: int) -> Verified:
        """Look at a bounded part of the log. From any thread, over a connection of its own."""
        looked = verify(connection, bus, (first, last), one_step(), self._damage)
        if first <= self.reached(bus) + 1 and looked.last > self.reached(bus):
            self._reached[bus] = looked.last
        return looked

    def store(self, connection: apsw.Connection) -> None:
        """Keep how far it has come. On the writer's thread; where it fails the next start looks at more, and that is all."""
        moved = [(at, bus) for bus, at in list(self._reached.items()) if at > self._stored.get(bus, 0)]
        if not moved:
            return
        with contextlib.suppress(apsw.Error), connection:
            connection.executemany(SQL["set_verified"], moved)
            self._stored |= {bus: at for at, bus in moved}

    def finish(self, connection: apsw.Connection, heads: Iterable[tuple[int, int]]) -> None:
        """At a clean end: look at the rest, within the same bound as at the start, so that the next start has nothing to do."""
        with contextlib.suppress(EventyardError):
            self._look_at_new(connection, heads)
        self.store(connection)

    def _look_at_new(self, connection: apsw.Connection, heads: Iterable[tuple[int, int]]) -> None:
        left = Bounds(limits.VERIFIED_AT_START_EVENTS_MAX, limits.VERIFIED_AT_START_BYTES_MAX)
        for bus, head in heads:
            if self.reached(bus) < head and left.events > 0 and left.bytes > 0:
                left = self._look_on(connection, bus, head, left)

    def _look_on(self, connection: apsw.Connection, bus: int, head: int, left: Bounds) -> Bounds:
        """What of the bounds is left then. In parts, so that no read transaction lasts long."""
        while self.reached(bus) < head and left.events > 0 and left.bytes > 0:
            looked = self.look(connection, bus, self.reached(bus) + 1, head)
            left = Bounds(left.events - one_step().events, left.bytes - looked.bytes)
        return left


def verify(connection: apsw.Connection, bus: int, stretch: Stretch, bounds: Bounds, damage: DamageLog) -> Verified:
    """Look at a stretch, from its first position on as far as `bounds` allow, in one read transaction: retention may take rows away meanwhile."""
    with failures_named(connection.filename):
        connection.execute("BEGIN")
        try:
            return _Look(connection, bus, stretch[0], damage).run(stretch[1], bounds)
        finally:
            connection.execute("ROLLBACK")


class _Look:
    """One stretch of one bus. It is told damage as a `DamageLog` is, counts it, and hands it on."""

    def __init__(self, connection: apsw.Connection, bus: int, first: int, damage: DamageLog) -> None:
        self._connection = connection
        self._bus = bus
        self._damage = damage
        self._found = 0
        self._bytes = 0
        self._gaps = load_gaps(connection, bus)
        self._unreadable: list[Stretch] = []
        self._next = first
        self._expected = max(first, floor(connection, bus))
        """The first position that has to be there; below the floor none has to."""

    def run(self, last: int, bounds: Bounds) -> Verified:
        events = 0
        while self._next <= last and events < bounds.events and self._bytes < bounds.bytes:
            low, high = places.span(self._bus, self._next, last)
            wanted = min(ROWS_AT_ONCE, bounds.events - events)
            found = event_rows_around(self._connection, low, high, wanted, self)
            for row in found:
                self._check(row)
            events += len(found)
            if len(found) < wanted:
                self._expect(last)
                self._next = last + 1
        return Verified(self._next - 1, self._found, self._bytes)

    def _check(self, row: EventRow) -> None:
        position = places.position(row[0])
        self._expect(position - 1)
        if event_rows.is_whole(row):
            self._bytes += len(row[-1])
        else:
            self._found += 1
            self._damage.add(self._bus, position)
        self._next = position + 1
        self._expected = max(self._expected, self._next)

    def _expect(self, last: int) -> None:
        """Everything up to `last` was to be there, and what was not read by now is not."""
        for first, until in without_gaps(self._gaps, self._expected, last):
            for begin, end in outside(self._unreadable, first, until):
                self._found += end - begin + 1
                self._damage.add_stretch(self._bus, begin, end)
        self._expected = max(self._expected, last + 1)

    def add_stretch(self, bus: int, first: int, last: int) -> None:
        """Positions that cannot be read. They are told while rows before them are still to be checked."""
        self._unreadable.append((first, last))
        self._found += last - first + 1
        self._damage.add_stretch(bus, first, last)


def load_gaps(connection: apsw.Connection, bus: int) -> tuple[Gap, ...]:
    """What repairs have given up, in order."""
    return tuple(Gap(*row) for row in rows(connection, "gaps", bus))


def floor(connection: apsw.Connection, bus: int) -> int:
    """From where on the log of a bus is dense."""
    found = rows(connection, "bus_floor", bus)
    return int(found[0][0]) if found else 1
