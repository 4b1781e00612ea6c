"""Rows that hold a record as JSON: buses, rules and what is under way. A strict table vouches for bytes, nobody for what they say."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final, TypeVar

import apsw
import msgspec

from eventyard.core.access import AccessKey
from eventyard.core.changes import Backfill, BusRecord, Intent
from eventyard.core.emitter import EmitterRecord
from eventyard.core.errors import Damaged
from eventyard.core.health import Health
from eventyard.core.rule import RuleRecord, Tombstone
from eventyard.core.rule_history import RuleVersion
from eventyard.core.schedule import ScheduleRecord
from eventyard.engines.sqlite import files

Record = TypeVar(
    "Record", BusRecord, RuleRecord, RuleVersion, Backfill, Intent, Tombstone, AccessKey, Health, EmitterRecord, ScheduleRecord
)

KINDS: Final = MappingProxyType(
    {
        "bus": BusRecord,
        "rule": RuleRecord,
        "rule_version": RuleVersion,
        "backfill": Backfill,
        "intent": Intent,
        "tombstone": Tombstone,
        "access_key": AccessKey,
        "health": Health,
        "emitter": EmitterRecord,
        "schedule": ScheduleRecord,
    }
)
"""What the column `record` of each table holds."""


def decode(text: Any, kind: type[Record], path: str) -> Record:
    """The record, or `Damaged`."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (TypeError, msgspec.MsgspecError) as error:
        raise Damaged(
            f"found a {kind.__name__} in {path} that cannot be read",
            wanted=f"it as it was written; {files.repair_command(path)}",
        ) from error


def counts(text: Any) -> dict[str, int]:
    """What was counted of an emitter. Counts that cannot be read begin anew: nothing rests on them but what people are told."""
    try:
        return msgspec.json.decode(text, type=dict[str, int])
    except (TypeError, msgspec.MsgspecError):
        return {}


def is_readable(table: str, text: Any) -> bool:
    """Whether a record of a table can be read; one that is not there is none."""
    if text is None:
        return table == "bus"
    try:
        msgspec.json.decode(text, type=KINDS[table])
    except (TypeError, msgspec.MsgspecError):
        return False
    return True


def faults(connection: apsw.Connection) -> Iterator[str]:
    """Every record that cannot be read."""
    for table in KINDS:
        rows: Any = connection.execute(f"SELECT record FROM {table}")  # noqa: S608 - our own tables
        bad = sum(not is_readable(table, text) for (text,) in rows)
        if bad:
            yield f"{bad} of the records in the table {table} cannot be read"
