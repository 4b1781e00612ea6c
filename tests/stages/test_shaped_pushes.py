"""Pushes that a rule's transform shapes, from the lease to the verdict."""

import json
import random
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.commands import Publish, Redrive
from eventyard.core.delivery import State, decode_note
from eventyard.core.transform import Jsonata, TransformFailed
from eventyard.core.transform.jsonata import Program
from eventyard.dispatch import Dispatch
from eventyard.ports import ExpressionFailed, Outcome, PutOff, Values
from eventyard.writer import Writer
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


# JSONata: the test evaluates


class ByHand:
    """`ports.Expressions`: keeps what it is asked, and the test says what comes of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def evaluate(self, who: Any, expressions: Any, event: bytes, facts: Any, done: Any) -> None:
        self.asked.append((who, expressions, event, facts, done))

    def tell(self, outcome: Outcome) -> None:
        self.asked.pop(0)[-1](outcome)

    def close(self) -> None:
        """Nothing runs by itself."""


class Evaluating(Pushing):
    def __init__(self) -> None:
        super().__init__()
        self.expressions = ByHand()
        self.dispatch = Dispatch(self.transport, self._now, self._wake, random.Random(1), expressions=self.expressions)
        self.writer = Writer(self.engine, self.clock, self.dispatch)
        self.writer.open(lambda: "life0")

    def tell(self, outcome: Outcome) -> None:
        self.expressions.tell(outcome)
        self.quiet()


@pytest.fixture
def evaluating() -> Evaluating:
    return Evaluating()


JSONATA: dict[str, Any] = {
    "body": '{"n": data.n}',
    "path": '["orders", id]',
    "headers": {"idempotency-key": "$delivery"},
    "query": {"n": "data.n", "tag": "data.tags", "no": "data.none"},
}


def by_jsonata(**jsonata: Any) -> Any:
    return put_rule("crm", target={"http": {"url": URL, "method": "PUT", "transform": {"jsonata": jsonata}}})


def test_expressions_are_evaluated_elsewhere_and_the_request_made_of_their_values(evaluating: Evaluating) -> None:
    evaluating.do(by_jsonata(**JSONATA), Publish((an_event(7),)))
    assert not evaluating.transport.sent
    ((who, expressions, event, facts, _),) = evaluating.expressions.asked
    assert (who, event, facts["attempt"]) == ((1, 1), an_event(7).json, b"1")
    assert expressions == ('{"n": data.n}', '["orders", id]', "$delivery", "data.n", "data.tags", "data.none")
    evaluating.tell(Values((b'{"n":7}', b'["orders","a/b"]', b'"d-1"', b"7", b'["x","y"]', None)))
    request = evaluating.answer(201)
    assert (request.method, request.url, request.body) == ("PUT", f"{URL}/orders/a%2Fb?n=7&tag=x&tag=y", b'{"n":7}')
    assert dict(request.headers)["idempotency-key"] == "d-1"
    assert evaluating.counts("crm")[State.DELIVERED] == 1


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (ExpressionFailed("it loops", 1, 4), "path: it loops (at character 4)"),
        (ExpressionFailed("it took too long"), "jsonata: it took too long"),
        (Values((None, b'"a"', b'"d"', None, None, None)), "body: found nothing; wanted a body"),
        (Values((b"{}", b'["a",".."]', b'"d"', None, None, None)), "path: found . or .. for a segment"),
        (Values((b"{}", None, b'"d"', None, None, None)), "path: found nothing"),
        (Values((b"{}", b'[["a"]]', b'"d"', None, None, None)), "path: found an array"),
        (Values((b"{}", b'"a"', b'"d\\r\\nhost: x"', None, None, None)), "headers/idempotency-key: found what no header"),
        (Values((b"{}", b'"a"', b'["d","e"]', None, None, None)), "headers/idempotency-key: found an array"),
        (Values((b"{}", b'"a"', b'"d"', b'{"a":1}', None, None)), "query/n: found an object"),
    ],
)
def test_what_expressions_cannot_make_is_a_dead_letter_at_once(evaluating: Evaluating, outcome: Outcome, told: str) -> None:
    evaluating.do(by_jsonata(**JSONATA), Publish((an_event(7),)))
    evaluating.tell(outcome)
    assert not evaluating.transport.sent
    assert evaluating.counts("crm")[State.DEAD] == 1
    assert told in note(evaluating).failure
    assert note(evaluating).reason == "transform"


def test_what_was_not_evaluated_is_leased_again_and_no_attempt_is_counted(evaluating: Evaluating) -> None:
    evaluating.do(by_jsonata(**JSONATA), Publish((an_event(7),)))
    evaluating.tell(PutOff())
    assert not evaluating.expressions.asked
    evaluating.clock.advance(limits.EXPRESSION_PUT_OFF_MS)
    evaluating.quiet()
    ((_, _, _, facts, _),) = evaluating.expressions.asked
    assert facts["attempt"] == b"1"


def test_one_that_is_evaluated_holds_nobody_elses_push(evaluating: Evaluating) -> None:
    evaluating.do(by_jsonata(**JSONATA), put_rule("other"), Publish((an_event(7),)))
    evaluating.answer(204)
    assert evaluating.counts("other")[State.DELIVERED] == 1
    assert evaluating.counts("crm")[State.LEASED] == 1


def test_what_is_evaluated_after_the_end_is_neither_sent_nor_settled(evaluating: Evaluating) -> None:
    evaluating.do(by_jsonata(**JSONATA), Publish((an_event(7),)))
    evaluating.dispatch.abandon()
    evaluating.tell(PutOff())
    assert evaluating.counts("crm")[State.LEASED] == 1


def test_without_an_evaluator_such_a_delivery_is_a_dead_letter(house: Pushing) -> None:
    house.do(by_jsonata(**JSONATA), Publish((an_event(7),)))
    assert "no evaluator" in note(house).failure


def test_a_form_and_a_text_come_of_expressions() -> None:
    form = Program(Jsonata(body="x", content_type="application/x-www-form-urlencoded"), own={}, at="")
    assert form.shape((b'{"a":"b c","d":[1,2],"e":null}',)).body == b"a=b+c&d=1&d=2"
    text = Program(Jsonata(body="x", content_type="text/plain"), own={}, at="")
    assert text.shape(('"é"'.encode(),)).body == "é".encode()
    with pytest.raises(TransformFailed, match="body: found an object"):
        text.shape((b"{}",))
