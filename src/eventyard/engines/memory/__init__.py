"""The readable reference engine: dictionaries. It forgets with its process, and every other engine must behave like it."""

import contextlib
from collections.abc import Iterator, Sequence

import msgspec

from eventyard.core.bus_state import Loaded, Queue, tally
from eventyard.core.changes import Backfill, BusRecord, Changes, Intent, StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, Key, State
from eventyard.core.loss import Losses
from eventyard.core.rule import RuleRecord, Status
from eventyard.core.system import SYSTEM_BUS
from eventyard.core.view import Known, View


class _Bus(msgspec.Struct):
    head: int = 0
    time: BusTime = BusTime(0, 0)
    events: dict[int, StoredEvent] = {}
    ids: dict[tuple[str, str], int] = {}
    deliveries: dict[Key, Delivery] = {}
    counts: dict[int, list[int]] = {}
    rules: dict[int, RuleRecord] = {}
    backfills: dict[int, Backfill] = {}
    intents: dict[int, Intent] = {}


class MemoryEngine:
    """`commit` replaces whole rows under their keys, in the order in which `Changes` names its parts."""

    def __init__(self) -> None:
        self._buses: dict[int, _Bus] = {}
        self._records: dict[int, BusRecord] = {}
        self._view = MemoryView(self._buses)

    @property
    def view(self) -> View:
        return self._view

    @property
    def losses(self) -> Losses | None:
        return None

    @contextlib.contextmanager
    def reader(self) -> Iterator[View]:
        yield self._view

    def close(self) -> None:
        """Nothing to give back."""

    def load(self) -> list[Loaded]:
        if SYSTEM_BUS not in self._records:
            return []
        numbers = sorted(number for number, record in self._records.items() if not record.is_deleted)
        return [self._load(number) for number in numbers]

    def _load(self, number: int) -> Loaded:
        bus = self._buses.get(number) or _Bus()
        return Loaded(
            record=self._records[number],
            head=bus.head,
            time=bus.time,
            rules=tuple(bus.rules.values()),
            backfills=tuple(bus.backfills.values()),
            intents=tuple(bus.intents.values()),
            queues={rule: Queue(list(counts), self._view.next_due(number, rule)) for rule, counts in bus.counts.items()},
            leased=tuple(row for row in bus.deliveries.values() if row.state is State.LEASED),
            buses=tuple(r for r in self._records.values() if r.number != SYSTEM_BUS) if number == SYSTEM_BUS else (),
        )

    def commit(self, batch: Sequence[Changes]) -> None:
        for changes in batch:
            self._commit(changes)

    def _commit(self, changes: Changes) -> None:
        bus = self._buses.setdefault(changes.bus, _Bus())
        for rule, delta in tally(changes).items():
            before = bus.counts.get(rule, [0] * len(State))
            bus.counts[rule] = [have + more for have, more in zip(before, delta, strict=True)]
        bus.head, bus.time = changes.head, changes.time
        bus.events.update((event.position, event) for event in changes.events)
        bus.ids.update(((event.source, event.id), event.position) for event in changes.events)
        bus.deliveries.update((row.key, row) for row in changes.puts)
        bus.deliveries.update((move.now.key, move.now) for move in changes.moves)
        self._commit_rules(bus, changes)
        self._commit_work(bus, changes)
        self._commit_buses(changes)

    def _commit_rules(self, bus: _Bus, changes: Changes) -> None:
        for record in changes.rules:
            if record.status is Status.DELETED:
                bus.rules.pop(record.uid, None)
                bus.counts.pop(record.uid, None)
            else:
                bus.rules[record.uid] = record

    def _commit_work(self, bus: _Bus, changes: Changes) -> None:
        bus.backfills.update((backfill.rule, backfill) for backfill in changes.backfills)
        bus.intents.update((intent.number, intent) for intent in changes.intents)
        bus.backfills = {key: backfill for key, backfill in bus.backfills.items() if not backfill.is_done}
        bus.intents = {key: intent for key, intent in bus.intents.items() if not intent.is_done}

    def _commit_buses(self, changes: Changes) -> None:
        for record in changes.buses:
            if record.is_removed:
                self._records.pop(record.number, None)
            else:
                self._records[record.number] = record
        if changes.emptied_bus:
            self._buses.pop(changes.emptied_bus, None)


class MemoryView:
    """Answers by looking at everything: obviously right, and slow on purpose."""

    def __init__(self, buses: dict[int, _Bus]) -> None:
        self._buses = buses

    def _bus(self, bus: int) -> _Bus:
        return self._buses.get(bus) or _Bus()

    def find_ids(self, bus: int, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Known]:
        held = self._bus(bus)
        found = {key: held.events[held.ids[key]] for key in ids if key in held.ids}
        return {key: Known(event.position, event.accepted_ms, event.digest) for key, event in found.items()}

    def event(self, bus: int, position: int) -> StoredEvent | None:
        return self._bus(bus).events.get(position)

    def events(self, bus: int, first: int, last: int, limit: int, *, is_descending: bool = False) -> list[StoredEvent]:
        held = self._bus(bus).events
        positions = sorted((position for position in held if first <= position <= last), reverse=is_descending)
        return [held[position] for position in positions][:limit]

    def position_at(self, bus: int, time_ms: int) -> int:
        held = self._bus(bus)
        later = (event.position for event in held.events.values() if event.accepted_ms >= time_ms)
        return min(later, default=held.head + 1)

    def delivery(self, bus: int, key: Key) -> Delivery | None:
        return self._bus(bus).deliveries.get(key)

    def due(self, bus: int, rule: int, work_ms: int, limit: int) -> list[Delivery]:
        return [row for row in self._pending(bus, rule) if row.at_ms <= work_ms][:limit]

    def next_due(self, bus: int, rule: int) -> int | None:
        return min((row.at_ms for row in self._pending(bus, rule)), default=None)

    def waiting(self, bus: int, rule: int, limit: int) -> list[Delivery]:
        return [row for row in self._pending(bus, rule) if row.state is State.WAITING][:limit]

    def dead(self, bus: int, rule: int, after: tuple[int, int], limit: int, *, until_ms: int | None = None) -> list[Delivery]:
        dead = (row for row in self._rows(bus, rule) if row.state is State.DEAD and (row.position, row.run) > after)
        in_time = (row for row in dead if until_ms is None or row.at_ms <= until_ms)
        return sorted(in_time, key=lambda row: (row.position, row.run))[:limit]

    def holds(self, bus: int) -> bool:
        return bus in self._buses

    def _pending(self, bus: int, rule: int) -> list[Delivery]:
        pending = (row for row in self._rows(bus, rule) if row.state.is_pending)
        return sorted(pending, key=lambda row: (row.at_ms, row.position, row.run))

    def _rows(self, bus: int, rule: int) -> Iterator[Delivery]:
        return (row for row in self._bus(bus).deliveries.values() if row.rule == rule)
