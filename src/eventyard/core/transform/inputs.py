"""Values out of an event by their paths, each as it is spelt there: `1.50` stays `1.50`, and a big number big.

Of the event only the objects on the way to a value are taken apart, each once, whatever paths lead through it.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from eventyard.core.errors import InvalidRule
from eventyard.core.transform import Otherwise, TransformFailed
from eventyard.core.transform.placeholder import NAME

FACTS = ("event", "bus", "rule", "delivery", "position", "attempt")
"""What is not in the event and may be asked for with an `@` before it. `event` is the whole of it."""

_STEP = re.compile(r"(?P<name>[^.\[\]]+)(?P<items>(?:\[[0-9]{1,7}\])*)\Z")
_STEPS_MAX = 64


class Path(NamedTuple):
    """A value's way: names of members and numbers of items; or the name of a fact. `default`: where it leads nowhere."""

    text: str
    steps: tuple[str | int, ...]
    fact: str = ""
    default: bytes | None = None


def parse(name: str, written: str | Otherwise, *, at: str) -> Path:
    if not NAME.match(name) or len(name) > 64:
        raise InvalidRule(f'found the name "{name[:60]}"', wanted="letters, digits and _, as order_id", at=at)
    text, default = (written, None) if isinstance(written, str) else (written.path, bytes(written.default))
    if text.startswith("@"):
        if text[1:] not in FACTS:
            raise InvalidRule(f'found "{text[:60]}"', wanted="one of " + ", ".join(f"@{fact}" for fact in FACTS), at=at)
        return Path(text, (), text[1:], default)
    return Path(text, _steps(text, at), "", default)


def _steps(text: str, at: str) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    for part in text.split("."):
        step = _STEP.match(part)
        if step is None:
            raise InvalidRule(f'found the path "{text[:60]}"', wanted="names joined by dots, as data.items[0].sku", at=at)
        steps.append(step["name"])
        steps += [int(number) for number in re.findall("[0-9]+", step["items"])]
    if len(steps) > _STEPS_MAX:
        raise InvalidRule(f"found a path of {len(steps)} steps", wanted=f"at most {_STEPS_MAX}", at=at)
    return tuple(steps)


class Inputs:
    """The named values of one event, as JSON text. Taken out when they are first asked for."""

    def __init__(self, paths: Mapping[str, Path], event: bytes, facts: Mapping[str, bytes]) -> None:
        self._paths = paths
        self._event = event
        self._facts = facts
        self._opened: dict[tuple[str | int, ...], Any] = {}
        self._values: dict[str, bytes] = {}

    def json(self, name: str) -> bytes:
        """The value as JSON text. `TransformFailed` where there is none."""
        value = self._values.get(name)
        if value is None:
            value = self._values[name] = self._find(self._paths[name])
        return value

    def _find(self, path: Path) -> bytes:
        found = self._fact(path.fact) if path.fact else self._follow(path.steps)
        if found is None:
            found = path.default
        if found is None:
            raise TransformFailed(f"found nothing at {path.text}")
        return found

    def _fact(self, name: str) -> bytes | None:
        return self._event if name == "event" else self._facts.get(name)

    def _follow(self, steps: tuple[str | int, ...]) -> bytes | None:
        text = self._event
        for depth, step in enumerate(steps):
            opened = self._open(steps[:depth], text)
            try:
                text = bytes(opened[step])
            except (KeyError, IndexError, TypeError):
                return None
        return text

    def _open(self, steps: tuple[str | int, ...], text: bytes) -> Any:
        """The object or array there, its members as they are spelt; nothing for any other value."""
        opened = self._opened.get(steps)
        if opened is None:
            opened = self._opened[steps] = _decode(text)
        return opened


def _decode(text: bytes) -> dict[str, msgspec.Raw] | list[msgspec.Raw]:
    first = text.lstrip()[:1]
    if first == b"{":
        return _OBJECT(text)
    return _ARRAY(text) if first == b"[" else []


def scalar_text(json: bytes) -> str | None:
    """A string itself, a number or boolean as it is spelt; None for null. `TransformFailed` for what is no text."""
    first = json.lstrip()[:1]
    if first == b'"':
        return _STRING(json)
    if first in (b"{", b"["):
        raise TransformFailed(f"found {'an object' if first == b'{' else 'an array'}; wanted text, a number or a boolean")
    text = json.decode().strip()
    return None if text == "null" else text


def text_of(json: bytes) -> str:
    """As `scalar_text`, and objects, arrays and null as their JSON."""
    return _STRING(json) if json.lstrip()[:1] == b'"' else json.decode().strip()


def items_of(json: bytes) -> list[bytes] | None:
    """The items of an array as they are spelt; None for any other value."""
    return [bytes(item) for item in _ARRAY(json)] if json.lstrip()[:1] == b"[" else None


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw]).decode
_STRING = msgspec.json.Decoder(str).decode
