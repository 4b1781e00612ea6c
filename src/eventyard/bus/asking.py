"""Asking: how a call reaches the writer or the store, and how its answer reaches the event loop it came from."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from eventyard import logbook
from eventyard.core.bus_state import BusState
from eventyard.core.clock import BusTime
from eventyard.core.commands import Command
from eventyard.core.errors import EventyardError, NotFound
from eventyard.core.view import View
from eventyard.ports import Engine
from eventyard.writer import Writer

T = TypeVar("T")


class Asking:
    """What every part of the facade stands on. `_answered` is filled on the writer's thread and emptied after each of its steps."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer
        self._answered: list[tuple[asyncio.Future[Any], Any]] = []
        self._waking: set[asyncio.AbstractEventLoop] = set()

    def _now(self) -> BusTime:
        return self._writer.now()

    def _submit_own(self, number: int, command: Command, done: Callable[[Any], None]) -> None:
        self._writer.submit_own(number, command, done)

    # The writer

    def _ask(self, submit: Callable[[Callable[[Any], None]], None]) -> "asyncio.Future[Any]":
        """Submit, and wake the writer when the loop has run what is ready: requests that came together are one batch."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        submit(lambda answer: self._answered.append((future, answer)))
        if loop not in self._waking:
            self._waking.add(loop)
            loop.call_soon(self._wake_writer, loop)
        return future

    def _wake_writer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waking.discard(loop)
        self._writer.wake()

    def _answer_loops(self) -> None:
        """Wake each loop once for all its answers."""
        answered, self._answered = self._answered, []
        loops = {future.get_loop() for future, _ in answered}
        for loop in loops:
            own = answered if len(loops) == 1 else [pair for pair in answered if pair[0].get_loop() is loop]
            try:
                loop.call_soon_threadsafe(_resolve, own)
            except RuntimeError:
                logbook.ANSWERS_UNHEARD(count=len(own))

    async def _command(self, bus: str, command: Command, *, size: int = 0) -> Any:
        return await self._ask_for(bus, command, size=size)

    def _ask_for(self, bus: str, command: Command, *, size: int = 0) -> "asyncio.Future[Any]":
        return self._ask(lambda done: self._writer.submit(bus, command, done, size=size))

    async def _system_command(self, command: Command) -> Any:
        return await self._ask(lambda done: self._writer.submit_system(command, done))

    # The store

    def _state(self, bus: str) -> BusState:
        state = self._writer.states.get(self._writer.number(bus))
        if state is None:
            raise NotFound(f'found no bus "{bus[:60]}"', wanted="a bus that exists")
        return state

    async def _read(self, ask: Callable[[View, BusState], T], bus: str) -> T:
        state = self._state(bus)
        return await asyncio.to_thread(self._read_now, ask, state)

    def _read_now(self, ask: Callable[[View, BusState], T], state: BusState) -> T:
        with self._engine.reader() as view:
            return ask(view, state)


def _resolve(answered: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, answer in answered:
        if future.done():
            continue
        if isinstance(answer, EventyardError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
