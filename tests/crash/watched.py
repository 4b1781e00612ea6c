"""Detectors, expectations and schedules on a server that is killed again and again: every edge and every instant once, under its id, and no hold that something broke.

A sensor speaks of one key after another, some times of each, and never again. What it says of a key follows from its number alone, so the log tells which
edges there have to be. How long a hold took in work time it does not tell; so of holds that were broken it is asked only that none was told
after that, nor sooner than its time.
"""

import datetime
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.crash.books import call, read_log
from tests.crash.clients import Address, Client

BUS = "watched"
SAYINGS = 4
"""How often the sensor speaks of a key."""

HOLD_S, LONGER_S = 0.5, 0.8

OUTCOMES = ("missed", "met", "late")

CLOCKS_DIFFER_S = 0.01
"""By how much the clock that holds go by may be ahead of the one that tells when events were accepted."""

_LASTING: dict[str, Any] = {
    "on": {"type": ["sensor.read"]},
    "when": {"data": {"hot": [True]}},
    "for_s": HOLD_S,
    "first": "fire",
    "emit": {"rise": {"type": "lasting"}},
}

DOCUMENTS: dict[str, Any] = {
    BUS: {},
    f"{BUS}/detectors/turning": _LASTING
    | {"for_s": 0, "emit": {"rise": {"type": "turned.hot"}, "fall": {"type": "turned.cold"}}},
    f"{BUS}/detectors/lasting": _LASTING,
    f"{BUS}/detectors/deleted": _LASTING | {"emit": {"rise": {"type": "forgotten"}}},
    f"{BUS}/expectations/cooled": {
        "after": {"type": ["sensor.read"], "data": {"hot": [True]}},
        "expect": {"type": ["sensor.read"], "data": {"hot": [False]}},
        "within_s": HOLD_S,
        "late_for_s": 3_600,
        "emit": {"missed": {"type": "cool.missed"}, "met": {"type": "cool.met"}, "late": {"type": "cool.late"}},
    },
    f"{BUS}/schedules/pulse": {"every_s": 1, "misfire": "all", "emit": {"type": "clock.struck", "data": {"till": 3}}},
    f"{BUS}/schedules/spread": {"every_s": 2, "jitter_s": 1, "misfire": "all", "emit": {"type": "clock.strayed"}},
}
"""What is put before the first kill."""

CHANGED: dict[str, Any] = {f"{BUS}/detectors/lasting": _LASTING | {"for_s": LONGER_S}}
"""Halfway, with holds under way."""

DELETED = [f"{BUS}/detectors/deleted"]
"""Then as well."""


class Sensor(Client):
    """Says of each key several times whether it is hot."""

    def __init__(self, number: int, address: Address, seed: int) -> None:
        super().__init__(number, address, seed, bus=BUS)

    def _event(self, name: str) -> dict[str, Any]:
        attributes = {"specversion": "1.0", "id": name, "source": self.source, "type": "sensor.read"}
        return attributes | {"subject": f"key-{int(name) // SAYINGS}", "data": {"hot": is_hot(name)}}


def is_hot(name: str) -> bool:
    return bool(hashlib.sha256(name.encode()).digest()[0] & 1)


class Told(msgspec.Struct, frozen=True):
    """What was told: edges at once, edges of holds, what became of expectations, and instants."""

    turned: int
    lasted: int
    expected: int
    struck: int


def is_still(url: str) -> bool:
    """Whether no hold is under way any more, and nothing is open."""
    is_held = any(detector["state"]["pending"] for detector in call(f"{url}/v1/buses/{BUS}/detectors")["detectors"])
    return not is_held and not call(f"{url}/v1/buses/{BUS}/expectations/cooled")["state"]["open"]


def has_lasted(url: str) -> bool:
    """Whether a hold has come to its end by now."""
    return bool(call(f"{url}/v1/buses/{BUS}/detectors/lasting")["state"]["rises"])


def check_watched(url: str, sensor: Sensor) -> Told:
    for name in ("pulse", "spread"):  # So that the log stands still.
        call(f"{url}/v1/buses/{BUS}/schedules/{name}/pause", method="POST")
    log = read_log(url, BUS)
    assert not sensor.errors, sensor.errors[:3]
    said = [each["event"]["id"] for each in log if each["event"]["source"] == sensor.source]
    assert said == [str(number) for number in range(1, sensor.sent + 1)]
    return balanced(log)


def balanced(log: list[dict[str, Any]]) -> Told:
    """What was told, or AssertionError that names the first thing that should not have been, or is lacking."""
    told = _Told(log)
    struck = told.check_pulse("pulse", 1) + told.check_pulse("spread", 2)
    return Told(told.check_turning(), told.check_lasting(), told.check_cooled(), struck)


class _Told:
    """`observations`: by key, the positions of what the sensor said of it, by its ids. `edges`: by detector, in their order. `uids`: of what was created."""

    def __init__(self, log: list[dict[str, Any]]) -> None:
        self._log = log
        self._at = {each["position"]: each for each in log}
        self.incarnation = log[0]["event"]["id"].partition("-")[0]
        self.observations: dict[str, dict[str, int]] = defaultdict(dict)
        self.edges: dict[str, list[Any]] = defaultdict(list)
        self.uids: dict[str, int] = {}
        self.edits: dict[str, list[int]] = defaultdict(list)
        for each in log:
            self._take(each["position"], each["event"])

    def _take(self, position: int, event: dict[str, Any]) -> None:
        if event["type"] == "sensor.read":
            self.observations[event["subject"]][event["id"]] = position
        elif event["type"].endswith((".created", ".changed", ".deleted")):
            self.edits[event["data"]["name"]].append(position)
            self.uids.setdefault(event["data"]["name"], position)
        elif event["source"].startswith(f"/eventyard/buses/{BUS}/"):
            self.edges[event["source"].rpartition("/")[2]].append((position, event))

    def check_turning(self) -> int:
        """Each turn stands behind the observation that brings it about, and says so; and there is no other."""
        expected = sorted(turn for key in self.observations for turn in self._turns(key))
        found = [(event["data"]["cause"]["position"], event["type"]) for _, event in self.edges["turning"]]
        assert found == expected, f"lacking {set(expected) - set(found)}, too many {set(found) - set(expected)}"
        for position, event in self.edges["turning"]:
            self._check_id("turning", event, self.uids["turning"])
            assert 0 < position - event["data"]["cause"]["position"] <= len(DOCUMENTS), f"{event} stands at {position}"
        return len(found)

    def _turns(self, key: str) -> Iterator[tuple[int, str]]:
        was_hot = False
        for name, position in self.observations[key].items():
            if is_hot(name) is not was_hot:
                was_hot = not was_hot
                yield position, "turned.hot" if was_hot else "turned.cold"

    def check_lasting(self) -> int:
        """Each hold is told once at the most, whole and before anything breaks it; what was never broken surely is."""
        told = {event["data"]["cause"]["position"]: (at, event) for at, event in self.edges["lasting"]}
        assert len(told) == len(self.edges["lasting"]), "a hold was told twice"
        assert not [at for at, _ in self.edges["deleted"] if at > self.edits["deleted"][-1]], (
            "a deleted detector told something"
        )
        for key in self.observations:
            for began, broken in self._holds(key):
                edge = told.pop(began, None)
                if edge is not None:
                    self._check_hold(began, broken, *edge)
                assert edge is not None or broken is not None, f"of {key} nobody was told that it is hot since {began}"
        assert not told, f"there was no such hold: {list(told.items())[:3]}"
        return len(self.edges["lasting"])

    def _holds(self, key: str) -> Iterator[tuple[int, int | None]]:
        """The observations that began each, and broke it."""
        began = None
        for name, position in self.observations[key].items():
            if is_hot(name) and began is None:
                began = position
            elif not is_hot(name) and began is not None:
                yield began, position
                began = None
        if began is not None:
            yield began, None

    def _check_hold(self, began: int, broken: int | None, at: int, event: dict[str, Any]) -> None:
        """An observation that breaks what had lasted is told of behind it; nobody is told later."""
        version = max(edit for edit in self.edits["lasting"] if edit < at)
        self._check_id("lasting", event, version)
        assert broken is None or at <= broken + len(DOCUMENTS), f"a hold that {broken} broke was told at {at}: {event}"
        wait_s = HOLD_S if version == self.uids["lasting"] else LONGER_S
        since_s = self._accepted(began)
        assert self._accepted(at) - since_s >= wait_s - CLOCKS_DIFFER_S, (
            f"a hold of {wait_s} s since {began} was told at {at}: {event}"
        )
        assert event["data"]["held_for_s"] == wait_s, f"{event} held for {wait_s}"

    def check_cooled(self) -> int:
        """Of each that was hot the log tells once that it cooled, or that it did not in time, and that it did then; and none that was missed came in time."""
        told = {event["id"]: (at, event) for at, event in self.edges["cooled"]}
        assert len(told) == len(self.edges["cooled"]), "what became of an expectation was told twice"
        count, uid = len(told), self.uids["cooled"]
        for key in self.observations:
            for began, cooled in self._holds(key):
                name = f"{self.incarnation}-{uid}-{uid}-{began}"
                found = {outcome: told.pop(f"{name}-{outcome}") for outcome in OUTCOMES if f"{name}-{outcome}" in told}
                wanted = ({"met"}, {"missed", "late"}) if cooled is not None else ({"missed"},)
                assert found.keys() in wanted, f"of {key}, hot since {began} and cool at {cooled}, was told {found}"
                self._check_outcomes(began, cooled, found)
        assert not told, f"nothing was expected of {list(told.items())[:3]}"
        return count

    def _check_outcomes(self, began: int, cooled: int | None, found: dict[str, tuple[int, Any]]) -> None:
        for outcome, (at, event) in found.items():
            assert event["data"]["after"]["position"] == began, f"{event} comes of {began}"
            if outcome == "missed":
                waited_s = self._accepted(at) - self._accepted(began)
                assert waited_s >= HOLD_S - CLOCKS_DIFFER_S, f"{event} was told after {waited_s} s"
                assert cooled is None or at <= cooled + len(DOCUMENTS), f"{event} was told at {at}, after {cooled}"
            else:
                assert event["data"]["expect"]["position"] == cooled, f"{event} was told by something else than {cooled}"
                assert 0 < at - (cooled or 0) <= len(DOCUMENTS), f"{event} stands at {at}"

    def _check_id(self, name: str, event: dict[str, Any], version: int) -> None:
        expected = f"{self.incarnation}-{self.uids[name]}-{version}-{event['data']['cause']['position']}"
        assert event["id"] == expected, f"found {event['id']}, wanted {expected}"

    def _accepted(self, position: int) -> float:
        return datetime.datetime.fromisoformat(self._at[position]["accepted"]).timestamp()

    def check_pulse(self, name: str, every_s: int) -> int:
        """Every instant since it was created once, in order, under its id, and none before its time."""
        struck = [int(event["id"].rpartition("-")[2]) for _, event in self.edges[name]]
        first = int(self._accepted(self.uids[name]) // every_s + 1) * every_s
        expected = [at_s * 1000 for at_s in range(first, first + every_s * len(struck), every_s)]
        assert struck == expected, f"{name} lacks {set(expected) - set(struck)}, or has them in another order: {struck}"
        for position, event in self.edges[name]:
            instant = int(event["id"].rpartition("-")[2])
            assert event["id"] == f"{self.incarnation}-{self.uids[name]}-{instant}"
            assert self._accepted(position) * 1000 >= instant, f"{event} was published before its time"
        return len(struck)
