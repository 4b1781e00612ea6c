"""A bus, a rule, a detector, an expectation or a schedule as a document for people: without what is so anyway, numbers of the pattern as they are spelt. Pure."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from eventyard.cli import differences
from eventyard.cli.differences import pattern_of
from eventyard.core.detector_document import Detector
from eventyard.core.expectation_document import Expectation
from eventyard.core.rule import DeliveryPolicy, Rule
from eventyard.core.schedule import Emit, Schedule
from eventyard.core.target import HttpTarget, QueueTarget

if TYPE_CHECKING:
    from eventyard.client import Bus
    from eventyard.client import Detector as ShownDetector
    from eventyard.client import Expectation as ShownExpectation
    from eventyard.client import Rule as ShownRule
    from eventyard.client import Schedule as ShownSchedule


class Exported(msgspec.Struct, frozen=True):
    """`path` is where it goes in a folder, without the end of the name."""

    kind: Literal["buses", "rules", "detectors", "expectations", "schedules"]
    bus: str
    path: PurePath
    value: dict[str, Any]


def bus_document(bus: "Bus") -> Exported:
    kept = {} if bus.retention is None else msgspec.to_builtins(bus.retention)
    return Exported("buses", bus.name, PurePath(bus.name, "bus"), _rounded({"name": bus.name, "retention": kept}))


def rule_document(bus: str, rule: "ShownRule") -> Exported:
    """A start at `latest` is what a rule has anyway, and `resume` was an act: neither is told."""
    more = {"description": rule.description, "owner": rule.owner, "delivery": rule.delivery, "replay": rule.replay}
    told = _beyond(more, _DEFAULTS)
    named = told | {"name": rule.name, "bus": bus, "start": rule.start}
    named["pattern"] = pattern_of(rule.pattern_json)
    named["target"] = {kind: _beyond(target, _TARGETS.get(kind, {})) for kind, target in rule.target.items()}
    if rule.start in ("latest", "resume", None):
        del named["start"]
    value = {name: named[name] for name in _ORDER if name in named}
    return Exported("rules", bus, PurePath(bus, "rules", rule.name), _rounded(value))


def detector_document(bus: str, detector: "ShownDetector") -> Exported:
    named = {"name": detector.name, "bus": bus} | _beyond(differences.detector_shown(detector), _DETECTOR)
    return _emitter("detectors", bus, named, detector.emit, Detector)


def expectation_document(bus: str, expectation: "ShownExpectation") -> Exported:
    told = _beyond(differences.expectation_shown(expectation), _defaults(Expectation))
    return _emitter("expectations", bus, {"name": expectation.name, "bus": bus} | told, expectation.emit, Expectation)


def _emitter(
    kind: Literal["detectors", "expectations"], bus: str, named: dict[str, Any], emit: dict[str, Any], of: type[msgspec.Struct]
) -> Exported:
    named["emit"] = {what: emitted for what, emitted in emit.items() if emitted is not None}
    order = (
        "name",
        "bus",
        "description",
        "owner",
        *(name for name in of.__struct_fields__ if name not in {"description", "owner"}),
    )
    value = {name: named[name] for name in order if name in named}
    return Exported(kind, bus, PurePath(bus, kind, named["name"]), _rounded(value))


def schedule_document(bus: str, schedule: "ShownSchedule") -> Exported:
    told = _beyond(differences.schedule_shown(schedule), _SCHEDULE) | {"emit": _beyond(schedule.emit, _SCHEDULE_EMIT)}
    named = {"name": schedule.name, "bus": bus} | {name: told[name] for name in _SCHEDULE_ORDER if name in told}
    return Exported("schedules", bus, PurePath(bus, "schedules", schedule.name), _rounded(named))


_SCHEDULE_ORDER = ("description", "owner", "cron", "every_s", "at", "zone", "start", "end", "jitter_s", "misfire", "emit")


_ORDER = ("name", "bus", "description", "owner", "pattern", "target", "start", "delivery", "replay")


def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """What is left out by default, as a transform is, has none."""
    found = {field.encode_name: _default(field) for field in msgspec.structs.fields(kind) if not field.required}
    return {name: msgspec.to_builtins(value) for name, value in found.items() if value is not msgspec.UNSET}


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


_DEFAULTS = _defaults(Rule) | {"delivery": msgspec.to_builtins(DeliveryPolicy())}
_DETECTOR = {
    field.encode_name: None if field.name == "until" else field.default
    for field in msgspec.structs.fields(Detector)
    if not field.required
}
_SCHEDULE, _SCHEDULE_EMIT = _defaults(Schedule), _defaults(Emit)
_TARGETS = {"http": _defaults(HttpTarget), "queue": _defaults(QueueTarget), "bus": {}}


def _beyond(document: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What of `document` is not as it would be if it were left out."""
    told: dict[str, Any] = {}
    for name, value in document.items():
        default = defaults.get(name, msgspec.UNSET)
        if value == default:
            continue
        told[name] = _beyond(value, default) if isinstance(value, dict) and isinstance(default, dict) else value
    return told


def _rounded(value: Any) -> Any:
    """Seconds as people write them: 10, not 10.0. Pattern numbers are no floats here."""
    if isinstance(value, dict):
        return {name: _rounded(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
