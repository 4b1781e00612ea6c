"""Detectors: put, listed, deleted; and what each knows of its keys."""

import msgspec

from eventyard import turning
from eventyard.bus import emitters
from eventyard.bus.emitters import EmitterCalls
from eventyard.core import detecting, detector_document, emitter_edits
from eventyard.core.bus_state import BusState
from eventyard.core.clock import BusTime
from eventyard.core.commands import EmitterPut
from eventyard.core.detector import KeyState, Phase
from eventyard.core.detector_document import Detector
from eventyard.core.detector_plan import DetectorPlan
from eventyard.core.emitter import EmitterRecord, Kept, Kind
from eventyard.core.errors import NotFound
from eventyard.core.view import View
from eventyard.ports import Clock
from eventyard.turning import Turns


class DetectorStatus(msgspec.Struct, frozen=True):
    """A detector as it is in force, and what was counted of it, by name."""

    record: EmitterRecord
    detector: Detector
    counts: dict[str, int]


class KeyStatus(msgspec.Struct, frozen=True):
    """What a detector knows of one key. `ends_ms` (bus time): when the hold under way ends, as far as nothing breaks it. `why`: why the
    condition holds, or does not, by the last observation.
    """

    key: str
    state: KeyState
    ends_ms: int | None
    why: str


class DetectorCalls(EmitterCalls):
    _clock: Clock

    async def put_detector(
        self, bus: str, name: str, document: bytes, *, principal: str = "", version: int | None = None
    ) -> EmitterPut:
        """Create or change a detector from its JSON document. `version`: only the one that has it, 0 for none that is there."""
        emitters.check_name(Kind.DETECTOR, name)
        detector = detector_document.parse(document)
        return await self._put_emitter(Kind.DETECTOR, bus, name, detector, principal=principal, version=version)

    async def turns(self, bus: str, name: str, document: bytes, *, after: str = "") -> Turns | None:
        """How many of the keys after `after` a document would turn, were it saved now; bounded, see `Turns.next_after`. None where it changes nothing.

        Raises what saving it would, as to the document.
        """
        emitters.check_name(Kind.DETECTOR, name)
        text, now_ms = msgspec.Raw(msgspec.json.encode(detector_document.parse(document))), self._now().time_ms

        def look(view: View, state: BusState) -> Turns | None:
            before, version = state.emitters.by_name.get((Kind.DETECTOR, name)), state.head + 1
            if before is not None and before.document == text:
                return None
            uid = version if before is None else before.uid
            plan = DetectorPlan(EmitterRecord(uid, Kind.DETECTOR, name, version, text, now_ms, now_ms))
            emitter_edits.check(plan, list(state.emitters.plans.copy().values()), bus=state.record.name)
            turns = Turns(state.emitters.counts(uid).get("keys", 0), next_after=after)
            return turning.look(view, state.record.number, plan, turns, self._clock.monotonic_ms)

        return await self._read(look, bus)

    def is_detector(self, bus: str, name: str) -> bool:
        return (Kind.DETECTOR, name) in self._state(bus).emitters.by_name

    async def delete_detector(self, bus: str, name: str, *, principal: str = "", version: int | None = None) -> EmitterRecord:
        return await self._delete_emitter(Kind.DETECTOR, bus, name, principal=principal, version=version)

    def detector(self, bus: str, name: str) -> DetectorStatus:
        return _status(self._state(bus), self._emitter(Kind.DETECTOR, bus, name))

    def detectors(self, bus: str, *, after: str = "", limit: int | None = None) -> list[DetectorStatus]:
        """By name, those whose names come after `after`, `limit` at the most."""
        return [_status(self._state(bus), record) for record in self._emitters(Kind.DETECTOR, bus, after=after, limit=limit)]

    async def detector_keys(self, bus: str, name: str, *, after: str = "", limit: int) -> list[KeyStatus]:
        """What is known of the keys that come after `after`, `limit` at the most."""
        record, time = self._emitter(Kind.DETECTOR, bus, name), self._now()
        rows = await self._rows(bus, record, after=after, limit=limit)
        plan = self._state(bus).emitters.plans.get(record.uid)
        return [_key_status(plan, row, time) for row in rows] if isinstance(plan, DetectorPlan) else []

    async def detector_key(self, bus: str, name: str, key: str) -> KeyStatus:
        record, time = self._emitter(Kind.DETECTOR, bus, name), self._now()
        row = await self._row(bus, record, key)
        plan = self._state(bus).emitters.plans.get(record.uid)
        if row is None or not isinstance(plan, DetectorPlan):
            raise NotFound(f'found no key "{key[:60]}" of the detector "{name}"', wanted="one that was observed")
        return _key_status(plan, row, time)


def _status(state: BusState, record: EmitterRecord) -> DetectorStatus:
    detector = detector_document.read(bytes(record.document))
    return DetectorStatus(record, detector, dict(state.emitters.counts(record.uid)))


def _key_status(plan: DetectorPlan, row: Kept, time: BusTime) -> KeyStatus:
    known = detecting.read_key(row.record) or KeyState(plan.record.version, Phase.UNKNOWN)
    is_waiting = known.phase.is_waiting
    ends_ms = time.time_ms + max(0, known.due_ms - time.work_ms) if is_waiting else None
    return KeyStatus(row.key, known, ends_ms, plan.why_now(known.values))
