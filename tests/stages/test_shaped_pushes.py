"""Pushes that a rule's transform shapes, from the lease to the verdict."""

import json
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.commands import Publish, Redrive
from eventyard.core.delivery import State, decode_note
from tests.stages.test_dispatch import Pushing
from tests.support.builders import an_event, put_rule

URL = "http://127.0.0.1:9/v1"
TEMPLATE: dict[str, Any] = {
    "paths": {"id": "id", "n": "data.n", "delivery": "@delivery"},
    "body": {"number": "<n>", "rule": "number <n>"},
    "headers": {"idempotency-key": "<delivery>"},
    "path": "/orders/<id>",
    "query": {"n": "<n>"},
}


@pytest.fixture
def house() -> Pushing:
    return Pushing()


def shaped(*, method: str = "PUT", mode: str = "structured", **template: Any) -> Any:
    http = {"url": URL, "mode": mode, "method": method, "headers": {"x-tenant": "acme"}, "transform": {"template": template}}
    return put_rule("crm", target={"http": http})


def note(house: Pushing) -> Any:
    row = house.engine.view.delivery(1, (house.writer.states[1].by_name["crm"].uid, 0, 2))
    assert row is not None
    return decode_note(row.note)


def test_a_target_gets_the_request_that_the_template_makes(house: Pushing) -> None:
    house.do(shaped(**TEMPLATE), Publish((an_event(7),)))
    request = house.answer(201)
    headers = dict(request.headers)
    assert (request.method, request.url, json.loads(request.body)) == (
        "PUT",
        f"{URL}/orders/e7?n=7",
        {"number": 7, "rule": "number 7"},
    )
    assert (headers["content-type"], headers["x-tenant"]) == ("application/json", "acme")
    assert headers["idempotency-key"] == headers["eventyard-delivery"]
    assert len(headers) == len(request.headers)
    assert house.counts("crm")[State.DELIVERED] == 1


def test_an_attempt_after_a_lost_answer_makes_the_same_request(house: Pushing) -> None:
    house.do(shaped(**TEMPLATE), Publish((an_event(7),)))
    first = house.answer(0, failure="the answer broke off")
    house.clock.advance(1_000)
    house.quiet()
    again = house.answer(201)
    assert (first.url, first.body, dict(first.headers)["idempotency-key"]) == (
        again.url,
        again.body,
        dict(again.headers)["idempotency-key"],
    )


@pytest.mark.parametrize(
    ("mode", "content_type"), [("structured", "application/cloudevents+json"), ("binary", "application/json")]
)
def test_without_a_body_the_target_gets_the_event_as_its_mode_says(house: Pushing, mode: str, content_type: str) -> None:
    house.do(shaped(mode=mode, paths={"id": "id"}, path="/<id>"), Publish((an_event(7),)))
    request = house.answer(201)
    assert dict(request.headers)["content-type"] == content_type
    assert json.loads(request.body) in ({"n": 7}, json.loads(an_event(7).json))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_method_that_asks_for_nothing_more_sends_no_body(house: Pushing, method: str) -> None:
    house.do(shaped(method=method, paths={"id": "id"}, path="/<id>"), Publish((an_event(7),)))
    request = house.answer(204)
    assert (request.method, request.url, request.body) == (method, f"{URL}/e7", b"")
    assert "content-type" not in dict(request.headers)


def test_what_a_transform_cannot_shape_is_a_dead_letter_at_once_and_nothing_is_sent(house: Pushing) -> None:
    house.do(shaped(paths={"it": "data.missing"}, path="/<it>"), Publish((an_event(7),)))
    assert not house.transport.sent
    assert house.counts("crm")[State.DEAD] == 1
    told = note(house)
    assert (told.reason, told.status) == ("transform", 0)
    assert told.failure == "the transform failed: path: <it>: found nothing at data.missing"


def test_a_dead_letter_that_is_redriven_meets_the_transform_as_it_is_now(house: Pushing) -> None:
    house.do(shaped(paths={"it": "data.missing"}, path="/<it>"), Publish((an_event(7),)))
    house.do(shaped(paths={"it": "data.n"}, path="/<it>"), Redrive("crm", None))
    assert house.answer(201).url == f"{URL}/7"
    assert house.counts("crm")[State.DEAD] == 0


def test_others_of_the_rule_flow_past_what_cannot_be_shaped(house: Pushing) -> None:
    house.do(
        shaped(paths={"it": "data.id"}, path="/<it>"),
        Publish((an_event(1), an_event(2, data={"id": "x"}))),
    )
    assert house.answer(201).url == f"{URL}/x"
    assert (house.counts("crm")[State.DEAD], house.counts("crm")[State.DELIVERED]) == (1, 1)


def test_a_transform_that_this_version_cannot_use_fails_its_deliveries_and_nothing_else(
    house: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.do(shaped(**TEMPLATE), put_rule("other"))
    monkeypatch.setattr(limits, "TRANSFORM_PATHS_MAX", 1)
    house.do(Publish((an_event(7),)))
    assert house.counts("crm")[State.DEAD] == 1
    house.answer(204)
    assert house.counts("other")[State.DELIVERED] == 1
