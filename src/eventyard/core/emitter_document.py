"""What the documents of emitters of all kinds have in common, and how it is checked. `Kind.refusal` says no."""

import re
from typing import Annotated

import msgspec

from eventyard.core import limits, order_key
from eventyard.core.attributes import is_value
from eventyard.core.emitter import Kind
from eventyard.core.event import RESERVED_TYPES
from eventyard.core.pattern import language

Wait = Annotated[float, msgspec.Meta(ge=0, le=limits.HOLD_S_MAX)]
KeyPath = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.KEY_PATH_LENGTH_MAX)]
KeysMax = Annotated[int, msgspec.Meta(ge=1, le=limits.DETECTOR_KEYS_MAX)]
PerSecond = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
Description = Annotated[str, msgspec.Meta(max_length=limits.DESCRIPTION_LENGTH_MAX)]
Owner = Annotated[str, msgspec.Meta(max_length=limits.NAME_LENGTH_MAX)]


class Emitted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The event that something is told by."""

    type: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.EMITTED_TYPE_LENGTH_MAX)]


def types(emit: msgspec.Struct) -> tuple[str, ...]:
    """Of an `emit` that has an `Emitted`, or none, for each of what may be told."""
    told = (getattr(emit, name) for name in emit.__struct_fields__)
    return tuple(emitted.type for emitted in told if emitted is not None)


def check_size(kind: Kind, body: bytes) -> None:
    if len(body) > limits.RULE_BYTES_MAX:
        raise kind.refusal(f"found {len(body)} bytes", wanted=f"at most {limits.RULE_BYTES_MAX}")


def check_pattern(text: bytes, name: str) -> None:
    """One that everything matches is no pattern."""
    try:
        language.parse(text)
    except (language.InvalidPattern, language.PatternTooCostly) as error:
        raise type(error)(error.found, wanted=error.wanted, at=(f"/{name}" + error.at).rstrip("/")) from error


def check_key(kind: Kind, path: str) -> None:
    if not order_key.is_path(path):
        wanted = "printable names joined by dots, without quotes and backslashes, as subject or data.car.id"
        raise kind.refusal(f'found "{path}"', wanted=wanted, at="/key")


def check_emit(kind: Kind, emit: msgspec.Struct) -> None:
    """The types that are told; that there is one at least is for the caller to say."""
    for name in emit.__struct_fields__:
        emitted = getattr(emit, name)
        if emitted is not None:
            _check_type(kind, emitted.type, at=f"/emit/{name}/type")


def _check_type(kind: Kind, text: str, *, at: str) -> None:
    if text.startswith(RESERVED_TYPES):
        raise kind.refusal(f'found "{text[:60]}"', wanted=f"a type that does not begin with {RESERVED_TYPES}", at=at)
    if not is_value(text) or _SPACES.search(text):
        raise kind.refusal("found spaces or control characters", wanted="an event type, as car.sold", at=at)


_SPACES = re.compile(r"^\s|\s$")


def ms(seconds: float) -> int:
    """A wait that is asked for is one."""
    return max(1, round(seconds * 1000)) if seconds else 0
