"""An emitter in virtual time: what it would keep and publish, told of events of the log by the very code of a step. Pure.

Theory of operation. In a step an emitter's code stands on a `Draft`; here it stands on this, which keeps rows in memory instead of a store, and
collects what would be published instead of appending it. Time is what the log says: an event is heard when it was accepted, and what is due
before is looked at before, the longest due first, at the very millisecond. Work time is taken for bus time: how long the bus was
away the log does not tell, so a hold goes on in a rehearsal while it would have stood still.
"""

import heapq
from collections.abc import Callable

import msgspec

from eventyard.core import detector_document, emitter_plan, emitting, expectation_document, limits
from eventyard.core.changes import BusRecord, StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.emitter import EmitterRecord, Kept, Kind
from eventyard.core.emitter_draft import Heard
from eventyard.core.emitter_plan import Plan
from eventyard.core.event import Event


class Told(msgspec.Struct, frozen=True):
    """An event that would have been published: of which key, of which type, for which event of the log, when, and as JSON."""

    key: str
    type: str
    cause: int
    at_ms: int
    event: bytes

    @property
    def name(self) -> tuple[str, str, int]:
        """Two versions tell the same where they say this alike, whenever they do."""
        return self.type, self.key, self.cause


class RehearsedBus(msgspec.Struct, frozen=True):
    """Of a bus what the code of an emitter looks at."""

    record: BusRecord


class Rehearsal:
    """One emitter, by a document that is in force or not. A `Ground`."""

    def __init__(self, record: BusRecord, emitter: EmitterRecord, *, hops_max: int) -> None:
        self.plan = emitter_plan.plan_of(bounded(emitter))
        self.state = RehearsedBus(record)
        self.time = BusTime(0, 0)
        self.hops_max = hops_max
        self.emitters = Rows(self.plan)
        self._told: list[Told] = []
        self._key = ""

    @property
    def counts(self) -> dict[str, int]:
        return self.emitters.counts

    def count_failed(self) -> None:
        """An event that could not be judged."""
        self.counts["failed"] = self.counts.get("failed", 0) + 1

    def hear(self, event: StoredEvent, number: int) -> None:
        """An event that the pattern of its ear `number` matches, accepted now."""
        ear = emitter_plan.ear(self.plan.record.uid, number)
        self._key = self.plan.key(event.json) or ""
        emitting.attend_to(self, Heard(event, [ear], [], {ear: self._key or None}))

    def pass_to(self, time_ms: int, is_over: Callable[[], bool]) -> bool:
        """Let time pass, and what falls due in it. False where it was over before that; at least one key was looked at then."""
        while (row := self.emitters.take_due(time_ms)) is not None:
            self._set_time(max(self.time.time_ms, row.due_ms or 0))
            self._key = row.key
            emitting.wake(self, self.plan, row)
            if is_over():
                return False
        self._set_time(max(self.time.time_ms, time_ms))
        return True

    def _set_time(self, time_ms: int) -> None:
        self.time = BusTime(time_ms, time_ms)
        self.emitters.hold_clock_ms = time_ms

    def awaits(self, key: str) -> int:
        """The position of the event for which something may yet be told of this key; 0: there is none."""
        row = self.emitters.kept(0, key)
        return 0 if row is None else emitting.awaited(self.plan, row)

    def take_told(self) -> list[Told]:
        told, self._told = self._told, []
        return told

    # As a step has it

    def event(self, position: int) -> StoredEvent | None:  # noqa: ARG002 - as `Draft.event`; only another version asks
        return None

    def append(self, event: Event, *, cause: int = 0) -> int:
        self._told.append(Told(self._key, event.type, cause, self.time.time_ms, event.json))
        return 0


class Rows:
    """What is kept of keys, in memory. A `Shelf` of one emitter, whatever its uid."""

    def __init__(self, plan: Plan) -> None:
        self.hold_clock_ms = 0
        self.counts: dict[str, int] = {}
        self.touched: set[str] = set()
        """Keys of which something else was kept since somebody emptied it."""
        self._plan = plan
        self._rows: dict[str, Kept] = {}
        self._due: list[tuple[int, str]] = []
        """A heap. An entry counts as long as the row says so too."""

    def __len__(self) -> int:
        return len(self._rows)

    def plan(self, uid: int) -> Plan | None:  # noqa: ARG002 - as a step has it
        return self._plan

    def tally(self, owner: int) -> dict[str, int]:  # noqa: ARG002 - as a step has it
        return self.counts

    def kept(self, owner: int, key: str) -> Kept | None:  # noqa: ARG002 - as a step has it
        return self._rows.get(key)

    def keep(self, row: Kept) -> None:
        before = self._rows.get(row.key)
        self._rows[row.key] = row
        self.touched.add(row.key)
        if row.due_ms is not None and (before is None or before.due_ms != row.due_ms):
            heapq.heappush(self._due, (row.due_ms, row.key))
            if len(self._due) > limits.REHEARSED_DUE_SPARE + 2 * len(self._rows):
                self._due = [(one.due_ms, one.key) for one in self._rows.values() if one.due_ms is not None]
                heapq.heapify(self._due)

    def forget(self, owner: int, key: str) -> None:  # noqa: ARG002 - as a step has it
        self._rows.pop(key, None)
        self.touched.add(key)

    def clear(self) -> None:
        self._rows.clear()
        self._due.clear()

    def take_due(self, time_ms: int) -> Kept | None:
        """The key that is due the longest, at this time or before; None: there is none."""
        while self._due and self._due[0][0] <= time_ms:
            due_ms, key = heapq.heappop(self._due)
            row = self._rows.get(key)
            if row is not None and row.due_ms == due_ms:
                return row
        return None


def bounded(record: EmitterRecord) -> EmitterRecord:
    """With no more keys than a rehearsal keeps in memory."""
    read = detector_document.read if record.kind is Kind.DETECTOR else expectation_document.read
    said = read(bytes(record.document))
    said = msgspec.structs.replace(said, max_keys=min(said.max_keys, limits.REHEARSED_KEYS_MAX))
    return msgspec.structs.replace(record, document=msgspec.Raw(msgspec.json.encode(said)))
