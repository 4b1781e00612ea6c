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

from eventyard.allowance import Allowance
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
        self._allowance = Allowance(lambda record: record.rule.target.bus is not None, _demand)
        self._settled: deque[_Carried] = deque()

    def demands(self, bus: int) -> Demands:
        return self._allowance.demands(bus)

    def room(self) -> int:
        return self._allowance.room()

    def follow(self, bus: BusRecord, records: Iterable[RuleRecord]) -> None:
        self._allowance.follow(bus.number, records)

    def ways(self, bus: int) -> list[tuple[str, str]]:
        """The rules of a bus that bring events to others: names, and buses that they name. From any thread."""
        targets = ((record.name, record.rule.target.bus) for record in self._allowance.records(bus))
        return [(name, target.name) for name, target in targets if target is not None]

    def forget(self, bus: BusRecord) -> None:
        self._allowance.forget(bus)

    @property
    def next_ms(self) -> None:
        """What is leased is published at once."""
        return None

    def conclude(self, error: EventyardError | None, unreached: Collection[tuple[int, int]]) -> None:
        """What was leased is on its way already."""

    def drain(self) -> None:
        """Demand nothing more."""
        self._allowance.is_over = True

    # Out

    def take(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        """Publish the events of these on the buses that their rules name, all for one bus together."""
        by_target: dict[str, list[_Carried]] = {}
        for lease in leases:
            self._allowance.began(bus.number, lease)
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
            self._allowance.ended(one.bus.number, one.lease)

    @property
    def under_way(self) -> int:
        return self._allowance.count


def _demand(_: int, record: RuleRecord, under_way: int) -> Demand | None:
    room = record.leases_max - under_way
    return Demand(0, room, record.push_lease_ms) if room > 0 else None


def _event(carried: _Carried) -> events.Event:
    return events.from_stored(carried.lease.event)


def _told(error: EventyardError) -> str:
    return error.detail[: limits.ANSWER_KEPT_BYTES]
