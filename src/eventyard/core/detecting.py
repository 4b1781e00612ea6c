"""Detectors at work in a step: what they make of the events that it appended, and of the holds that time has ended (`emitting` calls).

An edge is appended to the log in the step that brings it about, behind the observation; so the observation, the key's new state and the edge
are durable together or not at all. What it says, and its id, follow from the detector, its version and the observation that the edge
goes back to, whenever the step is made. Other detectors may observe it in the same step.
"""

from typing import Any

import msgspec

from eventyard.core import detector, emitter_graph
from eventyard.core.changes import StoredEvent
from eventyard.core.clock import rfc3339
from eventyard.core.detector import Act, Flip, KeyState, Observation, Signal
from eventyard.core.detector_plan import DetectorPlan
from eventyard.core.emitter import Kept
from eventyard.core.emitter_counts import count, turn_ms
from eventyard.core.emitter_ground import Ground
from eventyard.core.errors import InvalidDetector, PatternTooCostly
from eventyard.core.event import Event, make

_decode = msgspec.json.Decoder(KeyState).decode
_encode = msgspec.json.Encoder().encode


def read_key(record: bytes) -> KeyState | None:
    """What a row of a detector holds; None where that cannot be read."""
    try:
        return _decode(record)
    except msgspec.MsgspecError:
        return None


# Observations


def observe(draft: Ground, plan: DetectorPlan, key: str, event: StoredEvent) -> None:
    """An event that the detector hears tells something of `key`."""
    uid = plan.record.uid
    signal: Signal | None
    try:
        signal, values = plan.judged(event.json)
    except PatternTooCostly:
        signal, values = None, ""
    seen = plan.observation(event, work_ms=draft.time.work_ms, values=values)
    if seen is None or signal is None:
        count(draft, uid, "unordered" if seen is None else "failed")
        return
    _take(draft, plan, key, seen, signal)


def _take(draft: Ground, plan: DetectorPlan, key: str, seen: Observation, signal: Signal) -> None:
    uid, clock_ms = plan.record.uid, draft.emitters.hold_clock_ms
    before = _known(draft, plan, key)
    if before is None and draft.emitters.tally(uid).get("keys", 0) >= plan.detector.max_keys:
        count(draft, uid, "over_max_keys")
        return
    now = _ended(draft, plan, key, before or KeyState(plan.record.version))
    if before is not None and detector.is_forgotten(now, plan.terms, clock_ms):
        now = KeyState(plan.record.version)  # Asked first: of a key of which nothing is known no observation is late.
        count(draft, uid, "forgotten")
    elif before is not None and detector.is_late(now, seen.mark):
        count(draft, uid, "late")
        if now is not before:
            _keep(draft, plan, key, before, now)
        return
    count(draft, uid, "observations")
    now, act = detector.observed(now, signal, seen, plan.terms)
    if act is Act.CANCEL:
        count(draft, uid, "cancelled")
    _keep(draft, plan, key, before, _ended(draft, plan, key, now))


def _known(draft: Ground, plan: DetectorPlan, key: str) -> KeyState | None:
    row = draft.emitters.kept(plan.record.uid, key)
    return None if row is None else _in_force(draft, plan, row)


def _in_force(draft: Ground, plan: DetectorPlan, row: Kept) -> KeyState:
    """What is known of a key, judged by the version in force; nothing, where the row cannot be read any more."""
    known = read_key(row.record)
    if known is None:
        return KeyState(plan.record.version)
    if known.version == plan.record.version:
        return known
    signal, values = _last_said(draft, plan, known)
    known = msgspec.structs.replace(known, values=values)
    after, is_turned = detector.rejudged(known, plan.record.version, signal, plan.terms, draft.time.time_ms)
    if is_turned:
        count(draft, plan.record.uid, "turned")
    _keep(draft, plan, row.key, known, after)
    return after


def _last_said(draft: Ground, plan: DetectorPlan, known: KeyState) -> tuple[Signal | None, str]:
    """What the last observation of a key says to the version in force, and of the fields that that one looks at. None, and what was kept of it,
    where the log does not have it any more, or it is none now.
    """
    event = draft.event(known.position) if known.position else None
    signal = None if event is None else plan.signal_of(event.json)
    return (None, known.values) if event is None or signal is None else (signal, plan.values(event.json))


def turns(plan: DetectorPlan, known: KeyState, said: bytes | None) -> bool | None:
    """Whether a key would come to another truth under a plan that is to be in force, by the event `said` last. None where that says nothing to it."""
    signal = None if said is None else plan.signal_of(said)
    return None if signal is None else detector.rejudged(known, plan.record.version, signal, plan.terms, 0)[1]


# Holds


def awaited(row: Kept) -> int:
    """The position of the event to which the hold under way goes back; 0: there is none."""
    known = read_key(row.record)
    return 0 if known is None or known.cause is None else known.cause.position


def wake(draft: Ground, plan: DetectorPlan, row: Kept) -> None:
    """A key's time has come, or was thought to."""
    uid, before = row.owner, _in_force(draft, plan, row)
    after = _ended(draft, plan, row.key, before)
    if not detector.is_forgotten(after, plan.terms, draft.emitters.hold_clock_ms):
        _keep(draft, plan, row.key, before, after)
        return
    count(draft, uid, "forgotten")
    count(draft, uid, "keys", -1)
    count(draft, uid, "pending", -before.phase.is_waiting)
    draft.emitters.forget(uid, row.key)


def _ended(draft: Ground, plan: DetectorPlan, key: str, known: KeyState) -> KeyState:
    """The key, its hold ended and told where it is due and the detector may tell one more edge now."""
    if not detector.is_due(known, draft.emitters.hold_clock_ms):
        return known
    if (
        not known.is_put_off
        and (until_ms := turn_ms(draft, plan.record.uid, plan.detector.max_edges_per_s)) > draft.time.work_ms
    ):
        count(draft, plan.record.uid, "put_off")
        return detector.put_off(known, until_ms)
    after, flip = detector.flipped(known, plan.terms)
    count(draft, plan.record.uid, "rises" if flip.act is Act.RISE else "falls")
    _tell(draft, plan, key, flip)
    return after


def _keep(draft: Ground, plan: DetectorPlan, key: str, before: KeyState | None, after: KeyState) -> None:
    uid = plan.record.uid
    if before is None:
        count(draft, uid, "keys")
    count(draft, uid, "pending", after.phase.is_waiting - (before is not None and before.phase.is_waiting))
    draft.emitters.keep(Kept(uid, key, detector.wake_ms(after, plan.terms), _encode(after)))


# Telling an edge


class Edge(msgspec.Struct, frozen=True):
    """The data of the event that an edge is."""

    detector: str
    key: str
    edge: str
    before: Any
    after: Any
    since: str
    held_for_s: float
    cause: dict[str, Any]
    why: str


def _tell(draft: Ground, plan: DetectorPlan, key: str, flip: Flip) -> None:
    kind = plan.emitted_type(flip.act)
    if flip.cause.hops >= draft.hops_max:
        count(draft, plan.record.uid, "stopped")  # Somebody who acts on the edges brings them about: a loop ends here.
    elif kind is not None:
        draft.append(_event(draft, plan, kind, key, flip), cause=flip.cause.position)


def _event(draft: Ground, plan: DetectorPlan, kind: str, key: str, flip: Flip) -> Event:
    bus, record, cause = draft.state.record, plan.record, flip.cause
    return make(
        {
            "id": f"{bus.incarnation}-{record.uid}-{record.version}-{cause.position}",
            "source": emitter_graph.source(plan, bus.name),
            "type": kind,
            "subject": key,
            "time": rfc3339(flip.time_ms),
            **cause.cause.attributes,
        },
        Edge(
            detector=record.name,
            key=key,
            edge=flip.act,
            before=_said(flip.before),
            after=_said(flip.after),
            since=rfc3339(flip.since_ms),
            held_for_s=flip.held_ms / 1000,
            cause={"position": cause.position, "source": cause.source, "id": cause.id, "type": cause.type},
            why=plan.why(flip.act, flip.after),
        ),
    )


def _said(values: str) -> msgspec.Raw | None:
    return msgspec.Raw(values.encode()) if values else None


# Edits


def check_change(before: DetectorPlan, after: DetectorPlan) -> None:
    """What is kept is of keys, in an order: of other keys, or in another order, it would say nothing."""
    for name in ("key", "order_by"):
        old, new = getattr(before.detector, name), getattr(after.detector, name)
        if old != new:
            wanted = "the same; delete the detector and create it again"
            raise InvalidDetector(f'found "{new}", and it was created with "{old}"', wanted=wanted, at=f"/{name}")


def judge_anew(draft: Ground, plan: DetectorPlan, row: Kept) -> None:
    """A key under the version in force."""
    _in_force(draft, plan, row)
