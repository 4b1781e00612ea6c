"""What the server answers, as frozen structs. Unknown members are ignored, so a newer server can be asked too."""

from typing import Any, Generic, TypeVar

import msgspec

from eventyard.client.errors import Problem

T = TypeVar("T")

NOTHING = msgspec.Raw(b"null")


class Published(msgspec.Struct, frozen=True):
    """An event that is durable at `position`. `duplicate`: it was there already, and that is its first position."""

    id: str
    source: str
    position: int
    duplicate: bool


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event of a batch: a position, or the `error` for which it was refused."""

    id: str = ""
    source: str = ""
    position: int | None = None
    duplicate: bool = False
    error: Problem | None = None

    @property
    def is_accepted(self) -> bool:
        return self.error is None


class StoredEvent(msgspec.Struct, frozen=True):
    """One event of the log. `accepted` is when the bus took it, as RFC 3339; `json` is the event as it was sent."""

    position: int
    accepted: str
    raw: msgspec.Raw = msgspec.field(name="event")

    @property
    def json(self) -> bytes:
        """The event's own text: numbers are spelt as their producer spelt them."""
        return bytes(self.raw)

    @property
    def event(self) -> dict[str, Any]:
        """The event as a new dictionary. Decimals come as floats; read `json` where that is too coarse."""
        return dict(msgspec.json.decode(self.raw))


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event that was received for a rule. `id` stays the same over all attempts; `lease` is what it is settled by.

    `attempt` counts from 1. `run`: 0, or the position of the event that records the seek or replay it belongs to.
    """

    id: str
    lease: str
    attempt: int
    position: int
    run: int
    raw: msgspec.Raw = msgspec.field(name="event")
    replayed: bool = False

    @property
    def json(self) -> bytes:
        """The event's own text: numbers are spelt as their producer spelt them."""
        return bytes(self.raw)

    @property
    def event(self) -> dict[str, Any]:
        """The event as a new dictionary. Decimals come as floats; read `json` where that is too coarse."""
        return dict(msgspec.json.decode(self.raw))


class Settled(msgspec.Struct, frozen=True):
    """Whether a verdict on a lease counts, and in a word why it does not: `superseded`, `ended`, ..."""

    lease: str
    ok: bool
    reason: str | None = None


class LastAnswer(msgspec.Struct, frozen=True):
    """What the target said last: an HTTP status (0: nothing, see `failure`) and the start of its body.

    Of a delivery that was pulled: what became of its last lease (`failure`), or why its consumer rejected it (`body`).
    """

    status: int = 0
    failure: str = ""
    body: str = ""
    at: str | None = None


class DeadLetter(msgspec.Struct, frozen=True):
    """A delivery that ended dead: `reason`, how often it was tried, and its event as JSON (`null` where it is damaged).

    `run` as in its id; `key` of a rule that keeps order, behind which `parked` deliveries wait.
    """

    id: str
    position: int
    reason: str
    attempts: int
    died: str
    """When, as RFC 3339."""
    last_answer: LastAnswer | None = None
    run: int = 0
    key: Any = None
    parked: int = 0
    raw: msgspec.Raw = msgspec.field(name="event", default=NOTHING)

    @property
    def json(self) -> bytes:
        return bytes(self.raw)

    @property
    def event(self) -> dict[str, Any] | None:
        decoded: dict[str, Any] | None = msgspec.json.decode(self.raw)
        return decoded


class Redriven(msgspec.Struct, frozen=True):
    """`position` of the event that records the request. `moved` went at once; the rest follows while `running`."""

    position: int
    moved: int
    running: bool


class Counted(msgspec.Struct, frozen=True):
    """A dry run."""

    count: int


class Trial(msgspec.Struct, frozen=True):
    """What another target said to a dead letter: an HTTP status (0: nothing, see `failure`) and the start of its body."""

    id: str
    status: int
    failure: str = ""
    body: str = ""
    elapsed_s: float = 0.0

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300


class Trials(msgspec.Struct, frozen=True):
    results: list[Trial]


class Replay(msgspec.Struct, frozen=True):
    """A replay of positions `first` to `last`, of which all below `next_position` were read.

    `state`: reading, delivering, done or cancelled. Its deliveries: `pending`, and `delivered`, `dead` and `discarded` so far.
    """

    run: int
    state: str
    first: int
    last: int
    next_position: int
    pending: int
    delivered: int
    dead: int
    discarded: int
    created: str
    ended: str | None = None
    per_s: float | None = None
    pace: str | None = None
    raw_pattern: msgspec.Raw = msgspec.field(name="pattern", default=NOTHING)

    @property
    def pattern_json(self) -> bytes:
        """The pattern that narrows it as it was written; `null` where there is none."""
        return bytes(self.raw_pattern)

    @property
    def is_ended(self) -> bool:
        return self.state in {"done", "cancelled"}


class RuleState(msgspec.Struct, frozen=True):
    """Where a rule stands. `uid` and `version` are the positions of the edits that created and last changed it."""

    status: str
    paused: bool
    uid: int
    version: int
    created: str
    changed: str
    run: int = 0
    """Of its last seek, 0 where there was none."""


class Rule(msgspec.Struct, frozen=True):
    """A rule: its document as the bus keeps it, under its name, and where it stands."""

    name: str
    target: dict[str, Any]
    state: RuleState
    raw_pattern: msgspec.Raw = msgspec.field(name="pattern")
    start: str | dict[str, Any] | None = None
    delivery: dict[str, Any] = {}
    replay: str = "mark"
    description: str = ""
    owner: str = ""
    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET
    """Of a rule that was just put: how it may feed itself, where that can be known."""

    @property
    def pattern_json(self) -> bytes:
        """The pattern as it was written: the spelling of numbers counts."""
        return bytes(self.raw_pattern)

    @property
    def pattern(self) -> dict[str, Any]:
        return dict(msgspec.json.decode(self.raw_pattern))

    @property
    def target_url(self) -> str:
        """Where an HTTP target pushes to; empty for a target of another kind."""
        return str(self.target.get("http", {}).get("url", ""))


class Handshake(msgspec.Struct, frozen=True):
    """What came of asking a target for its consent. `state`: given, refused (and `why`) or asking. `rate_per_minute`: as it allows; None for any."""

    state: str
    asked: str | None = None
    rate_per_minute: int | None = None
    why: str = ""


class Protection(msgspec.Struct, frozen=True):
    """What a rule's target is protected by just now. `breaker`: closed, open (until `until`), half-open or recovering; None where it has none.

    `waits_for`: what keeps deliveries that are due from going: handshake, breaker, slow-start, retry-after, rate or host. `concurrency`, `rate_per_s`: what is
    allowed now.
    """

    breaker: str | None = None
    until: str | None = None
    waits_for: str | None = None
    waits_until: str | None = None
    concurrency: int | None = None
    rate_per_s: float | None = None
    handshake: Handshake | None = None


class RuleStatus(msgspec.Struct, frozen=True):
    """How many deliveries of a rule are in each state. `backfill_position`: the next old event to be put, None when live.

    `lag`: events not settled for it yet, `pending` of which have a delivery. `blocked` wait behind another of their key, of these
    `parked` behind a dead one.
    """

    name: str
    status: str
    paused: bool
    run: int
    lag: int
    pending: int
    oldest_position: int | None
    oldest_age_s: float | None
    waiting: int
    retrying: int
    leased: int
    blocked: int
    parked: int
    parked_keys: int
    delivered: int
    dead: int
    discarded: int
    backfill_position: int | None = None
    redriving: bool = False
    purging: bool = False
    failing: bool = False
    failing_since: str | None = None
    """When the trouble began that the last failed attempt is part of; None where the last attempt went well."""
    protection: Protection = Protection()


class Retention(msgspec.Struct, frozen=True):
    """What a bus keeps of its log, by age and by bytes of events, and how long dead letters live."""

    max_age_s: float
    max_bytes: int
    dead_letters_s: float


class Bus(msgspec.Struct, frozen=True):
    """A bus. `head` is the position of its last event, 0 where there is none; from `floor` on it is kept whole, in `bytes` of events."""

    name: str
    created: str
    head: int
    floor: int = 1
    bytes: int = 0
    retention: Retention | None = None


class AccessKey(msgspec.Struct, frozen=True):
    """A key without what would open anything. `buses`, `types`: None for all. `created_by`, `revoked_by`: who asked for it.

    `last_used`: since the server's start.
    """

    id: str
    name: str
    scopes: list[str]
    created: str
    buses: list[str] | None = None
    source: str = ""
    types: list[str] | None = None
    created_by: str = ""
    expires: str | None = None
    revoked: str | None = None
    revoked_by: str = ""
    last_used: str | None = None


class NewKey(AccessKey, frozen=True, kw_only=True):
    """A key that was made just now. `key` is what opens; it is left out where this is printed."""

    key: str

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r}, name={self.name!r})"


class Rotated(msgspec.Struct, frozen=True):
    """`key` names the key in use now. `resealed` secrets were sealed anew, `lost` ones could not be opened, `forgotten` keys were thrown away."""

    key: str
    resealed: int
    lost: int
    forgotten: int


class PatternVerdict(msgspec.Struct, frozen=True):
    """Whether the pattern matches, and why in one sentence."""

    match: bool
    why: str


class ShapedRequest(msgspec.Struct, frozen=True):
    """A request as a transform makes it: the target's own headers too, without what is secret in them."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class TransformTested(msgspec.Struct, frozen=True):
    """The request; None where the transform fails on the event, and then why."""

    request: ShapedRequest | None
    failure: str


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items of a list, and the token with which it goes on (None: it ended). On the wire `items` has the list's own name."""

    items: list[T]
    next: str | int | None = None


class EventPage(Page[StoredEvent], frozen=True, rename={"items": "events"}):
    items: list[StoredEvent]


class RulePage(Page[Rule], frozen=True, rename={"items": "rules"}):
    items: list[Rule]


class StatusPage(Page[RuleStatus], frozen=True, rename={"items": "statuses"}):
    items: list[RuleStatus]


class DeadLetterPage(Page[DeadLetter], frozen=True, rename={"items": "dead_letters"}):
    items: list[DeadLetter]


class ReplayPage(Page[Replay], frozen=True, rename={"items": "replays"}):
    items: list[Replay]


class KeyPage(Page[AccessKey], frozen=True, rename={"items": "keys"}):
    items: list[AccessKey]


class BusPage(Page[Bus], frozen=True, rename={"items": "buses"}):
    items: list[Bus]
