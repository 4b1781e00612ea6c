"""What one step changes: the only thing an engine ever writes.

A `Changes` holds whole new rows as values, so applying it, to a store or to memory, needs nothing else. The engine commits
it all or not at all, and once; only then does `BusState.apply` take it over.
"""

import enum
from collections import defaultdict
from functools import cached_property
from typing import Annotated

import msgspec

from eventyard.core import limits
from eventyard.core.access import AccessKey
from eventyard.core.cause import Derivation
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, State, decode_note
from eventyard.core.emitter import EmitterRecord, EmitterTally, Kept, Looked
from eventyard.core.health import Health
from eventyard.core.record import Stand
from eventyard.core.reply import ReplyOutcome
from eventyard.core.rule import RuleRecord, Tombstone
from eventyard.core.rule_history import RuleVersion
from eventyard.core.schedule import ScheduleRecord


class StoredEvent(msgspec.Struct, frozen=True):
    """An event at its position. `json` is the structured form; `digest` as in `Event`; `accepted_ms` is bus time.

    `offset` counts the bytes of JSON accepted on this bus before it, so that the size of any stretch is one subtraction.
    """

    position: int
    accepted_ms: int
    digest: bytes
    json: bytes
    source: str
    id: str
    offset: int = 0


class Moved(msgspec.Struct, frozen=True):
    """A delivery that was in the log before: where it was, and its whole new row."""

    was: State
    now: Delivery


class Pace(msgspec.Struct, frozen=True):
    """How fast a replay's deliveries fall due: `per_s` of them, or as far apart as their events were accepted; else at once.

    `began_ms` (work time) and `first_ms` (accepted) tie the two clocks; `last_ms` is when the last one put falls due (work time, with
    the fraction that a pace of more than a thousand a second needs).
    """

    per_s: float = 0.0
    is_original: bool = False
    began_ms: int = 0
    first_ms: int = 0
    last_ms: float = 0.0


class Backfill(msgspec.Struct, frozen=True):
    """A rule that reads an old stretch of the log in one of its runs: everything below `next_position` has been put for it.

    A live run's has no `last`: it ends by switching the rule to live. A replay reads up to `last` and is kept when it is done, until it
    `is_removed`. `pattern` narrows a replay further.
    """

    rule: int
    run: int
    next_position: int
    is_done: bool = False
    first: int = 0
    last: int | None = None
    pattern: bytes = b""
    pace: Pace = Pace()
    created_ms: int = 0
    ended_ms: int = 0
    is_cancelled: bool = False
    is_removed: bool = False

    @property
    def key(self) -> tuple[int, int]:
        return (self.rule, self.run)

    @property
    def is_replay(self) -> bool:
        return self.last is not None


class Filter(msgspec.Struct, frozen=True):
    """Which dead letters are meant: those that died for `reason`, in one of `lanes`, in [from_ms, until_ms), where these are given."""

    reason: str = ""
    lanes: tuple[int, ...] = ()
    from_ms: int = 0
    until_ms: int = 2**62

    def matches(self, dead: Delivery) -> bool:
        return (
            self.from_ms <= dead.at_ms < self.until_ms
            and (not self.lanes or dead.lane in self.lanes)
            and (not self.reason or decode_note(dead.note).reason == self.reason)
        )


ALL_DEAD = Filter()


QueueKey = tuple[int, int]
"""Rule uid and run."""


class IntentKind(enum.StrEnum):
    """DISCARD ends what is pending; REDRIVE and PURGE move what is dead."""

    DISCARD = "discard"
    REDRIVE = "redrive"
    PURGE = "purge"


class Intent(msgspec.Struct, frozen=True):
    """Work on many deliveries of one rule that somebody asked for and bounded steps carry out.

    `number` is the position of the event that recorded it. `reason` is what discarded deliveries are told. A DISCARD takes those of
    `run` (None: of every run) below the position `below` (0: all). The others go through the dead by `after_position` and
    `after_run`, take those that `filter` means, and put them due `per_s` a second apart, the last at `paced_ms` (work time).
    """

    number: int
    rule: int
    kind: IntentKind
    reason: str = ""
    by: str = ""
    run: int | None = None
    below: int = 0
    filter: Filter = Filter()
    after_position: int = 0
    after_run: int = -1
    per_s: float = 0.0
    paced_ms: float = 0.0
    is_done: bool = False

    @property
    def closes(self) -> QueueKey | None:
        """The run that it empties for good: until that is done nothing of it is given out, and no verdict on it is taken."""
        is_whole = self.kind is IntentKind.DISCARD and not self.below and not self.is_done
        return (self.rule, self.run) if is_whole and self.run is not None else None


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bus keeps of its log, by age and by bytes of events; and how long dead letters live."""

    max_age_s: Annotated[float, msgspec.Meta(gt=0, le=3_153_600_000)] = limits.RETENTION_AGE_S_DEFAULT
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)] = limits.RETENTION_BYTES_DEFAULT
    dead_letters_s: Annotated[float, msgspec.Meta(gt=0, le=3_153_600_000)] = limits.DEAD_LETTERS_S_DEFAULT


class BusRecord(msgspec.Struct, frozen=True):
    """One bus. `number` names it inside a file; `incarnation` makes its delivery ids unlike those of any other life.

    A deleted bus keeps its record until its rows are gone; `is_removed` then takes the record away.
    """

    number: int
    name: str
    incarnation: str
    created_ms: int
    is_deleted: bool = False
    is_removed: bool = False
    retention: Retention = Retention()


class Changes(msgspec.Struct, dict=True):
    """The changes of one step of one bus. `head` is the last position after it."""

    bus: int
    time: BusTime
    head: int
    floor: int = 1
    """The first position that is kept whole: below it stand only events that are owed."""
    log_bytes: int = 0
    """Bytes of JSON ever accepted."""
    events: list[StoredEvent] = []
    derivations: list[Derivation] = []
    """Of those of `events` that came of another."""
    replies: list[tuple[int, ReplyOutcome]] = []
    """By rule, what became of its replies: to be counted, not kept."""
    puts: list[Delivery] = []
    moves: list[Moved] = []
    rules: list[RuleRecord] = []
    versions: list[RuleVersion] = []
    """Of every edit, by position."""
    tombstones: list[Tombstone] = []
    backfills: list[Backfill] = []
    intents: list[Intent] = []
    health: list[Health] = []
    emitters: list[EmitterRecord] = []
    kept: list[Kept] = []
    emitter_tallies: list[EmitterTally] = []
    looked: Looked | None = None
    """For memory alone: a store knows what is due."""
    schedules: list[ScheduleRecord] = []
    buses: list[BusRecord] = []
    keys: list[AccessKey] = []
    forgotten: list[tuple[int, int]] = []
    """Stretches (first, last) of which every event that is not owed, after the other changes, is removed with its deliveries."""
    emptied_bus: int = 0
    """The number of a deleted bus of which a bounded part is to be removed with this step (0: none)."""
    stand: Stand | None = None
    """Where they stand in the bus's journal; None on one machine, which has none. Kept with them, and said of a record by the journal itself."""

    @property
    def is_empty(self) -> bool:
        return not (
            self.events
            or self.puts
            or self.moves
            or self.rules
            or self.versions
            or self.tombstones
            or self.backfills
            or self.intents
            or self.health
            or self.emitters
            or self.kept
            or self.emitter_tallies
            or self.looked
            or self.schedules
            or self.buses
            or self.keys
            or self.forgotten
            or self.emptied_bus
        )

    @cached_property
    def tally(self) -> dict[QueueKey, list[int]]:
        """By rule and run, how many deliveries each `State` gains or loses. Asked for when the changes are complete."""
        deltas: dict[QueueKey, list[int]] = defaultdict(_no_change)
        for put in self.puts:
            deltas[put.rule, put.run][put.state] += 1
        for move in self.moves:
            delta = deltas[move.now.rule, move.now.run]
            delta[move.was] -= 1
            delta[move.now.state] += 1
        return deltas


def _no_change() -> list[int]:
    return [0] * len(State)
