"""The handshake over HTTP with real targets: what is asked, what status, explain and metrics tell, and targets that answer it badly."""

from typing import Any

import pytest

from tests.support.buses import ServedBus, served_bus
from tests.support.targets import (
    Behaviour,
    Connection,
    Target,
    answer,
    close_at_once,
    hangs_after,
    redirects,
    says,
)

RULE = "/v1/buses/default/rules/paid"
EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid"}


def asked(*replies: bytes) -> Behaviour:
    """Answers each OPTIONS with the next of these, the last one for ever, and every push with 204."""
    left = list(replies)

    async def behave(connection: Connection) -> None:
        while (request := await connection.request()) is not None:
            if request.method != "OPTIONS":
                await connection.write(answer(204))
            else:
                await connection.write(left.pop(0) if len(left) > 1 else left[0])

    return behave


def put(bus: ServedBus, url: str, wanted: str = "required", **http: Any) -> None:
    document = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": url, "handshake": wanted, **http}}}
    assert bus.put(RULE, json=document).is_success


def status(bus: ServedBus) -> Any:
    return bus.get(f"{RULE}/status").json()


def shaken(bus: ServedBus) -> Any:
    return status(bus)["protection"]["handshake"]


def test_a_target_that_agrees_by_a_header_gets_its_events_and_no_more_than_it_allows() -> None:
    agreed = answer(405, {"WebHook-Allowed-Origin": "localhost", "WebHook-Allowed-Rate": "120"})
    with Target(asked(agreed)) as target, served_bus() as bus:
        put(bus, target.url, headers={"x-key": "known"})
        bus.publish("default", EVENT)
        bus.wait_until(lambda: status(bus)["delivered"] == 1)
        first, second = target.requests
        assert (first.method, second.method) == ("OPTIONS", "POST")
        assert (first.headers["webhook-request-origin"], first.body) == ("localhost", b"")
        assert not {"x-key", "content-type", "content-length"} & set(first.headers)
        assert second.headers["x-key"] == "known"
        told = status(bus)["protection"]
        assert (told["rate_per_s"], told["concurrency"]) == (2.0, 16)
        assert (told["handshake"]["state"], told["handshake"]["rate_per_minute"]) == ("given", 120)


def test_what_waits_for_consent_says_so_everywhere() -> None:
    with Target(asked(answer(200))) as target, served_bus() as bus:
        put(bus, target.url)
        bus.publish("default", EVENT)
        bus.wait_until(lambda: shaken(bus)["state"] == "refused")
        told = status(bus)["protection"]
        assert (told["waits_for"], told["concurrency"]) == ("handshake", 0)
        assert "WebHook-Allowed-Origin" in told["handshake"]["why"]
        assert told["handshake"]["asked"]
        events = bus.get("/v1/buses/default/events?limit=1000").json()["events"]
        (position,) = [each["position"] for each in events if each["event"]["type"] == "order.paid"]
        (explained,) = bus.get(f"/v1/buses/default/events/{position}/explain").json()["rules"]
        assert "has not agreed" in explained["why"]
        assert 'eventyard_rule_held{bus="default",by="handshake",rule="paid"} 1' in bus.get("/metrics").text
        assert [request.method for request in target.requests] == ["OPTIONS"]


def test_who_prefers_consent_pushes_without_and_status_says_what_was_answered() -> None:
    with Target(asked(answer(501))) as target, served_bus() as bus:
        put(bus, target.url, "preferred")
        bus.publish("default", EVENT)
        bus.wait_until(lambda: status(bus)["delivered"] == 1 and shaken(bus)["state"] == "refused")
        assert status(bus)["protection"]["waits_for"] is None


def test_status_has_no_handshake_where_none_is_wanted() -> None:
    with Target(asked(answer(200))) as target, served_bus() as bus:
        put(bus, target.url, "off")
        bus.publish("default", EVENT)
        bus.wait_until(lambda: status(bus)["delivered"] == 1)
        assert shaken(bus) is None
        assert [request.method for request in target.requests] == ["POST"]


def test_a_refusal_at_first_is_asked_again_and_consent_lets_go_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventyard.core.limits.HANDSHAKE_AGAIN_S", 0.01)
    agreed = answer(200, {"webhook-allowed-origin": "*"})
    with Target(asked(answer(403), answer(503), agreed)) as target, served_bus() as bus:
        put(bus, target.url)
        bus.publish("default", EVENT)
        bus.wait_until(lambda: status(bus)["delivered"] == 1)
        assert [request.method for request in target.requests] == ["OPTIONS"] * 3 + ["POST"]


@pytest.mark.parametrize(
    "behaviour",
    [
        close_at_once,
        hangs_after(b""),
        hangs_after(b"HTTP/1.1 200 OK\r\nwebhook-allowed-origin: *\r\ncontent-length: 5\r\n\r\n"),
        says(b"what?\r\n\r\n"),
        redirects("http://127.0.0.1:9/elsewhere"),
    ],
)
def test_a_target_that_answers_badly_has_not_agreed(behaviour: Behaviour) -> None:
    with Target(behaviour) as target, served_bus() as bus:
        put(bus, target.url, timeout_s=0.2)
        bus.publish("default", EVENT)
        bus.wait_until(lambda: shaken(bus)["state"] == "refused")
        assert shaken(bus)["why"]
        assert status(bus)["waiting"] == 1
