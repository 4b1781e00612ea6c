"""What differs between two documents of a rule or a bus, field by field, as a person reads it. Pure.

In a pattern the spelling of a number counts (`1.10` is not `1.1`), elsewhere its value (`10` is `10.0`). What is secret is never shown.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from eventyard.core.detector_document import Detector
from eventyard.core.expectation_document import Expectation
from eventyard.core.rule import Rule
from eventyard.core.schedule import Schedule

if TYPE_CHECKING:
    from eventyard.client import Detector as ShownDetector
    from eventyard.client import Expectation as ShownExpectation
    from eventyard.client import Rule as ShownRule
    from eventyard.client import Schedule as ShownSchedule

SECRET = "secret"  # noqa: S105 - the name of the field
_NOTHING = object()


class Difference(msgspec.Struct, frozen=True):
    """`before` and `after` are JSON; None where the field is not there."""

    field: str
    before: str | None
    after: str | None


def between(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[Difference]:
    """Objects are gone into, lists are compared whole. Fields come in the order of `before`, then those that are new."""
    for name in [*before, *(name for name in after if name not in before)]:
        field = f"{path}.{name}" if path else name
        old, new = before.get(name, _NOTHING), after.get(name, _NOTHING)
        if isinstance(old, dict) and isinstance(new, dict) and not _is_secret(old) and not _is_secret(new):
            yield from between(old, new, field)
        elif old != new:
            yield Difference(field, _shown(old), _shown(new))


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {SECRET}


def _shown(value: Any) -> str | None:
    return None if value is _NOTHING else msgspec.json.encode(_veiled(value)).decode()


def _veiled(value: Any) -> Any:
    if _is_secret(value):
        return {SECRET: None if value[SECRET] is None else "(not shown)"}
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 10, as people write it, not 10.0.
    if isinstance(value, dict):
        return {name: _veiled(member) for name, member in value.items()}
    return [_veiled(item) for item in value] if isinstance(value, list) else value


def document_of(rule: Rule) -> dict[str, Any]:
    """A rule that was read, every default written out, as `document_shown` has it too."""
    whole: dict[str, Any] = json.loads(msgspec.json.encode(msgspec.structs.replace(rule, pattern=msgspec.Raw(b"null"))))
    if isinstance(whole["start"], dict):
        whole["start"] = {name: value for name, value in whole["start"].items() if value is not None}
    return _ordered(whole | {"pattern": pattern_of(bytes(rule.pattern))})


def document_shown(rule: "ShownRule") -> dict[str, Any]:
    """The document of a rule as the server shows it."""
    return _ordered(
        {
            "pattern": pattern_of(rule.pattern_json),
            "target": rule.target,
            "start": rule.start,
            "delivery": rule.delivery,
            "replay": rule.replay,
            "description": rule.description,
            "owner": rule.owner,
        }
    )


def schedule_of(schedule: Schedule) -> dict[str, Any]:
    """A schedule that was read, every default written out, as `schedule_shown` has it too."""
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schedule))
    return whole


def schedule_shown(schedule: "ShownSchedule") -> dict[str, Any]:
    return {name: getattr(schedule, name) for name in Schedule.__struct_fields__}


_ORDER = ("description", "owner", "pattern", "target", "start", "delivery", "replay")


def _ordered(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in _ORDER}


def detector_document(detector: Detector) -> dict[str, Any]:
    """As `document_of`, of a detector."""
    nothing = msgspec.Raw(b"null")
    plain = msgspec.structs.replace(detector, on=nothing, when=nothing, until=nothing)
    whole: dict[str, Any] = json.loads(msgspec.json.encode(plain))
    return whole | {name: pattern_of(bytes(getattr(detector, name))) for name in _PATTERNS}


def detector_shown(detector: "ShownDetector") -> dict[str, Any]:
    """As `document_shown`, of a detector."""
    whole = {name: getattr(detector, name) for name in Detector.__struct_fields__}
    return whole | {name: pattern_of(bytes(whole[name])) for name in _PATTERNS}


_PATTERNS = ("on", "when", "until")


def expectation_document(expectation: Expectation) -> dict[str, Any]:
    """As `document_of`, of an expectation."""
    nothing = msgspec.Raw(b"null")
    whole: dict[str, Any] = json.loads(msgspec.json.encode(msgspec.structs.replace(expectation, after=nothing, expect=nothing)))
    return whole | {name: pattern_of(bytes(getattr(expectation, name))) for name in ("after", "expect")}


def expectation_shown(expectation: "ShownExpectation") -> dict[str, Any]:
    """As `document_shown`, of an expectation."""
    whole = {name: getattr(expectation, name) for name in Expectation.__struct_fields__}
    return whole | {name: pattern_of(bytes(whole[name])) for name in ("after", "expect")}


def pattern_of(text: bytes) -> Any:
    """A pattern whose numbers are the text that they are spelt with."""
    return json.loads(text, parse_int=_number, parse_float=_number)


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())
