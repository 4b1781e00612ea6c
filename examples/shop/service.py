"""What the services of the shop share: HTTP in, HTTP out, and a memory that survives a kill. Standard library only.

    POST /events   the bus pushes an event here: 200 taken, 422 cannot be read (so the bus need not try again)
    GET  /report   what this service took and published, for the account at the end of the demo

A bus delivers at least once, and a process can die at any moment. Two habits make both harmless:

- To take an event, to remember its id, and to write down what follows from it is one transaction. So an event that comes
  twice changes nothing the second time, and one that was half taken was not taken: no 200, so the bus sends it again.
- What is to be published waits in the outbox until the bus has answered 202. It is sent again under the same id until
  then, and the bus accepts an id once.
"""

import argparse
import datetime
import json
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

Event = dict[str, Any]
Receive = Callable[["Service", Event], None]

TABLES = """
    CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, type TEXT NOT NULL, times INTEGER NOT NULL DEFAULT 1);
    CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY, event TEXT NOT NULL, position INTEGER);
    CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Unreadable(Exception):
    """This service cannot read the event, and the same event again will not help: the bus keeps it as a dead letter."""


class Service:
    """One service: what it knows stands in one SQLite file, so that a new process goes on where a killed one ended."""

    def __init__(self, name: str, bus: str, file: Path, receive: Receive) -> None:
        self.name = name
        self._bus = f"{bus}/v1/buses/default"
        self._receive = receive
        self._cause = ""
        self._lock = threading.Lock()
        self._has_news = threading.Event()
        self._memory = sqlite3.connect(file, check_same_thread=False)
        self._memory.executescript(TABLES)

    # What a service's own code uses, while it handles an event

    def publish(self, kind: str, subject: str, data: Mapping[str, Any]) -> None:
        """Say what happened. It is on its way when the transaction is done."""
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": f"/shop/{self.name}",
            "type": kind,
            "subject": subject,
            "time": datetime.datetime.now(datetime.UTC).isoformat(),
            "data": data,
        }
        if self._cause:
            event["causationid"] = self._cause
        self._memory.execute("INSERT INTO outbox (event) VALUES (?)", (json.dumps(event),))

    def recall(self, name: str, default: Any = None) -> Any:
        row = self._memory.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def remember(self, name: str, value: Any) -> None:
        self._memory.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def say(self, text: str) -> None:
        """One line, in one write: several threads speak."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    # Receiving

    def take(self, event: Event) -> None:
        """Handle an event once, however often it comes. Raises Unreadable, and then nothing of it is kept."""
        with self._lock, self._memory:
            counted = self._memory.execute("UPDATE inbox SET times = times + 1 WHERE id = ?", (event["id"],))
            if counted.rowcount == 0:
                self._memory.execute("INSERT INTO inbox (id, type) VALUES (?, ?)", (event["id"], event["type"]))
                self._cause = event["id"]
                self._receive(self, event)
        self._has_news.set()

    def do(self, action: Receive, document: Event) -> None:
        """Handle a request that is not an event, as an order of a customer."""
        with self._lock, self._memory:
            self._cause = ""
            action(self, document)
        self._has_news.set()

    # Publishing

    def subscribe(self, rule: Mapping[str, Any], url: str) -> None:
        """Put this service's one rule on the bus: which events, and where to. The same rule again changes nothing."""
        delivery = {"backoff": {"initial_s": 0.2, "factor": 2, "max_s": 1}}
        target = {"http": {"url": f"{url}/events", "mode": "structured", "timeout_s": 5}}
        ask("PUT", f"{self._bus}/rules/{self.name}", {"target": target, "delivery": delivery, **rule})

    def send_outbox(self) -> None:
        """For ever: whatever the outbox holds goes to the bus, in order."""
        while True:
            for number, event in self._unsent():
                answer = ask("POST", f"{self._bus}/events", json.loads(event))
                with self._lock, self._memory:
                    self._memory.execute("UPDATE outbox SET position = ? WHERE number = ?", (answer["position"], number))
            self._has_news.wait()
            self._has_news.clear()

    def _unsent(self) -> list[tuple[int, str]]:
        with self._lock:
            return self._memory.execute("SELECT number, event FROM outbox WHERE position IS NULL ORDER BY number").fetchall()

    # The account

    def report(self) -> dict[str, Any]:
        with self._lock:
            inbox = self._memory.execute("SELECT id, times FROM inbox").fetchall()
            outbox = self._memory.execute("SELECT event, position FROM outbox").fetchall()
            facts = self._memory.execute("SELECT name, value FROM facts").fetchall()
        return {
            "received": dict(inbox),
            "published": [json.loads(event)["id"] for event, _ in outbox],
            "unsent": sum(position is None for _, position in outbox),
            "facts": {name: json.loads(value) for name, value in facts},
        }


def ask(method: str, url: str, document: Mapping[str, Any]) -> Any:
    """The bus's answer. While it cannot be reached or is too busy, ask again; a refusal is our own mistake and ends us."""
    kind = "application/cloudevents+json" if method == "POST" else "application/json"
    request = Request(url, json.dumps(document).encode(), {"content-type": kind}, method=method)  # noqa: S310 - our own URL
    while True:
        try:
            with urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
                return json.load(answer)
        except HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise SystemExit(f"{method} {url}: {error.code} {error.read().decode()}") from error
        except (OSError, HTTPException):
            pass
        time.sleep(0.2)


class Door(BaseHTTPRequestHandler):
    """HTTP to the service. `service` and `actions` are set on a subclass of its own (see `run`)."""

    service: Service
    actions: Mapping[str, Receive]

    def do_POST(self) -> None:
        """Any other exception than Unreadable goes up: the bus gets no answer, and tries again later."""
        document = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            if self.path == "/events":
                self.service.take(document)
            else:
                self.service.do(self.actions[self.path], document)
        except Unreadable as reason:
            self._answer(422, {"error": str(reason)})
        else:
            self._answer(200, {})

    def do_GET(self) -> None:
        self._answer(200, self.service.report())

    def _answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet: the service says what matters itself."""


def run(name: str, rule: Mapping[str, Any], receive: Receive, actions: Mapping[str, Receive] | None = None) -> None:
    """Run a service until it is ended: listen, put the rule on the bus, publish what the outbox holds."""
    parser = argparse.ArgumentParser(description=f"The service {name} of the shop.")
    parser.add_argument("--bus", default="http://127.0.0.1:8410", help="the URL of the bus")
    parser.add_argument("--port", type=int, default=0, help="where to listen (0: any free port)")
    parser.add_argument("--data", type=Path, default=Path(), help="the folder for this service's memory")
    arguments = parser.parse_args()
    service = Service(name, arguments.bus, arguments.data / f"{name}.db", receive)
    door = type("OwnDoor", (Door,), {"service": service, "actions": actions or {}})
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    service.subscribe(rule, url)
    service.say(f"listens at {url}")
    service.say(f"its rule: {json.dumps(rule['pattern'])}")
    service.send_outbox()
