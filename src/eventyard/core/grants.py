"""Who gets a lease: what receivers demand, and what of it one step has already granted.

A receiver (`holder`: dispatch, or the desk of consumers) tells for each rule the claims on it, first come first served. One claim may
be for many rules of many buses, as that of a worker that pushes for all: its count is then shared between them.
"""

from collections.abc import Mapping, Sequence

from eventyard.core import limits
from eventyard.core.commands import Demand

Demands = Mapping[int, Sequence[Demand]]
"""By rule uid, the claims on its deliveries."""


class Ledger:
    """What a step may still grant, over all its buses: leases by holder, what is left of each claim, and bytes of events."""

    def __init__(self, rooms: Sequence[int]) -> None:
        self.rooms = list(rooms)
        self.left: dict[tuple[int, int], int] = {}
        self.bytes = limits.STEP_BYTES_MAX


class Grants:
    """The demands on one bus, written down in the step's ledger as they are met."""

    def __init__(self, demands: Sequence[Demands], ledger: Ledger) -> None:
        self._demands = demands
        self._ledger = ledger
        self._claims: dict[int, list[tuple[int, Demand]]] = {}

    def wanted(self, uid: int) -> int:
        """How many more deliveries of the rule are taken now: a bound for a read, not a promise."""
        ledger = self._ledger
        return sum(min(ledger.rooms[holder], ledger.left[holder, demand.claim]) for holder, demand in self._of(uid))

    def grant(self, uid: int, size: int) -> tuple[int, Demand] | None:
        """Whose turn it is for an event of `size` bytes, with the count of its demand lowered; None when nobody takes one more."""
        ledger = self._ledger
        if ledger.bytes <= 0:
            return None
        for holder, demand in self._of(uid):
            left = ledger.left[holder, demand.claim]
            if left > 0 and ledger.rooms[holder] > 0:
                ledger.left[holder, demand.claim] = left - 1
                ledger.rooms[holder] -= 1
                ledger.bytes -= size
                return holder, demand
        return None

    def _of(self, uid: int) -> list[tuple[int, Demand]]:
        claims = self._claims.get(uid)
        if claims is None:
            claims = [(holder, demand) for holder, demands in enumerate(self._demands) for demand in demands.get(uid, ())]
            self._claims[uid] = claims
            for holder, demand in claims:
                self._ledger.left.setdefault((holder, demand.claim), demand.count)
        return claims
