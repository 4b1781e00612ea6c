"""Settling: what a verdict on a lease, or the end of one, does to its delivery."""

from collections.abc import Mapping

import msgspec

from eventyard.core import limits, replying, rule_edits
from eventyard.core.answer_table import GONE
from eventyard.core.changes import QueueKey
from eventyard.core.commands import Expire, Release, Settle, Settlement
from eventyard.core.delivery import (
    DELIVERED,
    LEASED,
    RELEASED,
    Delivery,
    Note,
    Reason,
    State,
    decode_note,
    encode_note,
    following,
    waiting_state,
)
from eventyard.core.draft import Draft
from eventyard.core.errors import Stale, StaleLease
from eventyard.core.rule import RuleRecord
from eventyard.core.verdict import Dead, Delivered, GivenBack, Gone, Renewed, Retry, used_up


def settle_all(draft: Draft, command: Settle) -> list[StaleLease | None]:
    """One answer for each, in their order; fewer where replies filled the step, and the rest is for the next one."""
    draft.fetch([settlement.key for settlement in command.settlements])
    has_replies = replying.prefetch(draft, command.settlements)
    closed = draft.closed
    answers: list[StaleLease | None] = []
    for settlement in command.settlements:
        answers.append(_settle(draft, settlement, closed))
        if has_replies and draft.is_full:
            break
    return answers


def _settle(draft: Draft, settlement: Settlement, closed: Mapping[QueueKey, str]) -> StaleLease | None:
    """End or continue one delivery by the verdict on one lease of it.

    A verdict counts until a later lease is granted, even when its own lease ran out. The same one again is answered as the
    first time, because the answer may have been lost; another one after it is not taken.
    """
    delivery = draft.delivery(settlement.key)
    record = draft.find_rule(settlement.key[0])
    if delivery is None or record is None or not 1 <= settlement.lease <= delivery.leases:
        return StaleLease(Stale.UNKNOWN, "found a lease that was never granted", wanted="one that receive gave")
    if settlement.lease < delivery.leases:
        return StaleLease(Stale.SUPERSEDED, "found a lease that a later one has followed", wanted="the lease granted last")
    if delivery.state is not LEASED and not delivery.state.is_pending:
        return None if _is_repeated(delivery, settlement) else _ended(delivery)
    if closed and (reason := closed.get((delivery.rule, delivery.run))):
        draft.end(delivery, State.DISCARDED, Note(reason=reason, at_ms=draft.time.time_ms))
        return StaleLease(Stale.CLOSED, "found a lease of a run that has been closed", wanted="a lease of the rule's run now")
    if delivery.state is not LEASED and (stale := _not_any_more(delivery, settlement)) is not None:
        return stale
    return _settle_pending(draft, delivery, record, settlement)


def _not_any_more(delivery: Delivery, settlement: Settlement) -> StaleLease | None:
    """Why a verdict on a delivery that waits again does not count, where it does not."""
    if _is_given_back(delivery, settlement):
        return StaleLease(Stale.RELEASED, "found a lease that was given back", wanted="to receive the delivery again")
    if not delivery.attempts and not isinstance(settlement.verdict, Delivered):
        # It died under this lease and was put back since. That it was done after all counts; that it was not is known.
        return StaleLease(Stale.SUPERSEDED, "found a lease from before a redrive", wanted="to receive the delivery again")
    return None


def _is_given_back(delivery: Delivery, settlement: Settlement) -> bool:
    """Whether a consumer released it before and now says something else."""
    return not isinstance(settlement.verdict, GivenBack) and decode_note(delivery.note).failure == RELEASED


def _settle_pending(draft: Draft, delivery: Delivery, record: RuleRecord, settlement: Settlement) -> StaleLease | None:
    match settlement.verdict:
        case Delivered():
            _deliver(draft, delivery, record, settlement.verdict)
        case Dead(note):
            draft.protection.failed(record, delivery, note)
            kill(draft, delivery, record, note)
        case Renewed(lease_ms):
            return _renew(draft, delivery, lease_ms)
        case Retry() | Gone() | GivenBack() if record.is_deleted:
            draft.end(delivery, State.DISCARDED, Note(reason=Reason.RULE_DELETED, at_ms=draft.time.time_ms))
        case Retry(delay_ms, note, is_counted, hold_ms):
            draft.protection.failed(record, delivery, note, hold_ms, is_counted=is_counted)
            _put_back(draft, delivery, delay_ms, note, is_counted=is_counted)
        case GivenBack(delay_ms, note):
            _give_back(draft, delivery, record, delay_ms, note)
        case Gone(note):
            _put_back(draft, delivery, 0, note, is_counted=False)
            draft.health.failed(delivery, note)
            rule_edits.pause_for(draft, record, because=_paused_by(note))
    return None


def _paused_by(note: Note) -> str:
    """A worker of before says no status: then it was the one that always paused."""
    return f"the target answered {note.status}" if note.status not in {0, GONE} else "the target answered 410 Gone"


def _deliver(draft: Draft, delivery: Delivery, record: RuleRecord, verdict: Delivered) -> None:
    draft.end(delivery, DELIVERED, verdict.note)
    if delivery.rule in draft.health.unwell:
        draft.health.delivered(delivery)
    if delivery.rule in draft.protection.watched:
        draft.protection.went_well(record)
    if verdict.reply is not None:
        replying.take(draft, delivery, record, verdict.reply)


def kill(draft: Draft, delivery: Delivery, record: RuleRecord, note: Note) -> None:
    """A dead letter; in a lane it stays the head and parks its key. Too many parked keys pause the rule."""
    draft.health.failed(delivery, note)
    draft.end(delivery, State.DEAD, note)
    lanes = draft.state.lanes.get(record.uid)
    if delivery.lane and lanes is not None and len(lanes.parked) >= limits.PARKED_KEYS_MAX and not record.is_deleted:
        rule_edits.pause_for(draft, draft.rule(record.uid), because=f"{len(lanes.parked)} keys are parked behind dead letters")


def _give_back(draft: Draft, delivery: Delivery, record: RuleRecord, delay_ms: int, note: Note) -> None:
    reason = used_up(record.rule.delivery, delivery, draft.time.work_ms)
    if reason is None:
        _put_back(draft, delivery, delay_ms, note, is_counted=True)
    else:
        kill(draft, delivery, record, msgspec.structs.replace(note, reason=reason))


def _put_back(draft: Draft, delivery: Delivery, delay_ms: int, note: Note, *, is_counted: bool) -> None:
    if delivery.state is not State.LEASED:
        return  # Released already, say by a restart: it is due sooner than this verdict would have it.
    if is_counted:
        draft.health.failed(delivery, note)
    attempts = delivery.attempts if is_counted else delivery.attempts - 1
    waiting = msgspec.structs.replace(
        delivery,
        state=waiting_state(attempts),
        at_ms=draft.time.work_ms + delay_ms,
        attempts=attempts,
        first_ms=delivery.first_ms if attempts else 0,
        note=encode_note(following(delivery.note, note)),
    )
    draft.move(delivery, waiting)


def _renew(draft: Draft, delivery: Delivery, lease_ms: int) -> StaleLease | None:
    """The lease begins anew; one that ran out and was taken back cannot."""
    if delivery.state is not State.LEASED:
        return StaleLease(Stale.EXPIRED, "found a lease that ran out", wanted="to receive the delivery again")
    draft.move(delivery, msgspec.structs.replace(delivery, at_ms=draft.time.work_ms + lease_ms))
    return None


def _is_repeated(delivery: Delivery, settlement: Settlement) -> bool:
    """Whether this very verdict is what ended the delivery."""
    match settlement.verdict:
        case Delivered():
            return delivery.state is State.DELIVERED
        case Dead(note):
            return delivery.state is State.DEAD and decode_note(delivery.note).reason == note.reason
        case GivenBack():
            return delivery.state is State.DEAD and decode_note(delivery.note).reason in {Reason.ATTEMPTS, Reason.AGE}
        case Retry() | Gone() | Renewed():
            return False


def _ended(delivery: Delivery) -> StaleLease:
    found = f"found a delivery that ended as {delivery.state.name.lower()}"
    return StaleLease(Stale.ENDED, found, wanted="a lease on a pending one")


# Leases that end without a verdict


def release(draft: Draft, command: Release) -> None:
    """What was leased when the last process ended. Attempts stay counted."""
    for delivery in draft.deliveries(command.keys):
        queue = draft.rule(delivery.rule).rule.target.queue
        if delivery.state is not State.LEASED:
            continue
        if queue is not None:
            ends_ms = draft.time.work_ms + int(queue.lease_s * 1000)
            draft.move(delivery, msgspec.structs.replace(delivery, at_ms=max(ends_ms, delivery.at_ms)))
        elif not command.is_push_kept or draft.rule(delivery.rule).carrier == "bus":
            _take_back(draft, delivery)


def take_back_all(draft: Draft) -> None:
    """Every lease, whoever holds it: another incarnation of the bus knows none of the last one's."""
    for delivery in draft.state.leased.values():
        _take_back(draft, delivery)


def expire(draft: Draft, command: Expire) -> int:
    """Leases that ran out go back into their queues, or end where the policy's attempts or age are used up."""
    work_ms = draft.time.work_ms
    over = [row for key, row in draft.state.leased.items() if row.at_ms <= work_ms and not draft.is_touched(key)]
    for delivery in over[: command.limit]:
        _expire_one(draft, delivery)
    return min(len(over), command.limit)


def _expire_one(draft: Draft, delivery: Delivery) -> None:
    record = draft.rule(delivery.rule)
    note = Note(failure="the lease ran out", at_ms=draft.time.time_ms)
    if record.is_deleted:
        draft.end(delivery, State.DISCARDED, Note(reason=Reason.RULE_DELETED, at_ms=draft.time.time_ms))
    elif record.rule.target.queue is not None:
        _give_back(draft, delivery, record, 0, note)
    else:
        draft.health.failed(delivery, note)
        _take_back(draft, delivery)


def _take_back(draft: Draft, delivery: Delivery) -> None:
    state = waiting_state(delivery.attempts)
    draft.move(delivery, msgspec.structs.replace(delivery, state=state, at_ms=draft.time.work_ms))
