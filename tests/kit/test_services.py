"""A team's own services on a bus in a test: those of `eventyard.client`, fetching or pushed to, ASGI applications, and outboxes."""

import base64
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventyard.client import AsyncClient, CloudEvent, Outbox, Reject, RuleBelongsToOthers, Service
from eventyard.testing import Bus
from eventyard.testing.asgi import NotStarted

SECRET = f"whsec_{base64.b64encode(b's' * 32).decode()}"


def a_service(**options: Any) -> Service:
    service = Service("rewards", owner="team-rewards", error_type="rewards.failed", **options)

    @service.on("order.paid", delivery={"max_attempts": 3})
    def grant(event: CloudEvent[dict[str, Any]]) -> dict[str, Any]:
        """Points for what is paid."""
        if event.data["total"] < 0:
            raise Reject("nobody pays less than nothing")
        return {"type": "points.granted", "subject": event.subject, "data": {"points": event.data["total"]}}

    @service.on("points.granted")
    async def congratulate(event: CloudEvent[dict[str, Any]]) -> dict[str, Any]:
        return {"type": "letter.sent", "subject": event.subject, "data": event.data}

    return service


@pytest.mark.parametrize("is_pushed", [False, True])
def test_a_service_handles_what_comes_and_what_comes_of_that(*, is_pushed: bool) -> None:
    service = a_service()
    with Bus() as bus:
        if is_pushed:
            bus.serve(service.receiver("http://rewards/events"))
        else:
            bus.run(service)
            bus.settle()
        bus.publish(type="order.paid", subject="order-1", data={"total": 25})
        bus.settle()
        (letter,) = bus.assert_published("letter.sent")
        assert (letter["source"], letter["data"]) == ("/rewards", {"points": 25})
        bus.assert_all_delivered()


@pytest.mark.parametrize("is_pushed", [False, True])
def test_what_a_service_rejects_is_a_dead_letter(*, is_pushed: bool) -> None:
    service = a_service()
    with Bus() as bus:
        if is_pushed:
            bus.serve(service.receiver("http://rewards/events"))
        else:
            bus.run(service)
        bus.settle()
        bus.publish(type="order.paid", data={"total": -1})
        bus.settle()
        assert [fate.outcome for fate in bus.deliveries("rewards-grant")] == ["dead"]
        bus.assert_published({"type": ["rewards.failed"], "data": {"error": ["Reject"]}}, times=1)


def test_a_pushed_service_replies_to_rules_that_take_replies() -> None:
    with Bus() as bus:
        rewards = bus.serve(a_service().receiver("http://rewards/events", reply=True))
        bus.publish(type="order.paid", subject="order-1", data={"total": 25})
        bus.settle()
        (letter,) = bus.assert_published("letter.sent", times=1)
        assert letter["eventyardhops"] == 2
        assert [request.headers["eventyard-reply"] for request in rewards.requests] == ["true", "true"]


def test_a_reply_that_was_refused_is_told_where_its_event_is_missing() -> None:
    with Bus() as bus:
        bus.serve(a_service().receiver("http://rewards/events", reply=True))
        bus.publish(type="order.paid", data={"total": 25})
        bus.settle()
        with pytest.raises(AssertionError, match=r"the bus said io\.eventyard\.reply\.refused of rewards-grant: .*/subject"):
            bus.assert_published("points.granted")


def test_a_service_runs_no_thread_and_no_event_loop_of_its_own() -> None:
    threads: set[threading.Thread] = set()
    service = Service("rewards")

    @service.on("order.paid")
    def grant(_event: CloudEvent[Any]) -> None:
        threads.add(threading.current_thread())

    with Bus() as bus:
        bus.run(service)
        bus.settle()
        bus.publish(type="order.paid")
        bus.settle()
    assert threads == {threading.current_thread()}


def test_a_plain_handler_of_a_service_may_ask_the_bus_itself() -> None:
    service = Service("rewards")
    with Bus() as bus:

        @service.on("order.paid")
        def grant(event: CloudEvent[Any]) -> None:
            bus.client.publish(type="points.granted", source="/rewards", subject=event.subject)

        bus.run(service)
        bus.settle()
        bus.publish(type="order.paid", subject="order-1")
        bus.settle()
        bus.assert_published({"type": ["points.granted"], "subject": ["order-1"]})


def test_a_service_that_fetches_is_tried_again_when_its_release_is_over() -> None:
    times: list[float] = []
    service = Service("rewards")
    with Bus() as bus:

        @service.on("order.paid")
        def grant(event: CloudEvent[Any]) -> None:
            times.append(bus.now.timestamp())
            if event.attempt < 3:
                raise ConnectionError("no database")

        bus.run(service)
        bus.settle()
        bus.publish(type="order.paid")
        bus.advance(minutes=1)
    assert [round(time - times[0], 3) for time in times] == [0, 1, 3]


def test_signed_pushes_are_verified_by_the_tests_clock() -> None:
    with Bus() as bus:
        rewards = bus.serve(a_service().receiver("http://rewards/events", secrets=[SECRET]))
        bus.publish(type="order.paid", subject="order-1", data={"total": 25})
        bus.advance(days=1)
        bus.assert_published("letter.sent", times=1)
        assert all("webhook-signature" in request.headers for request in rewards.requests)
        rewards.requests.clear()
        bus.put_rule(
            "unsigned",
            {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": "http://rewards/events/rewards-grant"}}},
        )
        bus.publish(type="order.paid", data={"total": 25})
        bus.settle()
        assert bus.deliveries("unsigned")[0].answers[0].status == 401


def test_a_service_is_given_back_as_it_was() -> None:
    client = AsyncClient("http://127.0.0.1:9")
    service = a_service(client=client)
    with Bus() as bus:
        bus.serve(service.receiver("http://rewards/events"))
        assert service.client is bus.async_client
    assert service.client is client


def test_a_service_whose_rule_belongs_to_others_is_told_to_the_test() -> None:
    rule = {"pattern": {"type": ["a"]}, "target": {"queue": {}}, "owner": "others"}
    with Bus() as bus:
        bus.put_rule("rewards-grant", rule)
        with pytest.raises(NotStarted, match="RuleBelongsToOthers"):
            bus.serve(a_service().receiver("http://rewards/events"))
        bus.run(a_service())
        with pytest.raises(RuleBelongsToOthers):
            bus.settle()


def test_any_asgi_application_is_started_asked_and_stopped() -> None:
    told: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                told.append((await receive())["type"])
                await send({"type": f"lifespan.{word}.complete"})
            return
        told.append(f"{scope['method']} {scope['path']}?{scope['query_string'].decode()}")
        await receive()
        await send({"type": "http.response.start", "status": 503, "headers": [(b"Retry-After", b"7")]})
        await send({"type": "http.response.body", "body": b"not now"})

    with Bus() as bus:
        rewards = bus.serve(application, "http://rewards")
        bus.put_rule("rewards", {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": "http://rewards/a%20b?c=d"}}})
        bus.publish(type="order.paid")
        bus.advance(seconds=7)
        assert len(rewards.requests) == 2
        assert bus.deliveries("rewards")[0].answers[0].body == "not now"
    assert told == ["lifespan.startup", "POST /a b?c=d", "POST /a b?c=d", "lifespan.shutdown"]


def test_an_application_that_knows_no_lifespan_and_fails_answers_500() -> None:
    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        raise ValueError(scope["type"])

    with Bus() as bus:
        bus.serve(application, "http://rewards")
        bus.put_rule("rewards", {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": "http://rewards/"}}})
        bus.publish(type="order.paid")
        bus.settle()
        (answer,) = bus.deliveries("rewards")[0].answers
        assert (answer.status, answer.body) == (500, "ValueError: http")


def test_an_application_without_a_url_is_refused() -> None:
    with Bus() as bus, pytest.raises(ValueError, match="without a URL"):
        bus.serve(Service("rewards").receiver())


def test_what_waits_in_an_outbox_is_published_when_the_bus_settles(tmp_path: Path) -> None:
    outbox, file = Outbox(), tmp_path / "orders.db"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(file)

    with closing(connect()) as db, db:
        db.execute("BEGIN")
        outbox.create(db)
        outbox.add(db, type="order.placed", source="/orders", id="o-1", data={"total": 25})
    with Bus() as bus:
        bus.relay(outbox, connect)
        bus.put_rule("payments", {"pattern": {"type": ["order.placed"]}, "target": {"http": {"url": "http://payments"}}})
        payments = bus.receiver("http://payments")
        bus.settle()
        assert [event["id"] for event in payments.events] == ["o-1"]
        bus.assert_all_delivered()
