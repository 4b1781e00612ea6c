"""Why an event reached a rule or did not: what is asked, and what is answered. No I/O here."""

import msgspec

from eventyard.client.answers import Page
from eventyard.client.building import pages_of
from eventyard.client.call import Walk, address


class Judged(msgspec.Struct, frozen=True):
    """What a rule at `version` says of the event. `match` is None where it cannot be evaluated on it."""

    version: int
    match: bool | None
    why: str


class AttemptAnswer(msgspec.Struct, frozen=True):
    """What came of an attempt, or of `count` in a row that came to the same: an HTTP status (0: none, see `failure`), the start of its body."""

    first: str
    last: str
    count: int = 1
    status: int = 0
    failure: str = ""
    body: str = ""
    reason: str = ""
    """Why the delivery died of it, where it did."""
    line: str = ""
    """Of the rule's own `answers`, what decided, as `404: dead`; empty where the usual table did."""


class ExplainedDelivery(msgspec.Struct, frozen=True):
    """One delivery of the event. `outcome` says in a word and `why` in a sentence what became of it; times are RFC 3339."""

    id: str
    run: int
    outcome: str
    why: str
    attempts: int
    replay: bool = False
    due: str | None = None
    ended: str | None = None
    reason: str = ""
    by: str = ""
    answers: list[AttemptAnswer] = []


class RuleExplanation(msgspec.Struct, frozen=True):
    """One rule and the event: `outcome` in a word, `why` in a sentence, and every delivery.

    `then` is what the version said that judged it (None: none has); `today`, where it says something else, what the rule says now.
    """

    rule: str
    uid: int
    outcome: str
    why: str
    deleted: bool = False
    then: Judged | None = None
    today: Judged | None = None
    deliveries: list[ExplainedDelivery] = []
    left_out: int = 0


class ExplanationPage(Page[RuleExplanation], frozen=True, rename={"items": "rules"}):
    items: list[RuleExplanation]


def explain(position: int, rule: str | None = None, *, bus: str = "default", limit: int | None = None) -> Walk[RuleExplanation]:
    """Why the event at `position` reached each rule or did not, in the order in which the rules were created.

    Of `rule` alone: each rule that has or had this name. ProblemError `not-found` where there is no such event, or nobody knows the name.
    """
    return pages_of(
        address("buses", bus, "events", str(position), "explain"), ExplanationPage, query={"rule": rule}, limit=limit
    )
