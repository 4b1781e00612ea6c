"""One delivery in words: where it stands, since when, why, and what its attempts came to."""

from collections.abc import Mapping

from eventyard.core.clock import rfc3339
from eventyard.core.delivery import RELEASED, Attempt, Delivery, Note, Reason, State, decode_note, delivery_id
from eventyard.core.explain.facts import DeliveryTold, Facts, Outcome
from eventyard.core.protection import Held, Hold
from eventyard.core.rule_history import Edit

_DISCARDED: Mapping[str, str] = {
    Reason.RULE_DELETED: "its rule was deleted",
    Reason.NO_MATCH: "the rule, as it was when it was redriven, does not match it",
    Reason.SEEK: "a seek moved the rule elsewhere in the log",
    Reason.CANCELLED: "its replay was cancelled",
    Reason.SKIPPED: "it was skipped, so that its key could go on",
    Reason.PURGED: "it was purged from the dead letters",
    Reason.EXPIRED: "it had been a dead letter for as long as the bus keeps them",
    Reason.CAP: "the rule's backlog was past its cap",
}

_DEAD: Mapping[str, str] = {
    Reason.ATTEMPTS: "its attempts were used up",
    Reason.AGE: "it was tried for as long as the rule allows",
    Reason.ANSWER: "its target will not take it however often it is tried",
    Reason.REJECTED: "its consumer rejected it",
    Reason.EVALUATION: "the rule could not be evaluated on it",
    Reason.FORBIDDEN_TARGET: "the target's address is one that the operator does not allow",
    Reason.TRANSFORM: "the rule's transform could not make a request of it",
    Reason.DAMAGED: "the event is damaged in the store",
}

_STATES = {
    State.WAITING: Outcome.WAITING,
    State.RETRYING: Outcome.RETRYING,
    State.LEASED: Outcome.LEASED,
    State.BLOCKED: Outcome.BLOCKED,
    State.DELIVERED: Outcome.DELIVERED,
    State.DEAD: Outcome.DEAD,
    State.DISCARDED: Outcome.DISCARDED,
}


def told(facts: Facts, row: Delivery, *, is_replayed: bool) -> DeliveryTold:
    note = decode_note(row.note)
    last = (note.attempt,) if note.attempt is not None else ()
    outcome = _outcome(facts, row)
    return DeliveryTold(
        id=delivery_id(facts.incarnation, row.rule, row.position, row.run),
        delivery=row,
        outcome=outcome,
        why=_sentence(facts, row, outcome, note),
        is_replayed=is_replayed,
        due_ms=_due_ms(facts, row),
        reason="" if row.state.is_pending else note.reason,
        by=note.by,
        attempts=(*note.earlier, *last),
    )


def _outcome(facts: Facts, row: Delivery) -> Outcome:
    if not row.state.is_pending or row.state is State.LEASED:
        return _STATES[row.state]
    if row.run in facts.closing:
        return Outcome.DISCARDING
    if row.state is State.BLOCKED:
        ahead = facts.ahead.get(row.run)
        return Outcome.PARKED if ahead is not None and ahead.is_dead else Outcome.BLOCKED
    return Outcome.PAUSED if facts.record is not None and facts.record.is_paused else _STATES[row.state]


def _due_ms(facts: Facts, row: Delivery) -> int | None:
    """The bus time at which a pending one is due, or its lease ends: its row has work time."""
    if not row.state.is_pending or row.state is State.BLOCKED:
        return None
    return facts.time.time_ms + max(0, row.at_ms - facts.time.work_ms)


def _sentence(facts: Facts, row: Delivery, outcome: Outcome, note: Note) -> str:  # noqa: PLR0911 - one return for each outcome
    match outcome:
        case Outcome.DELIVERED:
            by = f"; the answer was {note.status}{_by_line(note.line)}" if note.line else ""
            return f"delivered at {rfc3339(row.at_ms)}, {_attempt_number(row)}{by}"
        case Outcome.DEAD:
            return _dead(row, note)
        case Outcome.DISCARDED:
            return f"discarded at {rfc3339(row.at_ms)}{_by(note.by)}: {_DISCARDED.get(note.reason, note.reason)}"
        case Outcome.DISCARDING:
            return f"about to be discarded: {_DISCARDED.get(facts.closing[row.run], facts.closing[row.run])}"
        case Outcome.LEASED:
            carrier = "http" if facts.record is None else facts.record.carrier
            has = _HAS[carrier]
            return f"{has}, {_attempt_number(row)}; the lease ends at {_due(facts, row)}"
        case Outcome.BLOCKED | Outcome.PARKED:
            return _behind(facts, row)
        case Outcome.PAUSED:
            return f"it waits: {_paused(facts)}"
        case Outcome.RETRYING if row.at_ms <= facts.time.work_ms and facts.held is not None:
            return f"{_held(facts, facts.held)}; to be tried again, {_after(row, note)}"
        case Outcome.RETRYING:
            return f"to be tried again at {_due(facts, row)}, {_after(row, note)}"
        case _:
            return _waiting(facts, row, note)


_HAS = {"queue": "a consumer has it", "http": "it is being pushed", "bus": "it is being published on the other bus"}


def _dead(row: Delivery, note: Note) -> str:
    because = _DEAD.get(note.reason, note.reason)
    if note.reason in {Reason.ATTEMPTS, Reason.AGE}:
        because = f"{because} ({_times(row.attempts)})"
    last = f"; {_came_of(note.attempt)}" if note.attempt is not None else ""
    return f"a dead letter since {rfc3339(row.at_ms)}: {because}{last}"


def _behind(facts: Facts, row: Delivery) -> str:
    ahead = facts.ahead.get(row.run)
    if ahead is None:
        return "it waits for its turn behind others of its key"
    if ahead.is_dead:
        return f"it waits behind position {ahead.position}, a dead letter of the same key, until that is redriven, skipped or purged"
    return f"it waits behind position {ahead.position}, which has the same key and has not ended"


def _waiting(facts: Facts, row: Delivery, note: Note) -> str:
    if row.at_ms > facts.time.work_ms:
        return f"it waits for its time, {_due(facts, row)}"
    if facts.held is not None:
        return _held(facts, facts.held)
    if note.reason:
        return f"it waits to be delivered; it was a dead letter ({note.reason}) and was put back"
    if facts.record is not None and facts.record.is_pulled:
        return "it waits for a consumer to receive it"
    return "it waits: the rule has as many deliveries under way as its concurrency allows, or is about to be served"


def _held(facts: Facts, held: Held) -> str:
    """What keeps back what is due. Only its rule has it wait: nothing of it is spent."""
    until = f" until {rfc3339(facts.time.bus_ms(held.until_ms))}" if held.until_ms is not None else ""
    match held.by:
        case Hold.HANDSHAKE:
            return "it waits for the handshake: its target has not agreed to be pushed to"
        case Hold.BREAKER:
            why = "too many attempts of the rule failed" if until else "a probe is under way"
            return f"it waits behind an open breaker{until}: {why}"
        case Hold.SLOW_START:
            return "it waits: the target has just come back, and as many as its slow start allows are under way"
        case Hold.RETRY_AFTER:
            return f"it waits{until}: the target asked for quiet by Retry-After"
        case Hold.HOST:
            return "it waits for the host of its target, to which as much goes as the operator allows"
        case Hold.RATE:
            return f"it waits for the rate of its rule{until}"


def _after(row: Delivery, note: Note) -> str:
    came = f"; {_came_of(note.attempt)}" if note.attempt is not None else ""
    return f"after {_times(row.attempts)}{came}"


def _came_of(attempt: Attempt) -> str:
    """What an attempt ended with, as a clause."""
    if attempt.status:
        said = f': "{_line(attempt.answer)}"' if attempt.answer else ""
        return f"the last answer was {attempt.status}{said}{_by_line(attempt.line)}"
    if attempt.failure == RELEASED:
        return "its consumer gave it back"
    if attempt.failure:
        return f"the last attempt failed: {attempt.failure}"
    return f'its consumer said: "{_line(attempt.answer)}"'


def _by_line(line: str) -> str:
    """Which line of the rule's own answers decided what the status means."""
    return f" (by the rule's answers, {line})" if line else ""


def _line(text: str) -> str:
    """The start of an answer, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _ANSWER_SHOWN else line[: _ANSWER_SHOWN - 3] + "..."


_ANSWER_SHOWN = 80


def paused(facts: Facts) -> str:
    """Since when the rule is paused, who paused it, and why."""
    edits = [version for version in facts.versions if version.edit is Edit.PAUSED]
    if not edits:
        return "the rule is paused"
    last = edits[-1]
    because = f", because {last.because}" if last.because else ""
    return f"the rule is paused since {rfc3339(last.time_ms)}{_by(last.by)}{because}"


_paused = paused


def _by(principal: str) -> str:
    return f" by {principal}" if principal else ""


def _due(facts: Facts, row: Delivery) -> str:
    return rfc3339(_due_ms(facts, row) or facts.time.time_ms)


def _attempt_number(row: Delivery) -> str:
    return f"at attempt {row.attempts}" if row.attempts != 1 else "at the first attempt"


def _times(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"
