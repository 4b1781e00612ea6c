"""A target that has to agree, bounds how often it is called, and is down for most of its time: what is protected stays so over kills.

It refuses the first question and agrees to the second. What comes before that, or faster than it allowed, is a stray. The rate is counted from the moment of its
consent: what is granted by the server's clock arrives later than it was granted, so no machine is too slow for this.
"""

import time
from typing import Any

RULE = "guarded"
RATE_PER_S = 100
AHEAD = RATE_PER_S / 10
DOWN_FROM = 5
"""From which arrival on it is down, until it is told to `recover`."""

TARGET: dict[str, Any] = {"handshake": "required"}
DELIVERY: dict[str, Any] = {
    "breaker": {
        "failure_share": 0.5,
        "window_s": 10,
        "min_requests": 5,
        "open_s": 0.3,
        "probes": 1,
        "successes": 1,
        "slow_start_s": 0.5,
    }
}


class Guarded:
    """`strays`: what should not have come, and why."""

    def __init__(self, strays: list[str]) -> None:
        self.asked = 0
        self.arrived = 0
        self._agreed_at: float | None = None
        self._is_well = False
        self._strays = strays

    def ask(self, headers: dict[str, str]) -> dict[str, str]:
        """The headers of the answer. Whoever asks says who it is, and tells neither event nor secret."""
        self.asked += 1
        if told := headers.keys() & {"authorization", "webhook-signature", "eventyard-delivery"}:
            self._strays.append(f"a question for consent tells {told}")
        if self.asked == 1:
            return {}
        if self._agreed_at is None:
            self._agreed_at = time.monotonic()
        return {"webhook-allowed-origin": headers["webhook-request-origin"], "webhook-allowed-rate": str(RATE_PER_S * 60)}

    def is_up(self) -> bool:
        """A push arrives. False where it is to be answered 503."""
        self.arrived += 1
        if self._agreed_at is None:
            self._strays.append("a push came before consent")
        elif self.arrived > RATE_PER_S * (time.monotonic() - self._agreed_at) + AHEAD:
            self._strays.append(f"push {self.arrived} came sooner than the rate allows")
        return self.arrived < DOWN_FROM or self._is_well

    def recover(self) -> None:
        self._is_well = True


def has_opened(log: list[dict[str, Any]]) -> bool:
    """Whether the log tells that the breaker is open."""
    return _told(log)[-1:] == ["opened"]


def _told(log: list[dict[str, Any]]) -> list[str]:
    told = [each["event"] for each in log if each["event"]["type"].startswith("io.eventyard.breaker.")]
    return [event["type"].rpartition(".")[2] for event in told if event["data"]["name"] == RULE]


def check_guarded(log: list[dict[str, Any]], guarded: Guarded) -> int:
    """How often its breaker opened, which the log tells, by turns with its being closed."""
    assert guarded.asked >= 2, f"it was asked {guarded.asked} times"
    kinds = _told(log)
    assert kinds[::2] == ["opened"] * len(kinds[::2]), kinds
    assert kinds[1::2] == ["closed"] * len(kinds[1::2]), kinds
    return len(kinds[::2])
