"""Following the log through the facade: what a stream gives, when it sleeps, and how it ends."""

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eventyard.bus import Eventyard
from eventyard.core import limits
from eventyard.core.commands import Retain
from eventyard.core.errors import InvalidRequest, NotFound, Overloaded, Stopping, StorageFailed, StoreBehind
from eventyard.core.loss import Loss, Losses
from eventyard.core.pattern.language import parse
from eventyard.core.view import View
from eventyard.engines.memory import MemoryEngine
from eventyard.stream import Gap, Part, Stream, Stretch
from tests.support.builders import a_rule_document, an_event
from tests.support.buses import running_bus

LIMIT_S = 20.0
PAID = parse('{"type": ["order.paid"]}')


class WatchedEngine(MemoryEngine):
    """Counts who reads, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.is_broken = False

    @contextmanager
    def reader(self) -> Iterator[View]:
        self.reads += 1
        if self.is_broken:
            raise StorageFailed("found a disk that does not answer")
        with super().reader() as view:
            yield view

    def lose(self, *positions: int) -> None:
        """As damage or retention does: the rows are not there any more."""
        for position in positions:
            del self._buses[1].events[position]


def run(story: Callable[[Eventyard, WatchedEngine], Awaitable[None]]) -> None:
    async def told() -> None:
        engine = WatchedEngine()
        async with asyncio.timeout(LIMIT_S), running_bus(engine) as yard:
            await story(yard, engine)

    asyncio.run(told())


async def publish(yard: Eventyard, *numbers: int, bus: str = "default", **made: Any) -> None:
    await yard.publish(bus, [an_event(number, **made) for number in numbers])


async def positions(stream: Stream, count: int) -> list[int]:
    """The positions of the next `count` events."""
    given: list[int] = []
    while len(given) < count:
        part = await anext(stream)
        assert isinstance(part, Stretch), part
        given += [event.position for event in part.events]
    return given


async def asleep(yard: Eventyard, count: int) -> None:
    """Until so many streams sleep."""
    while len(yard._streams.sleepers) != count:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)


def test_a_stream_gives_what_is_there_and_then_what_comes() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        await publish(yard, *range(1, 121))
        stream = yard.stream("default", after=0)
        assert await positions(stream, 120) == list(range(1, 121))
        coming = asyncio.create_task(positions(stream, 2))
        await asleep(yard, 1)
        await publish(yard, 121)
        await publish(yard, 122)
        assert await coming == [121, 122]

    run(story)


def test_without_a_position_it_begins_with_what_comes_next() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        await publish(yard, 1)
        stream = yard.stream("default")
        await publish(yard, 2)
        assert await positions(stream, 1) == [2]

    run(story)


def test_a_pattern_chooses_and_the_position_goes_on_all_the_same() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        await publish(yard, 1)
        await publish(yard, 2, 3, kind="order.sent")
        stream = yard.stream("default", after=0, pattern=PAID)
        part = await anext(stream)
        assert isinstance(part, Stretch)
        assert [event.position for event in part.events] == [1]
        assert (part.position, stream.position) == (3, 3)

    run(story)


@pytest.mark.parametrize("bytes_max", [0, limits.STREAM_LIGHT_BYTES])
def test_a_pattern_is_tried_alike_here_and_on_a_thread(bytes_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_LIGHT_BYTES", bytes_max)

    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        for number in range(0, 20, 2):
            await publish(yard, number)
            await publish(yard, number + 1, kind="order.sent")
        assert await positions(yard.stream("default", after=0, pattern=PAID), 10) == list(range(1, 21, 2))

    run(story)


def test_a_stream_that_sleeps_reads_nothing() -> None:
    async def story(yard: Eventyard, engine: WatchedEngine) -> None:
        await yard.create_bus("other")
        sleeping = asyncio.create_task(positions(yard.stream("default"), 1))
        await asleep(yard, 1)
        await publish(yard, *range(1, 50), bus="other")
        assert engine.reads == 0
        await publish(yard, 1)
        assert await sleeping == [1]
        assert engine.reads == 1

    run(story)


def test_streams_at_the_same_position_share_a_read() -> None:
    async def story(yard: Eventyard, engine: WatchedEngine) -> None:
        streams = [yard.stream("default") for _ in range(100)]
        sleeping = asyncio.gather(*(positions(stream, 1) for stream in streams))
        await asleep(yard, 100)
        await publish(yard, 1)
        assert await sleeping == [[1]] * 100
        assert engine.reads == 1

    run(story)


def test_no_event_is_missed_or_given_twice_while_many_publish() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        async def publisher(number: int) -> None:
            for each in range(50):
                await publish(yard, number * 1000 + each)

        streams = [yard.stream("default", after=0) for _ in range(20)]
        readers = [asyncio.create_task(positions(stream, 400)) for stream in streams]
        await asyncio.gather(*(publisher(number) for number in range(8)))
        for given in await asyncio.gather(*readers):
            assert given == list(range(1, 401))

    run(story)


def test_streams_on_other_loops_are_woken_too() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        def elsewhere() -> list[int]:
            return asyncio.run(positions(yard.stream("default", after=0), 30))

        readers = [asyncio.create_task(asyncio.to_thread(elsewhere)) for _ in range(4)]
        for number in range(30):
            await publish(yard, number)
        assert await asyncio.gather(*readers) == [list(range(1, 31))] * 4

    run(story)


# What cannot be given


def test_what_lies_below_the_floor_is_told_as_a_gap() -> None:
    """What is still owed there is passed over too: there is no telling what once stood around it."""

    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        await yard.put_rule("default", "owed", a_rule_document())
        await yard.set_paused("default", "owed", is_paused=True)
        await publish(yard, *range(3, 11), kind="order.sent")
        await publish(yard, 11)
        await publish(yard, 12, kind="order.sent")
        await retain(yard, 12)
        assert (await yard.event("default", 11)).id == "e11"
        stream = yard.stream("default", after=1)
        assert await anext(stream) == Gap(2, 11, "retention")
        assert await positions(stream, 1) == [12]

    run(story)


async def retain(yard: Eventyard, floor: int) -> None:
    """As retention does it, at once."""
    await yard._ask(lambda done: yard._writer.submit_own(1, Retain(floor), done))


def test_a_floor_that_overtakes_a_reader_is_told_as_a_gap() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        await publish(yard, *range(1, 201))
        stream = yard.stream("default", after=0)
        assert await positions(stream, 50) == list(range(1, 51))
        yard._state("default").floor = 101
        assert await anext(stream) == Gap(51, 100, "retention")
        assert await positions(stream, 100) == list(range(101, 201))

    run(story)


def test_what_retention_takes_while_a_reader_looks_is_not_called_damage() -> None:
    async def story(yard: Eventyard, engine: WatchedEngine) -> None:
        await publish(yard, *range(1, 11))
        engine.lose(1, 2, 4)
        engine._buses[1].floor = 6  # Committed, and not yet taken over by the writer.
        stream = yard.stream("default", after=0)
        assert await anext(stream) == Gap(1, 5, "retention")
        assert await positions(stream, 5) == [6, 7, 8, 9, 10]

    run(story)


def test_a_hole_above_the_floor_is_told_as_damage_wherever_it_is() -> None:
    async def story(yard: Eventyard, engine: WatchedEngine) -> None:
        await publish(yard, *range(1, 9))
        engine.lose(1, 4, 5, 8)
        stream = yard.stream("default", after=0)
        parts: list[Part] = [await anext(stream) for _ in range(5)]
        assert [part for part in parts if isinstance(part, Gap)] == [
            Gap(1, 1, "damaged"),
            Gap(4, 5, "damaged"),
            Gap(8, 8, "damaged"),
        ]
        assert [event.position for part in parts if isinstance(part, Stretch) for event in part.events] == [2, 3, 6, 7]

    run(story)


def test_an_event_on_which_the_pattern_costs_too_much_is_told_as_a_gap() -> None:
    """Twelve arrays, a dotted key in each element: thirteen fields may stand in any of them, and one stands in none."""
    steps, names = ["a"] * 12, [f"field{number}" for number in range(13)]
    pattern = parse(json.dumps({"data": {".".join([*steps, name]): [1] for name in names}}))
    costly = {".".join(steps[: at + 1]): [{".".join([*steps[at + 1 :], name]): 1} for name in names] for at in range(12)}

    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        for number, data in enumerate(({}, costly, {}), 1):
            await publish(yard, number, data=data)
        parts = [await anext(stream) for stream in [yard.stream("default", after=0, pattern=pattern)] for _ in range(3)]
        assert parts == [Stretch([], 1), Gap(2, 2, "evaluation"), Stretch([], 3)]

    run(story)


# Bounds


def test_a_stretch_is_bounded_by_its_bytes_and_one_event_always_fits() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        for number in range(6):
            await publish(yard, number, data="x" * 100_000)
        await publish(yard, 7, data="x" * (limits.STREAM_CHUNK_BYTES + 1))
        stream = yard.stream("default", after=0)
        parts = [await anext(stream) for _ in range(4)]
        assert [[event.position for event in part.events] for part in parts if isinstance(part, Stretch)] == [
            [1, 2],
            [3, 4],
            [5, 6],
            [7],
        ]

    run(story)


def test_small_events_are_read_many_at_once() -> None:
    async def story(yard: Eventyard, engine: WatchedEngine) -> None:
        for _ in range(4):
            await publish(yard, *range(1000))
        stream = yard.stream("default", after=0)
        await positions(stream, yard.head("default"))
        assert engine.reads <= 1 + -(-yard.head("default") // limits.STREAM_EVENTS_MAX) + 1

    run(story)


def test_a_stream_too_many_is_refused_until_one_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAMS_MAX", 2)

    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        first, second = yard.stream("default"), yard.stream("default")
        with pytest.raises(Overloaded, match="found 2 streams"):
            yard.stream("default")
        first.end()
        first.end()
        yard.stream("default").end()
        del second
        gc.collect()
        assert len(yard._streams) == 0

    run(story)


@pytest.mark.parametrize("after", [1, 2**53 - 1])
def test_a_position_that_the_log_has_not_reached_is_refused(after: int) -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        with pytest.raises(InvalidRequest, match=f"found the position {after}; wanted 0 to 0"):
            yard.stream("default", after=after)

    run(story)


def test_a_position_that_the_log_may_have_lost_is_not_called_wrong() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        await publish(yard, 1)
        yard._writer.losses = Losses((Loss("default", 2, 9),), "eventyard doctor --repair")
        with pytest.raises(StoreBehind, match="2 to 9 are lost"):
            yard.stream("default", after=9)
        assert await positions(yard.stream("default", after=0), 1) == [1]

    run(story)


def test_a_bus_that_is_not_there_has_no_stream() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        with pytest.raises(NotFound):
            yard.stream("nowhere")

    run(story)


def test_a_read_that_fails_is_told_and_can_be_asked_again() -> None:
    async def story(yard: Eventyard, engine: WatchedEngine) -> None:
        await publish(yard, 1)
        stream = yard.stream("default", after=0)
        engine.is_broken = True
        with pytest.raises(StorageFailed):
            await anext(stream)
        engine.is_broken = False
        assert await positions(stream, 1) == [1]

    run(story)


# Ends


@contextmanager
def ended_as(reason: str, stream: Stream) -> Iterator["asyncio.Task[list[Part]]"]:
    async def rest() -> list[Part]:
        return [part async for part in stream]

    yield asyncio.create_task(rest())
    assert stream.ended_by == reason


def test_a_stream_ends_with_its_bus() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        await yard.create_bus("short")
        with ended_as("deleted", yard.stream("short")) as rest:
            await asleep(yard, 1)
            await yard.delete_bus("short")
            assert await rest == []

    run(story)


def test_a_stream_ends_when_the_house_stops_asleep_or_not() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        await publish(yard, 1)
        behind = yard.stream("default", after=0)
        with ended_as("stopping", yard.stream("default")) as rest:
            await asleep(yard, 1)
            await yard.stop()
            assert await rest == []
        assert [part async for part in behind] == []
        with pytest.raises(Stopping):
            yard.stream("default")

    run(story)


def test_a_stream_ends_when_its_reader_has_gone_and_leaves_nothing_behind() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        stream = yard.stream("default")
        with ended_as("reader", stream) as rest:
            await asleep(yard, 1)
            stream.end()
            assert await rest == []
        assert (len(yard._streams), len(yard._streams.sleepers), yard._streams._looks) == (0, 0, {})

    run(story)


def test_a_reader_that_is_cancelled_leaves_nobody_asleep() -> None:
    async def story(yard: Eventyard, _: WatchedEngine) -> None:
        stream = yard.stream("default")
        sleeping = asyncio.create_task(positions(stream, 1))
        await asleep(yard, 1)
        sleeping.cancel()
        await asyncio.wait([sleeping])
        assert len(yard._streams.sleepers) == 0
        await publish(yard, 1)
        assert await positions(stream, 1) == [1]

    run(story)
