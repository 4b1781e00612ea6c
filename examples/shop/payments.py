"""Payments charges every order that was placed. A charge that fails is an event like any other: somebody may act on it."""

from service import Event, Service, run  # type: ignore[import-not-found]  # beside this script

RULE = {
    "pattern": {"type": ["order.placed"]},
    "description": "Charge every order",
    "owner": "team-payments",
}


def receive(payments: Service, event: Event) -> None:
    order = event["data"]
    if order["card"] == "expired":
        payments.publish("payment.failed", order["order"], {**order, "reason": "the card has expired"})
        payments.say(f"{order['order']} could not be charged: the card has expired")
    else:
        payments.publish("order.paid", order["order"], order)
        payments.say(f"{order['order']} charged: {order['total']:.2f} {order['currency']}")


if __name__ == "__main__":
    run("payments", RULE, receive)
