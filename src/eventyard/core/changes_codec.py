"""`Changes` as bytes and back: how they stand in a journal, for nodes that may be of different versions.

Theory of operation. What comes in thousands, events and deliveries, is spelled as arrays without names. What comes by ones goes as the
JSON that stores keep of it too: such records hold JSON text whose spelling counts, and reading them passes over fields that it does not know.
So a field that is added to a record needs nothing here; a field that is added to `Changes` needs a place here, and a test says so.

What is added must be passed over by nodes that do not know it yet without harm, or `record.SPELLING` goes up.
"""

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from eventyard.core.access import AccessKey
from eventyard.core.cause import Derivation
from eventyard.core.changes import Backfill, BusRecord, Changes, Intent, Moved, StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, State
from eventyard.core.emitter import EmitterRecord, EmitterTally, Kept, Looked
from eventyard.core.errors import Damaged
from eventyard.core.health import Health
from eventyard.core.reply import ReplyOutcome
from eventyard.core.rule import RuleRecord, Tombstone
from eventyard.core.rule_history import RuleVersion
from eventyard.core.schedule import ScheduleRecord

RECORDS: Final = MappingProxyType(
    {
        "rules": RuleRecord,
        "versions": RuleVersion,
        "tombstones": Tombstone,
        "backfills": Backfill,
        "intents": Intent,
        "health": Health,
        "emitters": EmitterRecord,
        "emitter_tallies": EmitterTally,
        "schedules": ScheduleRecord,
        "buses": BusRecord,
        "keys": AccessKey,
    }
)
"""The fields of `Changes` that go as JSON, and what each holds."""

_EventRow = tuple[int, int, bytes, bytes, str, str, int]
_DeliveryRow = tuple[int, int, int, State, int, int, int, int, bytes, int]


class _Spelled(msgspec.Struct, omit_defaults=True):
    bus: int
    time: tuple[int, int, bool]
    head: int
    floor: int = 1
    log_bytes: int = 0
    events: list[_EventRow] = []
    derivations: list[tuple[int, int]] = []
    replies: list[tuple[int, ReplyOutcome]] = []
    puts: list[_DeliveryRow] = []
    moves: list[tuple[State, _DeliveryRow]] = []
    kept: list[tuple[int, str, int | None, bytes]] = []
    looked: tuple[int | None] | None = None
    forgotten: list[tuple[int, int]] = []
    emptied_bus: int = 0
    records: dict[str, list[bytes]] = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Spelled)


def encode(changes: Changes) -> bytes:
    return _encoder.encode(
        _Spelled(
            bus=changes.bus,
            time=_row(changes.time),
            head=changes.head,
            floor=changes.floor,
            log_bytes=changes.log_bytes,
            events=_rows(changes.events),
            derivations=_rows(changes.derivations),
            replies=changes.replies,
            puts=_rows(changes.puts),
            moves=[(move.was, _row(move.now)) for move in changes.moves],
            kept=_rows(changes.kept),
            looked=None if changes.looked is None else (changes.looked.due_ms,),
            forgotten=changes.forgotten,
            emptied_bus=changes.emptied_bus,
            records={name: _texts(held) for name in RECORDS if (held := getattr(changes, name))},
        )
    )


def decode(spelled: bytes) -> Changes:
    """Raises `Damaged` where these are no changes."""
    try:
        return _read(_decoder.decode(spelled))
    except msgspec.MsgspecError as error:
        raise Damaged(f"found changes that cannot be read ({error})", wanted="them as they were written") from error


def _read(said: _Spelled) -> Changes:
    records: dict[str, Any] = {name: _records(texts, RECORDS[name]) for name, texts in said.records.items() if name in RECORDS}
    return Changes(
        bus=said.bus,
        time=BusTime(*said.time),
        head=said.head,
        floor=said.floor,
        log_bytes=said.log_bytes,
        events=[StoredEvent(*row) for row in said.events],
        derivations=[Derivation(*row) for row in said.derivations],
        replies=said.replies,
        puts=[Delivery(*row) for row in said.puts],
        moves=[Moved(was, Delivery(*row)) for was, row in said.moves],
        kept=[Kept(*row) for row in said.kept],
        looked=None if said.looked is None else Looked(*said.looked),
        forgotten=said.forgotten,
        emptied_bus=said.emptied_bus,
        **records,
    )


def _row(value: msgspec.Struct) -> Any:
    return msgspec.structs.astuple(value)


def _rows(values: Sequence[msgspec.Struct]) -> list[Any]:
    return [msgspec.structs.astuple(value) for value in values]


def _texts(records: Iterable[Any]) -> list[bytes]:
    return [msgspec.json.encode(record) for record in records]


def _records(texts: Iterable[bytes], kind: type) -> list[Any]:
    return [msgspec.json.decode(text, type=kind) for text in texts]
