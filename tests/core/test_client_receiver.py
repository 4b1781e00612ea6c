"""A service's ASGI receiver, without a server: which requests it takes, what it answers to each, and what the handler gets."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.client import CloudEvent, ProblemError, Receiver, Reject, Retry, Service
from eventyard.client.requests import BODY_BYTES_MAX
from tests.support.services import BATCHED, EVENT, SECRET, STATE, STRUCTURED, Bus, Shop, binary, problem, sent

# Modes


def test_a_structured_event_reaches_the_handler_and_is_answered_204() -> None:
    shop = Shop()
    more = {"eventyard-delivery": "a-1-2-0", "eventyard-attempt": "3", "eventyard-position": "2"}
    answer = shop.post(EVENT | {"region": "eu", "time": "2026-01-31T08:00:00Z"}, STRUCTURED | more)
    assert (answer.status_code, answer.content) == (204, b"")
    [event] = shop.got
    assert (event.id, event.source, event.type, event.subject, event.time) == (
        "1",
        "/shop",
        "order.paid",
        "order-1",
        "2026-01-31T08:00:00Z",
    )
    assert (event.data, event.extensions) == ({"total": 25}, {"region": "eu"})
    assert (event.delivery, event.attempt, event.position, event.rule) == ("a-1-2-0", 3, 2, "shop-take")
    assert json.loads(event.json)["region"] == "eu"


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json", b'{"total": 1.10}', {"total": 1.1}),
        ("application/vnd.shop+json; charset=utf-8", b"[1]", [1]),
        ("", b'{"a": 1}', {"a": 1}),
        ("text/plain", "žluť".encode(), "žluť"),
        ("text/plain", b"\xff\xfe", b"\xff\xfe"),
        ("image/png", b"\x00\xff", b"\x00\xff"),
        ("application/json", b"", None),
    ],
)
def test_a_binary_event_reaches_the_handler_with_its_data(content_type: str, body: bytes, data: Any) -> None:
    shop = Shop()
    headers = binary(subject="%C5%BE 100%25 %22x%22", region="eu") | ({"content-type": content_type} if content_type else {})
    assert shop.post(body, headers).status_code == 204
    [event] = shop.got
    assert (event.id, event.subject, event.extensions, event.datacontenttype) == (
        "1",
        'ž 100% "x"',
        {"region": "eu"},
        content_type,
    )
    assert event.data == data
    assert msgspec.json.decode(event.json)["specversion"] == "1.0"


def test_a_batch_is_answered_event_by_event_and_its_status_is_the_worst() -> None:
    shop = Shop()
    events = [EVENT | {"id": str(number)} for number in range(3)]
    answer = shop.post(events, BATCHED)
    assert answer.status_code == 200
    assert answer.json()["events"] == [{"id": str(number), "source": "/shop", "status": 204} for number in range(3)]
    assert [event.id for event in shop.got] == ["0", "1", "2"]


def test_of_a_batch_only_what_failed_is_said_to_have_failed() -> None:
    shop = Shop()
    failures = {"1": Reject("no"), "2": Retry(5), "3": ValueError("later"), "4": Retry(7.2)}
    service = Service("shop")

    @service.on("order.paid")
    def take(event: CloudEvent[Any]) -> None:
        if event.id in failures:
            raise failures[event.id]

    answer = shop.post([EVENT | {"id": str(number)} for number in range(5)], BATCHED, receiver=service.receiver())
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "8"
    assert [each["status"] for each in answer.json()["events"]] == [204, 422, 503, 500, 503]
    assert answer.json()["events"][3]["error"] == "ValueError: later"
    one_bad = shop.post([EVENT, {"specversion": "1.0"}, 5], BATCHED, receiver=service.receiver())
    assert one_bad.status_code == 422
    assert [each["status"] for each in one_bad.json()["events"]][1:] == [422, 422]


def test_an_empty_batch_is_done() -> None:
    assert Shop().post([], BATCHED).json() == {"events": []}


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"{}", {"content-type": "application/json"}, 415, "no header ce-specversion"),
        (b"{}", {}, 415, "no header ce-specversion"),
        (b"{", STRUCTURED, 422, "no event in JSON"),
        (b"[]", STRUCTURED, 422, "no event in JSON"),
        (b"\xff", STRUCTURED, 422, "no event in JSON"),
        (b"{}", STRUCTURED, 422, "specversion"),
        (b'{"specversion": "0.3"}', STRUCTURED, 422, "specversion"),
        (b'{"specversion": "1.0", "id": "1", "type": "a"}', STRUCTURED, 422, "without an id, a source and a type"),
        (b'{"specversion": "1.0", "id": 1, "type": "a", "source": "a"}', STRUCTURED, 422, "no text as the event's id"),
        (b'{"specversion": "1.0", "id": "1", "type": "a", "source": "a", "data_base64": "%"}', STRUCTURED, 422, "no base64"),
        (b'{"specversion": "1.0", "id": "1", "type": "a", "source": "a", "data_base64": 5}', STRUCTURED, 422, "no base64"),
        (b"{}", BATCHED, 400, "no JSON array"),
        (b"[", BATCHED, 400, "no JSON array"),
        (b"{", binary() | {"content-type": "application/json"}, 400, "a body that is not the application/json"),
        (b"", binary(subject="%ff"), 400, "ce-subject that is no percent-encoded UTF-8"),
        (b"", binary(data="x"), 400, "ce-data"),
        (b"", binary(data_base64="x"), 400, "ce-data_base64"),
        (b"", [*binary().items(), ("CE-Id", "2")], 400, "ce-id twice"),
        (b"", binary(id=""), 422, "without an id"),
        (b"", binary(specversion="2"), 422, "specversion"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(body: bytes, headers: Any, status: int, said: str) -> None:
    shop = Shop()
    answer = shop.post(body, headers)
    assert (answer.status_code, shop.got) == (status, [])
    assert said in answer.json()["error"]


@given(st.binary(max_size=60), st.sampled_from([STRUCTURED, BATCHED, binary(), binary() | {"content-type": "text/x"}]))
def test_no_body_makes_it_fail(body: bytes, headers: dict[str, str]) -> None:
    assert Shop().post(body, headers).status_code in (200, 204, 400, 422)


@pytest.mark.parametrize(("size", "status"), [(BODY_BYTES_MAX, 422), (BODY_BYTES_MAX + 1, 413)])
def test_a_body_is_read_up_to_a_bound(size: int, status: int) -> None:
    assert Shop().post(b" " * size, STRUCTURED).status_code == status


def test_who_is_not_there_or_cannot_be_asked_so() -> None:
    shop = Shop()
    assert shop.post(EVENT, STRUCTURED, path="/events/other").status_code == 404
    assert shop.post(EVENT, STRUCTURED, path="/shop-take/").status_code == 404
    got = sent(shop.service.receiver(), b"", {}, "/shop-take", method="GET")
    assert (got.status_code, got.headers["allow"]) == (405, "OPTIONS, POST")


def asked(receiver: Receiver, path: str = "/shop-take", **fields: str) -> httpx.Response:
    """Whether it may be pushed to, as CloudEvents' web hooks ask."""
    return sent(receiver, b"", {f"webhook-request-{name}": value for name, value in fields.items()}, path, method="OPTIONS")


def test_who_asks_whether_it_may_push_is_told_by_headers() -> None:
    got = asked(Shop().service.receiver(), origin="Emitter.example.com", rate="120")
    assert got.status_code == 200
    assert got.headers["webhook-allowed-origin"] == "Emitter.example.com"
    assert got.headers["webhook-allowed-rate"] == "*"


def test_only_named_origins_are_allowed_where_any_are_named() -> None:
    receiver = Shop().service.receiver(origins=["bus.example", "Other.example"])
    allowed = {
        name: "webhook-allowed-origin" in asked(receiver, origin=name).headers for name in ("bus.example", "OTHER.example", "x")
    }
    assert allowed == {"bus.example": True, "OTHER.example": True, "x": False}
    assert asked(receiver, origin="x").status_code == 403


def test_nobody_is_allowed_who_does_not_ask_or_asks_where_nothing_is() -> None:
    receiver = Shop().service.receiver()
    assert asked(receiver).headers["allow"] == "OPTIONS, POST"
    assert "webhook-allowed-origin" not in asked(receiver).headers
    assert asked(receiver, "/events/other", origin="bus.example").status_code == 404


def test_a_connection_of_another_kind_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="websocket"):
        asyncio.run(Shop().service.receiver()({"type": "websocket"}, None, None))  # type: ignore[arg-type]


# Signatures


def signed(body: bytes, headers: dict[str, str], when: float) -> dict[str, str]:
    stamp = str(int(when))
    lines = sorted(f"{name}:{value}" for name, value in headers.items() if name.startswith("ce-") or name == "content-type")

    def made(content: bytes) -> str:
        return "v1," + base64.b64encode(hmac.new(b"s" * 32, content, hashlib.sha256).digest()).decode()

    return headers | {
        "webhook-id": "a-1-2-0",
        "webhook-timestamp": stamp,
        "webhook-signature": made(f"a-1-2-0.{stamp}.".encode() + body),
        "eventyard-attributes-signature": made(
            "\n".join(["eventyard-attributes-signature", "a-1-2-0", stamp, *lines]).encode()
        ),
    }


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps(EVENT).encode(), STRUCTURED),
        (json.dumps([EVENT]).encode(), BATCHED),
        (b"{}", binary() | {"content-type": "application/json"}),
    ],
)
def test_with_secrets_only_what_is_signed_is_taken(body: bytes, headers: dict[str, str]) -> None:
    shop = Shop()
    receiver = shop.service.receiver(secrets=[SECRET])
    genuine = signed(body, headers, time.time())
    unsigned = [
        headers,
        genuine | {"webhook-id": "a-1-3-0"},
        genuine | {"webhook-signature": "v1,AAAA"},
        signed(body, headers, time.time() - 1_000),
    ]
    for each in unsigned:
        answer = shop.post(body, each, receiver=receiver)
        assert (answer.status_code, shop.got) == (401, [])
    assert shop.post(body + b" ", genuine, receiver=receiver).status_code == 401
    assert shop.post(body, genuine | {"eventyard-delivery": "forged"}, receiver=receiver).status_code < 300
    assert shop.got[0].delivery in ("a-1-2-0", "")


def test_signed_attributes_cannot_be_changed() -> None:
    shop = Shop()
    genuine = signed(b"", binary(), time.time())
    for change in ({"ce-type": "order.refunded"}, {"ce-more": "x"}, {"content-type": "text/plain"}):
        assert shop.post(b"", genuine | change, receiver=shop.service.receiver(secrets=SECRET)).status_code == 401
    assert shop.got == []


def test_a_secret_that_can_be_none_ends_the_start() -> None:
    with pytest.raises(ValueError, match="whsec_"):
        Shop().service.receiver(secrets="hidden")


# Starting and stopping


async def lived(receiver: Receiver) -> list[Any]:
    told: list[Any] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        await asyncio.sleep(0)
        return next(messages)

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        told.append(message)

    await receiver({"type": "lifespan"}, receive, send)
    return told


def test_a_start_puts_the_rules() -> None:
    shop = Shop(owner="team-shop")
    told = asyncio.run(lived(shop.service.receiver("http://shop:9005/events/", timeout_s=5)))
    assert [each["type"] for each in told] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert shop.bus.rules["shop-take"] == {
        "name": "shop-take",
        "target": {"http": {"url": "http://shop:9005/events/shop-take", "timeout_s": 5}},
        "owner": "team-shop",
        "pattern": {"type": ["order.paid"]},
        "description": "",
        "delivery": {"concurrency": 1},
    }


def test_a_rule_of_another_owner_is_not_touched_and_ends_the_start() -> None:
    rule = {"name": "shop-take", "pattern": {}, "target": {"queue": {}}, "owner": "team-else"} | STATE
    shop = Shop(bus=Bus(rule))
    [failed] = asyncio.run(lived(shop.service.receiver("http://shop:9005/")))
    assert failed["type"] == "lifespan.startup.failed"
    assert "with the owner team-else; wanted shop" in failed["message"]
    assert shop.bus.rules["shop-take"]["owner"] == "team-else"


def test_a_pattern_is_put_as_it_was_spelt() -> None:
    service = Service("shop")

    @service.on(
        '{"data": {"total": [{"numeric": [">=", 1.10]}]}}', name="large", start="earliest", delivery={"max_attempts": 3}
    )
    def take(_event: CloudEvent[Any]) -> None:
        """Large orders.

        The second line is no description.
        """

    document = service.document(service.handlers["large"])
    assert bytes(document.pop("pattern")) == b'{"data": {"total": [{"numeric": [">=", 1.10]}]}}'
    assert document == {
        "target": {"queue": {"lease_s": 30.0}},
        "owner": "shop",
        "description": "Large orders.",
        "start": "earliest",
        "delivery": {"max_attempts": 3},
    }


def test_a_service_without_a_handler_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="without a handler"):
        asyncio.run(Service("shop").work())


def test_what_the_bus_refuses_ends_the_work() -> None:
    class Refusing(Bus):
        def __call__(self, _request: httpx.Request) -> httpx.Response:
            return problem(401, "unauthorized")

    with pytest.raises(ProblemError):
        asyncio.run(Shop(bus=Refusing()).service.work())
