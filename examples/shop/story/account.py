"""The account at the end of the shop: does what the bus says agree with what every service says, event by event?

Pure: it takes what the demo read over HTTP and returns rows and faults. It shares no code with the bus; which events a rule
was owed is worked out again here, from the log and the rule's pattern, by a matcher written a second time.

    for every service   the ids that it counted as published        = the ids in the bus's log that carry its source
    for every rule      the events in the log that it matches       = delivered + dead + discarded + pending
                        the ids that the service says it received   = those events, less dead, discarded and pending
"""

import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_COMPARISONS = {"<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt}


@dataclass(frozen=True)
class Logged:
    """One event of the bus's log."""

    position: int
    event: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.event["id"])

    @property
    def source(self) -> str:
        return str(self.event["source"])


@dataclass(frozen=True)
class RuleBook:
    """What the bus says of one rule. Events from `first_position` on are its concern; `dead_ids` are ids of events."""

    name: str
    pattern: Mapping[str, Any]
    first_position: int
    delivered: int
    dead: int
    discarded: int
    pending: int
    dead_ids: frozenset[str]


@dataclass(frozen=True)
class Report:
    """What a service says of itself: ids that it published, and how often it received which id."""

    service: str
    published: Sequence[str]
    received: Mapping[str, int]

    @property
    def source(self) -> str:
        return f"/shop/{self.service}"


@dataclass(frozen=True)
class PublishedRow:
    service: str
    counted: int
    logged: int


@dataclass(frozen=True)
class DeliveredRow:
    """`owed` events match the rule; `received` and `repeated` are the service's own count."""

    rule: str
    owed: int
    delivered: int
    dead: int
    discarded: int
    pending: int
    received: int
    repeated: int


@dataclass(frozen=True)
class Account:
    """Balanced where there is no fault."""

    published: tuple[PublishedRow, ...]
    of_the_bus: int
    delivered: tuple[DeliveredRow, ...]
    faults: tuple[str, ...]


def balance(log: Sequence[Logged], rules: Sequence[RuleBook], reports: Sequence[Report]) -> Account:
    """The account of a bus at rest. A rule and the service that it serves have the same name."""
    by_service = {report.service: report for report in reports}
    pairs = [(rule, by_service[rule.name]) for rule in rules]
    sources = {report.source for report in reports}
    return Account(
        published=tuple(_published_row(log, report) for report in reports),
        of_the_bus=sum(entry.source not in sources for entry in log),
        delivered=tuple(_delivered_row(log, rule, report) for rule, report in pairs),
        faults=tuple(
            [fault for report in reports for fault in _faults_of_publishing(log, report)]
            + [fault for rule, report in pairs for fault in _faults_of_delivering(log, rule, report)]
        ),
    )


def owed(log: Sequence[Logged], rule: RuleBook) -> dict[str, Logged]:
    """The events that the rule matches, by id."""
    return {entry.id: entry for entry in log if entry.position >= rule.first_position and is_match(rule.pattern, entry.event)}


def is_match(pattern: Mapping[str, Any], document: Any) -> bool:
    """The part of the pattern language that the shop uses: lists of exact values and numeric ranges. Else ValueError."""
    if not isinstance(document, Mapping):
        return False
    return all(_is_field_match(wanted, document.get(name)) for name, wanted in pattern.items())


def _is_field_match(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Mapping):
        return is_match(wanted, found)
    return any(_is_value_match(candidate, found) for candidate in wanted)


def _is_value_match(wanted: Any, found: Any) -> bool:
    if not isinstance(wanted, Mapping):
        return bool(wanted == found)
    if wanted.keys() != {"numeric"}:
        raise ValueError(f"the account reads exact values and numeric ranges, found {wanted}")
    pairs = zip(wanted["numeric"][::2], wanted["numeric"][1::2], strict=True)
    return isinstance(found, int | float) and all(_COMPARISONS[sign](found, bound) for sign, bound in pairs)


def _published_row(log: Sequence[Logged], report: Report) -> PublishedRow:
    return PublishedRow(report.service, len(report.published), len(_logged_by(log, report)))


def _delivered_row(log: Sequence[Logged], rule: RuleBook, report: Report) -> DeliveredRow:
    return DeliveredRow(
        rule=rule.name,
        owed=len(owed(log, rule)),
        delivered=rule.delivered,
        dead=rule.dead,
        discarded=rule.discarded,
        pending=rule.pending,
        received=len(report.received),
        repeated=sum(report.received.values()) - len(report.received),
    )


def _faults_of_publishing(log: Sequence[Logged], report: Report) -> list[str]:
    logged, counted = Counter(_logged_by(log, report)), Counter(report.published)
    lost = [f"{report.service} published {event}, which the log does not have" for event in counted.keys() - logged.keys()]
    strange = [f"the log has {event}, which {report.service} never published" for event in logged.keys() - counted.keys()]
    twice = [f"the log has {event} of {report.service} {times} times" for event, times in logged.items() if times > 1]
    return sorted(lost) + sorted(strange) + sorted(twice)


def _faults_of_delivering(log: Sequence[Logged], rule: RuleBook, report: Report) -> list[str]:
    matching = owed(log, rule)
    received = report.received.keys()
    misrouted = [f"{rule.name} received {event}, which its rule does not match" for event in sorted(received - matching.keys())]
    both = [f"{rule.name} received {event}, which the bus calls dead" for event in sorted(received & rule.dead_ids)]
    strange = [
        f"{rule.name} has the dead letter {event}, which does not match" for event in sorted(rule.dead_ids - matching.keys())
    ]
    return misrouted + both + strange + _faults_of_counting(rule, len(matching), len(received & matching.keys()))


def _faults_of_counting(rule: RuleBook, matching: int, received: int) -> list[str]:
    """Each event that matches has one fate, and the service has what the bus calls delivered, no more and no less."""
    fates = rule.delivered + rule.dead + rule.discarded + rule.pending
    faults = []
    if matching != fates:
        faults.append(f"{rule.name}: {matching} events match the rule, but {fates} deliveries are accounted for")
    if received != rule.delivered:
        faults.append(f"{rule.name}: the bus delivered {rule.delivered} events, the service received {received}")
    if rule.dead != len(rule.dead_ids):
        faults.append(f"{rule.name}: the bus counts {rule.dead} dead letters and lists {len(rule.dead_ids)}")
    return faults


def _logged_by(log: Sequence[Logged], report: Report) -> list[str]:
    return [entry.id for entry in log if entry.source == report.source]
