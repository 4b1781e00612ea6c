"""Invoices bills what was paid, and credits what cannot be delivered. It refuses money that it does not know.

Of the bus it has nothing but HTTP, and of Python the standard library: its rule is one PUT, an event comes as one POST, and what it
says in its turn is one POST.
"""

import json
import os
import sqlite3
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

BUS = os.environ.get("EVENTYARD_URL", "http://127.0.0.1:8410") + "/v1/buses/default"
FILE = Path(os.environ.get("SHOP_DATA", ".")) / "invoices.db"
TABLE = "CREATE TABLE IF NOT EXISTS invoices (number INTEGER PRIMARY KEY, event TEXT UNIQUE, kind TEXT)"

CURRENCIES = os.environ.get("INVOICES_CURRENCIES", "EUR").split(",")
"""Those that this release can read."""


class Unreadable(Exception):
    """The same event again will not help: the bus keeps it as a dead letter."""


class Door(BaseHTTPRequestHandler):
    """204: taken. 422: cannot be read. Any other failure goes up: the bus gets no answer, and tries again later."""

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            bill(event)
            self.send_response(204)
            self.end_headers()
        except Unreadable as reason:
            self.send_response(422)
            self.end_headers()
            self.wfile.write(str(reason).encode())

    def log_message(self, *_: Any) -> None:
        """Quiet: the service says what matters itself."""


def bill(event: dict[str, Any]) -> None:
    """An event that comes twice gets the number that it has, and is answered under the id that it had: the bus takes that once."""
    order = event["data"]
    if order["currency"] not in CURRENCIES:
        print(f"{order['order']} refused: cannot read the currency {order['currency']}", flush=True)
        raise Unreadable(f"cannot read the currency {order['currency']}; this release knows {', '.join(CURRENCIES)}")
    kind = "credit-note" if event["type"] == "item.out-of-stock" else "invoice"
    number = number_of(event["id"], kind)
    ask("POST", "/events", issued(event, kind, number))
    print(f"{kind} {number} for {order['order']}: {order['total']:.2f} {order['currency']}", flush=True)


def number_of(event: str, kind: str) -> int:
    with closing(sqlite3.connect(FILE)) as memory, memory:
        memory.execute("INSERT OR IGNORE INTO invoices (event, kind) VALUES (?, ?)", (event, kind))
        return int(memory.execute("SELECT number FROM invoices WHERE event = ?", (event,)).fetchone()[0])


def issued(event: dict[str, Any], kind: str, number: int) -> dict[str, Any]:
    order = event["data"]
    return {
        "specversion": "1.0",
        "id": f"{kind}-of-{event['id']}",
        "source": "/shop/invoices",
        "type": f"{kind}.issued",
        "subject": order["order"],
        "causationid": event["id"],
        "causationsource": event["source"],
        "data": {"order": order["order"], "number": number, "total": order["total"]},
    }


def ask(method: str, path: str, document: dict[str, Any]) -> None:
    kind = "application/cloudevents+json" if method == "POST" else "application/json"
    request = Request(BUS + path, json.dumps(document).encode(), {"content-type": kind}, method=method)  # noqa: S310 - our own bus
    urlopen(request, timeout=10).close()  # noqa: S310 - as above


def rule(url: str) -> dict[str, Any]:
    return {
        "pattern": {"type": ["order.paid", "item.out-of-stock"]},
        "target": {"http": {"url": url, "mode": "structured"}},
        "delivery": {"backoff": {"initial_s": 0.2, "max_s": 1}},
        "description": "Bill and credit",
        "owner": "team-invoices",
    }


if __name__ == "__main__":
    with closing(sqlite3.connect(FILE)) as new:
        new.execute(TABLE)
    door = HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9003"))), Door)
    print(f"listens at http://127.0.0.1:{door.server_port}/events", flush=True)
    ask("PUT", "/rules/invoices", rule(f"http://127.0.0.1:{door.server_port}/events"))
    door.serve_forever()
