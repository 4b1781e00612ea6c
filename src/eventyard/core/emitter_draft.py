"""What one step has changed of its bus's emitters, over what is committed: a part of the `Draft`.

An event that is appended is heard by the emitters that it concerns, and waits here until `emitting` attends to it, before anything
else of the step is done: an edit that comes after it in the log does not see it.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from eventyard.core import emitter_plan
from eventyard.core.changes import StoredEvent
from eventyard.core.emitter import EmitterRecord, EmitterTally, Kept, Kind, Looked
from eventyard.core.emitter_plan import Plan, owner_of
from eventyard.core.emitter_state import EmitterState
from eventyard.core.event import Event
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.strict_json import decode
from eventyard.core.view import View

if TYPE_CHECKING:
    from eventyard.core.listening import Listening


class Heard(msgspec.Struct, frozen=True):
    """An event that concerns emitters: by ear (`emitter_plan.ear`), ascending."""

    event: StoredEvent
    ears: list[int]
    failed: list[int]
    """Ears that could not be asked: the event costs too much to judge."""
    keys: dict[int, str | None]
    """By ear, where somebody has asked for it already: whose state the event tells."""


class Concerned(msgspec.Struct, frozen=True):
    """Whom an event will concern, as long as the same emitters listen: what `Heard` has, of an event that is yet to be appended."""

    json: bytes
    ears: list[int]
    failed: list[int]
    keys: dict[int, str | None]


class EmitterDraft:
    def __init__(self, state: EmitterState, view: View, bus: int, work_ms: int) -> None:
        self._state = state
        self._view = view
        self._bus = bus
        self.listening: Listening = state.listening
        self.hold_clock_ms = work_ms if work_ms >= state.rest_until_ms else 0
        """The work time up to which holds end: none but those that end as they begin, while they rest."""
        self.heard: deque[Heard] = deque()
        self.plans: dict[int, Plan] = {}
        self.looked: Looked | None = None
        self._records: dict[int, EmitterRecord] = {}
        self._names: dict[tuple[Kind, str], EmitterRecord | None] = {}
        self._kept: dict[tuple[int, str], Kept] = {}
        self._read: dict[tuple[int, str], Kept | None] = {}
        self._tallies: dict[int, dict[str, int]] = {}
        self._foreseen: dict[tuple[str, str], Concerned] = {}

    @property
    def count(self) -> int:
        """How many rows the step has changed."""
        return len(self._kept)

    # What was appended

    def foresee(self, events: Iterable[Event]) -> None:
        """Ask ahead whom these events will concern, and read with one question for each emitter what is kept of their keys."""
        wanted: dict[int, set[str]] = {}
        for event in events:
            concerned = self._foreseen[event.source, event.id] = self._concerned(event.json, event.type)
            for ear in concerned.ears:
                plan = self._state.plans.get(owner_of(ear)[0])
                if plan is None:
                    continue
                key = concerned.keys[ear] = plan.key(event.json)
                if key is not None and self._state.cache.get(plan.record.uid, key) is None:
                    wanted.setdefault(plan.record.uid, set()).add(key)
        for owner, keys in wanted.items():
            self._read.update(dict.fromkeys([(owner, key) for key in keys]))
            self._read.update(((owner, row.key), row) for row in self._view.kept_of(self._bus, owner, sorted(keys)))

    def hear(self, event: StoredEvent) -> None:
        """Let those listen that the event concerns. Only where `listening` has any."""
        foreseen = self._foreseen.get((event.source, event.id)) if self.listening is self._state.listening else None
        if foreseen is None or foreseen.json is not event.json:
            foreseen = self._concerned(event.json)
        if foreseen.ears or foreseen.failed:
            self.heard.append(Heard(event, foreseen.ears, foreseen.failed, foreseen.keys))

    def _concerned(self, event: bytes, kind: str | None = None) -> Concerned:
        try:
            return Concerned(event, self.listening.match(event, kind), [], {})
        except Exception:  # noqa: BLE001 - as with rules: whatever one fails on costs that one the event, nobody else anything
            return Concerned(event, *self._ask_one_by_one(decode(event)), {})

    def _ask_one_by_one(self, document: Any) -> tuple[list[int], list[int]]:
        ears, failed = [], []
        for key, pattern in self.listening.items():
            try:
                if evaluate(pattern, document):
                    ears.append(key)
            except Exception:  # noqa: BLE001 - see `hear`
                failed.append(key)
        return ears, failed

    # Records

    def record(self, uid: int) -> EmitterRecord | None:
        found = self._records.get(uid) or self._state.by_uid.get(uid)
        return None if found is None or found.is_removed else found

    def named(self, kind: Kind, name: str) -> EmitterRecord | None:
        at = (kind, name)
        return self._names[at] if at in self._names else self._state.by_name.get(at)

    def records(self) -> list[EmitterRecord]:
        """Every one that is not deleted."""
        return [record for record in (self._state.by_uid | self._records).values() if not record.is_deleted]

    def plan(self, uid: int) -> Plan | None:
        """Of one that is not deleted."""
        record = self.record(uid)
        if record is None or record.is_deleted:
            return None
        return self.plans.get(uid) or self._state.plans.get(uid)

    def set_record(self, record: EmitterRecord, plan: Plan | None = None) -> None:
        """In force from here on. `plan`: of the document, where it changed."""
        before = self.plan(record.uid)
        self._records[record.uid] = record
        at = (record.kind, record.name)
        if record.is_deleted:
            if (holder := self.named(*at)) is not None and holder.uid == record.uid:
                self._names[at] = None
            self.listening = emitter_plan.with_record(self.listening, before, None)
            return
        self._names[at] = record
        if plan is not None:
            self.plans[record.uid] = plan
            self.listening = emitter_plan.with_record(self.listening, before, plan)

    # What is kept of keys

    def kept(self, owner: int, key: str) -> Kept | None:
        """What is kept of a key now."""
        at = (owner, key)
        own = self._kept.get(at)
        if own is not None:
            return own if own.record else None
        found = self._state.cache.get(owner, key)
        if found is None:
            if at not in self._read:
                self._read[at] = self._view.kept(self._bus, owner, key)
            found = self._read[at]
        return found

    def keep(self, row: Kept) -> None:
        self._kept[row.owner, row.key] = row

    def forget(self, owner: int, key: str) -> None:
        self.keep(Kept(owner, key, None, b""))

    def kept_after(self, owner: int, after: str, limit: int) -> list[Kept]:
        """The next keys in the store after one; as they are now says `now`. What this step added is left out: it is as its emitter wants it."""
        return self._view.kept_after(self._bus, owner, after, limit)

    def due(self, work_ms: int, limit: int) -> list[Kept]:
        """Keys that are due, the longest first, `limit` at the most; where that is all, it is noted. As they are now says `now`."""
        found = self._view.kept_due(self._bus, limit + 1)
        due = [row for row in found[:limit] if row.due_ms is not None and row.due_ms <= work_ms]
        left = found[len(due) :]
        due_ms = left[0].due_ms if left else None
        self.looked = None if due_ms == self._state.due_ms else Looked(due_ms)
        return due

    def now(self, rows: Iterable[Kept]) -> Iterator[Kept]:
        """Rows of the store as this step has left them when it comes to each, without those that it has forgotten."""
        for row in rows:
            own = self._kept.get((row.owner, row.key), row)
            if own.record:
                yield own

    # Counts

    def tally(self, owner: int) -> dict[str, int]:
        """The counts of one, to be changed."""
        counts = self._tallies.get(owner)
        if counts is None:
            counts = self._tallies[owner] = dict(self._state.counts(owner))
        return counts

    # The end of the step

    @property
    def changed_records(self) -> list[EmitterRecord]:
        return list(self._records.values())

    @property
    def changed_kept(self) -> list[Kept]:
        return list(self._kept.values())

    @property
    def changed_tallies(self) -> list[EmitterTally]:
        return [EmitterTally(owner, counts) for owner, counts in self._tallies.items() if self.record(owner) is not None]
