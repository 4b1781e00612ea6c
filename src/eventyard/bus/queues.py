"""Queues: what consumers receive and settle."""

import asyncio
from collections.abc import Sequence

from eventyard.bus.rules import RuleCalls
from eventyard.consumers import Claim, Consumers, Granted, RuleKey
from eventyard.core.commands import Lease, Settle, Settlement
from eventyard.core.delivery import RELEASED, Note, Reason, is_lease_token, lease_tokens
from eventyard.core.errors import InvalidRequest, Stale, StaleLease
from eventyard.core.rule import RuleRecord
from eventyard.core.target import QueueTarget
from eventyard.core.verdict import Dead, Delivered, GivenBack, Renewed, Retry, Verdict


class QueueCalls(RuleCalls):
    """`_consumers`: whoever receives waits there."""

    _consumers: Consumers

    async def receive(
        self, bus: str, name: str, *, count: int = 100, wait_s: float = 0.0, lease_s: float | None = None
    ) -> list[Lease]:
        """Lease up to `count` deliveries of a pull rule, for `lease_s` each (the rule's own where None), waiting up to `wait_s`.

        Empty where nothing came. A caller that is cancelled while it waits takes nothing with it. Raises `InvalidRequest` for a rule
        that pushes, `Overloaded` where too many wait.
        """
        record, queue = self._pulled(bus, name)
        rule_key = (self._state(bus).record.number, record.uid)
        granted = await self._claim(rule_key, count, _ms(queue.lease_s if lease_s is None else lease_s), wait_s)
        return [lease for _, lease in granted]

    def _pulled(self, bus: str, name: str) -> tuple[RuleRecord, QueueTarget]:
        record = self.rule(bus, name)
        queue = record.rule.target.queue
        if queue is None:
            wanted = 'a rule with the target {"queue": {}}'
            raise InvalidRequest(f'found that rule "{name}" pushes', wanted=wanted, at="path rule")
        return record, queue

    async def receive_pushes(self, *, count: int, wait_s: float = 0.0) -> list[Granted]:
        """Lease deliveries of push rules of any bus, for a worker that sends them."""
        return await self._claim(None, count, 0, wait_s)

    async def _claim(self, key: RuleKey | None, count: int, lease_ms: int, wait_s: float) -> list[Granted]:
        claim, future = self._begin_claim(key, count, lease_ms, is_impatient=wait_s <= 0)
        timer = asyncio.get_running_loop().call_later(wait_s, self._consumers.hurry, claim) if wait_s > 0 else None
        try:
            # Shielded: a step may lease for the claim in the very moment in which its caller leaves.
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(self._take_back)
            self._consumers.hurry(claim)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _begin_claim(
        self, key: RuleKey | None, count: int, lease_ms: int, *, is_impatient: bool
    ) -> "tuple[Claim, asyncio.Future[list[Granted]]]":
        """Never cancel the future: what was leased for it would be nobody's. `_take_back` is for who leaves."""
        self._writer.check_whole()
        future: asyncio.Future[list[Granted]] = asyncio.get_running_loop().create_future()
        claim = Claim(key, count, lease_ms, lambda answer: self._answered.append((future, answer)), is_impatient=is_impatient)
        self._consumers.wait(claim)
        return claim, future

    def _take_back(self, future: "asyncio.Future[list[Granted]]") -> None:
        """Nobody waits for these any more: back into their queues, not counted."""
        if future.cancelled() or future.exception() is not None:
            return
        verdict = Retry(0, Note(failure="the consumer left before it was answered"), is_counted=False)
        settlements: dict[int, list[Settlement]] = {}
        for record, lease in future.result():
            settlement = Settlement(lease.delivery.key, lease.delivery.leases, verdict)
            settlements.setdefault(record.number, []).append(settlement)
        for number, of_bus in settlements.items():
            self._submit_own(number, Settle(tuple(of_bus)), lambda _: None)

    async def acknowledge(self, bus: str, name: str, tokens: Sequence[str]) -> list[StaleLease | None]:
        """The deliveries of these leases of the rule are done. For each None where that counts, else why it does not."""
        return await self._settle(bus, name, tokens, Delivered(Note()))

    async def release(self, bus: str, name: str, tokens: Sequence[str], *, delay_s: float = 0.0) -> list[StaleLease | None]:
        """They are not done: again `delay_s` from now, or dead where the policy's attempts or age are used up."""
        return await self._settle(bus, name, tokens, GivenBack(_ms(delay_s), self._note(failure=RELEASED)))

    async def reject(self, bus: str, name: str, tokens: Sequence[str], *, reason: str = "") -> list[StaleLease | None]:
        """They never will be: dead letters, which keep the `reason`."""
        return await self._settle(bus, name, tokens, Dead(self._note(reason=Reason.REJECTED, answer=reason)))

    async def renew(
        self, bus: str, name: str, tokens: Sequence[str], *, lease_s: float | None = None
    ) -> list[StaleLease | None]:
        """Their leases end `lease_s` from now (the rule's own where None)."""
        _, queue = self._pulled(bus, name)
        return await self._settle(bus, name, tokens, Renewed(_ms(queue.lease_s if lease_s is None else lease_s)))

    def _note(self, *, reason: str = "", failure: str = "", answer: str = "") -> Note:
        return Note(reason=reason, failure=failure, answer=answer, at_ms=self._now().time_ms)

    async def _settle(self, bus: str, name: str, tokens: Sequence[str], verdict: Verdict) -> list[StaleLease | None]:
        state, (record, _) = self._state(bus), self._pulled(bus, name)
        read = _settlements(state.record.incarnation, record.uid, tokens, verdict)
        known = [found for found in read if isinstance(found, Settlement)]
        answers = iter(await self.settle_pushes(bus, known) if known else [])
        return [found if isinstance(found, StaleLease) else next(answers) for found in read]

    async def settle_pushes(self, bus: str, settlements: Sequence[Settlement]) -> list[StaleLease | None]:
        """A worker's verdicts on what it pushed."""
        answers: list[StaleLease | None] = await self._command(bus, Settle(tuple(settlements)))
        return answers


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _settlements(incarnation: str, uid: int, tokens: Sequence[str], verdict: Verdict) -> list[Settlement | StaleLease]:
    """The verdict on each lease of this rule; a foreign one is refused like one that is over."""
    read: list[Settlement | StaleLease] = []
    parse = lease_tokens(incarnation, uid).fullmatch
    for token in tokens:
        if parsed := parse(token):
            position, run, lease = parsed.groups()
            read.append(Settlement((uid, int(run), int(position)), int(lease), verdict))
        elif is_lease_token(token):
            read.append(StaleLease(Stale.FOREIGN, f'found "{token[:80]}"', wanted="a lease that this rule granted"))
        else:
            read.append(StaleLease(Stale.MALFORMED, f'found "{token[:80]}"', wanted="the lease of a delivery, as received"))
    return read
