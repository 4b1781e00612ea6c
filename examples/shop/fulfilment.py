"""Fulfilment reserves what is ordered, ships what is paid, and gives back what is not. It says when a shelf is empty."""

from service import Event, Service, run  # type: ignore[import-not-found]  # beside this script

RULE = {
    "pattern": {"type": ["order.placed", "order.paid", "payment.failed"]},
    "description": "Reserve, ship, release",
    "owner": "team-fulfilment",
}

SHELF = {"book": 100, "mug": 100, "lamp": 0}


def receive(fulfilment: Service, event: Event) -> None:
    """After a time away, `order.paid` may come before `order.placed`: whichever is first reserves, a late one finds it done."""
    order = event["data"]
    number = order["order"]
    state = fulfilment.recall(number) or reserve(fulfilment, order)
    if event["type"] == "order.paid" and state == "reserved":
        fulfilment.remember(number, "shipped")
        fulfilment.publish("order.shipped", number, {"order": number, "item": order["item"]})
        fulfilment.say(f"{number} shipped: {order['quantity']} x {order['item']}")
    elif event["type"] == "order.paid" and state == "short":
        reason = f"no {order['item']} left"
        fulfilment.publish("item.out-of-stock", number, {**order, "reason": reason})
        fulfilment.say(f"{number} cannot be shipped: {reason}")
    elif event["type"] == "payment.failed" and state == "reserved":
        fulfilment.remember(number, "released")
        put_back(fulfilment, order["item"], order["quantity"])
        fulfilment.say(f"{number} released: {order['quantity']} x {order['item']} back on the shelf")


def reserve(fulfilment: Service, order: Event) -> str:
    """`reserved`, or `short` where the shelf does not hold enough."""
    left = fulfilment.recall(f"shelf {order['item']}", SHELF.get(order["item"], 0))
    state = "reserved" if left >= order["quantity"] else "short"
    if state == "reserved":
        put_back(fulfilment, order["item"], -order["quantity"])
        fulfilment.say(f"{order['order']} reserved: {order['quantity']} x {order['item']}")
    fulfilment.remember(order["order"], state)
    return state


def put_back(fulfilment: Service, item: str, quantity: int) -> None:
    fulfilment.remember(f"shelf {item}", fulfilment.recall(f"shelf {item}", SHELF.get(item, 0)) + quantity)


if __name__ == "__main__":
    run("fulfilment", RULE, receive)
