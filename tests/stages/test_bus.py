"""The facade with its threads, on the real engine and the real transport."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import eventyard
from eventyard.bus import Eventyard
from eventyard.core.errors import ForbiddenTarget, InvalidRequest, NotFound
from eventyard.core.event import make
from eventyard.history import Query
from tests.support.builders import an_event
from tests.support.targets import Target, answers, flaps, hangs_after

LIMIT_S = 20.0


def run(story: Callable[[Path], Any], tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(story(tmp_path), LIMIT_S * 2))


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for a fact of another thread, with a limit."""
    async with asyncio.timeout(LIMIT_S):
        while not is_so():  # noqa: ASYNC110 - nothing on this loop could set an event
            await asyncio.sleep(0.005)


async def until_delivered(bus: Eventyard, name: str, count: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while (await bus.status("default", name)).delivered != count:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)


async def put(bus: Eventyard, name: str, url: str, **changes: Any) -> None:
    delivery = {"backoff": {"initial_s": 0.02, "max_s": 0.05}}
    document = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": url}}, "delivery": delivery} | changes
    await bus.put_rule("default", name, json.dumps(document).encode())


def test_an_event_reaches_the_service_whose_rule_it_matches(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        with Target(answers(204)) as target:
            async with eventyard.open(folder / "shop.db") as bus:
                await put(bus, "paid", target.url)
                await bus.publish("default", [an_event(1), an_event(2, kind="order.sent")])
                await until_delivered(bus, "paid", 1)
            assert [json.loads(request.body)["id"] for request in target.requests] == ["e1"]

    run(story, tmp_path)


def test_a_service_that_fails_at_first_gets_its_event_later(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        with Target(flaps(500, 503, 204)) as target:
            async with eventyard.open(folder / "shop.db") as bus:
                await put(bus, "paid", target.url)
                await bus.publish("default", [an_event(1)])
                await until_delivered(bus, "paid", 1)
            assert [request.headers["eventyard-attempt"] for request in target.requests] == ["1", "2", "3"]

    run(story, tmp_path)


def test_what_is_under_way_at_a_stop_is_pushed_again_at_the_next_start(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        with Target(hangs_after(b"")) as hanging, Target(answers(204)) as good:
            bus = eventyard.open(folder / "shop.db")
            yard = await bus.__aenter__()
            await put(yard, "paid", "", target={"http": {"url": hanging.url, "timeout_s": 0.5}})
            await yard.publish("default", [an_event(1)])
            await asyncio.to_thread(hanging.wait_for_requests, 1)
            await yard.stop(drain_s=0)
            await bus.__aexit__(None, None, None)
            async with eventyard.open(folder / "shop.db") as again:
                assert again.head("default") == 2
                await put(again, "paid", good.url)
                await until_delivered(again, "paid", 1)
            assert good.requests[0].headers["eventyard-attempt"] != "1"

    run(story, tmp_path)


def test_a_late_rule_catches_up_on_a_long_past(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        with Target(answers(204)) as target:
            async with eventyard.open(folder / "shop.db") as bus:
                await bus.publish("default", [an_event(number) for number in range(1_000)])
                await put(bus, "late", target.url, start="earliest", delivery={"concurrency": 64})
                await until_delivered(bus, "late", 1_000)
                assert bus.rule("default", "late").status == "live"
            assert len({request.headers["eventyard-delivery"] for request in target.requests}) == 1_000

    run(story, tmp_path)


def test_history_is_paged_filtered_and_read_backwards(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        async with eventyard.open(folder / "shop.db") as bus:
            await bus.publish("default", [an_event(number) for number in range(10)])
            first = await bus.events("default", Query(limit=4))
            assert ([event.position for event in first.events], first.next_after) == ([1, 2, 3, 4], 4)
            last = await bus.events("default", Query(after=8, limit=4))
            assert ([event.position for event in last.events], last.next_after) == ([9, 10], None)
            down = await bus.events("default", Query(limit=3, is_descending=True))
            assert [event.position for event in down.events] == [10, 9, 8]
            more = await bus.events("default", Query(after=down.next_after or 0, limit=9, is_descending=True))
            assert [event.position for event in more.events] == [7, 6, 5, 4, 3, 2, 1]

    run(story, tmp_path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        async with eventyard.open(folder / "shop.db") as bus:
            for ask in (
                bus.publish("nowhere", [an_event(1)]),
                bus.event("default", 7),
                bus.delete_rule("default", "no-rule"),
                bus.redrive("default", "no-rule", None),
                bus.dead_letters("default", "no-rule"),
            ):
                with pytest.raises(NotFound):
                    await ask
            with pytest.raises(InvalidRequest):
                await bus.redrive("default", "any", ["not-an-id"])

    run(story, tmp_path)


def test_a_forbidden_target_is_refused_when_the_rule_is_saved(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        async with eventyard.open(folder / "shop.db") as bus:
            with pytest.raises(ForbiddenTarget):
                await put(bus, "paid", "http://169.254.169.254/latest/meta-data")
            assert bus.rules("default") == []

    run(story, tmp_path)


def test_two_loops_can_ask_the_same_bus(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        async with eventyard.open(folder / "shop.db") as bus:

            def elsewhere(number: int) -> int:
                async def ask() -> int:
                    answers = await bus.publish("default", [an_event(f"{number}-{each}") for each in range(20)])
                    return len(answers)

                return asyncio.run(ask())

            counts = await asyncio.gather(*(asyncio.to_thread(elsewhere, number) for number in range(4)))
            assert sum(counts) == bus.head("default") == 80

    run(story, tmp_path)


def test_a_bus_made_event_matches_like_any_other(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        with Target(answers(204)) as target:
            async with eventyard.open(folder / "shop.db") as bus:
                await put(bus, "edits", target.url, pattern={"type": [{"prefix": "io.eventyard.rule."}]})
                await put(bus, "paid", target.url, pattern={"type": ["order.paid"]})
                await until_delivered(bus, "edits", 1)
            assert json.loads(target.requests[0].body)["subject"] == "paid"

    run(story, tmp_path)


def test_events_with_text_and_numbers_survive_as_they_were_spelled(tmp_path: Path) -> None:
    async def story(folder: Path) -> None:
        event = make({"id": "é", "source": "/ß", "type": "t"}, {"n": 1.10, "text": "☃"})
        async with eventyard.open(folder / "shop.db") as bus:
            await bus.publish("default", [event])
        async with eventyard.open(folder / "shop.db") as bus:
            assert (await bus.event("default", 1)).json == event.json

    run(story, tmp_path)
