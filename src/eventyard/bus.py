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

from eventyard import history
from eventyard.backfill import BackfillStage
from eventyard.consumers import Claim, Consumers, Granted
from eventyard.core import machine, network, rule
from eventyard.core.bus_state import BusState
from eventyard.core.changes import ALL_DEAD, Backfill, BusRecord, Filter, Retention, StoredEvent
from eventyard.core.commands import (
    Command,
    CreateBus,
    DeleteBus,
    DeleteRule,
    EndReplay,
    Lease,
    Published,
    Purge,
    PutRule,
    Redrive,
    Redriven,
    Replay,
    RulePut,
    Seek,
    SetPaused,
    SetRetention,
    Settle,
    Settlement,
    Skip,
)
from eventyard.core.delivery import Key, Note, parse_delivery_id, parse_lease_token
from eventyard.core.errors import EventyardError, InvalidRequest, NotFound, Refused, StaleLease
from eventyard.core.event import Event
from eventyard.core.pattern import language
from eventyard.core.pattern.language import Pattern
from eventyard.core.rule import Place, RuleRecord
from eventyard.core.verdict import Retry, Verdict
from eventyard.core.view import View
from eventyard.dispatch import Dispatch
from eventyard.history import DeadLetterPage, EventPage, Query, ReplayStatus, RuleStatus, replay_status
from eventyard.keeper import Keeper
from eventyard.ports import Clock, Engine, Transport
from eventyard.retaining import RetentionStage
from eventyard.stream import Stream, Streams
from eventyard.writer import Writer

log = logging.getLogger("eventyard.bus")

T = TypeVar("T")


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
        is_pushing: bool = True,
    ) -> None:
        """`is_pushing`: false where push rules are left to workers, which lease from here."""
        self._engine = engine
        self._transport = transport
        self._policy = policy
        self._dispatch = Dispatch(transport, self._now, self._wake, rng or random.SystemRandom())
        self._consumers = Consumers(self._wake)
        self._writer = Writer(engine, clock, self._dispatch, self._consumers)
        self._writer.after_step = self._after_step
        self._streams = Streams(self._writer.states, self._read_now)
        if not is_pushing:
            self._dispatch.drain()
            self._writer.is_push_kept = True
        self._backfill = BackfillStage(engine, self._writer.states, self._submit_own)
        self._keeper = Keeper(self._writer.states, self._submit_own, self._now)
        self._retention = RetentionStage(engine, self._writer.states, self._submit_own, self._now)
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
            did_something = any([self._backfill.step(), self._keeper.step(), self._retention.step(), self._dispatch.step()])
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
        if parsed.target.http is not None:
            network.check_url(parsed.target.http.url, self._policy)
        answer: RulePut = await self._command(bus, PutRule(name, parsed, pattern, principal))
        return answer

    async def delete_rule(self, bus: str, name: str, *, principal: str = "") -> RuleRecord:
        record: RuleRecord = await self._command(bus, DeleteRule(name, principal))
        return record

    async def set_paused(self, bus: str, name: str, *, is_paused: bool, principal: str = "") -> RuleRecord:
        record: RuleRecord = await self._command(bus, SetPaused(name, is_paused, principal))
        return record

    async def status(self, bus: str, name: str) -> RuleStatus:
        record = self.rule(bus, name)
        return await self._read(lambda view, state: history.status(view, state, record, self._now()), bus)

    # Queues

    async def receive(
        self, bus: str, name: str, *, count: int = 100, wait_s: float = 0.0, lease_s: float | None = None
    ) -> list[Lease]:
        """Lease up to `count` deliveries of a pull rule, for `lease_s` each (the rule's own where None), waiting up to `wait_s`.

        Empty where nothing came. A caller that is cancelled while it waits takes nothing with it. Raises `InvalidRequest` for a rule
        that pushes, `Overloaded` where too many wait.
        """
        record = self.rule(bus, name)
        queue = record.rule.target.queue
        if queue is None:
            raise InvalidRequest(
                f'found that rule "{name}" pushes', wanted='a rule with the target {"queue": {}}', at="path rule"
            )
        lease_ms = int((queue.lease_s if lease_s is None else lease_s) * 1000)
        rule_key = (self._state(bus).record.number, record.uid)
        granted = await self._claim(rule_key, count, lease_ms, wait_s)
        return [lease for _, lease in granted]

    async def receive_pushes(self, *, count: int, wait_s: float = 0.0) -> list[Granted]:
        """Lease deliveries of push rules of any bus, for a worker that sends them."""
        return await self._claim(None, count, 0, wait_s)

    async def _claim(self, key: tuple[int, int] | None, count: int, lease_ms: int, wait_s: float) -> list[Granted]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Granted]] = loop.create_future()
        claim = Claim(key, count, lease_ms, lambda answer: self._hand_over(future, answer), is_impatient=wait_s <= 0)
        self._consumers.wait(claim)
        timer = loop.call_later(wait_s, self._consumers.hurry, claim)
        try:
            return await future
        finally:
            timer.cancel()
            if not future.done() or future.cancelled():
                self._consumers.hurry(claim)

    def _hand_over(self, future: "asyncio.Future[list[Granted]]", answer: list[Granted] | NotFound) -> None:
        """On the writer's thread: to who waits; where nobody does any more, back into the queues, not counted."""
        if not future.cancelled() or not isinstance(answer, list):
            self._answered.append((future, answer))
            return
        for record, lease in answer:
            verdict = Retry(0, Note(failure="the consumer left before it was answered"), is_counted=False)
            settlement = Settlement(lease.delivery.key, lease.delivery.leases, verdict)
            self._submit_own(record.number, Settle((settlement,)), lambda _: None)

    async def settle(self, bus: str, name: str, tokens: Sequence[str], verdict: Verdict) -> list[StaleLease | None]:
        """One verdict on each of these leases of the rule: None where it counts, else why it does not."""
        state, record = self._state(bus), self.rule(bus, name)
        read = [_lease(state, record, token) for token in tokens]
        known = [Settlement(*found, verdict) for found in read if not isinstance(found, StaleLease)]
        return await self._settle(bus, read, known)

    async def settle_pushes(self, bus: str, settlements: Sequence[Settlement]) -> list[StaleLease | None]:
        """A worker's verdicts on what it pushed."""
        answers: list[StaleLease | None] = await self._command(bus, Settle(tuple(settlements)))
        return answers

    async def _settle(self, bus: str, read: list[Any], known: list[Settlement]) -> list[StaleLease | None]:
        answers = iter(await self.settle_pushes(bus, known) if known else [])
        return [found if isinstance(found, StaleLease) else next(answers) for found in read]

    # Runs

    async def seek(self, bus: str, name: str, place: Place, *, principal: str = "") -> RuleRecord:
        """Have the rule go on at another place of the log; what it still owes is discarded."""
        rule.check_place(place, at="/to")
        record: RuleRecord = await self._command(bus, Seek(name, place, principal))
        return record

    async def replay(self, bus: str, command: Replay) -> ReplayStatus:
        """Begin a replay to one rule."""
        if command.pattern:
            language.parse(command.pattern)
        for place, at in ((command.first, "/from"), (command.until, "/until")):
            rule.check_place(place, at=at)
        made: Backfill = await self._command(bus, command)
        return replay_status(self._state(bus), made)

    def replays(self, bus: str, name: str) -> list[ReplayStatus]:
        """Those of the rule under way and the last ones that ended, the newest first."""
        state, record = self._state(bus), self.rule(bus, name)
        own = [one for one in state.backfills.copy().values() if one.is_replay and one.rule == record.uid]
        return [replay_status(state, one) for one in sorted(own, key=lambda one: -one.run)]

    def replay_of(self, bus: str, name: str, run: int) -> ReplayStatus:
        found = [status for status in self.replays(bus, name) if status.run == run]
        if not found:
            raise NotFound(f'found no replay {run} to rule "{name}"', wanted="one that GET .../replays lists")
        return found[0]

    async def end_replay(self, bus: str, name: str, run: int, *, principal: str = "") -> ReplayStatus:
        """Cancel a replay, or forget one that has ended."""
        ended: Backfill = await self._command(bus, EndReplay(name, run, principal))
        return replay_status(self._state(bus), ended)

    # Dead letters

    async def dead_letters(
        self, bus: str, name: str, *, after: tuple[int, int] = (0, -1), limit: int = 100, meant: Filter = ALL_DEAD
    ) -> DeadLetterPage:
        """Dead deliveries of a rule by position, each with its event and why it died (`Delivery.note`)."""
        uid = self.rule(bus, name).uid
        return await self._read(
            lambda view, state: history.dead_letters(view, state, uid, after, limit=limit, meant=meant), bus
        )

    async def count_dead_letters(self, bus: str, name: str, meant: Filter) -> int:
        """How many a redrive or purge of them would take: a dry run."""
        uid = self.rule(bus, name).uid
        return await self._read(lambda view, state: history.count_dead_letters(view, state, uid, meant), bus)

    async def redrive(
        self,
        bus: str,
        name: str,
        ids: Sequence[str] | None,
        *,
        meant: Filter = ALL_DEAD,
        per_s: float = 0.0,
        is_out_of_order: bool = False,
        principal: str = "",
    ) -> Redriven:
        """Put dead deliveries back: those with these delivery ids, or all that are meant (None), `per_s` a second (0: at once)."""
        command = Redrive(name, self._keys(bus, ids), principal, meant, per_s, is_out_of_order)
        answer: Redriven = await self._command(bus, command)
        return answer

    async def purge(
        self,
        bus: str,
        name: str,
        ids: Sequence[str] | None,
        *,
        meant: Filter = ALL_DEAD,
        is_parked_too: bool = False,
        principal: str = "",
    ) -> Redriven:
        """Discard dead deliveries; with `is_parked_too` (by ids only) also what waits behind each."""
        command = Purge(name, self._keys(bus, ids), principal, meant, is_parked_too)
        answer: Redriven = await self._command(bus, command)
        return answer

    async def skip(
        self, bus: str, name: str, ids: Sequence[str] = (), lanes: Sequence[int] = (), *, principal: str = ""
    ) -> Redriven:
        """Discard dead heads of an ordered rule, so that their keys go on."""
        answer: Redriven = await self._command(bus, Skip(name, self._keys(bus, ids) or (), tuple(lanes), principal))
        return answer

    def _keys(self, bus: str, ids: Sequence[str] | None) -> tuple[Key, ...] | None:
        state = self._state(bus)
        return None if ids is None else tuple(_key(state, text, index) for index, text in enumerate(ids))

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

    async def set_retention(self, name: str, retention: Retention, *, principal: str = "") -> BusRecord:
        """Change what the bus keeps of its log."""
        record: BusRecord = await self._system_command(SetRetention(name, retention, principal))
        return record

    def floor(self, bus: str) -> int:
        """The first position that is kept whole; below it stand only events that are owed."""
        return self._state(bus).floor

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


def _lease(state: BusState, record: RuleRecord, token: str) -> tuple[Key, int] | StaleLease:
    """The key and number of a lease of this rule; a foreign one is refused like one that is over."""
    parsed = parse_lease_token(token)
    if parsed is None or parsed[0] != state.record.incarnation or parsed[1][0] != record.uid:
        return StaleLease(f'found "{token[:80]}"', wanted="a lease that this rule granted")
    return parsed[1], parsed[2]


def _key(state: BusState, text: str, index: int) -> Key:
    parsed = parse_delivery_id(text)
    if parsed is None or parsed[0] != state.record.incarnation:
        raise InvalidRequest(f'found "{text[:80]}"', wanted="the id of a dead letter of this bus", at=f"/ids/{index}")
    return parsed[1]


def _incarnation() -> str:
    return secrets.token_hex(4)
