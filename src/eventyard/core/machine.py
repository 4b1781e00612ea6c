"""The bus as a deterministic machine: committed state and commands go in, changes come out. Nothing here has an effect.

Theory of operation. One step admits a batch of commands on one bus. A `Draft` lies over the committed `BusState` and holds
what the batch has changed so far, so each command sees the ones before it; the committed state itself is only read. Because
matching happens here, an event, its deliveries and the edits around it are one atomic step: there is no lag between the log
and the queues, and the position of an edit event is exactly where the edit takes effect. When the engine has committed
`draft.finish()`, `BusState.apply` takes the changes over; when it has not, the draft is dropped and nothing rests on it.

After the commands come the demands: receivers that wait for deliveries of a rule. A fresh delivery is put already leased
where a receiver waits and nobody is before it in the queue, so a push costs no second commit on its way out.

Publishing, settling and leasing stand here; edits of rules in `rule_edits`, bounded work on old events and dead letters in
`backlog`, the list of buses in `system`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from eventyard.core import backlog, limits, rule_edits, system
from eventyard.core.commands import (
    AdvanceBackfill,
    Command,
    ContinueIntent,
    CreateBus,
    DeleteBus,
    DeleteRule,
    EmptyBus,
    Publish,
    Published,
    PutRule,
    Redrive,
    Release,
    SetPaused,
    Settle,
    Settlement,
)
from eventyard.core.delivery import Delivery, Note, Reason, State, encode_note
from eventyard.core.draft import Draft
from eventyard.core.errors import EventConflict, Refused, StaleLease, TooManyMatches
from eventyard.core.event import Event
from eventyard.core.pattern.ruleset import RuleSet
from eventyard.core.rule import RuleRecord
from eventyard.core.verdict import Dead, Delivered, Gone, Retry
from eventyard.core.view import Known


def prefetch(draft: Draft, commands: Sequence[Command]) -> None:
    """Ask the engine once which ids of the batch it knows; one question for all costs far less than one each."""
    ids = [(event.source, event.id) for command in commands if isinstance(command, Publish) for event in command.events]
    if ids:
        draft.known.update(draft.view.find_ids(draft.bus, ids))


def admit(draft: Draft, command: Command) -> Any:
    """Carry out one command on the draft. Its answer, or a `Refused` raised with the draft untouched."""
    return _STEPS[type(command)](draft, command)


def publish_all(draft: Draft, command: Publish) -> list[Published | Refused]:
    """Every event of the command in one step. The writer calls `publish` itself, so that it can cut between two events."""
    return [publish(draft, command, number) for number in range(len(command.events))]


def foresee(live: RuleSet, events: Sequence[Event]) -> Publish:
    """The command to publish `events`, matched ahead by the index in force now.

    Decoded, an event takes ten times the memory of its bytes; so it is matched by whoever decoded it and let go, rather than
    wait decoded for its step. Where a rule fails on an event the step finds out which.
    """
    try:
        matches = tuple(live.match(event.document) for event in events)
    except Exception:  # noqa: BLE001 - as in `Draft.match`, which is asked then
        return Publish(tuple(events))
    lean = (Event(event.source, event.id, event.type, event.digest, event.json, None) for event in events)
    return Publish(tuple(lean), live, matches)


def publish(draft: Draft, command: Publish, number: int) -> Published | Refused:
    """Append one event of the command unless its source and id are known.

    An expected refusal is a value: a batch goes on past it.
    """
    event = command.events[number]
    known = draft.known.get((event.source, event.id))
    if known is not None and _is_in_window(draft, known):
        return _answer_known(event, known)
    matched = command.matched(number, draft.live)
    matches = draft.match(event) if matched is None else (matched, ())
    if len(matches[0]) + len(matches[1]) > limits.MATCHES_PER_EVENT_MAX:
        return TooManyMatches(f"found {len(matches[0])} matching rules", wanted=f"at most {limits.MATCHES_PER_EVENT_MAX}")
    position = draft.append(event, matches)
    return Published(position, event.source, event.id, is_duplicate=False)


def _is_in_window(draft: Draft, known: Known) -> bool:
    return (
        known.position > draft.head - limits.DEDUP_WINDOW_IDS
        and known.accepted_ms > draft.time.time_ms - limits.DEDUP_WINDOW_MS
    )


def _answer_known(event: Event, known: Known) -> Published | EventConflict:
    if known.digest != event.digest:
        return EventConflict(
            f'found other content under source "{event.source}" and id "{event.id}" than at position {known.position}',
            wanted="the same attributes and data, or a new id",
        )
    return Published(known.position, event.source, event.id, is_duplicate=True)


def settle_all(draft: Draft, command: Settle) -> list[StaleLease | None]:
    return [settle(draft, settlement) for settlement in command.settlements]


def settle(draft: Draft, settlement: Settlement) -> StaleLease | None:
    """End or continue one delivery by the verdict on one lease of it.

    A verdict counts until a later lease is granted, even when its own lease ran out. The same one again is answered as the
    first time, because the answer may have been lost.
    """
    delivery = draft.delivery(settlement.key)
    record = draft.find_rule(settlement.key[0])
    if delivery is None or record is None or delivery.leases != settlement.lease:
        return StaleLease("found a lease that is not the delivery's last", wanted="the lease granted last")
    if delivery.state.is_pending:
        _settle_pending(draft, delivery, record, settlement)
        return None
    return None if _is_repeated(delivery, settlement) else _ended(delivery)


def _settle_pending(draft: Draft, delivery: Delivery, record: RuleRecord, settlement: Settlement) -> None:
    match settlement.verdict:
        case Delivered(note):
            _end(draft, delivery, State.DELIVERED, note)
        case Dead(note):
            _end(draft, delivery, State.DEAD, note)
        case Retry() | Gone() if record.is_deleted:
            _end(draft, delivery, State.DISCARDED, Note(reason=Reason.RULE_DELETED, at_ms=draft.time.time_ms))
        case Retry(delay_ms, note, is_counted):
            _put_back(draft, delivery, delay_ms, note, is_counted=is_counted)
        case Gone(note):
            _put_back(draft, delivery, 0, note, is_counted=False)
            rule_edits.pause_for(draft, record, because="the target answered 410 Gone")


def _end(draft: Draft, delivery: Delivery, state: State, note: Note) -> None:
    """An ended delivery is one compact row: the note stays only where somebody will ask why."""
    kept = b"" if state is State.DELIVERED else encode_note(note)
    ended = Delivery(
        delivery.rule,
        delivery.run,
        delivery.position,
        state,
        draft.time.time_ms,
        delivery.attempts,
        delivery.leases,
        0,
        kept,
    )
    draft.move(delivery, ended)


def _put_back(draft: Draft, delivery: Delivery, delay_ms: int, note: Note, *, is_counted: bool) -> None:
    if delivery.state is State.WAITING:
        return  # Released already, say by a restart: it is due sooner than this verdict would have it.
    attempts = delivery.attempts if is_counted else delivery.attempts - 1
    waiting = msgspec.structs.replace(
        delivery,
        state=State.WAITING,
        at_ms=draft.time.work_ms + delay_ms,
        attempts=attempts,
        first_ms=delivery.first_ms if attempts else 0,
        note=encode_note(note),
    )
    draft.move(delivery, waiting)


def _is_repeated(delivery: Delivery, settlement: Settlement) -> bool:
    return (delivery.state is State.DELIVERED and isinstance(settlement.verdict, Delivered)) or (
        delivery.state is State.DEAD and isinstance(settlement.verdict, Dead)
    )


def _ended(delivery: Delivery) -> StaleLease:
    return StaleLease(f"found a delivery that ended as {delivery.state.name.lower()}", wanted="a pending one")


def release(draft: Draft, command: Release) -> int:
    """Leases whose holder is known to be gone become due at once; their attempts stay counted."""
    leased = [delivery for key, delivery in draft.state.leased.items() if not draft.is_touched(key)][: command.limit]
    for delivery in leased:
        draft.move(delivery, msgspec.structs.replace(delivery, state=State.WAITING, at_ms=draft.time.work_ms))
    return len(leased)


def lease_waiting(draft: Draft) -> None:
    """Grant leases on what waits in the queues of the rules that somebody demands from, until the step is full."""
    for uid, queue in draft.state.queues.items():
        wanted = draft.wanted(uid)
        if wanted > 0 and queue.is_due(draft.time.work_ms) and not draft.is_full and _gives_out(draft.find_rule(uid)):
            _lease_from(draft, uid, wanted)


def _gives_out(record: RuleRecord | None) -> bool:
    return record is not None and not record.is_deleted and not record.is_paused


def _lease_from(draft: Draft, uid: int, count: int) -> None:
    rows = draft.view.due(draft.bus, uid, draft.time.work_ms, count)
    if len(rows) < count:
        draft.drained.append(uid)
    for delivery in rows:
        if draft.is_full:
            break
        if not draft.is_touched(delivery.key):
            _lease_one(draft, delivery)


def _lease_one(draft: Draft, delivery: Delivery) -> None:
    event = draft.event(delivery.position)
    if event is None:
        _end(draft, delivery, State.DEAD, Note(reason=Reason.DAMAGED, at_ms=draft.time.time_ms))
        return
    draft.lease(delivery, event.json)


_STEPS: dict[type, Callable[[Draft, Any], Any]] = {
    Publish: publish_all,
    Settle: settle_all,
    Release: release,
    PutRule: rule_edits.put,
    DeleteRule: rule_edits.delete,
    SetPaused: rule_edits.set_paused,
    AdvanceBackfill: backlog.advance_backfill,
    Redrive: backlog.redrive,
    ContinueIntent: backlog.continue_intent,
    CreateBus: system.create_bus,
    DeleteBus: system.delete_bus,
    EmptyBus: system.empty_bus,
}
