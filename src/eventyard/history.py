"""Reading what is committed: bounded scans of the log, and where buses, rules and replays stand."""

from collections.abc import Iterator

import msgspec

from eventyard.core import limits
from eventyard.core.breaker import Place
from eventyard.core.bus_state import BusState, Queue, RuleQueue
from eventyard.core.changes import Backfill, BusRecord, IntentKind, Pace, StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.delivery import State
from eventyard.core.errors import Damaged, EventyardError, NotFound
from eventyard.core.handshake import Heard
from eventyard.core.loss import explained
from eventyard.core.pattern.index import judge
from eventyard.core.pattern.language import Pattern
from eventyard.core.protection import Hold
from eventyard.core.rule import RuleRecord
from eventyard.core.view import View
from eventyard.ports import Engine


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


def absent(state: BusState, position: int, engine: Engine) -> EventyardError:
    """Why there is no event at `position`: it was given up by a repair, it is damaged, or it never was or is no longer kept."""
    if (gap := explained(state.gaps, position)) is not None:
        lost = f"found position {position} among {gap.first} to {gap.last}, which were lost ({gap.reason})"
        return NotFound(lost, wanted="another position; a repair gave these up")
    if engine.is_damaged(state.record.number, position) or state.floor <= position <= state.head:
        return Damaged(f"found the event at position {position} damaged", wanted="the event as it was written")
    wanted = f"{state.floor} to {state.head}" if state.floor <= state.head else "an event: the log has none"
    return NotFound(f"found no event at position {position}", wanted=wanted)


def scan(view: View, state: BusState, query: Query) -> EventPage:
    """Look at events until the page is full in number or bytes, the range ends, or one request has looked at enough."""
    first, last = _range(view, state, query)
    found: list[StoredEvent] = []
    held = 0
    matches = judge(query.pattern) if query.pattern is not None else None
    for looked, event in enumerate(_read(view, state.record.number, first, last, query), 1):
        if matches is None or matches(event.json):
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
    first = max(first, state.floor)
    last = view.position_at(number, query.until_ms) - 1 if query.until_ms is not None else state.head
    if query.is_descending:
        return first, min(last, query.after - 1) if query.after else last
    return max(first, query.after + 1), last


def _next_after(position: int, first: int, last: int, query: Query) -> int | None:
    is_end = position <= first if query.is_descending else position >= last
    return None if is_end else position


# Where buses, rules and replays stand


class BusStatus(msgspec.Struct, frozen=True):
    """`floor`: the first position that is kept whole; below it stand only events that are owed. `bytes`: of events from there to `head`."""

    record: BusRecord
    head: int
    floor: int
    bytes: int


def bus_status(view: View, state: BusState) -> BusStatus:
    floor, head, log_bytes = state.floor, state.head, state.log_bytes
    first = view.events(state.record.number, floor, head, 1) if floor <= head else []
    return BusStatus(state.record, head, floor, max(0, log_bytes - first[0].offset) if first else 0)


class ProtectionStatus(msgspec.Struct, frozen=True):
    """What a rule's target is protected by just now. `breaker`: None where the rule has none. `until_ms` (bus time): until when it is open at least.

    `waits_for`: what keeps deliveries that are due from going; None where nothing does, or none is due. `waits_until_ms` (bus time): None
    where it ends with something that is under way. `concurrency`, `rate_per_s`: what is allowed now. `heard`: what its
    target said when it was asked for its consent.
    """

    breaker: Place | None
    until_ms: int | None
    waits_for: Hold | None
    waits_until_ms: int | None
    concurrency: int
    rate_per_s: float | None
    heard: Heard | None


class RuleStatus(msgspec.Struct, frozen=True):
    """Where a rule's queue stands. The counts are over all of its runs, since the rule was created.

    `lag`: events that it has not settled or, where a backfill feeds it, not even been put. `parked`: deliveries behind dead ones of their
    keys, among the blocked. `oldest_position` and `oldest_age_ms` are of the oldest event that it owes; None when it owes nothing.
    `backfill_position` is what a backfill reads next for it, None when it is live. `failing_since_ms` (bus time) is None unless its last
    attempt failed.
    """

    waiting: int
    retrying: int
    leased: int
    blocked: int
    delivered: int
    dead: int
    discarded: int
    parked: int
    parked_keys: int
    lag: int
    oldest_position: int | None
    oldest_age_ms: int | None
    backfill_position: int | None
    is_redriving: bool
    is_purging: bool
    run: int
    failing_since_ms: int | None
    protection: ProtectionStatus


def status(view: View, state: BusState, record: RuleRecord, time: BusTime) -> RuleStatus:
    queue = state.queues.get(record.uid) or RuleQueue()  # None: it was deleted since its record was read.
    counts, lanes, health = queue.counts, state.lanes.get(record.uid), state.health.get(record.uid)
    backfill = state.live_backfill(record.uid)
    under_way = {intent.kind for intent in state.intents.copy().values() if intent.rule == record.uid}
    oldest = _oldest(view, state, record, backfill)
    accepted_ms = _accepted_ms(view, state, oldest)
    return RuleStatus(
        waiting=counts[State.WAITING],
        retrying=counts[State.RETRYING],
        leased=counts[State.LEASED],
        blocked=counts[State.BLOCKED],
        delivered=counts[State.DELIVERED],
        dead=counts[State.DEAD],
        discarded=counts[State.DISCARDED],
        parked=lanes.parked_behind if lanes is not None else 0,
        parked_keys=len(lanes.parked) if lanes is not None else 0,
        lag=sum(counts[: State.BLOCKED + 1]) + unread(state, record.uid),
        oldest_position=oldest,
        oldest_age_ms=max(0, time.time_ms - accepted_ms) if accepted_ms is not None else None,
        backfill_position=backfill.next_position if backfill is not None else None,
        is_redriving=IntentKind.REDRIVE in under_way,
        is_purging=IntentKind.PURGE in under_way,
        run=record.run,
        failing_since_ms=health.since_ms if health is not None and health.is_failing else None,
        protection=protection_status(state, record, time),
    )


def protection_status(state: BusState, record: RuleRecord, time: BusTime) -> ProtectionStatus:
    guard, policy, work_ms = state.protection.guard(record.uid), record.rule.delivery.breaker, time.work_ms
    breaker = guard.breaker.at(policy, work_ms) if policy is not None and record.rule.target.http is not None else None
    held = state.held(record, work_ms) if _is_due(state, record.uid, work_ms) else None
    until_ms = breaker.until_ms if breaker is not None and breaker.place is Place.OPEN else None
    return ProtectionStatus(
        breaker=None if breaker is None else breaker.place,
        until_ms=None if until_ms is None else time.bus_ms(until_ms),
        waits_for=None if held is None else held.by,
        waits_until_ms=None if held is None or held.until_ms is None else time.bus_ms(held.until_ms),
        concurrency=guard.allowed(record, work_ms),
        rate_per_s=guard.rate_per_s(record, work_ms),
        heard=record.heard,
    )


def _is_due(state: BusState, uid: int, work_ms: int) -> bool:
    due_ms = state.due.get(uid)
    return due_ms is not None and due_ms <= work_ms


def unread(state: BusState, uid: int) -> int:
    """How many events of the log a backfill has yet to read for the rule."""
    backfill = state.live_backfill(uid)
    return max(0, state.head + 1 - backfill.next_position) if backfill is not None else 0


def oldest_accepted_ms(view: View, state: BusState, record: RuleRecord) -> int | None:
    """When the oldest event that the rule owes was accepted."""
    return _accepted_ms(view, state, _oldest(view, state, record, state.live_backfill(record.uid)))


def _accepted_ms(view: View, state: BusState, position: int | None) -> int | None:
    event = view.events(state.record.number, position, state.head, 1) if position is not None else []
    return event[0].accepted_ms if event else None


def _oldest(view: View, state: BusState, record: RuleRecord, backfill: Backfill | None) -> int | None:
    pending = view.oldest(state.record.number, record.uid) if record.uid in state.pending else None
    unread = backfill.next_position if backfill is not None and backfill.next_position <= state.head else None
    return min((position for position in (pending, unread) if position is not None), default=None)


class ReplayStatus(msgspec.Struct, frozen=True):
    """A replay of positions `first` to `last`. `state`: reading, delivering, done or cancelled. Times are bus time."""

    run: int
    state: str
    first: int
    last: int
    next_position: int
    pending: int
    delivered: int
    dead: int
    discarded: int
    pattern: bytes
    pace: Pace
    created_ms: int
    ended_ms: int


def replay_status(state: BusState, replay: Backfill) -> ReplayStatus:
    rule_queue = state.queues.get(replay.rule)
    queue = (rule_queue.runs.get(replay.run) if rule_queue is not None else None) or Queue()
    return ReplayStatus(
        run=replay.run,
        state=_replay_state(replay, queue),
        first=replay.first,
        last=replay.last or 0,
        next_position=replay.next_position,
        pending=queue.pending,
        delivered=queue.counts[State.DELIVERED],
        dead=queue.counts[State.DEAD],
        discarded=queue.counts[State.DISCARDED],
        pattern=replay.pattern,
        pace=replay.pace,
        created_ms=replay.created_ms,
        ended_ms=replay.ended_ms,
    )


def _replay_state(replay: Backfill, queue: Queue) -> str:
    if replay.is_cancelled:
        return "cancelled"
    if not replay.is_done:
        return "reading"
    return "delivering" if queue.pending else "done"
