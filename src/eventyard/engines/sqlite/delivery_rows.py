"""Rows of deliveries as one commit writes them, and of each rule how many went where.

A consumer takes and settles what follows each other: the rows of a batch are then alike but for their positions. Such a stretch is one
UPDATE over a range, which costs half of writing the rows one by one: SQLite walks instead of searching, and nothing is bound.
"""

from collections.abc import Iterator, Sequence

import apsw

from eventyard.core.changes import Changes, Moved
from eventyard.core.delivery import Delivery
from eventyard.engines.sqlite.statements import SQL, insert_all

STRETCH_ROWS_MIN = 8
"""Rows that make a statement of their own worth its while: one costs about as much as four rows, and is one more place where
other threads get in (`insert_all`)."""

Row = tuple[int | bytes, ...]


def write(connection: apsw.Connection, changes: Changes) -> None:
    bus = changes.bus
    rows = [_row(bus, put) for put in changes.puts]
    for stretch in _stretches(changes.moves):
        if len(stretch) >= STRETCH_ROWS_MIN and stretch[0].was.is_pending:
            _write_stretch(connection, bus, stretch)
        else:
            rows += [_row(bus, move.now) for move in stretch]
    insert_all(connection, "set_delivery", rows)
    insert_all(connection, "add_tally", ((bus, rule, run, *delta) for (rule, run), delta in changes.tally.items()))


def _stretches(moves: Sequence[Moved]) -> Iterator[Sequence[Moved]]:
    """Cut wherever one is not like the one before it at the next position."""
    start = 0
    for at in range(1, len(moves)):
        if not _goes_on(moves[at - 1], moves[at]):
            yield moves[start:at]
            start = at
    if moves:
        yield moves[start:]


def _goes_on(before: Moved, move: Moved) -> bool:
    """Spelled out rather than compared as tuples: this is asked of every row, and mostly answered by the first two."""
    one, other = before.now, move.now
    return (
        other.position == one.position + 1
        and other.at_ms == one.at_ms
        and other.rule == one.rule
        and other.run == one.run
        and other.state is one.state
        and move.was is before.was
        and other.attempts == one.attempts
        and other.leases == one.leases
        and other.first_ms == one.first_ms
        and other.note == one.note
    )


def _write_stretch(connection: apsw.Connection, bus: int, stretch: Sequence[Moved]) -> None:
    """No other row of this rule and run can stand between: each position of the stretch is one of its own.

    Each keeps its lane, which a delivery has from its put on; only a redrive of an ended one may give it another.
    """
    now = stretch[0].now
    key = (bus, now.rule, now.run, now.position, stretch[-1].now.position)
    connection.execute(SQL["set_stretch"], (*key, now.state, now.at_ms, now.attempts, now.leases, now.first_ms, now.note))


def _row(bus: int, delivery: Delivery) -> Row:
    return (
        bus,
        delivery.position,
        delivery.rule,
        delivery.run,
        delivery.state,
        delivery.at_ms,
        delivery.attempts,
        delivery.leases,
        delivery.first_ms,
        delivery.lane,
        delivery.note,
    )
