"""Protection over HTTP, with a real target that fails and comes back: status, explain, metrics and the log tell of it, and nothing dies."""

import itertools
from typing import Any

from tests.support.buses import ServedBus, served_bus
from tests.support.targets import Target, answer, answers_in_turn

EVENTS = 12
FAILURES = 8
"""Twice what may be under way at once, so that the first four outcomes that are learnt are failures."""
RULE = "/v1/buses/default/rules/paid"
BREAKER = {"min_requests": 4, "open_s": 0.5, "successes": 2, "slow_start_s": 0.2}


def status(bus: ServedBus) -> Any:
    return bus.get(f"{RULE}/status").json()


def kinds(bus: ServedBus) -> list[str]:
    events = bus.get("/v1/buses/default/events?limit=1000").json()["events"]
    return [kind for each in events if (kind := each["event"]["type"]).startswith("io.eventyard.breaker")]


def test_a_target_that_fails_is_left_alone_and_gets_everything_when_it_is_back() -> None:
    replies = itertools.chain(itertools.repeat(answer(503), FAILURES), itertools.repeat(answer(204)))
    with Target(answers_in_turn(replies)) as target, served_bus() as bus:
        delivery = {"breaker": BREAKER, "concurrency": 4, "backoff": {"initial_s": 0, "max_s": 0}}
        document = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": target.url}}, "delivery": delivery}
        assert bus.put(RULE, json=document).status_code == 201
        for number in range(EVENTS):
            bus.publish("default", {"specversion": "1.0", "id": str(number), "source": "/shop", "type": "order.paid"})
        bus.wait_until(lambda: status(bus)["delivered"] == EVENTS)
        bus.wait_until(lambda: kinds(bus) == ["io.eventyard.breaker.opened", "io.eventyard.breaker.closed"])
        assert (status(bus)["dead"], len(target.requests)) == (0, EVENTS + FAILURES)


def test_what_waits_behind_an_open_breaker_says_so_everywhere() -> None:
    with Target(answers_in_turn(itertools.repeat(answer(503)))) as target, served_bus() as bus:
        delivery = {"breaker": BREAKER | {"open_s": 600}, "concurrency": 4, "backoff": {"initial_s": 0, "max_s": 0}}
        document = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": target.url}}, "delivery": delivery}
        assert bus.put(RULE, json=document).status_code == 201
        for number in range(EVENTS):
            bus.publish("default", {"specversion": "1.0", "id": str(number), "source": "/shop", "type": "order.paid"})
        bus.wait_until(lambda: status(bus)["protection"]["waits_for"] == "breaker" and not status(bus)["leased"])

        told = status(bus)["protection"]
        assert (told["breaker"], told["concurrency"], told["until"]) == ("open", 0, told["waits_until"])
        last = bus.get("/v1/buses/default/events?limit=1000").json()["events"]
        position = max(each["position"] for each in last if each["event"]["type"] == "order.paid")
        (explained,) = bus.get(f"/v1/buses/default/events/{position}/explain").json()["rules"]
        assert "behind an open breaker" in explained["why"]
        metrics = bus.get("/metrics").text
        assert 'eventyard_rule_breaker_open{bus="default",rule="paid"} 1' in metrics
        assert 'eventyard_rule_held{bus="default",by="breaker",rule="paid"} 1' in metrics
