"""The questions of `core.view.View`, answered from the file over one connection."""

from array import array
from collections.abc import Callable, Sequence
from operator import lt
from typing import Any

import apsw
import msgspec

from eventyard.core.changes import StoredEvent
from eventyard.core.delivery import Delivery, Key, State
from eventyard.core.emitter import Kept
from eventyard.core.rule_history import RuleVersion, VersionKey
from eventyard.core.view import Known
from eventyard.engines.sqlite import event_rows, record_rows
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.connection import rows
from eventyard.engines.sqlite.damage import DamageLog
from eventyard.engines.sqlite.ids import IdIndex
from eventyard.engines.sqlite.reading import event_rows_around, event_rows_at

STATES = tuple(State)
"""A state by its number: ten times as fast as `State(number)`."""

_EVER = (1 << 63) - 1


class SqliteView:
    """`core.view.View`. `ids` gives the index to ask: the writer's own, or, on a reader, a new one for each question."""

    def __init__(self, connection: apsw.Connection, damage: DamageLog, ids: Callable[[], IdIndex]) -> None:
        self._connection = connection
        self._damage = damage
        self._ids = ids

    def floor(self, bus: int) -> int:
        found = rows(self._connection, "bus_floor", bus)
        return found[0][0] if found else 1

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
            found = event_rows_around(self._connection, low, high, wanted, self._damage, is_descending=is_descending)
            events += event_rows.from_rows(found, self._damage)
            if len(found) < wanted:
                break
            low, high = (low, found[-1][0] - 1) if is_descending else (found[-1][0] + 1, high)
        return events

    def events_at(self, bus: int, positions: Sequence[int]) -> dict[int, StoredEvent]:
        """One statement for all: each lets other threads in, and getting back in costs more than the reading."""
        found = event_rows.from_rows(self._rows_at(bus, positions), self._damage)
        return {event.position: event for event in found}

    def bodies_at(self, bus: int, positions: Sequence[int]) -> dict[int, bytes]:
        return event_rows.bodies(bus, self._rows_at(bus, positions), self._damage)

    def _rows_at(self, bus: int, positions: Sequence[int]) -> list[event_rows.EventRow]:
        """An unbroken stretch is read as one: half the cost of looking each row up."""
        if not positions:
            return []
        first, last = positions[0], positions[-1]
        if last - first + 1 == len(positions) and all(map(lt, positions, positions[1:])):
            return event_rows_around(self._connection, *places.span(bus, first, last), len(positions), self._damage)
        return event_rows_at(self._connection, [places.place(bus, position) for position in positions], self._damage)

    def derived(self, bus: int, cause: int, after: int, limit: int) -> list[int]:
        return [position for (position,) in rows(self._connection, "derived", bus, cause, after, limit)]

    def cause_of(self, bus: int, position: int) -> int | None:
        found = rows(self._connection, "cause_of", bus, position)
        return found[0][0] if found else None

    def position_at(self, bus: int, time_ms: int) -> int:
        """Accepted time never runs backwards."""
        return self._first(bus, lambda event: event.accepted_ms >= time_ms)

    def position_at_offset(self, bus: int, offset: int) -> int:
        return self._first(bus, lambda event: event.offset >= offset)

    def _first(self, bus: int, is_reached: Callable[[StoredEvent], bool]) -> int:
        """The first event that has it, by halves, as all after it have it too: about 24 events read in a log of ten million."""
        head = self._head(bus)
        low, high = 1, head + 1
        while low < high:
            middle = (low + high) // 2
            found = self.events(bus, middle, high - 1, 1)
            if found and not is_reached(found[0]):
                low = found[0].position + 1
            else:
                high = middle
        found = self.events(bus, low, head, 1)
        return found[0].position if found else head + 1

    def delivery(self, bus: int, key: Key) -> Delivery | None:
        rule, run, position = key
        found = self._deliveries("delivery", bus, position, rule, run)
        return found[0] if found else None

    def deliveries(self, bus: int, keys: Sequence[Key]) -> list[Delivery]:
        by_queue: dict[tuple[int, int], list[int]] = {}
        for rule, run, position in keys:
            by_queue.setdefault((rule, run), []).append(position)
        return [
            row
            for (rule, run), positions in by_queue.items()
            for row in self._deliveries("deliveries", bus, rule, run, apsw.carray(array("q", positions)))
        ]

    def due(self, bus: int, rule: int, run: int, work_ms: int, limit: int) -> list[Delivery]:
        return self._deliveries("due", bus, rule, run, work_ms, limit)

    def next_due(self, bus: int, rule: int, run: int) -> int | None:
        found = rows(self._connection, "next_due", bus, rule, run)
        return found[0][0] if found else None

    def pending(
        self, bus: int, rule: int, limit: int, *, run: int | None = None, below: int = 0, is_leased_too: bool = True
    ) -> list[Delivery]:
        end, least = below or _EVER, State.LEASED if is_leased_too else State.BLOCKED
        found = self._deliveries("queued", bus, rule, run, end, limit)
        if len(found) < limit:
            found += self._deliveries("held", bus, rule, run, end, int(least), limit - len(found))
        return found

    def oldest(self, bus: int, rule: int, run: int | None = None) -> int | None:
        position: int | None = rows(self._connection, "oldest", bus, rule, run)[0][0]
        return position

    def oldest_dead(self, bus: int, rule: int, run: int) -> int | None:
        position: int | None = rows(self._connection, "oldest_dead", bus, rule, run)[0][0]
        return position

    def leased(self, bus: int, rule: int) -> list[Delivery]:
        """Every leased delivery of the rule, in no order."""
        return self._deliveries("leased", bus, rule)

    def ordered(self, bus: int, rule: int) -> list[Delivery]:
        """Every delivery of the rule that stands in a lane, in no order."""
        return self._deliveries("ordered", bus, rule)

    def dead(self, bus: int, rule: int, after: tuple[int, int], limit: int) -> list[Delivery]:
        return self._deliveries("dead", bus, rule, *after, limit)

    def deliveries_of(self, bus: int, position: int, after: int, limit: int) -> list[Delivery]:
        return self._deliveries("deliveries_of", bus, position, after, limit)

    def versions(self, bus: int, after: int, limit: int) -> list[RuleVersion]:
        return [
            record_rows.decode(record, RuleVersion, self._connection.filename)
            for (record,) in rows(self._connection, "versions", bus, after, limit)
        ]

    def patterns_of(self, bus: int, keys: Sequence[VersionKey]) -> dict[VersionKey, bytes]:
        found = {key: rows(self._connection, "pattern_of", bus, *key) for key in keys}
        return {key: pattern for key, of_key in found.items() for (pattern,) in of_key}

    def rules_named(self, bus: int, name: str, limit: int) -> list[int]:
        return [uid for (uid,) in rows(self._connection, "rules_named", bus, name, limit)][::-1]

    def kept(self, bus: int, owner: int, key: str) -> Kept | None:
        found = rows(self._connection, "kept", bus, owner, key)
        return Kept(*found[0]) if found else None

    def kept_of(self, bus: int, owner: int, keys: Sequence[str]) -> list[Kept]:
        """One statement for all: each lets other threads in."""
        return [Kept(*row) for row in rows(self._connection, "kept_of", bus, owner, msgspec.json.encode(keys).decode())]

    def kept_after(self, bus: int, owner: int, after: str, limit: int) -> list[Kept]:
        return [Kept(*row) for row in rows(self._connection, "kept_after", bus, owner, after, limit)]

    def kept_due(self, bus: int, limit: int) -> list[Kept]:
        return [Kept(*row) for row in rows(self._connection, "kept_due", bus, limit)]

    def holds(self, bus: int) -> bool:
        return bool(rows(self._connection, "holds", bus, *places.span(bus))[0][0])

    def _head(self, bus: int) -> int:
        found = rows(self._connection, "bus_head", bus)
        return found[0][0] if found else 0

    def _deliveries(self, name: str, *bindings: Any) -> list[Delivery]:
        return [
            Delivery(rule, run, position, STATES[state], at_ms, attempts, leases, first_ms, note, lane)
            for rule, run, position, state, at_ms, attempts, leases, first_ms, note, lane in rows(
                self._connection, name, *bindings
            )
        ]
