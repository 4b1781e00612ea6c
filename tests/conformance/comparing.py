"""Everything that two engines are held to tell alike, as values that compare."""

from collections.abc import Iterator
from typing import Any

import msgspec

from eventyard.core.bus_state import BusState, Loaded
from eventyard.core.clock import BusTime
from eventyard.core.errors import Refused
from eventyard.core.view import View


def comparable(answer: Any) -> Any:
    """Errors compare by their text."""
    return [str(part) if isinstance(part, Refused) else part for part in answer] if isinstance(answer, list) else answer


def plain(loaded: Loaded) -> Any:
    """What `load` told, in one order."""
    return msgspec.structs.replace(
        loaded,
        ordered=tuple(sorted(loaded.ordered, key=lambda row: row.key)),
        tombstones=tuple(sorted(loaded.tombstones, key=lambda tombstone: tombstone.name)),
        leased=tuple(sorted(loaded.leased, key=lambda row: row.key)),
        buses=tuple(sorted(loaded.buses, key=lambda bus: bus.number)),
        backfills=tuple(sorted(loaded.backfills, key=lambda backfill: backfill.key)),
        intents=tuple(sorted(loaded.intents, key=lambda intent: intent.number)),
        keys=tuple(sorted(loaded.keys, key=lambda key: key.id)),
        health=tuple(sorted(loaded.health, key=lambda health: health.rule)),
        emitters=tuple(sorted(loaded.emitters, key=lambda record: record.uid)),
        emitter_tallies=tuple(sorted(loaded.emitter_tallies, key=lambda tally: tally.owner)),
        schedules=tuple(sorted(loaded.schedules, key=lambda schedule: schedule.uid)),
    )


def facts(state: BusState) -> Any:
    """Everything in a state but its bounds. A rule of which nothing was put yet may have no queue."""
    counts = {(uid, run): queue.counts for uid, queues in state.queues.items() for run, queue in queues.runs.items()}
    lanes = {
        (uid, *key): (lane.head, lane.is_parked, lane.behind)
        for uid, of_rule in state.lanes.items()
        for key, lane in of_rule.lanes.items()
    }
    parked = {uid: (of_rule.parked, of_rule.parked_behind) for uid, of_rule in state.lanes.items() if of_rule.lanes}
    fed = {uid: sorted(one.run for one in state.backfills_of(uid)) for uid in state.by_uid}
    return (
        (list(state.by_uid), state.names, state.deleting, state.paused),
        (state.pending, state.dead, state.reading, fed),
        (state.floor, state.log_bytes, state.tombstones, lanes, parked),
        (state.record, state.head, state.by_uid, state.by_name, state.leased, state.buses, state.backfills, state.intents),
        state.keys,
        (state.health, state.unwell),
        (state.emitters.by_uid, state.emitters.by_name, state.emitters.names, state.emitters.tallies),
        (sorted(state.emitters.plans), dict(state.emitters.listening.items())),
        (state.schedules.by_uid, state.schedules.names),
        dict(state.live.items()),
        counts,
    )


def answers(view: View, state: BusState, time: BusTime) -> Iterator[tuple[Any, Any]]:
    """A view's answers to everything that can be asked of one bus."""
    number = state.record.number
    yield "floor", (view.floor(number), state.floor)
    yield "ascending", view.events(number, 1, state.head, 1_000)
    yield "descending", view.events(number, 3, state.head - 2, 4, is_descending=True)
    for time_ms in (state.record.created_ms, state.record.created_ms + 100, time.time_ms, time.time_ms + 1):
        yield ("position_at", time_ms), view.position_at(number, time_ms)
    yield "events_at", view.events_at(number, [1, 3, state.head, state.head + 9])
    for positions in ([2, 3, 4, 5], [3, 1, state.head + 9], [5, 4, 3], [2, 2], [state.head]):
        yield ("bodies_at", tuple(positions)), view.bodies_at(number, positions)
    for offset in (0, 500, state.log_bytes, state.log_bytes + 1):
        yield ("position_at_offset", offset), view.position_at_offset(number, offset)
    versions = view.versions(number, 0, 1_000)
    yield "versions", versions
    yield "versions after", view.versions(number, 1, 3)
    yield "patterns of", view.patterns_of(number, [*(version.key for version in versions), (state.head + 9, 1)])
    for name in {version.name for version in versions} | {"nobody"}:
        yield ("rules named", name), (view.rules_named(number, name, 100), view.rules_named(number, name, 1))
    for position in range(1, state.head + 1):
        derived = (view.derived(number, position, 0, 1_000), view.derived(number, position, position + 2, 1))
        yield ("cause and what came of", position), (view.cause_of(number, position), derived)
        yield (
            ("deliveries of", position),
            (view.deliveries_of(number, position, 0, 1_000), view.deliveries_of(number, position, 1, 2)),
        )
    yield "kept due", (view.kept_due(number, 1_000), view.kept_due(number, 2))
    for owner in state.emitters.by_uid:
        rows = view.kept_after(number, owner, "", 1_000)
        yield ("kept", owner), (rows, view.kept_after(number, owner, "k1", 1))
        some = [*(row.key for row in rows[::2]), "none"]
        yield ("kept of some", owner), sorted(view.kept_of(number, owner, some), key=lambda row: row.key)
        yield ("kept of", owner), [view.kept(number, owner, key) for key in (*(row.key for row in rows), "none")]
    for uid, record in state.by_uid.items():
        for run in state.queues[uid].runs:
            yield ("due", uid, run), view.due(number, uid, run, time.work_ms + 400, 7)
            yield ("next_due", uid, run), view.next_due(number, uid, run)
        yield ("pending", uid), view.pending(number, uid, 5)
        yield ("pending of", uid), view.pending(number, uid, 5, run=record.run, below=state.head, is_leased_too=False)
        yield ("oldest", uid), view.oldest(number, uid)
        yield ("oldest dead", uid), [view.oldest_dead(number, uid, run) for run in state.queues[uid].runs]
        yield ("dead", uid), view.dead(number, uid, (0, -1), 1_000)
        yield ("dead after", uid), view.dead(number, uid, (4, 0), 3)
        yield ("delivery", uid), [view.delivery(number, (uid, 0, position)) for position in range(state.head + 2)]
