"""A rule: a pattern, one target, a delivery policy and where it starts. A rule is a subscription and owns one queue."""

import datetime
import enum
import re
from typing import Annotated, Any, Literal

import msgspec

from eventyard.core import document, limits
from eventyard.core.errors import InvalidName, InvalidRule
from eventyard.core.pattern import language

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")

Seconds = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]


class Backoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Waits grow from `initial_s` by `factor` up to `max_s`; each is drawn evenly from 0 to that (full jitter)."""

    initial_s: Seconds = 1.0
    factor: Annotated[float, msgspec.Meta(ge=1, le=100)] = 2.0
    max_s: Seconds = 600.0


class DeliveryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A delivery dies at `max_attempts` or at `max_age_s` after its first attempt, whichever comes first.

    The default 185 attempts in 24 hours are those of EventBridge.
    """

    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 185
    max_age_s: Seconds = 86_400.0
    backoff: Backoff = Backoff()
    order: Literal["none"] = "none"
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=limits.CONCURRENCY_MAX)] = 16


class HttpTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Push: one POST per event. `timeout_s` bounds the whole exchange."""

    url: str
    mode: Literal["structured", "binary"] = "structured"
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=300)] = 10.0


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    http: HttpTarget


class StartPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    position: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)] | None = None
    time: str | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller PUTs. `pattern` keeps the text as it was written, because the spelling of numbers counts."""

    pattern: msgspec.Raw
    target: Target
    start: Literal["latest", "earliest"] | StartPosition | None = None
    delivery: DeliveryPolicy = DeliveryPolicy()
    description: Annotated[str, msgspec.Meta(max_length=limits.DESCRIPTION_LENGTH_MAX)] = ""
    owner: Annotated[str, msgspec.Meta(max_length=limits.NAME_LENGTH_MAX)] = ""


class Status(enum.StrEnum):
    """BACKFILLING: fed from an old stretch of the log, not yet in the live index. DELETING: its queue is being emptied."""

    LIVE = "live"
    BACKFILLING = "backfilling"
    DELETING = "deleting"
    DELETED = "deleted"


class RuleRecord(msgspec.Struct, frozen=True):
    """A rule as the bus keeps it. `uid` is the position of the edit event that created it, `version` of the last edit.

    A rule governs the events after its `version`; a later rule of the same name has another `uid`.
    """

    uid: int
    name: str
    version: int
    rule: Rule
    status: Status
    created_ms: int
    changed_ms: int
    is_paused: bool = False
    run: int = 0

    @property
    def is_deleted(self) -> bool:
        return self.status in {Status.DELETING, Status.DELETED}


def parse(body: bytes) -> tuple[Rule, "language.Pattern"]:
    """A caller's rule document and its parsed pattern, or `InvalidRule` / `InvalidPattern` / `PatternTooCostly`.

    The target's address is checked by whoever will call it (`core.network`), since what is allowed is the operator's say.
    """
    if len(body) > limits.RULE_BYTES_MAX:
        raise InvalidRule(f"found {len(body)} bytes", wanted=f"at most {limits.RULE_BYTES_MAX}")
    rule = document.read(body, Rule, InvalidRule)
    pattern = _parse_pattern(bytes(rule.pattern))
    _check_start(rule.start)
    return msgspec.structs.replace(rule, pattern=msgspec.Raw(bytes(rule.pattern)).copy()), pattern


def parse_pattern(record: RuleRecord) -> "language.Pattern":
    """The pattern of a rule that was accepted before."""
    return language.parse(bytes(record.rule.pattern))


def _parse_pattern(text: bytes) -> "language.Pattern":
    try:
        return language.parse(text)
    except (language.InvalidPattern, language.PatternTooCostly) as error:
        raise type(error)(error.found, wanted=error.wanted, at=("/pattern" + error.at).rstrip("/")) from error


def _check_start(start: Any) -> None:
    if not isinstance(start, StartPosition):
        return
    if (start.position is None) == (start.time is None):
        raise InvalidRule("found both or neither", wanted='{"position": n} or {"time": "..."}', at="/start")
    if start.time is not None:
        parse_time_ms(start.time, at="/start/time")


def parse_time_ms(text: str, *, at: str) -> int:
    """An RFC 3339 time with its zone as Unix milliseconds."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRule(f'found "{text[:60]}"', wanted="an RFC 3339 time with a zone, as 2026-01-31T08:00:00Z", at=at)
    return int(moment.timestamp() * 1000)


def check_name(name: str, *, what: str) -> str:
    """`name`, or `InvalidName`. Letters, digits, `.`, `_` and `-`, so that a name is safe in a path, a file and a shell."""
    if len(name) > limits.NAME_LENGTH_MAX:
        raise InvalidName(f"found a {what} name of {len(name)} characters", wanted=f"at most {limits.NAME_LENGTH_MAX}")
    if not _NAME.match(name):
        raise InvalidName(
            f'found the {what} name "{name[:60]}"',
            wanted="letters, digits, and . _ - between them, as orders-eu.v2",
        )
    return name
