"""What the log of a bus tells of its rules: every edit is an event at the position where it takes effect."""

import datetime
from typing import Any

import msgspec

from eventyard.core import bus_events
from tests.simulation.ledger import BusLedger

OF_OTHERS = ("io.eventyard.detector.", "io.eventyard.expectation.", "io.eventyard.schedule.")
"""What is told of whatever publishes by itself: `watched`, `expected` and `timed` read that."""


class Run(msgspec.Struct):
    """One way of a rule through the log. `number` names it; `opened_at` is the position of the event that opened it.

    It may be owed what stands from `first` on, and surely is from `sure_from` on; `last` ends a replay. `closed_at`: the event that ended it
    before its time. `pattern` narrows a replay.
    """

    number: int
    opened_at: int
    first: int
    sure_from: int
    last: int | None = None
    closed_at: int | None = None
    pattern: Any = None

    @property
    def is_replay(self) -> bool:
        return self.last is not None


class Cap(msgspec.Struct, frozen=True):
    """A discarding that was told: of what stands from `first` to `last`, or (None) of `count` that were parked."""

    position: int
    first: int
    last: int | None
    run: int | None
    count: int


class RuleLife(msgspec.Struct):
    """A rule as the log tells it. `versions`: from which position on which document; `follows`: whose place it took."""

    uid: int
    name: str
    versions: list[tuple[int, Any]]
    runs: dict[int, Run]
    follows: "RuleLife | None" = None
    deleted_at: int | None = None
    caps: list[Cap] = []
    skipped: list[int] = []
    purged: list[tuple[int, str]] = []
    redriven: list[int] = []

    @property
    def live(self) -> Run:
        """The last of its live runs."""
        return max((run for run in self.runs.values() if not run.is_replay), key=lambda run: run.number)

    @property
    def is_ordered(self) -> bool:
        return bool(self.versions[0][1]["delivery"]["order"] == "key")

    def in_force(self, position: int) -> int:
        """Which version judges an event at this position as it comes."""
        return max((index for index, (version, _) in enumerate(self.versions) if version < position), default=0)


def read(bus: BusLedger) -> dict[int, RuleLife]:
    """By uid, every rule that ever was."""
    chronicle = _Chronicle(bus)
    for position in range(1, bus.head + 1):
        document = bus.documents[position]
        if bus.is_own(position):
            chronicle.take(position, document["type"], document.get("data"))
    return chronicle.rules


class _Chronicle:
    def __init__(self, bus: BusLedger) -> None:
        self._bus = bus
        self.rules: dict[int, RuleLife] = {}

    def take(self, position: int, kind: str, data: Any) -> None:
        if kind == bus_events.RULE_CREATED:
            self.rules[position] = self._created(position, data)
        elif "uid" in data and not kind.startswith(OF_OTHERS):
            self._edit(self.rules[data["uid"]], position, kind, data)

    def _edit(self, rule: RuleLife, position: int, kind: str, data: Any) -> None:
        match kind:
            case bus_events.RULE_CHANGED:
                rule.versions.append((position, data["rule"]))
            case bus_events.RULE_DELETED:
                rule.deleted_at = position
            case bus_events.RULE_SOUGHT:
                rule.live.closed_at = position
                rule.runs[position] = Run(position, position, data["position"], data["position"])
            case bus_events.RULE_REPLAYED:
                narrowed = self._bus.replayed.get((rule.uid, position))
                rule.runs[position] = Run(position, position, data["first"], data["first"], data["last"], pattern=narrowed)
            case bus_events.REPLAY_CANCELLED:
                rule.runs[data["run"]].closed_at = position
            case bus_events.RULE_REDRIVEN:
                rule.redriven.append(position)
            case bus_events.RULE_SKIPPED:
                rule.skipped.append(position)
            case bus_events.RULE_PURGED:
                rule.purged.append((position, data.get("because", "purged")))
            case bus_events.RETENTION_CAP:
                rule.caps.append(Cap(position, data["first"], data.get("last"), data.get("run"), data.get("count", 0)))

    def _created(self, position: int, data: dict[str, Any]) -> RuleLife:
        name, document = data["name"], data["rule"]
        if data["uid"] != position:
            self._bus.fail(f"the rule created at {position} has the uid {data['uid']}")
        named = [rule for rule in self.rules.values() if rule.name == name]
        if any(rule.deleted_at is None for rule in named):
            self._bus.fail(f"rule {name} was created at {position} while another of that name was there")
        follows = named[-1] if document["start"] == "resume" else None
        first, sure_from = self._first(position, document["start"], follows)
        return RuleLife(position, name, [(position, document)], {0: Run(0, position, first, sure_from)}, follows)

    def _first(self, uid: int, start: Any, follows: RuleLife | None) -> tuple[int, int]:
        """Where the rule begins, and from where on surely: a floor that rose in the same commit leaves that open."""
        before, after = self._bus.floors[uid]
        if start == "latest":
            return uid + 1, uid + 1
        if start == "earliest":
            return before, after
        if follows is not None:
            first = max(before, min(follows.live.first, follows.deleted_at or uid))
            return first, first
        wanted = start["position"] if start.get("position") is not None else self._position_at(uid, start["time"])
        return max(wanted, before), max(wanted, after)

    def _position_at(self, uid: int, time: str) -> int:
        from_ms = int(datetime.datetime.fromisoformat(time).timestamp() * 1000)
        return next((at for at in range(1, uid) if self._bus.log[at].accepted_ms >= from_ms), uid)
