"""Expectations: put, listed, deleted; and what each has open."""

import msgspec

from eventyard.bus import emitters
from eventyard.bus.emitters import EmitterCalls
from eventyard.core import expectation_document, expecting
from eventyard.core.bus_state import BusState
from eventyard.core.clock import BusTime
from eventyard.core.commands import EmitterPut
from eventyard.core.emitter import EmitterRecord, Kept, Kind
from eventyard.core.errors import NotFound
from eventyard.core.expectation import KeyState, wake_ms
from eventyard.core.expectation_document import Expectation


class ExpectationStatus(msgspec.Struct, frozen=True):
    """An expectation as it is in force, and what was counted of it, by name."""

    record: EmitterRecord
    expectation: Expectation
    counts: dict[str, int]


class ExpectedKey(msgspec.Struct, frozen=True):
    """What an expectation keeps of one key. `ends_ms` (bus time): when it is missed, or, once it is, not told as late any more."""

    key: str
    state: KeyState
    ends_ms: int


class ExpectationCalls(EmitterCalls):
    async def put_expectation(
        self, bus: str, name: str, document: bytes, *, principal: str = "", version: int | None = None
    ) -> EmitterPut:
        """Create or change an expectation from its JSON document. `version`: only the one that has it, 0 for none that is there."""
        emitters.check_name(Kind.EXPECTATION, name)
        expectation = expectation_document.parse(document)
        return await self._put_emitter(Kind.EXPECTATION, bus, name, expectation, principal=principal, version=version)

    async def delete_expectation(
        self, bus: str, name: str, *, principal: str = "", version: int | None = None
    ) -> EmitterRecord:
        return await self._delete_emitter(Kind.EXPECTATION, bus, name, principal=principal, version=version)

    def expectation(self, bus: str, name: str) -> ExpectationStatus:
        return _status(self._state(bus), self._emitter(Kind.EXPECTATION, bus, name))

    def expectations(self, bus: str, *, after: str = "", limit: int | None = None) -> list[ExpectationStatus]:
        """By name, those whose names come after `after`, `limit` at the most."""
        found = self._emitters(Kind.EXPECTATION, bus, after=after, limit=limit)
        return [_status(self._state(bus), record) for record in found]

    async def expectation_keys(self, bus: str, name: str, *, after: str = "", limit: int) -> list[ExpectedKey]:
        """What is kept of the keys that come after `after`, `limit` at the most."""
        record, time = self._emitter(Kind.EXPECTATION, bus, name), self._now()
        rows = await self._rows(bus, record, after=after, limit=limit)
        return [key for row in rows if (key := _expected(record, row, time)) is not None]

    async def expectation_key(self, bus: str, name: str, key: str) -> ExpectedKey:
        record, time = self._emitter(Kind.EXPECTATION, bus, name), self._now()
        row = await self._row(bus, record, key)
        found = None if row is None else _expected(record, row, time)
        if found is None:
            wanted = "one that is open, or was missed and may be late"
            raise NotFound(f'found nothing of the key "{key[:60]}" of the expectation "{name}"', wanted=wanted)
        return found


def _status(state: BusState, record: EmitterRecord) -> ExpectationStatus:
    expectation = expectation_document.read(bytes(record.document))
    return ExpectationStatus(record, expectation, dict(state.emitters.counts(record.uid)))


def _expected(record: EmitterRecord, row: Kept, time: BusTime) -> ExpectedKey | None:
    known = expecting.read_key(row.record)
    if known is None:
        return None
    terms = expectation_document.terms(expectation_document.read(bytes(record.document)))
    return ExpectedKey(row.key, known, time.time_ms + max(0, wake_ms(known, terms) - time.work_ms))
