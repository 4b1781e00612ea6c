"""Workers: processes that push. They lease from here and report what came of it, in messages of `core.handout`."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TypeVar

from eventyard.bus.queues import QueueCalls
from eventyard.consumers import Granted
from eventyard.core import handout, limits
from eventyard.core.commands import Settle
from eventyard.core.errors import NotFound, Stale, StaleLease, Unavailable
from eventyard.core.handout import Verdicts

T = TypeVar("T")

_Answers = Sequence[StaleLease | None]
_Words = list[str | None]


class WorkerCalls(QueueCalls):
    """`_records`: rules as they are handed out."""

    _records: handout.Records

    async def hand_out(self, *, count: int, wait_s: float = 0.0) -> bytes:
        """Lease up to `count` deliveries of push rules of any bus, waiting up to `wait_s` for the first.

        A caller that is cancelled while it waits takes nothing with it. Raises `Overloaded` where too many wait.
        """
        granted = await self.receive_pushes(count=count, wait_s=wait_s)
        return handout.encode(self._now(), granted, self._records)

    async def take_report(self, body: bytes) -> bytes:
        """Settle what a worker pushed, and lease it as many deliveries as it has room for, if there are any. A receipt for both.

        Raises `InvalidRequest` for what is no report. Where it fails otherwise nothing was leased, and some verdicts may be written and some
        not; sent again, each counts once.
        """
        report = handout.read_report(body)
        # All is asked for at once, so that the step that writes the verdicts leases what they make room for.
        settling = [self._settle_part(verdicts, 0) for verdicts in report.by_bus]
        leasing = self._lease_at_once(report.room)
        try:
            results = await self._results(report.by_bus, settling)
            granted = await asyncio.shield(leasing)
        except BaseException:
            leasing.add_done_callback(self._take_back)
            raise
        return handout.encode_receipt(results, self._now(), granted, self._records)

    def _lease_at_once(self, room: int) -> asyncio.Future[list[Granted]]:
        """Nothing where no more can wait for leases: verdicts are taken all the same."""
        with contextlib.suppress(Unavailable):
            if room:
                return self._begin_claim(None, room, 0, is_impatient=True)[1]
        return _ready([])

    async def _results(self, by_bus: Sequence[Verdicts], settling: Sequence[asyncio.Future[_Answers]]) -> list[_Words]:
        answers = await asyncio.gather(*settling) if len(settling) != 1 else [await settling[0]]
        return [_words(first) + await self._settle_rest(verdicts) for verdicts, first in zip(by_bus, answers, strict=True)]

    async def _settle_rest(self, verdicts: Verdicts) -> _Words:
        """Part by part: others wait for a step."""
        words: _Words = []
        for start in range(limits.VERDICTS_PER_STEP, len(verdicts.settled), limits.VERDICTS_PER_STEP):
            words += _words(await self._settle_part(verdicts, start))
        return words

    def _settle_part(self, verdicts: Verdicts, start: int) -> asyncio.Future[_Answers]:
        part = verdicts.settled[start : start + limits.VERDICTS_PER_STEP]
        with contextlib.suppress(NotFound):
            if self._state(verdicts.bus).record.incarnation == verdicts.incarnation:
                return self._ask_for(verdicts.bus, Settle(tuple(handout.settlements(part))))
        foreign = StaleLease(Stale.FOREIGN, "found no such bus in this incarnation", wanted="the bus that leased it")
        return _ready([foreign] * len(part))


def _words(answers: _Answers) -> _Words:
    return [None if stale is None else stale.reason for stale in answers]


def _ready(value: T) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future
