"""Judges stored events by their bytes: of each only the members are built that a pattern asks for.

A whole event decoded is about a hundred objects and ten microseconds; a pattern asks for one or two members of it, and msgspec passes over
the rest in C. That is right only for bytes that strict ingest has taken, as those of the log are: passing over is not checking.
Attributes are strings, booleans or small integers, which any decoder reads alike. Data may hold numbers that a double does
not, so it is read by `strict_json`, and only where a pattern asks for it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET

from eventyard.core import strict_json
from eventyard.core.attributes import is_member
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import Pattern

MEMBERS_MAX = 64
"""Members asked for: an event has no more attributes. Past it the whole event is decoded."""

_DECODERS_KEPT = 1_024
"""Each some kilobytes. There are as many as different choices of members, and few rules ask for others than `type`, `source`, `data`."""

_DATA = "data"


def judge(*patterns: Pattern) -> Callable[[bytes], bool]:
    """Whether an event of the log matches all of the patterns. What it gives raises what `evaluate` raises."""
    read = _reader(_members(patterns))

    def matches(body: bytes) -> bool:
        document = read(body)
        return all(evaluate(pattern, document) for pattern in patterns)

    return matches


def _members(patterns: tuple[Pattern, ...]) -> tuple[str, ...]:
    """The members of an event that a path of theirs may begin with."""
    fields = (field for pattern in patterns for alternative in pattern.alternatives for field in alternative.fields)
    return tuple(sorted({name for field in fields for name, _ in field.steps.choices if is_member(name)}))


@lru_cache(_DECODERS_KEPT)
def _reader(names: tuple[str, ...]) -> Callable[[bytes], Any]:
    if len(names) > MEMBERS_MAX:
        return strict_json.decode
    fields = [(f"member_{at}", msgspec.Raw if name == _DATA else Any, UNSET) for at, name in enumerate(names)]
    renamed = {field: name for (field, _, _), name in zip(fields, names, strict=True)}
    decode = msgspec.json.Decoder(msgspec.defstruct("Members", fields, rename=renamed, gc=False)).decode

    def read(body: bytes) -> dict[str, Any]:
        found = msgspec.structs.astuple(decode(body))
        document = {name: value for name, value in zip(names, found, strict=True) if value is not UNSET}
        if _DATA in document:
            document[_DATA] = strict_json.decode(bytes(document[_DATA]))
        return document

    return read
