"""Orders takes what customers want, and says that it happened. It knows nobody who might care."""

from service import Event, Service, run  # type: ignore[import-not-found]  # beside this script

RULE = {
    "pattern": {"type": ["order.shipped", "payment.failed", "item.out-of-stock"]},
    "description": "What became of an order",
    "owner": "team-orders",
}


def place(orders: Service, order: Event) -> None:
    """POST /orders, by a customer: the one thing in the shop that is asked for. All else is reaction."""
    orders.remember(order["order"], "placed")
    orders.publish("order.placed", order["order"], order)
    orders.say(f"{order['order']} placed: {order['quantity']} x {order['item']}, {order['total']:.2f} {order['currency']}")


def receive(orders: Service, event: Event) -> None:
    number = event["subject"]
    if event["type"] == "order.shipped":
        orders.remember(number, "shipped")
        orders.say(f"{number} is on its way: done")
        return
    reason = event["data"]["reason"]
    orders.remember(number, "cancelled")
    orders.publish("order.cancelled", number, {"order": number, "reason": reason})
    orders.say(f"{number} cancelled: {reason}")


if __name__ == "__main__":
    run("orders", RULE, receive, {"/orders": place})
