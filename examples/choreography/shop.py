"""Two services of a shop, as they run. Nothing in them knows of tests, of each other, or of who else listens."""

from dataclasses import dataclass

from eventyard.client import CloudEvent, Reject, Service

payments = Service("payments", owner="team-payments")
fulfilment = Service("fulfilment", owner="team-fulfilment")

receiver = fulfilment.receiver("http://fulfilment.internal/events", timeout_s=5)
"""Fulfilment is pushed to: this is what its server runs. Payments fetches: `payments.run()`."""


@dataclass
class Order:
    order: str
    item: str
    total: float


@payments.on("order.placed")
def charge(event: CloudEvent[Order]) -> dict[str, object]:
    """Charge every order."""
    if event.data.total <= 0:
        raise Reject("there is nothing to charge")
    return {"type": "order.paid", "subject": event.subject, "data": event.data}


@fulfilment.on("order.paid", delivery={"order": "key", "key": "data.item"})
def ship(event: CloudEvent[Order]) -> dict[str, object]:
    """Ship what is paid, one after the other of each item."""
    return {"type": "order.shipped", "subject": event.subject, "data": {"order": event.data.order}}
