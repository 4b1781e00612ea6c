"""A service's ASGI receiver, without a server: which requests it takes, what it answers to each, and what the handler gets."""

import asyncio
import base64
import dataclasses
import hashlib
import hmac
import json
import threading
import time
from typing import Any, TypedDict

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.client import AsyncClient, CloudEvent, ProblemError, Receiver, Reject, Retry, Service
from eventyard.client.requests import BODY_BYTES_MAX

STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}
EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid", "subject": "order-1", "data": {"total": 25}}
SECRET = f"whsec_{base64.b64encode(b's' * 32).decode()}"


class Bus:
    """Takes what is published and put; `refuses` is answered to the next publish."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        self.published: list[Any] = []
        self.rules = {rule["name"]: rule for rule in rules}
        self.refuses: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        if request.method == "GET":
            return httpx.Response(200, json=self.rules[name]) if name in self.rules else problem(404, "not-found")
        document = json.loads(request.content)
        if request.method == "PUT":
            self.rules[name] = document | {"name": name}
            return httpx.Response(200, json=self.rules[name] | STATE)
        if self.refuses is not None:
            refused, self.refuses = self.refuses, None
            return refused
        self.published.append(document)
        return httpx.Response(202, json={"id": document["id"], "source": document["source"], "position": 7, "duplicate": False})


def problem(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"type": f"urn:eventyard:problem:{code}", "title": code, "status": status})


STATE = {"state": {"uid": 1, "version": 1, "status": "live", "paused": False, "created": "", "changed": ""}}


class Shop:
    """A service that keeps what it gets, and fails as it is told."""

    def __init__(
        self, *, bus: Bus | None = None, failure: BaseException | None = None, returned: Any = None, **options: Any
    ) -> None:
        self.bus = bus or Bus()
        self.got: list[CloudEvent[Any]] = []
        self.failure = failure
        client = AsyncClient(transport=httpx.MockTransport(self.bus))
        self.service = Service("shop", client=client, **options)

        @self.service.on("order.paid")
        def take(event: CloudEvent[Any]) -> Any:
            self.got.append(event)
            if self.failure is not None:
                raise self.failure
            return returned

    def post(
        self, content: Any, headers: Any, *, path: str = "/events/shop-take", receiver: Receiver | None = None
    ) -> httpx.Response:
        return sent(receiver or self.service.receiver(), content, headers, path)


def sent(receiver: Receiver, content: Any, headers: Any, path: str, method: str = "POST") -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(receiver)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await client.request(method, path, content=body, headers=headers)

    return asyncio.run(run())


def binary(**attributes: str) -> dict[str, str]:
    return {
        f"ce-{name}": value
        for name, value in ({"specversion": "1.0", "id": "1", "source": "/shop", "type": "a"} | attributes).items()
    }


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
