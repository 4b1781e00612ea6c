"""The key of an event under a rule that keeps order, and the lane that stands for it.

Keys are kept as 63-bit hashes. Two keys of one hash share a lane: they then wait for each other, and nothing worse. Two spellings of
one key must not get two lanes, or the second would overtake the first; so a number counts by its value, also inside of other JSON.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from eventyard.core import strict_json
from eventyard.core.rule import DeliveryPolicy

_KEYS_REMEMBERED = 65_536
_PATHS_REMEMBERED = 1_024
"""Decoders, some kilobytes each. Few rules keep order by other paths."""


def lane_of(policy: DeliveryPolicy, event: bytes) -> int:
    """The lane of an event of the log, in its structured form; 0 where the rule keeps no order or the event has no key."""
    if policy.order == "none":
        return 0
    return lane_of_key(key_of(policy, event))


def key_of(policy: DeliveryPolicy, event: bytes) -> Any:
    """The key of an event under a policy that keeps order; None where it has none."""
    return _reader(policy.key)(event)


def at_path(path: str, event: bytes) -> Any:
    """What stands in an event of the log at a path of objects, as `data.order_id`; None where nothing does."""
    return _reader(path)(event)


def lane_of_key(key: Any) -> int:
    """The lane of a key: any JSON value as `strict_json` reads it, None for none."""
    if key is None:
        return 0
    return _hash("s" + key if isinstance(key, str) else "j" + _canonical(key))


def is_path(text: str) -> bool:
    """Whether it can name the place of a key in an event, as `data.order_id` does."""
    return all(text.split(".")) and text.isprintable() and '"' not in text and "\\" not in text


def scalar_text(value: Any) -> str | None:
    """A string, number or boolean as the text of a key, the same for every spelling of one number; None for all else."""
    if isinstance(value, str):
        return value
    return _canonical(value) if isinstance(value, bool | int | float | Decimal) else None


@lru_cache(_KEYS_REMEMBERED)
def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") >> 1 or 1


def _canonical(value: Any) -> str:
    """JSON that is the same text for the same value."""
    if isinstance(value, float | Decimal):
        return _number(Decimal(repr(value)) if isinstance(value, float) else value)
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_canonical(member)}" for name, member in sorted(value.items())) + "}"
    return json.dumps(value)


def _number(number: Decimal) -> str:
    """An integer as such: the log holds none beyond a double. Another one by its digits, without zeros at their end."""
    if number == number.to_integral_value():
        return str(int(number))
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits))
    cut = text.rstrip("0")
    return f"{'-' * sign}{cut}e{int(exponent) + len(text) - len(cut)}"


# Reading


@lru_cache(_PATHS_REMEMBERED)
def _reader(path: str) -> Callable[[bytes], Any]:
    """How the key is read from an event's bytes. Only what the path names is built; msgspec passes over the rest in C.

    What msgspec reads of a real number is a double, which may not be all of it: those, and what holds any, are read again exactly.
    """
    if not path:
        return _default_key
    steps = path.split(".")
    decode = msgspec.json.Decoder(_projection(tuple(steps))).decode

    def read(event: bytes) -> Any:
        key = _follow(decode(event), steps)
        if isinstance(key, float | list | dict):
            return _follow_exactly(strict_json.decode(event), steps)
        return None if key is msgspec.UNSET else key

    return read


def _projection(steps: tuple[str, ...]) -> Any:
    """A struct for the first step, in it one for the second, and so on. Other JSON may stand at each step but the outermost."""
    inner: Any = Any
    for step in reversed(steps):
        struct = msgspec.defstruct("Step", [("step", inner, msgspec.UNSET)], rename={"step": step})
        inner = struct | list[Any] | str | int | float | bool | None
    return struct


def _follow(found: Any, steps: Iterable[str]) -> Any:
    for _ in steps:
        if not isinstance(found, msgspec.Struct):
            return None
        found = found.step  # type: ignore[attr-defined]
    return found


def _follow_exactly(found: Any, steps: Iterable[str]) -> Any:
    for step in steps:
        if not isinstance(found, Mapping):
            return None
        found = found.get(step)
    return found


class _Keyed(msgspec.Struct):
    """Attributes are strings, booleans or small integers."""

    partitionkey: str | int | bool | None = None
    subject: str | None = None


_read_keyed = msgspec.json.Decoder(_Keyed).decode


def _default_key(event: bytes) -> str | int | None:
    """`partitionkey` (the CloudEvents partitioning extension), else `subject`."""
    keyed = _read_keyed(event)
    return keyed.subject if keyed.partitionkey is None else keyed.partitionkey
