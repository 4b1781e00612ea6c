"""What a step may read of what is committed: the questions that an engine answers its writer.

Every answer is committed state. A damaged event is never answered: `event` gives None for it, `events` leaves it out.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from eventyard.core.changes import StoredEvent
from eventyard.core.delivery import Delivery, Key
from eventyard.core.emitter import Kept
from eventyard.core.rule_history import RuleVersion, VersionKey


class Known(msgspec.Struct, frozen=True):
    """Where a source and id were last accepted, when (bus time), and with what digest."""

    position: int
    accepted_ms: int
    digest: bytes


class View(Protocol):
    # The log

    def floor(self, bus: int) -> int:
        """The first position that is kept whole. Asked after a read, it tells what retention may have taken from it."""
        ...

    def find_ids(self, bus: int, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Known]:
        """For each (source, id) that is known, where it was accepted last. May forget what the dedup window has left behind.

        It outlives the event: retention takes nothing out of the window.
        """
        ...

    def event(self, bus: int, position: int) -> StoredEvent | None: ...

    def events(self, bus: int, first: int, last: int, limit: int, *, is_descending: bool = False) -> list[StoredEvent]:
        """At most `limit` events from `first` to `last`, both included, ascending (or from `last` down)."""
        ...

    def events_at(self, bus: int, positions: Sequence[int]) -> dict[int, StoredEvent]:
        """The events at these positions, without those that are not there or damaged."""
        ...

    def bodies_at(self, bus: int, positions: Sequence[int]) -> dict[int, bytes]:
        """As `events_at`, of each its JSON alone."""
        ...

    def position_at(self, bus: int, time_ms: int) -> int:
        """The first position that is there and was accepted at or after `time_ms`; one past the head where there is none.

        What is owed below the floor counts.
        """
        ...

    def position_at_offset(self, bus: int, offset: int) -> int:
        """As `position_at`, the first before which `offset` bytes or more were accepted."""
        ...

    def derived(self, bus: int, cause: int, after: int, limit: int) -> list[int]:
        """At most `limit` positions above `after` of events that came of the one at `cause`, ascending."""
        ...

    def cause_of(self, bus: int, position: int) -> int | None:
        """The position of the event that the one at `position` came of. It outlives that event."""
        ...

    # Deliveries

    def delivery(self, bus: int, key: Key) -> Delivery | None: ...

    def deliveries(self, bus: int, keys: Sequence[Key]) -> list[Delivery]:
        """Those that there are, in no order."""
        ...

    def due(self, bus: int, rule: int, run: int, work_ms: int, limit: int) -> list[Delivery]:
        """Deliveries in the queue with `at_ms` at or before `work_ms`, by `at_ms` and position."""
        ...

    def next_due(self, bus: int, rule: int, run: int) -> int | None:
        """The least `at_ms` in the queue."""
        ...

    def pending(
        self,
        bus: int,
        rule: int,
        limit: int,
        *,
        run: int | None = None,
        below: int = 0,
        is_leased_too: bool = True,
    ) -> list[Delivery]:
        """Pending deliveries of the rule (of one run; below a position, 0: any).

        First what is in its queues, by run, time and position, then what is not, by run and position.
        """
        ...

    def oldest(self, bus: int, rule: int, run: int | None = None) -> int | None:
        """The least position of the rule's pending deliveries, of one run or of all."""
        ...

    def oldest_dead(self, bus: int, rule: int, run: int) -> int | None:
        """The least position of the run's dead deliveries."""
        ...

    def dead(self, bus: int, rule: int, after: tuple[int, int], limit: int) -> list[Delivery]:
        """Dead deliveries with (position, run) above `after`, ascending."""
        ...

    def deliveries_of(self, bus: int, position: int, after: int, limit: int) -> list[Delivery]:
        """At most `limit` deliveries of one event, of rules above `after`, by rule and run."""
        ...

    # What rules said

    def versions(self, bus: int, after: int, limit: int) -> list[RuleVersion]:
        """At most `limit` edits of rules above `after`, by rule and position, without patterns."""
        ...

    def patterns_of(self, bus: int, keys: Sequence[VersionKey]) -> dict[VersionKey, bytes]:
        """The patterns that these edits left, of those that there are."""
        ...

    def rules_named(self, bus: int, name: str, limit: int) -> list[int]:
        """The last `limit` rules of that name that edits tell of, deleted ones included, ascending."""
        ...

    # Emitters

    def kept(self, bus: int, owner: int, key: str) -> Kept | None: ...

    def kept_of(self, bus: int, owner: int, keys: Sequence[str]) -> list[Kept]:
        """What is kept of these keys, of those that there are, in no order."""
        ...

    def kept_after(self, bus: int, owner: int, after: str, limit: int) -> list[Kept]:
        """What is kept of up to `limit` keys above `after`, by the bytes of their UTF-8."""
        ...

    def kept_due(self, bus: int, limit: int) -> list[Kept]:
        """The keys of all emitters that are due first, `limit` at the most, by time, owner and key."""
        ...

    def holds(self, bus: int) -> bool:
        """Whether any row of the bus is left."""
        ...
