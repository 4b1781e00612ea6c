"""The account at the end of the shop: does what the bus says agree with what every service says, event by event?

Pure: it takes what the demo read over HTTP and returns rows and faults. It shares no code with the bus; which events a rule
was owed is worked out again here, from the log and the rule's pattern, by a matcher written a second time.

    for every service   what it has to show of what it published    = the events in the bus's log that carry its source
    for every rule      the events in the log that it matches       = delivered + dead + discarded + pending
                        the ids that its service took               = those events, less dead, discarded and pending
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
class Said:
    """What a service shows of what it published: the ids, or, where it says one thing of each event that it takes, the ids of those."""

    service: str
    ids: Sequence[str]
    is_by_cause: bool = False

    @property
    def source(self) -> str:
        return f"/shop/{self.service}"


@dataclass(frozen=True)
class PublishedRow:
    service: str
    shown: int
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


def balance(
    log: Sequence[Logged], rules: Sequence[RuleBook], said: Sequence[Said], taken: Mapping[str, Mapping[str, int]]
) -> Account:
    """The account of a bus at rest. `taken`, by rule: which events its service took, and how often each came."""
    sources = {each.source for each in said}
    return Account(
        published=tuple(PublishedRow(each.service, len(each.ids), len(_logged_by(log, each))) for each in said),
        of_the_bus=sum(entry.source not in sources for entry in log),
        delivered=tuple(_delivered_row(log, rule, taken[rule.name]) for rule in rules),
        faults=tuple(
            [fault for each in said for fault in _faults_of_publishing(log, each)]
            + [fault for rule in rules for fault in _faults_of_delivering(log, rule, taken[rule.name])]
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


def _delivered_row(log: Sequence[Logged], rule: RuleBook, taken: Mapping[str, int]) -> DeliveredRow:
    return DeliveredRow(
        rule=rule.name,
        owed=len(owed(log, rule)),
        delivered=rule.delivered,
        dead=rule.dead,
        discarded=rule.discarded,
        pending=rule.pending,
        received=len(taken),
        repeated=sum(taken.values()) - len(taken),
    )


def _faults_of_publishing(log: Sequence[Logged], said: Said) -> list[str]:
    logged, shown = Counter(_logged_by(log, said)), Counter(said.ids)
    what = "what came of " if said.is_by_cause else ""
    lost = [f"{said.service} published {what}{event}, which the log does not have" for event in shown.keys() - logged.keys()]
    strange = [f"the log has {what}{event}, which {said.service} never published" for event in logged.keys() - shown.keys()]
    twice = [f"the log has {what}{event} of {said.service} {times} times" for event, times in logged.items() if times > 1]
    return sorted(lost) + sorted(strange) + sorted(twice)


def _faults_of_delivering(log: Sequence[Logged], rule: RuleBook, taken: Mapping[str, int]) -> list[str]:
    matching = owed(log, rule)
    received = taken.keys()
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


def _logged_by(log: Sequence[Logged], said: Said) -> list[str]:
    """The events of that service, each by its id or by that of its cause."""
    of_it = [entry for entry in log if entry.source == said.source]
    return [str(entry.event.get("causationid")) if said.is_by_cause else entry.id for entry in of_it]
