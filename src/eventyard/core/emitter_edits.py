"""Edits of emitters: each is an event in the log of its bus, and governs the events after it.

What an edit means for the keys that are kept is carried out in bounded steps, key by key in their order (a sweep): after a change each is
judged anew, after a deletion each is forgotten. A key that is observed, or due, before the sweep comes to it is judged anew just then.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from eventyard.core import bus_events, detecting, emitter_graph, emitter_plan, emitting, expecting, limits
from eventyard.core.commands import DeleteEmitter, EmitterPut, PutEmitter, Sweep
from eventyard.core.draft import Draft
from eventyard.core.emitter import EmitterRecord, Kept, Kind
from eventyard.core.emitter_plan import Plan
from eventyard.core.errors import NotFound, VersionConflict


def put(draft: Draft, command: PutEmitter) -> EmitterPut:
    """Create it, change it, or find that nothing changes (then the log gets no event)."""
    before = draft.emitters.named(command.kind, command.name)
    if before is not None and before.document == command.document:
        return EmitterPut(before, is_created=False, is_changed=False)
    _check_version(command, before)
    now_ms, position = draft.time.time_ms, draft.head + 1
    if before is None:
        if len(draft.emitters.records()) >= limits.EMITTERS_PER_BUS_MAX:
            raise command.kind.refusal(f"found {limits.EMITTERS_PER_BUS_MAX} on this bus", wanted="to delete one first")
        record = EmitterRecord(position, command.kind, command.name, position, command.document, now_ms, now_ms)
    else:
        record = msgspec.structs.replace(before, version=position, document=command.document, changed_ms=now_ms, swept="")
    plan = emitter_plan.plan_of(record)
    others = [other for one in draft.emitters.records() if (other := draft.emitters.plan(one.uid)) is not None]
    check(plan, others, bus=draft.state.record.name)
    _record(draft, "created" if before is None else "changed", record, command.principal)
    draft.emitters.set_record(record, plan)
    return EmitterPut(record, is_created=before is None, is_changed=True)


def check(plan: Plan, others: Sequence[Plan], *, bus: str) -> None:
    """`Kind.refusal` where it may not stand beside the others, of which the one with its uid is the one that it would change."""
    before = next((other for other in others if other.record.uid == plan.record.uid), None)
    if before is not None:
        _KINDS[plan.record.kind].check_change(before, plan)
    emitter_graph.check(plan, others, bus=bus)


def delete(draft: Draft, command: DeleteEmitter) -> EmitterRecord:
    """It listens no more from here on; a sweep forgets its keys, pending holds and all."""
    before = draft.emitters.named(command.kind, command.name)
    if before is None:
        found = f'found no {command.kind} "{command.name}" on bus "{draft.state.record.name}"'
        raise NotFound(found, wanted=f"a {command.kind} that exists")
    _check_version(command, before)
    version = draft.head + 1
    record = msgspec.structs.replace(before, version=version, changed_ms=draft.time.time_ms, swept="", is_deleted=True)
    _record(draft, "deleted", record, command.principal)
    draft.emitters.set_record(record)
    return record


def _check_version(command: PutEmitter | DeleteEmitter, there: EmitterRecord | None) -> None:
    """That it is the one that the caller saw."""
    check_version(command.kind, command.name, 0 if there is None else there.version, command.version)


def check_version(kind: Kind, name: str, version: int, wanted: int | None, *, at: str = "") -> None:
    """`VersionConflict` where the one of that name is in another `version` than `wanted` (None: in any); 0 stands for none that is there."""
    if wanted is None or wanted == version:
        return
    named = f'{kind} "{name[:60]}"'
    found = f"found the {named} in version {version}" if version else f"found no {named}"
    raise VersionConflict(found, wanted=f"version {wanted}" if wanted else "none to be there", at=at)


def _record(draft: Draft, what: str, record: EmitterRecord, principal: str) -> None:
    data = {
        "name": record.name,
        "uid": record.uid,
        "principal": principal,
        record.kind: record.document,
    }
    draft.append_bus_event(bus_events.of_emitter(record.kind, what), record.name, data)
    emitting.attend(draft)  # Before the edit is in force: it governs what comes after this event.


def sweep(draft: Draft, command: Sweep) -> bool:
    """One more step. True when nothing is left to do."""
    record = draft.emitters.record(command.uid)
    if record is None or record.swept is None:
        return True
    rows = draft.emitters.kept_after(record.uid, record.swept, limits.SWEEP_KEYS_PER_STEP)
    plan = draft.emitters.plan(record.uid)
    for row in draft.emitters.now(rows):
        if plan is None:
            draft.emitters.forget(record.uid, row.key)
        else:
            _KINDS[record.kind].judge_anew(draft, plan, row)
    is_done = not rows
    swept = None if is_done else rows[-1].key
    is_removed = record.is_deleted and is_done
    draft.emitters.set_record(msgspec.structs.replace(record, swept=swept, is_removed=is_removed))
    return is_done


class _KindEdits(msgspec.Struct, frozen=True):
    """What only the kind knows: which changes there may be (`Kind.refusal`), and how a key is judged anew."""

    check_change: Callable[[Any, Any], None]
    judge_anew: Callable[[Draft, Any, Kept], None]


_KINDS: Mapping[Kind, _KindEdits] = MappingProxyType(
    {
        Kind.DETECTOR: _KindEdits(detecting.check_change, detecting.judge_anew),
        Kind.EXPECTATION: _KindEdits(expecting.check_change, expecting.judge_anew),
    }
)
