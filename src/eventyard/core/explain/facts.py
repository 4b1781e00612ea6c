"""What an explanation rests on, and what it says, as values."""

import enum
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from eventyard.core.clock import BusTime
from eventyard.core.delivery import Attempt, Delivery
from eventyard.core.protection import Held
from eventyard.core.rule import RuleRecord
from eventyard.core.rule_history import Look, RuleVersion, VersionKey


class Outcome(enum.StrEnum):
    """What became of an event for a rule, in a word.

    The first ten have a delivery (DISCARDING: it waits, and is about to be discarded). The others have none, and each says why.
    """

    DELIVERED = "delivered"
    WAITING = "waiting"
    RETRYING = "retrying"
    LEASED = "leased"
    BLOCKED = "blocked"
    PARKED = "parked"
    PAUSED = "paused"
    DISCARDING = "discarding"
    DEAD = "dead"
    DISCARDED = "discarded"

    NO_MATCH = "no-match"
    NOT_REACHED = "not-reached"
    STARTED_AFTER = "started-after"
    MOVED_PAST = "moved-past"
    DELETED_BEFORE = "deleted-before"
    SETTLED_BEFORE = "settled-before"
    CAPPED = "capped"
    UNKNOWN = "unknown"


class Ahead(msgspec.Struct, frozen=True):
    """What stands before a delivery in its lane. `is_dead`: it parks the key."""

    position: int
    is_dead: bool


class Facts(msgspec.Struct, frozen=True):
    """Of one rule and one event. `document` is the event, decoded; `record` the rule as it is now (None: it is gone).

    `looks` as of `rule_history.looks` over `versions`; `patterns` of those versions that an explanation needs. `ahead` and `closing` (why it
    is being emptied) are by run; `unread` is what a backfill reads next in the rule's live run (None: it is live). `settled_by`: the rule
    of the same name, deleted before, that had settled the event. `held`: what keeps deliveries of the rule from going that are due.
    """

    uid: int
    position: int
    document: Any
    time: BusTime
    incarnation: str
    record: RuleRecord | None
    versions: Sequence[RuleVersion]
    looks: Sequence[Look]
    patterns: Mapping[VersionKey, bytes]
    deliveries: Sequence[Delivery]
    ahead: Mapping[int, Ahead] = {}
    closing: Mapping[int, str] = {}
    unread: int | None = None
    settled_by: int | None = None
    held: Held | None = None


class Judged(msgspec.Struct, frozen=True):
    """What a rule at `version` says of the event. `matches` is None where it cannot be evaluated on it."""

    version: int
    matches: bool | None
    why: str


class DeliveryTold(msgspec.Struct, frozen=True):
    """One delivery: its row, what became of it (`why`), and what is known of its attempts, the oldest first."""

    id: str
    delivery: Delivery
    outcome: Outcome
    why: str
    is_replayed: bool
    due_ms: int | None
    reason: str
    by: str
    attempts: tuple[Attempt, ...]


class Explanation(msgspec.Struct, frozen=True):
    """Why one rule got one event or did not: in a word, in a sentence, by the version that judged it and by today's where that differs.

    `name` is empty where nothing of the rule is kept. `is_deleted`: it is there no more. `left_out`: older deliveries that are not told.
    """

    uid: int
    name: str
    is_deleted: bool
    outcome: Outcome
    why: str
    then: Judged | None
    today: Judged | None
    deliveries: tuple[DeliveryTold, ...]
    left_out: int
