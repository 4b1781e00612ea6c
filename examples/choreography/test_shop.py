"""The choreography of the shop: who reacts to what, also when something goes wrong. Run it with `pytest`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import payments, receiver  # type: ignore[import-not-found]  # beside this file

from eventyard.testing import Bus, Receiver

RULES = Path(__file__).parent / "rules"


@pytest.fixture
def rewards(eventyard_bus: Bus) -> Receiver:
    """A service in another language, of which we have the rule: a function stands for it."""
    eventyard_bus.apply(RULES)
    return eventyard_bus.receiver("http://rewards.internal/events")


@pytest.fixture
def fulfilment(eventyard_bus: Bus) -> Receiver:
    return eventyard_bus.serve(receiver)


@pytest.fixture
def shop(eventyard_bus: Bus, rewards: Receiver, fulfilment: Receiver) -> Iterator[Bus]:
    """All of it. In the end nothing may be left undone."""
    eventyard_bus.run(payments)
    eventyard_bus.settle()
    yield eventyard_bus
    eventyard_bus.assert_all_delivered()


def place(shop: Bus, order: str, total: float) -> None:
    shop.publish(
        type="order.placed", source="/shop/orders", subject=order, data={"order": order, "item": "book", "total": total}
    )


def test_an_order_is_paid_shipped_and_rewarded(shop: Bus, rewards: Receiver) -> None:
    place(shop, "order-1", 25)
    shop.settle()
    shop.assert_published("order.shipped", times=1)
    assert [event["subject"] for event in rewards.events] == ["order-1"]


def test_a_small_order_earns_no_points(shop: Bus, rewards: Receiver) -> None:
    place(shop, "order-1", 5)
    shop.settle()
    shop.assert_published("order.paid", times=1)
    assert rewards.events == []


def test_an_order_ships_when_fulfilment_is_back(shop: Bus, fulfilment: Receiver) -> None:
    fulfilment.go_away()
    place(shop, "order-1", 25)
    shop.advance(minutes=10)
    shop.assert_published("order.shipped", times=0)
    fulfilment.come_back()
    shop.advance(minutes=10)
    shop.assert_published("order.shipped", times=1)


def test_orders_of_one_item_ship_in_their_order(shop: Bus, fulfilment: Receiver) -> None:
    fulfilment.hang(1)
    place(shop, "order-1", 25)
    place(shop, "order-2", 25)
    shop.settle()
    assert [fate.outcome for fate in shop.deliveries("fulfilment-ship")] == ["leased", "blocked"]
    shop.advance(seconds=6)
    assert [event["subject"] for event in shop.published("order.shipped")] == ["order-1", "order-2"]


def test_an_order_for_nothing_is_a_dead_letter(eventyard_bus: Bus) -> None:
    eventyard_bus.run(payments)
    eventyard_bus.settle()
    place(eventyard_bus, "order-1", 0)
    eventyard_bus.settle()
    (dead,) = eventyard_bus.deliveries("payments-charge")
    assert (dead.outcome, dead.answers[0].body) == ("dead", "there is nothing to charge")
