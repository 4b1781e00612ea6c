"""How actors ask the house: by a command, whose answer may never come."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

from eventyard.core.bus_state import BusState
from eventyard.core.commands import Command
from eventyard.core.errors import Overloaded
from eventyard.core.rule import RuleRecord
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

    def _record(self, bus: str, name: str) -> RuleRecord | None:
        state = self._state(bus)
        return state.by_name.get(name) if state is not None else None

    def _ask(self, bus: str, command: Command, done: Done) -> None:
        if bus in self._house.writer.numbers:
            self._house.world.note(f"ask {bus} {shown(command)}")
            with contextlib.suppress(Overloaded):
                self._house.writer.submit(bus, command, done)

    def _ask_system(self, command: Command, done: Done) -> None:
        self._house.world.note(f"ask {shown(command)}")
        with contextlib.suppress(Overloaded):
            self._house.writer.submit_system(command, done)


def shown(answer: Any) -> str:
    return _ADDRESS.sub("", f"{type(answer).__name__} {answer}")[:300]


_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Where an object lies in memory is no part of what happened."""
