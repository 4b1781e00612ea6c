"""A consumer of the client at work, without a server: what it asks, in which order, and how it ends; through both shells."""

import asyncio
import contextlib
import itertools
import json
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from eventyard.client import AsyncClient, Client, Delivery, Patience, ProblemError, Reject, Retry, Settled, stop_on_signals
from eventyard.client.consuming import (
    ACKNOWLEDGE_EVERY_S,
    CONCURRENCY_MAX,
    DELAY_S_MAX,
    REASON_LENGTH_MAX,
    STOP_S,
    Handle,
    Leases,
    consume,
    consuming,
)

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


@both_shells
def test_a_reason_is_sent_as_long_as_a_dead_letter_keeps_it(through: Shell) -> None:
    def handle(_delivery: Delivery) -> None:
        raise Reject("x" * (REASON_LENGTH_MAX + 1))

    queue = Queue([delivery(1)])
    through(queue, handle)
    assert queue.settled[0][1]["reason"] == "x" * REASON_LENGTH_MAX


@both_shells
def test_a_handler_can_put_off_and_nobody_is_told_of_a_failure(through: Shell) -> None:
    told: list[Delivery] = []

    def handle(_delivery: Delivery) -> None:
        raise Retry(90)

    queue = Queue([delivery(1, attempt=7)])
    through(queue, handle, on_failure=lambda each, _failure: told.append(each))
    assert queue.settled == [("release", {"leases": ["a-1-1-0-7"], "delay_s": 90})]
    assert told == []


@pytest.mark.parametrize("delay_s", [-1, 86_401, float("nan"), float("inf")])
def test_a_delay_that_no_bus_takes_is_a_mistake(delay_s: float) -> None:
    with pytest.raises(ValueError, match="wanted 0 to 86400"):
        Retry(delay_s)
    assert Retry(86_400).delay_s == 86_400


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


def conversation(clock: Clock, **options: Any) -> tuple[Any, Leases]:
    wanted = consume("packing", lambda _: None, **options)
    leases = Leases(wanted, clock)
    return consuming(wanted, leases, clock), leases


def test_what_was_handled_is_acknowledged_at_least_so_often() -> None:
    clock = Clock()
    steps, _ = conversation(clock)
    next(steps)
    assert told(steps.send(deliveries(1, 2, 3))) == ("handle", 1)
    clock.now_s = ACKNOWLEDGE_EVERY_S
    assert told(steps.send(None)) == ("acknowledge", ["a-1-1-0-1"])
    assert told(steps.send([])) == ("handle", 2)
    assert told(steps.send(None)) == ("handle", 3)
    assert told(steps.send(None)) == ("acknowledge", ["a-1-2-0-1", "a-1-3-0-1"])


def test_a_delivery_whose_lease_is_over_is_not_begun() -> None:
    clock = Clock()
    steps, _ = conversation(clock, lease_s=30)
    next(steps)
    assert told(steps.send(deliveries(1, 2))) == ("handle", 1)
    clock.now_s = 30.0
    assert told(steps.send(None)) == ("acknowledge", ["a-1-1-0-1"])
    assert told(steps.send([]))[0] == "receive"


def renewed(*leases: str, ok: bool = True) -> list[Settled]:
    return [Settled(lease=lease, ok=ok, reason=None if ok else "superseded") for lease in leases]


def test_a_delivery_that_was_renewed_is_begun_though_its_first_lease_is_over() -> None:
    clock = Clock()
    steps, leases = conversation(clock, lease_s=30)
    next(steps)
    assert told(steps.send(deliveries(1, 2))) == ("handle", 1)
    clock.now_s = 20.0
    [renewal] = leases.renewals()
    assert json.loads(renewal.request.body) == {"leases": ["a-1-1-0-1", "a-1-2-0-1"], "lease_s": 30}
    leases.renewed(renewed("a-1-1-0-1", "a-1-2-0-1"), since=20.0)
    clock.now_s = 49.0
    assert told(steps.send(None)) == ("acknowledge", ["a-1-1-0-1"])
    assert told(steps.send(renewed("a-1-1-0-1"))) == ("handle", 2)


def test_a_delivery_that_the_bus_would_not_renew_is_not_begun() -> None:
    clock = Clock()
    steps, leases = conversation(clock)
    next(steps)
    steps.send(deliveries(1, 2, 3))
    leases.renewed(renewed("a-1-2-0-1", ok=False), since=0.0)
    assert told(steps.send(None)) == ("handle", 3)
    steps.send(None)
    steps.send(renewed("a-1-1-0-1", "a-1-3-0-1"))
    assert leases.renewals() == []


def test_what_is_settled_is_renewed_no_more() -> None:
    steps, leases = conversation(Clock())
    next(steps)
    steps.send(deliveries(1, 2, 3))
    assert told(steps.send(ValueError())) == ("release", ["a-1-1-0-1"])
    assert told(steps.send(None)) == ("handle", 2)
    [renewal] = leases.renewals()
    assert json.loads(renewal.request.body)["leases"] == ["a-1-2-0-1", "a-1-3-0-1"]


def test_leases_are_renewed_as_many_at_a_time_as_a_server_takes() -> None:
    _, leases = conversation(Clock())
    leases.take(deliveries(*range(2_500)), since=0.0)
    assert [len(json.loads(call.request.body)["leases"]) for call in leases.renewals()] == [1_000, 1_000, 500]


# Stopping


@both_shells
def test_who_is_stopped_finishes_what_it_handles_and_releases_the_rest(through: Shell) -> None:
    stop = threading.Event()

    def handle(delivery: Delivery) -> None:
        if delivery.position == 2:
            stop.set()

    queue = Queue([delivery(1), delivery(2), delivery(3)], [delivery(4)])
    through(queue, handle, stop=stop)
    assert queue.settled == [
        ("acknowledge", {"leases": ["a-1-1-0-1", "a-1-2-0-1"]}),
        ("release", {"leases": ["a-1-3-0-1"], "delay_s": 0.0}),
    ]
    assert [verb for verb, _ in queue.asked].count("receive") == 1


@both_shells
def test_who_is_stopped_before_it_begins_asks_for_nothing(through: Shell) -> None:
    stop = threading.Event()
    stop.set()
    queue = Queue([delivery(1)])
    through(queue, lambda _: None, stop=stop)
    assert queue.asked == []


def test_who_may_be_stopped_notices_soon_and_waits_as_long_all_the_same() -> None:
    steps, _ = conversation(Clock(), wait_s=5.0, until_empty=True, stop=threading.Event())
    asked = [next(steps)]
    with contextlib.suppress(StopIteration):
        while True:
            asked.append(steps.send([]))
    assert [json.loads(step.request.body)["wait_s"] for step in asked] == [STOP_S] * 3


def test_a_signal_stops_and_the_second_ends_as_ever() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before


# Several at once


def numbered(*numbers: int) -> list[list[dict[str, Any]]]:
    return [[delivery(number)] for number in numbers]


def test_so_many_threads_handle_at_once_and_no_more() -> None:
    at_once, most, all_are_here = 0, 0, threading.Barrier(3)
    lock = threading.Lock()

    def handle(_delivery: Delivery) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        all_are_here.wait(20)
        with lock:
            at_once -= 1

    queue = Queue(*numbered(1, 2, 3, 4, 5, 6))
    synchronously(queue, handle, concurrency=3)
    assert most == 3
    assert sorted(lease for _, document in queue.settled for lease in document["leases"]) == [
        f"a-1-{number}-0-1" for number in range(1, 7)
    ]


def test_so_many_tasks_handle_at_once_and_no_more() -> None:
    queue = Queue(*numbered(1, 2, 3, 4, 5, 6))

    async def run() -> int:
        at_once, most, gate = 0, 0, asyncio.Condition()

        async def handle(_delivery: Delivery) -> None:
            nonlocal at_once, most
            async with gate:
                at_once += 1
                most = max(most, at_once)
                gate.notify_all()
                await gate.wait_for(lambda: most == 3)
                at_once -= 1

        async with AsyncClient(transport=httpx.MockTransport(queue)) as client:
            await client.consume("packing", handle, wait_s=0, until_empty=True, concurrency=3)
        return most

    assert asyncio.run(run()) == 3
    assert sum(len(document["leases"]) for _, document in queue.settled) == 6


@both_shells
def test_one_that_leaves_stops_the_others_and_nothing_stays_leased(through: Shell) -> None:
    class Endless(Queue):
        """As many as are asked for, so that only stopping ends it."""

        def __call__(self, request: httpx.Request) -> httpx.Response:
            self._batches.append([delivery(next(numbers)), delivery(next(numbers))])
            return super().__call__(request)

    def handle(delivery: Delivery) -> None:
        if delivery.position > 50:
            raise Enough

    numbers, queue = itertools.count(1), Endless()
    with pytest.raises(Enough):
        through(queue, handle, concurrency=4)
    assert {verb for verb, _ in queue.settled} == {"acknowledge", "release"}
    settled = [lease for _, document in queue.settled for lease in document["leases"]]
    assert len(settled) == len(set(settled)) == 2 * [verb for verb, _ in queue.asked].count("receive")


@pytest.mark.parametrize("concurrency", [0, CONCURRENCY_MAX + 1])
def test_a_concurrency_that_cannot_be_meant_is_refused(concurrency: int) -> None:
    with pytest.raises(ValueError, match=f"concurrency={concurrency}; wanted 1 to {CONCURRENCY_MAX}"):
        consume("packing", lambda _: None, concurrency=concurrency)


# Renewing


class Renewing(Queue):
    """Tells when a lease was renewed."""

    def __init__(self, *batches: list[dict[str, Any]], trouble: Exception | None = None) -> None:
        super().__init__(*batches)
        self._trouble = trouble
        self.is_renewed = threading.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/renew"):
            return super().__call__(request)
        trouble, self._trouble = self._trouble, None
        if trouble:
            raise trouble
        answer = super().__call__(request)
        self.is_renewed.set()
        return answer


@pytest.mark.parametrize("trouble", [None, httpx.ConnectError("refused")])
def test_a_lease_is_renewed_by_a_thread_while_its_handler_runs_and_one_trouble_is_no_matter(trouble: Exception | None) -> None:
    queue = Renewing([delivery(1)], trouble=trouble)

    def handle(_delivery: Delivery) -> None:
        queue.is_renewed.wait(20)

    synchronously(queue, handle, lease_s=0.2)
    assert queue.settled[0] == ("renew", {"leases": ["a-1-1-0-1"], "lease_s": 0.2})


def test_a_lease_is_renewed_by_a_task_while_its_handler_runs() -> None:
    queue = Renewing([delivery(1)])

    async def handle(_delivery: Delivery) -> None:
        await asyncio.to_thread(queue.is_renewed.wait, 20)

    async def run() -> None:
        async with AsyncClient(transport=httpx.MockTransport(queue)) as client:
            await client.consume("packing", handle, wait_s=0, until_empty=True, lease_s=0.2)

    asyncio.run(run())
    assert queue.settled[0] == ("renew", {"leases": ["a-1-1-0-1"], "lease_s": 0.2})


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
