"""Dead letters tried on another target: over the transport, bounded, and nothing of it kept."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from eventyard.bus import Eventyard
from eventyard.core import limits
from eventyard.core.errors import ForbiddenTarget, InvalidRequest, NotFound, Overloaded
from eventyard.core.target import HttpTarget
from eventyard.engines.memory import MemoryEngine
from eventyard.serve import SystemClock
from tests.support.builders import ScriptedTransport, a_rule_document, an_event
from tests.support.buses import LOOPBACK

LIMIT_S = 20.0
OTHER = HttpTarget("http://127.0.0.1:9/other", mode="binary")


class House:
    """A bus whose rule `paid` has two dead letters, at positions 2 and 3. The test answers for every target."""

    def __init__(self) -> None:
        self.engine = MemoryEngine()
        self.transport = ScriptedTransport()
        self.yard = Eventyard(self.engine, self.transport, SystemClock(), LOOPBACK)

    async def furnish(self) -> None:
        self.yard.start()
        await self.yard.put_rule("default", "paid", a_rule_document())
        await self.yard.publish("default", [an_event(1), an_event(2)])
        await self.until_sent(2)
        for _ in range(2):
            self.transport.answer(422)
        while (await self.yard.status("default", "paid")).dead < 2:  # noqa: ASYNC110 - counted on another thread
            await asyncio.sleep(0.005)

    async def until_sent(self, count: int) -> None:
        while len(self.transport.sent) < count:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)


def told(story: Callable[[House], Awaitable[None]]) -> None:
    async def run() -> None:
        house = House()
        try:
            async with asyncio.timeout(LIMIT_S):
                await house.furnish()
                await story(house)
        finally:
            await house.yard.stop(0)

    asyncio.run(run())


def test_each_is_pushed_once_as_the_target_wants_it_and_marked() -> None:
    async def story(house: House) -> None:
        head = house.yard.head("default")
        trying = asyncio.create_task(house.yard.try_on("default", "paid", OTHER, None))
        await house.until_sent(2)
        requests = [house.transport.answer(status, body=b"said") for status in (204, 500)]
        trials = await trying
        assert [(trial.answer.status, trial.answer.body) for trial in trials] == [(204, b"said"), (500, b"said")]
        for request, trial in zip(requests, trials, strict=True):
            headers = dict(request.headers)
            assert (request.url, headers["eventyard-test"], headers["eventyard-delivery"]) == (
                OTHER.url,
                "true",
                trial.letter.id,
            )
            assert headers["ce-id"] == f"e{trial.letter.delivery.position - 1}"
        assert (await house.yard.status("default", "paid")).dead == 2
        assert house.yard.head("default") == head

    told(story)


def test_trials_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TRIALS_UNDER_WAY_MAX", 3)

    async def story(house: House) -> None:
        first = asyncio.create_task(house.yard.try_on("default", "paid", OTHER, None))
        await house.until_sent(2)
        with pytest.raises(Overloaded):
            await house.yard.try_on("default", "paid", OTHER, None)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        again = asyncio.create_task(house.yard.try_on("default", "paid", OTHER, None))
        await house.until_sent(4)
        for _ in range(4):
            house.transport.answer(200)
        assert len(await again) == 2

    told(story)


def test_one_whose_event_is_damaged_is_told_and_not_sent() -> None:
    async def story(house: House) -> None:
        del house.engine._buses[1].events[2]
        trying = asyncio.create_task(house.yard.try_on("default", "paid", OTHER, None))
        await house.until_sent(1)
        house.transport.answer(200)
        damaged, sound = await trying
        assert (damaged.answer.status, damaged.answer.failure) == (0, "nothing was sent: the event is damaged")
        assert sound.answer.status == 200

    told(story)


def test_what_cannot_be_tried_is_refused_before_anything_is_sent() -> None:
    async def story(house: House) -> None:
        incarnation = house.yard.bus("default").incarnation
        for kind, target, ids in (
            (ForbiddenTarget, HttpTarget("http://10.0.0.1/"), None),
            (NotFound, OTHER, [f"{incarnation}-1-99-0"]),
            (InvalidRequest, OTHER, ["nonsense"]),
        ):
            with pytest.raises(kind):
                await house.yard.try_on("default", "paid", target, ids)
        with pytest.raises(NotFound):
            await house.yard.try_on("default", "no-rule", OTHER, None)
        assert house.transport.sent == []

    told(story)
