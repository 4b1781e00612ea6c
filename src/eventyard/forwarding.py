"""Forwarding: leases deliveries of rules whose target is another bus here, publishes their events on it, and settles what came of that.

It is dispatch with a bus for a target: it demands, takes leases and settles as any consumer does, and what it publishes waits in the same inbox as
what a producer sends. So the two buses share no step. An event keeps its source and id: one that is there already counts as delivered, so a
delivery that is made again after a crash publishes nothing twice, and an event that comes round a circle of buses ends where it has been.

Everything here runs on the writer's thread. A crash leaves leases behind; the writer makes them due again at start.
"""

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from eventyard.core import event as events
from eventyard.core import limits
from eventyard.core.changes import BusRecord
from eventyard.core.clock import BusTime
from eventyard.core.commands import Command, Demand, Lease, Publish, Published, Settle, Settlement
from eventyard.core.delivery import Note, Reason
from eventyard.core.errors import EventyardError, NotFound, Overloaded, Refused, Stopping, TooManyHops, Unavailable
from eventyard.core.grants import Demands
from eventyard.core.reply import StoppedLoop
from eventyard.core.rule import RuleRecord
from eventyard.core.verdict import Answer, Dead, Delivered, PushVerdict, Retry, decide

CONFLICT, GONE_BUS, FAILED = 409, 404, 503
"""As statuses of an answer, so that a rule's `answers` may say what they mean to it."""


class Submit(Protocol):
    """`Writer.submit`."""

    def __call__(self, bus: str, command: Command, done: Callable[[Any], None], *, size: int = 0) -> None: ...


class _Carried(msgspec.Struct, eq=False):
    """One delivery that is being published on another bus."""

    bus: BusRecord
    lease: Lease
    settlement: Settlement | None = None


class Forwarder:
    def __init__(
        self, submit: Submit, now: Callable[[], BusTime], rng: random.Random, wake: Callable[[], None] = lambda: None
    ) -> None:
        self._submit = submit
        self._now = now
        self._rng = rng
        self._wake = wake
        self._records: dict[int, dict[int, RuleRecord]] = {}
        self._demands: dict[int, dict[int, tuple[Demand]]] = {}
        self._under_way: dict[tuple[int, int], int] = {}
        self._count = 0
        self._bytes = 0
        self._settled: deque[_Carried] = deque()
        self._is_draining = False

    def demands(self, bus: int) -> Demands:
        return self._demands.get(bus, {}) if self.room() > 0 else {}

    def room(self) -> int:
        if self._is_draining or self._bytes >= limits.PUSH_BYTES_UNDER_WAY_MAX:
            return 0
        return limits.PUSHES_UNDER_WAY_MAX - self._count

    def follow(self, bus: BusRecord, records: Iterable[RuleRecord]) -> None:
        known = self._records.setdefault(bus.number, {})
        for record in records:
            if record.is_deleted or record.rule.target.bus is None:
                known.pop(record.uid, None)
            else:
                known[record.uid] = record
            self._demand_again(bus.number, record.uid)

    def ways(self, bus: int) -> list[tuple[str, str]]:
        """The rules of a bus that bring events to others: names, and buses that they name. From any thread."""
        records = list(self._records.get(bus, {}).values())
        return [(record.name, record.rule.target.bus.name) for record in records if record.rule.target.bus is not None]

    def forget(self, bus: BusRecord) -> None:
        for kept in (self._records, self._demands):
            kept.pop(bus.number, None)

    @property
    def next_ms(self) -> None:
        """What is leased is published at once."""
        return None

    def conclude(self, error: EventyardError | None, unreached: Collection[tuple[int, int]]) -> None:
        """What was leased is on its way already."""

    def drain(self) -> None:
        """Demand nothing more."""
        self._is_draining = True

    # Out

    def take(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        """Publish the events of these on the buses that their rules name, all for one bus together."""
        by_target: dict[str, list[_Carried]] = {}
        for lease in leases:
            self._change_under_way(bus.number, lease, 1)
            target = lease.record.rule.target.bus
            by_target.setdefault("" if target is None else target.name, []).append(_Carried(bus, lease))
        for name, carried in by_target.items():
            self._publish(name, carried)

    def _publish(self, name: str, carried: Sequence[_Carried]) -> None:
        forwarded = tuple(events.with_hops(read, read.hops + 1) for read in map(_event, carried))
        size = sum(len(event.json) for event in forwarded)
        try:
            self._submit(name, Publish(forwarded), partial(self._published, carried), size=size)
        except EventyardError as error:
            self._published(carried, error)

    def _published(self, carried: Sequence[_Carried], answer: Any) -> None:
        """What was answered, one by one, or of all together where they were not looked at."""
        answers = answer if isinstance(answer, list) else [answer] * len(carried)
        for one, what in zip(carried, answers, strict=True):
            delivery = one.lease.delivery
            one.settlement = Settlement(delivery.key, delivery.leases, self._verdict(one, what))
            self._settled.append(one)
        self._wake()

    def _verdict(self, carried: _Carried, answer: Published | EventyardError) -> PushVerdict:
        time = self._now()
        match answer:
            case Published():
                return Delivered(Note(at_ms=time.time_ms))
            case TooManyHops():
                return Delivered(Note(at_ms=time.time_ms), StoppedLoop("bus"))
            case Stopping() | Overloaded():
                return Retry(limits.FORWARD_PUT_OFF_MS, Note(failure="not published yet"), is_counted=False)
            case NotFound():
                return self._decided(carried, GONE_BUS, answer, time)
            case Refused():
                return Dead(Note(Reason.ANSWER, CONFLICT, answer=_told(answer), at_ms=time.time_ms))
            case _:
                return self._decided(carried, FAILED, answer, time)

    def _decided(self, carried: _Carried, status: int, error: EventyardError, time: BusTime) -> PushVerdict:
        policy, delivery = carried.lease.record.rule.delivery, carried.lease.delivery
        said = Answer(status, body=_told(error).encode())
        return decide(policy, delivery, said, work_ms=time.work_ms, time_ms=time.time_ms, chance=self._rng.random())

    # Back

    def collect(self) -> Iterable[tuple[int, Settle, Callable[[Any], None]]]:
        by_bus: dict[int, list[_Carried]] = {}
        while self._settled:
            carried = self._settled.popleft()
            by_bus.setdefault(carried.bus.number, []).append(carried)
        for number, settled in by_bus.items():
            settlements = tuple(one.settlement for one in settled if one.settlement is not None)
            yield number, Settle(settlements), partial(self._written, settled)

    def _written(self, carried: Sequence[_Carried], answer: Any) -> None:
        """Verdicts that could not be written are written with a later step: publishing again would do no harm, and no good."""
        if isinstance(answer, Unavailable):
            self._settled.extend(carried)
            return
        for one in carried:
            self._change_under_way(one.bus.number, one.lease, -1)

    def _change_under_way(self, bus: int, lease: Lease, by: int) -> None:
        key = (bus, lease.delivery.rule)
        self._count += by
        self._bytes += by * len(lease.event)
        self._under_way[key] = self._under_way.get(key, 0) + by
        if self._under_way[key] == 0:
            del self._under_way[key]
        self._demand_again(*key)

    def _demand_again(self, bus: int, rule: int) -> None:
        record, demands = self._records.get(bus, {}).get(rule), self._demands.setdefault(bus, {})
        room = 0
        if record is not None and not record.is_paused:
            room = record.rule.delivery.concurrency - self._under_way.get((bus, rule), 0)
        if room > 0 and record is not None:
            demands[rule] = (Demand(0, room, record.push_lease_ms),)
        else:
            demands.pop(rule, None)

    @property
    def under_way(self) -> int:
        return self._count


def _event(carried: _Carried) -> events.Event:
    return events.from_stored(carried.lease.event)


def _told(error: EventyardError) -> str:
    return error.detail[: limits.ANSWER_KEPT_BYTES]
