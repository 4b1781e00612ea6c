"""How actors ask the house: by a command, whose answer may never come."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

from eventyard.core import bus_events
from eventyard.core.bus_state import BusState
from eventyard.core.changes import Backfill
from eventyard.core.commands import Command, Redriven, RulePut
from eventyard.core.delivery import State
from eventyard.core.errors import Overloaded
from eventyard.core.rule import RuleRecord
from tests.simulation.books import Edit
from tests.simulation.documents import BUSES, RULES
from tests.simulation.house import House

Done = Callable[[Any], None]


class Asker:
    """Someone who asks."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._rng = house.world.rng

    def _state(self, bus: str) -> BusState | None:
        writer = self._house.writer
        return writer.states.get(writer.numbers.get(bus, -1))

    def _life(self, bus: str) -> str:
        """The incarnation of the bus; of none, where it is not there."""
        state = self._state(bus)
        return "none" if state is None else state.record.incarnation

    def _record(self, bus: str, name: str) -> RuleRecord | None:
        state = self._state(bus)
        return state.by_name.get(name) if state is not None else None

    def _some(self, *, is_dead: bool = False) -> tuple[str, str]:
        """A bus and a rule; mostly one that is there, and (`is_dead`) has dead letters."""
        bus = self._rng.choice(BUSES)
        state = self._state(bus)
        there = sorted(state.by_name) if state is not None else []
        if state is not None and is_dead:
            dead = {row.rule for row in self._house.ledger.buses[state.record.number].rows.values() if row.state is State.DEAD}
            there = [name for name in there if state.by_name[name].uid in dead] or there
        return bus, self._rng.choice(there if there and self._rng.random() < 0.8 else RULES)

    def _ask(self, bus: str, command: Command, done: Done) -> None:
        if bus in self._house.writer.numbers:
            self._house.world.note(f"ask {bus} {shown(command)}")
            with contextlib.suppress(Overloaded):
                self._house.writer.submit(bus, command, done)

    def _ask_system(self, command: Command, done: Done) -> None:
        self._house.world.note(f"ask {shown(command)}")
        with contextlib.suppress(Overloaded):
            self._house.writer.submit_system(command, done)

    def _noting(self, bus: str, kind: str, name: str) -> Done:
        """Write an answered edit into the books, under the life that the bus had when it was asked for."""
        state = self._state(bus)
        incarnation = state.record.incarnation if state is not None else ""
        return lambda answer: self._note_edit(incarnation, kind, name, answer)

    def _note_edit(self, incarnation: str, kind: str, name: str, answer: Any) -> None:
        self._house.world.note(f"answered {kind} {name}: {shown(answer)}")
        if isinstance(answer, RulePut):
            kind = bus_events.RULE_CREATED if answer.is_created else bus_events.RULE_CHANGED
        position = _position(kind, answer)
        if position is not None:
            self._house.books.edits.append(Edit(incarnation, position, kind, name))


def _position(kind: str, answer: Any) -> int | None:
    """Of the event that records what was asked; None where nothing was."""
    match answer:
        case RulePut(record, _, is_changed):
            return record.version if is_changed else None
        case RuleRecord():
            return answer.run if kind == bus_events.RULE_SOUGHT else answer.version
        case Backfill():
            return answer.run
        case Redriven():
            return answer.position
    return None


def shown(answer: Any) -> str:
    return _ADDRESS.sub("", f"{type(answer).__name__} {answer}")[:300]


_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Where an object lies in memory is no part of what happened."""
