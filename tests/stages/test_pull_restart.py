"""What a restart does to those who pull: attempts stay counted, leases begin anew, verdicts of the last life count."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from eventyard.bus import Eventyard
from eventyard.core.commands import Lease
from eventyard.core.delivery import lease_token
from eventyard.core.errors import Stale
from eventyard.core.network import Policy
from eventyard.engines.sqlite import SqliteEngine
from tests.support.builders import ManualClock, ScriptedTransport, an_event

LIMIT_S = 30.0
LEASE_S = 30


class House:
    """One store over several lives, in which time is moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "x.db")
        self.clock = ManualClock()

    @asynccontextmanager
    async def life(self) -> AsyncIterator["Life"]:
        yard = Eventyard(SqliteEngine(self.path), ScriptedTransport(), self.clock, Policy(is_loopback_allowed=True))
        yard.start()
        try:
            yield Life(yard, self.clock)
        finally:
            await yard.stop()


class Life:
    def __init__(self, yard: Eventyard, clock: ManualClock) -> None:
        self.yard = yard
        self._clock = clock

    async def put(self, **changes: Any) -> None:
        document = {"pattern": {"type": ["order.paid"]}, "target": {"queue": {"lease_s": LEASE_S}}} | changes
        await self.yard.put_rule("default", "pulled", json.dumps(document).encode())

    async def lease(self, **asked: Any) -> Lease:
        """The next delivery, waited for."""
        [lease] = await self.yard.receive("default", "pulled", count=1, wait_s=LIMIT_S, **asked)
        return lease

    async def nothing(self) -> bool:
        return await self.yard.receive("default", "pulled") == []

    async def acknowledge(self, lease: Lease) -> Stale | None:
        token = lease_token(self.yard.bus("default").incarnation, lease.delivery)
        [stale] = await self.yard.acknowledge("default", "pulled", [token])
        return None if stale is None else stale.reason

    async def until_taken_back(self) -> None:
        while (await self.yard.status("default", "pulled")).leased:  # noqa: ASYNC110 - taken back on another thread
            await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._clock.advance(int(seconds * 1000))
        self.yard._wake()


def tell(story: Callable[[House], Any], folder: Path) -> None:
    asyncio.run(asyncio.wait_for(story(House(folder)), LIMIT_S))


def test_attempts_are_counted_over_restarts(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        async with house.life() as life:
            await life.put()
            await life.yard.publish("default", [an_event(1)])
        for attempt in (1, 2, 3):
            async with house.life() as life:
                assert (await life.lease()).delivery.attempts == attempt
            async with house.life() as life:
                life.advance(LEASE_S)
                await life.until_taken_back()

    tell(story, tmp_path)


def test_attempts_used_up_over_restarts_end_in_a_dead_letter(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        async with house.life() as life:
            await life.put(delivery={"max_attempts": 1})
            await life.yard.publish("default", [an_event(1)])
            await life.lease()
        async with house.life() as life:
            life.advance(LEASE_S)
            await life.until_taken_back()
            assert (await life.yard.status("default", "pulled")).dead == 1

    tell(story, tmp_path)


def test_a_lease_begins_anew_with_a_restart_and_downtime_is_no_time(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        async with house.life() as life:
            await life.put()
            await life.yard.publish("default", [an_event(1)])
            await life.lease()
            life.advance(LEASE_S - 1)
        house.clock.advance(3_600_000)
        async with house.life() as life:
            life.advance(LEASE_S - 1)
            assert await life.nothing()
            life.advance(1)
            assert (await life.lease()).delivery.attempts == 2

    tell(story, tmp_path)


def test_a_lease_longer_than_its_rules_is_not_cut_by_a_restart(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        async with house.life() as life:
            await life.put()
            await life.yard.publish("default", [an_event(1)])
            await life.lease(lease_s=10 * LEASE_S)
        async with house.life() as life:
            life.advance(10 * LEASE_S - 1)
            assert await life.nothing()
            life.advance(1)
            assert (await life.lease()).delivery.attempts == 2

    tell(story, tmp_path)


def test_a_verdict_on_a_lease_of_the_last_life_counts(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        async with house.life() as life:
            await life.put()
            await life.yard.publish("default", [an_event(1), an_event(2)])
            held, lost = await life.lease(), await life.lease()
        async with house.life() as life:
            assert await life.acknowledge(held) is None
            life.advance(LEASE_S)
            await life.until_taken_back()
        async with house.life() as life:
            assert await life.acknowledge(held) is None
            again = await life.lease()
            assert (await life.acknowledge(lost), await life.acknowledge(again)) == (Stale.SUPERSEDED, None)
            assert (await life.yard.status("default", "pulled")).delivered == 2

    tell(story, tmp_path)


def test_the_bound_on_leases_holds_over_a_restart(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        async with house.life() as life:
            await life.put(target={"queue": {"lease_s": LEASE_S, "max_leases": 2}})
            await life.yard.publish("default", [an_event(number) for number in range(4)])
            assert len(await life.yard.receive("default", "pulled")) == 2
        async with house.life() as life:
            assert await life.nothing()
            life.advance(LEASE_S)
            await life.until_taken_back()
            assert len(await life.yard.receive("default", "pulled")) == 2

    tell(story, tmp_path)


def test_what_was_released_with_a_delay_waits_for_it_over_a_restart(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        async with house.life() as life:
            await life.put()
            await life.yard.publish("default", [an_event(1)])
            token = lease_token(life.yard.bus("default").incarnation, (await life.lease()).delivery)
            await life.yard.release("default", "pulled", [token], delay_s=60)
        async with house.life() as life:
            [stale] = await life.yard.acknowledge("default", "pulled", [token])
            assert stale is not None
            assert stale.reason is Stale.RELEASED
            life.advance(59)
            assert await life.nothing()
            life.advance(1)
            assert (await life.lease()).delivery.attempts == 2

    tell(story, tmp_path)
