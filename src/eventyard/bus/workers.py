"""Workers: processes that push. They lease from here and send verdicts, in messages of `core.handout`."""

import asyncio
from collections.abc import Sequence

from eventyard.bus.queues import QueueCalls
from eventyard.core import handout, limits
from eventyard.core.errors import NotFound, Stale, StaleLease
from eventyard.core.handout import Settled, Verdicts


class WorkerCalls(QueueCalls):
    """`_records`: rules as they are handed out."""

    _records: handout.Records

    async def hand_out(self, *, count: int, wait_s: float = 0.0) -> bytes:
        """Lease up to `count` deliveries of push rules of any bus, waiting up to `wait_s` for the first.

        A caller that is cancelled while it waits takes nothing with it. Raises `Overloaded` where too many wait.
        """
        granted = await self.receive_pushes(count=count, wait_s=wait_s)
        return handout.encode(self._now(), granted, self._records)

    async def take_verdicts(self, body: bytes) -> list[list[StaleLease | None]]:
        """Settle what a worker pushed. By bus, as the message has them, for each verdict None where it counts, else why it does not.

        Raises `InvalidRequest` for what is no such message. Where it fails otherwise some verdicts may be written and some not;
        sent again, each counts once.
        """
        by_bus = handout.read_verdicts(body)
        return list(await asyncio.gather(*(self._take_of_bus(verdicts) for verdicts in by_bus)))

    async def _take_of_bus(self, verdicts: Verdicts) -> list[StaleLease | None]:
        answers: list[StaleLease | None] = []
        for start in range(0, len(verdicts.settled), limits.VERDICTS_PER_STEP):
            part = verdicts.settled[start : start + limits.VERDICTS_PER_STEP]
            answers += await self._take_part(verdicts, part)
        return answers

    async def _take_part(self, verdicts: Verdicts, part: Sequence[Settled]) -> Sequence[StaleLease | None]:
        try:
            if self._state(verdicts.bus).record.incarnation != verdicts.incarnation:
                return [StaleLease(Stale.FOREIGN, "found a bus that was created anew", wanted="the one that leased it")] * len(
                    part
                )
            return await self.settle_pushes(verdicts.bus, handout.settlements(part))
        except NotFound as error:
            return [StaleLease(Stale.FOREIGN, error.found, wanted=error.wanted)] * len(part)
