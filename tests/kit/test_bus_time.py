"""The kit's bus while time passes: retries, breakers, rates and batches come at their moments, and a bus that never rests is told so."""

import asyncio
import datetime
import random

import pytest

from eventyard.testing import Bus, NeverSettles, Reply, Request, Unending
from tests.support.kit import START, URL, publishing, rule, seconds

# Time


def test_retries_come_at_the_end_of_their_backoff() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        rewards = bus.receiver(URL)
        rewards.fail(3)
        bus.publish(type="order.paid")
        bus.advance(seconds=6.999)
        assert seconds(rewards.requests) == [0, 1, 3]
        bus.advance(seconds=0.001)
        assert seconds(rewards.requests) == [0, 1, 3, 7]
        bus.assert_delivered("rewards", times=1)


def test_chance_that_is_given_draws_when_retries_come() -> None:
    def played() -> list[float]:
        with Bus(chance=random.Random(7)) as bus:
            bus.put_rule("rewards", rule())
            rewards = bus.receiver(URL)
            rewards.fail(3)
            bus.publish(type="order.paid")
            bus.advance(minutes=1)
            return seconds(rewards.requests)

    assert played() == played()
    assert played() != [0, 1, 3, 7]


def test_a_receiver_says_when_it_is_to_be_asked_again() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        rewards = bus.receiver(URL)
        rewards.fail(retry_after_s=120)
        bus.publish(type="order.paid")
        bus.advance(minutes=5)
        assert seconds(rewards.requests) == [0, 120]


def test_a_receiver_that_hangs_costs_the_timeout_of_its_rule() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", {**rule(), "target": {"http": {"url": URL, "timeout_s": 4}}})
        rewards = bus.receiver(URL)
        rewards.hang()
        bus.publish(type="order.paid")
        bus.advance(seconds=3)
        assert [fate.outcome for fate in bus.deliveries("rewards")] == ["leased"]
        bus.advance(seconds=1)
        (fate,) = bus.deliveries("rewards")
        assert (fate.outcome, fate.answers[0].failure) == ("retrying", "timed out after 4 s")
        bus.advance(seconds=1)
        assert seconds(rewards.requests) == [0, 5]


def test_a_handler_takes_the_time_that_it_says() -> None:
    async def slow(_request: Request) -> Reply:
        await asyncio.sleep(2)
        return Reply(204, after_s=1)

    with Bus() as bus:
        bus.put_rule("slow", rule())
        bus.put_rule("slower", rule(url="http://slower"))
        bus.receiver(URL, slow)
        bus.receiver("http://slower", lambda _: Reply(after_s=11))
        bus.publish(type="order.paid")
        bus.advance(seconds=2.9)
        assert [fate.outcome for fate in bus.deliveries("slow")] == ["leased"]
        bus.advance(seconds=0.1)
        bus.assert_delivered("slow")
        bus.advance(seconds=7)
        assert bus.deliveries("slower")[0].answers[0].failure == "timed out after 10 s"


def test_a_receiver_goes_away_and_comes_back() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        rewards = bus.receiver(URL)
        rewards.go_away()
        bus.publish(type="order.paid")
        bus.advance(seconds=2)
        assert rewards.requests == []
        assert bus.deliveries("rewards")[0].answers[0].failure == "connection refused"
        rewards.come_back()
        bus.advance(seconds=1)
        bus.assert_delivered("rewards")


def test_a_breaker_opens_is_probed_and_closes_at_its_moments() -> None:
    with Bus() as bus:
        breaker = {"min_requests": 4, "open_s": 10, "successes": 1, "slow_start_s": 0}
        bus.put_rule("rewards", rule(delivery={"breaker": breaker}))
        rewards = bus.receiver(URL)
        rewards.fail(5)
        for number in range(4):
            bus.publish(type="order.paid", data=number)
        bus.advance(minutes=10)
        assert seconds(rewards.requests)[:6] == [0, 0, 0, 0, 10, 30]
        bus.assert_all_delivered()
        opened, closed = (bus.assert_published(f"io.eventyard.breaker.{what}", times=1)[0] for what in ("opened", "closed"))
        times = [datetime.datetime.fromisoformat(event["time"]) for event in (opened, closed)]
        assert [(time - START).total_seconds() for time in times] == [0, 30]


def test_a_rate_spaces_requests_evenly() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule(delivery={"rate_per_s": 2}))
        rewards = bus.receiver(URL)
        for number in range(4):
            bus.publish(type="order.paid", data=number)
        bus.advance(seconds=10)
        assert seconds(rewards.requests) == [0, 0.5, 1, 1.5]


def test_a_batch_goes_when_its_time_is_up_and_is_read_event_by_event() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", {**rule(), "target": {"http": {"url": URL, "batch": {"max_events": 50, "wait_s": 0.5}}}})
        rewards = bus.receiver(URL)
        for number in range(3):
            bus.publish(type="order.paid", data=number)
        bus.advance(seconds=0.499)
        assert rewards.requests == []
        bus.advance(seconds=0.001)
        assert [[event["data"] for event in request.events] for request in rewards.requests] == [[0, 1, 2]]
        bus.assert_delivered("rewards", times=3)


def test_a_rule_of_which_nothing_goes_well_is_paused_when_its_time_is_up() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule(delivery={"pause_after_s": 3600}))
        bus.receiver(URL, lambda _: 500)
        bus.publish(type="order.paid")
        bus.advance(hours=1)
        bus.assert_published("io.eventyard.rule.disabled", times=0)
        bus.advance(hours=1)
        bus.assert_published("io.eventyard.rule.disabled", times=1)
        assert [fate.outcome for fate in bus.deliveries("rewards")] == ["paused"]


def test_a_delivery_dies_when_its_age_is_over() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule(delivery={"max_age_s": 3600, "backoff": {"initial_s": 1, "factor": 2, "max_s": 600}}))
        bus.receiver(URL, lambda _: 500)
        bus.publish(type="order.paid")
        bus.advance(hours=1)
        (fate,) = bus.deliveries("rewards")
        assert (fate.outcome, fate.reason) == ("dead", "age")


def test_trouble_is_told_to_the_log_as_in_a_server() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", rule())
        bus.receiver(URL).fail(2)
        bus.publish(type="order.paid")
        bus.advance(minutes=1)
        bus.assert_published("io.eventyard.delivery.failing", times=1)
        bus.assert_published("io.eventyard.delivery.recovered", times=1)


def test_what_is_too_old_for_the_log_is_removed_while_time_passes() -> None:
    with Bus() as bus:
        bus.publish(type="order.paid")
        bus.advance(days=8)
        assert bus.published() == []


def test_the_clock_begins_where_it_is_set_and_goes_only_forward() -> None:
    with Bus(at="2026-03-29T01:59:00+01:00") as bus:
        assert bus.now.isoformat() == "2026-03-29T00:59:00+00:00"
        bus.advance_to("2026-03-29T01:00:30Z")
        assert bus.now.isoformat() == "2026-03-29T01:00:30+00:00"
        with pytest.raises(ValueError, match="forward"):
            bus.advance(seconds=-1)
    with pytest.raises(ValueError, match="zone"):
        Bus(at="2026-03-29T01:59:00")


# Never at rest


def test_rules_that_feed_each_other_are_named() -> None:
    with Bus() as bus:
        for kind, other in (("order.asked", "order.answered"), ("order.answered", "order.asked")):
            bus.put_rule(f"on-{kind}", rule(kind, f"http://{kind}"))
            bus.receiver(f"http://{kind}", publishing(bus, other))
        bus.put_rule("aside", rule("order.paid"))
        bus.publish(type="order.asked")
        with pytest.raises(NeverSettles) as found:
            bus.settle()
    message = str(found.value)
    assert "on-order.answered (order.answered); on-order.asked (order.asked)" in message
    assert "aside" not in message


def test_a_call_that_waits_for_nothing_ends() -> None:
    async def wait(_request: Request) -> None:
        await asyncio.Event().wait()

    with Bus() as bus:
        waiting = asyncio.Event().wait()
        with pytest.raises(Unending):
            bus._house.run(waiting)
