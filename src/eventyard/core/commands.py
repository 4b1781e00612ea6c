"""What can be asked of a bus: one frozen struct per command, and what each is answered.

Chance and names of who asks come in as values, so a command admitted twice on the same state gives the same changes.
"""

from collections.abc import Sequence

import msgspec

from eventyard.core.delivery import Delivery, Key
from eventyard.core.event import Event
from eventyard.core.pattern.language import Pattern
from eventyard.core.pattern.ruleset import RuleSet
from eventyard.core.rule import Rule, RuleRecord
from eventyard.core.verdict import Verdict


class Publish(msgspec.Struct, frozen=True):
    """Append events in this order. Answered with one `Published` or `Refused` error value per event.

    `matches`: the rules that each event matches by `index`, where somebody asked it ahead of the step. They count while that very
    index is in force; else the machine asks anew.
    """

    events: tuple[Event, ...]
    index: RuleSet | None = None
    matches: tuple[Sequence[int], ...] = ()

    def matched(self, number: int, live: RuleSet) -> Sequence[int] | None:
        """What the event `number` matches, if that was asked of the index now `live`."""
        return self.matches[number] if self.index is live else None


class Published(msgspec.Struct, frozen=True):
    position: int
    source: str
    id: str
    is_duplicate: bool


class PutRule(msgspec.Struct, frozen=True):
    """Create or change the rule `name`. Answered with a `RulePut`."""

    name: str
    rule: Rule
    pattern: Pattern
    principal: str = ""


class RulePut(msgspec.Struct, frozen=True):
    record: RuleRecord
    is_created: bool
    is_changed: bool


class DeleteRule(msgspec.Struct, frozen=True):
    """Delete the rule `name`; its pending deliveries are discarded in bounded steps. Answered with its last record."""

    name: str
    principal: str = ""


class SetPaused(msgspec.Struct, frozen=True):
    """Pause or resume the rule `name`. Answered with its record."""

    name: str
    is_paused: bool
    principal: str = ""


class Lease(msgspec.Struct, frozen=True):
    """A granted lease, as its receiver gets it. `number` (`Delivery.leases`) tells it from earlier ones."""

    delivery: Delivery
    event: bytes
    record: RuleRecord


class Settlement(msgspec.Struct, frozen=True):
    """What became of one lease: the key and number of the lease, and the verdict."""

    key: Key
    lease: int
    verdict: Verdict


class Settle(msgspec.Struct, frozen=True):
    """Settle leases. Answered with one `None` (done) or `StaleLease` value per settlement."""

    settlements: tuple[Settlement, ...]


class Release(msgspec.Struct, frozen=True):
    """Make up to `limit` leases of this bus due at once: their holder is known to be gone. Answered with how many were."""

    limit: int


class AdvanceBackfill(msgspec.Struct, frozen=True):
    """Put what the rule (at `version`) matched from `first` to `last` in the old log. Answered true when it is live now.

    A no-op when the backfill stands elsewhere by now or the rule changed: the stage reads again.
    """

    rule: int
    version: int
    first: int
    last: int
    positions: tuple[int, ...]
    unevaluated: tuple[int, ...] = ()


class Redrive(msgspec.Struct, frozen=True):
    """Put dead deliveries of the rule `name` back: those of `keys`, or all dead until now. Answered with a `Redriven`."""

    name: str
    keys: tuple[Key, ...] | None
    principal: str = ""


class Redriven(msgspec.Struct, frozen=True):
    """`position` of the event that records the request. `moved` went at once; the rest follows when `is_running`."""

    position: int
    moved: int
    is_running: bool


class ContinueIntent(msgspec.Struct, frozen=True):
    """One bounded step of the intent recorded at `number`. Answered true when it is done."""

    number: int


class CreateBus(msgspec.Struct, frozen=True):
    """On the system bus: create a bus. `incarnation` is chance, as a value. Answered with a `BusRecord`."""

    name: str
    incarnation: str
    principal: str = ""


class DeleteBus(msgspec.Struct, frozen=True):
    """On the system bus: delete a bus and, in bounded steps, all it holds. Answered with its `BusRecord`."""

    name: str
    principal: str = ""


class EmptyBus(msgspec.Struct, frozen=True):
    """On the system bus: remove a bounded part of what the deleted bus `number` still holds."""

    number: int


class Demand(msgspec.Struct, frozen=True):
    """How many more deliveries of `rule` its receivers take now, and for how long each is leased (work time)."""

    rule: int
    count: int
    lease_ms: int


Command = (
    Publish
    | PutRule
    | DeleteRule
    | SetPaused
    | Settle
    | Release
    | AdvanceBackfill
    | Redrive
    | ContinueIntent
    | CreateBus
    | DeleteBus
    | EmptyBus
)
