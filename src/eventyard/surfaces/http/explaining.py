"""GET /v1/buses/{bus}/events/{position}/explain: why an event reached a rule, or did not."""

from typing import Annotated

import msgspec

from eventyard.bus.explaining import Explained
from eventyard.core import limits
from eventyard.core.delivery import Attempt
from eventyard.core.explain.facts import DeliveryTold, Explanation, Judged, Outcome
from eventyard.surfaces.http.calls import Answer, Call, json_answer
from eventyard.surfaces.http.events import read_position
from eventyard.surfaces.http.schemas import Limit, Position, Time
from eventyard.surfaces.http.times import rfc3339


class ExplainQuery(msgspec.Struct, frozen=True):
    """All rules, in pages, or those alone that have or had the name `rule`."""

    rule: Annotated[str, msgspec.Meta(max_length=limits.NAME_LENGTH_MAX)] = ""
    after: Position = 0
    limit: Limit = 100


class JudgedAnswer(msgspec.Struct, frozen=True):
    """What the rule says of the event at that version. `match` is null where it cannot be evaluated on it."""

    version: int
    match: bool | None
    why: str


class AttemptAnswer(msgspec.Struct, frozen=True):
    """What came of an attempt, or of `count` in a row that came to the same: an HTTP status (0: no answer, and `failure` says why) and the
    start of its body. `reason` is why the delivery died of it; `line`, of the rule's `answers`, what decided, as `404: dead`.
    """

    first: Time
    last: Time
    count: int
    status: int
    failure: str
    body: str
    reason: str
    line: str


class DeliveryAnswer(msgspec.Struct, frozen=True):
    """One delivery of the event, in a word and in a sentence.

    `attempts` are those that the rule's policy counts; of `answers` the last are kept, and that of the attempt that delivered it is not,
    for it was 2xx, unless the rule's own `answers` decided. `due`: when it is next tried, or its lease ends; `ended`: when it ended. `reason`, `by`: why and by whom it ended.
    """

    id: str
    run: int
    replay: bool
    outcome: Outcome
    why: str
    attempts: int
    due: Time | None
    ended: Time | None
    reason: str
    by: str
    answers: list[AttemptAnswer]


class RuleExplanation(msgspec.Struct, frozen=True):
    """One rule and the event, in a word and in a sentence. `rule` is empty where its name is not kept any more.

    `then` is what the version said that judged it (null: none has); `today`, where it says something else, what the rule says now.
    `left_out` older deliveries are not told.
    """

    rule: str
    uid: int
    deleted: bool
    outcome: Outcome
    why: str
    then: JudgedAnswer | None
    today: JudgedAnswer | None
    deliveries: list[DeliveryAnswer]
    left_out: int


class ExplainedEvent(msgspec.Struct, frozen=True):
    """Which event it is."""

    id: str
    source: str
    type: str
    subject: str


class ExplainAnswer(msgspec.Struct, frozen=True):
    """The rules in the order in which they were created. `next` given as `after` continues; null when that was all."""

    position: int
    accepted: Time
    event: ExplainedEvent
    rules: list[RuleExplanation]
    next: str | None


async def explain(call: Call[ExplainQuery]) -> Answer:
    asked, position = call.query, read_position(call.path["position"], at="path position")
    found = await call.yard.explain(call.path["bus"], position, name=asked.rule, after=asked.after, limit=asked.limit)
    return json_answer(_shown(found))


class _Identity(msgspec.Struct):
    type: str
    subject: str = ""


_identity = msgspec.json.Decoder(_Identity).decode


def _shown(found: Explained) -> ExplainAnswer:
    stored, told = found.event, _identity(found.event.json)
    return ExplainAnswer(
        position=stored.position,
        accepted=rfc3339(stored.accepted_ms),
        event=ExplainedEvent(stored.id, stored.source, told.type, told.subject),
        rules=[_rule(explanation) for explanation in found.rules],
        next=None if found.next_after is None else str(found.next_after),
    )


def _rule(found: Explanation) -> RuleExplanation:
    return RuleExplanation(
        rule=found.name,
        uid=found.uid,
        deleted=found.is_deleted,
        outcome=found.outcome,
        why=found.why,
        then=_judged(found.then),
        today=_judged(found.today),
        deliveries=[delivery_answer(told) for told in found.deliveries],
        left_out=found.left_out,
    )


def _judged(found: Judged | None) -> JudgedAnswer | None:
    return None if found is None else JudgedAnswer(found.version, found.matches, found.why)


def delivery_answer(told: DeliveryTold) -> DeliveryAnswer:
    row = told.delivery
    return DeliveryAnswer(
        id=told.id,
        run=row.run,
        replay=told.is_replayed,
        outcome=told.outcome,
        why=told.why,
        attempts=row.attempts,
        due=None if told.due_ms is None else rfc3339(told.due_ms),
        ended=None if row.state.is_pending else rfc3339(row.at_ms),
        reason=told.reason,
        by=told.by,
        answers=[_attempt(attempt) for attempt in told.attempts],
    )


def _attempt(attempt: Attempt) -> AttemptAnswer:
    return AttemptAnswer(
        first=rfc3339(attempt.first_ms or attempt.at_ms),
        last=rfc3339(attempt.at_ms),
        count=attempt.count,
        status=attempt.status,
        failure=attempt.failure,
        body=attempt.answer,
        reason=attempt.reason,
        line=attempt.line,
    )
