"""Consumers that receive: what each waits for, until a step of the writer has something for it.

A receive is a claim: up to so many deliveries of one rule, each leased for so long. A worker's claim is on the deliveries of every push
rule of every bus. Claims of one rule are served in the order in which they came. A claim is answered at the end of the first step that has
anything for it; one that waits no longer, with nothing.

`wait` and `hurry` are called from any thread; all the rest on the writer's.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from eventyard.core import limits
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Command, Demand, Lease
from eventyard.core.errors import EventyardError, InvalidRequest, NotFound, Overloaded
from eventyard.core.grants import Demands
from eventyard.core.rule import RuleRecord

Granted = tuple[BusRecord, Lease]

_NONE: Demands = MappingProxyType({})


class Claim(msgspec.Struct, eq=False):
    """One receive that waits. `rule`: bus number and uid; None: every push rule. `done` gets what was leased, or an error."""

    rule: tuple[int, int] | None
    count: int
    lease_ms: int
    done: Callable[[list[Granted] | EventyardError], None]
    is_impatient: bool = False
    number: int = 0
    leases: list[Granted] = msgspec.field(default_factory=list)


class Consumers:
    """A `Receiver` of the writer, for all who receive."""

    def __init__(self, wake_writer: Callable[[], None]) -> None:
        self._wake_writer = wake_writer
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._new: deque[Claim] = deque()
        self._claims: dict[int, Claim] = {}
        self._records: dict[int, dict[int, RuleRecord]] = {}
        self._demands: dict[int, dict[int, tuple[Demand, ...]]] = {}
        self._is_stale = False

    # From any thread

    def wait(self, claim: Claim) -> None:
        """Have the claim served by the next step that can. `Overloaded` where too many wait."""
        with self._lock:
            waiting = len(self._claims) + len(self._new)
            if waiting >= limits.RECEIVES_WAITING_MAX:
                raise Overloaded(f"found {waiting} receives waiting", wanted="to try again shortly")
            claim.number = next(self._numbers)
            self._new.append(claim)
        self._wake_writer()

    def hurry(self, claim: Claim) -> None:
        """The claim waits no longer: the next step answers it, with nothing if there is nothing."""
        claim.is_impatient = True
        self._wake_writer()

    # On the writer's thread

    def demands(self, bus: int) -> Demands:
        while self._new:
            with self._lock:
                claim = self._new.popleft()
                self._claims[claim.number] = claim
            self._is_stale = True
        if self._is_stale:
            self._is_stale = False
            self._demands = self._demand_anew()
        return self._demands.get(bus, _NONE)

    def room(self) -> int:
        """Each claim bounds itself, and the step that serves them its bytes."""
        return limits.STEP_CHANGES_MAX

    def follow(self, bus: BusRecord, records: Iterable[RuleRecord]) -> None:
        known = self._records.setdefault(bus.number, {})
        for record in records:
            rule = (bus.number, record.uid)
            if record.is_deleted:
                known.pop(record.uid, None)
                self._end_all(rule, NotFound("the rule was deleted", wanted="a rule that exists"))
                continue
            known[record.uid] = record
            if record.rule.target.queue is None:
                self._end_all(
                    rule, InvalidRequest(f'found that rule "{record.name}" pushes now', wanted="a rule with a queue target")
                )
        self._is_stale = True

    def forget(self, bus: BusRecord) -> None:
        for uid in list(self._records.pop(bus.number, {})):
            self._end_all((bus.number, uid), NotFound("the bus was deleted", wanted="a bus that exists"))
        self._is_stale = True

    def take(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self._claims[lease.claim].leases.append((bus, lease))

    def collect(self) -> Iterable[tuple[int, Command, Callable[[Any], None]]]:
        """Consumers settle by requests of their own."""
        return ()

    def conclude(self) -> None:
        """Answer what was served, and whoever waits no longer."""
        over = [claim for claim in self._claims.values() if claim.leases or claim.is_impatient]
        for claim in over:
            self._end(claim, claim.leases)

    def _end_all(self, rule: tuple[int, int], error: EventyardError) -> None:
        """What was leased for them in this step runs out by itself."""
        for claim in [claim for claim in self._claims.values() if claim.rule == rule]:
            self._end(claim, error)

    def _end(self, claim: Claim, answer: list[Granted] | EventyardError) -> None:
        with self._lock:
            del self._claims[claim.number]
        self._is_stale = True
        claim.done(answer)

    def _demand_anew(self) -> dict[int, dict[int, tuple[Demand, ...]]]:
        demands: dict[int, dict[int, tuple[Demand, ...]]] = {}
        workers = [claim for claim in self._claims.values() if claim.rule is None]
        for bus, records in self._records.items() if workers else ():
            demands[bus] = {
                uid: tuple(Demand(claim.number, claim.count, record.push_lease_ms) for claim in workers)
                for uid, record in records.items()
                if record.rule.target.http is not None
            }
        for claim in self._claims.values():
            if claim.rule is not None:
                bus, uid = claim.rule
                of_bus = demands.setdefault(bus, {})
                of_bus[uid] = (*of_bus.get(uid, ()), Demand(claim.number, claim.count, claim.lease_ms))
        return demands
