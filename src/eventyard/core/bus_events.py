"""The events that a bus publishes of itself. Their types begin with `io.eventyard.`, which no publisher may use."""

from typing import Any

import msgspec

from eventyard.core.cause import Cause
from eventyard.core.emitter import Kind
from eventyard.core.event import Event, make
from eventyard.core.rule import RuleRecord
from eventyard.core.rule_secrets import shown

RULE_CREATED = "io.eventyard.rule.created"
RULE_CHANGED = "io.eventyard.rule.changed"
RULE_DELETED = "io.eventyard.rule.deleted"
RULE_PAUSED = "io.eventyard.rule.paused"
RULE_DISABLED = "io.eventyard.rule.disabled"
RULE_RESUMED = "io.eventyard.rule.resumed"
RULE_REDRIVEN = "io.eventyard.rule.redriven"
RULE_PURGED = "io.eventyard.rule.purged"
RULE_SKIPPED = "io.eventyard.rule.skipped"
RULE_SOUGHT = "io.eventyard.rule.sought"
RULE_REPLAYED = "io.eventyard.rule.replayed"
SCHEDULE_CREATED = "io.eventyard.schedule.created"
SCHEDULE_CHANGED = "io.eventyard.schedule.changed"
SCHEDULE_DELETED = "io.eventyard.schedule.deleted"
SCHEDULE_PAUSED = "io.eventyard.schedule.paused"
SCHEDULE_RESUMED = "io.eventyard.schedule.resumed"
SCHEDULE_MISSED = "io.eventyard.schedule.missed"
REPLAY_CANCELLED = "io.eventyard.replay.cancelled"
DELIVERY_FAILING = "io.eventyard.delivery.failing"
DELIVERY_RECOVERED = "io.eventyard.delivery.recovered"
DELIVERY_DEADLETTERED = "io.eventyard.delivery.deadlettered"
BREAKER_OPENED = "io.eventyard.breaker.opened"
BREAKER_CLOSED = "io.eventyard.breaker.closed"
REPLY_REFUSED = "io.eventyard.reply.refused"
LOOP_STOPPED = "io.eventyard.loop.stopped"
RETENTION_CAP = "io.eventyard.retention.cap"
DETECTOR_CREATED = "io.eventyard.detector.created"
DETECTOR_CHANGED = "io.eventyard.detector.changed"
DETECTOR_DELETED = "io.eventyard.detector.deleted"
EXPECTATION_CREATED = "io.eventyard.expectation.created"
EXPECTATION_CHANGED = "io.eventyard.expectation.changed"
EXPECTATION_DELETED = "io.eventyard.expectation.deleted"
BUS_CREATED = "io.eventyard.bus.created"
BUS_CHANGED = "io.eventyard.bus.changed"
BUS_DELETED = "io.eventyard.bus.deleted"
KEY_CREATED = "io.eventyard.key.created"
KEY_REVOKED = "io.eventyard.key.revoked"
BUS_RESTORED = "io.eventyard.bus.restored"
BUS_REPAIRED = "io.eventyard.bus.repaired"


def bus_event(
    kind: str,
    *,
    bus: str,
    incarnation: str,
    position: int,
    time: str,
    subject: str,
    data: dict[str, Any],
    cause: Cause | None = None,
) -> Event:
    """An event of the bus about itself. Its id follows from the position, so a repeated step makes the same one."""
    return make(
        {
            "specversion": "1.0",
            "id": own_id(incarnation, position),
            "source": source(bus),
            "type": kind,
            "subject": subject,
            "time": time,
            **({} if cause is None else cause.attributes),
        },
        data,
    )


def source(bus: str) -> str:
    return f"/eventyard/buses/{bus}"


def own_id(incarnation: str, position: int) -> str:
    return f"{incarnation}-{position}"


def of_emitter(kind: Kind, what: str) -> str:
    """The type of the event that records an edit of an emitter."""
    return f"io.eventyard.{kind}.{what}"


def rule_data(record: RuleRecord, principal: str) -> dict[str, Any]:
    """What an edit event tells: the rule's name and document as now in force, and who asked (empty: no keys in use)."""
    return {
        "name": record.name,
        "uid": record.uid,
        "principal": principal,
        "rule": msgspec.to_builtins(_shown(record)),
    }


def _shown(record: RuleRecord) -> Any:
    return msgspec.json.decode(msgspec.json.encode(shown(record.rule)))


class Failing(msgspec.Struct, frozen=True):
    """A rule began to fail (`failing`), or does no more (`recovered`).

    `since`: when the trouble began. `failures` and `deliveries`: attempts that failed and went well since the log was last told either.
    `status` (0: no answer) and `failure` are those of the last attempt that failed.
    """

    name: str
    uid: int
    since: str
    failures: int
    deliveries: int
    status: int
    failure: str


class Named(msgspec.Struct, frozen=True):
    """The event of a dead letter. Without names where it cannot be read."""

    position: int
    source: str
    id: str
    type: str


class DeadLetter(msgspec.Struct, frozen=True):
    """One delivery that died."""

    name: str
    uid: int
    count: int
    delivery: str
    event: Named
    reason: str
    attempts: int
    status: int
    failure: str


class ReplyRefused(msgspec.Struct, frozen=True):
    """A reply that was not taken; the delivery that it answers is delivered. `reason` is the code of an error, `detail` what it says."""

    name: str
    uid: int
    count: int
    delivery: str
    event: Named
    reason: str
    detail: str


class RepliesRefused(msgspec.Struct, frozen=True):
    """`count` replies that were not taken since `since`, to deliveries of events from the position `first` to `last`."""

    name: str
    uid: int
    count: int
    first: int
    last: int
    since: str


class LoopStopped(msgspec.Struct, frozen=True):
    """What would have come of an event was not made, for `hops` events came of one another before it, and `hops_max` may."""

    name: str
    uid: int
    delivery: str
    event: Named
    made: str
    hops: int
    hops_max: int


class DeadLetters(msgspec.Struct, frozen=True):
    """`count` deliveries that died since `since`, at events from the position `first` to `last`."""

    name: str
    uid: int
    count: int
    first: int
    last: int
    since: str


class BreakerOpened(msgspec.Struct, frozen=True):
    """The breaker of a rule is open: of `attempts` in its window so many `failures` opened it.

    `status` (0: no answer) and `failure` are those of the last. `openings`: how often it has opened in a row. `until`: when the target is probed next.
    """

    name: str
    uid: int
    attempts: int
    failures: int
    openings: int
    status: int
    failure: str
    until: str


class BreakerClosed(msgspec.Struct, frozen=True):
    """The breaker of a rule is open no more."""

    name: str
    uid: int


Told = Failing | DeadLetter | DeadLetters | BreakerOpened | BreakerClosed | ReplyRefused | RepliesRefused | LoopStopped
