"""Orders takes what customers want, and says that it happened. It knows nobody who might care."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from shop import URL, Memory, say  # type: ignore[import-not-found]  # beside this script

from eventyard.client import CloudEvent, Service

service = Service("orders", url=URL, owner="team-orders", source="/shop/orders")
memory = Memory("orders", "CREATE TABLE IF NOT EXISTS orders (number TEXT PRIMARY KEY, state TEXT NOT NULL)")


def place(order: dict[str, Any]) -> None:
    """By a customer: the one thing in the shop that is asked for. The order and the event that tells of it are one transaction."""
    with memory.transaction() as db:
        is_new = db.execute("INSERT OR IGNORE INTO orders VALUES (?, 'placed')", (order["order"],)).rowcount
        if is_new:
            memory.publish(db, "order.placed", order)
            say(f"{order['order']} placed: {order['quantity']} x {order['item']}, {order['total']:.2f} {order['currency']}")


@service.on("order.shipped")
def close(event: CloudEvent[dict[str, Any]]) -> None:
    """What has shipped is done."""
    with memory.once(event) as db:
        if db:
            db.execute("UPDATE orders SET state = 'shipped' WHERE number = ?", (event.subject,))
            say(f"{event.subject} is on its way: done")


@service.on({"type": ["payment.failed", "item.out-of-stock"]})
def cancel(event: CloudEvent[dict[str, Any]]) -> None:
    """What cannot be paid, or delivered, is cancelled."""
    with memory.once(event) as db:
        if db:
            db.execute("UPDATE orders SET state = 'cancelled' WHERE number = ?", (event.subject,))
            memory.publish(db, "order.cancelled", {"order": event.subject, "reason": event.data["reason"]}, event)
            say(f"{event.subject} cancelled: {event.data['reason']}")


class Door(BaseHTTPRequestHandler):
    """POST /orders, by customers. Events come another way: the service fetches them."""

    def do_POST(self) -> None:
        place(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet: the service says what matters itself."""


if __name__ == "__main__":
    door = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9001"))), Door)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    say(f"takes orders at http://127.0.0.1:{door.server_port}/orders")
    memory.start_relay()
    service.run()
