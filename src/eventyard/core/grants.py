"""Who gets a lease: what receivers demand, and what of it one step has already granted.

A receiver (`holder`: dispatch, or the desk of consumers) tells for each rule the claims on it, first come first served. One claim may
be for many rules of many buses, as that of a worker that pushes for all: its count is then shared between them.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec

from eventyard.core import limits
from eventyard.core.commands import Demand
from eventyard.core.due import Ready
from eventyard.core.hosts import HostsDraft


class Demands(Protocol):
    """By rule uid, the claims on its deliveries in the order in which they are served. A dictionary is one."""

    def keys(self) -> AbstractSet[int]:
        """The rules with a claim on them."""
        ...

    def get(self, uid: int, default: tuple[()], /) -> Sequence[Demand]: ...


def demanded(ready: Iterable[Ready], demands: Sequence[Demands]) -> Iterator[int]:
    """Of the rules that are ready those that somebody waits for, by turns.

    Thousands of rules may have a backlog that nobody asks for, and each step of the bus comes through here: so the shorter side is
    looked through, and of rules that are nearly all waited for no more than are taken from here.
    """
    kinds = [of_kind for of_kind in ready if of_kind]
    keys = [keys for one in demands if (keys := one.keys())] if kinds else []
    if not keys:
        return iter(())
    by_turns = [_demanded(of_kind, keys) for of_kind in kinds]
    return (uid for _, uid in (heapq.merge(*by_turns) if len(by_turns) > 1 else by_turns[0]))


def _demanded(ready: Ready, keys: Sequence[AbstractSet[int]]) -> Iterable[tuple[int, int]]:
    if sum(map(len, keys)) < len(ready):
        return sorted((ready[uid], uid) for uid in {uid for of_one in keys for uid in of_one if uid in ready})
    return ((turn, uid) for uid, turn in ready.items() if any(uid in of_one for of_one in keys))


class _Open(msgspec.Struct, eq=False):
    """How much more a claim takes in this step, over all its rules: deliveries, and bytes of their events."""

    holder: int
    left: int
    bytes: int = limits.ANSWER_BYTES_MAX


class Ledger:
    """What a step may still grant, over all its buses: leases by holder, what is left of each claim, and bytes of events."""

    def __init__(self, rooms: Sequence[int], hosts: HostsDraft | None = None) -> None:
        self.rooms = list(rooms)
        self.hosts = hosts
        self.bytes = limits.STEP_BYTES_MAX
        self._open: dict[tuple[int, int], _Open] = {}

    def open(self, holder: int, demand: Demand) -> _Open:
        """The claim as this step has left it so far."""
        found = self._open.get((holder, demand.claim))
        if found is None:
            found = self._open[holder, demand.claim] = _Open(holder, demand.count)
        return found


class Grants:
    """The demands on one bus, written down in the step's ledger as they are met."""

    def __init__(self, demands: Sequence[Demands], ledger: Ledger) -> None:
        self._demands = demands
        self._ledger = ledger
        self._waiting: dict[int, list[tuple[Demand, _Open]]] = {}

    def demanded(self, *ready: Ready) -> Iterator[int]:
        return demanded(ready, self._demands)

    def wanted(self, uid: int) -> int:
        """How many more deliveries of the rule are taken now: a bound for a read, not a promise."""
        rooms = self._ledger.rooms
        return sum(min(rooms[claim.holder], claim.left) for _, claim in self._of(uid))

    def grant(self, uid: int, size: int) -> tuple[int, Demand] | None:
        """Whose turn it is for an event of `size` bytes, with the count of its demand lowered; None when nobody takes one more."""
        ledger, waiting = self._ledger, self._of(uid)
        while waiting and ledger.bytes > 0:
            demand, claim = waiting[-1]
            if claim.left > 0 and claim.bytes > 0 and ledger.rooms[claim.holder] > 0:
                claim.left -= 1
                claim.bytes -= size
                ledger.rooms[claim.holder] -= 1
                ledger.bytes -= size
                if demand.is_shared and len(waiting) > 1:
                    waiting.insert(0, waiting.pop())
                return claim.holder, demand
            waiting.pop()  # Neither grows again in this step.
        return None

    @property
    def is_spent(self) -> bool:
        """Whether the step has given out all the bytes that it may."""
        return self._ledger.bytes <= 0

    def _of(self, uid: int) -> list[tuple[Demand, _Open]]:
        """Who waits for the rule; the first to be served stands last."""
        waiting = self._waiting.get(uid)
        if waiting is None:
            waiting = [
                (demand, self._ledger.open(holder, demand))
                for holder, demands in enumerate(self._demands)
                for demand in demands.get(uid, ())
            ]
            waiting.reverse()
            self._waiting[uid] = waiting
        return waiting
