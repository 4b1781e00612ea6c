"""Reading the log around pages that cannot be read, so that one bad page hides its own events and no others.

A page of the log holds a few events, or a part of one. Where SQLite meets a bad one it says that the whole file is malformed; and one that
is whole in itself but belongs elsewhere (a write that went astray) makes a reader leap over everything between. But the tree can
be entered anew behind either. So rows that follow one another are taken as they come, and where they do not, the places that were leapt over
are tried in strides that double, and the last stride is halved until it is known where the log goes on.

Positions are dense, so a healthy read is one statement and a look at its two ends; only gaps and what retention left standing cost more.
"""

import contextlib
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import apsw

from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.connection import failure
from eventyard.engines.sqlite.event_rows import EventRow
from eventyard.engines.sqlite.statements import SQL

BACKWARDS_AT_ONCE = 50
"""Places that one stride backwards tries first: few enough to be held in memory at their largest."""


class Unreadable(Protocol):
    """Whoever is told what could not be read, as `DamageLog` is."""

    def add_stretch(self, bus: int, first: int, last: int) -> None: ...


def event_rows_around(
    connection: apsw.Connection, low: int, high: int, limit: int, damage: Unreadable, *, is_descending: bool = False
) -> list[EventRow]:
    """At most `limit` rows of the places `low` to `high`; fewer only where there are no more. What cannot be read is told to `damage`."""
    if low > high:
        return []
    try:
        name = "events_descending" if is_descending else "events_ascending"
        found: Any = connection.execute(SQL[name], (low, high, limit)).fetchall()
        if _is_dense(found, low, high, limit, is_descending=is_descending):
            return list(found)
    except apsw.CorruptError:
        pass
    except apsw.Error as error:
        raise failure(error, connection.filename) from error
    read = _read_backwards if is_descending else _read
    with _one_state(connection):
        return read(connection, low, high, limit, damage)


@contextlib.contextmanager
def _one_state(connection: apsw.Connection) -> Iterator[None]:
    """All statements see one state: what retention takes away between two of them would pass for damaged."""
    if connection.in_transaction:
        yield
        return
    try:
        connection.execute("BEGIN")
    except apsw.Error as error:
        raise failure(error, connection.filename) from error
    try:
        yield
    finally:
        with contextlib.suppress(apsw.Error):
            connection.execute("ROLLBACK")


def event_rows_at(connection: apsw.Connection, wanted: Sequence[int], damage: Unreadable) -> list[EventRow]:
    """The rows at these places, without those that are not there or cannot be read. One statement for all, where that can be."""
    try:
        found: Any = connection.execute(SQL["events_at"], (apsw.carray(array("q", wanted)),)).fetchall()
    except apsw.CorruptError:
        return [row for at in wanted for row in event_rows_around(connection, at, at, 1, damage)]
    except apsw.Error as error:
        raise failure(error, connection.filename) from error
    return list(found)


def _is_dense(found: list[EventRow], low: int, high: int, limit: int, *, is_descending: bool) -> bool:
    """Whether these are the rows of consecutive places from the near end on, as many as were asked for or there can be."""
    if len(found) < min(limit, high - low + 1):
        return False
    count = len(found)
    places_wanted = range(high, high - count, -1) if is_descending else range(low, low + count)
    return [row[0] for row in found] == list(places_wanted)


def _read_backwards(connection: apsw.Connection, low: int, high: int, limit: int, damage: Unreadable) -> list[EventRow]:
    """Forwards, in windows that begin at the far end. An empty window makes the next one wider."""
    found: list[EventRow] = []
    window = BACKWARDS_AT_ONCE
    while low <= high and len(found) < limit:
        first = max(low, high - window + 1)
        part = _read(connection, first, high, window, damage)
        found += part[::-1]
        high = first - 1
        window = BACKWARDS_AT_ONCE if part else window * 2
    return found[:limit]


def _read(connection: apsw.Connection, low: int, high: int, limit: int, damage: Unreadable) -> list[EventRow]:
    found: list[EventRow] = []
    try:
        while low <= high and len(found) < limit:
            run = _consecutive(connection, low, high, limit - len(found))
            found += run
            low += len(run)
            if low <= high and len(found) < limit:
                low = _leap(connection, low, high, damage)
    except apsw.Error as error:
        raise failure(error, connection.filename) from error
    return found


def _consecutive(connection: apsw.Connection, low: int, high: int, limit: int) -> list[EventRow]:
    """Rows from `low` on, up to the first that is not the next one."""
    found: list[EventRow] = []
    try:
        for row in connection.execute(SQL["events_ascending"], (low, high, limit)):
            if row[0] != low + len(found):
                break
            found.append(row)
    except apsw.CorruptError:
        pass
    return found


def _leap(connection: apsw.Connection, low: int, high: int, damage: Unreadable) -> int:
    """The next place that can be read; one past `high` where there is none. There is no row at `low`, or none that can be read."""
    readable = _first(connection, low + 1, high)
    nearer = _search(connection, low, high if readable is None else readable - 1)
    at = readable if nearer is None else nearer
    beyond = high + 1 if at is None else at
    if nearer is not None or not _is_absent(connection, low, high, readable):
        damage.add_stretch(places.bus(low), places.position(low), places.position(beyond - 1))
    return beyond


def _is_absent(connection: apsw.Connection, low: int, high: int, readable: int | None) -> bool:
    """Whether the tree says in good order that it holds nothing from `low` on before what can be read."""
    try:
        said: Any = connection.execute(SQL["next_place"], (low, high)).get
    except apsw.CorruptError:
        return False
    return bool(said == readable)


def _search(connection: apsw.Connection, low: int, high: int) -> int | None:
    """The first place behind `low`, up to `high`, at which the tree can be entered and holds what it should."""
    failing, stride = 0, 1
    while low + stride <= high and _first(connection, low + stride, high) is None:
        failing, stride = stride, stride * 2
    if low + stride > high and (failing == high - low or _first(connection, high, high) is None):
        return None
    entering = min(stride, high - low)
    while entering - failing > 1:
        middle = (failing + entering) // 2
        if _first(connection, low + middle, high) is None:
            failing = middle
        else:
            entering = middle
    return _first(connection, low + entering, high)


def _first(connection: apsw.Connection, low: int, high: int) -> int | None:
    """The place of the first row from `low` on; None where there is none, or none that can be read."""
    try:
        found = connection.execute(SQL["events_ascending"], (low, high, 1)).fetchall()
    except apsw.CorruptError:
        return None
    at: Any = found[0][0] if found else None
    return at if isinstance(at, int) and low <= at <= high else None
