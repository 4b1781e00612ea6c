"""Rules as the operators of the simulation write them: patterns that the audit can evaluate, and every kind of target and policy."""

import datetime
import json
import random
from typing import Any

from eventyard.core.rule import RuleRecord
from tests.simulation.logins import OAUTH2
from tests.simulation.shapes import SHAPES
from tests.simulation.world import HOUR_MS

BUSES = ("default", "default", "default", "second", "third")
TYPES = ("car.sold", "car.repaired", "order.paid")
RULES = ("rewards", "stock", "mail", "audit", "billing")
HOSTS = ("alpha", "beta", "gamma")
SECRETS = ("whsec_b25lIG9mIHR3bywgaW4gdGhlIHNpbXVsYXRpb24=", "whsec_dGhlIG90aGVyIG9mIHRoZSB0d28sIGp1c3QgYXMgZ29vZA==")
LOGIN = "login"
"""A part of the address of a target that wants a token."""

SIGNED = {"alpha": SECRETS[:1], "beta": SECRETS, "gamma": ()}
"""What pushes to a host are signed with, so that a target knows without the rule."""

ANSWERS: dict[str, dict[str, str]] = {
    "alpha": {},
    "beta": {"404": "dead", "5xx": "slow", "422": "retry", "503": "retry"},
    "gamma": {"302": "delivered", "503": "pause", "204": "retry", "500": "dead", "4xx": "delivered"},
}
"""What rules say that the answers of a host mean."""


class Documents:
    """The shares are drawn from the seed, so that some stories are all queues and some all lanes."""

    def __init__(self, rng: random.Random, *, is_alone: bool) -> None:
        """`is_alone`: no event comes of another by a rule, so that a log can be read for what its detectors heard."""
        self._rng = rng
        self._ordered_share = rng.choice((0.1, 0.5, 0.9))
        self._pulled_share = rng.choice((0.1, 0.5, 0.9))
        self._batched_share = rng.choice((0.0, 0.3, 0.9))
        self._capped_share = rng.choice((0.0, 0.1, 0.5))
        self._guarded_share = rng.choice((0.0, 0.3, 0.9))
        self._carried_share = 0.0 if is_alone else rng.choice((0.0, 0.0, 0.2, 0.5))
        self._replied_share = 0.0 if is_alone else rng.choice((0.0, 0.3, 0.9))
        self._shaped_share = rng.choice((0.0, 0.0, 0.3, 0.9))
        self._asked_share = rng.choice((0.0, 0.0, 0.3, 0.9))
        self._login_share = rng.choice((0.0, 0.0, 0.3, 0.9))

    def write(self, name: str, life: str, before: RuleRecord | None, start: Any) -> bytes:
        """A document for the rule `name`, which mostly keeps the order that it has. `life`: its bus's, of which its address tells."""
        target = self._target(name, life)
        document: dict[str, Any] = {"pattern": self.pattern(), "target": target, "delivery": self._delivery(before, target)}
        if start is not None:
            document["start"] = start
        if self._rng.random() < 0.5:
            document["replay"] = self._rng.choice(("allow", "mark", "refuse"))
        return json.dumps(document).encode()

    def simple(self, name: str, life: str) -> bytes:
        """All events of clients, pushed, from now on."""
        target = self._pushed(name, life)
        delivery = {"answers": _answers(target)}
        document = {"pattern": {"source": [{"prefix": "/client/"}]}, "target": target, "delivery": delivery}
        return json.dumps(document).encode()

    def pattern(self) -> dict[str, Any]:
        rng = self._rng
        return rng.choice(
            (
                {"type": [rng.choice(TYPES)]},
                {"type": [{"prefix": "car."}], "data": {"n": [{"numeric": [">=", rng.randrange(10)]}]}},
                {"data": {"kind": ["x", "y"]}},
                {"source": [{"anything-but": ["/client/0"]}]},
                {"type": [{"prefix": "io.eventyard."}]},
                {"source": [{"prefix": "/client/"}]},
            )
        )

    def place(self, head: int, wall_ms: int) -> Any:
        """A place in the log: by name, position or time; some beyond its ends."""
        rng = self._rng
        moment = datetime.datetime.fromtimestamp((wall_ms - rng.randint(-60_000, HOUR_MS)) / 1000, datetime.UTC)
        recent = max(1, head - rng.randint(0, 20))
        return rng.choice(
            ("latest", "earliest", {"position": rng.randint(1, head + 1)}, {"position": recent}, {"time": moment.isoformat()})
        )

    def _target(self, name: str, life: str) -> dict[str, Any]:
        rng = self._rng
        if rng.random() < self._pulled_share:
            return {"queue": {"lease_s": rng.choice((1, 5, 30)), "max_leases": rng.choice((1, 3, 10_000))}}
        if rng.random() < self._carried_share:
            return {"bus": {"name": rng.choice((*BUSES, "nowhere"))}}
        return self._pushed(name, life)

    def _pushed(self, name: str, life: str) -> dict[str, Any]:
        rng, host = self._rng, self._rng.choice(HOSTS)
        http: dict[str, Any] = {"url": f"http://{host}/{name}/{life}", "timeout_s": 5}
        if rng.random() < self._batched_share:
            sizes = {"max_events": rng.choice((1, 3, 50)), "max_bytes": rng.choice((300, 262_144))}
            http["batch"] = {**sizes, "wait_s": rng.choice((0, 0.5, 5, 30))}
        else:
            http["reply"] = rng.random() < self._replied_share
            if rng.random() < self._shaped_share:
                shape = rng.choice(sorted(SHAPES))
                http |= {"transform": SHAPES[shape], "url": f"{http['url']}/{shape}"}
        if rng.random() < self._asked_share:
            http["handshake"] = rng.choice(("preferred", "required"))
        if host != "gamma" and rng.random() < self._login_share:  # There a 401 may mean that it is delivered.
            http |= {"auth": {"oauth2": OAUTH2}, "url": f"{http['url'].replace(life, life + '/' + LOGIN)}"}
        if SIGNED[host]:
            http["signing"] = {"secrets": [{"secret": secret} for secret in SIGNED[host]]}
        return {"http": http}

    def _delivery(self, before: RuleRecord | None, target: dict[str, Any]) -> dict[str, Any]:
        rng = self._rng
        policy: dict[str, Any] = {
            "max_attempts": rng.choice((1, 3, 50)),
            "max_age_s": rng.choice((60, 86_400)),
            "backoff": {"initial_s": 1, "factor": 2, "max_s": 30},
            "concurrency": rng.choice((1, 2, 16)),
            "answers": _answers(target),
        }
        if rng.random() < self._capped_share:
            policy["backlog"] = {"max_bytes": rng.choice((400, 2_000, 10**9)), "max_age_s": rng.choice((10, 300, 604_800))}
        if rng.random() < self._guarded_share:
            policy |= {
                "rate_per_s": rng.choice((None, 0.5, 5, 200)),
                "breaker": self._breaker(),
                "pause_after_s": rng.choice((None, 0, 60)),
            }
        return policy | (self._order() if before is None or rng.random() < 0.1 else _order_of(before))

    def _breaker(self) -> dict[str, Any] | None:
        """None, or one that a few failures open."""
        rng = self._rng
        if rng.random() < 0.2:
            return None
        return {
            "min_requests": rng.choice((1, 3, 10)),
            "failure_share": rng.choice((0.1, 0.5, 1)),
            "window_s": rng.choice((1, 30)),
            "open_s": rng.choice((0.5, 5, 60)),
            "probes": rng.choice((1, 3)),
            "successes": rng.choice((1, 3)),
            "slow_start_s": rng.choice((0, 20)),
        }

    def _order(self) -> dict[str, Any]:
        rng = self._rng
        if rng.random() < self._ordered_share:
            return {"order": "key", "key": rng.choice(("", "", "data.key", "data.kind", "source", "data.key.a"))}
        return {"order": "none"}


def _answers(target: dict[str, Any]) -> dict[str, str]:
    return ANSWERS[target["http"]["url"].split("/")[2]] if "http" in target else {}


def _order_of(before: RuleRecord) -> dict[str, Any]:
    policy = before.rule.delivery
    return {"order": policy.order, "key": policy.key}
