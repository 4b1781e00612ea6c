"""Backfills: old stretches of the log put for one rule, a bounded stretch a step.

Where a backfill stands is a change like any other, so a crash costs at most the step under way. A live run's backfill ends by
switching the rule to live in the step that puts the last stretch, so nothing is missed and nothing put twice; a replay's ends at its
last position.
"""

from collections.abc import Sequence

import msgspec

from eventyard.core import limits
from eventyard.core.changes import Backfill, Pace
from eventyard.core.commands import AdvanceBackfill, Put
from eventyard.core.delivery import Delivery, Reason, State, decode_note
from eventyard.core.draft import Draft
from eventyard.core.loss import damaged_in
from eventyard.core.order_key import lane_of
from eventyard.core.pattern.index import judge
from eventyard.core.rule import Done, RuleRecord, Status, parse_pattern
from eventyard.core.view import View


def advance(draft: Draft, command: AdvanceBackfill) -> bool:
    """Put what the stage matched, unless the rule or the cursor moved since it read."""
    record = draft.find_rule(command.rule)
    backfill = draft.backfill(command.rule, command.run)
    if record is None or record.is_deleted or backfill is None or backfill.is_done:
        return False
    if backfill.next_position != command.first or record.version != command.version:
        return False
    backfill = _put_all(draft, backfill, command)
    is_read = backfill.last is not None and backfill.next_position > backfill.last
    draft.set_backfill(msgspec.structs.replace(backfill, is_done=is_read, ended_ms=draft.time.time_ms if is_read else 0))
    return is_read or (not backfill.is_replay and finish_if_near(draft, record.uid))


def _put_all(draft: Draft, backfill: Backfill, command: AdvanceBackfill) -> Backfill:
    pace = backfill.pace
    for put in command.puts:
        pace = _paced(pace, put, draft.time.work_ms)
        draft.put_old(command.rule, command.run, put.position, put.lane, int(pace.last_ms))
    for position in command.unevaluated:
        draft.put_unevaluated(command.rule, command.run, position)
    return msgspec.structs.replace(backfill, next_position=command.last + 1, pace=pace)


def _paced(pace: Pace, put: Put, work_ms: int) -> Pace:
    """When the next delivery falls due: `last_ms` of what comes back."""
    if pace.per_s:
        return msgspec.structs.replace(pace, last_ms=next_paced(pace.last_ms, pace.per_s, work_ms))
    if pace.is_original:
        first_ms, began_ms = pace.first_ms or put.accepted_ms, pace.began_ms or work_ms
        last_ms = began_ms + put.accepted_ms - first_ms
        return msgspec.structs.replace(pace, first_ms=first_ms, began_ms=began_ms, last_ms=last_ms)
    return pace


def next_paced(last_ms: float, per_s: float, work_ms: int) -> float:
    """When one more falls due of what is spread over time: the first (`last_ms` 0) now; after a standstill nothing is made up."""
    if not last_ms:
        return max(1, work_ms)
    return min(max(last_ms + 1000 / per_s, work_ms), work_ms + limits.PACED_AHEAD_MS_MAX)


def finish_if_near(draft: Draft, uid: int) -> bool:
    """Put the last stretch and switch the rule to live in this very step."""
    record = draft.rule(uid)
    backfill = draft.backfill(uid, record.run)
    if backfill is None or backfill.is_done or draft.head - backfill.next_position >= limits.BACKFILL_LAST_STRETCH:
        return False
    if draft.state.unparked(uid, record.run) >= limits.BACKFILL_UNSETTLED_MAX:
        return False
    _put_stretch(draft, record, backfill)
    draft.set_backfill(msgspec.structs.replace(backfill, next_position=draft.head + 1, is_done=True))
    draft.set_rule(msgspec.structs.replace(record, status=Status.LIVE))
    return True


def _put_stretch(draft: Draft, record: RuleRecord, backfill: Backfill) -> None:
    matches = judge(parse_pattern(record))
    found = draft.stretch(backfill.next_position, limits.BACKFILL_LAST_STRETCH)
    stretch = range(max(backfill.next_position, draft.state.floor), draft.head + 1)
    for position in damaged_in(draft.state.gaps, stretch, {stored.position for stored in found}):
        draft.put_unevaluated(record.uid, record.run, position)
    for stored in found:
        try:
            is_match = matches(stored.json)
        except Exception:  # noqa: BLE001 - a rule that fails on an event costs that rule a dead letter, nobody else anything
            draft.put_unevaluated(record.uid, record.run, stored.position)
            continue
        if is_match and not was_settled(draft.view, draft.bus, record, record.run, stored.position):
            draft.put_old(record.uid, record.run, stored.position, lane_of(record.rule.delivery, stored.json), 0)


def was_settled(view: View, bus: int, record: RuleRecord, run: int, position: int) -> bool:
    """Whether a deleted rule that this one goes on for had the event delivered, or somebody discarded it on purpose.

    A seek or a replay delivers again what was delivered before.
    """
    return not run and settled_by(view, bus, record.resumed, position) is not None


def settled_by(view: View, bus: int, resumed: Sequence[Done], position: int) -> int | None:
    """The uid of the deleted rule among these that had settled the event."""
    keys = [(done.uid, done.run, position) for done in resumed if position <= done.until]
    settled = [row.rule for row in view.deliveries(bus, keys) if _is_settled(row)] if keys else []
    return settled[0] if settled else None


def _is_settled(row: Delivery) -> bool:
    """What was discarded because its rule was deleted, or did not match, is for the new rule to judge."""
    if row.state is State.DISCARDED:
        return decode_note(row.note).reason not in {Reason.RULE_DELETED, Reason.NO_MATCH}
    return row.state is State.DELIVERED
