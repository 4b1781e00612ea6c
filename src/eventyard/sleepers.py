"""Who waits for a log to grow. The writer wakes them, event loop by event loop, no faster than leaves the loop to others too.

Theory of operation. Each event loop has a room of its own, and only that loop changes anything in it. After a step the writer
looks whether a room sleeps at a position that a log has passed, and if so asks its loop, once, to have a turn. A turn rouses a
few of those who have something to look at, and what they then do keeps the loop busy for a millisecond; the next turn comes after as long a
rest. So however many follow a busy bus, publishers have half of the loop and never wait long for it, and what is committed
meanwhile is read together.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from eventyard.core import limits
from eventyard.core.bus_state import BusState

Sleeper = asyncio.Future[None]
"""What a stream awaits while there is nothing to look at."""


class Sleepers:
    """`announce` is for the writer's thread, `close` for any, the rest for the sleepers' own loops."""

    def __init__(self, states: Mapping[int, BusState]) -> None:
        self._states = states
        self._rooms: dict[asyncio.AbstractEventLoop, _Room] = {}
        self.is_closed = False

    def lie_down(self, number: int, position: int, sleeper: Sleeper) -> None:
        """Have `sleeper` woken when bus `number` is past `position` or gone. It may just have been: look again after this."""
        loop = sleeper.get_loop()
        room = self._rooms.get(loop)
        if room is None:
            for other in [other for other in list(self._rooms) if other.is_closed()]:
                self._rooms.pop(other, None)
            room = self._rooms.setdefault(loop, _Room())
        room.lie_down(number, position, sleeper, loop.time())

    def get_up(self, number: int, sleeper: Sleeper) -> None:
        """It sleeps no more, whoever woke it."""
        self._rooms[sleeper.get_loop()].get_up(number, sleeper)

    def announce(self) -> None:
        """After each step of the writer."""
        for loop, room in list(self._rooms.items()):
            if not room.is_called and any(self._is_past(number, position) for number, position in list(room.seen.items())):
                room.is_called = True
                _call(loop, self._have_turn, loop, room)

    def close(self) -> None:
        """Wake everybody, for good."""
        self.is_closed = True
        for loop, room in list(self._rooms.items()):
            _call(loop, self._rouse, room, loop)

    def __len__(self) -> int:
        return sum(len(asleep) for room in self._rooms.values() for asleep in room.asleep.values())

    def _is_past(self, number: int, position: int) -> bool:
        state = self._states.get(number)
        return state is None or state.head > position or self.is_closed

    def _have_turn(self, loop: asyncio.AbstractEventLoop, room: "_Room") -> None:
        loop.call_at(max(loop.time(), room.rested_at), self._rouse, room, loop)

    def _rouse(self, room: "_Room", loop: asyncio.AbstractEventLoop) -> None:
        room.is_called = False  # What is committed from here on is announced anew, what was before is seen below.
        room.rouse(self._is_past, loop.time(), limits.STREAM_TURN if not self.is_closed else sys.maxsize)
        if room.is_behind:
            room.is_called = True
            self._have_turn(loop, room)


class _Room:
    """The sleepers of one loop, by bus. `seen` is a position for each bus that none of its sleepers has yet to reach."""

    def __init__(self) -> None:
        self.asleep: dict[int, dict[Sleeper, int]] = {}
        self.seen: dict[int, int] = {}
        self.is_called = False
        self.is_behind = False
        """The last turn left some asleep who have something to look at."""
        self._awake = 0
        self._roused_at = 0.0
        self._busy_s = 0.0

    def lie_down(self, number: int, position: int, sleeper: Sleeper, now: float) -> None:
        self.asleep.setdefault(number, {})[sleeper] = position
        self.seen[number] = min(position, self.seen.get(number, position))
        if self._awake:
            self._awake -= 1
            self._busy_s = min(now - self._roused_at, limits.STREAM_REST_S_MAX)

    @property
    def rested_at(self) -> float:
        """When the loop has had as much time for others as it took until those who were roused lay down again."""
        return self._roused_at + 2 * self._busy_s

    def rouse(self, is_past: Callable[[int, int], bool], now: float, count: int) -> None:
        """At most `count` of those who have something to look at. The others sleep on.

        `seen` stays too early until the end: whoever is passed by the log while this goes on is announced again.
        """
        self._roused_at, self._awake, self.is_behind = now, 0, False
        still: dict[int, dict[Sleeper, int]] = {}
        for number, asleep in self.asleep.items():
            for sleeper, position in asleep.items():
                if not is_past(number, position):
                    still.setdefault(number, {})[sleeper] = position
                elif self._awake == count:
                    self.is_behind = True
                    still.setdefault(number, {})[sleeper] = position
                else:
                    self._awake += 1
                    wake(sleeper)
        self.asleep = still
        self.seen = {number: min(asleep.values()) for number, asleep in still.items()}

    def get_up(self, number: int, sleeper: Sleeper) -> None:
        """Leaves `seen` as it is, perhaps too early now: then one turn finds nobody to rouse."""
        asleep = self.asleep.get(number, {})
        if asleep.pop(sleeper, None) is not None and not asleep:
            del self.asleep[number], self.seen[number]


def wake(sleeper: Sleeper) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def _call(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: Any) -> None:
    with contextlib.suppress(RuntimeError):  # A loop that was closed has nobody any more who sleeps.
        loop.call_soon_threadsafe(call, *arguments)
