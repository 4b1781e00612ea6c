"""Detectors: PUT, GET and DELETE of one, the list, and what one knows of its keys."""

from typing import Any

import msgspec

from eventyard.bus.detectors import DetectorStatus, KeyStatus
from eventyard.core.detector import Change
from eventyard.core.detector_document import Detector, Emit
from eventyard.surfaces.http import emitters
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.emitters import KeysQuery
from eventyard.surfaces.http.rules import RulesQuery, version_of
from eventyard.surfaces.http.schemas import MaybePatternText, PatternText, Time
from eventyard.surfaces.http.times import rfc3339
from eventyard.turning import Turns

DetectorDocument: Any = emitters.document(
    "DetectorDocument",
    Detector,
    {"on": PatternText, "when": PatternText, "until": MaybePatternText | msgspec.UnsetType},
    left_out=frozenset({"until"}),
)


class DetectorState(msgspec.Struct, frozen=True):
    """`uid` is the position of the event that records its creation, `version` that of its last change. `judging`: after a change, keys are
    still being judged anew.

    `keys`: how many it knows, of which `pending` wait for a hold to end. Counted since it was created: `observations` that were applied; those that
    were not, being `late`, `unkeyed` (without a key that can be one), `unordered` (without a sequence), past `max_keys` or `failed` (too
    costly to judge); `rises` and `falls`; holds that were `cancelled`, edges that were `put_off` for the sake of `max_edges_per_s`, keys that
    were `forgotten`, and those that a change of the detector has `turned`; edges that were `stopped`, not told, for too many hops lie
    behind their observation.
    """

    uid: int
    version: int
    created: Time
    changed: Time
    judging: bool
    keys: int
    pending: int
    observations: int
    late: int
    unkeyed: int
    unordered: int
    over_max_keys: int
    failed: int
    rises: int
    falls: int
    cancelled: int
    put_off: int
    forgotten: int
    turned: int
    stopped: int


class DetectorAnswer(msgspec.Struct, frozen=True):
    """A detector's document as it is in force, every default written out, its name and what was counted of it."""

    name: str
    on: PatternText
    key: str
    when: PatternText
    until: MaybePatternText
    for_s: float
    keep_for_s: float
    first: str
    order_by: str
    late_by_s: float
    forget_after_s: float | None
    emit: Emit
    max_keys: int
    max_edges_per_s: float
    description: str
    owner: str
    state: DetectorState


class TurnsAnswer(msgspec.Struct, frozen=True):
    """Of the `keys` that the detector knows `judged` were looked at, in their order; `turned` of these come to another truth by the change, which is no edge.

    `unsaid` cannot be judged anew, and stay as they are: the log does not have their last observation any more, or it is none now. `names`: the first
    of those that turn. `next`: the key to go on after; null: these are all.
    """

    keys: int
    judged: int
    turned: int
    unsaid: int
    names: list[str]
    next: str | None


class DetectorPutAnswer(DetectorAnswer, frozen=True):
    """As it is in force now. `turns`: what the change does to keys, as far as a quarter of a second tells; null where nothing was changed."""

    turns: TurnsAnswer | None


class TurnsQuery(msgspec.Struct, frozen=True):
    """Keys that come after `after`."""

    after: str = ""


class DetectorsAnswer(msgspec.Struct, frozen=True):
    """By name. `next` given as `after` continues."""

    detectors: list[DetectorAnswer]
    next: str | None


class ChangeAnswer(msgspec.Struct, frozen=True):
    """That the key came to a `state`, since when, by the observation at `position`. `told`: as an edge."""

    state: str
    since: Time
    position: int
    told: bool


class KeyAnswer(msgspec.Struct, frozen=True):
    """What is known of a key. `state`: unknown, false, pending, true or releasing. `since`: when its truth began; null where nothing is known.

    `position` and `said`: of the last observation, and what it said of the fields that the conditions look at (null: too much to keep). Of a
    hold under way: `hold_since`, and when it `ends` unless something breaks it. `why` the condition holds, or does not. `changes`: the
    last ones.
    """

    key: str
    state: str
    since: str | None
    position: int
    said: Any
    hold_since: str | None
    ends: str | None
    why: str
    changes: list[ChangeAnswer]


class KeysAnswer(msgspec.Struct, frozen=True):
    """By key. `next` given as `after` continues."""

    keys: list[KeyAnswer]
    next: str | None


async def put_detector(call: Call[NoFields]) -> Answer:
    bus, name = call.path["bus"], call.path["detector"]
    turns = await call.yard.turns(bus, name, call.body) if call.yard.is_detector(bus, name) else None
    put = await call.yard.put_detector(bus, name, call.body, principal=call.principal, version=version_of(call.headers))
    status = call.yard.detector(bus, name)
    told = None if turns is None or put.is_created or not put.is_changed else _turns(turns)
    shown = DetectorPutAnswer(**_members(status), turns=told)
    return emitters.tagged(status.record, shown, 201 if put.is_created else 200)


async def turns(call: Call[TurnsQuery]) -> Answer:
    found = await call.yard.turns(call.path["bus"], call.path["detector"], call.body, after=call.query.after)
    return json_answer(TurnsAnswer(0, 0, 0, 0, [], None) if found is None else _turns(found))


def _turns(found: Turns) -> TurnsAnswer:
    return TurnsAnswer(found.keys, found.judged, found.turned, found.unsaid, found.names, found.next_after)


async def detector(call: Call[NoFields]) -> Answer:
    return _tagged(call.yard.detector(call.path["bus"], call.path["detector"]))


async def delete_detector(call: Call[NoFields]) -> Answer:
    bus, name = call.path["bus"], call.path["detector"]
    await call.yard.delete_detector(bus, name, principal=call.principal, version=version_of(call.headers))
    return Answer(204)


def _tagged(status: DetectorStatus) -> Answer:
    return emitters.tagged(status.record, _shown(status))


async def detectors(call: Call[RulesQuery]) -> Answer:
    found = call.yard.detectors(call.path["bus"], after=call.query.after, limit=call.query.limit + 1)
    page = [_shown(status) for status in found[: call.query.limit]]
    return json_answer(DetectorsAnswer(page, page[-1].name if len(found) > len(page) else None))


async def detector_keys(call: Call[KeysQuery]) -> Answer:
    bus, name, query = call.path["bus"], call.path["detector"], call.query
    found = await call.yard.detector_keys(bus, name, after=query.after, limit=query.limit + 1)
    page = [_shown_key(key) for key in found[: query.limit]]
    return json_answer(KeysAnswer(page, page[-1].key if len(found) > len(page) else None))


async def detector_key(call: Call[NoFields]) -> Answer:
    found = await call.yard.detector_key(call.path["bus"], call.path["detector"], call.path["of"])
    return json_answer(_shown_key(found))


def _shown(status: DetectorStatus) -> DetectorAnswer:
    return DetectorAnswer(**_members(status))


def _members(status: DetectorStatus) -> dict[str, Any]:
    document = {name: getattr(status.detector, name) for name in Detector.__struct_fields__}
    state = emitters.state(DetectorState, status.record, status.counts)
    return {"name": status.record.name, **document, "state": state}


def _shown_key(found: KeyStatus) -> KeyAnswer:
    known = found.state
    return KeyAnswer(
        key=found.key,
        state=known.phase.name.lower(),
        since=rfc3339(known.since_ms) if known.since_ms else None,
        position=known.position,
        said=msgspec.Raw(known.values.encode()) if known.values else None,
        hold_since=rfc3339(known.hold_ms) if known.phase.is_waiting else None,
        ends=None if found.ends_ms is None else rfc3339(found.ends_ms),
        why=found.why,
        changes=[_shown_change(change) for change in known.changes],
    )


def _shown_change(change: Change) -> ChangeAnswer:
    return ChangeAnswer(change.to.name.lower(), rfc3339(change.since_ms), change.position, change.is_told)
