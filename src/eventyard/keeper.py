"""The keeper: carries out, in bounded steps, what commands have only recorded: redrives, emptied queues, deleted buses.

Retries that fall due and leases that run out need no keeper: the writer finds them by their time.
"""

from collections.abc import Callable, Mapping
from typing import Any

from eventyard.core.bus_state import BusState
from eventyard.core.commands import Command, ContinueIntent, EmptyBus
from eventyard.core.system import SYSTEM_BUS

Submit = Callable[[int, Command, Callable[[Any], None]], None]


class Keeper:
    """Called from one thread; the answers to what it submits come on the writer's."""

    def __init__(self, states: Mapping[int, BusState], submit: Submit) -> None:
        self._states = states
        self._submit = submit
        self._under_way: set[tuple[int, Command]] = set()

    def step(self) -> bool:
        """Ask for one more step of everything that is not done. False when all is."""
        wanted = [(number, command) for number, command in self._wanted() if (number, command) not in self._under_way]
        for key in wanted:
            self._under_way.add(key)
            self._submit(*key, self._done(key))
        return bool(wanted)

    def _wanted(self) -> list[tuple[int, Command]]:
        wanted: list[tuple[int, Command]] = []
        for number, state in list(self._states.items()):
            wanted += [(number, ContinueIntent(intent)) for intent in list(state.intents)]
        if system := self._states.get(SYSTEM_BUS):
            wanted += [(SYSTEM_BUS, EmptyBus(bus.number)) for bus in list(system.buses.values()) if bus.is_deleted]
        return wanted

    def _done(self, key: tuple[int, Command]) -> Callable[[Any], None]:
        return lambda _: self._under_way.discard(key)
