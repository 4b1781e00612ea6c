"""The client without a server: what it sends, and what it makes of answers, through both shells."""

import asyncio
import datetime
import inspect
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from eventyard.client import AsyncClient, Client, Patience, ProblemError, Unreachable, Verdict, new_event
from eventyard.client.methods import Methods

PARTS = (
    *("answers", "backtesting", "buffering", "building", "call", "causes", "consuming", "databases", "dead_letters", "errors"),
    *("event", "explaining", "following", "inbox", "keys", "messages", "methods", "outbox", "patience", "protocol"),
    *(
        "publishers",
        "pulling",
        "received",
        "receiver",
        "rehearsing",
        "relaying",
        "requests",
        "runs",
        "service",
        "shells",
        "signatures",
    ),
    *("detectors", "expectations", "schedules", "storytelling", "tables", "waiting_rows", "working"),
)
AT_ONCE = Patience(attempts_max=3, first_s=0.0)
PUBLISHED = {"id": "1", "source": "/shop", "position": 7, "duplicate": False}
PROBLEM = {
    "type": "urn:eventyard:problem:invalid-rule",
    "title": "The rule cannot be used",
    "status": 400,
    "detail": "at /target: found 1; wanted an object",
    "found": "1",
    "wanted": "an object",
    "at": "/target",
}

Answer = httpx.Response | Exception


class Wire:
    """A server of prepared answers, the last one again and again. `requests` is what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        # A response belongs to one request; the next attempt gets its own.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


def ok(document: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=document)


def refused(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=PROBLEM | {"status": status}, headers=headers)


def synchronously(wire: Wire, ask: Callable[[Any], Any]) -> Any:
    with Client(transport=httpx.MockTransport(wire), patience=AT_ONCE, rng=random.Random(0)) as client:
        answer = ask(client)
        return list(answer) if isinstance(answer, Iterator) else answer


def asynchronously(wire: Wire, ask: Callable[[Any], Any]) -> Any:
    async def run() -> Any:
        async with AsyncClient(transport=httpx.MockTransport(wire), patience=AT_ONCE, rng=random.Random(0)) as client:
            answer = ask(client)
            return [item async for item in answer] if hasattr(answer, "__anext__") else await answer

    return asyncio.run(run())


Shell = Callable[[Wire, Callable[[Any], Any]], Any]
both_shells = pytest.mark.parametrize("through", [synchronously, asynchronously])


@both_shells
def test_an_event_is_sent_in_structured_form_with_an_id_of_its_own(through: Shell) -> None:
    wire = Wire(ok(PUBLISHED, 202))
    published = through(wire, lambda client: client.publish(type="order.paid", source="/shop", data={"total": 25}))
    [request], [body] = wire.requests, wire.bodies
    assert (published.position, published.duplicate) == (7, False)
    assert request.url.path == "/v1/buses/default/events"
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert body == {"specversion": "1.0", "id": body["id"], "type": "order.paid", "source": "/shop", "data": {"total": 25}}
    assert len(body["id"]) == 36


@both_shells
@pytest.mark.parametrize("trouble", [refused(503), refused(429), httpx.ConnectError("refused"), httpx.ReadTimeout("late")])
def test_a_retry_sends_the_same_id_again(through: Shell, trouble: Answer) -> None:
    wire = Wire(trouble, ok(PUBLISHED, 202))
    through(wire, lambda client: client.publish(type="order.paid", source="/shop"))
    first, second = wire.bodies
    assert first == second


@both_shells
def test_patience_ends_with_the_last_outcome(through: Shell) -> None:
    wire = Wire(refused(503))
    with pytest.raises(ProblemError) as caught:
        through(wire, lambda client: client.rule("rewards"))
    assert (caught.value.status, len(wire.requests)) == (503, 3)


@both_shells
def test_no_connection_is_unreachable_and_names_the_address(through: Shell) -> None:
    with pytest.raises(Unreachable, match=r"no answer from http://127\.0\.0\.1:8410: refused"):
        through(Wire(httpx.ConnectError("refused")), lambda client: client.rule("rewards"))


@both_shells
def test_a_refusal_carries_the_problems_members_and_is_not_repeated(through: Shell) -> None:
    wire = Wire(refused(400))
    with pytest.raises(ProblemError, match="at /target: found 1; wanted an object") as caught:
        through(wire, lambda client: client.put_rule("rewards", {"target": 1}))
    error = caught.value
    assert (error.code, error.status, error.at, error.found, error.wanted) == ("invalid-rule", 400, "/target", "1", "an object")
    assert len(wire.requests) == 1


@both_shells
def test_a_wait_longer_than_patience_is_left_to_the_caller(through: Shell) -> None:
    wire = Wire(refused(503, **{"Retry-After": "3600"}))
    with pytest.raises(ProblemError) as caught:
        through(wire, lambda client: client.rule("rewards"))
    assert (caught.value.retry_after_s, len(wire.requests)) == (3600.0, 1)


@both_shells
def test_a_list_is_walked_page_by_page_past_an_empty_one(through: Shell) -> None:
    stored = [{"position": position, "accepted": "2026-01-01T00:00:00Z", "event": {"id": str(position)}} for position in (1, 9)]
    pages = [{"events": stored[:1], "next": "1"}, {"events": [], "next": "6"}, {"events": stored[1:], "next": None}]
    wire = Wire(*map(ok, pages))
    events = through(wire, lambda client: client.events(after=0, pattern={"type": ["a b"]}, order="asc"))
    assert [event.position for event in events] == [1, 9]
    assert [request.url.params["after"] for request in wire.requests] == ["0", "1", "6"]
    assert {request.url.params["pattern"] for request in wire.requests} == {'{"type":["a b"]}'}


@both_shells
def test_a_limit_ends_the_walk_and_bounds_the_page(through: Shell) -> None:
    stored = {"position": 1, "accepted": "", "event": {}}
    wire = Wire(ok({"events": [stored] * 2, "next": "2"}), ok({"events": [stored], "next": "3"}))
    assert len(through(wire, lambda client: client.events(limit=3))) == 3
    assert [request.url.params["limit"] for request in wire.requests] == ["3", "1"]


@both_shells
def test_many_events_go_in_batches_and_each_has_its_verdict_in_order(through: Shell) -> None:
    wire = Wire(ok({"events": [PUBLISHED] * 1000}, 202), ok({"events": [{"error": PROBLEM}]}, 400))
    verdicts = through(wire, lambda client: client.publish_many({"type": "a", "source": "/b"} for _ in range(1001)))
    assert [len(body) for body in wire.bodies] == [1000, 1]
    assert [verdict.is_accepted for verdict in verdicts] == [True] * 1000 + [False]


@both_shells
def test_a_refusal_in_a_batch_points_into_its_own_event(through: Shell) -> None:
    error = PROBLEM | {"at": "/1/time", "detail": "at /1/time: found 1"}
    wire = Wire(ok({"events": [PUBLISHED, {"error": error}]}, 202))
    _, verdict = through(wire, lambda client: client.publish_batch([b"{}", b"{}"]))
    assert (verdict.error.at, verdict.error.detail) == ("/time", "at /time: found 1")


def test_batches_are_cut_by_bytes_and_a_giant_has_a_verdict_of_its_own() -> None:
    giant = new_event(type="a", source="/b", data="x" * 5_000_000)
    wire = Wire(ok({"events": [PUBLISHED]}, 202), refused(413), ok({"events": [PUBLISHED]}, 202))
    small = {"type": "a", "source": "/b"}
    verdicts = synchronously(wire, lambda client: client.publish_many([small, giant, small]))
    assert [len(body) for body in wire.bodies] == [1, 1, 1]
    assert [verdict.is_accepted for verdict in verdicts] == [True, False, True]


def test_nothing_is_published_before_a_verdict_is_asked_for() -> None:
    wire = Wire(ok({"events": [PUBLISHED]}, 202))
    with Client(transport=httpx.MockTransport(wire)) as client:
        verdicts = client.publish_many([{"type": "a", "source": "/b"}])
        assert not wire.requests
        assert next(verdicts) == Verdict(id="1", source="/shop", position=7)


def test_an_events_text_is_kept_as_it_was_spelt() -> None:
    wire = Wire(httpx.Response(200, content=b'{"position": 1, "accepted": "", "event": {"data": 1.10}}'))
    stored = synchronously(wire, lambda client: client.event(1))
    assert stored.json == b'{"data": 1.10}'
    assert stored.event == {"data": 1.1}


def test_text_is_sent_as_it_stands_and_bytes_as_base64() -> None:
    wire = Wire(ok(PUBLISHED, 202))
    synchronously(wire, lambda client: client.publish(b'{"data": 1.10}'))
    synchronously(wire, lambda client: client.publish(type="a", source="/b", data=b"\x00\xff"))
    assert wire.requests[0].content == b'{"data": 1.10}'
    assert wire.bodies[1]["data_base64"] == "AP8="


def test_what_json_cannot_say_is_refused_here() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Client.publish(type="a", source="/b", data=float("nan"))


def test_an_event_and_attributes_beside_it_are_refused() -> None:
    with pytest.raises(TypeError, match="one or the other"):
        Client.publish({"type": "a", "source": "/b"}, subject="c")


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - the point
    with pytest.raises(ValueError, match="without a zone"):
        Client.events(from_=naive)


def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    assert Client.rule("../../x y", bus="a/b").request.path == "/v1/buses/a%2Fb/rules/..%2F..%2Fx%20y"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b'{"position": "x"}', b"\xff"])
@pytest.mark.parametrize("status", [200, 502])
def test_an_answer_that_is_not_eventyards_is_a_problem_that_says_so(status: int, body: bytes) -> None:
    with pytest.raises(ProblemError) as caught:
        synchronously(Wire(httpx.Response(status, content=body)), lambda client: client.event(1))
    assert caught.value.status == status


@both_shells
def test_a_server_that_is_not_ready_is_an_answer(through: Shell) -> None:
    assert through(Wire(ok({"ready": False, "waiting_for": ["store"]}, 503)), lambda client: client.ready()) is False
    assert through(Wire(ok({"ready": True, "waiting_for": []})), lambda client: client.ready()) is True


@pytest.mark.parametrize("url", ["localhost:8410", "ftp://x", "http://", ""])
def test_an_address_that_is_no_http_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="wanted one like http://"):
        Client(url)


def test_both_clients_have_the_same_methods_with_their_arguments_and_words() -> None:
    names = [name for name in vars(Methods) if not name.startswith("_")]
    assert len(names) > 15
    client, asynchronous = Client(), AsyncClient()
    for name in names:
        assert inspect.signature(getattr(client, name)) == inspect.signature(getattr(asynchronous, name))
        assert getattr(client, name).__name__ == name


def test_the_client_loads_nothing_else_of_eventyard_and_no_server() -> None:
    code = "import eventyard.client, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if name.startswith("eventyard.")} == {
        "eventyard.client",
        *(f"eventyard.client.{part}" for part in PARTS),
    }
    assert not {"apsw", "psycopg", "pycurl", "sqlalchemy", "sqlite3", "starlette", "typer", "uvicorn", "uvloop"} & set(loaded)
