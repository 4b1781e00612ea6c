"""What documents say there should be: buses with their retention, and rules. Everything that can be told without a server is checked here.

A document is a rule (it has a `pattern` or a `target`), a bus (it has a `retention`), or both kinds by the dozen:

    {"bus": "shop", "owner": "team-a", "buses": [{"name": "shop", ...}], "rules": [{"name": "rewards", "pattern": {}, ...}]}
"""

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import msgspec

from eventyard.cli.documents import Document
from eventyard.cli.failures import Failure
from eventyard.core import document as documents
from eventyard.core import rule as rules
from eventyard.core.errors import InvalidRequest, Refused

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


class DeclaredRule(msgspec.Struct, frozen=True):
    """`members` is the rule's document as it was written, without its name and bus; `rule` the same, read."""

    where: str
    bus: str
    name: str
    members: dict[str, Any]
    rule: rules.Rule

    @property
    def called(self) -> str:
        return f"{self.bus}/{self.name}"


class Declared(msgspec.Struct, frozen=True):
    buses: list[DeclaredBus]
    rules: list[DeclaredRule]

    @property
    def bus_names(self) -> set[str]:
        return {bus.name for bus in self.buses} | {rule.bus for rule in self.rules}

    @property
    def owners(self) -> set[str]:
        return {rule.rule.owner for rule in self.rules} - {""}


def read(found: Iterable[Document], *, bus: str, owner: str) -> Declared:
    """`bus` and `owner` are for rules that name none; a rule that names another owner than a given one is refused."""
    buses: dict[str, tuple[str, DeclaredBus]] = {}
    named: dict[tuple[str, str], DeclaredRule] = {}
    for part in _parts(found, bus):
        if part.is_rule:
            rule = _rule(part, owner)
            if (before := named.get((rule.bus, rule.name))) is not None:
                _refuse(part.where, f"found the rule {rule.called} a second time; it stands in {before.where}")
            named[rule.bus, rule.name] = rule
        else:
            declared = _bus(part)
            if declared.name in buses:
                _refuse(part.where, f"found the bus {declared.name} a second time; it stands in {buses[declared.name][0]}")
            buses[declared.name] = (part.where, declared)
    return Declared([declared for _, declared in buses.values()], list(named.values()))


class _Part(msgspec.Struct, frozen=True):
    where: str
    is_rule: bool
    members: dict[str, Any]
    bus: str
    owner: str = ""


def _parts(found: Iterable[Document], bus: str) -> Iterator[_Part]:
    for document in found:
        members = document.value
        if members.keys() & {"buses", "rules"}:
            yield from _collected(document, bus)
        elif members.keys() & {"pattern", "target"}:
            yield _Part(document.where, is_rule=True, members=members, bus=bus)
        elif "retention" in members:
            yield _Part(document.where, is_rule=False, members=members, bus=bus)
        else:
            _refuse(document.where, 'found neither "rules", "buses", nor the "pattern" and "target" of a rule')


def _collected(document: Document, bus: str) -> Iterator[_Part]:
    members, where = document.value, document.where
    if unknown := members.keys() - {"bus", "owner", "buses", "rules"}:
        _refuse(where, f'unknown field "{min(unknown)}"; known beside "rules" and "buses": bus, owner')
    bus = _text(members, "bus", where) or bus
    owner = _text(members, "owner", where)
    for name in ("buses", "rules"):
        items = members.get(name, [])
        if not isinstance(items, list):
            _refuse(where, f"at /{name}: found no array")
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                _refuse(where, f"at /{name}/{index}: found no object")
            yield _Part(f"{where}, {name}/{index}", is_rule=name == "rules", members=item, bus=bus, owner=owner)


def _bus(part: _Part) -> DeclaredBus:
    members = {name: value for name, value in part.members.items() if name not in _ADDED_TO_BUSES}
    try:
        declared = documents.read(msgspec.json.encode(members), DeclaredBus, InvalidRequest)
        rules.check_name(declared.name, what="bus")
    except Refused as error:
        _refuse(part.where, str(error))
    return declared


def _rule(part: _Part, owner: str) -> DeclaredRule:
    name = _text(part.members, "name", part.where)
    if not name:
        _refuse(part.where, 'no "name" of the rule')
    bus = _text(part.members, "bus", part.where) or part.bus
    where = f"{part.where}, rule {name}"
    members = {key: value for key, value in part.members.items() if key not in {"name", "bus"} | _ADDED_TO_RULES}
    said = _text(members, "owner", where) or part.owner
    if said and owner and said != owner:
        _refuse(where, f'at /owner: found "{said}", and --owner says "{owner}"')
    if said or owner:
        members["owner"] = said or owner
    try:
        rules.check_name(name, what="rule")
        rules.check_name(bus, what="bus")
        rule, _ = rules.parse(msgspec.json.encode(members))
    except Refused as error:
        _refuse(where, str(error))
    return DeclaredRule(where, bus, name, members, rule)


def _text(members: dict[str, Any], name: str, where: str) -> str:
    value = members.get(name, "")
    if not isinstance(value, str):
        _refuse(where, f"at /{name}: found no text; wanted a name, in quotes where it looks like a number")
    return value


def _refuse(where: str, said: str) -> NoReturn:
    raise Failure(f"{where}: {said}", advice=_ADVICE)
