"""What can be asked of a bus: one frozen struct per command, and what each is answered.

Chance and names of who asks come in as values, so a command admitted twice on the same state gives the same changes.
"""

from collections.abc import Sequence

import msgspec

from eventyard.core.access import AccessKey
from eventyard.core.changes import Filter, Retention
from eventyard.core.delivery import Delivery, Key
from eventyard.core.emitter import EmitterRecord, Kind
from eventyard.core.event import Event
from eventyard.core.handshake import Agreed, Refused
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import Pattern
from eventyard.core.rule import Place, Rule, RuleRecord
from eventyard.core.schedule import Schedule, ScheduleRecord
from eventyard.core.verdict import Verdict


class Publish(msgspec.Struct, frozen=True):
    """Append events in this order. Answered with one `Published` or `Refused` error value per event.

    `matches`: the rules that each event matches by `index`, where somebody asked it ahead of the step. They count while that very
    index is in force; else the machine asks anew.
    """

    events: tuple[Event, ...]
    index: Index | None = None
    matches: tuple[Sequence[int], ...] = ()

    def matched(self, number: int, live: Index) -> Sequence[int] | None:
        """What the event `number` matches, if that was asked of the index now `live`."""
        return self.matches[number] if self.index is live else None


class Published(msgspec.Struct, frozen=True):
    position: int
    source: str
    id: str
    is_duplicate: bool


class PutRule(msgspec.Struct, frozen=True):
    """Create or change the rule `name`. Answered with a `RulePut`.

    `version`: only where it has this one, 0 where there must be no such rule. A rule that is already as asked is no conflict, so asking
    again after a lost answer is none.
    """

    name: str
    rule: Rule
    pattern: Pattern
    principal: str = ""
    version: int | None = None


class RulePut(msgspec.Struct, frozen=True):
    record: RuleRecord
    is_created: bool
    is_changed: bool


class Reseal(msgspec.Struct, frozen=True):
    """The same secrets of the rule `uid`, sealed with another key: pairs of what they were and are. Answered with how many there still were."""

    uid: int
    sealed: tuple[tuple[str, str], ...]


class HearHandshake(msgspec.Struct, frozen=True):
    """What came of asking the target of the rule `uid` at `url` for its consent to `origin`."""

    uid: int
    url: str
    origin: str
    came: Agreed | Refused


class DeleteRule(msgspec.Struct, frozen=True):
    """Delete the rule `name`, where it has this `version`; its pending deliveries are discarded in bounded steps. Its last record."""

    name: str
    principal: str = ""
    version: int | None = None


class SetPaused(msgspec.Struct, frozen=True):
    """Pause or resume the rule `name`. Answered with its record."""

    name: str
    is_paused: bool
    principal: str = ""


class Seek(msgspec.Struct, frozen=True):
    """Open a new live run of the rule `name` at a place of the log; what its old run still owes is discarded. Its record."""

    name: str
    place: Place
    principal: str = ""


class Replay(msgspec.Struct, frozen=True):
    """Deliver a stretch of the log to the rule `name` once more, under a run of its own. Answered with its `Backfill`.

    From `first` up to before `until` (None: up to now); `pattern` narrows it; `per_s` or `is_original` set its pace.
    """

    name: str
    first: Place
    until: Place | None = None
    pattern: bytes = b""
    per_s: float = 0.0
    is_original: bool = False
    principal: str = ""


class EndReplay(msgspec.Struct, frozen=True):
    """Cancel the replay `run` of the rule `name`, or forget it where it has ended. Answered with its `Backfill`."""

    name: str
    run: int
    principal: str = ""


class Lease(msgspec.Struct, frozen=True):
    """A granted lease, as its receiver gets it. `number` (`Delivery.leases`) tells it from earlier ones.

    `holder` and `claim` say whose demand it answers; `is_replayed`, that the delivery belongs to a replay.
    """

    delivery: Delivery
    event: bytes
    record: RuleRecord
    holder: int = 0
    claim: int = 0
    is_replayed: bool = False


class Settlement(msgspec.Struct, frozen=True):
    """What became of one lease: the key and number of the lease, and the verdict."""

    key: Key
    lease: int
    verdict: Verdict


class Settle(msgspec.Struct, frozen=True):
    """Settle leases. Answered with one `None` (done) or `StaleLease` value per settlement."""

    settlements: tuple[Settlement, ...]


class Release(msgspec.Struct, frozen=True):
    """At start, of what was leased when the last process ended: the leases of consumers begin anew, those of pushes are due at once,
    for their holder is gone; unless others than this process push (`is_push_kept`).
    """

    keys: tuple[Key, ...]
    is_push_kept: bool = False


class Expire(msgspec.Struct, frozen=True):
    """Take up to `limit` leases back that ran out. Answered with how many were."""

    limit: int


class Put(msgspec.Struct, frozen=True):
    """One delivery that a backfill has found to be owed: the event's position, its lane, and when it was accepted."""

    position: int
    lane: int = 0
    accepted_ms: int = 0


class AdvanceBackfill(msgspec.Struct, frozen=True):
    """Put what the rule (at `version`) matched from `first` to `last` in the old log, in one of its runs. True when it is done.

    A no-op when the backfill stands elsewhere by now or the rule changed: the stage reads again.
    """

    rule: int
    run: int
    version: int
    first: int
    last: int
    puts: tuple[Put, ...]
    unevaluated: tuple[int, ...] = ()


class Redrive(msgspec.Struct, frozen=True):
    """Put dead deliveries of the rule `name` back: those of `keys`, or all dead until now that `filter` means. A `Redriven`.

    `per_s` spreads them (0: at once). `is_out_of_order` also takes what was skipped.
    """

    name: str
    keys: tuple[Key, ...] | None
    principal: str = ""
    filter: Filter = Filter()
    per_s: float = 0.0
    is_out_of_order: bool = False


class Purge(msgspec.Struct, frozen=True):
    """Discard dead deliveries of the rule `name`: those of `keys`, or all dead until now that `filter` means. A `Redriven`.

    `is_parked_too`: with each, what is parked behind it. `reason` is kept with them.
    """

    name: str
    keys: tuple[Key, ...] | None
    principal: str = ""
    filter: Filter = Filter()
    is_parked_too: bool = False
    reason: str = "purged"


class ClearDead(msgspec.Struct, frozen=True):
    """Dead deliveries of the rule `name` have been that for as long as the bus keeps them: those of `keys`, died before `until_ms`, and others.

    They are purged, all that died before then, and the log tells it; where all of `keys` are of the bus's own events these alone, without a word.
    """

    name: str
    keys: tuple[Key, ...]
    until_ms: int


class Skip(msgspec.Struct, frozen=True):
    """Discard the dead heads `keys`, or those of `lanes`, of the ordered rule `name`, so that their keys go on. A `Redriven`."""

    name: str
    keys: tuple[Key, ...] = ()
    lanes: tuple[int, ...] = ()
    principal: str = ""


class Redriven(msgspec.Struct, frozen=True):
    """`position` of the event that records the request. `moved` went at once; the rest follows when `is_running`."""

    position: int
    moved: int
    is_running: bool


class EnforceCap(msgspec.Struct, frozen=True):
    """Discard what the rule owes in `run` below position `below`: it is past the cap (`because` says which). Answered with None."""

    rule: int
    run: int
    below: int
    because: str


class TrimParked(msgspec.Struct, frozen=True):
    """Discard the oldest of what is parked behind dead deliveries of the rule, while it is past the limit. Answered with how many."""

    rule: int


class PutEmitter(msgspec.Struct, frozen=True):
    """Create or change the emitter `name` of a kind, whose `document` was read. Answered with an `EmitterPut`. `version` as in `PutRule`."""

    kind: Kind
    name: str
    document: msgspec.Raw
    principal: str = ""
    version: int | None = None


class EmitterPut(msgspec.Struct, frozen=True):
    record: EmitterRecord
    is_created: bool
    is_changed: bool


class DeleteEmitter(msgspec.Struct, frozen=True):
    """Delete the emitter `name` of a kind; what it keeps of keys goes in bounded steps. Its last record."""

    kind: Kind
    name: str
    principal: str = ""
    version: int | None = None


class Sweep(msgspec.Struct, frozen=True):
    """One bounded step through the keys of the emitter `uid` after an edit. Answered true when it is done."""

    uid: int


class RunTimers(msgspec.Struct, frozen=True):
    """Look at up to `limit` keys of emitters that are due. Answered with how many were."""

    limit: int


class Retain(msgspec.Struct, frozen=True):
    """One bounded step of retention towards the floor `floor`. Answered with the floor reached."""

    floor: int


class TellTrouble(msgspec.Struct, frozen=True):
    """Tell in the log what was held back of these rules until now. Answered with None."""

    rules: tuple[int, ...]


class ForgetTombstones(msgspec.Struct, frozen=True):
    """Forget the deleted rules whose time is over. Answered with how many."""


class ContinueIntent(msgspec.Struct, frozen=True):
    """One bounded step of the intent recorded at `number`. Answered true when it is done."""

    number: int


class CreateBus(msgspec.Struct, frozen=True):
    """On the system bus: create a bus. `incarnation` is chance, as a value. Answered with a `BusRecord`."""

    name: str
    incarnation: str
    principal: str = ""


class SetRetention(msgspec.Struct, frozen=True):
    """On the system bus: change what a bus keeps. Answered with its `BusRecord`."""

    name: str
    retention: Retention
    principal: str = ""


class DeleteBus(msgspec.Struct, frozen=True):
    """On the system bus: delete a bus and, in bounded steps, all it holds. Answered with its `BusRecord`."""

    name: str
    principal: str = ""


class EmptyBus(msgspec.Struct, frozen=True):
    """On the system bus: remove a bounded part of what the deleted bus `number` still holds."""

    number: int


class CreateKey(msgspec.Struct, frozen=True):
    """On the system bus: let this key in. Answered with its `AccessKey` as it is recorded."""

    key: AccessKey
    principal: str = ""


class RevokeKey(msgspec.Struct, frozen=True):
    """On the system bus: let the key `id` in no more. Answered with its `AccessKey`."""

    id: str
    principal: str = ""


class PutSchedule(msgspec.Struct, frozen=True):
    """Create or change the schedule `name`; `version` as in `PutRule`. Answered with a `SchedulePut`."""

    name: str
    schedule: Schedule
    principal: str = ""
    version: int | None = None


class SchedulePut(msgspec.Struct, frozen=True):
    record: ScheduleRecord
    is_created: bool


class DeleteSchedule(msgspec.Struct, frozen=True):
    """Delete the schedule `name`, where it has this `version`. Its last record."""

    name: str
    principal: str = ""
    version: int | None = None


class PauseSchedule(msgspec.Struct, frozen=True):
    """Pause or resume the schedule `name`. Its record."""

    name: str
    is_paused: bool
    principal: str = ""


class Tick(msgspec.Struct, frozen=True):
    """Publish what is due of these schedules, as much as one step does. Answered with None."""

    schedules: tuple[int, ...]


class Demand(msgspec.Struct, frozen=True):
    """How many more deliveries the claim takes now, over all rules that it is for, and for how long each is leased (work time).

    `is_shared`: those who wait for a rule get its deliveries one after the other in turn, so that all who push have something to do; else
    whoever came first is served whole.
    """

    claim: int
    count: int
    lease_ms: int
    is_shared: bool = False


Command = (
    Publish
    | PutRule
    | DeleteRule
    | SetPaused
    | Seek
    | Replay
    | EndReplay
    | Settle
    | Release
    | Expire
    | AdvanceBackfill
    | Redrive
    | ClearDead
    | Purge
    | Skip
    | EnforceCap
    | TrimParked
    | Retain
    | ForgetTombstones
    | TellTrouble
    | ContinueIntent
    | CreateBus
    | Reseal
    | HearHandshake
    | SetRetention
    | DeleteBus
    | EmptyBus
    | PutEmitter
    | DeleteEmitter
    | Sweep
    | RunTimers
    | CreateKey
    | RevokeKey
    | PutSchedule
    | DeleteSchedule
    | PauseSchedule
    | Tick
)
