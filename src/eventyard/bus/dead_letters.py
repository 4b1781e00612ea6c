"""Dead letters: read, put back, discarded, skipped, and tried on another target."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import msgspec

from eventyard import dead_letters as letters
from eventyard import logbook, pushing
from eventyard.bus.queues import QueueCalls
from eventyard.bus.rules import check_addresses
from eventyard.core import limits
from eventyard.core.bus_state import BusState
from eventyard.core.changes import ALL_DEAD, BusRecord, Filter
from eventyard.core.commands import Purge, Redrive, Redriven, Skip
from eventyard.core.delivery import Key, parse_delivery_id
from eventyard.core.errors import InvalidRequest, NotFound, Overloaded
from eventyard.core.rule import RuleRecord
from eventyard.core.target import HttpTarget, check_http
from eventyard.core.transform import TransformFailed
from eventyard.core.transform.shapes import facts
from eventyard.core.view import View
from eventyard.dead_letters import DeadLetter, DeadLetterPage
from eventyard.ports import PushAnswer, PushRequest, Transport


class Trial(msgspec.Struct, frozen=True):
    """What another target said to a dead letter that was tried on it."""

    letter: DeadLetter
    answer: PushAnswer


class DeadLetterCalls(QueueCalls):
    """`ids` are delivery ids; where they are None, `meant` says which: all unless it narrows them.

    `_trials` counts trials under way.
    """

    _transport: Transport
    _wall_ms: Callable[[], int]
    _trials = 0

    async def dead_letters(
        self, bus: str, name: str, *, after: tuple[int, int] = (0, -1), limit: int = 100, meant: Filter = ALL_DEAD
    ) -> DeadLetterPage:
        """Dead deliveries of a rule by position, each with its event and why it died (`Delivery.note`)."""
        record = self._rule_with(bus, name, meant)
        return await self._read(lambda view, state: letters.page(view, state, record, after, limit=limit, meant=meant), bus)

    async def count_dead_letters(
        self,
        bus: str,
        name: str,
        ids: Sequence[str] | None = None,
        *,
        meant: Filter = ALL_DEAD,
        is_skipped_too: bool = False,
        is_parked_too: bool = False,
    ) -> int:
        """How many a redrive (`is_skipped_too` where it is out of order) or a purge of them would take: a dry run."""
        uid, keys = self._rule_with(bus, name, meant).uid, self._keys(bus, ids)

        def counted(view: View, state: BusState) -> int:
            if keys is None:
                return letters.count(view, state, uid, meant)
            return letters.count_named(view, state, uid, keys, is_skipped_too=is_skipped_too, is_parked_too=is_parked_too)

        return await self._read(counted, bus)

    async def redrive(
        self,
        bus: str,
        name: str,
        ids: Sequence[str] | None,
        *,
        meant: Filter = ALL_DEAD,
        per_s: float = 0.0,
        is_out_of_order: bool = False,
        principal: str = "",
    ) -> Redriven:
        """Put dead deliveries back, `per_s` a second (0: at once). `is_out_of_order` takes what was skipped too (by ids only)."""
        command = Redrive(name, self._keys(bus, ids), principal, meant, per_s, is_out_of_order)
        self._rule_with(bus, name, meant)
        answer: Redriven = await self._command(bus, command)
        return answer

    async def purge(
        self,
        bus: str,
        name: str,
        ids: Sequence[str] | None,
        *,
        meant: Filter = ALL_DEAD,
        is_parked_too: bool = False,
        principal: str = "",
    ) -> Redriven:
        """Discard dead deliveries; with `is_parked_too` (by ids only) also what waits behind each."""
        command = Purge(name, self._keys(bus, ids), principal, meant, is_parked_too)
        self._rule_with(bus, name, meant)
        answer: Redriven = await self._command(bus, command)
        return answer

    async def skip(
        self, bus: str, name: str, ids: Sequence[str] = (), lanes: Sequence[int] = (), *, principal: str = ""
    ) -> Redriven:
        """Discard dead heads of an ordered rule, so that their keys go on."""
        answer: Redriven = await self._command(bus, Skip(name, self._keys(bus, ids) or (), tuple(lanes), principal))
        return answer

    async def try_on(
        self, bus: str, name: str, target: HttpTarget, ids: Sequence[str] | None, *, meant: Filter = ALL_DEAD
    ) -> list[Trial]:
        """Push dead letters to another target, each once, and tell what it said. They stay the dead letters that they are.

        The first `limits.TRIAL_LETTERS_MAX` of what is meant, marked `eventyard-test`. Nothing is recorded but a line in the process's log.
        """
        check_addresses(target, self._policy)
        check_http(target, may_keep=False)
        await self._check_expressions(target)
        record, keys = self._rule_with(bus, name, meant), self._keys(bus, ids)
        found = await self._read(lambda view, state: letters.to_try(view, state, record, keys, meant), bus)
        if ids and not found:
            raise NotFound(
                f'found none of these among the dead letters of rule "{name}"', wanted="ids that GET .../dead-letters lists"
            )
        if self._trials + len(found) > limits.TRIALS_UNDER_WAY_MAX:
            raise Overloaded(f"found {self._trials} trials under way", wanted="to try again shortly")
        logbook.LETTERS_TRIED(rule=name, bus=bus, count=len(found), host=urlsplit(target.url).netloc)
        return await self._try_all(bus, record, target, found)

    async def _try_all(self, bus: str, record: RuleRecord, target: HttpTarget, tried: list[DeadLetter]) -> list[Trial]:
        of = self._state(bus).record
        time_s = self._wall_ms() // 1000
        requests = await asyncio.gather(*(self._trial(of, record, target, one, time_s) for one in tried))
        self._trials += len(tried)
        try:
            answers = await asyncio.gather(*(self._try(request) for request in requests))
        finally:
            self._trials -= len(tried)
        return [Trial(letter, answer) for letter, answer in zip(tried, answers, strict=True)]

    async def _trial(
        self, of: BusRecord, record: RuleRecord, target: HttpTarget, letter: DeadLetter, time_s: int
    ) -> PushRequest | str:
        """What is sent, or why nothing is."""
        if letter.event is None:
            return "the event is damaged"
        try:
            shaped = await self._shaped(target, letter.event.json, facts(of, record, letter.delivery))
            return pushing.trial(of, record, target, letter.delivery, letter.event.json, shaped=shaped, time_s=time_s)
        except TransformFailed as failure:
            return f"the transform failed: {failure}"

    async def _try(self, request: PushRequest | str) -> PushAnswer:
        if isinstance(request, str):
            return PushAnswer(0, {}, b"", failure=f"nothing was sent: {request}")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[PushAnswer] = loop.create_future()

        def answered(answer: PushAnswer) -> None:
            with contextlib.suppress(RuntimeError):  # Whoever asked is gone, and its loop with it.
                loop.call_soon_threadsafe(_resolve, future, answer)

        self._transport.send(request, answered)
        return await future

    def _rule_with(self, bus: str, name: str, meant: Filter) -> RuleRecord:
        """The rule, whose dead letters can be told apart in the way that is asked for."""
        record = self.rule(bus, name)
        if meant.lanes and not record.is_ordered:
            raise InvalidRequest(
                f'found a key, and rule "{name}" keeps no order', wanted='a rule with "order": "key", or no key'
            )
        return record

    def _keys(self, bus: str, ids: Sequence[str] | None) -> tuple[Key, ...] | None:
        state = self._state(bus)
        return None if ids is None else tuple(_key(state, text, index) for index, text in enumerate(ids))


def _key(state: BusState, text: str, index: int) -> Key:
    parsed = parse_delivery_id(text)
    if parsed is None or parsed[0] != state.record.incarnation:
        raise InvalidRequest(f'found "{text[:80]}"', wanted="the id of a dead letter of this bus", at=f"/ids/{index}")
    return parsed[1]


def _resolve(future: "asyncio.Future[PushAnswer]", answer: PushAnswer) -> None:
    if not future.done():
        future.set_result(answer)
