"""The choreography of the whole shop, in one process and without a server: `pytest examples/shop`.

The services are the ones that the demo starts. Invoices speaks HTTP by itself, so a function stands for it, under the very rule that it puts.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eventyard.testing import Bus, Receiver, Reply, Request

SERVICES = ("orders", "payments", "fulfilment", "rewards")


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """Each with a memory of its own, which is new."""
    monkeypatch.setenv("SHOP_DATA", str(tmp_path))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    for name in ("shop", *SERVICES):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return {name: importlib.import_module(name) for name in SERVICES}


@pytest.fixture
def invoices(eventyard_bus: Bus) -> Receiver:
    """Knows one currency, as the release in the demo does at first."""

    def bill(request: Request) -> Reply:
        return Reply(204 if request.event["data"]["currency"] == "EUR" else 422)

    eventyard_bus.put_rule("invoices", importlib.import_module("invoices").rule("http://invoices/events"))
    return eventyard_bus.receiver("http://invoices", bill)


@pytest.fixture
def shop(eventyard_bus: Bus, services: dict[str, ModuleType], invoices: Receiver) -> Bus:
    for service in services.values():
        eventyard_bus.run(service.service)
        eventyard_bus.relay(service.memory.outbox, service.memory.connect)
    eventyard_bus.settle()
    return eventyard_bus


def order(number: int, **changes: Any) -> dict[str, Any]:
    plain = {"order": f"order-{number}", "item": "book", "quantity": 1, "total": 42, "currency": "EUR", "card": "good"}
    return plain | changes


def kinds(shop: Bus) -> list[str]:
    return [event["type"] for event in shop.published()]


def test_an_order_that_goes_well(shop: Bus, services: dict[str, ModuleType]) -> None:
    services["orders"].place(order(1))
    shop.settle()
    assert set(kinds(shop)) == {"order.placed", "order.paid", "order.shipped", "points.granted"}
    shop.assert_published({"type": ["points.granted"], "data": {"points": [42]}}, times=1)
    shop.assert_delivered("orders-close", "order.shipped", times=1)
    shop.assert_all_delivered()


def test_a_card_that_has_expired_cancels_and_puts_back(shop: Bus, services: dict[str, ModuleType]) -> None:
    services["orders"].place(order(1, card="expired"))
    shop.settle()
    assert set(kinds(shop)) == {"order.placed", "payment.failed", "order.cancelled"}
    shop.assert_delivered("fulfilment-release", "payment.failed", times=1)


def test_an_empty_shelf_cancels_and_credits(shop: Bus, services: dict[str, ModuleType], invoices: Receiver) -> None:
    services["orders"].place(order(1, item="lamp"))
    shop.settle()
    shop.assert_published({"type": ["order.cancelled"], "data": {"reason": ["no lamp left"]}}, times=1)
    assert [event["type"] for event in invoices.events] == ["order.paid", "item.out-of-stock"]


def test_a_currency_that_invoices_cannot_read_keeps_nobody_else(shop: Bus, services: dict[str, ModuleType]) -> None:
    services["orders"].place(order(1, currency="SEK"))
    shop.settle()
    assert [fate.outcome for fate in shop.deliveries("invoices")] == ["dead"]
    shop.assert_published("order.shipped", times=1)


def test_invoices_that_was_away_bills_once_when_it_is_back(
    shop: Bus, services: dict[str, ModuleType], invoices: Receiver
) -> None:
    invoices.go_away()
    services["orders"].place(order(1))
    shop.advance(minutes=2)
    shop.assert_published("order.shipped", times=1)
    invoices.come_back()
    shop.advance(minutes=5)  # by then its breaker has let a probe through
    assert [event["subject"] for event in invoices.events] == ["order-1"]
    shop.assert_all_delivered()


def test_what_is_paid_and_not_shipped_in_time_is_overdue_until_it_is(
    eventyard_bus: Bus, services: dict[str, ModuleType]
) -> None:
    eventyard_bus.apply(Path(__file__).parent / "watch.yaml")
    for name in ("orders", "payments"):
        eventyard_bus.run(services[name].service)
    eventyard_bus.relay(services["orders"].memory.outbox, services["orders"].memory.connect)
    services["orders"].place(order(1))
    eventyard_bus.advance(minutes=1)
    [overdue] = eventyard_bus.assert_published({"type": ["order.overdue"], "subject": ["order-1"]}, times=1)
    assert overdue["data"]["waited_s"] == 2

    eventyard_bus.run(services["fulfilment"].service)
    eventyard_bus.relay(services["fulfilment"].memory.outbox, services["fulfilment"].memory.connect)
    services["orders"].place(order(2))
    eventyard_bus.settle()
    eventyard_bus.assert_published({"type": ["order.shipped"]}, times=1)
    eventyard_bus.advance(minutes=1)
    eventyard_bus.assert_published("order.overdue", times=1)


def test_a_shelf_of_which_few_are_left_is_told_once(shop: Bus, services: dict[str, ModuleType]) -> None:
    shop.apply(Path(__file__).parent / "watch.yaml")
    for number in (1, 2, 3):
        services["orders"].place(order(number, item="mug", order=f"order-{number}"))
        shop.settle()
    [low] = shop.assert_published("shelf.low", times=1)
    assert (low["subject"], low["data"]["after"]) == ("mug", {"data.left": 2})
    shop.assert_published("order.overdue", times=0)
