"""The questions of `core.view.View`, answered from the file over one connection."""

from collections.abc import Callable, Sequence

import apsw

from eventyard.core.changes import StoredEvent
from eventyard.core.delivery import Delivery, Key, State
from eventyard.core.view import Known
from eventyard.engines.sqlite import event_rows
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.connection import rows
from eventyard.engines.sqlite.damage import DamageLog
from eventyard.engines.sqlite.ids import IdIndex

STATES = tuple(State)
"""A state by its number: ten times as fast as `State(number)`."""

_EVER = (1 << 63) - 1


class SqliteView:
    """`core.view.View`. `ids` gives the index to ask: the writer's own, or, on a reader, a new one for each question."""

    def __init__(self, connection: apsw.Connection, damage: DamageLog, ids: Callable[[], IdIndex]) -> None:
        self._connection = connection
        self._damage = damage
        self._ids = ids

    def find_ids(self, bus: int, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Known]:
        return self._ids().find(self._connection, bus, ids)

    def event(self, bus: int, position: int) -> StoredEvent | None:
        found = self.events(bus, position, position, 1)
        return found[0] if found else None

    def events(self, bus: int, first: int, last: int, limit: int, *, is_descending: bool = False) -> list[StoredEvent]:
        """Reads on past damaged events, so fewer than `limit` always means that the range has no more."""
        low, high = places.span(bus, first, last)
        events: list[StoredEvent] = []
        while len(events) < limit and low <= high:
            wanted = limit - len(events)
            found = rows(self._connection, "events_descending" if is_descending else "events_ascending", low, high, wanted)
            events += event_rows.from_rows(found, self._damage)
            if len(found) < wanted:
                break
            low, high = (low, found[-1][0] - 1) if is_descending else (found[-1][0] + 1, high)
        return events

    def position_at(self, bus: int, time_ms: int) -> int:
        """By halves, since accepted time never runs backwards: about 24 events read in a log of ten million."""
        head = self._head(bus)
        low, high = 1, head + 1
        while low < high:
            middle = (low + high) // 2
            found = self.events(bus, middle, high - 1, 1)
            if found and found[0].accepted_ms < time_ms:
                low = found[0].position + 1
            else:
                high = middle
        found = self.events(bus, low, head, 1)
        return found[0].position if found else head + 1

    def delivery(self, bus: int, key: Key) -> Delivery | None:
        rule, run, position = key
        found = self._deliveries("delivery", bus, position, rule, run)
        return found[0] if found else None

    def due(self, bus: int, rule: int, work_ms: int, limit: int) -> list[Delivery]:
        return self._deliveries("due", bus, rule, work_ms, limit)

    def next_due(self, bus: int, rule: int) -> int | None:
        found = rows(self._connection, "next_due", bus, rule)
        return found[0][0] if found else None

    def waiting(self, bus: int, rule: int, limit: int) -> list[Delivery]:
        return self._deliveries("waiting", bus, rule, limit)

    def leased(self, bus: int, rule: int) -> list[Delivery]:
        """Every leased delivery of the rule, in no order."""
        return self._deliveries("leased", bus, rule)

    def dead(self, bus: int, rule: int, after: tuple[int, int], limit: int, *, until_ms: int | None = None) -> list[Delivery]:
        return self._deliveries("dead", bus, rule, *after, _EVER if until_ms is None else until_ms, limit)

    def holds(self, bus: int) -> bool:
        return bool(rows(self._connection, "holds", bus, *places.span(bus))[0][0])

    def _head(self, bus: int) -> int:
        found = rows(self._connection, "bus_head", bus)
        return found[0][0] if found else 0

    def _deliveries(self, name: str, *bindings: int) -> list[Delivery]:
        return [
            Delivery(rule, run, position, STATES[state], at_ms, attempts, leases, first_ms, note)
            for rule, run, position, state, at_ms, attempts, leases, first_ms, note in rows(self._connection, name, *bindings)
        ]
