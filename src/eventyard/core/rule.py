"""A rule: a pattern, one target, a delivery policy and where it starts. A rule is a subscription and owns one queue."""

import datetime
import enum
import re
from typing import Annotated, Any, Literal

import msgspec

from eventyard.core import answer_table, document, limits, transform
from eventyard.core.answer_table import Answers
from eventyard.core.batch import Batch
from eventyard.core.breaker import BreakerPolicy
from eventyard.core.errors import InvalidName, InvalidRule
from eventyard.core.handshake import Heard
from eventyard.core.pattern import language
from eventyard.core.secret import Headers
from eventyard.core.target import HttpTarget, Target, check_http

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")

Seconds = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]


class Backoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Waits grow from `initial_s` by `factor` up to `max_s`; each is drawn evenly from 0 to that (full jitter)."""

    initial_s: Seconds = 1.0
    factor: Annotated[float, msgspec.Meta(ge=1, le=100)] = 2.0
    max_s: Seconds = 600.0


class BacklogCap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of the log may wait for the rule: bytes of events from the oldest that it has not settled, and that one's age.

    Past it the oldest are discarded, loudly, so that a dead consumer costs bounded disk.
    """

    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)] = limits.BACKLOG_BYTES_DEFAULT
    max_age_s: Seconds = limits.BACKLOG_AGE_S_DEFAULT


class DeliveryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A delivery dies at `max_attempts` or at `max_age_s` after its first attempt, whichever comes first.

    The default 185 attempts in 24 hours are those of EventBridge. `key` is the path of the key for `order: key`, as `data.order_id`;
    empty for `partitionkey`, or else `subject`. `concurrency` bounds pushes; a pull queue has `max_leases`. `answers`: what a status of the
    target means ("404", or a class as "5xx"), where it is not what it usually does. `rate_per_s`: no more deliveries are given out in a second
    (None: as many as are taken). `breaker`: None for none; a pull queue has none. `pause_after_s`: after so long of nothing but
    failure the rule is paused (None: never; a pull queue never is).
    """

    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 185
    max_age_s: Seconds = 86_400.0
    backoff: Backoff = Backoff()
    order: Literal["none", "key"] = "none"
    key: Annotated[str, msgspec.Meta(max_length=limits.KEY_PATH_LENGTH_MAX)] = ""
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=limits.CONCURRENCY_MAX)] = 16
    backlog: BacklogCap = BacklogCap()
    answers: Annotated[
        Answers,
        msgspec.Meta(
            extra_json_schema={
                "propertyNames": {"pattern": answer_table.KEY_PATTERN},
                "maxProperties": limits.ANSWER_LINES_MAX,
            }
        ),
    ] = {}
    rate_per_s: Annotated[float, msgspec.Meta(ge=limits.RATE_PER_S_MIN, le=limits.RATE_PER_S_MAX)] | None = None
    breaker: BreakerPolicy | None = BreakerPolicy()
    pause_after_s: Seconds | None = limits.PAUSE_AFTER_S_DEFAULT


class StartPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly one of these: a position of the log, or the first event accepted at or after a time (RFC 3339)."""

    position: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)] | None = None
    time: str | None = None


Place = Literal["latest", "earliest"] | StartPosition
"""A place in the log: after its head, at its first retained event, or named."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller PUTs. `pattern` keeps the text as it was written, because the spelling of numbers counts.

    `replay`: whether old events may be replayed to it (`refuse`: no), and whether its deliveries then say so (`mark`).
    """

    pattern: msgspec.Raw
    target: Target
    start: Literal["latest", "earliest", "resume"] | StartPosition | None = None
    delivery: DeliveryPolicy = DeliveryPolicy()
    replay: Literal["allow", "mark", "refuse"] = "mark"
    description: Annotated[str, msgspec.Meta(max_length=limits.DESCRIPTION_LENGTH_MAX)] = ""
    owner: Annotated[str, msgspec.Meta(max_length=limits.NAME_LENGTH_MAX)] = ""


class Status(enum.StrEnum):
    """BACKFILLING: fed from an old stretch of the log, not yet in the live index. DELETING: its queue is being emptied."""

    LIVE = "live"
    BACKFILLING = "backfilling"
    DELETING = "deleting"
    DELETED = "deleted"


class Done(msgspec.Struct, frozen=True):
    """A run of a deleted rule: what it has settled up to the position `until` is not put again for the one that goes on for it."""

    uid: int
    run: int
    until: int


class RuleRecord(msgspec.Struct, frozen=True):
    """A rule as the bus keeps it. `uid` is the position of the edit event that created it, `version` of the last edit.

    A rule governs the events after its `version`; a later rule of the same name has another `uid`. `run` is its live run.
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
    resumed: tuple[Done, ...] = ()
    """The deleted rules of its name that it goes on for, in its first run."""
    handshake: Heard | None = None
    """What came of the last handshake, with whatever URL that was; `heard` is what still holds."""

    @property
    def is_deleted(self) -> bool:
        return self.status in {Status.DELETING, Status.DELETED}

    @property
    def gives_out(self) -> bool:
        """Whether anything of it may be leased at all."""
        return not self.is_paused and not self.is_deleted and not self.awaits_consent

    @property
    def is_asked(self) -> bool:
        """Whether its target is to be asked for its consent."""
        http = self.rule.target.http
        return http is not None and http.handshake != "off" and not self.is_deleted

    @property
    def heard(self) -> Heard | None:
        """What its target said; None where it is not asked, or was not yet at this URL."""
        http = self.rule.target.http
        if self.handshake is None or http is None or http.handshake == "off" or self.handshake.url != http.url:
            return None
        return self.handshake

    @property
    def awaits_consent(self) -> bool:
        """Whether nothing may go to its target before that has agreed."""
        http = self.rule.target.http
        if http is None or http.handshake != "required":
            return False
        heard = self.heard
        return heard is None or not heard.is_given

    @property
    def rate_per_s(self) -> float | None:
        """Its own rate, or the one that its target allows: the lower counts."""
        own, heard = self.rule.delivery.rate_per_s, self.heard
        allowed = None if heard is None else heard.rate_per_s
        return own if allowed is None else allowed if own is None else min(own, allowed)

    @property
    def is_ordered(self) -> bool:
        return self.rule.delivery.order == "key"

    @property
    def is_pulled(self) -> bool:
        return self.rule.target.queue is not None

    @property
    def carrier(self) -> str:
        """Who takes its deliveries: those who push, those who pull, or whoever publishes on other buses."""
        target = self.rule.target
        return "queue" if target.queue is not None else "bus" if target.bus is not None else "http"

    @property
    def leases_max(self) -> int:
        """How many of its deliveries may be leased at once."""
        queue = self.rule.target.queue
        if queue is not None:
            return queue.max_leases
        batch, requests = self.batch, self.rule.delivery.concurrency
        return requests if batch is None else max(1, min(requests * batch.max_events, limits.BATCHED_LEASES_MAX))

    @property
    def batch(self) -> Batch | None:
        """How its pushes are put together, where several go in one request."""
        http = self.rule.target.http
        return None if http is None else http.batch

    @property
    def push_lease_ms(self) -> int:
        """How long one push of the rule is leased for; 0 where it is pulled."""
        http = self.rule.target.http
        if http is None:
            return 0 if self.is_pulled else limits.PUSH_LEASE_MARGIN_MS
        once_ms = int(http.timeout_s * 1000)
        if http.auth is not None and http.auth.oauth2 is not None:
            # A token is fetched, the push refused, another token fetched, and the push sent again.
            once_ms = 2 * (once_ms + int(limits.TOKEN_TIMEOUT_S * 1000))
        return once_ms + limits.PUSH_LEASE_MARGIN_MS + (0 if http.batch is None else http.batch.wait_ms)

    @property
    def sent_lease_ms(self) -> int:
        """How much of a lease has to be left when a batch is sent: what gathers, or waits for another request to end, waits no longer."""
        batch = self.batch
        return self.push_lease_ms - limits.PUSH_LEASE_MARGIN_MS // 2 - (0 if batch is None else batch.wait_ms)


class Alike:
    """What rules have in common, kept once: hundreds of thousands may be read from a store, most with one policy and one target."""

    def __init__(self) -> None:
        self._policies: dict[bytes, DeliveryPolicy] = {}
        self._targets: dict[Any, Target] = {}

    def kept(self, record: RuleRecord) -> RuleRecord:
        """The same, without the text that it was read from: a pattern that is read as a part of that keeps all of it in memory."""
        return msgspec.structs.replace(record, rule=self.kept_rule(record.rule))

    def kept_rule(self, rule: Rule) -> Rule:
        return msgspec.structs.replace(
            rule,
            pattern=rule.pattern.copy(),
            target=self._target(rule.target),
            delivery=self._policy(rule.delivery),
        )

    def _policy(self, policy: DeliveryPolicy) -> DeliveryPolicy:
        """Known by its text: the answers are a dictionary, which is no key."""
        return self._policies.setdefault(msgspec.json.encode(policy), policy)

    def _target(self, target: Target) -> Target:
        """What holds a dictionary is no key, and what holds a secret is nobody else's: such a one is kept by itself."""
        http = target.http
        if http is None:
            return self._targets.setdefault(target, target)
        if not isinstance(http.transform, msgspec.UnsetType):
            return Target(http=msgspec.structs.replace(http, transform=transform.kept(http.transform)))
        plain = HttpTarget(http.url, http.mode, http.timeout_s, method=http.method)
        if http != plain:
            return target
        return self._targets.setdefault((http.url, http.mode, http.timeout_s, http.method), target)


class Tombstone(msgspec.Struct, frozen=True):
    """What is kept of a deleted rule, so that one created again by its name may go on. It holds nothing back.

    `resume_position`: everything below it was settled in its live run. `deleted_position`: of the event that recorded the deletion.
    `before`: those that the deleted rule itself went on for, as far as they still matter.
    """

    name: str
    uid: int
    run: int
    resume_position: int
    deleted_position: int
    deleted_ms: int
    before: tuple[Done, ...] = ()
    is_removed: bool = False

    @property
    def resumed(self) -> tuple[Done, ...]:
        """What a rule that goes on for this one need not be given."""
        return (Done(self.uid, self.run, self.deleted_position), *self.before)


def parse(body: bytes) -> tuple[Rule, "language.Pattern"]:
    """A caller's rule document and its parsed pattern, or `InvalidRule` / `InvalidPattern` / `PatternTooCostly`.

    The target's address is checked by whoever will call it (`core.network`), since what is allowed is the operator's say.
    """
    if len(body) > limits.RULE_BYTES_MAX:
        raise InvalidRule(f"found {len(body)} bytes", wanted=f"at most {limits.RULE_BYTES_MAX}")
    rule = document.read(body, Rule, InvalidRule)
    pattern = _parse_pattern(bytes(rule.pattern))
    _check_target(rule.target)
    _check_order(rule.delivery)
    answer_table.check(rule.delivery.answers, at="/delivery/answers")
    check_place(rule.start, at="/start")
    return Alike().kept_rule(msgspec.structs.replace(rule, pattern=msgspec.Raw(bytes(rule.pattern)))), pattern


def headers_of(rule: Rule) -> Headers:
    return {} if rule.target.http is None else rule.target.http.headers


def parse_pattern(record: RuleRecord) -> "language.Pattern":
    """The pattern of a rule that was accepted before."""
    return language.parse_accepted(bytes(record.rule.pattern))


def _parse_pattern(text: bytes) -> "language.Pattern":
    try:
        return language.parse(text)
    except (language.InvalidPattern, language.PatternTooCostly) as error:
        raise type(error)(error.found, wanted=error.wanted, at=("/pattern" + error.at).rstrip("/")) from error


def _check_target(target: Target) -> None:
    count = sum(one is not None for one in (target.http, target.queue, target.bus))
    if count != 1:
        found = f"found {('no target', '', 'two targets', 'three targets')[count]}"
        wanted = '{"http": {"url": "..."}} to push, {"queue": {}} to be pulled, or {"bus": {"name": "..."}}'
        raise InvalidRule(found, wanted=wanted, at="/target")
    if target.bus is not None:
        try:
            check_name(target.bus.name, what="bus")
        except InvalidName as error:
            raise InvalidRule(error.found, wanted=error.wanted, at="/target/bus/name") from error
    if target.http is not None:
        check_http(target.http)


def _check_order(policy: DeliveryPolicy) -> None:
    if not policy.key:
        return
    if policy.order == "none":
        raise InvalidRule(f'found the key "{policy.key}" and no order', wanted='"order": "key"', at="/delivery/key")
    if not all(policy.key.split(".")) or not policy.key.isprintable() or '"' in policy.key or "\\" in policy.key:
        wanted = "printable names joined by dots, without quotes and backslashes, as data.order_id"
        raise InvalidRule(f'found "{policy.key}"', wanted=wanted, at="/delivery/key")


def check_place(place: Any, *, at: str) -> None:
    """That a place which is named is named once and well."""
    if not isinstance(place, StartPosition):
        return
    if (place.position is None) == (place.time is None):
        raise InvalidRule("found both or neither", wanted='{"position": n} or {"time": "..."}', at=at)
    if place.time is not None:
        parse_time_ms(place.time, at=f"{at}/time")


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
