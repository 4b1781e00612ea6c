"""What a step may read of what is committed: the questions that an engine answers its writer.

Every answer is committed state. A damaged event is never answered: `event` gives None for it, `events` leaves it out.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from eventyard.core.changes import StoredEvent
from eventyard.core.delivery import Delivery, Key


class Known(msgspec.Struct, frozen=True):
    """Where a source and id were last accepted, when (bus time), and with what digest."""

    position: int
    accepted_ms: int
    digest: bytes


class View(Protocol):
    def find_ids(self, bus: int, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Known]:
        """For each (source, id) that is known, where it was accepted last. May forget what the dedup window has left behind."""
        ...

    def event(self, bus: int, position: int) -> StoredEvent | None: ...

    def events(self, bus: int, first: int, last: int, limit: int, *, is_descending: bool = False) -> list[StoredEvent]:
        """At most `limit` events from `first` to `last`, both included, ascending (or from `last` down)."""
        ...

    def position_at(self, bus: int, time_ms: int) -> int:
        """The first position accepted at or after `time_ms`; one past the head where there is none."""
        ...

    def delivery(self, bus: int, key: Key) -> Delivery | None: ...

    def due(self, bus: int, rule: int, work_ms: int, limit: int) -> list[Delivery]:
        """Pending deliveries with `at_ms` at or before `work_ms` (expired leases are among them), by `at_ms`, position, run."""
        ...

    def next_due(self, bus: int, rule: int) -> int | None:
        """The least `at_ms` of the rule's pending deliveries."""
        ...

    def waiting(self, bus: int, rule: int, limit: int) -> list[Delivery]:
        """Deliveries in state WAITING, by `at_ms`, position, run."""
        ...

    def dead(self, bus: int, rule: int, after: tuple[int, int], limit: int, *, until_ms: int | None = None) -> list[Delivery]:
        """Dead deliveries with (position, run) above `after`, ascending; with `until_ms`, those that died by then."""
        ...

    def holds(self, bus: int) -> bool:
        """Whether any row of the bus is left."""
        ...
