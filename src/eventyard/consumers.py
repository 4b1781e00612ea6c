"""Consumers that receive: what each waits for, until a step of the writer has something for it.

A receive is a claim: up to so many deliveries of one rule, each leased for so long. A worker's claim is on the deliveries of every push
rule of every bus. Claims of one rule are served in the order in which they came, those of workers in turn. A claim is answered at the end of the first step that has
anything for it; one that waits no longer, with nothing.

`wait`, `hurry` and `stop` are called from any thread; all the rest on the writer's.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from eventyard.core import limits
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Command, Demand, Lease
from eventyard.core.errors import EventyardError, InvalidRequest, NotFound, Overloaded, Stopping
from eventyard.core.grants import Demands
from eventyard.core.rule import RuleRecord

Granted = tuple[BusRecord, Lease]

RuleKey = tuple[int, int]
"""Bus number and rule uid."""


class Claim(msgspec.Struct, eq=False):
    """One receive that waits. `rule` None: every push rule. `done` gets what was leased, or an error."""

    rule: RuleKey | None
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
        self._hurried: deque[Claim] = deque()
        self._is_stopping = False
        self._claims: dict[int, Claim] = {}
        self._served: list[Claim] = []
        self._ended: list[tuple[RuleKey, EventyardError]] = []
        self._demands: dict[int, _Demands] = {}
        self._workers: dict[int, Claim] = {}

    # From any thread

    def wait(self, claim: Claim) -> None:
        """Have the claim served by the next step that can. `Overloaded` where too many wait, `Stopping`."""
        with self._lock:
            waiting = len(self._claims) + len(self._new)
            if self._is_stopping:
                raise Stopping("the bus is stopping", wanted="to try again when it is back")
            if waiting >= limits.RECEIVES_WAITING_MAX:
                raise Overloaded(f"found {waiting} receives waiting", wanted="to try again shortly")
            claim.number = next(self._numbers)
            self._new.append(claim)
        self._wake_writer()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._claims) + len(self._new)

    def hurry(self, claim: Claim) -> None:
        """The claim waits no longer: the next step answers it, with nothing if there is nothing."""
        claim.is_impatient = True
        self._hurried.append(claim)
        self._wake_writer()

    def stop(self) -> None:
        """Nobody waits any longer, and nobody begins to."""
        with self._lock:
            self._is_stopping = True
        self._wake_writer()

    # On the writer's thread

    def collect(self) -> Iterable[tuple[int, Command, Callable[[Any], None]]]:
        """A step begins: whoever came is in it. Consumers settle by requests of their own."""
        while self._new:
            with self._lock:
                claim = self._new.popleft()
                self._claims[claim.number] = claim
            self._place(claim)
        return ()

    def _place(self, claim: Claim) -> None:
        if claim.is_impatient:
            self._hurried.append(claim)
        if claim.rule is None:
            self._workers[claim.number] = claim
            return
        bus, uid = claim.rule
        demands = self._demands.get(bus)
        if demands is None or uid not in demands.records:
            self._ended.append((claim.rule, NotFound("the rule was deleted", wanted="a rule that exists")))
        else:
            demands.add(uid, Demand(claim.number, claim.count, claim.lease_ms))

    def demands(self, bus: int) -> Demands:
        return self._demands.get(bus, _NONE)

    def room(self) -> int:
        """Each claim bounds itself, and the step that serves them its bytes."""
        return limits.STEP_CHANGES_MAX

    def follow(self, bus: BusRecord, records: Iterable[RuleRecord]) -> None:
        demands = self._demands.get(bus.number)
        if demands is None:
            demands = self._demands[bus.number] = _Demands(self._workers)
        for record in records:
            if record.is_deleted:
                demands.forget(record.uid)
                self._ended.append(((bus.number, record.uid), NotFound("the rule was deleted", wanted="a rule that exists")))
                continue
            demands.follow(record)
            if record.rule.target.queue is None:
                found = f'found that rule "{record.name}" is not pulled any more'
                self._ended.append(((bus.number, record.uid), InvalidRequest(found, wanted="a rule with a queue target")))

    def forget(self, bus: BusRecord) -> None:
        demands = self._demands.pop(bus.number, _NONE)
        self._ended += [
            ((bus.number, uid), NotFound("the bus was deleted", wanted="a bus that exists")) for uid in demands.records
        ]

    def take(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        for lease in leases:
            claim = self._claims[lease.claim]
            if not claim.leases:
                self._served.append(claim)
            claim.leases.append((bus, lease))

    @property
    def next_ms(self) -> None:
        """Whoever waits is answered by a step that has something for it, or when its caller's time is over."""
        return None

    def conclude(self, error: EventyardError | None, unreached: Collection[RuleKey]) -> None:
        """Answer whoever waits for what is gone, what was served, and whoever waits no longer (`error`: why nothing could be leased).

        What was leased of a rule that went away in this very step runs out by itself. A queue that was not reached is no empty one:
        who waits for it is answered by a later step.
        """
        if self._ended:
            self._end_waiting(dict(self._ended))
        served, self._served = self._served, []
        for claim in served:
            if claim.number in self._claims:
                self._end(claim, claim.leases)
        for claim in [self._hurried.popleft() for _ in range(len(self._hurried))]:
            if claim.number not in self._claims:
                continue
            if error is None and claim.rule in unreached:
                self._hurried.append(claim)
            else:
                self._end(claim, error or [])
        if self._is_stopping:
            for claim in list(self._claims.values()):
                self._end(claim, [])

    def _end_waiting(self, ended: dict[RuleKey, EventyardError]) -> None:
        self._ended = []
        for claim in [claim for claim in self._claims.values() if claim.rule in ended]:
            if claim.rule is not None:
                self._end(claim, ended[claim.rule])

    def _end(self, claim: Claim, answer: list[Granted] | EventyardError) -> None:
        with self._lock:
            del self._claims[claim.number]
        if claim.rule is None:
            del self._workers[claim.number]
        elif demands := self._demands.get(claim.rule[0]):
            demands.remove(claim.rule[1], claim.number)
        claim.done(answer)


class _Demands:
    """The demands on one bus's rules: for a pull rule those of its own claims, for a push rule those of all workers."""

    def __init__(self, workers: dict[int, Claim]) -> None:
        self.records: dict[int, RuleRecord] = {}
        self._pushed: set[int] = set()
        self._workers = workers
        self._claims: dict[int, dict[int, Demand]] = {}

    def follow(self, record: RuleRecord) -> None:
        self.records[record.uid] = record
        if record.rule.target.http is None:
            self._pushed.discard(record.uid)
        else:
            self._pushed.add(record.uid)

    def forget(self, uid: int) -> None:
        self.records.pop(uid, None)
        self._pushed.discard(uid)

    def add(self, uid: int, demand: Demand) -> None:
        self._claims.setdefault(uid, {})[demand.claim] = demand

    def remove(self, uid: int, number: int) -> None:
        claims = self._claims.get(uid, {})
        claims.pop(number, None)
        if not claims:
            self._claims.pop(uid, None)

    def keys(self) -> AbstractSet[int]:
        return _Either(self._claims.keys(), self._pushed) if self._workers else self._claims.keys()

    def get(self, uid: int, _default: tuple[()], /) -> Sequence[Demand]:
        if self._workers and uid in self._pushed:
            lease_ms = self.records[uid].push_lease_ms
            return [Demand(number, claim.count, lease_ms, is_shared=True) for number, claim in self._workers.items()]
        return list(self._claims.get(uid, {}).values())


class _Either(AbstractSet[int]):
    """What is in the one or the other, which nothing is: a set of both would be made anew for each step."""

    def __init__(self, one: AbstractSet[int], other: AbstractSet[int]) -> None:
        self._one = one
        self._other = other

    def __contains__(self, uid: object) -> bool:
        return uid in self._one or uid in self._other

    def __iter__(self) -> Iterator[int]:
        return itertools.chain(self._one, self._other)

    def __len__(self) -> int:
        return len(self._one) + len(self._other)


_NONE = _Demands({})
