"""Intents: what somebody asked for that takes many steps. Redrives, purges, and the discarding of what a queue still holds.

Each function is one step. Where it stopped is a change like any other, so a crash costs at most the step under way.
"""

import msgspec

from eventyard.core import bus_events, limits
from eventyard.core.backfilling import next_paced
from eventyard.core.changes import ALL_DEAD, Backfill, Filter, Intent, IntentKind
from eventyard.core.clock import rfc3339
from eventyard.core.commands import ClearDead, ContinueIntent, EnforceCap, Purge, Redrive, Redriven, Skip, TrimParked
from eventyard.core.delivery import Delivery, Key, Note, Reason, State, decode_note, is_skipped
from eventyard.core.draft import Draft
from eventyard.core.errors import InvalidRequest, NotFound
from eventyard.core.order_key import lane_of
from eventyard.core.others import is_any_of_others
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.rule import RuleRecord, Status, Tombstone, parse_pattern
from eventyard.core.strict_json import decode

# Asking


def redrive(draft: Draft, command: Redrive) -> Redriven:
    """Record the request in the log, then move the named deliveries now, or all that are meant in bounded steps."""
    record = named(draft, command.name)
    _check_no_seek(draft, record)
    told = {"out_of_order": True} if command.is_out_of_order else {}
    position = _record(draft, bus_events.RULE_REDRIVEN, record, command.principal, _told(command.keys, command.filter) | told)
    intent = Intent(position, record.uid, IntentKind.REDRIVE, by=command.principal, per_s=command.per_s)
    if command.keys is None:
        return _begin(draft, msgspec.structs.replace(intent, filter=_until_now(draft, command.filter)))
    moved = 0
    for delivery in draft.deliveries(_own(record, command.keys)):
        if delivery.state is State.DEAD or (command.is_out_of_order and is_skipped(delivery)):
            intent, is_moved = _redrive_one(draft, intent, record, delivery)
            moved += is_moved
    return Redriven(position, moved, is_running=False)


def purge(draft: Draft, command: Purge) -> Redriven:
    """As `redrive`, and what is meant is discarded."""
    record = named(draft, command.name)
    told: dict[str, object] = {"because": command.reason} if command.reason != Reason.PURGED else {}
    position = _record(draft, bus_events.RULE_PURGED, record, command.principal, _told(command.keys, command.filter) | told)
    intent = Intent(position, record.uid, IntentKind.PURGE, reason=command.reason, by=command.principal)
    if command.keys is None:
        return _begin(draft, msgspec.structs.replace(intent, filter=_until_now(draft, command.filter)))
    dead = [row for row in draft.deliveries(_own(record, command.keys)) if row.state is State.DEAD]
    behind = [row for one in dead for row in _parked_behind(draft, one)] if command.is_parked_too else []
    for delivery in (*behind, *dead):
        discard(draft, delivery, command.reason, command.principal)
    return Redriven(position, len(dead) + len(behind), is_running=False)


def clear_dead(draft: Draft, command: ClearDead) -> None:
    """What is told of dead letters may come to the rule that they are of, and die there too: so nothing is told of those of the bus's own events."""
    record = draft.rule_named(command.name)
    if record is None:
        return
    meant = Filter(until_ms=command.until_ms)
    rows = draft.deliveries(_own(record, command.keys))
    dead = [row for row in rows if row.state is State.DEAD and meant.matches(row)]
    if is_any_of_others(draft, [row.position for row in dead]):
        purge(draft, Purge(command.name, None, filter=meant, reason=Reason.EXPIRED))
        return
    for delivery in dead[: limits.INTENT_ROWS_PER_STEP]:
        discard(draft, delivery, Reason.EXPIRED)


def skip(draft: Draft, command: Skip) -> Redriven:
    """Discard dead heads, so that what is parked behind each goes on in its order."""
    record = named(draft, command.name)
    if not record.is_ordered:
        raise InvalidRequest(f'found that rule "{record.name}" keeps no order', wanted='a rule with "order": "key", or a purge')
    keys = {*_own(record, command.keys), *_heads(draft, record, command.lanes)}
    position = _record(draft, bus_events.RULE_SKIPPED, record, command.principal, {"count": len(keys)})
    dead = [row for row in draft.deliveries(sorted(keys)) if row.state is State.DEAD and row.lane]
    for delivery in dead:
        discard(draft, delivery, Reason.SKIPPED, command.principal)
    return Redriven(position, len(dead), is_running=False)


def enforce_cap(draft: Draft, command: EnforceCap) -> None:
    """The oldest of a backlog past its cap are discarded, and what a backfill has not read of them is passed over: loudly."""
    record = draft.find_rule(command.rule)
    if record is None or record.is_deleted:
        return
    backfill = draft.backfill(record.uid, command.run)
    is_unread = backfill is not None and not backfill.is_done and backfill.next_position < command.below
    if not is_unread and not _is_any_over(draft, command):
        return  # All of it is leased: to be looked at again when that has ended.
    oldest = draft.oldest_pending(record.uid, command.run)
    owed = [backfill.next_position] if backfill is not None and is_unread else []
    data: dict[str, object] = {
        "because": command.because,
        "run": command.run,
        "first": min([*owed, *([oldest] if oldest is not None else [])], default=command.below),
        "last": command.below - 1,
    }
    position = _record(draft, bus_events.RETENTION_CAP, record, "", data)
    if backfill is not None and is_unread:
        draft.set_backfill(_passed_over(draft, backfill, command.below))
    intent = Intent(position, record.uid, IntentKind.DISCARD, reason=Reason.CAP, run=command.run, below=command.below)
    _begin(draft, intent)


def _is_any_over(draft: Draft, command: EnforceCap) -> bool:
    return bool(draft.view.pending(draft.bus, command.rule, 1, run=command.run, below=command.below, is_leased_too=False))


def _passed_over(draft: Draft, backfill: Backfill, below: int) -> Backfill:
    """The backfill goes on at `below`; a replay whose stretch ends before has ended."""
    is_over = backfill.last is not None and below > backfill.last
    ended_ms = draft.time.time_ms if is_over else 0
    return msgspec.structs.replace(backfill, next_position=below, is_done=is_over, ended_ms=ended_ms)


def trim_parked(draft: Draft, command: TrimParked) -> int:
    """The oldest deliveries behind dead ones of their keys are discarded, one bounded part at a time: loudly."""
    record, lanes = draft.find_rule(command.rule), draft.state.lanes.get(command.rule)
    if record is None or record.is_deleted or lanes is None or lanes.parked_behind <= limits.PARKED_BEHIND_MAX:
        return 0
    behind = sorted((position, run) for run, lane in lanes.parked for position in lanes.lanes[run, lane].behind)
    keys = [(record.uid, run, position) for position, run in behind[: limits.INTENT_ROWS_PER_STEP]]
    rows = [row for row in draft.deliveries(keys) if row.state is State.BLOCKED]
    data: dict[str, object] = {
        "because": f"{lanes.parked_behind} deliveries were parked behind dead letters",
        "first": behind[0][0],
        "count": len(rows),
    }
    _record(draft, bus_events.RETENTION_CAP, record, "", data)
    for row in rows:
        discard(draft, row, Reason.CAP)
    return len(rows)


def named(draft: Draft, name: str) -> RuleRecord:
    record = draft.rule_named(name)
    if record is None:
        raise NotFound(f'found no rule "{name}" on bus "{draft.state.record.name}"', wanted="a rule that exists")
    return record


def _own(record: RuleRecord, keys: tuple[Key, ...]) -> list[Key]:
    return [key for key in dict.fromkeys(keys) if key[0] == record.uid]


def _heads(draft: Draft, record: RuleRecord, wanted: tuple[int, ...]) -> list[Key]:
    lanes = draft.state.lanes.get(record.uid)
    if lanes is None:
        return []
    return [(record.uid, run, lanes.lanes[run, lane].head) for run, lane in lanes.parked if lane in wanted]


def _parked_behind(draft: Draft, head: Delivery) -> list[Delivery]:
    lanes = draft.state.lanes.get(head.rule)
    lane = lanes.lanes.get((head.run, head.lane)) if lanes is not None and head.lane else None
    if lane is None:
        return []
    return draft.deliveries([(head.rule, head.run, position) for position in lane.behind])


def _check_no_seek(draft: Draft, record: RuleRecord) -> None:
    """What a seek discards and what a redrive puts back would be told apart by nobody."""
    if any(
        intent.kind is IntentKind.DISCARD and intent.rule == record.uid and not intent.is_done for intent in draft.intents()
    ):
        raise InvalidRequest(f'found old deliveries of "{record.name}" still being discarded', wanted="to try again shortly")


def _told(keys: tuple[Key, ...] | None, meant: Filter) -> dict[str, object]:
    if keys is not None:
        return {"count": len(keys)}
    told: dict[str, object] = {
        "reason": meant.reason,
        "keys": len(meant.lanes),
        "from": rfc3339(meant.from_ms) if meant.from_ms else "",
        "until": rfc3339(meant.until_ms) if meant.until_ms != ALL_DEAD.until_ms else "",
    }
    narrowed = {name: value for name, value in told.items() if value}
    return {"all": True} if not narrowed else {"filter": narrowed}


def _until_now(draft: Draft, meant: Filter) -> Filter:
    """What dies after the request is not meant by it."""
    return msgspec.structs.replace(meant, until_ms=min(meant.until_ms, draft.time.time_ms + 1))


def _record(draft: Draft, kind: str, record: RuleRecord, principal: str, more: dict[str, object]) -> int:
    data: dict[str, object] = {"name": record.name, "uid": record.uid, "principal": principal}
    return draft.append_bus_event(kind, record.name, data | more)


def _begin(draft: Draft, intent: Intent) -> Redriven:
    draft.set_intent(intent)
    moved = step(draft, intent.number)
    after = draft.intent(intent.number)
    return Redriven(intent.number, moved, is_running=after is not None and not after.is_done)


# Carrying out


def proceed(draft: Draft, command: ContinueIntent) -> bool:
    """One more step. True when nothing is left to do."""
    intent = draft.intent(command.number)
    if intent is None or intent.is_done:
        return True
    step(draft, command.number)
    after = draft.intent(command.number)
    return after is None or after.is_done


def step(draft: Draft, number: int) -> int:
    """One bounded step of an intent. How many deliveries it moved."""
    intent = draft.intent(number)
    if intent is None or intent.is_done:
        return 0
    record = draft.find_rule(intent.rule)
    if record is None or (intent.kind is not IntentKind.DISCARD and record.is_deleted):
        _finish(draft, intent)
        return 0
    if intent.kind is not IntentKind.DISCARD:
        return _step_dead(draft, intent, record)
    is_deletion = intent.reason == Reason.RULE_DELETED
    return _step_deleted(draft, intent, record) if is_deletion else _step_discard(draft, intent)


def _finish(draft: Draft, intent: Intent) -> None:
    draft.set_intent(msgspec.structs.replace(intent, is_done=True))


def _step_dead(draft: Draft, intent: Intent, record: RuleRecord) -> int:
    """Go on through the dead letters; those that are meant are redriven or purged."""
    after = (intent.after_position, intent.after_run)
    rows = draft.view.dead(draft.bus, record.uid, after, limits.INTENT_ROWS_PER_STEP)
    moved = 0
    for row in rows:
        if draft.is_touched(row.key) or not intent.filter.matches(row):
            continue
        if intent.kind is IntentKind.PURGE:
            discard(draft, row, intent.reason, intent.by)
            moved += 1
        else:
            intent, is_moved = _redrive_one(draft, intent, record, row)
            moved += is_moved
    is_done = len(rows) < limits.INTENT_ROWS_PER_STEP
    position, run = (rows[-1].position, rows[-1].run) if rows else after
    draft.set_intent(msgspec.structs.replace(intent, after_position=position, after_run=run, is_done=is_done))
    return moved


def _redrive_one(draft: Draft, intent: Intent, record: RuleRecord, delivery: Delivery) -> tuple[Intent, bool]:
    """Back to pending with fresh attempts; the lease count goes on, so an old lease stays old. The intent paced further."""
    if decode_note(delivery.note).reason == Reason.EVALUATION and not _matches_now(draft, record, delivery):
        return intent, False
    if record.is_ordered and not delivery.lane and (event := draft.event(delivery.position)) is not None:
        delivery = msgspec.structs.replace(delivery, lane=lane_of(record.rule.delivery, event.json))
    work_ms = draft.time.work_ms
    if intent.per_s:
        intent = msgspec.structs.replace(intent, paced_ms=next_paced(intent.paced_ms, intent.per_s, work_ms))
    at_ms = max(work_ms, int(intent.paced_ms))
    # Only a dead head stands in its lane; what was skipped, or never could be judged, joins it where others may be under way.
    is_joining = delivery.lane and not draft.lanes.is_parked_by(delivery)
    is_behind = is_joining and draft.lanes.is_busy(delivery.rule, delivery.run, delivery.lane)
    state = State.BLOCKED if is_behind else State.WAITING
    draft.move(delivery, msgspec.structs.replace(delivery, state=state, at_ms=at_ms, attempts=0, first_ms=0))
    return intent, True


def _matches_now(draft: Draft, record: RuleRecord, delivery: Delivery) -> bool:
    """Evaluate again; a delivery that does not match is discarded, one that still cannot be judged stays the dead letter it is."""
    stored = draft.event(delivery.position)
    try:
        is_match = stored is not None and evaluate(parse_pattern(record), decode(stored.json))
    except Exception:  # noqa: BLE001 - see above
        return False
    if stored is not None and not is_match:
        discard(draft, delivery, Reason.NO_MATCH)
    return is_match


def _step_discard(draft: Draft, intent: Intent) -> int:
    """Discard what a closed run, or the part of a backlog past its cap, still holds. Of a cap's, what is leased is left to its end."""
    rows = _pending(draft, intent, is_leased_too=not intent.below)
    moved = _discard_untouched(draft, intent, rows)
    if not rows and not draft.has_pending(intent.rule, intent.run, intent.below):
        _finish(draft, intent)
    return moved


def _step_deleted(draft: Draft, intent: Intent, record: RuleRecord) -> int:
    """Discard what waits for a deleted rule, and its dead letters, which nobody could name any more.

    Live leases are left to end first; when nothing is left the rule is gone.
    """
    moved = _discard_untouched(draft, intent, _pending(draft, intent, is_leased_too=False))
    if moved == 0:
        dead = draft.view.dead(draft.bus, record.uid, (0, -1), limits.INTENT_ROWS_PER_STEP)
        moved = _discard_untouched(draft, intent, dead)
    if moved == 0 and not draft.view.pending(draft.bus, record.uid, 1) and not draft.has_pending(record.uid):
        _finish(draft, intent)
        draft.set_rule(msgspec.structs.replace(record, status=Status.DELETED))
    return moved


def _pending(draft: Draft, intent: Intent, *, is_leased_too: bool) -> list[Delivery]:
    limit = limits.INTENT_ROWS_PER_STEP
    return draft.view.pending(draft.bus, intent.rule, limit, run=intent.run, below=intent.below, is_leased_too=is_leased_too)


def _discard_untouched(draft: Draft, intent: Intent, rows: list[Delivery]) -> int:
    """What this step has touched is looked at by the next one."""
    moved = [row for row in rows if not draft.is_touched(row.key)]
    for delivery in moved:
        discard(draft, delivery, intent.reason, intent.by)
    return len(moved)


def discard(draft: Draft, delivery: Delivery, reason: str, by: str = "") -> None:
    draft.end(delivery, State.DISCARDED, Note(reason=reason, at_ms=draft.time.time_ms, by=by))


def bury(draft: Draft, record: RuleRecord) -> None:
    """Leave the tombstone of a rule that is being deleted: where one that goes on for its live run begins."""
    unread = draft.backfill(record.uid, record.run)
    oldest = draft.oldest_owed(record.uid, record.run)
    places = [record.version]
    places += [unread.next_position] if unread is not None and not unread.is_done else []
    places += [oldest] if oldest is not None else []
    first = min(places)
    before = tuple(done for done in record.resumed if done.until >= first)
    tombstone = Tombstone(record.name, record.uid, record.run, first, record.version, draft.time.time_ms, before)
    draft.set_tombstone(tombstone)
