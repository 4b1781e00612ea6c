"""A consumer of the client at work, without a server: what it asks, in which order, and how it ends; through both shells."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from eventyard.client import AsyncClient, Client, Delivery, Patience, ProblemError, Reject
from eventyard.client.consuming import ACKNOWLEDGE_EVERY_S, DELAY_S_MAX, Handle, consume, consuming

EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid", "data": 1.5}


def delivery(number: int, attempt: int = 1) -> dict[str, Any]:
    return {
        "id": f"a-1-{number}-0",
        "lease": f"a-1-{number}-0-{attempt}",
        "attempt": attempt,
        "position": number,
        "run": 0,
        "event": EVENT,
    }


class Queue:
    """A server with one queue, which gives its batches one by one and then nothing. `asked`: verbs and documents."""

    def __init__(self, *batches: list[dict[str, Any]]) -> None:
        self._batches = list(batches)
        self.asked: list[tuple[str, Any]] = []
        self.read_s: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        verb, document = request.url.path.rpartition("/")[2], json.loads(request.content)
        self.read_s.append(request.extensions["timeout"]["read"])
        self.asked.append((verb, document))
        if verb == "receive":
            return httpx.Response(200, json={"deliveries": self._batches.pop(0) if self._batches else []})
        results = [{"lease": lease, "ok": True, "reason": None} for lease in document["leases"]]
        return httpx.Response(200, json={"results": results})

    @property
    def settled(self) -> list[tuple[str, Any]]:
        return [(verb, document) for verb, document in self.asked if verb != "receive"]


Handler = Callable[[Delivery], None]


def synchronously(queue: Queue, handle: Handler, **options: Any) -> None:
    with Client(transport=httpx.MockTransport(queue), patience=Patience(attempts_max=1), rng=random.Random(0)) as client:
        client.consume("packing", handle, wait_s=0, until_empty=True, **options)


def asynchronously(queue: Queue, handle: Handler, **options: Any) -> None:
    async def handle_soon(delivery: Delivery) -> None:
        await asyncio.sleep(0)
        handle(delivery)

    async def run() -> None:
        async with AsyncClient(transport=httpx.MockTransport(queue), patience=Patience(attempts_max=1)) as client:
            await client.consume("packing", handle_soon, wait_s=0, until_empty=True, **options)

    asyncio.run(run())


both_shells = pytest.mark.parametrize("through", [synchronously, asynchronously])
Shell = Callable[..., None]


@both_shells
def test_what_is_handled_is_acknowledged_batch_by_batch(through: Shell) -> None:
    queue, handled = Queue([delivery(1), delivery(2)], [delivery(3)]), list[Delivery]()
    through(queue, handled.append, max=2)
    assert [(each.position, each.event, each.json) for each in handled] == [
        (number, EVENT, json.dumps(EVENT, separators=(",", ":")).encode()) for number in (1, 2, 3)
    ]
    assert [verb for verb, _ in queue.asked] == ["receive", "acknowledge", "receive", "acknowledge", "receive"]
    assert queue.asked[0][1] == {"max": 2, "wait_s": 0, "lease_s": 30.0}
    assert [document for _, document in queue.settled] == [
        {"leases": ["a-1-1-0-1", "a-1-2-0-1"]},
        {"leases": ["a-1-3-0-1"]},
    ]


@both_shells
def test_a_failure_is_told_and_released_with_a_delay_that_grows_and_the_rest_goes_on(through: Shell) -> None:
    told: list[tuple[int, str]] = []

    def handle(delivery: Delivery) -> None:
        if delivery.position != 2:
            raise ValueError(f"no {delivery.position}")

    queue = Queue([delivery(1), delivery(2), delivery(3, attempt=3), delivery(4, attempt=100)])
    through(queue, handle, retry_s=2.0, on_failure=lambda delivery, failure: told.append((delivery.position, str(failure))))
    assert queue.settled == [
        ("release", {"leases": ["a-1-1-0-1"], "delay_s": 2.0}),
        ("release", {"leases": ["a-1-3-0-3"], "delay_s": 8.0}),
        ("release", {"leases": ["a-1-4-0-100"], "delay_s": DELAY_S_MAX}),
        ("acknowledge", {"leases": ["a-1-2-0-1"]}),
    ]
    assert told == [(1, "no 1"), (3, "no 3"), (4, "no 4")]


@both_shells
def test_a_failure_that_nobody_asks_to_be_told_of_is_logged(through: Shell, caplog: pytest.LogCaptureFixture) -> None:
    def handle(_delivery: Delivery) -> None:
        raise ValueError("no such order")

    through(Queue([delivery(1)]), handle)
    assert "a-1-1-0 failed at attempt 1" in caplog.text
    assert "no such order" in caplog.text


@both_shells
def test_a_handler_can_reject(through: Shell) -> None:
    def handle(_delivery: Delivery) -> None:
        raise Reject("no such address")

    queue = Queue([delivery(1)])
    through(queue, handle)
    assert queue.settled == [("reject", {"leases": ["a-1-1-0-1"], "reason": "no such address"})]


class Enough(BaseException):
    """As Ctrl-C, or the cancellation of a task."""


@both_shells
def test_who_leaves_acknowledges_what_is_done_and_releases_the_rest(through: Shell) -> None:
    def handle(delivery: Delivery) -> None:
        if delivery.position == 2:
            raise Enough

    queue = Queue([delivery(1), delivery(2), delivery(3)], [delivery(4)])
    with pytest.raises(Enough):
        through(queue, handle)
    assert queue.settled == [
        ("acknowledge", {"leases": ["a-1-1-0-1"]}),
        ("release", {"leases": ["a-1-2-0-1", "a-1-3-0-1"], "delay_s": 0.0}),
    ]


@both_shells
def test_a_refusal_ends_the_work(through: Shell) -> None:
    class Refusing(Queue):
        def __call__(self, _request: httpx.Request) -> httpx.Response:
            return httpx.Response(404, json={"type": "urn:eventyard:problem:not-found", "title": "", "status": 404})

    with pytest.raises(ProblemError, match="404"):
        through(Refusing(), lambda _: None)


def test_a_handler_that_has_to_be_awaited_is_refused_where_nobody_awaits() -> None:
    async def handle(_delivery: Delivery) -> None:
        """Never begun."""

    queue = Queue([delivery(1)])
    with pytest.raises(TypeError, match="AsyncClient"), Client(transport=httpx.MockTransport(queue)) as client:
        client.consume("packing", handle)
    assert queue.asked == []


def test_a_task_that_is_cancelled_gives_back_what_it_holds() -> None:
    queue = Queue([delivery(1), delivery(2)])

    async def run() -> None:
        has_begun = asyncio.Event()

        async def handle(_delivery: Delivery) -> None:
            has_begun.set()
            await asyncio.Event().wait()

        async with AsyncClient(transport=httpx.MockTransport(queue)) as client:
            task = asyncio.ensure_future(client.consume("packing", handle))
            await has_begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert queue.settled == [("release", {"leases": ["a-1-1-0-1", "a-1-2-0-1"], "delay_s": 0.0})]


# What the clock decides


def told(step: Any) -> tuple[str, Any]:
    if isinstance(step, Handle):
        return "handle", step.delivery.position
    return step.request.path.rpartition("/")[2], json.loads(step.request.body).get("leases")


def deliveries(*numbers: int) -> list[Delivery]:
    return [
        Delivery(id=each["id"], lease=each["lease"], attempt=1, position=number, run=0, raw=None)  # type: ignore[arg-type]
        for number in numbers
        for each in [delivery(number)]
    ]


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_what_was_handled_is_acknowledged_at_least_so_often() -> None:
    clock = Clock()
    steps = consuming(consume("packing", lambda _: None), clock)
    next(steps)
    assert told(steps.send(deliveries(1, 2, 3))) == ("handle", 1)
    clock.now_s = ACKNOWLEDGE_EVERY_S
    assert told(steps.send(None)) == ("acknowledge", ["a-1-1-0-1"])
    assert told(steps.send(None)) == ("handle", 2)
    assert told(steps.send(None)) == ("handle", 3)
    assert told(steps.send(None)) == ("acknowledge", ["a-1-2-0-1", "a-1-3-0-1"])


def test_a_delivery_whose_lease_is_over_is_not_begun() -> None:
    clock = Clock()
    steps = consuming(consume("packing", lambda _: None, lease_s=30), clock)
    next(steps)
    assert told(steps.send(deliveries(1, 2))) == ("handle", 1)
    clock.now_s = 30.0
    assert told(steps.send(None)) == ("acknowledge", ["a-1-1-0-1"])
    assert told(steps.send(None))[0] == "receive"


# The calls themselves


def test_an_answer_may_take_as_long_as_it_was_asked_to_wait() -> None:
    queue = Queue([delivery(1)])
    with Client(transport=httpx.MockTransport(queue), timeout_s=30) as client:
        [received] = client.receive("packing", max=5, wait_s=60, lease_s=10)
        assert client.acknowledge("packing", received)[0].ok
    assert queue.read_s == [90.0, 30.0]
    assert queue.asked[0] == ("receive", {"max": 5, "wait_s": 60, "lease_s": 10})


def test_leases_are_named_by_deliveries_tokens_or_one_of_them() -> None:
    [received] = deliveries(1)
    calls = [
        Client.acknowledge("packing", received),
        Client.acknowledge("packing", received.lease),
        Client.acknowledge("packing", [received, "b"]),
        Client.release("packing", (each for each in [received]), delay_s=2),
        Client.reject("packing", [received], reason="no"),
        Client.renew("packing", received, lease_s=60),
        Client.renew("packing", received),
    ]
    lease = received.lease
    assert [json.loads(call.request.body) for call in calls] == [
        {"leases": [lease]},
        {"leases": [lease]},
        {"leases": [lease, "b"]},
        {"leases": [lease], "delay_s": 2},
        {"leases": [lease], "reason": "no"},
        {"leases": [lease], "lease_s": 60},
        {"leases": [lease]},
    ]
    assert calls[3].request.path == "/v1/buses/default/rules/packing/release"
