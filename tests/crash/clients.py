"""Producers for the crash suite: each numbers its events, keeps what was answered, and sends again what was not."""

import http.client
import json
import random
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

REQUEST_S = 10.0

KEYS = 40
"""Subjects, under which a rule may keep order."""


class Address:
    """Where the server listens now; empty while it is down."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._url = ""
        self._is_over = False
        self._tell: list[Callable[[str], None]] = []

    def tell(self, tell: Callable[[str], None]) -> None:
        """Of every change."""
        self._tell.append(tell)

    def set(self, url: str) -> None:
        for tell in self._tell:
            tell(url)
        with self._changed:
            self._url = url
            self._changed.notify_all()

    def end(self) -> None:
        """It will listen nowhere any more: nobody waits."""
        with self._changed:
            self._url, self._is_over = "", True
            self._changed.notify_all()

    def get(self, timeout_s: float) -> str:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._url) or self._is_over, timeout_s)
            return self._url


class Answer(msgspec.Struct, frozen=True):
    """One answered event. `is_again`: it had been answered before."""

    id: str
    position: int
    is_duplicate: bool
    is_again: bool


class Client:
    """Publishes on its own thread until told to stop. A request without an answer is sent again with the same events."""

    def __init__(self, number: int, address: Address, seed: int, bus: str = "default") -> None:
        self.source = f"/client/{number}"
        self._path = f"/v1/buses/{bus}/events"
        self.answers: list[Answer] = []
        self.errors: list[str] = []
        self.sent = 0
        self._address = address
        self._rng = random.Random(seed * 100 + number)
        self._stopping = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Every event sent is answered when this returns, as long as the server is up."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self.answers and self._rng.random() < 0.05:
                self._send_surely([self._rng.choice(self.answers).id], is_again=True)
            else:
                self._send_surely(self._fresh(self._rng.choice((1, 1, 1, 10, 50))), is_again=False)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _fresh(self, count: int) -> list[str]:
        first, self.sent = self.sent + 1, self.sent + count
        return [str(number) for number in range(first, self.sent + 1)]

    def _send_surely(self, ids: list[str], *, is_again: bool) -> None:
        while True:
            try:
                answered = self._send(ids)
            except (OSError, http.client.HTTPException):
                self._hang_up()
                continue
            if answered is not None:
                self._keep(ids, answered, is_again=is_again)
                return

    def _send(self, ids: list[str]) -> list[dict[str, Any]] | None:
        url = self._address.get(REQUEST_S)
        parts = urlsplit(url)
        if not parts.hostname:
            return None
        if self._connection is not None and self._connection.port != parts.port:
            self._hang_up()
        if self._connection is None:
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=REQUEST_S)
        body = json.dumps([self._event(event) for event in ids])
        headers = {"content-type": "application/cloudevents-batch+json"}
        self._connection.request("POST", self._path, body, headers)
        response = self._connection.getresponse()
        return self._read(response.status, response.read())

    def _read(self, status: int, body: bytes) -> list[dict[str, Any]] | None:
        """The verdicts, or None where the server asks to come back."""
        if status == 202:
            verdicts: list[dict[str, Any]] = json.loads(body)["events"]
            return verdicts
        if status not in {429, 503, 507}:
            self.errors.append(f"{status} {body!r}")
        return None

    def _event(self, name: str) -> dict[str, Any]:
        number, parity = int(name), "odd" if int(name) % 2 else "even"
        attributes = {"specversion": "1.0", "id": name, "source": self.source, "type": f"number.{parity}"}
        return attributes | {"subject": f"key-{number % KEYS}", "data": {"n": number}}

    def _keep(self, ids: list[str], answered: list[dict[str, Any]], *, is_again: bool) -> None:
        for name, verdict in zip(ids, answered, strict=True):
            if "position" in verdict:
                is_duplicate = bool(verdict.get("duplicate"))
                self.answers.append(Answer(name, verdict["position"], is_duplicate, is_again))
            else:
                self.errors.append(f"event {name}: {verdict}")
