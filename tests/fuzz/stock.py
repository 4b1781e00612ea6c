"""What there is for a request to be led to, made anew by asking the same door: a lease, a dead letter, a replay, a key.

Each is made for the one request that uses it up. None where the door refuses: another request may just have taken the rule away.
"""

import itertools
from typing import Any

import httpx

BUS = "/v1/buses/default"
PULLED = ("ordered", "pulled")
EVERY: dict[str, Any] = {"type": [{"prefix": "shop."}]}
WAIT_S = 0.5

_numbers = itertools.count(1)


def event() -> dict[str, Any]:
    """One that every rule here takes, of a subject of its own: in order by key no other is before it."""
    number = next(_numbers)
    return {"specversion": "1.0", "id": f"{number}", "source": "/fuzz", "type": "shop.order.placed", "subject": f"{number}"}


WATCHED: dict[str, Any] = {
    "on": {"type": ["shop.order.placed"]},
    "when": {"subject": [{"prefix": "1"}]},
    "emit": {"rise": {"type": "seen"}},
}

SCHEDULED: dict[str, Any] = {"every_s": 86_400, "emit": {"type": "dawned"}}


EXPECTED: dict[str, Any] = {
    "after": {"type": ["shop.order.placed"]},
    "expect": {"type": ["shop.order.shipped"]},
    "within_s": 3_600,
    "emit": {"missed": {"type": "unseen"}},
}


def rules(nowhere: str) -> dict[str, Any]:
    """By name: two that are pulled, one of them in order, and one that is pushed to nobody."""
    return {
        "ordered": {"pattern": EVERY, "target": {"queue": {}}, "delivery": {"order": "key"}},
        "pulled": {"pattern": EVERY, "target": {"queue": {}}},
        "pushed": {"pattern": EVERY, "target": {"http": {"url": nowhere}}, "delivery": {"max_attempts": 1}},
    }


class Stock:
    """`rules`, by name, are put by `furnish`, and put back by `restore` after somebody changed one."""

    def __init__(self, url: str, key: str, rules: dict[str, Any]) -> None:
        self._door = httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30)
        self._rules = rules

    def furnish(self, events: int) -> None:
        for rule in self._rules:
            self.restore(rule)
        for _ in range(events):
            self._publish().raise_for_status()
        if not all(self.dead_letter(rule) for rule in PULLED):
            raise RuntimeError("found no dead letter, wanted one of each rule that is pulled")

    def restore(self, rule: str) -> None:
        self._ask("PUT", f"rules/{rule}", self._rules[rule])
        self._ask("POST", f"rules/{rule}/resume", {})

    def lease(self, rule: str) -> str | None:
        told = self._leased(rule)
        return told["lease"] if told else None

    def dead_letter(self, rule: str) -> str | None:
        told = self._leased(rule)
        return told["id"] if told and self._ask("POST", f"rules/{rule}/reject", {"leases": [told["lease"]]}) else None

    def replay(self, rule: str) -> int | None:
        told = self._ask("POST", f"rules/{rule}/replays", {"from": "earliest", "per_s": 1}) or self._ask(
            "GET", f"rules/{rule}/replays"
        )
        replays = told.get("replays", [told]) if told else []
        return replays[0]["run"] if replays else None

    def key_of(self, detector: str) -> str | None:
        """A key that the detector knows, once it has been put."""
        self._ask("PUT", f"detectors/{detector}", WATCHED)
        self._publish()
        told = self._ask("GET", f"detectors/{detector}/keys", None)
        return told["keys"][0]["key"] if told and told["keys"] else None

    def schedule(self, name: str) -> None:
        self._ask("PUT", f"schedules/{name}", SCHEDULED)

    def backtest(self, tried: dict[str, Any]) -> str | None:
        """Of what stands under the name of its kind."""
        told = self._ask("POST", f"backtest/{next(iter(tried))}s", tried)
        return told["backtest"] if told else None

    def expected_key(self, expectation: str) -> str | None:
        """A key that the expectation has open, once it has been put."""
        self._ask("PUT", f"expectations/{expectation}", EXPECTED)
        self._publish()
        told = self._ask("GET", f"expectations/{expectation}/keys", None)
        return told["keys"][0]["key"] if told and told["keys"] else None

    def bus(self) -> str | None:
        answer = self._door.put("/v1/buses/brief")
        return answer.json()["name"] if answer.is_success else None

    def key(self) -> str | None:
        answer = self._door.post("/v1/keys", json={"name": "brief", "scopes": ["read"]})
        return answer.json()["id"] if answer.is_success else None

    def _leased(self, rule: str) -> Any:
        self._publish()
        told = self._ask("POST", f"rules/{rule}/receive", {"max": 1, "wait_s": WAIT_S})
        return told["deliveries"][0] if told and told["deliveries"] else None

    def _publish(self) -> httpx.Response:
        return self._door.post(f"{BUS}/events", json=event(), headers={"content-type": "application/cloudevents+json"})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._door.request(method, f"{BUS}/{path}", **({} if body is None else {"json": body}))
        return answer.json() if answer.is_success else None
