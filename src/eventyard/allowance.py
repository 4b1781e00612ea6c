"""What may be leased for the rules that one consumer in this process serves: what they have room for, and what of it is under way.

It is bounded per rule, by what the rule allows, and over all rules, by count and bytes: so a hanging target costs its own rule's share and nobody
else's. Everything here runs on the writer's thread but `records`.
"""

from collections.abc import Callable, Iterable

from eventyard.core import limits
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Demand, Lease
from eventyard.core.grants import Demands
from eventyard.core.rule import RuleRecord


class Allowance:
    def __init__(self, serves: Callable[[RuleRecord], bool], demand: Callable[[int, RuleRecord, int], Demand | None]) -> None:
        """`demand`: what is asked for a rule of a bus, by its number, of which so many deliveries are under way. Asked anew when that changes."""
        self._serves = serves
        self._demand = demand
        self._records: dict[int, dict[int, RuleRecord]] = {}
        self._demands: dict[int, dict[int, tuple[Demand]]] = {}
        self._stale: set[tuple[int, int]] = set()
        self._under_way: dict[tuple[int, int], int] = {}
        self._bytes = 0
        self.count = 0
        """Deliveries under way."""
        self.is_over = False

    def demands(self, bus: int) -> Demands:
        """What each rule has room for; nothing while the process has all under way that it may."""
        while self._stale:
            self._demand_again(*self._stale.pop())
        return self._demands.get(bus, {}) if self.room() > 0 else {}

    def room(self) -> int:
        if self.is_over or self._bytes >= limits.PUSH_BYTES_UNDER_WAY_MAX:
            return 0
        return limits.PUSHES_UNDER_WAY_MAX - self.count

    def follow(self, bus: int, records: Iterable[RuleRecord]) -> None:
        known = self._records.setdefault(bus, {})
        for record in records:
            if record.is_deleted or not self._serves(record):
                known.pop(record.uid, None)
            else:
                known[record.uid] = record
            self._stale.add((bus, record.uid))

    def forget(self, bus: BusRecord) -> None:
        for kept in (self._records, self._demands):
            kept.pop(bus.number, None)

    def records(self, bus: int) -> list[RuleRecord]:
        """The rules that are served. From any thread."""
        return list(self._records.get(bus, {}).values())

    def began(self, bus: int, lease: Lease) -> None:
        self._change(bus, lease, 1)

    def ended(self, bus: int, lease: Lease) -> None:
        self._change(bus, lease, -1)

    def _change(self, bus: int, lease: Lease, by: int) -> None:
        key = (bus, lease.delivery.rule)
        self.count += by
        self._bytes += by * len(lease.event)
        self._under_way[key] = self._under_way.get(key, 0) + by
        if self._under_way[key] == 0:
            del self._under_way[key]
        self.changed(key)

    def changed(self, rule: tuple[int, int]) -> None:
        """What is to be asked for the rule may be another now."""
        if rule[0] in self._records:  # In a worker nobody asks for demands.
            self._stale.add(rule)

    def _demand_again(self, bus: int, rule: int) -> None:
        demands, record = self._demands.setdefault(bus, {}), self._records.get(bus, {}).get(rule)
        demand = None
        if record is not None and not record.is_paused:
            demand = self._demand(bus, record, self._under_way.get((bus, rule), 0))
        if demand is None:
            demands.pop(rule, None)
        else:
            demands[rule] = (demand,)
