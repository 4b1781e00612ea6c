"""Bounded work on what is already there: backfills over the old log, redrives of dead letters, queues of deleted rules.

Each function is one step. Where it stopped is a change like any other, so a crash costs at most the step under way.
"""

import msgspec

from eventyard.core import bus_events, limits
from eventyard.core.changes import Intent, IntentKind
from eventyard.core.commands import AdvanceBackfill, ContinueIntent, Redrive, Redriven
from eventyard.core.delivery import Delivery, Key, Note, Reason, State, decode_note, encode_note
from eventyard.core.draft import Draft
from eventyard.core.errors import NotFound
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.rule import RuleRecord, Status, parse_pattern
from eventyard.core.strict_json import decode


def advance_backfill(draft: Draft, command: AdvanceBackfill) -> bool:
    """Put what the stage matched, unless the rule or the cursor moved since it read."""
    record = draft.find_rule(command.rule)
    backfill = draft.backfill(command.rule)
    if record is None or backfill is None or record.status is not Status.BACKFILLING:
        return False
    if backfill.next_position != command.first or record.version != command.version:
        return False
    for position in command.positions:
        draft.put(command.rule, position)
    for position in command.unevaluated:
        draft.put_unevaluated(command.rule, position)
    draft.set_backfill(msgspec.structs.replace(backfill, next_position=command.last + 1))
    return finish_backfill_if_near(draft, command.rule)


def finish_backfill_if_near(draft: Draft, uid: int) -> bool:
    """Put the last stretch and switch the rule to live in this very step, so nothing is missed and nothing put twice."""
    backfill, record = draft.backfill(uid), draft.rule(uid)
    if backfill is None or draft.head - backfill.next_position >= limits.BACKFILL_LAST_STRETCH:
        return False
    pattern = parse_pattern(record)
    for stored in draft.stretch(backfill.next_position, limits.BACKFILL_LAST_STRETCH):
        try:
            is_match = evaluate(pattern, decode(stored.json))
        except Exception:  # noqa: BLE001 - a rule that fails on an event costs that rule a dead letter, nobody else anything
            draft.put_unevaluated(uid, stored.position)
            continue
        if is_match:
            draft.put(uid, stored.position)
    draft.set_backfill(msgspec.structs.replace(backfill, next_position=draft.head + 1, is_done=True))
    draft.set_rule(msgspec.structs.replace(record, status=Status.LIVE))
    return True


def redrive(draft: Draft, command: Redrive) -> Redriven:
    """Record the request in the log, then move the named deliveries now, or all of the dead in bounded steps."""
    record = draft.rule_named(command.name)
    if record is None:
        raise NotFound(f'found no rule "{command.name}"', wanted="a rule that exists")
    position = _record_redrive(draft, record, command)
    if command.keys is not None:
        return Redriven(position, sum(_redrive_key(draft, record, key) for key in command.keys), is_running=False)
    draft.set_intent(Intent(position, record.uid, IntentKind.REDRIVE, until_ms=draft.time.time_ms))
    moved = step_intent(draft, position)
    intent = draft.intent(position)
    return Redriven(position, moved, is_running=intent is not None and not intent.is_done)


def _record_redrive(draft: Draft, record: RuleRecord, command: Redrive) -> int:
    which: dict[str, object] = {"all": True} if command.keys is None else {"count": len(command.keys)}
    data = {"name": record.name, "uid": record.uid, "principal": command.principal} | which
    return draft.append_bus_event(bus_events.RULE_REDRIVEN, record.name, data)


def continue_intent(draft: Draft, command: ContinueIntent) -> bool:
    """One more step. True when nothing is left to do."""
    intent = draft.intent(command.number)
    if intent is None or intent.is_done:
        return True
    step_intent(draft, command.number)
    after = draft.intent(command.number)
    return after is None or after.is_done


def step_intent(draft: Draft, number: int) -> int:
    """One bounded step of an intent. How many deliveries it moved."""
    intent = draft.intent(number)
    record = draft.find_rule(intent.rule) if intent is not None else None
    if intent is None:
        return 0
    if record is None or (intent.kind is IntentKind.REDRIVE and record.is_deleted):
        draft.set_intent(msgspec.structs.replace(intent, is_done=True))
        return 0
    if intent.kind is IntentKind.REDRIVE:
        return _step_redrive(draft, intent, record)
    return _step_discard(draft, intent, record)


def _step_redrive(draft: Draft, intent: Intent, record: RuleRecord) -> int:
    after = (intent.after_position, intent.after_run)
    rows = draft.view.dead(draft.bus, record.uid, after, limits.INTENT_ROWS_PER_STEP, until_ms=intent.until_ms)
    moved = sum(_redrive_one(draft, record, row) for row in rows if not draft.is_touched(row.key))
    is_done = len(rows) < limits.INTENT_ROWS_PER_STEP
    position, run = (rows[-1].position, rows[-1].run) if rows else after
    draft.set_intent(msgspec.structs.replace(intent, after_position=position, after_run=run, is_done=is_done))
    return moved


def _redrive_key(draft: Draft, record: RuleRecord, key: Key) -> bool:
    delivery = draft.delivery(key)
    if delivery is None or key[0] != record.uid or delivery.state is not State.DEAD:
        return False
    return _redrive_one(draft, record, delivery)


def _redrive_one(draft: Draft, record: RuleRecord, delivery: Delivery) -> bool:
    """Back to pending with fresh attempts; the lease count goes on, so an old lease stays old."""
    if decode_note(delivery.note).reason == Reason.EVALUATION:
        return _evaluate_again(draft, record, delivery)
    draft.move(delivery, _pending_again(draft, delivery))
    return True


def _evaluate_again(draft: Draft, record: RuleRecord, delivery: Delivery) -> bool:
    stored = draft.event(delivery.position)
    try:
        is_match = stored is not None and evaluate(parse_pattern(record), decode(stored.json))
    except Exception:  # noqa: BLE001 - still not to be evaluated: the delivery stays the dead letter that it is
        return False
    if stored is None:
        return False
    if is_match:
        draft.move(delivery, _pending_again(draft, delivery))
    else:
        draft.move(delivery, _discarded(draft, delivery, Reason.NO_MATCH))
    return is_match


def _pending_again(draft: Draft, delivery: Delivery) -> Delivery:
    return msgspec.structs.replace(delivery, state=State.WAITING, at_ms=draft.time.work_ms, attempts=0, first_ms=0)


def _step_discard(draft: Draft, intent: Intent, record: RuleRecord) -> int:
    """Discard what waits for a deleted rule, then what was leased and never answered. Live leases are left to end first."""
    limit = limits.INTENT_ROWS_PER_STEP
    rows = draft.view.waiting(draft.bus, record.uid, limit)
    rows = rows or draft.view.due(draft.bus, record.uid, draft.time.work_ms, limit)
    moved = [row for row in rows if not draft.is_touched(row.key)]
    for delivery in moved:
        draft.move(delivery, _discarded(draft, delivery, Reason.RULE_DELETED))
    if not rows and draft.view.next_due(draft.bus, record.uid) is None and not draft.has_pending(record.uid):
        draft.set_intent(msgspec.structs.replace(intent, is_done=True))
        draft.set_rule(msgspec.structs.replace(record, status=Status.DELETED))
    return len(moved)


def _discarded(draft: Draft, delivery: Delivery, reason: Reason) -> Delivery:
    note = encode_note(Note(reason=reason, at_ms=draft.time.time_ms))
    return msgspec.structs.replace(delivery, state=State.DISCARDED, at_ms=draft.time.time_ms, note=note)
