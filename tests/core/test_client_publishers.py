"""Publishers without a server: what they send, what a trouble does, and what happens when there is no room; through both shells."""

import asyncio
import json
import logging
import random
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard.client import (
    AsyncClient,
    AsyncPublisher,
    BufferFull,
    Client,
    Patience,
    ProblemError,
    Publisher,
    Refusal,
    Unpublished,
)
from eventyard.client.answers import Verdict
from eventyard.client.buffering import Buffer, spelt
from eventyard.client.errors import Problem, Unreachable

AT_ONCE = Patience(first_s=0.0)
SLOW = Patience(first_s=600, wait_max_s=600)
WAIT_S = 20.0

Act = Callable[[httpx.Request], httpx.Response]


def problem(status: int, code: str = "unavailable", **members: Any) -> dict[str, Any]:
    return {"type": f"urn:eventyard:problem:{code}", "title": code, "status": status, "detail": f"it said {code}", **members}


def refused(status: int, code: str = "unavailable", **headers: str) -> httpx.Response:
    return httpx.Response(status, json=problem(status, code), headers=headers)


class Bus:
    """Accepts an id once. `troubles` are answered first, one each; an event with `data` "bad" is refused, "later" once put off."""

    def __init__(self, *troubles: httpx.Response | Exception) -> None:
        self._troubles = list(troubles)
        self._put_off: set[str] = set()
        self.log: list[str] = []
        self.batches: list[list[str]] = []
        self.is_held = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        events = json.loads(request.content)
        self.batches.append([event["id"] for event in events])
        self.is_held.set()
        assert self.may_answer.wait(WAIT_S)
        if self._troubles:
            trouble = self._troubles.pop(0)
            if isinstance(trouble, Exception):
                raise trouble
            return trouble
        verdicts = [self._verdict(event) for event in events]
        return httpx.Response(400 if all("error" in each for each in verdicts) else 202, json={"events": verdicts})

    def _verdict(self, event: dict[str, Any]) -> dict[str, Any]:
        if event.get("data") == "bad":
            return {"error": problem(422, "invalid-event")}
        if event.get("data") == "later" and event["id"] not in self._put_off:
            self._put_off.add(event["id"])
            return {"error": problem(503)}
        is_duplicate = event["id"] in self.log
        if not is_duplicate:
            self.log.append(event["id"])
        position = self.log.index(event["id"]) + 1
        return {"id": event["id"], "source": event["source"], "position": position, "duplicate": is_duplicate}


Story = Callable[[Any], Any]
"""What one does with a publisher, as a generator: it yields what is to be awaited where that has to be."""


def synchronously(bus: Bus, story: Story, **options: Any) -> None:
    with Client(transport=httpx.MockTransport(bus)) as client, Publisher(client, rng=random.Random(0), **options) as publisher:
        for _ in story(publisher):
            pass


def asynchronously(bus: Bus, story: Story, **options: Any) -> None:
    async def run() -> None:
        async with (
            AsyncClient(transport=httpx.MockTransport(bus)) as client,
            AsyncPublisher(client, rng=random.Random(0), **options) as publisher,
        ):
            steps, came, failed = story(publisher), None, None
            while True:
                try:
                    awaited = steps.throw(failed) if failed else steps.send(came)
                except StopIteration:
                    return
                try:
                    came, failed = await awaited, None
                except Exception as error:  # noqa: BLE001 - raised where the story awaits
                    failed = error

    asyncio.run(run())


both_shells = pytest.mark.parametrize("through", [synchronously, asynchronously])
Shell = Callable[..., None]


def event(number: int, data: Any = None) -> dict[str, Any]:
    return {"type": "order.paid", "source": "/shop", "id": str(number), "data": data}


def publishing(*events: dict[str, Any]) -> Story:
    def story(publisher: Any) -> Any:
        for each in events:
            yield publisher.publish(each)

    return story


@both_shells
def test_what_was_published_is_on_the_bus_in_order_when_the_block_is_left(through: Shell) -> None:
    bus = Bus()
    through(bus, publishing(*(event(number) for number in range(2_500))))
    assert bus.log == [str(number) for number in range(2_500)]
    assert len(bus.batches) < 2_500
    assert max(len(batch) for batch in bus.batches) <= 1_000


def test_what_comes_while_a_batch_is_under_way_is_the_next_batch() -> None:
    bus = Bus()
    bus.may_answer.clear()
    with Client(transport=httpx.MockTransport(bus)) as client, Publisher(client) as publisher:
        publisher.publish(event(1))
        assert bus.is_held.wait(WAIT_S)
        for number in (2, 3, 4):
            publisher.publish(event(number))
        assert publisher.waiting == 4
        bus.may_answer.set()
    assert bus.batches == [["1"], ["2", "3", "4"]]


@both_shells
def test_an_event_gets_its_id_once_and_keeps_it_over_every_attempt(through: Shell) -> None:
    lost = httpx.ReadError("the answer was lost")
    bus, ids = Bus(lost, refused(503), refused(500), refused(429, "overloaded"), lost), list[str]()

    def story(publisher: Any) -> Any:
        ids.append((yield publisher.publish(type="order.paid", source="/shop", data={"total": 25})))

    def known(publisher: Any) -> Any:
        ids.append(publisher.publish(type="order.paid", source="/shop", data={"total": 25}))
        yield

    through(bus, known if through is synchronously else story, patience=AT_ONCE)
    assert bus.batches == [ids] * 6
    assert bus.log == ids


@both_shells
def test_a_batch_that_was_accepted_though_its_answer_was_lost_is_accepted_once(through: Shell) -> None:
    class Forgetful(Bus):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            answer = super().__call__(request)
            if len(self.batches) == 1:
                raise httpx.ReadError("the answer was lost")
            return answer

    bus = Forgetful()
    through(bus, publishing(event(1), event(2)), patience=AT_ONCE)
    assert bus.log == ["1", "2"]


@both_shells
def test_a_bus_that_is_away_for_longer_than_a_client_is_patient_is_waited_for(through: Shell) -> None:
    bus = Bus(*[httpx.ConnectError("refused")] * 50)
    through(bus, publishing(event(1)), patience=AT_ONCE)
    assert bus.log == ["1"]


@both_shells
def test_where_there_is_no_room_the_producer_is_told_and_nothing_is_dropped(through: Shell) -> None:
    bus = Bus(*[httpx.ConnectError("connection refused")] * 1_000)

    def story(publisher: Any) -> Any:
        yield publisher.publish(event(1))
        yield publisher.publish(event(2))
        with pytest.raises(BufferFull, match="not taken: 2 events wait to be published"):
            yield publisher.publish(event(3))

    with pytest.raises(Unpublished) as raised:
        through(bus, story, events_max=2, wait_s=0.01, close_s=0.01, patience=SLOW)
    assert [json.loads(text)["id"] for text in raised.value.waiting] == ["1", "2"]


@both_shells
def test_a_producer_waits_for_room_and_goes_on_when_there_is_some(through: Shell) -> None:
    bus = Bus()
    through(bus, publishing(*(event(number) for number in range(200))), events_max=3, wait_s=WAIT_S)
    assert bus.log == [str(number) for number in range(200)]


@both_shells
def test_bytes_are_bounded_too_and_one_event_larger_than_all_room_goes_alone(through: Shell) -> None:
    bus = Bus()
    through(bus, publishing(*(event(number, "x" * 5_000) for number in range(5))), bytes_max=4_000, wait_s=WAIT_S)
    assert bus.batches == [["0"], ["1"], ["2"], ["3"], ["4"]]


@both_shells
def test_events_that_are_refused_keep_no_other_out_and_are_raised_at_the_end(through: Shell) -> None:
    bus = Bus()
    with pytest.raises(
        Unpublished, match="0 events wait, and 2 were refused; the last reason: it said invalid-event"
    ) as raised:
        through(bus, publishing(event(1), event(2, "bad"), event(3), event(4, "bad")))
    assert bus.log == ["1", "3"]
    assert [json.loads(each.json)["id"] for each in raised.value.refused] == ["2", "4"]
    assert (raised.value.waiting, raised.value.refusals) == ((), 2)


@both_shells
def test_who_asks_to_be_told_of_refusals_is_told_and_nothing_is_raised(through: Shell) -> None:
    bus, told = Bus(), list[Refusal]()
    through(bus, publishing(event(1, "bad"), event(2)), on_refused=told.append)
    assert [(json.loads(each.json)["id"], each.problem.code) for each in told] == [("1", "invalid-event")]
    assert bus.log == ["2"]


@both_shells
def test_who_fails_at_being_told_stops_nothing(through: Shell, caplog: pytest.LogCaptureFixture) -> None:
    def on_refused(_refusal: Refusal) -> None:
        raise ValueError("no disk")

    bus = Bus()
    through(bus, publishing(event(1, "bad"), event(2)), on_refused=on_refused)
    assert bus.log == ["2"]
    assert "no disk" in caplog.text


@both_shells
def test_refusals_that_are_kept_are_bounded_and_all_are_counted(through: Shell, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "eventyard.client")
    with pytest.raises(Unpublished) as raised:
        through(Bus(), publishing(*(event(number, "bad") for number in range(150))))
    assert raised.value.refusals == 150
    assert [json.loads(each.json)["id"] for each in raised.value.refused] == [str(number) for number in range(50, 150)]


@both_shells
def test_an_event_that_is_put_off_is_sent_again_alone(through: Shell) -> None:
    bus = Bus()
    through(bus, publishing(event(1), event(2, "later"), event(3)), patience=AT_ONCE)
    assert sorted(bus.log) == ["1", "2", "3"]
    assert sum("1" in batch for batch in bus.batches) == 1


@both_shells
def test_a_flush_returns_when_what_was_given_is_durable(through: Shell) -> None:
    bus, seen = Bus(), list[list[str]]()

    def story(publisher: Any) -> Any:
        yield publisher.publish(event(1))
        yield publisher.flush()
        seen.append(list(bus.log))
        yield publisher.publish(event(2))

    through(bus, story)
    assert (seen, bus.log) == ([["1"]], ["1", "2"])


@both_shells
def test_a_bus_that_says_no_ends_it_and_gives_back_what_waits(through: Shell) -> None:
    bus = Bus(refused(401, "unauthorized"))
    told: list[Exception] = []

    def story(publisher: Any) -> Any:
        yield publisher.publish(event(1))
        with pytest.raises(Unpublished) as raised:
            yield publisher.flush()
        told.append(raised.value)
        with pytest.raises(ProblemError, match="it said unauthorized"):
            yield publisher.publish(event(2))

    with pytest.raises(Unpublished) as raised:
        through(bus, story)
    assert [json.loads(text)["id"] for text in raised.value.waiting] == ["1"]
    assert isinstance(raised.value.trouble, ProblemError)
    assert str(told[0]) == str(raised.value)
    assert bus.batches == [["1"]]


@both_shells
def test_closing_waits_so_long_for_a_bus_that_is_away_and_gives_back_what_waits(through: Shell) -> None:
    bus = Bus(*[httpx.ConnectError("connection refused")] * 1_000)
    with pytest.raises(Unpublished, match="2 events wait, and 0 were refused") as raised:
        through(bus, publishing(event(1), event(2)), close_s=0.01, patience=SLOW)
    assert [json.loads(text)["id"] for text in raised.value.waiting] == ["1", "2"]


@both_shells
def test_a_closed_publisher_takes_nothing(through: Shell) -> None:
    def story(publisher: Any) -> Any:
        yield publisher.close()
        with pytest.raises(RuntimeError, match="closed"):
            yield publisher.publish(event(1))

    bus = Bus()
    through(bus, story)
    assert bus.batches == []


def test_a_publisher_that_was_not_entered_takes_nothing() -> None:
    async def run() -> None:
        async with AsyncClient(transport=httpx.MockTransport(Bus())) as client:
            await AsyncPublisher(client).publish(event(1))

    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(run())


@both_shells
def test_a_client_that_is_closed_under_it_is_no_silent_loss(through: Shell, caplog: pytest.LogCaptureFixture) -> None:
    def story(publisher: Any) -> Any:
        yield publisher._client.close()
        yield publisher.publish(event(1))

    with pytest.raises(Unpublished) as raised:
        through(Bus(), story)
    assert len(raised.value.waiting) == 1
    assert isinstance(raised.value.__cause__, RuntimeError)
    assert "1 events cannot be published" in caplog.text


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"id":"1"},{"id":"2"}', b'{"id":1}', b"\xff", '{"id":"1"} x'])
def test_text_that_would_harm_its_batch_is_refused_at_once(text: bytes | str) -> None:
    with pytest.raises(ValueError, match="no JSON object with an id"):
        spelt(text)


def test_text_is_sent_as_it_stands() -> None:
    text = b'{ "id": "1", "data": 1.10 }'
    assert spelt(text) == ("1", text)


# The buffer alone


def filled(count: int) -> Buffer:
    buffer = Buffer("default", events_max=10_000, bytes_max=1 << 24, patience=Patience(first_s=1, wait_max_s=8))
    for number in range(count):
        buffer.add(spelt(event(number))[1])
    return buffer


def sent(buffer: Buffer) -> list[str]:
    return [each["id"] for each in json.loads(buffer.batch().request.body)]


def test_waits_grow_and_begin_anew_after_a_success() -> None:
    buffer, away = filled(2), Unreachable("http://bus", "refused")
    waits = []
    for _ in range(6):
        buffer.batch()
        waits.append(buffer.failed(away, chance=1.0).delay_s)
    assert waits == [1, 2, 4, 8, 8, 8]
    assert buffer.trouble is away
    buffer.batch()
    buffer.answered([Verdict(position=1)], chance=1.0)
    assert buffer.trouble is None
    buffer.batch()
    assert buffer.failed(away, chance=0.5).delay_s == 0.5


@pytest.mark.parametrize(("asked_s", "waited_s"), [(5.0, 5.0), (600.0, 600.0), (1e9, 600.0)])
def test_a_server_that_asks_for_time_gets_it_up_to_a_bound(asked_s: float, waited_s: float) -> None:
    buffer = filled(1)
    buffer.batch()
    assert buffer.failed(ProblemError(Problem(status=503), retry_after_s=asked_s), chance=0.0).delay_s == waited_s


def test_something_else_that_answers_is_waited_out() -> None:
    buffer = filled(1)
    buffer.batch()
    foreign = ProblemError(Problem(type="urn:eventyard:problem:unreadable-answer", status=200))
    assert buffer.failed(foreign, chance=1.0).delay_s == 1
    assert len(buffer) == 1


@pytest.mark.parametrize("status", [400, 413])
def test_a_batch_that_is_refused_as_a_whole_is_cut_until_the_event_is_found(status: int) -> None:
    """As by a proxy that takes smaller bodies only."""
    buffer, on_the_bus, refusals = filled(9), list[str](), list[str]()
    while len(buffer):
        batch = sent(buffer)
        if "5" in batch:
            settlement = buffer.failed(ProblemError(Problem(status=status)), chance=1.0)
        else:
            settlement = buffer.answered([Verdict(position=1)] * len(batch), chance=1.0)
            on_the_bus += batch
        assert settlement.delay_s == 0.0
        refusals += [json.loads(each.json)["id"] for each in settlement.refused]
    assert on_the_bus == ["0", "1", "2", "3", "4", "6", "7", "8"]
    assert refusals == ["5"]


def test_an_answer_for_fewer_events_than_were_sent_settles_only_those() -> None:
    buffer = filled(3)
    buffer.batch()
    buffer.answered([Verdict(position=1)], chance=1.0)
    assert sent(buffer) == ["1", "2"]
    buffer.answered([Verdict(position=1)] * 9, chance=1.0)
    assert len(buffer) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 999)), max_size=60))
def test_nothing_is_lost_and_nothing_settled_twice_whatever_is_answered(story: list[tuple[int, int]]) -> None:
    buffer, settled, given_ = filled(0), list[str](), 0
    for act, draw in story:
        if act <= 1:
            buffer.add(spelt(event(given_))[1])
            given_ += 1
        elif len(buffer):
            batch = sent(buffer)
            if act == 2:
                outcomes = [Problem(status=(503, 422)[(draw >> index) & 1]) for index in range(len(batch))]
                verdicts = [Verdict(error=None if (draw + index) % 3 else each) for index, each in enumerate(outcomes)]
                buffer.answered(verdicts, chance=0.5)
                settled += [
                    name for name, each in zip(batch, verdicts, strict=True) if not each.error or each.error.status == 422
                ]
            else:
                error = (Unreachable("", "") if draw % 2 else ProblemError(Problem(status=400)))  # fmt: skip
                settled += [json.loads(each.json)["id"] for each in buffer.failed(error, chance=0.5).refused]
    waiting = [json.loads(text)["id"] for text in buffer.texts]
    assert sorted(settled + waiting, key=int) == [str(number) for number in range(given_)]
    assert waiting == sorted(waiting, key=int)
    assert buffer._bytes == sum(map(len, buffer.texts))


def test_an_error_says_what_keeps_the_bus_from_taking_more() -> None:
    buffer = filled(1)
    buffer.batch()
    buffer.failed(Unreachable("http://bus", "connection refused"), chance=1.0)
    for error in (BufferFull(1, buffer.trouble), Unpublished(buffer.texts, [], 0, buffer.trouble)):
        assert str(error).endswith("no answer from http://bus: connection refused")


@pytest.mark.parametrize("bounds", [{"events_max": 0}, {"bytes_max": 0}])
def test_a_buffer_without_room_is_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Buffer("default", patience=AT_ONCE, **({"events_max": 1, "bytes_max": 1} | bounds))
