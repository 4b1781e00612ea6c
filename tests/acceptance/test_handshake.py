"""A real server asks a service of the client for its consent, which that gives to whom it knows and to nobody else."""

import queue
import socket
import time
from typing import Any

import pytest

from eventyard.client import Client, CloudEvent, Service
from eventyard.client.answers import Protection
from eventyard.core.handshake import ORIGIN_DEFAULT
from tests.support.commands import Command
from tests.support.receivers import serving

WAIT_S = 30.0


def taking(server: str, bus: str) -> tuple[Service, "queue.Queue[CloudEvent[Any]]"]:
    service, got = Service("shop", url=server, bus=bus), queue.Queue[CloudEvent[Any]]()

    @service.on("order.paid", start="earliest")
    def take(event: CloudEvent[Any]) -> None:
        got.put(event)

    return service, got


def answered(client: Client, bus: str, state: str) -> Protection:
    """As soon as the rule is there and its target has said this."""
    deadline = time.monotonic() + WAIT_S
    while True:
        told = [one.protection for one in client.statuses(bus=bus) if one.name == "shop-take"]
        if told and told[0].handshake is not None and told[0].handshake.state == state:
            return told[0]
        assert time.monotonic() < deadline, told


@pytest.mark.parametrize("signed", [{}, {"secrets": ["whsec_" + "c2VjcmV0" * 6]}])
def test_a_service_agrees_to_the_bus_that_it_knows_and_gets_its_events(
    server: str, bus: str, eventyard: Command, signed: dict[str, Any]
) -> None:
    service, got = taking(server, bus)
    with Client(server) as client, socket.create_server(("127.0.0.1", 0)) as listener:
        client.publish(type="order.paid", source="/shop", id="1", data={}, bus=bus)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        receiver = service.receiver(address, origins=ORIGIN_DEFAULT, handshake="required", **signed)
        with serving(receiver, listener):
            assert got.get(timeout=WAIT_S).id == "1"
            told = answered(client, bus, "given")
            assert (told.handshake is not None and told.handshake.rate_per_minute, told.rate_per_s) == (None, None)
            assert "handshake         given\n" in eventyard("rules", "status", "shop-take", "--bus", bus).out


def test_a_service_that_knows_another_bus_gets_nothing(server: str, bus: str, eventyard: Command) -> None:
    service, got = taking(server, bus)
    with Client(server) as client, socket.create_server(("127.0.0.1", 0)) as listener:
        client.publish(type="order.paid", source="/shop", id="1", data={}, bus=bus)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with serving(service.receiver(address, origins="bus.example.com", handshake="required"), listener):
            told = answered(client, bus, "refused")
            assert told.waits_for == "handshake"
            shown = eventyard("rules", "status", "shop-take", "--bus", bus).out
            assert "refused: the answer 403 has no WebHook-Allowed-Origin" in shown
            assert got.empty()
