"""The bus of `eventyard.testing`: what a team's test does with it, and what it is told when something is missing."""

import datetime
import re
from pathlib import Path

import pytest

from eventyard.client import ProblemError, Reject, Retry
from eventyard.testing import Bus, Request, WrongPlace
from tests.support.kit import START, URL, publishing, rule

# Pushing


def test_nobody_has_an_event_before_the_bus_is_settled() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        rewards = bus.receiver(URL)
        bus.publish(type="order.paid", source="/orders", data={"total": 25})
        assert rewards.requests == []
        bus.settle()
        assert [event["data"] for event in rewards.events] == [{"total": 25}]


def test_a_request_is_read_in_every_mode() -> None:
    with Bus() as bus:
        for mode in ("structured", "binary"):
            bus.put_rule(mode, {**rule(), "target": {"http": {"url": URL, "mode": mode}}})
        rewards = bus.receiver(URL)
        bus.publish(type="order.paid", id="o-1", source="/orders", subject="order ü", data={"total": 25})
        bus.settle()
        assert {request.rule for request in rewards.requests} == {"structured", "binary"}
        assert [request.event["subject"] for request in rewards.requests] == ["order ü"] * 2
        assert [request.event["data"] for request in rewards.requests] == [{"total": 25}] * 2
        assert [(request.attempt, request.position) for request in rewards.requests] == [(1, 3)] * 2


def test_a_handler_publishes_to_the_same_bus_while_it_handles() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        bus.put_rule("letters", rule("points.granted", "http://letters/events"))

        def grant(request: Request) -> None:
            bus.publish(type="points.granted", source="/rewards", data={"points": request.event["data"]["total"]})

        bus.receiver("http://rewards", grant)
        letters = bus.receiver("http://letters")
        bus.publish(type="order.paid", data={"total": 25})
        bus.settle()
        assert letters.events[0]["data"] == {"points": 25}
        bus.assert_all_delivered()


def test_an_event_that_a_handler_returns_is_its_reply() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", {**rule(), "target": {"http": {"url": URL, "reply": True}}})
        bus.receiver(URL, lambda request: {"type": "points.granted", "source": "/rewards", "data": request.event["data"]})
        bus.publish(type="order.paid", id="o-1", data=25)
        bus.settle()
        (granted,) = bus.assert_published("points.granted", times=1)
        assert (granted["data"], granted["causationid"]) == (25, "o-1")


def test_the_receiver_that_stands_for_most_of_a_url_answers() -> None:
    with Bus() as bus:
        bus.put_rule("near", rule(url="http://shop/rewards/events"))
        bus.put_rule("far", rule(url="http://shop/rewardsother"))
        every, near = bus.receiver("http://"), bus.receiver("http://shop/rewards")
        bus.publish(type="order.paid")
        bus.settle()
        assert [request.rule for request in near.requests] == ["near"]
        assert [request.rule for request in every.requests] == ["far"]


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [(Reject("no such order"), "dead"), (Retry(90), "retrying"), (KeyError("order"), "retrying")],
)
def test_what_a_handler_raises_is_answered_as_a_service_answers_it(raised: Exception, outcome: str) -> None:
    def fail(_request: Request) -> None:
        raise raised

    with Bus() as bus:
        bus.put_rule("rewards", rule())
        bus.receiver(URL, fail)
        bus.publish(type="order.paid")
        bus.settle()
        assert [fate.outcome for fate in bus.deliveries("rewards")] == [outcome]


@pytest.mark.parametrize("is_async", [False, True])
def test_an_assertion_in_a_handler_fails_the_test(*, is_async: bool) -> None:
    def check(request: Request) -> None:
        assert request.event["data"] == {"total": 5}

    async def check_later(request: Request) -> None:
        check(request)

    with Bus() as bus:
        bus.put_rule("rewards", rule())
        bus.receiver(URL, check_later if is_async else check)
        bus.publish(type="order.paid", data={"total": 25})
        with pytest.raises(AssertionError, match="25"):
            bus.settle()


def test_code_that_turns_the_bus_within_the_loop_is_told_so() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        found: list[Exception] = []

        async def grant(_request: Request) -> None:
            try:
                bus.publish(type="points.granted")
            except WrongPlace as wrong:
                found.append(wrong)
            await bus.async_client.publish(type="points.granted", source="/rewards")

        bus.receiver(URL, grant)
        bus.publish(type="order.paid")
        bus.settle()
        assert "async_client" in str(found[0])
        bus.assert_published("points.granted", times=1)


# Pulling


def test_what_is_received_is_acknowledged_or_comes_again() -> None:
    with Bus() as bus:
        bus.put_rule("points", {"pattern": {"type": ["order.paid"]}, "target": {"queue": {"lease_s": 30}}})
        bus.publish(type="order.paid", data=1)
        bus.publish(type="order.paid", data=2)
        first, second = bus.receive("points")
        bus.acknowledge("points", first)
        bus.advance(seconds=29)
        assert bus.receive("points") == []
        bus.advance(seconds=2)
        (again,) = bus.receive("points")
        assert (again.id, again.attempt) == (second.id, 2)
        with pytest.raises(AssertionError, match="superseded"):
            bus.acknowledge("points", second)
        bus.assert_delivered("points", times=1)


def test_a_receive_that_waits_has_time_pass_until_something_comes() -> None:
    with Bus() as bus:
        bus.put_rule("points", {"pattern": {"type": ["points.granted"]}, "target": {"queue": {}}})
        bus.put_rule("rewards", rule())
        bus.receiver(URL, publishing(bus, "points.granted")).fail(2)
        bus.publish(type="order.paid")
        assert len(bus.client.receive("points", wait_s=20)) == 1
        assert bus.now == START + datetime.timedelta(seconds=3)
        assert bus.client.receive("points", wait_s=20) == []
        assert bus.now == START + datetime.timedelta(seconds=23)


# What is asserted, and what is said when it is not so


def test_a_missing_delivery_is_told_with_the_rules_reasons() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", {**rule(), "pattern": {"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 20]}]}}})
        bus.publish(type="order.paid", id="small", data={"total": 5})
        bus.settle()
        with pytest.raises(AssertionError) as found:
            bus.assert_delivered("rewards", "order.paid")
        assert str(found.value).splitlines() == [
            "found 0 deliveries of order.paid to rewards that are done; wanted at least one",
            "  event 2, order.paid (id small): no-match, data.total 5 is not >= 20",
        ]
        assert "data.total 5 is not >= 20" in repr(bus.deliveries("rewards"))


def test_a_missing_delivery_of_an_event_that_never_was_is_told_with_those_that_were() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        bus.publish(type="order.placed", id="o-1")
        with pytest.raises(
            AssertionError, match=r'no event is order\.paid\n  event 2, order\.placed \(id o-1\): type "order\.placed"'
        ):
            bus.assert_delivered("rewards", "order.paid")


def test_a_delivery_that_failed_is_told_with_its_answers() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        bus.receiver(URL).fail(status=422, body="no such order")
        bus.publish(type="order.paid")
        bus.settle()
        with pytest.raises(AssertionError, match=r"dead, .*\n      422 no such order"):
            bus.assert_delivered("rewards")
        with pytest.raises(AssertionError, match=r"found 1 deliveries that are not done; wanted none\n  rewards, event 2"):
            bus.assert_all_delivered()


def test_a_receiver_that_a_test_forgot_is_told() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        bus.publish(type="order.paid")
        bus.settle()
        with pytest.raises(AssertionError, match=r"bus\.receiver\(URL, handler\)"):
            bus.assert_delivered("rewards")


def test_a_missing_event_is_told_with_those_that_were_published() -> None:
    with Bus() as bus:
        bus.publish(type="order.paid", id="o-1", subject="order-1", data={"total": 5})
        with pytest.raises(AssertionError) as found:
            bus.assert_published({"type": ["order.paid"], "data": {"total": [25]}})
        assert str(found.value).splitlines() == [
            'found 0 events that are {"type":["order.paid"],"data":{"total":[25]}}; wanted at least one',
            "published: 1",
            "  event 1, order.paid of order-1 (id o-1): data.total 5 is not 25",
        ]
        with pytest.raises(AssertionError, match=r"found 1 events that are order\.paid; wanted 0"):
            bus.assert_published("order.paid", times=0)


def test_what_was_published_leaves_out_what_the_bus_says_itself() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        bus.publish(type="order.paid", id="o-1", source="/orders", data={"total": 5})
        assert bus.published() == [
            {"specversion": "1.0", "id": "o-1", "type": "order.paid", "source": "/orders", "data": {"total": 5}}
        ]
        assert [event["type"] for event in bus.published("io.eventyard.rule.created")] == ["io.eventyard.rule.created"]


def test_deliveries_tell_of_each_what_became_of_it() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        bus.receiver(URL).fail(1)
        bus.publish(type="order.paid", data=1)
        bus.publish(type="order.paid", data=2)
        bus.settle()
        assert [(fate.event["data"], fate.outcome, fate.attempts) for fate in bus.deliveries("rewards")] == [
            (1, "retrying", 1),
            (2, "delivered", 1),
        ]
        assert [fate.position for fate in bus.deliveries("rewards", {"data": [2]})] == [3]
        assert repr(bus.deliveries("rewards")) == "[2 order.paid retrying, 3 order.paid delivered]"


# The bus as such


def test_what_a_bus_refuses_is_the_same_problem_as_a_servers() -> None:
    with Bus() as bus:
        with pytest.raises(ProblemError) as found:
            bus.put_rule("rewards", rule(url="ftp://rewards"))
        assert found.value.code == "invalid-rule"
        with pytest.raises(ProblemError, match="found no rule"):
            bus.deliveries("rewards")
        bus.publish(type="order.paid", id="o-1", data=1)
        with pytest.raises(ProblemError) as found:
            bus.publish(type="order.paid", id="o-1", data=2)
        assert found.value.code == "event-conflict"


def test_any_address_may_be_a_target() -> None:
    with Bus() as bus:
        for number, host in enumerate(("10.0.0.5", "127.0.0.1:9005", "[fd00::1]", "rewards.internal")):
            bus.put_rule(f"rule-{number}", rule(url=f"http://{host}/events"))
        everybody = bus.receiver("http://")
        bus.publish(type="order.paid")
        bus.settle()
        assert len(everybody.requests) == 4


def test_secrets_and_logins_of_a_rule_reach_its_receiver() -> None:
    target = {"url": URL, "headers": {"x-key": {"secret": "letmein"}}, "auth": {"bearer": {"secret": "token-1"}}}
    with Bus() as bus:
        bus.put_rule("rewards", {**rule(), "target": {"http": target}})
        rewards = bus.receiver(URL)
        bus.publish(type="order.paid")
        bus.settle()
        headers = rewards.requests[0].headers
        assert (headers["x-key"], headers["authorization"]) == ("letmein", "Bearer token-1")


def test_a_transform_shapes_what_the_receiver_gets() -> None:
    target = {
        "url": URL,
        "method": "PUT",
        "transform": {"template": {"paths": {"total": "data.total"}, "body": {"points": "<total>"}}},
    }
    with Bus() as bus:
        bus.put_rule("rewards", {**rule(), "target": {"http": target}})
        rewards = bus.receiver(URL)
        bus.publish(type="order.paid", data={"total": 25})
        bus.settle()
        (request,) = rewards.requests
        assert (request.method, request.json) == ("PUT", {"points": 25})


def test_an_expression_is_evaluated_as_in_a_server() -> None:
    target = {"url": URL, "transform": {"jsonata": {"body": '{"points": $sum(data.totals)}'}}}
    with Bus() as bus:
        bus.put_rule("rewards", {**rule(), "target": {"http": target}})
        rewards = bus.receiver(URL)
        bus.publish(type="order.paid", data={"totals": [20, 5]})
        bus.settle()
        assert rewards.requests[0].json == {"points": 25}


def test_several_buses_share_a_clock_and_receivers() -> None:
    with Bus("shop") as shop:
        audit = shop.other("audit")
        audit.put_rule("all", rule(url="http://audit"))
        seen = shop.receiver("http://audit")
        audit.publish(type="order.paid")
        shop.publish(type="order.paid")
        shop.advance(minutes=1)
        assert len(seen.requests) == 1
        assert audit.now == shop.now
        assert len(shop.published()) == 1


def test_a_rule_whose_target_is_another_bus_is_followed_there() -> None:
    with Bus("shop") as shop:
        audit = shop.other("audit")
        shop.put_rule("to-audit", {"pattern": {"type": ["order.paid"]}, "target": {"bus": {"name": "audit"}}})
        audit.put_rule("all", rule(url="http://audit"))
        seen = shop.receiver("http://audit")
        shop.publish(type="order.paid", id="o-1")
        shop.settle()
        assert [event["id"] for event in seen.events] == ["o-1"]
        shop.assert_all_delivered()
        audit.assert_all_delivered()


def test_rules_come_from_the_documents_that_are_deployed(tmp_path: Path) -> None:
    (tmp_path / "rewards.yaml").write_text(
        """
owner: team-rewards
rules:
  - name: rewards
    pattern: {type: [order.paid]}
    target: {http: {url: "http://rewards/events"}}
"""
    )
    with Bus() as bus:
        bus.apply(tmp_path)
        bus.apply(tmp_path)
        assert bus.client.rule("rewards").owner == "team-rewards"
        bus.assert_published("io.eventyard.rule.created", times=1)
        bus.assert_published("io.eventyard.rule.changed", times=0)
        bus.publish(type="order.paid")
        bus.receiver(URL)
        bus.settle()
        bus.assert_all_delivered()


def test_a_rule_starts_in_the_past_and_is_replayed() -> None:
    with Bus() as bus:
        bus.publish(type="order.paid", data=1)
        bus.put_rule("rewards", rule(start="earliest"))
        rewards = bus.receiver(URL)
        bus.settle()
        bus.client.start_replay("rewards", "earliest")
        bus.settle()
        assert [event["data"] for event in rewards.events] == [1, 1]


def test_the_same_test_does_the_same_every_time() -> None:
    def played() -> list[tuple[str, str, float]]:
        with Bus("shop") as bus:
            bus.put_rule("rewards", rule())
            rewards = bus.receiver(URL)
            rewards.fail(2)
            for number in range(5):
                bus.publish(type="order.paid", data=number)
            bus.advance(seconds=10)
            return [(request.delivery, request.event["id"], request.at.timestamp()) for request in rewards.requests]

    assert played() == played()
    assert len(played()) == 7


def test_a_stream_is_refused_and_not_waited_for() -> None:
    with Bus() as bus, pytest.raises(NotImplementedError, match=re.escape("bus.published()")):
        next(iter(bus.client.follow(after=0)))
