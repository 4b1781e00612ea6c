"""Consumers for the crash suite: each receives from one rule, says what became of it, and keeps what it was answered.

What it acknowledged it says again until it is answered, however often the server dies meanwhile. Some deliveries it gives back, and some it
forgets, so that their leases run out.
"""

import http.client
import json
import random
import threading
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tests.crash.clients import REQUEST_S, Address
from tests.crash.receiver import Identity

RELEASED_SHARE = 0.1
FORGOTTEN_SHARE = 0.1
BATCH_MAX = 30


class Received(msgspec.Struct, frozen=True):
    """One delivery as it was given out. `lease` counts the leases of the delivery."""

    id: str
    identity: Identity
    lease: int
    attempt: int


class Puller:
    """`acknowledged`: by delivery, the number of the lease whose acknowledgement was answered ok."""

    def __init__(self, number: int, rule: str, address: Address, seed: int) -> None:
        self.received: list[Received] = []
        self.acknowledged: dict[str, int] = {}
        self.errors: list[str] = []
        self._path = f"/v1/buses/default/rules/{rule}"
        self._address = address
        self._rng = random.Random(seed * 1_000 + number)
        self._stopping = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """All that it acknowledged was answered when this returns, as long as the server is up."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            answer = self._ask("receive", {"max": self._rng.randint(1, BATCH_MAX), "wait_s": 0.1})
            if answer is not None and answer["deliveries"]:
                self._take(answer["deliveries"])
        self._hang_up()

    def _take(self, deliveries: list[dict[str, Any]]) -> None:
        for delivery in deliveries:
            event = delivery["event"]
            lease = int(delivery["lease"].rpartition("-")[2])
            self.received.append(Received(delivery["id"], (event["source"], event["id"]), lease, delivery["attempt"]))
        leases = [delivery["lease"] for delivery in deliveries]
        chance = self._rng.random()
        if chance < RELEASED_SHARE:
            self._ask("release", {"leases": leases})
        elif chance > RELEASED_SHARE + FORGOTTEN_SHARE:
            self._acknowledge_surely(leases)

    def _acknowledge_surely(self, leases: list[str]) -> None:
        answer = None
        while answer is None:
            answer = self._ask("acknowledge", {"leases": leases})
        for result in answer["results"]:
            name, _, number = result["lease"].rpartition("-")
            if result["ok"]:
                self.acknowledged[name] = int(number)
            elif result["reason"] != "superseded":
                self.errors.append(f"{result}")

    def _ask(self, verb: str, document: Any) -> Any:
        """The answer, or None where there was none or the server asks to come back."""
        try:
            return self._asked(verb, document)
        except (OSError, http.client.HTTPException):
            self._hang_up()
            return None

    def _asked(self, verb: str, document: Any) -> Any:
        parts = urlsplit(self._address.get(REQUEST_S))
        if not parts.hostname:
            return None
        if self._connection is None or self._connection.port != parts.port:
            self._hang_up()
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=REQUEST_S)
        self._connection.request("POST", f"{self._path}/{verb}", json.dumps(document), {"content-type": "application/json"})
        response = self._connection.getresponse()
        body = response.read()
        if response.status == http.HTTPStatus.OK:
            return json.loads(body)
        if response.status not in {404, 503, 507}:  # 404: the rule is not put yet.
            self.errors.append(f"{response.status} {body!r}")
        return None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
