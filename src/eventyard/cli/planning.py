"""What there should be, beside what is there: the steps from the one to the other. Pure.

Nobody's rules are touched but those of the documents: what belongs to another owner is refused, and what is to be pruned carries an owner
of the documents.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from eventyard.cli import differences
from eventyard.cli.declared import (
    Declared,
    DeclaredBus,
    DeclaredDetector,
    DeclaredExpectation,
    DeclaredRule,
    DeclaredSchedule,
    Placed,
)
from eventyard.cli.differences import Difference
from eventyard.cli.failures import Failure

if TYPE_CHECKING:
    from eventyard.client import Bus, Detector, Expectation, Rule, Schedule


class Act(enum.StrEnum):
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    KEEP = "keep"


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One bus, rule, detector, expectation or schedule. `document` is what is put; `remark` is what the plan leaves as it is although the document says otherwise.

    `version`: of the rule that the plan saw, 0 for none. Where it is another by then, the step is refused.
    """

    act: Act
    kind: Literal["bus", "rule", "detector", "expectation", "schedule"]
    bus: str
    name: str
    differences: tuple[Difference, ...] = ()
    document: dict[str, Any] = {}
    summary: str = ""
    remark: str = ""
    version: int = 0

    @property
    def called(self) -> str:
        return f"bus {self.name}" if self.kind == "bus" else f"{self.kind} {self.bus}/{self.name}"


class Present(msgspec.Struct, frozen=True):
    """What is there: every bus that documents name, and its rules, detectors, expectations and schedules by name."""

    buses: Mapping[str, "Bus"]
    rules: Mapping[str, Mapping[str, "Rule"]]
    detectors: Mapping[str, Mapping[str, "Detector"]] = {}
    expectations: Mapping[str, Mapping[str, "Expectation"]] = {}
    schedules: Mapping[str, Mapping[str, "Schedule"]] = {}


def plan(declared: Declared, present: Present, *, pruned: frozenset[str], takes_over: bool) -> list[Step]:
    """Steps in the order in which they are taken. `pruned`: owners whose rules go where no document has them."""
    _check_buses(declared, present)
    return [
        *(_bus_step(bus, present.buses.get(bus.name)) for bus in declared.buses),
        *(_rule_step(rule, present.rules.get(rule.bus, {}).get(rule.name), takes_over=takes_over) for rule in declared.rules),
        *(
            _detector_step(one, present.detectors.get(one.bus, {}).get(one.name), takes_over=takes_over)
            for one in declared.detectors
        ),
        *(
            _expectation_step(one, present.expectations.get(one.bus, {}).get(one.name), takes_over=takes_over)
            for one in declared.expectations
        ),
        *(
            _schedule_step(one, present.schedules.get(one.bus, {}).get(one.name), takes_over=takes_over)
            for one in declared.schedules
        ),
        *_deletions(declared, present, pruned),
    ]


def _check_buses(declared: Declared, present: Present) -> None:
    known = present.buses.keys() | {bus.name for bus in declared.buses}
    for one in declared.placed:
        if one.bus not in known:
            raise Failure(
                f'{one.where}: found no bus "{one.bus}", neither on the server nor in the documents',
                advice=f'add {{"buses": [{{"name": "{one.bus}"}}]}} to the documents, or: eventyard buses create {one.bus}',
            )


def _bus_step(declared: DeclaredBus, present: "Bus | None") -> Step:
    asked: dict[str, Any] = {"retention": declared.retention.asked}
    if present is None:
        return Step(
            Act.CREATE, "bus", declared.name, declared.name, tuple(differences.between({"retention": {}}, asked)), asked
        )
    kept = {} if present.retention is None else msgspec.structs.asdict(present.retention)
    before = {"retention": {name: kept.get(name) for name in asked["retention"]}}
    found = tuple(differences.between(before, asked))
    return Step(Act.CHANGE if found else Act.KEEP, "bus", declared.name, declared.name, found, asked)


def _rule_step(declared: DeclaredRule, present: "Rule | None", *, takes_over: bool) -> Step:
    wanted = differences.document_of(declared.said)
    if present is None:
        summary = f"{bytes(declared.said.pattern).decode()} -> {_target(wanted['target'])}"
        return Step(Act.CREATE, "rule", declared.bus, declared.name, document=declared.members, summary=summary)
    before = differences.document_shown(present)
    _check_owner(declared, before, takes_over=takes_over)
    _check_order(declared, wanted, before)
    remark = _about_start(wanted, before)
    found = tuple(differences.between(before, wanted | {"start": before["start"]}))
    members = {name: value for name, value in declared.members.items() if name != "start"}
    act, version = Act.CHANGE if found else Act.KEEP, present.state.version
    return Step(act, "rule", declared.bus, declared.name, found, members, remark=remark, version=version)


def _schedule_step(declared: DeclaredSchedule, present: "Schedule | None", *, takes_over: bool) -> Step:
    wanted = differences.schedule_of(declared.said)
    if present is None:
        when = declared.said.cron or declared.said.at or f"every {declared.said.every_s:g} s"
        summary = f"{when} -> {declared.said.emit.type}"
        return Step(Act.CREATE, "schedule", declared.bus, declared.name, document=declared.members, summary=summary)
    before = differences.schedule_shown(present)
    _check_owner(declared, before, takes_over=takes_over)
    return _changed("schedule", declared, before, wanted, present.state.version)


def _detector_step(declared: DeclaredDetector, present: "Detector | None", *, takes_over: bool) -> Step:
    wanted = differences.detector_document(declared.said)
    if present is None:
        summary = f"{', '.join(declared.said.emit.types)} when {bytes(declared.said.when).decode()} turns"
        return Step(Act.CREATE, "detector", declared.bus, declared.name, document=declared.members, summary=summary)
    before = differences.detector_shown(present)
    _check_owner(declared, before, takes_over=takes_over)
    _check_fixed("detector", declared, wanted, before, ("key", "order_by"))
    return _changed("detector", declared, before, wanted, present.state.version)


def _expectation_step(declared: DeclaredExpectation, present: "Expectation | None", *, takes_over: bool) -> Step:
    expectation, wanted = declared.said, differences.expectation_document(declared.said)
    if present is None:
        waits = (
            f"{bytes(expectation.expect).decode()} within {expectation.within_s:g} s after {bytes(expectation.after).decode()}"
        )
        summary = f"{', '.join(expectation.emit.types)}: {waits}"
        return Step(Act.CREATE, "expectation", declared.bus, declared.name, document=declared.members, summary=summary)
    before = differences.expectation_shown(present)
    _check_owner(declared, before, takes_over=takes_over)
    _check_fixed("expectation", declared, wanted, before, ("key",))
    return _changed("expectation", declared, before, wanted, present.state.version)


def _check_fixed(
    kind: str, declared: Placed[Any], wanted: Mapping[str, Any], before: Mapping[str, Any], fields: tuple[str, ...]
) -> None:
    """What cannot be changed: the server would refuse half-way."""
    for field in fields:
        if wanted[field] != before[field]:
            raise Failure(
                f'{declared.where}: at /{field}: found "{wanted[field]}", and it was created with "{before[field]}"',
                advice=f"eventyard {kind}s delete {declared.name} --bus {declared.bus}, then apply it again",
            )


def _changed(
    kind: Literal["detector", "expectation", "schedule"],
    declared: Placed[Any],
    before: Mapping[str, Any],
    wanted: Mapping[str, Any],
    version: int,
) -> Step:
    found = tuple(differences.between(before, wanted))
    act = Act.CHANGE if found else Act.KEEP
    return Step(act, kind, declared.bus, declared.name, found, declared.members, version=version)


def _target(target: dict[str, Any]) -> str:
    if "bus" in target:
        return f"bus {target['bus']['name']}"
    return "its queue" if "queue" in target else str(target.get("http", {}).get("url", ""))


def _check_owner(declared: Placed[Any], before: Mapping[str, Any], *, takes_over: bool) -> None:
    if before["owner"] not in {"", declared.owner} and not takes_over:
        raise Failure(
            f'{declared.where}: found the {declared.kind} {declared.called} there, and it belongs to "{before["owner"]}"',
            advice=f"give the {declared.kind} another name, or add --take-over",
        )


def _check_order(declared: DeclaredRule, wanted: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """What waits in the queue was put in lanes, or in none; the server would refuse half-way."""
    for field in ("order", "key"):
        old, new = before["delivery"].get(field), wanted["delivery"][field]
        if old != new:
            raise Failure(
                f'{declared.where}: at /delivery/{field}: found "{new}", and the rule was created with "{old}"',
                advice=f"eventyard rules delete {declared.name} --bus {declared.bus}, then apply it with start: resume",
            )


def _about_start(wanted: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """Where a rule started is history: a document that says otherwise by now moves nothing."""
    start = wanted["start"]
    if start is None or start == "resume" or start == before["start"]:
        return ""
    return f"it started at {_text(before['start'])}, which {_text(start)} in the document cannot change; eventyard rules seek moves it"


def _text(start: Any) -> str:
    return start if isinstance(start, str) else msgspec.json.encode(start).decode()


def _deletions(declared: Declared, present: Present, pruned: frozenset[str]) -> Iterator[Step]:
    """On the buses that documents name, and no others: a folder does not speak for buses that it has nothing to do with."""
    wanted = {(rule.bus, rule.name) for rule in declared.rules}
    for bus in sorted(present.rules):
        for name, rule in sorted(present.rules[bus].items()):
            if rule.owner and rule.owner in pruned and (bus, name) not in wanted:
                summary = f'of "{rule.owner}", in no document'
                yield Step(Act.DELETE, "rule", bus, name, summary=summary, version=rule.state.version)
    yield from _other_deletions("detector", declared.detectors, present.detectors, pruned)
    yield from _other_deletions("expectation", declared.expectations, present.expectations, pruned)
    yield from _other_deletions("schedule", declared.schedules, present.schedules, pruned)


def _other_deletions(
    kind: Literal["detector", "expectation", "schedule"],
    declared: Sequence[Placed[Any]],
    present: Mapping[str, Mapping[str, Any]],
    pruned: frozenset[str],
) -> Iterator[Step]:
    wanted = {(one.bus, one.name) for one in declared}
    for bus in sorted(present):
        for name, one in sorted(present[bus].items()):
            if one.owner and one.owner in pruned and (bus, name) not in wanted:
                summary = f'of "{one.owner}", in no document'
                yield Step(Act.DELETE, kind, bus, name, summary=summary, version=one.state.version)
