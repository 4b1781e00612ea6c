"""Reading what is committed: bounded scans of the log and pages of dead letters."""

from collections.abc import Iterator

import msgspec

from eventyard.core import limits
from eventyard.core.bus_state import BusState
from eventyard.core.changes import StoredEvent
from eventyard.core.delivery import Delivery, delivery_id
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import Pattern
from eventyard.core.strict_json import decode
from eventyard.core.view import View


class Query(msgspec.Struct, frozen=True):
    """Events after position `after` (before it when descending; 0: from the end), accepted in [from_ms, until_ms), that match."""

    after: int = 0
    limit: int = 100
    from_ms: int | None = None
    until_ms: int | None = None
    pattern: Pattern | None = None
    is_descending: bool = False


class EventPage(msgspec.Struct, frozen=True):
    """At most `limit` events of one bounded scan. `next_after` continues it (None: it reached its end)."""

    events: list[StoredEvent]
    next_after: int | None


class DeadLetter(msgspec.Struct, frozen=True):
    """A dead delivery under its id, with its event (None: the event is damaged)."""

    id: str
    delivery: Delivery
    event: StoredEvent | None


class DeadLetterPage(msgspec.Struct, frozen=True):
    """`next_after` is the (position, run) to continue after."""

    dead_letters: list[DeadLetter]
    next_after: tuple[int, int] | None


def scan(view: View, state: BusState, query: Query) -> EventPage:
    """Look at events until the page is full in number or bytes, the range ends, or one request has looked at enough."""
    first, last = _range(view, state, query)
    found: list[StoredEvent] = []
    held = 0
    for looked, event in enumerate(_read(view, state.record.number, first, last, query), 1):
        if query.pattern is None or evaluate(query.pattern, decode(event.json)):
            held += len(event.json)
            if found and held > limits.ANSWER_BYTES_MAX:
                return EventPage(found, event.position + (1 if query.is_descending else -1))
            found.append(event)
        if len(found) == query.limit or looked == limits.SCAN_EVENTS_MAX:
            return EventPage(found, _next_after(event.position, first, last, query))
    return EventPage(found, None)


def _read(view: View, number: int, first: int, last: int, query: Query) -> Iterator[StoredEvent]:
    """The range event by event, of which few are in memory at a time."""
    while first <= last:
        stored = view.events(number, first, last, limits.SCAN_EVENTS_AT_ONCE, is_descending=query.is_descending)
        yield from stored
        if len(stored) < limits.SCAN_EVENTS_AT_ONCE:
            return
        first, last = (first, stored[-1].position - 1) if query.is_descending else (stored[-1].position + 1, last)


def _range(view: View, state: BusState, query: Query) -> tuple[int, int]:
    number = state.record.number
    first = view.position_at(number, query.from_ms) if query.from_ms is not None else 1
    last = view.position_at(number, query.until_ms) - 1 if query.until_ms is not None else state.head
    if query.is_descending:
        return first, min(last, query.after - 1) if query.after else last
    return max(first, query.after + 1), last


def _next_after(position: int, first: int, last: int, query: Query) -> int | None:
    is_end = position <= first if query.is_descending else position >= last
    return None if is_end else position


def dead_letters(view: View, state: BusState, uid: int, after: tuple[int, int], limit: int) -> DeadLetterPage:
    number, incarnation = state.record.number, state.record.incarnation
    rows = view.dead(number, uid, after, limit)
    letters = [
        DeadLetter(delivery_id(incarnation, row.rule, row.position, row.run), row, view.event(number, row.position))
        for row in rows
    ]
    return DeadLetterPage(letters, (rows[-1].position, rows[-1].run) if len(rows) == limit else None)
