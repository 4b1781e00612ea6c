"""Dispatch: what it sends, what it has under way, what it makes of answers."""

import json
import random
from typing import Any

import pytest

from eventyard import explaining
from eventyard.backfill import BackfillStage
from eventyard.core import limits
from eventyard.core.clock import BusTime
from eventyard.core.commands import DeleteRule, Publish, SetPaused
from eventyard.core.delivery import State
from eventyard.core.errors import StorageFull
from eventyard.core.explain.facts import DeliveryTold
from eventyard.dispatch import Dispatch
from eventyard.writer import Writer
from tests.stages.test_writer import FlakyEngine
from tests.support.builders import ManualClock, ScriptedTransport, an_event, put_rule


class Pushing:
    """Writer and dispatch on a memory engine, with a transport that the test answers for."""

    def __init__(self, engine: FlakyEngine | None = None, clock: ManualClock | None = None) -> None:
        self.engine, self.clock, self.transport = engine or FlakyEngine(), clock or ManualClock(), ScriptedTransport()
        self.dispatch = Dispatch(self.transport, self._now, self._wake, random.Random(1))
        self.writer = Writer(self.engine, self.clock, self.dispatch)
        self.writer.open(lambda: "life0")

    def reopened(self) -> "Pushing":
        """Another process on what this one has kept."""
        return Pushing(self.engine, self.clock)

    def backfill(self) -> None:
        """Let rules that read the past read it."""
        stage = BackfillStage(self.engine, self.writer.states, self.writer.submit_own)
        while stage.step():
            self.quiet()

    def _now(self) -> BusTime:
        return self.writer.now()

    def _wake(self) -> None:
        self.writer.wake()

    def do(self, *commands: Any) -> list[Any]:
        answers: list[Any] = []
        for command in commands:
            self.writer.submit("default", command, answers.append)
        self.quiet()
        return answers

    def quiet(self) -> None:
        while self.writer.step():
            pass

    def counts(self, name: str) -> list[int]:
        state = self.writer.states[1]
        return state.queues[state.by_name[name].uid].counts

    def told(self, name: str, position: int) -> DeliveryTold:
        """What explain says of the rule's only delivery of an event."""
        stored = self.engine.view.event(1, position)
        assert stored is not None
        (found,) = explaining.of_rule(self.engine.view, self.writer.states[1], stored, self.writer.now(), name).rules
        (told,) = found.deliveries
        return told

    def answer(self, status: int, **fields: Any) -> Any:
        request = self.transport.answer(status, **fields)
        self.quiet()
        return request


@pytest.fixture
def house() -> Pushing:
    return Pushing()


def test_an_event_is_pushed_as_it_is_stored_with_what_names_the_delivery(house: Pushing) -> None:
    house.do(put_rule("paid"), Publish((an_event(1),)))
    request = house.answer(204)
    assert request.body == house.engine.view.event(1, 2).json  # type: ignore[union-attr]
    headers = dict(request.headers)
    assert headers["content-type"] == "application/cloudevents+json"
    named = {name: headers[f"eventyard-{name}"] for name in ("delivery", "attempt", "position", "bus", "rule")}
    delivery = named.pop("delivery")
    assert delivery.endswith("-1-2-0")
    assert named == {"attempt": "1", "position": "2", "bus": "default", "rule": "paid"}
    assert house.counts("paid")[State.DELIVERED] == 1


def test_a_binary_rule_gets_the_binary_form(house: Pushing) -> None:
    house.do(put_rule("paid", target={"http": {"url": "http://127.0.0.1:9/", "mode": "binary"}}), Publish((an_event(1),)))
    request = house.answer(204)
    headers = dict(request.headers)
    assert (headers["ce-id"], headers["ce-type"], request.body) == ("e1", "order.paid", b'{"n":1}')


def test_a_failure_is_tried_again_under_the_same_delivery_id(house: Pushing) -> None:
    house.do(put_rule("paid"), Publish((an_event(1),)))
    first = house.answer(500)
    assert not house.transport.sent
    house.clock.advance(1_000)
    house.quiet()
    again = house.answer(204)
    assert dict(first.headers)["eventyard-delivery"] == dict(again.headers)["eventyard-delivery"]
    assert dict(again.headers)["eventyard-attempt"] == "2"


def test_no_more_than_the_rules_concurrency_is_under_way(house: Pushing) -> None:
    house.do(put_rule("paid", delivery={"concurrency": 2}), Publish(tuple(an_event(number) for number in range(5))))
    assert len(house.transport.sent) == 2
    house.answer(204)
    assert len(house.transport.sent) == 2
    assert house.counts("paid")[State.DELIVERED] == 1


def test_a_hanging_target_costs_only_its_own_share(house: Pushing) -> None:
    house.do(put_rule("slow", delivery={"concurrency": 2}), put_rule("good"))
    house.do(Publish(tuple(an_event(number) for number in range(8))))
    rules = [dict(request.headers)["eventyard-rule"] for request, _ in house.transport.sent]
    assert (rules.count("slow"), rules.count("good")) == (2, 8)


def test_pushes_under_way_are_bounded_over_all_rules(house: Pushing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUSHES_UNDER_WAY_MAX", 3)
    house.do(put_rule("one"), put_rule("two"), Publish(tuple(an_event(number) for number in range(4))))
    assert len(house.transport.sent) == 3
    while house.transport.sent:
        house.answer(204)
    assert house.counts("one")[State.DELIVERED] == house.counts("two")[State.DELIVERED] == 4


def test_a_changed_concurrency_holds_at_once(house: Pushing) -> None:
    house.do(put_rule("paid", delivery={"concurrency": 1}), Publish(tuple(an_event(number) for number in range(5))))
    house.do(put_rule("paid", delivery={"concurrency": 4}))
    assert len(house.transport.sent) == 4


def test_a_paused_or_deleted_rule_is_given_nothing_more(house: Pushing) -> None:
    house.do(put_rule("paid", delivery={"concurrency": 1}), Publish((an_event(1), an_event(2))))
    house.do(SetPaused("paid", is_paused=True))
    house.answer(204)
    assert not house.transport.sent
    house.do(DeleteRule("paid"))
    house.do(Publish((an_event(3),)))
    assert not house.transport.sent


def test_a_verdict_that_the_disk_refused_is_written_later_and_the_event_not_pushed_again(house: Pushing) -> None:
    house.do(put_rule("paid"), Publish((an_event(1),)))
    house.engine.error = StorageFull("no space")
    house.answer(204)
    assert house.counts("paid")[State.LEASED] == 1
    house.engine.error = None
    assert house.dispatch.step()
    house.quiet()
    assert house.counts("paid")[State.DELIVERED] == 1
    assert not house.transport.sent


def test_a_drained_dispatch_takes_nothing_new_and_still_settles(house: Pushing) -> None:
    house.do(put_rule("paid"), Publish((an_event(1),)))
    house.dispatch.drain()
    house.do(Publish((an_event(2),)))
    assert len(house.transport.sent) == 1
    house.answer(204)
    assert house.dispatch.under_way == 0


def test_an_answer_after_giving_up_counts_no_more(house: Pushing) -> None:
    house.do(put_rule("paid"), Publish((an_event(1),)))
    house.dispatch.abandon()
    house.answer(0, failure="closed")
    assert house.counts("paid")[State.LEASED] == 1


# The answer table of a rule


def test_a_rule_that_says_so_takes_a_404_for_delivered_and_explains_by_which_line(house: Pushing) -> None:
    house.do(put_rule("paid", delivery={"answers": {"4xx": "delivered"}}), Publish((an_event(1),)))
    house.answer(404)
    assert house.counts("paid")[State.DELIVERED] == 1
    told = house.told("paid", 2)
    assert told.why.endswith("at the first attempt; the answer was 404 (by the rule's answers, 4xx: delivered)")
    assert [(one.status, one.line) for one in told.attempts] == [(404, "4xx: delivered")]


def test_a_rule_may_take_a_2xx_for_a_failure(house: Pushing) -> None:
    house.do(put_rule("paid", delivery={"answers": {"202": "dead"}}), Publish((an_event(1),)))
    house.answer(202, body=b"later, perhaps")
    assert house.counts("paid")[State.DEAD] == 1
    assert house.told("paid", 2).why.endswith('the last answer was 202: "later, perhaps" (by the rule\'s answers, 202: dead)')


def test_an_answer_that_pauses_does_so_with_its_status_and_costs_no_attempt(house: Pushing) -> None:
    house.do(put_rule("paid", delivery={"answers": {"503": "pause"}, "max_attempts": 1}), Publish((an_event(1),)))
    house.answer(503)
    assert house.writer.states[1].by_name["paid"].is_paused
    assert b"the target answered 503" in house.engine.view.event(1, 3).json  # type: ignore[union-attr]
    house.do(SetPaused("paid", is_paused=False))
    assert dict(house.answer(204).headers)["eventyard-attempt"] == "1"


def test_attempts_that_one_line_decided_and_another_did_not_are_told_apart(house: Pushing) -> None:
    house.do(put_rule("paid"), Publish((an_event(1),)))
    house.answer(500)
    house.do(put_rule("paid", delivery={"answers": {"500": "retry"}}))
    house.clock.advance(1_000)
    house.quiet()
    house.answer(500)
    assert [(one.status, one.line, one.count) for one in house.told("paid", 2).attempts] == [
        (500, "", 1),
        (500, "500: retry", 1),
    ]


# Replies


def takes_replies(**http: Any) -> Any:
    return put_rule("paid", target={"http": {"url": "http://127.0.0.1:9/", "reply": True, **http}})


def types(house: Pushing) -> list[str]:
    events = house.engine.view.events(1, 1, house.writer.states[1].head, 100)
    return [json.loads(event.json)["type"] for event in events]


ANSWER = {"headers": {"content-type": "application/cloudevents+json"}}
PACKED = b'{"specversion":"1.0","id":"p1","source":"/packing","type":"order.packed"}'


def test_an_answer_with_an_event_is_in_the_log_when_its_delivery_is_settled(house: Pushing) -> None:
    house.do(takes_replies(), Publish((an_event(1),)))
    request = house.answer(200, body=PACKED, **ANSWER)
    headers = dict(request.headers)
    assert (headers["eventyard-reply"], headers["eventyard-hops"]) == ("true", "0")
    assert request.answer_bytes_max == limits.REPLY_BYTES_MAX + 1
    assert types(house) == ["io.eventyard.rule.created", "order.paid", "order.packed"]
    assert house.engine.view.cause_of(1, 3) == 2
    assert house.counts("paid")[State.DELIVERED] == 1


def test_what_comes_of_a_reply_is_told_how_many_hops_lie_behind_it(house: Pushing) -> None:
    house.do(takes_replies(), put_rule("packed", pattern={"type": ["order.packed"]}), Publish((an_event(1),)))
    house.answer(200, body=PACKED, **ANSWER)
    [(request, _)] = house.transport.sent
    assert dict(request.headers)["eventyard-hops"] == "1"


def test_without_reply_in_its_rule_an_answer_is_no_more_than_that(house: Pushing) -> None:
    house.do(put_rule("paid"), Publish((an_event(1),)))
    request = house.answer(200, body=PACKED, **ANSWER)
    assert "eventyard-reply" not in dict(request.headers)
    assert types(house) == ["io.eventyard.rule.created", "order.paid"]


@pytest.mark.parametrize(("status", "body"), [(202, PACKED), (204, b""), (200, b"")])
def test_an_answer_that_is_no_reply_is_a_delivery_and_nothing_else(house: Pushing, status: int, body: bytes) -> None:
    house.do(takes_replies(), Publish((an_event(1),)))
    house.answer(status, body=body, **ANSWER)
    assert types(house) == ["io.eventyard.rule.created", "order.paid"]
    assert house.counts("paid")[State.DELIVERED] == 1


def test_a_reply_that_is_no_event_leaves_its_delivery_delivered(house: Pushing) -> None:
    house.do(takes_replies(), Publish((an_event(1),)))
    house.answer(200, body=b"thanks", headers={"content-type": "text/plain"})
    assert types(house)[-1] == "io.eventyard.reply.refused"
    assert house.counts("paid")[State.DELIVERED] == 1


def test_a_verdict_with_its_reply_that_the_disk_refused_is_written_later_and_once(house: Pushing) -> None:
    house.do(takes_replies(), Publish((an_event(1),)))
    house.engine.error = StorageFull("found no room")
    house.answer(200, body=PACKED, **ANSWER)
    assert "order.packed" not in types(house)
    house.engine.error = None
    assert house.dispatch.step()
    house.quiet()
    assert types(house).count("order.packed") == 1
    assert house.counts("paid")[State.DELIVERED] == 1


def test_verdicts_with_more_replies_than_a_step_bears_are_taken_in_parts(house: Pushing) -> None:
    house.do(put_rule("paid", **TAKES_MANY), Publish(tuple(an_event(number) for number in range(40))))
    large = PACKED[:-1] + b',"data":"' + b"x" * (limits.REPLY_BYTES_MAX - 200) + b'"}'
    for number in range(40):
        house.transport.answer(200, body=large.replace(b'"p1"', b'"p%d"' % number), **ANSWER)
    first = [len(command.settlements) for _, command, _ in house.dispatch.collect()]
    assert first == [17]
    house.quiet()
    assert house.dispatch.verdicts == 0


TAKES_MANY: dict[str, Any] = {
    "target": {"http": {"url": "http://127.0.0.1:9/", "reply": True}},
    "delivery": {"concurrency": 100},
}
