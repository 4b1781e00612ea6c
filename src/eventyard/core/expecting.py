"""Expectations at work in a step: what they make of the events that it appended, and of the time that is over (`emitting` calls).

What an expectation has to tell is appended to the log in the step that brings it about, together with the key's new state: both are durable or
none. What it says, and its id, follow from the expectation, its version, the event that opened it and the one that was waited for. An event
that finds time over ends that first, so it does not matter when the keeper comes.
"""

from typing import Any

import msgspec

from eventyard.core import emitter_graph, expectation
from eventyard.core.changes import StoredEvent
from eventyard.core.clock import rfc3339
from eventyard.core.emitter import Kept
from eventyard.core.emitter_counts import count, turn_ms
from eventyard.core.emitter_ground import Ground
from eventyard.core.errors import InvalidExpectation
from eventyard.core.event import Event, make
from eventyard.core.expectation import KeyState, Outcome, Phase, Signal
from eventyard.core.expectation_plan import ExpectationPlan
from eventyard.core.origin import Origin

_decode = msgspec.json.Decoder(KeyState).decode
_encode = msgspec.json.Encoder().encode


def read_key(record: bytes) -> KeyState | None:
    """What a row of an expectation holds; None where that cannot be read."""
    try:
        return _decode(record)
    except msgspec.MsgspecError:
        return None


def awaited(row: Kept) -> int:
    """The position of the event for which something may yet be told of the key."""
    known = read_key(row.record)
    return 0 if known is None else known.opened.position


# Events


def hear(draft: Ground, plan: ExpectationPlan, key: str, event: StoredEvent, signal: Signal) -> None:
    """An event that the expectation hears is of `key`."""
    uid = plan.record.uid
    row = draft.emitters.kept(uid, key)
    known = None if row is None else _all_ended(draft, plan, key, _in_force(draft, plan, row))
    if known is None and signal is Signal.AFTER and draft.emitters.tally(uid).get("keys", 0) >= plan.expectation.max_keys:
        count(draft, uid, "over_max_keys")
        return
    heard = plan.heard(event, draft.time.work_ms)
    after, act = expectation.taken(known, signal, heard, plan.record.version)
    count(draft, uid, act)
    if known is not None and act.is_told:
        _tell(draft, plan, key, expectation.outcome(known, act, heard, plan.terms))
    _keep(draft, plan, key, known, after)


def _all_ended(draft: Ground, plan: ExpectationPlan, key: str, known: KeyState | None) -> KeyState | None:
    """The key after all that time has ended: whoever finds it so does not wait for the expectation's turn to tell it."""
    while known is not None and expectation.is_over(known, plan.terms, draft.emitters.hold_clock_ms):
        known = _ended(draft, plan, key, known)
    return known


def _ended(draft: Ground, plan: ExpectationPlan, key: str, known: KeyState) -> KeyState | None:
    after, act = expectation.ended(known)
    count(draft, plan.record.uid, act)
    if act.is_told:
        _tell(draft, plan, key, expectation.outcome(known, act, None, plan.terms))
    _keep(draft, plan, key, known, after)
    return after


# Time


def wake(draft: Ground, plan: ExpectationPlan, row: Kept) -> None:
    """A key's time has come, or was thought to."""
    known = _in_force(draft, plan, row)
    if known is None:
        return
    if known.phase is Phase.OPEN and not known.put_off_ms and _is_over(draft, plan, known):
        until_ms = turn_ms(draft, row.owner, plan.expectation.max_missed_per_s)
        if until_ms > draft.time.work_ms:
            count(draft, row.owner, "put_off")
            _keep(draft, plan, row.key, known, expectation.put_off(known, until_ms))
            return
    if _all_ended(draft, plan, row.key, known) is known:
        _keep(draft, plan, row.key, known, known)


def _is_over(draft: Ground, plan: ExpectationPlan, known: KeyState) -> bool:
    return expectation.is_over(known, plan.terms, draft.emitters.hold_clock_ms)


# What is kept


def _in_force(draft: Ground, plan: ExpectationPlan, row: Kept) -> KeyState | None:
    """What is known of a key, judged by the version in force; None: nothing is open, or the row cannot be read any more."""
    known, uid = read_key(row.record), plan.record.uid
    if known is None:
        count(draft, uid, "keys", -1)
        draft.emitters.forget(uid, row.key)
        return None
    if known.version == plan.record.version:
        return known
    after, act = expectation.rejudged(known, plan.record.version, _still_opens(draft, plan, known))
    if act is not None:
        count(draft, uid, act)
    _keep(draft, plan, row.key, known, after)
    return after


def _still_opens(draft: Ground, plan: ExpectationPlan, known: KeyState) -> bool | None:
    """Whether the version in force opens at the event that opened it; None where the log does not have that any more."""
    event = draft.event(known.opened.position)
    return None if event is None else plan.opens(event.json)


def _keep(draft: Ground, plan: ExpectationPlan, key: str, before: KeyState | None, after: KeyState | None) -> None:
    uid = plan.record.uid
    count(draft, uid, "keys", (after is not None) - (before is not None))
    count(draft, uid, "open", _is_open(after) - _is_open(before))
    if after is not None:
        draft.emitters.keep(Kept(uid, key, expectation.wake_ms(after, plan.terms), _encode(after)))
    elif before is not None:
        draft.emitters.forget(uid, key)


def _is_open(known: KeyState | None) -> bool:
    return known is not None and known.phase is Phase.OPEN


# Telling


class Told(msgspec.Struct, frozen=True):
    """The data of the event that an outcome is told by."""

    expectation: str
    key: str
    outcome: str
    within_s: float
    waited_s: float
    after: dict[str, Any]
    expect: dict[str, Any] | None


def _tell(draft: Ground, plan: ExpectationPlan, key: str, outcome: Outcome) -> None:
    kind = plan.expectation.emit.type_of(outcome.act)
    if kind is None:
        return
    if outcome.cause.hops >= draft.hops_max:
        count(draft, plan.record.uid, "stopped")  # Somebody who acts on what it tells brings it about: a loop ends here.
        return
    draft.append(_event(draft, plan, kind, key, outcome), cause=outcome.cause.position)


def _event(draft: Ground, plan: ExpectationPlan, kind: str, key: str, outcome: Outcome) -> Event:
    bus, record, heard = draft.state.record, plan.record, outcome.heard
    return make(
        {
            "id": f"{bus.incarnation}-{record.uid}-{record.version}-{outcome.opened.position}-{outcome.act}",
            "source": emitter_graph.source(plan, bus.name),
            "type": kind,
            "subject": key,
            "time": rfc3339(outcome.time_ms),
            **outcome.cause.cause.attributes,
        },
        Told(
            expectation=record.name,
            key=key,
            outcome=outcome.act,
            within_s=plan.terms.within_ms / 1000,
            waited_s=outcome.waited_ms / 1000,
            after=_shown(outcome.opened, outcome.opened_ms),
            expect=None if heard is None else _shown(heard.origin, heard.at_ms),
        ),
    )


def _shown(event: Origin, accepted_ms: int) -> dict[str, Any]:
    told = {"position": event.position, "source": event.source, "id": event.id, "type": event.type}
    return told | {"accepted": rfc3339(accepted_ms)}


# Edits


def check_change(before: ExpectationPlan, after: ExpectationPlan) -> None:
    """What is kept is of keys: of other keys it would say nothing."""
    old, new = before.expectation.key, after.expectation.key
    if old != new:
        wanted = "the same; delete the expectation and create it again"
        raise InvalidExpectation(f'found "{new}", and it was created with "{old}"', wanted=wanted, at="/key")


def judge_anew(draft: Ground, plan: ExpectationPlan, row: Kept) -> None:
    """A key under the version in force."""
    _in_force(draft, plan, row)
