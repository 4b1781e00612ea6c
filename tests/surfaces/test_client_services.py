"""Services of the client against a served bus: what it delivers reaches their functions, pulled or pushed, and what they say reaches it."""

import asyncio
import socket
import threading
from typing import Any

import httpx
import pytest

from eventyard.client import AsyncClient, Client, CloudEvent, Patience, Reject, Service, Unreachable
from tests.support.buses import WAIT_S, ServedBus
from tests.support.receivers import serving


def publish(door: ServedBus, bus: str, *numbers: int) -> None:
    with Client(door.url) as client:
        for number in numbers:
            client.publish(type="order.paid", source="/shop", id=str(number), data={"number": number}, bus=bus)


def events_of(door: ServedBus, bus: str, kind: str) -> list[dict[str, Any]]:
    with Client(door.url) as client:
        return [each.event for each in client.events(bus=bus, pattern={"type": [kind]})]


def status(door: ServedBus, bus: str, rule: str) -> dict[str, Any]:
    answer: dict[str, Any] = door.get(f"/v1/buses/{bus}/rules/{rule}/status").json()
    return {name: answer[name] for name in ("delivered", "dead", "pending")}


def shop(door: ServedBus, bus: str, handled: Any) -> Service:
    """Its third event is rejected, its second fails once, and each that is done makes one."""
    service = Service("shop", url=door.url, bus=bus, error_type="shop.failed")
    failed: list[str] = []

    @service.on("order.paid", start="earliest", concurrency=3, delivery={"backoff": {"initial_s": 0.01, "max_s": 0.01}})
    def pack(event: CloudEvent[dict[str, int]]) -> dict[str, Any]:
        if event.id == "3":
            raise Reject("no such address")
        if event.id == "2" and not failed:
            failed.append(event.id)
            raise ValueError("the tape is gone")
        handled(event)
        return {"type": "order.packed", "data": event.data}

    return service


def check_the_books(door: ServedBus, bus: str) -> None:
    door.wait_until(lambda: status(door, bus, "shop-pack") == {"delivered": 4, "dead": 1, "pending": 0})
    packed = {event["causationid"]: event["data"]["number"] for event in events_of(door, bus, "order.packed")}
    assert packed == {"1": 1, "2": 2, "4": 4, "5": 5}
    told = {
        (event["causationid"], event["data"]["error"], event["data"]["attempt"])
        for event in events_of(door, bus, "shop.failed")
    }
    assert told == {("2", "ValueError", 1), ("3", "Reject", 1)}
    [dead] = door.get(f"/v1/buses/{bus}/rules/shop-pack/dead-letters").json()["dead_letters"]
    assert "no such address" in str(dead["last_answer"])


def test_the_pattern_of_a_rule_may_be_a_dictionary_or_json_whose_numbers_stay_as_they_are_spelt(
    door: ServedBus, name: str
) -> None:
    service = Service("shop", url=door.url, bus=name)

    @service.on({"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 20]}]}})
    def grant(_event: CloudEvent) -> None: ...  # type: ignore[type-arg]

    @service.on('{"data": {"total": [12345678901234567890.50]}}')
    def count(_event: CloudEvent) -> None: ...  # type: ignore[type-arg]

    async def register() -> None:
        await service.register()
        await service.close()

    asyncio.run(register())
    rules = f"/v1/buses/{name}/rules"
    assert door.get(f"{rules}/shop-grant").json()["pattern"] == {
        "type": ["order.paid"],
        "data": {"total": [{"numeric": [">=", 20]}]},
    }
    assert "12345678901234567890.50" in door.get(f"{rules}/shop-count").text


def test_a_service_that_pulls(door: ServedBus, name: str) -> None:
    publish(door, name, 1, 2, 3, 4, 5)
    stop, handled = threading.Event(), list[str]()
    service = shop(door, name, lambda event: handled.append(event.id))

    async def run() -> None:
        working = asyncio.create_task(service.work(stop))
        await asyncio.to_thread(
            lambda: door.wait_until(lambda: door.get(f"/v1/buses/{name}/rules/shop-pack/status").json().get("delivered") == 4)
        )
        stop.set()
        await working

    asyncio.run(run())
    assert sorted(handled) == ["1", "2", "4", "5"]
    check_the_books(door, name)
    assert door.get(f"/v1/buses/{name}/rules/shop-pack").json()["owner"] == "shop"


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_a_service_that_is_pushed_to(door: ServedBus, name: str, mode: str) -> None:
    publish(door, name, 1, 2, 3, 4, 5)
    handled: list[CloudEvent[Any]] = []
    service = shop(door, name, handled.append)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/events"
        with serving(service.receiver(url, mode=mode), listener):
            door.wait_until(lambda: door.get(f"/v1/buses/{name}/rules/shop-pack/status").json().get("delivered") == 4)
            check_the_books(door, name)
    assert sorted(event.id for event in handled) == ["1", "2", "4", "5"]
    assert {event.attempt for event in handled if event.id == "2"} == {2}
    assert all(event.delivery.endswith(f"-{event.position}-0") for event in handled)


class Dying(httpx.AsyncHTTPTransport):
    """As if the process died before its first acknowledgement."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/acknowledge"):
            raise httpx.WriteError("killed")
        return await super().handle_async_request(request)


def test_what_comes_of_an_event_is_there_once_though_the_event_was_handled_twice(door: ServedBus, name: str) -> None:
    publish(door, name, 1)
    attempts: list[int] = []
    stop = threading.Event()

    def packing(client: AsyncClient | None) -> Service:
        service = Service("shop", url=door.url, bus=name, client=client)

        @service.on("order.paid", start="earliest", lease_s=1.0)
        def pack(event: CloudEvent[Any]) -> dict[str, Any]:
            attempts.append(event.attempt)
            return {"type": "order.packed", "data": event.data}

        return service

    async def killed() -> None:
        async with AsyncClient(door.url, transport=Dying(), patience=Patience(attempts_max=1)) as client:
            await packing(client).work()

    async def revived() -> None:
        working = asyncio.create_task(packing(None).work(stop))
        await asyncio.to_thread(
            lambda: door.wait_until(lambda: door.get(f"/v1/buses/{name}/rules/shop-pack/status").json()["delivered"] == 1)
        )
        stop.set()
        await working

    with pytest.raises(Unreachable, match="killed"):
        asyncio.run(killed())
    assert len(events_of(door, name, "order.packed")) == 1
    asyncio.run(revived())
    assert attempts == [1, 2]
    assert len(events_of(door, name, "order.packed")) == 1


def test_the_same_registration_again_changes_nothing(door: ServedBus, name: str) -> None:
    service = shop(door, name, print)

    async def run() -> None:
        await service.register()
        await service.register()
        await service.close()

    asyncio.run(run())
    state = door.get(f"/v1/buses/{name}/rules/shop-pack").json()["state"]
    assert state["version"] == state["uid"]


def test_who_is_stopped_while_the_bus_is_away_stops() -> None:
    service, stop = Service("shop", url="http://127.0.0.1:9"), threading.Event()

    @service.on("order.paid")
    def pack(_event: CloudEvent[Any]) -> None:
        """Never called."""

    async def run() -> None:
        working = asyncio.create_task(service.work(stop))
        stop.set()
        await asyncio.wait_for(working, WAIT_S)

    asyncio.run(run())
