"""What the document of an emitter means, read once: to which events it listens, what it publishes, and all that its kind needs."""

from collections.abc import Mapping
from typing import Protocol

from eventyard.core.detector_plan import DetectorPlan
from eventyard.core.emitter import EmitterRecord, Kind
from eventyard.core.expectation_plan import ExpectationPlan
from eventyard.core.listening import Listening
from eventyard.core.pattern.language import Pattern

EARS_MAX = 4
"""Patterns that one emitter listens by."""


class Plan(Protocol):
    """A kind adds what it needs; whoever carries it out looks at which it is."""

    @property
    def record(self) -> EmitterRecord: ...

    @property
    def ears(self) -> tuple[str, ...]:
        """By ear, the field of the document that says to what it listens."""
        ...

    @property
    def listens(self) -> Mapping[int, Pattern]:
        """By ear, below `EARS_MAX`: the events that concern it."""
        ...

    def key(self, event: bytes) -> str | None:
        """Whose state an event of the log tells that it hears, so that the row can be read ahead. None: of nobody's."""
        ...

    @property
    def emits(self) -> tuple[str, ...]:
        """The types that it publishes."""
        ...


def plan_of(record: EmitterRecord) -> Plan:
    match record.kind:
        case Kind.DETECTOR:
            return DetectorPlan(record)
        case Kind.EXPECTATION:
            return ExpectationPlan(record)


def ear(uid: int, number: int) -> int:
    """What the ear `number` of an emitter is called in an index."""
    return uid * EARS_MAX + number


def owner_of(key: int) -> tuple[int, int]:
    """Whose ear it is, and which."""
    return divmod(key, EARS_MAX)


def with_record(listening: Listening, before: Plan | None, after: Plan | None) -> Listening:
    """What there is after an emitter's plan `before` became `after`; None: there is none."""
    if before is not None and (after is None or before.listens != after.listens):
        for number in before.listens:
            listening = listening.without(ear(before.record.uid, number))
    if after is not None and (before is None or before.listens != after.listens):
        for number, pattern in after.listens.items():
            listening = listening.with_rule(ear(after.record.uid, number), pattern)
    return listening
