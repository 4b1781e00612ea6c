"""The readable reference engine: dictionaries. It forgets with its process, and every other engine must behave like it."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence

import msgspec

from eventyard.core import limits
from eventyard.core.access import AccessKey
from eventyard.core.bus_state import Loaded, Queue
from eventyard.core.changes import Backfill, BusRecord, Changes, Intent, QueueKey, StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, Key, State
from eventyard.core.emitter import EmitterRecord, EmitterTally, Kept
from eventyard.core.health import Health
from eventyard.core.loss import Losses, Verified
from eventyard.core.record import Stand
from eventyard.core.rule import RuleRecord, Status, Tombstone
from eventyard.core.rule_history import Edit, RuleVersion, VersionKey
from eventyard.core.schedule import ScheduleRecord
from eventyard.core.system import SYSTEM_BUS
from eventyard.core.view import Known, View
from eventyard.ports import Footprint


class _Bus(msgspec.Struct):
    head: int = 0
    floor: int = 1
    log_bytes: int = 0
    time: BusTime = BusTime(0, 0)
    events: dict[int, StoredEvent] = {}
    ids: dict[tuple[str, str], Known] = {}
    causes: dict[int, int] = {}
    deliveries: dict[Key, Delivery] = {}
    counts: dict[QueueKey, list[int]] = {}
    rules: dict[int, RuleRecord] = {}
    versions: dict[int, list[RuleVersion]] = {}
    tombstones: dict[str, Tombstone] = {}
    backfills: dict[tuple[int, int], Backfill] = {}
    intents: dict[int, Intent] = {}
    keys: dict[str, AccessKey] = {}
    health: dict[int, Health] = {}
    emitters: dict[int, EmitterRecord] = {}
    emitter_tallies: dict[int, EmitterTally] = {}
    kept: dict[tuple[int, str], Kept] = {}
    schedules: dict[int, ScheduleRecord] = {}


class MemoryEngine:
    """`commit` replaces whole rows under their keys, in the order in which `Changes` names its parts."""

    def __init__(self) -> None:
        self._buses: dict[int, _Bus] = {}
        self._records: dict[int, BusRecord] = {}
        self._stands: dict[int, Stand] = {}
        self._view = MemoryView(self._buses)

    @property
    def view(self) -> View:
        return self._view

    @property
    def losses(self) -> Losses | None:
        return None

    def verify(self, bus: int, first: int, last: int) -> Verified:  # noqa: ARG002 - memory does not decay
        return Verified(last, 0)

    def verified(self, bus: int) -> int:
        return (self._buses.get(bus) or _Bus()).head

    def damaged(self, bus: int) -> int:  # noqa: ARG002 - as above
        return 0

    def is_damaged(self, bus: int, position: int) -> bool:  # noqa: ARG002 - as above
        return False

    @property
    def is_joint(self) -> bool:
        return True

    def stands(self) -> dict[int, Stand]:
        return dict(self._stands)

    def footprint(self) -> Footprint:
        return Footprint()

    @contextlib.contextmanager
    def reader(self) -> Iterator[View]:
        yield self._view

    def give_up(self) -> None:
        """Nothing here waits for anybody."""

    def close(self) -> None:
        """Nothing to give back."""

    def rows(self, bus: int) -> list[Delivery]:
        """Every delivery of a bus that is kept, by position, rule and run: for who has the engine itself in hand, as a test has."""
        rows = (self._buses.get(bus) or _Bus()).deliveries.values()
        return sorted(rows, key=lambda row: (row.position, row.rule, row.run))

    def load(self) -> list[Loaded]:
        if SYSTEM_BUS not in self._records:
            return []
        numbers = sorted(number for number, record in self._records.items() if not record.is_deleted)
        return [self._load(number) for number in numbers]

    def _load(self, number: int) -> Loaded:
        bus = self._buses.get(number) or _Bus()
        rows = bus.deliveries.values()
        ordered = {uid for uid, record in bus.rules.items() if record.is_ordered}
        return Loaded(
            record=self._records[number],
            head=bus.head,
            time=bus.time,
            rules=tuple(bus.rules.values()),
            backfills=tuple(bus.backfills.values()),
            intents=tuple(bus.intents.values()),
            health=tuple(bus.health.values()),
            emitters=tuple(bus.emitters.values()),
            emitter_tallies=tuple(bus.emitter_tallies.values()),
            kept_due_ms=min((row.due_ms for row in bus.kept.values() if row.due_ms is not None), default=None),
            schedules=tuple(bus.schedules.values()),
            queues={key: Queue(list(counts), self._view.next_due(number, *key)) for key, counts in bus.counts.items()},
            leased=tuple(row for row in rows if row.state is State.LEASED),
            buses=tuple(r for r in self._records.values() if r.number != SYSTEM_BUS) if number == SYSTEM_BUS else (),
            keys=tuple(bus.keys.values()),
            floor=bus.floor,
            log_bytes=bus.log_bytes,
            tombstones=tuple(bus.tombstones.values()),
            ordered=tuple(row for row in rows if row.lane and row.state.is_owed and row.rule in ordered),
        )

    def commit(self, batch: Sequence[Changes]) -> None:
        for changes in batch:
            self._commit(changes)

    def _commit(self, changes: Changes) -> None:
        bus = self._buses.setdefault(changes.bus, _Bus())
        for key, delta in changes.tally.items():
            before = bus.counts.get(key, [0] * len(State))
            bus.counts[key] = [have + more for have, more in zip(before, delta, strict=True)]
        bus.head, bus.floor, bus.log_bytes, bus.time = changes.head, changes.floor, changes.log_bytes, changes.time
        if changes.stand is not None:
            self._stands[changes.bus] = changes.stand
        bus.events.update((event.position, event) for event in changes.events)
        bus.ids.update(
            ((event.source, event.id), Known(event.position, event.accepted_ms, event.digest)) for event in changes.events
        )
        bus.causes.update((row.position, row.cause) for row in changes.derivations)
        bus.deliveries.update((row.key, row) for row in changes.puts)
        bus.deliveries.update((move.now.key, move.now) for move in changes.moves)
        self._commit_rules(bus, changes)
        self._commit_work(bus, changes)
        self._commit_emitters(bus, changes)
        self._commit_buses(changes)
        for version in changes.versions:
            self._commit_version(bus, version)
        bus.keys.update((key.id, key) for key in changes.keys)
        bus.keys = {name: key for name, key in bus.keys.items() if not key.is_removed}
        for first, last in changes.forgotten:
            self._forget(bus, first, last)
        if changes.forgotten:
            self._forget_versions(bus)

    def _commit_rules(self, bus: _Bus, changes: Changes) -> None:
        for record in changes.rules:
            if record.status is Status.DELETED:
                bus.rules.pop(record.uid, None)
                bus.counts = {key: counts for key, counts in bus.counts.items() if key[0] != record.uid}
            else:
                bus.rules[record.uid] = record
        bus.tombstones.update((tombstone.name, tombstone) for tombstone in changes.tombstones)
        bus.tombstones = {name: kept for name, kept in bus.tombstones.items() if not kept.is_removed}

    def _commit_version(self, bus: _Bus, version: RuleVersion) -> None:
        kept = [one for one in bus.versions.get(version.uid, []) if one.position != version.position]
        own = sorted([*kept, version], key=lambda one: one.position)
        bus.versions[version.uid] = own[-limits.RULE_VERSIONS_MAX :]

    def _forget_versions(self, bus: _Bus) -> None:
        """Those that governed nothing which is still there: the next one came before, or the rule ended."""
        first = min(bus.events, default=bus.head + 1)
        over = sorted((until, *one.key) for until, one in _superseded(bus) if until < first)
        for _, uid, position in over[: limits.RULE_VERSIONS_PER_REMOVAL]:
            bus.versions[uid] = [one for one in bus.versions[uid] if one.position != position]
        bus.versions = {uid: own for uid, own in bus.versions.items() if own}

    def _commit_work(self, bus: _Bus, changes: Changes) -> None:
        bus.backfills.update((backfill.key, backfill) for backfill in changes.backfills)
        bus.intents.update((intent.number, intent) for intent in changes.intents)
        bus.backfills = {
            key: kept for key, kept in bus.backfills.items() if not kept.is_removed and (kept.is_replay or not kept.is_done)
        }
        bus.schedules.update((record.uid, record) for record in changes.schedules)
        bus.schedules = {uid: record for uid, record in bus.schedules.items() if not record.is_deleted}
        bus.health.update((health.rule, health) for health in changes.health)
        bus.health = {key: health for key, health in bus.health.items() if not health.is_removed}
        bus.intents = {key: intent for key, intent in bus.intents.items() if not intent.is_done}

    def _commit_emitters(self, bus: _Bus, changes: Changes) -> None:
        bus.emitter_tallies.update((tally.owner, tally) for tally in changes.emitter_tallies)
        for record in changes.emitters:
            if record.is_removed:
                bus.emitters.pop(record.uid, None)
                bus.emitter_tallies.pop(record.uid, None)
            else:
                bus.emitters[record.uid] = record
        for row in changes.kept:
            if row.record:
                bus.kept[row.owner, row.key] = row
            else:
                bus.kept.pop((row.owner, row.key), None)

    def _commit_buses(self, changes: Changes) -> None:
        for record in changes.buses:
            if record.is_removed:
                self._records.pop(record.number, None)
                self._stands.pop(record.number, None)
            else:
                self._records[record.number] = record
        if changes.emptied_bus:
            self._buses.pop(changes.emptied_bus, None)

    def _forget(self, bus: _Bus, first: int, last: int) -> None:
        owed = {row.position for row in bus.deliveries.values() if row.state.is_owed}
        gone = {position for position in range(first, last + 1) if position not in owed}
        bus.events = {position: event for position, event in bus.events.items() if position not in gone}
        bus.causes = {position: cause for position, cause in bus.causes.items() if position not in gone}
        bus.deliveries = {key: row for key, row in bus.deliveries.items() if row.position not in gone}


def _superseded(bus: _Bus) -> Iterator[tuple[int, RuleVersion]]:
    """Each edit that a later one has followed, with the position of that; a deletion with its own."""
    for own in bus.versions.values():
        yield from ((later.position, one) for one, later in itertools.pairwise(own))
        if own and own[-1].edit is Edit.DELETED:
            yield own[-1].position, own[-1]


class MemoryView:
    """Answers by looking at everything: obviously right, and slow on purpose."""

    def __init__(self, buses: dict[int, _Bus]) -> None:
        self._buses = buses

    def _bus(self, bus: int) -> _Bus:
        return self._buses.get(bus) or _Bus()

    def floor(self, bus: int) -> int:
        return self._bus(bus).floor

    def find_ids(self, bus: int, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Known]:
        known = self._bus(bus).ids
        return {key: known[key] for key in ids if key in known}

    def event(self, bus: int, position: int) -> StoredEvent | None:
        return self._bus(bus).events.get(position)

    def events(self, bus: int, first: int, last: int, limit: int, *, is_descending: bool = False) -> list[StoredEvent]:
        held = self._bus(bus).events
        positions = sorted((position for position in held if first <= position <= last), reverse=is_descending)
        return [held[position] for position in positions][:limit]

    def events_at(self, bus: int, positions: Sequence[int]) -> dict[int, StoredEvent]:
        held = self._bus(bus).events
        return {position: held[position] for position in positions if position in held}

    def bodies_at(self, bus: int, positions: Sequence[int]) -> dict[int, bytes]:
        return {position: event.json for position, event in self.events_at(bus, positions).items()}

    def position_at(self, bus: int, time_ms: int) -> int:
        held = self._bus(bus)
        later = (event.position for event in held.events.values() if event.accepted_ms >= time_ms)
        return min(later, default=held.head + 1)

    def position_at_offset(self, bus: int, offset: int) -> int:
        held = self._bus(bus)
        later = (event.position for event in held.events.values() if event.offset >= offset)
        return min(later, default=held.head + 1)

    def derived(self, bus: int, cause: int, after: int, limit: int) -> list[int]:
        found = (position for position, of in self._bus(bus).causes.items() if of == cause and position > after)
        return sorted(found)[:limit]

    def cause_of(self, bus: int, position: int) -> int | None:
        return self._bus(bus).causes.get(position)

    def delivery(self, bus: int, key: Key) -> Delivery | None:
        return self._bus(bus).deliveries.get(key)

    def deliveries(self, bus: int, keys: Sequence[Key]) -> list[Delivery]:
        held = self._bus(bus).deliveries
        return [held[key] for key in keys if key in held]

    def due(self, bus: int, rule: int, run: int, work_ms: int, limit: int) -> list[Delivery]:
        return [row for row in self._queue(bus, rule, run) if row.at_ms <= work_ms][:limit]

    def next_due(self, bus: int, rule: int, run: int) -> int | None:
        return min((row.at_ms for row in self._queue(bus, rule, run)), default=None)

    def pending(
        self, bus: int, rule: int, limit: int, *, run: int | None = None, below: int = 0, is_leased_too: bool = True
    ) -> list[Delivery]:
        found = [
            row
            for row in self._pending(bus, rule, run)
            if (not below or row.position < below) and (is_leased_too or row.state is not State.LEASED)
        ]
        queued = sorted((row for row in found if row.state.is_leasable), key=lambda row: (row.run, row.at_ms, row.position))
        held = sorted((row for row in found if not row.state.is_leasable), key=lambda row: (row.run, row.position))
        return (queued + held)[:limit]

    def oldest(self, bus: int, rule: int, run: int | None = None) -> int | None:
        return min((row.position for row in self._pending(bus, rule, run)), default=None)

    def oldest_dead(self, bus: int, rule: int, run: int) -> int | None:
        return min((row.position for row in self._rows(bus, rule) if row.state is State.DEAD and row.run == run), default=None)

    def dead(self, bus: int, rule: int, after: tuple[int, int], limit: int) -> list[Delivery]:
        dead = (row for row in self._rows(bus, rule) if row.state is State.DEAD and (row.position, row.run) > after)
        return sorted(dead, key=lambda row: (row.position, row.run))[:limit]

    def deliveries_of(self, bus: int, position: int, after: int, limit: int) -> list[Delivery]:
        found = (row for row in self._bus(bus).deliveries.values() if row.position == position and row.rule > after)
        return sorted(found, key=lambda row: (row.rule, row.run))[:limit]

    def versions(self, bus: int, after: int, limit: int) -> list[RuleVersion]:
        held = self._bus(bus).versions
        found = [one for uid in sorted(held) if uid > after for one in held[uid]]
        return [msgspec.structs.replace(one, pattern=b"") for one in found[:limit]]

    def patterns_of(self, bus: int, keys: Sequence[VersionKey]) -> dict[VersionKey, bytes]:
        held = self._bus(bus).versions
        return {one.key: one.pattern for uid, _ in keys for one in held.get(uid, []) if one.key in keys}

    def rules_named(self, bus: int, name: str, limit: int) -> list[int]:
        held = self._bus(bus).versions
        return sorted(uid for uid, own in held.items() if own[0].name == name)[-limit:]

    def kept(self, bus: int, owner: int, key: str) -> Kept | None:
        return self._bus(bus).kept.get((owner, key))

    def kept_of(self, bus: int, owner: int, keys: Sequence[str]) -> list[Kept]:
        held = self._bus(bus).kept
        return [held[owner, key] for key in keys if (owner, key) in held]

    def kept_after(self, bus: int, owner: int, after: str, limit: int) -> list[Kept]:
        own = (row for row in self._bus(bus).kept.values() if row.owner == owner and row.key > after)
        return sorted(own, key=lambda row: row.key)[:limit]

    def kept_due(self, bus: int, limit: int) -> list[Kept]:
        due = [(row.due_ms, row.owner, row.key, row) for row in self._bus(bus).kept.values() if row.due_ms is not None]
        return [row for *_, row in sorted(due, key=lambda one: one[:3])][:limit]

    def holds(self, bus: int) -> bool:
        return bus in self._buses

    def _queue(self, bus: int, rule: int, run: int) -> list[Delivery]:
        queued = (row for row in self._rows(bus, rule) if row.state.is_leasable and row.run == run)
        return sorted(queued, key=lambda row: (row.at_ms, row.position))

    def _pending(self, bus: int, rule: int, run: int | None) -> Iterator[Delivery]:
        return (row for row in self._rows(bus, rule) if row.state.is_pending and (run is None or row.run == run))

    def _rows(self, bus: int, rule: int) -> Iterator[Delivery]:
        return (row for row in self._bus(bus).deliveries.values() if row.rule == rule)
