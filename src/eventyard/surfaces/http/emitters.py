"""What detectors and expectations have in common at the door."""

from typing import Annotated, Any, TypeVar

import msgspec

from eventyard.core.emitter import EmitterRecord
from eventyard.surfaces.http.calls import Answer, json_answer
from eventyard.surfaces.http.times import rfc3339

State = TypeVar("State", bound=msgspec.Struct)


class KeysQuery(msgspec.Struct, frozen=True):
    """Keys that come after `after`."""

    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100


def document(name: str, read: type[msgspec.Struct], patterns: dict[str, Any], left_out: frozenset[str] = frozenset()) -> Any:
    """The type of what is PUT, for the OpenAPI document: as what is `read`, but for the types of its patterns. `left_out`: those that may be."""
    fields = []
    for field in msgspec.structs.fields(read):
        default = () if field.required else (msgspec.UNSET if field.name in left_out else field.default,)
        fields.append((field.name, patterns.get(field.name, field.type), *default))
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True)


def state(kind: type[State], record: EmitterRecord, counts: dict[str, int]) -> State:
    """Where it stands, and what was counted of it: every field of the kind's own that is no part of the record."""
    known: dict[str, Any] = {
        "uid": record.uid,
        "version": record.version,
        "created": rfc3339(record.created_ms),
        "changed": rfc3339(record.changed_ms),
        "judging": record.is_sweeping,
    }
    return kind(**known, **{name: counts.get(name, 0) for name in kind.__struct_fields__ if name not in known})


def tagged(record: EmitterRecord, shown: msgspec.Struct, code: int = 200) -> Answer:
    """With its version, which `If-Match` takes."""
    return msgspec.structs.replace(json_answer(shown, code), headers=((b"etag", f'"{record.version}"'.encode()),))
