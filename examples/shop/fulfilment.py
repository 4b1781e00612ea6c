"""Fulfilment reserves what is ordered, ships what is paid, and gives back what is not. It says when a shelf is empty."""

import sqlite3
from typing import Any

from shop import URL, Memory, say  # type: ignore[import-not-found]  # beside this script

from eventyard.client import CloudEvent, Service

Order = dict[str, Any]

SHELF = {"book": 100, "mug": 4, "lamp": 0}

service = Service("fulfilment", url=URL, owner="team-fulfilment", source="/shop/fulfilment")
memory = Memory(
    "fulfilment", "CREATE TABLE IF NOT EXISTS parcels (number TEXT PRIMARY KEY, item TEXT, quantity INTEGER, state TEXT)"
)


@service.on("order.placed")
def reserve(event: CloudEvent[Order]) -> None:
    """Reserve what is ordered."""
    with memory.once(event) as db:
        if db:
            reserved(db, event.data)


@service.on("order.paid")
def ship(event: CloudEvent[Order]) -> None:
    """Ship what is paid, or say that there is nothing left to ship."""
    order = event.data
    with memory.once(event) as db:
        if db and reserved(db, order):
            db.execute("UPDATE parcels SET state = 'shipped' WHERE number = ?", (order["order"],))
            told = {"order": order["order"], "item": order["item"], "left": left(db, order["item"])}
            memory.publish(db, "order.shipped", told, event)
            say(f"{order['order']} shipped: {order['quantity']} x {order['item']}")
        elif db:
            reason = f"no {order['item']} left"
            memory.publish(db, "item.out-of-stock", {**order, "reason": reason}, event)
            say(f"{order['order']} cannot be shipped: {reason}")


@service.on("payment.failed")
def release(event: CloudEvent[Order]) -> None:
    """Put back what nobody pays."""
    order = event.data
    with memory.once(event) as db:
        if db and reserved(db, order):
            db.execute("UPDATE parcels SET state = 'released' WHERE number = ?", (order["order"],))
            say(f"{order['order']} released: {order['quantity']} x {order['item']} back on the shelf")


def reserved(db: sqlite3.Connection, order: Order) -> bool:
    """Whether the order has its goods. After a time away `order.paid` may come before `order.placed`: whichever is first reserves."""
    if found := db.execute("SELECT state FROM parcels WHERE number = ?", (order["order"],)).fetchone():
        return bool(found[0] == "reserved")
    state = "reserved" if left(db, order["item"]) >= order["quantity"] else "short"
    db.execute("INSERT INTO parcels VALUES (?, ?, ?, ?)", (order["order"], order["item"], order["quantity"], state))
    if state == "reserved":
        say(f"{order['order']} reserved: {order['quantity']} x {order['item']}")
    return state == "reserved"


def left(db: sqlite3.Connection, item: str) -> int:
    """How many are on the shelf that nobody has ordered."""
    out = "SELECT coalesce(sum(quantity), 0) FROM parcels WHERE item = ? AND state IN ('reserved', 'shipped')"
    return int(SHELF.get(item, 0) - db.execute(out, (item,)).fetchone()[0])


if __name__ == "__main__":
    memory.start_relay()
    service.run()
