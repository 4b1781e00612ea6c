"""Watching that the bus comes to rest, and telling who keeps it from that."""

import json
from collections import Counter
from typing import TYPE_CHECKING

from eventyard.core import limits
from eventyard.core.clock import rfc3339

if TYPE_CHECKING:
    from eventyard.bus import Eventyard
    from eventyard.engines.memory import MemoryEngine
    from eventyard.testing.house import House

LOOK_EVERY = 64
"""Counting heads takes longer than a turn: so many turns share it."""

TOLD = 200
"""Of the last so many events it is told what they are and where they went: a ring is far shorter."""


class NeverSettles(Exception):
    """What happens makes more happen, without end and at one and the same moment."""


class Watch:
    """Over one moment. `look` raises NeverSettles once too much has happened in it."""

    def __init__(self, house: "House") -> None:
        self._house = house
        self._began = {record.name: house.yard.head(record.name) for record in house.yard.buses()}
        self._most = limits.SETTLE_EVENTS_MAX + limits.SETTLE_EVENTS_PER_EVENT * sum(self._began.values())
        self._turns = 0

    def look(self) -> None:
        self._turns += 1
        if self._turns % LOOK_EVERY:
            return
        yard = self._house.yard
        grown = {record.name: yard.head(record.name) - self._began.get(record.name, 0) for record in yard.buses()}
        if sum(grown.values()) > self._most:
            raise NeverSettles(self._told(max(grown, key=lambda name: grown[name]), sum(grown.values())))
        if self._turns > limits.SETTLE_TURNS_MAX:
            raise NeverSettles(
                f"found {self._turns} turns at {self._at}, and no end: code that waits for nothing and goes on for ever"
            )

    @property
    def _at(self) -> str:
        return rfc3339(self._house.clock.now_ms())

    def _told(self, bus: str, count: int) -> str:
        kinds, rules = went(self._house.yard, self._house.engine, bus)
        types = ", ".join(f"{times} {kind}" for kind, times in kinds.most_common())
        listed = "; ".join(f"{rule} ({', '.join(sorted(of_rule))})" for rule, of_rule in sorted(rules.items()))
        return (
            f"found {count} events at {self._at}, and no end of them. The last {sum(kinds.values())} on the bus {bus} are {types}. "
            f"The rules that they went to feed each other: {listed}"
        )


def went(yard: "Eventyard", engine: "MemoryEngine", bus: str) -> tuple[Counter[str], dict[str, set[str]]]:
    """How often each type is among the last events, and by rule the types of those that went to it."""
    record, head = yard.bus(bus), yard.head(bus)
    last = engine.view.events(record.number, head - TOLD + 1, head, TOLD)
    events = {stored.position: str(json.loads(stored.json)["type"]) for stored in last}
    names = {rule.uid: rule.name for rule in yard.rules(bus)}
    rules: dict[str, set[str]] = {}
    for row in engine.rows(record.number):
        if row.position in events and row.rule in names:
            rules.setdefault(names[row.rule], set()).add(events[row.position])
    return Counter(events.values()), rules
