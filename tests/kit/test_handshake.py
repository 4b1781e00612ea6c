"""Handshakes in `eventyard.testing`: functions agree, applications answer for themselves, and who is away is asked again."""

from typing import Any

from eventyard.client import CloudEvent, Service
from eventyard.testing import Bus

URL = "http://rewards/events"
RULE = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": URL, "handshake": "required"}}}


def test_a_receiver_that_is_a_function_agrees_and_sees_only_events() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", RULE)
        rewards = bus.receiver(URL)
        bus.publish(type="order.paid")
        bus.settle()
        assert [request.method for request in rewards.requests] == ["POST"]


def test_an_event_waits_for_a_receiver_that_is_away_and_is_asked_again() -> None:
    with Bus() as bus:
        bus.put_rule("rewards", RULE)
        rewards = bus.receiver(URL)
        rewards.go_away()
        bus.publish(type="order.paid")
        bus.advance(minutes=1)
        rewards.come_back()
        assert rewards.requests == []
        bus.advance(minutes=2)
        assert len(rewards.events) == 1


def test_a_service_of_the_client_answers_for_itself() -> None:
    for origins, wanted in (("localhost", 1), ("bus.example.com", 0)):
        service, got = Service("shop"), list[CloudEvent[Any]]()
        service.on("order.paid", start="earliest")(got.append)
        with Bus() as bus:
            bus.serve(service.receiver(URL, origins=origins, handshake="required"))
            bus.publish(type="order.paid")
            bus.advance(minutes=1)
            assert len(got) == wanted
