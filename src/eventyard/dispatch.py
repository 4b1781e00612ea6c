"""Dispatch: leases deliveries from the queues of push rules, sends them, and settles what the target answered.

Push is a pull: dispatch demands, takes leases and settles exactly as a remote consumer would, bounded as `allowance` says.
A crash leaves leases behind; the writer makes them due again at start.

`demands`, `take`, `follow` and `collect` run on the writer's thread and own all counters. `_answered` runs on the transport's
thread: it decides, leaves the verdict for `collect`, and wakes the writer. What goes in batches waits in `gathering` until `send_due`.
"""

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from eventyard import answering, logbook, pushing
from eventyard.allowance import Allowance
from eventyard.core import limits
from eventyard.core.changes import BusRecord
from eventyard.core.clock import BusTime
from eventyard.core.commands import Demand, Lease, Settle, Settlement
from eventyard.core.delivery import STOPPED, Note, Reason
from eventyard.core.errors import Corrupt, EventyardError, SecretLost, Unavailable
from eventyard.core.grants import Demands
from eventyard.core.reply import Reply
from eventyard.core.rule import RuleRecord
from eventyard.core.transform import TransformFailed
from eventyard.core.transform.jsonata import Program
from eventyard.core.transform.shaped import Shaped
from eventyard.core.transform.shapes import Shapes, facts
from eventyard.core.verdict import Dead, Delivered, PushVerdict, Retry, decide
from eventyard.gathering import Gathered, Gathering
from eventyard.metering import Meter
from eventyard.ports import ExpressionFailed, Expressions, Outcome, PushAnswer, PutOff, Tracing, Transport, Values


class _Push(msgspec.Struct, eq=False):
    """One push under way. `is_last`: with its verdict a request of several is over."""

    bus: BusRecord
    lease: Lease
    settlement: Settlement | None = None
    is_last: bool = False


class Dispatch:
    def __init__(
        self,
        transport: Transport,
        now: Callable[[], BusTime],
        wake_writer: Callable[[], None],
        rng: random.Random,
        *,
        meter: Meter | None = None,
        tracing: Tracing | None = None,
        open_secret: pushing.Opener = pushing.nothing_to_open,
        wall_ms: Callable[[], int] | None = None,
        expressions: Expressions | None = None,
        wake_from_elsewhere: Callable[[], None] | None = None,
    ) -> None:
        """`wall_ms`: Unix time as targets know it, which signatures carry; bus time where there is none.

        `wake_from_elsewhere`: as `wake_writer`, where verdicts come on a thread that is not the transport's.
        """
        self._wall_ms = wall_ms or (lambda: now().time_ms)
        self._open_secret = open_secret
        self._expressions = expressions
        self._wake_from_elsewhere = wake_from_elsewhere or wake_writer
        self._tracing = tracing
        self._meter = meter or Meter()
        self._transport = transport
        self._now = now
        self._wake_writer = wake_writer
        self._rng = rng
        self._shapes = Shapes()
        self._gathering: Gathering[_Push] = Gathering(lambda: now().work_ms)
        self._allowance = Allowance(lambda record: record.rule.target.http is not None, self._demand)
        self._settled: deque[_Push] = deque()
        self._unwritten: deque[_Push] = deque()
        self._is_abandoned = False
        self._is_giving_up = False

    # On the writer's thread

    def demands(self, bus: int) -> Demands:
        return self._allowance.demands(bus)

    def room(self) -> int:
        return self._allowance.room()

    def follow(self, bus: BusRecord, records: Iterable[RuleRecord]) -> None:
        records = list(records)
        self._allowance.follow(bus.number, records)
        for push in (push for record in records for push in self._gathering.withdraw((bus.number, record.uid))):
            self._give_back(push)

    def forget(self, bus: BusRecord) -> None:
        self._allowance.forget(bus)
        for push in self._gathering.withdraw_all(bus.number):
            self._give_back(push)

    def take(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        """Send each leased delivery. The event is pushed as it is stored, as its binary form, or as the rule's transform makes it."""
        time_s = self._wall_ms() // 1000
        for lease in leases:
            self._allowance.began(bus.number, lease)
            push = _Push(bus, lease)
            if lease.record.batch is not None:
                self._gathering.add(push)
                continue
            try:
                compiled = self._shapes.of(bus, lease.record)
                if isinstance(compiled, Program):
                    self._evaluate(push, compiled)
                    continue
                shaped = None if compiled is None else compiled.shape(lease.event, facts(bus, lease.record, lease.delivery))
            except TransformFailed as failure:
                self._not_shaped(push, failure)
                continue
            self._send(push, shaped, time_s)
        self.send_due()

    @property
    def next_ms(self) -> int | None:
        """The work time at which `send_due` has something to do by time alone."""
        return self._gathering.next_ms

    def send_due(self) -> None:
        """Send the batches that are full, or have waited long enough."""
        if self._is_abandoned:
            return
        for gathered in self._gathering.due(is_last=self._allowance.is_over):
            self._send_batch(gathered)
        for push in self._gathering.late():
            self._give_back(push)

    def _send_batch(self, gathered: Gathered[_Push]) -> None:
        pushes = gathered.pushes
        pushes[-1].is_last = True
        self._allowance.changed(gathered.rule)
        try:
            leases = [push.lease for push in pushes]
            request = pushing.batched(pushes[0].bus, leases, self._wall_ms() // 1000, self._open_secret)
        except SecretLost as error:
            self._batch_answered(gathered, PushAnswer(0, {}, b"", failure=error.found))
        else:
            self._transport.send(request, partial(self._batch_answered, gathered))

    def _evaluate(self, push: _Push, program: Program) -> None:
        """Somewhere else; what comes of it is sent from there."""
        lease = push.lease
        if self._expressions is None:
            raise TransformFailed("found no evaluator of expressions; wanted a bus that was started with one")
        known = facts(push.bus, lease.record, lease.delivery)
        who = (push.bus.number, lease.delivery.rule)
        self._expressions.evaluate(who, program.expressions, lease.event, known, partial(self._evaluated, push, program))

    # On the writer's thread, or an evaluator's

    def _evaluated(self, push: _Push, program: Program, outcome: Outcome) -> None:
        if self._is_abandoned:
            return  # As in `_answered`.
        match outcome:
            case Values(values):
                try:
                    shaped = program.shape(values)
                except TransformFailed as failure:
                    self._not_shaped(push, failure)
                else:
                    self._send(push, shaped, self._wall_ms() // 1000)
            case ExpressionFailed():
                self._not_shaped(push, TransformFailed(program.told(outcome.reason, outcome.number, outcome.character)))
            case PutOff():
                delay_ms = limits.EXPRESSION_PUT_OFF_MS
                self._settle(push, Retry(delay_ms, Note(failure="not evaluated yet"), is_counted=False))
        self._wake_from_elsewhere()

    def _send(self, push: _Push, shaped: Shaped | None, time_s: int) -> None:
        told = self._tracing.headers(push.bus, push.lease) if self._tracing is not None else ()
        try:
            request = pushing.push(push.bus, push.lease, time_s, told, self._open_secret, shaped=shaped)
        except SecretLost as error:
            self._answered(push, PushAnswer(0, {}, b"", failure=error.found))
        except TransformFailed as failure:
            self._not_shaped(push, failure)
        else:
            self._transport.send(request, self._answer_to(push))

    def _not_shaped(self, push: _Push, failure: TransformFailed) -> None:
        """Nothing is sent. The same event under the same rule would fail again, so it is a dead letter at once."""
        phrase = str(failure)[: limits.TRANSFORM_FAILURE_CHARACTERS]
        answer = PushAnswer(0, {}, b"", failure=f"the transform failed: {phrase}")
        if self._tracing is not None:
            self._tracing.pushed(push.bus, push.lease, answer)
        if logbook.PUSHED.is_on:
            _tell(push, answer)
        self._settle(push, Dead(Note(reason=Reason.TRANSFORM, failure=answer.failure, at_ms=self._now().time_ms)))

    # On the writer's thread

    def give_back(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        """Not sent, and not counted: somebody else may have them at once."""
        for lease in leases:
            self._allowance.began(bus.number, lease)
            self._give_back(_Push(bus, lease))

    def _give_back(self, push: _Push) -> None:
        self._settle(push, Retry(0, Note(failure="given back unsent"), is_counted=False))

    def conclude(self, error: EventyardError | None, unreached: Collection[tuple[int, int]]) -> None:
        """What was leased is on its way already."""

    def collect(self) -> Iterable[tuple[int, Settle, Callable[[Any], None]]]:
        """All verdicts that are in, a command for each bus: at full speed one commit carries many. Of replies, as many as a step bears."""
        self.send_due()
        pushes: dict[int, list[_Push]] = {}
        reply_bytes = 0
        while self._settled and reply_bytes < limits.REPLIES_PER_STEP_BYTES:
            push = self._settled.popleft()
            pushes.setdefault(push.bus.number, []).append(push)
            reply_bytes += _reply_bytes(push)
        for number, settled in pushes.items():
            settlements = tuple(push.settlement for push in settled if push.settlement is not None)
            yield number, Settle(settlements), partial(self._written, settled)

    def _written(self, pushes: Sequence[_Push], answer: Any) -> None:
        """The verdicts are durable, stale, or could not be written: then they are kept and written later."""
        if isinstance(answer, Unavailable):
            self._unwritten.extend(pushes)
            return
        if isinstance(answer, Corrupt):
            logbook.VERDICTS_LOST(error=answer.detail)
        for push in pushes:
            if push.is_last:
                self._gathering.ended((push.bus.number, push.lease.delivery.rule))
            self._allowance.ended(push.bus.number, push.lease)
        self.send_due()

    def _demand(self, bus: int, record: RuleRecord, under_way: int) -> Demand | None:
        room = record.leases_max - under_way
        room = room if record.batch is None else min(room, self._gathering.room(record, (bus, record.uid)))
        return Demand(_claim(bus, record.uid), room, record.push_lease_ms, is_shared=True) if room > 0 else None

    def _answer_to(self, push: _Push) -> Callable[[PushAnswer], None]:
        return partial(self._answered, push)

    # On the transport's thread

    def _answered(self, push: _Push, answer: PushAnswer) -> None:
        """Decide what becomes of the delivery; the writer takes the verdict up with its next step."""
        if self._is_abandoned:
            return  # The transport gave the push up; the lease is released at the next start.
        self._meter.pushed(answer.status, answer.elapsed_s)
        self._decide(push, answer)

    def _batch_answered(self, gathered: Gathered[_Push], answer: PushAnswer) -> None:
        """One answer for all, or one for each. Of several that are too large together each goes again, in a smaller batch."""
        if self._is_abandoned:
            return
        pushes = gathered.pushes
        self._meter.pushed(answer.status, answer.elapsed_s)
        answers = answering.of_each(answer, len(pushes))
        if answers is None:
            self._send_in_smaller(gathered)
            return
        for push, own in zip(pushes, answers, strict=True):
            self._decide(push, own)

    def _send_in_smaller(self, gathered: Gathered[_Push]) -> None:
        """At once, and no attempt of any of them: none was looked at."""
        self._gathering.learn(gathered.rule, gathered.bytes)
        failure = f"a batch of {len(gathered.pushes)} was too large for the target: it goes in smaller ones"
        for push in gathered.pushes:
            note = Note(status=answering.TOO_LARGE, failure=failure, at_ms=self._now().time_ms)
            self._settle(push, Retry(0, note, is_counted=False))

    def _decide(self, push: _Push, answer: PushAnswer) -> None:
        if self._tracing is not None:
            self._tracing.pushed(push.bus, push.lease, answer)
        if logbook.PUSHED.is_on:
            _tell(push, answer)
        time = self._now()
        if self._is_giving_up and not answer.status:
            note = Note(failure=STOPPED, at_ms=time.time_ms)
            self._settle(push, Retry(0, note))
            return
        verdict = decide(
            push.lease.record.rule.delivery,
            push.lease.delivery,
            answering.read(answer),
            work_ms=time.work_ms,
            time_ms=time.time_ms,
            chance=self._rng.random(),
        )
        if isinstance(verdict, Delivered) and (reply := pushing.answered(push.bus, push.lease, answer)) is not None:
            verdict = Delivered(verdict.note, reply)
        self._settle(push, verdict)

    def _settle(self, push: _Push, verdict: PushVerdict) -> None:
        delivery = push.lease.delivery
        push.settlement = Settlement(delivery.key, delivery.leases, verdict)
        self._settled.append(push)
        self._wake_writer()

    # On the keeper's thread

    def step(self) -> bool:
        """Have the verdicts written again that the disk refused. True when there were any."""
        unwritten = len(self._unwritten)
        for _ in range(unwritten):
            self._settled.append(self._unwritten.popleft())
        if unwritten:
            self._wake_writer()
        return bool(unwritten)

    @property
    def under_way(self) -> int:
        """Pushes that were sent and whose verdicts are not written yet."""
        return self._allowance.count

    @property
    def verdicts(self) -> int:
        """How many there are to `collect`, those included that could not be written before."""
        return len(self._settled) + len(self._unwritten)

    def drain(self) -> None:
        """Demand nothing more, and let no batch wait for more. What is under way may still be answered until `abandon`."""
        self._allowance.is_over = True
        self._wake_writer()

    def abandon(self) -> None:
        """Answers count no longer: the transport is about to give up what is under way."""
        self._allowance.is_over = self._is_abandoned = True

    def give_up(self) -> None:
        """As `abandon`, where somebody else goes on: what the transport gives up is due again at once, its attempt counted."""
        self._allowance.is_over = self._is_giving_up = True


def _reply_bytes(push: _Push) -> int:
    verdict = None if push.settlement is None else push.settlement.verdict
    return len(verdict.reply.event.json) if isinstance(verdict, Delivered) and isinstance(verdict.reply, Reply) else 0


def _claim(bus: int, rule: int) -> int:
    """One number for both: rules of several buses have the same."""
    return rule * (limits.BUS_NUMBER_MAX + 1) + bus


def _tell(push: _Push, answer: PushAnswer) -> None:
    logbook.PUSHED(
        bus=push.bus.name,
        rule=push.lease.record.name,
        position=push.lease.delivery.position,
        attempt=push.lease.delivery.attempts,
        status=answer.status,
        failure=answer.failure,
        took_ms=answer.elapsed_s * 1000,
    )
