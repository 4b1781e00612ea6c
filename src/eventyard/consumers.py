"""Consumers that receive: what each waits for, until a step of the writer has something for it.

A receive is a claim: up to so many deliveries of one rule, each leased for so long. A worker's claim is on the deliveries of every push
rule of every bus. Claims of one rule are served in the order in which they came. A claim is answered at the end of the first step that has
anything for it; one that waits no longer, with nothing.

`wait` and `hurry` are called from any thread; all the rest on the writer's.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from eventyard.core import limits
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Command, Demand, Lease
from eventyard.core.errors import EventyardError, InvalidRequest, NotFound, Overloaded
from eventyard.core.grants import Demands
from eventyard.core.rule import RuleRecord

Granted = tuple[BusRecord, Lease]


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
        self._workers: dict[int, Claim] = {}
        self._buses: dict[int, _Wanted] = {}

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
        self._take_up()
        return self._of_bus(bus)

    def _take_up(self) -> None:
        """Claims that are new; a step in which no bus had anything to do has asked for no demands."""
        while self._new:
            with self._lock:
                claim = self._new.popleft()
                self._claims[claim.number] = claim
            self._begin(claim)

    def _begin(self, claim: Claim) -> None:
        if claim.rule is None:
            self._workers[claim.number] = claim
        else:
            bus, uid = claim.rule
            self._of_bus(bus).claims.setdefault(uid, {})[claim.number] = claim

    def _of_bus(self, bus: int) -> "_Wanted":
        wanted = self._buses.get(bus)
        if wanted is None:
            wanted = self._buses[bus] = _Wanted(self._workers)
        return wanted

    def room(self) -> int:
        """Each claim bounds itself, and the step that serves them its bytes."""
        return limits.STEP_CHANGES_MAX

    def follow(self, bus: BusRecord, records: Iterable[RuleRecord]) -> None:
        wanted = self._of_bus(bus.number)
        for record in records:
            if record.is_deleted:
                wanted.records.pop(record.uid, None)
                self._end_all(wanted, record.uid, NotFound("the rule was deleted", wanted="a rule that exists"))
                continue
            wanted.records[record.uid] = record
            if record.rule.target.queue is None:
                found = f'found that rule "{record.name}" pushes now'
                self._end_all(wanted, record.uid, InvalidRequest(found, wanted="a rule with a queue target"))

    def forget(self, bus: BusRecord) -> None:
        wanted = self._of_bus(bus.number)
        for uid in list(wanted.claims):
            self._end_all(wanted, uid, NotFound("the bus was deleted", wanted="a bus that exists"))
        del self._buses[bus.number]

    def take(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        """What was leased for a claim that this very step has ended runs out by itself."""
        for lease in leases:
            if (claim := self._claims.get(lease.claim)) is not None:
                claim.leases.append((bus, lease))

    def collect(self) -> Iterable[tuple[int, Command, Callable[[Any], None]]]:
        """Consumers settle by requests of their own."""
        return ()

    def conclude(self) -> None:
        """Answer what was served, and whoever waits no longer."""
        self._take_up()
        over = [claim for claim in self._claims.values() if claim.leases or claim.is_impatient]
        for claim in over:
            self._end(claim, claim.leases)

    def _end_all(self, wanted: "_Wanted", uid: int, error: EventyardError) -> None:
        for claim in list(wanted.claims.get(uid, {}).values()):
            self._end(claim, error)

    def _end(self, claim: Claim, answer: list[Granted] | EventyardError) -> None:
        with self._lock:
            del self._claims[claim.number]
        if claim.rule is None:
            del self._workers[claim.number]
        else:
            bus, uid = claim.rule
            self._buses[bus].end(uid, claim)
        claim.done(answer)


class _Wanted(Mapping[int, Sequence[Demand]]):
    """What is wanted of the rules of one bus. Worked out for the rule that is asked about: a worker wants something of them all."""

    def __init__(self, workers: Mapping[int, Claim]) -> None:
        self.records: dict[int, RuleRecord] = {}
        self.claims: dict[int, dict[int, Claim]] = {}
        self._workers = workers

    def end(self, uid: int, claim: Claim) -> None:
        of_rule = self.claims[uid]
        del of_rule[claim.number]
        if not of_rule:
            del self.claims[uid]

    def __contains__(self, uid: object) -> bool:
        record = self.records.get(uid)  # type: ignore[call-overload]  # whatever it is, it is there or not
        if record is None:
            return False
        return bool(self._workers) if record.rule.target.queue is None else uid in self.claims

    def __getitem__(self, uid: int) -> Sequence[Demand]:
        if uid not in self:
            raise KeyError(uid)
        record = self.records[uid]
        if record.rule.target.queue is None:
            return [Demand(claim.number, claim.count, record.push_lease_ms) for claim in self._workers.values()]
        return [Demand(claim.number, claim.count, claim.lease_ms) for claim in self.claims[uid].values()]

    def __iter__(self) -> Iterator[int]:
        return (uid for uid in self.records if uid in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
