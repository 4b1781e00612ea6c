"""Consumers of pull rules: processes of their own, which live on when the bus dies, and keep what it leased to them.

What they ask goes the way of `bus.queues`: a receive is a claim, a verdict names leases by their tokens. Some answers are lost on
their way, some leases are forgotten, and some verdicts come late, twice, or about what was never theirs.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from eventyard.bus.queues import _settlements
from eventyard.consumers import Claim, Granted
from eventyard.core.bus_state import BusState
from eventyard.core.commands import Settle, Settlement
from eventyard.core.delivery import RELEASED, Note, Reason, State, lease_token
from eventyard.core.errors import EventyardError, Overloaded, StaleLease
from eventyard.core.rule import RuleRecord
from eventyard.core.verdict import Dead, Delivered, GivenBack, Renewed, Retry, Verdict
from tests.simulation.asking import Asker, shown
from tests.simulation.books import Handed
from tests.simulation.documents import BUSES
from tests.simulation.house import House

PROCESSES = 3


class Held(msgspec.Struct, eq=False):
    """A lease as its consumer knows it, and what it has said of it last."""

    bus: str
    token: str
    handed: Handed
    said: Verdict | None = None


class Waiting(msgspec.Struct, eq=False):
    """A receive under way, in one life of the house. Its consumer may leave before it is answered."""

    consumer: int
    bus: str
    life: int
    claim: Claim
    has_left: bool = False


class Crowd(Asker):
    """All consumers of all pull rules."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._held: list[list[Held]] = [[] for _ in range(PROCESSES)]
        self._past: list[Held] = []
        self._waiting: list[Waiting] = []

    # Receiving

    def receive(self) -> None:
        """Ask for some deliveries of some pull rule, at once or waiting for them."""
        rng, bus = self._rng, self._rng.choice(BUSES)
        state = self._state(bus)
        pulled = sorted((record for record in _pulled(state)), key=lambda record: record.name)
        if state is not None and pulled:
            lease_s = rng.choice((None, 1, 5, 60, 600))
            self._claim(bus, state, rng.choice(pulled), rng.choice((1, 1, 2, 20)), lease_s, is_impatient=rng.random() < 0.6)

    def _claim(
        self, bus: str, state: BusState, record: RuleRecord, count: int, lease_s: float | None, *, is_impatient: bool
    ) -> None:
        queue = record.rule.target.queue
        lease_ms = int((lease_s or (queue.lease_s if queue is not None else 1)) * 1000)
        claim = Claim((state.record.number, record.uid), count, lease_ms, lambda answer: self._answered(waiting, answer))
        claim.is_impatient = is_impatient
        waiting = Waiting(self._rng.randrange(PROCESSES), bus, self._house.world.life, claim)
        self._house.world.note(f"receive {count} of {record.name} on {bus} for {lease_ms} ms")
        try:
            self._house.consumers.wait(claim)
        except Overloaded:
            return
        self._waiting.append(waiting)

    def hurry(self) -> None:
        """Somebody waits no longer; some of them are not even there any more."""
        self._waiting = [waiting for waiting in self._waiting if waiting.life == self._house.world.life]
        if self._waiting:
            waiting = self._rng.choice(self._waiting)
            waiting.has_left = self._rng.random() < 0.3
            self._house.world.note(
                f"a receive of consumer {waiting.consumer} is over{', it has left' if waiting.has_left else ''}"
            )
            self._house.consumers.hurry(waiting.claim)

    def _answered(self, waiting: Waiting, answer: list[Granted] | EventyardError) -> None:
        self._waiting = [other for other in self._waiting if other is not waiting]
        self._house.world.note(f"consumer {waiting.consumer} got {_brief(answer)}")
        if isinstance(answer, EventyardError):
            return
        is_lost = self._rng.random() < 0.05
        for granted in answer:
            held = self._take(waiting, granted)
            if waiting.has_left:
                self._give_back_uncounted(granted, held)
            elif not is_lost:
                self._held[waiting.consumer].append(held)

    def _take(self, waiting: Waiting, granted: Granted) -> Held:
        bus, lease = granted
        delivery, now_ms = lease.delivery, self._house.world.now_ms
        handed = Handed(
            incarnation=bus.incarnation,
            key=delivery.key,
            rule=lease.record.name,
            event=lease.event,
            attempt=delivery.attempts,
            life=self._house.world.life,
            at_ms=now_ms,
            bus_ms=self._house.writer.now().time_ms,
            ends_ms=now_ms + waiting.claim.lease_ms,
            replay=str(delivery.run) if lease.is_replayed else "",
            is_pulled=True,
            lease=delivery.leases,
        )
        self._house.gate.hand(handed)
        return Held(waiting.bus, lease_token(bus.incarnation, delivery), handed)

    def _give_back_uncounted(self, granted: Granted, held: Held) -> None:
        """As the facade does where its caller has left."""
        bus, lease = granted
        held.handed.freed_ms = self._house.world.now_ms
        held.handed.is_uncounted = True
        verdict = Retry(0, Note(failure="the consumer left before it was answered"), is_counted=False)
        settlement = Settlement(lease.delivery.key, lease.delivery.leases, verdict)
        self._house.writer.submit_own(bus.number, Settle((settlement,)), lambda _: None)

    # Settling

    def settle(self) -> None:
        """Say of some leases what has become of them."""
        own = self._rng.choice(self._held)
        if own:
            some = self._rng.sample(own, min(len(own), self._rng.choice((1, 1, 2, 10))))
            for held in some:
                own.remove(held)
            verdict = self._verdict()
            self._say(some, verdict)
            if isinstance(verdict, Renewed):
                own += some

    def renew(self) -> None:
        """Somebody is still at all that it holds."""
        own = self._rng.choice(self._held)
        if own:
            self._say(own, Renewed(self._rng.choice((60_000, 600_000))))

    def repeat(self) -> None:
        """Say it again, or something else, of leases that were settled or forgotten long ago."""
        if self._past:
            held = self._rng.choice(self._past)
            self._say([held], held.said if held.said is not None and self._rng.random() < 0.6 else self._verdict())

    def forget(self) -> None:
        """A consumer dies with all that it holds; or it only thinks so."""
        number = self._rng.randrange(PROCESSES)
        self._house.world.note(f"consumer {number} dies")
        self._past += self._held[number]
        self._held[number] = []

    def _verdict(self) -> Verdict:
        rng, note = self._rng, Note(at_ms=self._house.writer.now().time_ms)
        return rng.choice(
            (
                Delivered(Note()),
                Delivered(Note()),
                Delivered(Note()),
                GivenBack(rng.choice((0, 0, 500, 20_000)), msgspec.structs.replace(note, failure=RELEASED)),
                Dead(msgspec.structs.replace(note, reason=Reason.REJECTED, answer="never mind")),
                Renewed(rng.choice((1_000, 60_000, 600_000))),
                Renewed(rng.choice((1_000, 60_000, 600_000))),
            )
        )

    def _say(self, some: Sequence[Held], verdict: Verdict) -> None:
        """One verdict on several leases of one rule, by their tokens, as the facade takes them."""
        bus, name = some[0].bus, some[0].handed.rule
        state, record = self._state(bus), self._record(bus, name)
        if state is None or record is None or not record.is_pulled:
            return
        named = [held for held in some if (held.bus, held.handed.rule) == (bus, name)]
        read = _settlements(state.record.incarnation, record.uid, [held.token for held in named], verdict)
        taken = [(held, one) for held, one in zip(named, read, strict=True) if isinstance(one, Settlement)]
        for held, _ in taken:
            self._note_said(held, verdict)
        if taken:
            settlements = tuple(settlement for _, settlement in taken)
            asked_ms = self._house.world.now_ms
            self._ask(
                bus,
                Settle(settlements),
                lambda answer: self._take_verdicts([held for held, _ in taken], verdict, asked_ms, answer),
            )

    def _note_said(self, held: Held, verdict: Verdict) -> None:
        """From here on the house may act on it, whether an answer comes or not."""
        handed, now_ms = held.handed, self._house.world.now_ms
        held.said = verdict
        self._past = [*self._past[-50:], held]
        match verdict:
            case Delivered():
                handed.acknowledged_ms = now_ms
            case Dead():
                handed.rejected_ms = now_ms
                handed.freed_ms = now_ms
            case GivenBack(delay_ms, _):
                free_ms = now_ms + delay_ms
                handed.freed_ms = free_ms if handed.freed_ms is None else min(handed.freed_ms, free_ms)
            case Renewed(lease_ms):
                handed.ends_ms = min(handed.ends_ms, now_ms + lease_ms)

    def _take_verdicts(self, named: list[Held], verdict: Verdict, asked_ms: int, answer: Any) -> None:
        self._house.world.note(f"settled: {shown(answer)}")
        if isinstance(answer, EventyardError):
            return
        for held, one in zip(named, answer, strict=True):
            if one is None:
                self._take_ok(held.handed, verdict, asked_ms)
            elif isinstance(one, StaleLease) and isinstance(verdict, Delivered):
                self._check_refused(held.handed)

    def _take_ok(self, handed: Handed, verdict: Verdict, asked_ms: int) -> None:
        """What was answered ok is durable: the ledger has it. A lease began anew some time after it was asked for."""
        row = self._row(handed)
        match verdict:
            case Delivered():
                handed.is_settled = True
            case Renewed(lease_ms):
                handed.ends_ms = asked_ms + lease_ms
        is_as_said = not isinstance(verdict, Delivered) or row.state is State.DELIVERED
        if not is_as_said:
            self._bus(handed).fail(f"{verdict} was answered ok, and the delivery is {row}")

    def _check_refused(self, handed: Handed) -> None:
        """An acknowledgement counts until a later lease is granted, unless the delivery has ended otherwise, or its run or rule has."""
        bus, row = self._bus(handed), self._row(handed)
        is_over = row.leases != handed.lease or not row.state.is_pending or handed.freed_ms is not None or handed.is_redriven
        is_closed = (row.rule, row.run) in bus.told.closed or bus.rules[row.rule].is_deleted
        if not is_over and not is_closed:
            bus.fail(f"the acknowledgement of {handed} was refused, and the delivery is {row}")

    def _bus(self, handed: Handed) -> Any:
        return self._house.ledger.of(handed.incarnation)

    def _row(self, handed: Handed) -> Any:
        return self._bus(handed).rows[handed.key]

    # At rest

    def work_off(self) -> None:
        """Everybody is well: whatever is held is acknowledged, and whatever there is is received."""
        for own in self._held:
            for held in own:
                self._say([held], Delivered(Note()))
            own.clear()
        self._waiting = [waiting for waiting in self._waiting if waiting.life == self._house.world.life]
        for waiting in self._waiting:
            self._house.consumers.hurry(waiting.claim)
        for bus in dict.fromkeys(BUSES):
            state = self._state(bus)
            if state is not None:
                for record in _pulled(state):
                    self._claim(bus, state, record, 50, None, is_impatient=True)


def _pulled(state: BusState | None) -> list[RuleRecord]:
    return [record for record in state.by_name.values() if record.rule.target.queue is not None] if state is not None else []


def _brief(answer: list[Granted] | EventyardError) -> str:
    return shown(answer) if isinstance(answer, EventyardError) else str([lease.delivery.key for _, lease in answer])
