"""Reading what is committed: bounded scans of the log and pages of dead letters."""

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
    """Read until the page is full, the range ends, or the scan has looked at as much as one request may."""
    first, last = _range(view, state, query)
    read_max = query.limit if query.pattern is None else limits.SCAN_EVENTS_MAX
    stored = view.events(state.record.number, first, last, read_max, is_descending=query.is_descending)
    events: list[StoredEvent] = []
    for event in stored:
        if query.pattern is None or evaluate(query.pattern, decode(event.json)):
            events.append(event)
        if len(events) == query.limit:
            return EventPage(events, _next_after(event.position, first, last, query))
    return EventPage(events, _next_after(stored[-1].position, first, last, query) if len(stored) == read_max else None)


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
