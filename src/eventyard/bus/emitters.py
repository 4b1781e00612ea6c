"""What is asked of emitters of every kind: put, listed, deleted; and the rows of their keys. What those say is for each kind."""

import bisect
from itertools import islice

import msgspec

from eventyard.bus.asking import Asking
from eventyard.core import rule
from eventyard.core.commands import DeleteEmitter, EmitterPut, PutEmitter
from eventyard.core.emitter import EmitterRecord, Kept, Kind
from eventyard.core.errors import NotFound


class EmitterCalls(Asking):
    async def _put_emitter(
        self, kind: Kind, bus: str, name: str, document: msgspec.Struct, *, principal: str, version: int | None
    ) -> EmitterPut:
        """`document`: as its kind has read it, every default written out."""
        text = msgspec.Raw(msgspec.json.encode(document))
        answer: EmitterPut = await self._command(bus, PutEmitter(kind, name, text, principal, version))
        return answer

    async def _delete_emitter(self, kind: Kind, bus: str, name: str, *, principal: str, version: int | None) -> EmitterRecord:
        record: EmitterRecord = await self._command(bus, DeleteEmitter(kind, name, principal, version))
        return record

    def _emitter(self, kind: Kind, bus: str, name: str) -> EmitterRecord:
        record = self._state(bus).emitters.by_name.get((kind, name))
        if record is None:
            wanted = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} that exists"
            raise NotFound(f'found no {kind} "{name[:60]}" on bus "{bus}"', wanted=wanted)
        return record

    def _emitters(self, kind: Kind, bus: str, *, after: str, limit: int | None) -> list[EmitterRecord]:
        """By name, those whose names come after `after`, `limit` at the most."""
        emitters = self._state(bus).emitters
        names = emitters.names.copy()
        following = (at for at in names[bisect.bisect_right(names, (kind, after)) :] if at[0] is kind)
        return list(islice((record for at in following if (record := emitters.by_name.get(at)) is not None), limit))

    async def _rows(self, bus: str, record: EmitterRecord, *, after: str, limit: int) -> list[Kept]:
        """Of the keys that come after `after`, `limit` at the most."""
        return await self._read(lambda view, state: view.kept_after(state.record.number, record.uid, after, limit), bus)

    async def _row(self, bus: str, record: EmitterRecord, key: str) -> Kept | None:
        return await self._read(lambda view, state: view.kept(state.record.number, record.uid, key), bus)


def check_name(kind: Kind, name: str) -> None:
    rule.check_name(name, what=kind)
