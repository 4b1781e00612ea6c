"""What a handler of a service may take, raise and return."""

import asyncio
import base64
import dataclasses
import threading
from typing import Any, TypedDict

import httpx
import msgspec
import pytest

from eventyard.client import AsyncClient, CloudEvent, Reject, Retry, Service
from tests.support.services import EVENT, STRUCTURED, Bus, Shop, problem, sent

# What a handler raises


@pytest.mark.parametrize(
    ("failure", "status", "said", "retry_after"),
    [
        (Reject("no such address"), 422, "no such address", None),
        (Reject(), 422, "rejected", None),
        (Retry(2.5, "the till is closed"), 503, "the till is closed", "3"),
        (Retry(), 503, "again after 0 s", "0"),
        (ValueError("boom"), 500, "ValueError: boom", None),
        (ValueError("x" * 9_000), 500, "ValueError: " + "x" * 488, None),
    ],
)
def test_what_a_handler_raises_says_what_the_bus_is_to_do(
    failure: Exception, status: int, said: str, retry_after: str | None
) -> None:
    answer = Shop(failure=failure).post(EVENT, STRUCTURED)
    assert (answer.status_code, answer.json(), answer.headers.get("retry-after")) == (status, {"error": said}, retry_after)


def test_a_failure_is_an_event_when_that_is_asked_for() -> None:
    shop = Shop(failure=ValueError("no rate"), error_type="shop.failed")
    shop.post(EVENT | {"correlationid": "c"}, STRUCTURED | {"eventyard-attempt": "2", "eventyard-position": "9"})
    shop.post(EVENT | {"correlationid": "c"}, STRUCTURED | {"eventyard-attempt": "2", "eventyard-position": "9"})
    shop.post(EVENT, STRUCTURED | {"eventyard-attempt": "3"})
    first, again, next_attempt = shop.bus.published
    assert first == again
    assert first["id"] != next_attempt["id"]
    assert {name: first[name] for name in ("type", "source", "subject", "causationid", "correlationid")} == {
        "type": "shop.failed",
        "source": "/shop",
        "subject": "1",
        "causationid": "1",
        "correlationid": "c",
    }
    assert first["data"] == {
        "rule": "shop-take",
        "event": {"id": "1", "source": "/shop", "type": "order.paid", "position": 9},
        "attempt": 2,
        "error": "ValueError",
        "message": "no rate",
    }


def test_a_failure_that_cannot_be_published_changes_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(failure=Reject("no"), error_type="shop.failed")
    shop.bus.refuses = problem(403, "forbidden")
    assert shop.post(EVENT, STRUCTURED).status_code == 422
    assert "could not be published" in caplog.text


@pytest.mark.parametrize(("event", "failure"), [(EVENT | {"type": "shop.failed"}, ValueError()), (EVENT, Retry())])
def test_no_failure_is_told_of_an_error_event_or_of_who_only_wants_it_later(event: Any, failure: Exception) -> None:
    shop = Shop(failure=failure, error_type="shop.failed")
    shop.post(event, STRUCTURED)
    assert shop.bus.published == []


# What a handler returns


def test_what_a_handler_returns_is_published_with_its_cause_under_an_id_that_stays() -> None:
    shop = Shop(returned=[{"type": "a", "data": 1}, {"type": "b", "id": "own", "source": "/else"}])
    for _ in range(2):
        assert shop.post(EVENT, STRUCTURED).status_code == 204
    first, second, *again = shop.bus.published
    assert again == [first, second]
    assert (first["type"], first["source"], first["causationid"], first["correlationid"], first["data"]) == (
        "a",
        "/shop",
        "1",
        "1",
        1,
    )
    assert (second["id"], second["source"]) == ("own", "/else")
    other = Shop(returned={"type": "a"})
    other.post(EVENT | {"id": "2"}, STRUCTURED)
    assert other.bus.published[0]["id"] != first["id"]


def test_the_first_of_two_that_came_of_one_event_stands(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(returned={"type": "a"})
    shop.bus.refuses = problem(409, "event-conflict")
    assert shop.post(EVENT, STRUCTURED).status_code == 204
    assert "was published before, and differed" in caplog.text


def test_an_event_is_not_done_when_what_came_of_it_is_not_published() -> None:
    shop = Shop(returned={"type": "a"})
    shop.bus.refuses = problem(403, "forbidden")
    assert shop.post(EVENT, STRUCTURED).status_code == 500


@pytest.mark.parametrize(("returned", "kind"), [([5], "int"), (5, "int"), ("order.packed", "str"), (False, "bool")])
def test_what_is_no_event_cannot_be_returned(returned: Any, kind: str) -> None:
    answer = Shop(returned=returned).post(EVENT, STRUCTURED)
    assert (answer.status_code, answer.json()["error"]) == (
        500,
        f"TypeError: found {kind} returned by the handler of shop-take; wanted events, or None",
    )


@pytest.mark.parametrize("returned", [None, [], ()])
def test_a_handler_that_returns_no_event_publishes_none(returned: Any) -> None:
    shop = Shop(returned=returned)
    assert shop.post(EVENT, STRUCTURED).status_code == 204
    assert shop.bus.published == []


def test_what_has_to_be_awaited_is() -> None:
    """As of an object whose `__call__` is asynchronous, which nothing tells from outside."""

    async def later() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "a"}

    bus = Bus()
    service = Service("shop", client=AsyncClient(transport=httpx.MockTransport(bus)))
    service.on("order.paid", name="shop-take")(lambda event: later())  # noqa: ARG005 - an event is what it is called with
    assert sent(service.receiver(), EVENT, STRUCTURED, "/shop-take").status_code == 204
    assert [each["type"] for each in bus.published] == ["a"]


# Data of a type


@dataclasses.dataclass
class Order:
    total: float


class Struct(msgspec.Struct):
    total: int


class Typed(TypedDict):
    total: int


def took(kind: Any, event: dict[str, Any]) -> Any:
    service, got = Service("shop"), list[Any]()

    async def take(event: Any) -> None:
        await asyncio.sleep(0)
        got.append(event.data)

    take.__annotations__["event"] = kind
    service.on("order.paid")(take)
    answer = sent(service.receiver(), event, STRUCTURED, "/shop-take")
    return got[0] if got else answer


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (CloudEvent[Order], Order(25)),
        (CloudEvent[Struct], Struct(25)),
        (CloudEvent[Typed], {"total": 25}),
        (CloudEvent[dict[str, int]], {"total": 25}),
        (CloudEvent[bytes], b'{"total": 25}'),
        (CloudEvent, {"total": 25}),
    ],
)
def test_data_comes_as_the_handlers_annotation_says(kind: Any, data: Any) -> None:
    assert took(kind, EVENT) == data


def test_data_that_does_not_fit_is_a_dead_letter_with_its_place() -> None:
    for wrong in ({"total": "much"}, {}, None, [1]):
        answer = took(CloudEvent[Order], EVENT | {"data": wrong})
        assert answer.status_code == 422
        assert "cannot read the event's data" in answer.json()["error"]
    assert "$.total" in took(CloudEvent[Order], EVENT | {"data": {"total": "much"}}).json()["error"]
    assert took(CloudEvent[Order | None], EVENT | {"data": None}) is None


def test_bytes_are_taken_as_they_are_and_json_in_them_is_read() -> None:
    encoded = {name: value for name, value in EVENT.items() if name != "data"}
    assert took(CloudEvent[bytes], encoded | {"data_base64": "AP8="}) == b"\x00\xff"
    assert took(CloudEvent[Order], encoded | {"data_base64": base64.b64encode(b'{"total": 2}').decode()}) == Order(2)


@pytest.mark.parametrize(
    ("handle", "said"),
    [
        (lambda: None, "with 0 arguments"),
        (lambda event, more: None, "with 2 arguments"),  # noqa: ARG005 - what is wrong with it
    ],
)
def test_a_handler_that_cannot_be_one_is_refused_at_once(handle: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Service("shop").on("order.paid")(handle)

    def wrong(event: Order) -> None:
        """Of data, where an event comes."""

    with pytest.raises(TypeError, match="wanted CloudEvent"):
        Service("shop").on("order.paid")(wrong)


def test_two_handlers_of_one_rule_are_refused() -> None:
    with pytest.raises(ValueError, match="two handlers of the rule shop-take"):
        Shop().service.on("order.seen", name="shop-take")(lambda event: event)


def test_a_plain_function_runs_beside_the_loop() -> None:
    threads: list[str] = []
    service = Service("shop")

    @service.on("order.paid")
    def take(_event: CloudEvent[Any]) -> None:
        threads.append(threading.current_thread().name)

    assert sent(service.receiver(), EVENT, STRUCTURED, "/shop-take").status_code == 204
    assert threads != [threading.main_thread().name]


# Replies

ASKED = STRUCTURED | {"eventyard-reply": "true"}


def test_where_a_reply_is_welcome_the_event_that_a_handler_returns_is_the_answer() -> None:
    shop = Shop(returned={"type": "a", "data": 1})
    answer = shop.post(EVENT, ASKED)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cloudevents+json")
    assert {name: answer.json()[name] for name in ("type", "source", "causationid", "causationsource", "eventyardhops")} == {
        "type": "a",
        "source": "/shop",
        "causationid": "1",
        "causationsource": EVENT["source"],
        "eventyardhops": 1,
    }
    assert shop.bus.published == []
    assert shop.post(EVENT, ASKED).json() == answer.json()


def test_nothing_is_answered_where_nothing_came_of_it() -> None:
    answer = Shop().post(EVENT, ASKED)
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("returned", [[{"type": "a"}, {"type": "b"}], {"type": "a", "data": "x" * 262_144}])
def test_what_is_no_single_small_event_is_published_as_ever(returned: Any) -> None:
    shop = Shop(returned=returned)
    assert shop.post(EVENT, ASKED).status_code == 204
    assert len(shop.bus.published) == (2 if isinstance(returned, list) else 1)


def test_the_events_of_a_batch_have_no_answer_of_their_own() -> None:
    shop = Shop(returned={"type": "a"})
    headers = ASKED | {"content-type": "application/cloudevents-batch+json"}
    assert shop.post([EVENT], headers).status_code == 200
    assert len(shop.bus.published) == 1


def test_what_is_refused_as_a_loop_fails_no_delivery(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(returned={"type": "a"})
    shop.bus.refuses = problem(422, "too-many-hops")
    assert shop.post(EVENT, STRUCTURED).status_code == 204
    assert "it is in a loop" in caplog.text
