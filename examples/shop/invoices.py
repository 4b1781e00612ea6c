"""Invoices bills what was paid, and credits what cannot be delivered. It refuses money that it does not know."""

import os

from service import Event, Service, Unreadable, run  # type: ignore[import-not-found]  # beside this script

RULE = {
    "pattern": {"type": ["order.paid", "item.out-of-stock"]},
    "description": "Bill and credit",
    "owner": "team-invoices",
}

CURRENCIES = os.environ.get("INVOICES_CURRENCIES", "EUR").split(",")
"""Those that this release can read."""


def receive(invoices: Service, event: Event) -> None:
    """An invoice and its credit note stand on their own, so it does not matter which of the two events comes first."""
    order = event["data"]
    if order["currency"] not in CURRENCIES:
        invoices.say(f"{order['order']} refused: cannot read the currency {order['currency']}")
        raise Unreadable(f"cannot read the currency {order['currency']}; this release knows {', '.join(CURRENCIES)}")
    kind = "credit-note" if event["type"] == "item.out-of-stock" else "invoice"
    number = invoices.recall("last number", 0) + 1
    invoices.remember("last number", number)
    invoices.remember(f"{kind} for {order['order']}", number)
    invoices.publish(f"{kind}.issued", order["order"], {"order": order["order"], "number": number, "total": order["total"]})
    invoices.say(f"{kind} {number} for {order['order']}: {order['total']:.2f} {order['currency']}")


if __name__ == "__main__":
    run("invoices", RULE, receive)
