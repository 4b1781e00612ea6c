"""The facade: what a bus can be asked, for doors (HTTP, a console) and for programs that embed it.

`Eventyard` holds one store with all its buses and runs the stages on their threads: the writer, the transport's, and one for
backfills and the keeper. Every method is called on an asyncio loop; what it awaits is durable when it returns.
"""

import asyncio
import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from eventyard import history
from eventyard.backfill import BackfillStage
from eventyard.core import machine, network, rule
from eventyard.core.bus_state import BusState
from eventyard.core.changes import BusRecord, StoredEvent
from eventyard.core.commands import (
    Command,
    CreateBus,
    DeleteBus,
    DeleteRule,
    Published,
    PutRule,
    Redrive,
    Redriven,
    RulePut,
    SetPaused,
)
from eventyard.core.delivery import Key, State, parse_delivery_id
from eventyard.core.errors import EventyardError, InvalidRequest, NotFound, Refused
from eventyard.core.event import Event
from eventyard.core.pattern.language import Pattern
from eventyard.core.rule import RuleRecord
from eventyard.core.view import View
from eventyard.dispatch import Dispatch
from eventyard.history import DeadLetterPage, EventPage, Query
from eventyard.keeper import Keeper
from eventyard.ports import Clock, Engine, Transport
from eventyard.stream import Stream, Streams
from eventyard.writer import Writer

log = logging.getLogger("eventyard.bus")

T = TypeVar("T")


class RuleStatus(msgspec.Struct, frozen=True):
    """Where a rule's queue stands: how many deliveries are in each state since the rule was created."""

    waiting: int
    leased: int
    delivered: int
    dead: int
    discarded: int
    backfill_position: int | None
    """The next position that a backfill reads for the rule; None when the rule is live."""
    is_redriving: bool
    """Whether a redrive of all dead letters is still being carried out."""


class Eventyard:
    """One store and its stages. `start` before anything else, `stop` at the end; a crash instead of `stop` loses nothing."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        clock: Clock,
        policy: network.Policy,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._policy = policy
        self._dispatch = Dispatch(transport, self._now, self._wake, rng or random.SystemRandom())
        self._writer = Writer(engine, clock, self._dispatch)
        self._writer.after_step = self._after_step
        self._streams = Streams(self._writer.states, self._read_now)
        self._backfill = BackfillStage(engine, self._writer.states, self._submit_own)
        self._keeper = Keeper(self._writer.states, self._submit_own)
        self._answered: list[tuple[asyncio.Future[Any], Any]] = []
        self._waking: set[asyncio.AbstractEventLoop] = set()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    # Life

    def open(self, incarnation: Callable[[], str] | None = None) -> None:
        """Take the store up, on this thread, without starting any other."""
        self._writer.open(incarnation or _incarnation)

    def start(self) -> None:
        """Open the store and start the stages, each on a thread of its own."""
        self.open()
        for name, run in (("writer", self._writer.run), ("keeper", self._run_keeper)):
            thread = threading.Thread(target=run, name=f"eventyard-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    async def stop(self, drain_s: float = 10.0) -> None:
        """Give no more deliveries out, wait up to `drain_s` for pushes under way, write what was taken, close the store.

        A second call does nothing.
        """
        if self._stopping.is_set():
            return
        self._dispatch.drain()
        self._streams.stop()
        deadline = time.monotonic() + drain_s
        while self._dispatch.under_way and time.monotonic() < deadline:  # noqa: ASYNC110 - counted on another thread
            await asyncio.sleep(0.02)
        self._dispatch.abandon()
        self._stopping.set()
        self._writer.stop()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        await asyncio.to_thread(self._streams.close)
        self._transport.close()
        self._engine.close()

    def unready(self) -> list[str]:
        """What keeps the bus from working as it should, in words for an operator; nothing when it is ready."""
        ended = [f"the thread {thread.name} has ended" for thread in self._threads if not thread.is_alive()]
        lost = [f"a repair: {self._writer.losses.text}"] if self._writer.losses is not None else []
        return ended + lost + (["the disk refuses what is written"] if self._writer.has_failed else [])

    def _run_keeper(self) -> None:
        """Backfills and the keeper's work, at most half of the time so that live traffic keeps the other half."""
        while not self._stopping.is_set():
            if self._writer.losses is not None:
                self._stopping.wait(1)
                continue
            began = time.monotonic()
            did_something = any([self._backfill.step(), self._keeper.step(), self._dispatch.step()])
            took_s = time.monotonic() - began
            self._stopping.wait(max(0.005, took_s) if did_something else 0.1)

    def _now(self) -> Any:
        return self._writer.now()

    def _wake(self) -> None:
        self._writer.wake()

    def _submit_own(self, number: int, command: Command, done: Callable[[Any], None]) -> None:
        self._writer.submit_own(number, command, done)

    # Asking the writer

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

    def _after_step(self) -> None:
        """On the writer's thread after each step."""
        self._answer_loops()
        self._streams.announce()

    def _answer_loops(self) -> None:
        """Wake each loop once for all its answers."""
        answered, self._answered = self._answered, []
        loops = {future.get_loop() for future, _ in answered}
        for loop in loops:
            own = answered if len(loops) == 1 else [pair for pair in answered if pair[0].get_loop() is loop]
            try:
                loop.call_soon_threadsafe(_resolve, own)
            except RuntimeError:
                log.warning("a caller's event loop was closed before %d answers reached it", len(own))

    async def _command(self, bus: str, command: Command, *, size: int = 0) -> Any:
        return await self._ask(lambda done: self._writer.submit(bus, command, done, size=size))

    async def _system_command(self, command: Command) -> Any:
        return await self._ask(lambda done: self._writer.submit_system(command, done))

    # Events

    async def publish(self, bus: str, events: Sequence[Event]) -> list[Published | Refused]:
        """Append events in order; one verdict each. Durable and routed when this returns.

        Raises `NotFound` (bus), `Overloaded`, `Stopping`, `StorageFull`, `StorageFailed`; then an event of the batch may or may
        not be accepted, and publishing the same again is safe: it is accepted once.
        """
        command = machine.foresee(self._state(bus).live, events)
        answers: list[Published | Refused] = await self._command(bus, command, size=sum(len(event.json) for event in events))
        return answers

    async def event(self, bus: str, position: int) -> StoredEvent:
        found = await self._read(lambda view, state: view.event(state.record.number, position), bus)
        if found is None:
            raise NotFound(f"found no event at position {position}", wanted=f"1 to {self._state(bus).head}")
        return found

    async def events(self, bus: str, query: Query) -> EventPage:
        """A stretch of history."""
        return await self._read(lambda view, state: history.scan(view, state, query), bus)

    def stream(self, bus: str, *, after: int | None = None, pattern: Pattern | None = None) -> Stream:
        """Follow the log: `async for part in bus.stream("shop")` gives `Stretch`es of it, and a `Gap` for what it cannot give.

        From what comes after position `after` on (None: from now on). It looks at a stretch when it is asked for the next one
        and ends when the bus is deleted or stops. Raises `NotFound`, `Overloaded`, `Stopping`, and `InvalidRequest` for a position that
        the log has not reached (`StoreBehind` where it may have been lost).
        """
        state = self._state(bus)
        if after is not None and after > state.head:
            self._writer.check_whole()
        return self._streams.open(state, after, pattern)

    # Rules

    def rules(self, bus: str) -> list[RuleRecord]:
        """By name."""
        return sorted(self._state(bus).by_name.copy().values(), key=lambda record: record.name)

    def rule(self, bus: str, name: str) -> RuleRecord:
        record = self._state(bus).by_name.get(name)
        if record is None:
            raise NotFound(f'found no rule "{name[:60]}" on bus "{bus}"', wanted="a rule that exists")
        return record

    async def put_rule(self, bus: str, name: str, document: bytes, *, principal: str = "") -> RulePut:
        """Create or change a rule from its JSON document."""
        rule.check_name(name, what="rule")
        parsed, pattern = rule.parse(document)
        network.check_url(parsed.target.http.url, self._policy)
        answer: RulePut = await self._command(bus, PutRule(name, parsed, pattern, principal))
        return answer

    async def delete_rule(self, bus: str, name: str, *, principal: str = "") -> RuleRecord:
        record: RuleRecord = await self._command(bus, DeleteRule(name, principal))
        return record

    async def set_paused(self, bus: str, name: str, *, is_paused: bool, principal: str = "") -> RuleRecord:
        record: RuleRecord = await self._command(bus, SetPaused(name, is_paused, principal))
        return record

    def status(self, bus: str, name: str) -> RuleStatus:
        state, record = self._state(bus), self.rule(bus, name)
        counts = state.queues[record.uid].counts
        backfill = state.backfills.get(record.uid)
        return RuleStatus(
            waiting=counts[State.WAITING],
            leased=counts[State.LEASED],
            delivered=counts[State.DELIVERED],
            dead=counts[State.DEAD],
            discarded=counts[State.DISCARDED],
            backfill_position=backfill.next_position if backfill else None,
            is_redriving=any(intent.rule == record.uid for intent in state.intents.copy().values()),
        )

    async def dead_letters(self, bus: str, name: str, *, after: tuple[int, int] = (0, -1), limit: int = 100) -> DeadLetterPage:
        """Dead deliveries of a rule by position, each with its event and why it died (`Delivery.note`)."""
        uid = self.rule(bus, name).uid
        return await self._read(lambda view, state: history.dead_letters(view, state, uid, after, limit), bus)

    async def redrive(self, bus: str, name: str, ids: Sequence[str] | None, *, principal: str = "") -> Redriven:
        """Put dead deliveries back: those with these delivery ids, or all (None)."""
        state = self._state(bus)
        keys = None if ids is None else tuple(_key(state, text, index) for index, text in enumerate(ids))
        answer: Redriven = await self._command(bus, Redrive(name, keys, principal))
        return answer

    # Buses

    def buses(self) -> list[BusRecord]:
        """By name."""
        records = [state.record for number, state in list(self._writer.states.items()) if number]
        return sorted(records, key=lambda record: record.name)

    def head(self, bus: str) -> int:
        """The position of the bus's last event; 0 where there is none."""
        return self._state(bus).head

    async def create_bus(self, name: str, *, principal: str = "") -> tuple[BusRecord, bool]:
        """The bus, and whether it is new."""
        rule.check_name(name, what="bus")
        answer: tuple[BusRecord, bool] = await self._system_command(CreateBus(name, _incarnation(), principal))
        return answer

    async def delete_bus(self, name: str, *, principal: str = "") -> BusRecord:
        record: BusRecord = await self._system_command(DeleteBus(name, principal))
        return record

    def bus(self, name: str) -> BusRecord:
        return self._state(name).record

    # Reading

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


def _key(state: BusState, text: str, index: int) -> Key:
    parsed = parse_delivery_id(text)
    if parsed is None or parsed[0] != state.record.incarnation:
        raise InvalidRequest(f'found "{text[:80]}"', wanted="the id of a dead letter of this bus", at=f"/ids/{index}")
    return parsed[1]


def _incarnation() -> str:
    return secrets.token_hex(4)
