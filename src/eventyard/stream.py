"""Following a bus's log: readers that look at what is there, then sleep until more is committed.

Theory of operation. A stream holds nothing but a position. When the log has grown past it, it looks: one bounded read, on a
thread, so that it goes at its reader's pace and buffers nothing. When it has looked at all there is it sleeps, which costs
nothing, until the writer wakes it (`sleepers`). Streams that stand at the same position share one read, so hundreds that follow the
head ask the disk as often as one does.

Positions are dense, so a hole in what was read is seen, and told as a `Gap`: a stream never skips in silence.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakSet

import msgspec

from eventyard.core import limits
from eventyard.core.bus_state import BusState
from eventyard.core.changes import StoredEvent
from eventyard.core.errors import InvalidRequest, Overloaded, PatternTooCostly, Stopping
from eventyard.core.pattern.index import judge
from eventyard.core.pattern.language import Pattern
from eventyard.core.view import View
from eventyard.sleepers import Sleeper, Sleepers, wake

ReadNow = Callable[[Callable[[View, BusState], Any], BusState], Any]
"""Asks a view of the engine's, on the thread that calls it."""


class Stretch(msgspec.Struct, frozen=True):
    """The events that match in a stretch of the log, perhaps none. `position` is the last that was looked at."""

    events: list[StoredEvent]
    position: int


class Gap(msgspec.Struct, frozen=True):
    """Events `first` to `last` cannot be given.

    `reason` is "retention", "damaged", or "evaluation": the pattern would cost too much on it.
    """

    first: int
    last: int
    reason: str

    @property
    def position(self) -> int:
        return self.last


Part = Stretch | Gap
Place = tuple[int, asyncio.AbstractEventLoop, int]
"""A bus, a loop that reads it, and the position after which it looks."""


class Streams:
    """Every stream of a store: how many there are, who sleeps, and who looks."""

    def __init__(self, states: Mapping[int, BusState], read_now: ReadNow) -> None:
        self.states = states
        self._read_now = read_now
        self._open: WeakSet[Stream] = WeakSet()
        self.sleepers = Sleepers(states)
        self._looks: dict[Place, asyncio.Future[Part]] = {}
        self._kept: dict[int, tuple[int, Part]] = {}
        self._threads = ThreadPoolExecutor(limits.STREAM_THREADS, "eventyard-stream")
        self.is_stopping = False

    def open(self, state: BusState, after: int | None, pattern: Pattern | None) -> "Stream":
        if self.is_stopping:
            raise Stopping("the bus is stopping", wanted="to try again when it is back")
        if len(self._open) >= limits.STREAMS_MAX:
            raise Overloaded(f"found {len(self._open)} streams", wanted="to try again when one of them has ended")
        if after is not None and after > state.head:
            raise InvalidRequest(f"found the position {after}", wanted=f"0 to {state.head}, the bus's last event")
        stream = Stream(self, state.record.number, state.head if after is None else after, pattern)
        self._open.add(stream)
        return stream

    def forget(self, stream: "Stream") -> None:
        self._open.discard(stream)
        if not self._open:
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._open)

    def stop(self) -> None:
        """Every stream ends, asleep or not, and no new one begins."""
        self.is_stopping = True
        self.sleepers.close()

    def close(self) -> None:
        """Wait for the reads under way, each of which is bounded. After `stop`, and not on an event loop."""
        self._threads.shutdown()

    # Looking

    async def look(self, state: BusState, after: int, at_once: int) -> Part:
        """What comes next after `after`. Who asks for the same meanwhile, or a little later, shares the read."""
        loop = asyncio.get_running_loop()
        kept_after, kept = self._kept.get(state.record.number, (-1, Stretch([], -1)))
        if kept_after == after and after + 1 >= state.floor:
            return kept
        key = state.record.number, loop, after
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = self._read(loop, lambda view, state: _look(view, state, after, at_once), state)
            look.add_done_callback(lambda look: self._looked(key, look))
        return await asyncio.shield(look)

    def _read(
        self, loop: asyncio.AbstractEventLoop, ask: Callable[[View, BusState], Part], state: BusState
    ) -> "asyncio.Future[Part]":
        return loop.run_in_executor(self._threads, self._read_now, ask, state)

    def _looked(self, key: Place, look: "asyncio.Future[Part]") -> None:
        del self._looks[key]
        if look.exception() is None:  # Is seen here in any case, since all who asked may have gone.
            bus, _, after = key
            self._kept.pop(bus, None)
            self._kept[bus] = after, look.result()
            for number in list(self._kept)[: -limits.STREAM_LOOKS_KEPT]:
                self._kept.pop(number, None)

    async def judge(self, stretch: Stretch, pattern: Pattern) -> Part:
        """Of the stretch what matches, on a thread where it is work."""
        if _is_light(stretch, pattern):
            return _judge(stretch, pattern)
        return await asyncio.get_running_loop().run_in_executor(self._threads, _judge, stretch, pattern)


class Stream:
    """One reader of a bus's log: `async for part in stream`, for one task at a time.

    It ends when its bus is deleted, when the house stops, or by `end`; `ended_by` says which. Raises what reading raises
    (`StorageFailed`, ...); then it may be asked on. `position` is the last that the reader was given or passed over.
    """

    def __init__(self, streams: Streams, number: int, after: int, pattern: Pattern | None) -> None:
        self._streams = streams
        self._number = number
        self._pattern = pattern
        self._at_once = limits.SCAN_EVENTS_AT_ONCE
        self._sleeper: Sleeper | None = None
        self.position = after
        self.ended_by = ""

    def end(self, ended_by: str = "reader") -> None:
        """The reader has gone, or may read no more. On its own loop; twice is harmless."""
        self._finish(ended_by)

    def _finish(self, ended_by: str) -> None:
        self.ended_by = self.ended_by or ended_by
        self._streams.forget(self)
        if self._sleeper is not None:
            wake(self._sleeper)

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Part:
        while (state := self._state()) is not None:
            if state.head > self.position:
                part = await self._next(state)
                if not self.ended_by:
                    self.position = part.position
                    return part
            else:
                await self._sleep(state)
        raise StopAsyncIteration

    def _state(self) -> BusState | None:
        """None where the stream is over."""
        state = self._streams.states.get(self._number)
        if self._streams.is_stopping:
            self._finish("stopping")
        elif state is None:
            self._finish("deleted")
        return None if self.ended_by else state

    async def _next(self, state: BusState) -> Part:
        part = await self._streams.look(state, self.position, self._at_once)
        if isinstance(part, Gap):
            return part
        self._at_once = _fitting(part.events)
        if self._pattern is None or self._state() is None:
            return part
        return await self._streams.judge(part, self._pattern)

    async def _sleep(self, state: BusState) -> None:
        self._sleeper = asyncio.get_running_loop().create_future()
        self._streams.sleepers.lie_down(self._number, self.position, self._sleeper)
        try:
            if self._state() is not None and state.head == self.position:
                await self._sleeper
        finally:
            self._streams.sleepers.get_up(self._number, self._sleeper)
            self._sleeper = None


def _look(view: View, state: BusState, after: int, at_once: int) -> Part:
    """The next stretch without holes, cut by number and bytes; or the hole that comes next."""
    number, first, last = state.record.number, after + 1, state.head
    if first < state.floor:
        return Gap(first, state.floor - 1, "retention")
    found = view.events(number, first, last, at_once)
    whole = _whole(found, first)
    if whole:
        return Stretch(whole, whole[-1].position)
    floor = view.floor(number)  # Retention may have come between.
    if first < floor:
        return Gap(first, floor - 1, "retention")
    return Gap(first, found[0].position - 1 if found else last, "damaged")


def _whole(found: list[StoredEvent], first: int) -> list[StoredEvent]:
    held = 0
    for index, event in enumerate(found):
        held += len(event.json)
        if event.position != first + index or (index and held > limits.STREAM_CHUNK_BYTES):
            return found[:index]
    return found


def _fitting(events: list[StoredEvent]) -> int:
    """How many events of such a size make a chunk, so that none is read to be thrown away."""
    average = max(1, sum(len(event.json) for event in events) // len(events))
    return max(1, min(limits.STREAM_CHUNK_BYTES // average, limits.STREAM_EVENTS_MAX))


def _is_light(stretch: Stretch, pattern: Pattern) -> bool:
    """Whether it takes no longer than to hand it to a thread and back: 0.1 ms."""
    fields = sum(len(alternative.fields) for alternative in pattern.alternatives)
    return (
        fields <= limits.STREAM_LIGHT_FIELDS and sum(len(event.json) for event in stretch.events) <= limits.STREAM_LIGHT_BYTES
    )


def _judge(stretch: Stretch, pattern: Pattern) -> Part:
    found: list[StoredEvent] = []
    matches = judge(pattern)
    for event in stretch.events:
        try:
            is_match = matches(event.json)
        except PatternTooCostly:
            if event is stretch.events[0]:
                return Gap(event.position, event.position, "evaluation")
            return Stretch(found, event.position - 1)
        if is_match:
            found.append(event)
    return Stretch(found, stretch.position)
