"""Who gets a lease: what receivers demand, and what of it one step has already granted.

A receiver (`holder`: dispatch, or the desk of consumers) tells for each rule the claims on it, first come first served. One claim may
be for many rules, as that of a worker that pushes for all: its count is then shared between them.
"""

from collections.abc import Mapping, Sequence

from eventyard.core.commands import Demand

Demands = Mapping[int, Sequence[Demand]]
"""By rule uid, the claims on its deliveries."""


class Grants:
    def __init__(self, demands: Sequence[Demands] = (), rooms: Sequence[int] = ()) -> None:
        self._demands = demands
        self._rooms = list(rooms)
        self._left: dict[tuple[int, int], int] = {}
        self._claims: dict[int, list[tuple[int, Demand]]] = {}

    def wanted(self, uid: int) -> int:
        """How many more deliveries of the rule are taken now: a bound for a read, not a promise."""
        return sum(min(self._rooms[holder], self._left[holder, demand.claim]) for holder, demand in self._of(uid))

    def grant(self, uid: int) -> tuple[int, Demand] | None:
        """Whose turn it is, with the count of its demand lowered; None when nobody takes one more."""
        for holder, demand in self._of(uid):
            left = self._left[holder, demand.claim]
            if left > 0 and self._rooms[holder] > 0:
                self._left[holder, demand.claim] = left - 1
                self._rooms[holder] -= 1
                return holder, demand
        return None

    def _of(self, uid: int) -> list[tuple[int, Demand]]:
        claims = self._claims.get(uid)
        if claims is None:
            claims = [(holder, demand) for holder, demands in enumerate(self._demands) for demand in demands.get(uid, ())]
            self._claims[uid] = claims
            for holder, demand in claims:
                self._left.setdefault((holder, demand.claim), demand.count)
        return claims
