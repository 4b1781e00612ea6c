"""A service that takes only what is signed, pushed to by a real server: what that signs is what the client verifies."""

import asyncio
import base64
import queue
import socket
from typing import Any

import httpx
import pytest

from eventyard.client import Client, CloudEvent, Service
from tests.support.receivers import serving

WAIT_S = 30.0
OLD, NEW, OTHER = (f"whsec_{base64.b64encode(letter * 32).decode()}" for letter in (b"o", b"n", b"x"))


def taking(server: str, bus: str) -> tuple[Service, "queue.Queue[CloudEvent[Any]]"]:
    service, got = Service("shop", url=server, bus=bus), queue.Queue[CloudEvent[Any]]()

    @service.on("order.paid", start="earliest", delivery={"backoff": {"initial_s": 0.01, "max_s": 0.1}})
    def take(event: CloudEvent[Any]) -> None:
        got.put(event)

    return service, got


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_what_the_server_signs_is_taken_and_nothing_else(server: str, bus: str, mode: str) -> None:
    service, got = taking(server, bus)
    with Client(server) as client, socket.create_server(("127.0.0.1", 0)) as listener:
        client.publish(type="order.paid", source="/shop", id="1", subject='ž "x"', data={"total": 1.10}, bus=bus, region="eu")
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with serving(service.receiver(address, secrets=[NEW, OLD, OTHER], mode=mode), listener):
            event = got.get(timeout=WAIT_S)
            assert (event.id, event.subject, event.data, event.extensions) == ("1", 'ž "x"', {"total": 1.1}, {"region": "eu"})
            forged = {"content-type": "application/cloudevents+json"}
            with httpx.Client(trust_env=False) as stranger:
                assert stranger.post(f"{address}/shop-take", content=event.json, headers=forged).status_code == 401
        assert got.empty()
        assert "whsec_" not in str(client.rule("shop-take", bus=bus).target)


def test_secrets_are_changed_without_a_gap(server: str, bus: str) -> None:
    """The receiver learns the new one first; the rule signs with both, then with the new one alone."""
    service, got = taking(server, bus)
    with Client(server) as client, socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with serving(service.receiver(address, secrets=[NEW, OLD]), listener):
            for number, secrets in enumerate([[OLD], [NEW, OLD], [NEW]]):
                signing = {"secrets": [{"secret": secret} for secret in secrets]}
                asyncio.run(registered(server, bus, address, signing))
                client.publish(type="order.paid", source="/shop", id=str(number), bus=bus)
                assert got.get(timeout=WAIT_S).id == str(number)


async def registered(server: str, bus: str, address: str, signing: dict[str, Any]) -> None:
    service, _ = taking(server, bus)
    await service.register(address, signing=signing)
    await service.close()
