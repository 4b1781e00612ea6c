"""Payments charges every order that was placed. A charge that fails is an event like any other: somebody may act on it."""

from typing import Any

from shop import URL, Memory, say  # type: ignore[import-not-found]  # beside this script

from eventyard.client import CloudEvent, Service

service = Service("payments", url=URL, owner="team-payments", source="/shop/payments")
memory = Memory("payments", "CREATE TABLE IF NOT EXISTS charges (number TEXT PRIMARY KEY, total REAL NOT NULL)")

EXPIRED = "the card has expired"


@service.on("order.placed")
def charge(event: CloudEvent[dict[str, Any]]) -> dict[str, Any]:
    """Charge every order."""
    order = event.data
    is_charged = order["card"] != "expired"
    with memory.once(event) as db:
        if db:  # once, however often the event comes; what is returned may go out twice, for its id comes of the event's
            db.execute("INSERT INTO charges VALUES (?, ?)", (event.subject, order["total"] if is_charged else 0))
            outcome = f"charged: {order['total']:.2f} {order['currency']}" if is_charged else f"could not be charged: {EXPIRED}"
            say(f"{event.subject} {outcome}")
    if is_charged:
        return {"type": "order.paid", "subject": event.subject, "data": order}
    return {"type": "payment.failed", "subject": event.subject, "data": {**order, "reason": EXPIRED}}


if __name__ == "__main__":
    service.run()
