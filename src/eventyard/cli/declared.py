"""What documents say there should be: buses with their retention, rules, detectors, expectations and schedules. Everything that can be told without a
server is checked here.

A document is a rule (it has a `pattern` or a `target`), a detector (it has `on`, `when` and `emit`), an expectation (it has `after` and `expect`), a
schedule (it has `emit` alone), a bus (it has a `retention`), or all kinds by the dozen:

    {"bus": "shop", "owner": "team-a", "buses": [{"name": "shop", ...}], "rules": [{"name": "rewards", "pattern": {}, ...}],
     "detectors": [{"name": "car-sold", "on": {}, ...}]}
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, Literal, NoReturn, Protocol, TypeVar

import msgspec

from eventyard.cli.documents import Document
from eventyard.cli.failures import Failure
from eventyard.core import detector_document, expectation_document
from eventyard.core import document as documents
from eventyard.core import rule as rules
from eventyard.core import schedule as schedules
from eventyard.core.detector_document import Detector
from eventyard.core.errors import InvalidRequest, Refused
from eventyard.core.expectation_document import Expectation

_ADVICE = "correct the place that the message names; docs/reference/cli.md tells what a document holds"
_ADDED_TO_RULES = {"state"}
_ADDED_TO_BUSES = {"created", "head", "floor", "bytes"}
"""Members that the server adds where it shows a rule or a bus: what it shows can be applied."""


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is left out stays as it is."""

    max_age_s: float | None = None
    max_bytes: int | None = None
    dead_letters_s: float | None = None

    @property
    def asked(self) -> dict[str, float | int]:
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}


class DeclaredBus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    retention: Retention = Retention()


class Owned(Protocol):
    @property
    def owner(self) -> str: ...


Said = TypeVar("Said", bound=Owned)
_Kind = Literal["rules", "detectors", "expectations", "schedules"]


class Placed(msgspec.Struct, Generic[Said], frozen=True):
    """What stands on some bus under a name. `members` is its document as it was written, without name and bus; `said` the same, read."""

    where: str
    kind: str
    bus: str
    name: str
    members: dict[str, Any]
    said: Said

    @property
    def called(self) -> str:
        return f"{self.bus}/{self.name}"

    @property
    def owner(self) -> str:
        return self.said.owner


DeclaredRule = Placed[rules.Rule]
DeclaredDetector = Placed[Detector]
DeclaredExpectation = Placed[Expectation]
DeclaredSchedule = Placed[schedules.Schedule]

_PARSED: Mapping[_Kind, Callable[[bytes], Any]] = MappingProxyType(
    {
        "rules": lambda text: rules.parse(text)[0],
        "detectors": detector_document.parse,
        "expectations": expectation_document.parse,
        "schedules": lambda text: schedules.parse(text)[0],
    }
)


class Declared(msgspec.Struct, frozen=True):
    buses: list[DeclaredBus]
    rules: list[DeclaredRule]
    detectors: list[DeclaredDetector] = []
    expectations: list[DeclaredExpectation] = []
    schedules: list[DeclaredSchedule] = []

    @property
    def bus_names(self) -> set[str]:
        return {bus.name for bus in self.buses} | {one.bus for one in self.placed}

    @property
    def placed(self) -> list[Placed[Any]]:
        """All that stands on some bus."""
        return [*self.rules, *self.detectors, *self.expectations, *self.schedules]

    @property
    def owners(self) -> set[str]:
        return {one.owner for one in self.placed} - {""}


def read(found: Iterable[Document], *, bus: str, owner: str) -> Declared:
    """`bus` and `owner` are for rules that name none; a rule that names another owner than a given one is refused."""
    buses: dict[str, tuple[str, DeclaredBus]] = {}
    named: dict[_Kind, dict[tuple[str, str], Placed[Any]]] = {kind: {} for kind in _PARSED}
    for part in _parts(found, bus):
        if part.kind == "buses":
            declared = _bus(part)
            if declared.name in buses:
                _refuse(part.where, f"found the bus {declared.name} a second time; it stands in {buses[declared.name][0]}")
            buses[declared.name] = (part.where, declared)
        else:
            one = _read(part, part.kind, owner)
            if (before := named[part.kind].get((one.bus, one.name))) is not None:
                _refuse(part.where, f"found the {one.kind} {one.called} a second time; it stands in {before.where}")
            named[part.kind][one.bus, one.name] = one
    return Declared([declared for _, declared in buses.values()], **{kind: list(ones.values()) for kind, ones in named.items()})


class _Part(msgspec.Struct, frozen=True):
    where: str
    kind: Literal["buses"] | _Kind
    members: dict[str, Any]
    bus: str
    owner: str = ""


def _parts(found: Iterable[Document], bus: str) -> Iterator[_Part]:
    for document in found:
        members = document.value
        if members.keys() & set(_KINDS):
            yield from _collected(document, bus)
        elif members.keys() & {"pattern", "target"}:
            yield _Part(document.where, "rules", members, bus)
        elif members.keys() >= {"on", "when"}:
            yield _Part(document.where, "detectors", members, bus)
        elif members.keys() >= {"after", "expect"}:
            yield _Part(document.where, "expectations", members, bus)
        elif "emit" in members:
            yield _Part(document.where, "schedules", members, bus)
        elif "retention" in members:
            yield _Part(document.where, "buses", members, bus)
        else:
            _refuse(
                document.where,
                'found neither "rules", "buses", nor "detectors", "expectations" or "schedules", nor the "pattern" and "target" of a rule,'
                ' the "on" and "when" of a detector, the "after" and "expect" of an expectation, or the "emit" of a schedule',
            )


def _collected(document: Document, bus: str) -> Iterator[_Part]:
    members, where = document.value, document.where
    if unknown := members.keys() - {"bus", "owner", *_KINDS}:
        _refuse(
            where,
            f'unknown field "{min(unknown)}"; known beside "rules", "detectors", "expectations", "schedules" and "buses": bus, owner',
        )
    bus = _text(members, "bus", where) or bus
    owner = _text(members, "owner", where)
    for name in _KINDS:
        items = members.get(name, [])
        if not isinstance(items, list):
            _refuse(where, f"at /{name}: found no array")
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                _refuse(where, f"at /{name}/{index}: found no object")
            yield _Part(f"{where}, {name}/{index}", name, item, bus, owner)


_KINDS: tuple[Literal["buses"] | _Kind, ...] = ("buses", *_PARSED)


def _bus(part: _Part) -> DeclaredBus:
    members = {name: value for name, value in part.members.items() if name not in _ADDED_TO_BUSES}
    try:
        declared = documents.read(msgspec.json.encode(members), DeclaredBus, InvalidRequest)
        rules.check_name(declared.name, what="bus")
    except Refused as error:
        _refuse(part.where, str(error))
    return declared


def _read(part: _Part, kinds: _Kind, owner: str) -> Placed[Any]:
    kind = kinds.removesuffix("s")
    name, bus, where = _placed(part, kind)
    members = _members(part, owner, where)
    try:
        rules.check_name(name, what=kind)
        rules.check_name(bus, what="bus")
        return Placed(where, kind, bus, name, members, _PARSED[kinds](msgspec.json.encode(members)))
    except Refused as error:
        _refuse(where, str(error))


def _placed(part: _Part, kind: str) -> tuple[str, str, str]:
    """Name and bus, and how a person finds it."""
    name = _text(part.members, "name", part.where)
    if not name:
        _refuse(part.where, f'no "name" of the {kind}')
    return name, _text(part.members, "bus", part.where) or part.bus, f"{part.where}, {kind} {name}"


def _members(part: _Part, owner: str, where: str) -> dict[str, Any]:
    """The document itself, under its owner."""
    members = {key: value for key, value in part.members.items() if key not in {"name", "bus"} | _ADDED_TO_RULES}
    said = _text(members, "owner", where) or part.owner
    if said and owner and said != owner:
        _refuse(where, f'at /owner: found "{said}", and --owner says "{owner}"')
    if said or owner:
        members["owner"] = said or owner
    return members


def _text(members: dict[str, Any], name: str, where: str) -> str:
    value = members.get(name, "")
    if not isinstance(value, str):
        _refuse(where, f"at /{name}: found no text; wanted a name, in quotes where it looks like a number")
    return value


def _refuse(where: str, said: str) -> NoReturn:
    raise Failure(f"{where}: {said}", advice=_ADVICE)
