"""Detectors and schedules as the operators of the simulation write them."""

import json
import random
from typing import Any

from eventyard.core.clock import rfc3339
from tests.simulation.instants import CRONS

DETECTORS = ("hot", "door", "alarm")
EXPECTATIONS = ("moved", "beat", "cooled", "counted")
SCHEDULES = ("pulse", "report", "opening")
ROOMS: tuple[Any, ...] = ("attic", "attic", "cellar", "7", 7, True, None, ["attic"], {"room": "attic"})
"""Keys as they stand in the data of observations, and None for none at all. A list and an object are no keys."""

LATE_S = (0, 0, 0.3, 5, 70, 36_000, -60)
"""How long ago an observation was made. Negative: its producer's clock runs ahead."""

TIMES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("all", {"every_s": 1}),
    ("once", {"every_s": 7}),
    ("skip", {"every_s": 20}),
    ("all", {"every_s": 90, "jitter_s": 40}),
    ("once", {"every_s": 3_600}),
    ("all", {"cron": "* * * * *"}),
    ("skip", {"cron": "*/7 * * * *", "jitter_s": 100}),
    ("once", {"cron": "15 */6 * * *", "zone": "Asia/Kathmandu"}),
    ("all", {"cron": "30 9,21 * * *", "zone": "Europe/Berlin"}),
)
"""When, and the misfire that goes with it, so that one never changes without the other."""

assert {times["cron"] for _, times in TIMES if "cron" in times} == CRONS.keys()


class WatchDocuments:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._last_ms = 0
        self._numbers = 0
        self._sequence = 0
        self._is_damped = rng.random() < 0.4

    def detector(self, name: str, before: Any) -> dict[str, Any]:
        """`before`: the document that it has."""
        rng = self._rng
        document: dict[str, Any] = {
            "on": self._on(name),
            "key": rng.choice(("subject", "data.room")),
            "when": self._when(name),
            "emit": self._emit(name),
            "for_s": rng.choice((0, 0, 0.5, 3, 20)),
            "keep_for_s": rng.choice((0, 0, 0.5, 10)),
            "first": rng.choice(("arm", "fire", "suppress")),
            "order_by": rng.choice(("time", "time", "sequence", "position")),
            "late_by_s": rng.choice((0, 0, 1, 60)),
            "forget_after_s": rng.choice((None, None, 1, 30)),
            "max_keys": rng.choice((2, 1_000, 1_000)),
        }
        if rng.random() < 0.4:
            document["until"] = {"data": {"n": [{"numeric": ["<", 3]}]}}
        if self._is_damped:
            document["max_edges_per_s"] = rng.choice((0.02, 0.1))
        if before is not None and rng.random() < 0.95:
            document |= {name: before[name] for name in ("key", "order_by")}
        return document

    def _on(self, name: str) -> dict[str, Any]:
        if name == "alarm":
            return {"type": ["room.hot", "door.open", "door.closed"]}
        return self._rng.choice(({"type": ["sensor.read"]}, {"type": [{"prefix": "sensor."}]}, {"source": ["/sensor/1"]}))

    def _when(self, name: str) -> dict[str, Any]:
        if name == "alarm":
            return {"data": {"edge": ["rise"]}}
        return self._rng.choice(
            (
                {"data": {"n": [{"numeric": [">=", 5]}]}},
                {"data": {"kind": ["x"]}},
                {"data": {"n": [{"numeric": [">=", 4]}], "kind": ["x", "y"]}},
            )
        )

    def _emit(self, name: str) -> dict[str, Any]:
        rise, fall = {"hot": ("room.hot", "room.cool"), "door": ("door.open", "door.closed"), "alarm": ("alarm", "calm")}[name]
        both = {"rise": {"type": rise}, "fall": {"type": fall}}
        return self._rng.choice((both, both, both, {"rise": {"type": rise}}, {"fall": {"type": fall}}))

    def expectation(self, name: str, before: Any) -> dict[str, Any]:
        """`before`: the document that it has."""
        rng = self._rng
        patterns: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
            "moved": ({"type": ["sensor.read"]}, {"type": ["sensor.moved"]}),
            "beat": ({"source": ["/sensor/0"]}, {"source": ["/sensor/0"]}),
            "cooled": ({"type": ["room.hot"]}, {"type": ["room.cool", "sensor.read"]}),
            "counted": ({"type": ["clock.struck"]}, {"type": [{"prefix": "sensor."}]}),
        }
        after, expect = patterns[name]
        if rng.random() < 0.5 and name != "counted":
            after = after | {"data": {"n": [{"numeric": [">=", 4]}]}}
        types = {act: {"type": f"{name}.{act}"} for act in ("missed", "met", "late")}
        told = rng.choice(
            (("missed", "met", "late"), ("missed", "met", "late"), ("missed",), ("met", "late"), ("missed", "late"))
        )
        document: dict[str, Any] = {
            "after": after,
            "expect": expect,
            "within_s": rng.choice((0.4, 3, 20)),
            "late_for_s": rng.choice((None, 0, 5, 60)),
            "key": rng.choice(("subject", "subject", "data.room")),
            "emit": {act: types[act] for act in told},
            "max_keys": rng.choice((2, 1_000, 1_000)),
        }
        if self._is_damped:
            document["max_missed_per_s"] = rng.choice((0.02, 0.1))
        if before is not None and rng.random() < 0.95:
            document["key"] = before["key"]
        return document

    def observation(self, now_ms: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The attributes of an event, and its data."""
        rng = self._rng
        self._numbers += 1
        self._sequence = max(0, self._sequence + rng.choice((1, 1, 1, 0, -2)))
        attributes: dict[str, Any] = {"id": f"o{self._numbers}", "source": f"/sensor/{rng.randrange(2)}"}
        attributes["type"] = rng.choice(("sensor.read", "sensor.read", "sensor.moved"))
        if (subject := rng.choice(("attic", "attic", "cellar", "hall", "7", None))) is not None:
            attributes["subject"] = subject
        if rng.random() < 0.8:
            attributes["sequence"] = str(self._sequence)
        if rng.random() < 0.7:
            self._last_ms = self._last_ms if rng.random() < 0.2 else round(now_ms - 1_000 * rng.choice(LATE_S))
            attributes["time"] = rfc3339(max(0, self._last_ms))
        data = {"n": rng.randrange(8), "kind": rng.choice("xyz")}
        room = rng.choice(ROOMS)
        return attributes, data if room is None else data | {"room": room}

    def schedule(self, now_ms: int) -> dict[str, Any]:
        rng = self._rng
        misfire, times = rng.choice(TIMES)
        if rng.random() < 0.1:
            misfire, times = rng.choice(("skip", "once", "all")), {"at": rfc3339(now_ms + rng.choice((5_000, 600_000)))}
        bounds: dict[str, Any] = {}
        if "at" not in times and rng.random() < 0.3:
            bounds["start"] = rfc3339(now_ms + rng.choice((-100_000, 0, 50_000)))
        if "at" not in times and rng.random() < 0.2:
            bounds["end"] = rfc3339(now_ms + rng.choice((90_000, 3_600_000 * 40)))
        emit = {"type": "clock.struck", "subject": rng.choice(("", "hall")), "data": rng.choice(({}, {"till": 3}))}
        return {"emit": emit, "misfire": misfire, **times, **bounds}


def encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
