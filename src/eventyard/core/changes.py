"""What one step changes: the only thing an engine ever writes.

A `Changes` holds whole new rows as values, so applying it, to a store or to memory, needs nothing else. The engine commits
it all or not at all, and once; only then does `BusState.apply` take it over.
"""

import enum

import msgspec

from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, State
from eventyard.core.rule import RuleRecord


class StoredEvent(msgspec.Struct, frozen=True):
    """An event at its position. `json` is the structured form; `digest` as in `Event`; `accepted_ms` is bus time."""

    position: int
    accepted_ms: int
    digest: bytes
    json: bytes
    source: str
    id: str


class Moved(msgspec.Struct, frozen=True):
    """A delivery that was in the log before: where it was, and its whole new row."""

    was: State
    now: Delivery


class Backfill(msgspec.Struct, frozen=True):
    """A rule that reads an old stretch of the log: everything below `next_position` has been put for it."""

    rule: int
    run: int
    next_position: int
    is_done: bool = False


class IntentKind(enum.StrEnum):
    DISCARD = "discard"
    REDRIVE = "redrive"


class Intent(msgspec.Struct, frozen=True):
    """Work on many deliveries of one rule that somebody asked for and bounded steps carry out.

    `number` is the position of the event that recorded it. `after` is the key reached; `until_ms` (bus time) leaves alone
    what died after the request.
    """

    number: int
    rule: int
    kind: IntentKind
    after_position: int = 0
    after_run: int = -1
    until_ms: int = 0
    is_done: bool = False


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


class Changes(msgspec.Struct):
    """The changes of one step of one bus. `head` is the last position after it."""

    bus: int
    time: BusTime
    head: int
    events: list[StoredEvent] = []
    puts: list[Delivery] = []
    moves: list[Moved] = []
    rules: list[RuleRecord] = []
    backfills: list[Backfill] = []
    intents: list[Intent] = []
    buses: list[BusRecord] = []
    emptied_bus: int = 0
    """The number of a deleted bus of which a bounded part is to be removed with this step (0: none)."""

    @property
    def is_empty(self) -> bool:
        return not (
            self.events
            or self.puts
            or self.moves
            or self.rules
            or self.backfills
            or self.intents
            or self.buses
            or self.emptied_bus
        )
