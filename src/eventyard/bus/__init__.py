"""The facade: what a bus can be asked, for doors (HTTP, a console) and for programs that embed it.

`Eventyard` holds one store with all its buses and runs the stages on their threads: the writer, the transport's, and one for
backfills, retention and the keeper. What is asked of rules stands in `rules`, of queues in `queues`, of dead letters in `dead_letters`, of
detectors in `detectors`, expectations in `expectations`, of access keys in `keys`.
Every method is called on an asyncio loop; what it awaits is durable when it returns.
"""

import asyncio
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from eventyard import history, logbook
from eventyard.backfill import BackfillStage
from eventyard.bus.backtesting import BacktestCalls, BacktestThread
from eventyard.bus.dead_letters import DeadLetterCalls
from eventyard.bus.detectors import DetectorCalls
from eventyard.bus.expectations import ExpectationCalls
from eventyard.bus.explaining import ExplainCalls
from eventyard.bus.figures import Figures, Holdings, Reading, Waiting, Watch
from eventyard.bus.keys import KeyCalls
from eventyard.bus.rehearsals import RehearsalCalls, Rehearsals
from eventyard.bus.schedules import ScheduleCalls
from eventyard.bus.storytelling import StoryCalls
from eventyard.bus.workers import WorkerCalls
from eventyard.consumers import Consumers
from eventyard.core import handout, handshake, limits, loops, machine, network, rule
from eventyard.core.bus_state import BusState
from eventyard.core.changes import BusRecord, Retention, StoredEvent
from eventyard.core.commands import Command, CreateBus, DeleteBus, Published, SetRetention
from eventyard.core.errors import Damaged, NotLeading, Refused
from eventyard.core.event import Event
from eventyard.core.hosts import Hosts
from eventyard.core.pattern.language import Pattern
from eventyard.core.rule import RuleRecord
from eventyard.dispatch import Dispatch
from eventyard.forwarding import Forwarder
from eventyard.handshakes import Handshakes
from eventyard.history import BusStatus, EventPage, Query
from eventyard.keeper import Keeper
from eventyard.metering import Meter
from eventyard.ports import Clock, Engine, Expressions, Tracing, Transport, Vault
from eventyard.retaining import RetentionStage
from eventyard.scrubber import Progress, Scrubber
from eventyard.stream import Stream, Streams
from eventyard.tokens import TokenTransport
from eventyard.writer import Writer

__all__ = ["Eventyard"]

T = TypeVar("T")


class Eventyard(
    WorkerCalls,
    DetectorCalls,
    ExpectationCalls,
    DeadLetterCalls,
    ExplainCalls,
    StoryCalls,
    BacktestCalls,
    RehearsalCalls,
    KeyCalls,
    ScheduleCalls,
):
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
        tracing: Tracing | None = None,
        vault: Vault | None = None,
        expressions: Expressions | None = None,
        hops_max: int = limits.HOPS_MAX_DEFAULT,
        hosts: Hosts | None = None,
        origin: str = handshake.ORIGIN_DEFAULT,
    ) -> None:
        """`is_pushing`: false where push rules are left to workers, which lease from here. `vault`: without one no rule has secrets.

        `expressions`: without them no rule has a transform in JSONata. `origin`: by which name targets are asked for their consent.
        """
        self._vault = vault
        self._expressions = expressions
        self._tracing = tracing
        self._transport = transport = TokenTransport(transport, lambda: clock.monotonic_ms() / 1000)
        self._policy = policy
        self._clock = clock
        self._wall_ms = clock.now_ms
        self._used_ms = {}
        chance = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing; the system's costs a call for each push
        self.meter = Meter()
        self._watch = Watch(self.meter.seconds)
        self._backtests = BacktestThread()
        self._rehearsals = Rehearsals(clock.monotonic_ms)
        self._watched = 0
        self._dispatch = Dispatch(
            transport,
            self._now,
            self._wake,
            chance,
            meter=self.meter,
            tracing=tracing,
            open_secret=self._open_secret,
            wall_ms=clock.now_ms,
            expressions=expressions,
        )
        self._consumers = Consumers(self._wake)
        self._records = handout.Records(self._open_secret)
        self._hops_max = hops_max
        self._forwarder = Forwarder(self._submit_forwarded, self._now, chance, self._wake)
        receivers = (self._dispatch, self._consumers, self._forwarder)
        super().__init__(engine, Writer(engine, clock, *receivers, meter=self.meter, hops_max=hops_max, hosts=hosts))
        self._writer.after_step = self._after_step
        self._streams = Streams(self._writer.states, self._read_now)
        if not is_pushing:
            self._dispatch.drain()
            self._writer.is_push_kept = True
        self._backfill = BackfillStage(engine, self._writer.states, self._submit_own)
        self._keeper = Keeper(self._writer.states, self._submit_own, self._now)
        self._handshakes = Handshakes(self._writer.states, self._submit_own, transport, self._now, origin)
        self._retention = RetentionStage(engine, self._writer.states, self._submit_own, self._now)
        self._scrubber = Scrubber(engine, self._writer.states, clock.monotonic_ms)
        self._name_life = _incarnation
        self._stopping = threading.Event()
        self._is_leaving = False
        self._threads: list[threading.Thread] = []

    # Life

    def open(self, incarnation: Callable[[], str] | None = None) -> None:
        """Take the store up, on this thread, without starting any other."""
        self._name_life = incarnation or self._name_life
        self._writer.open(self._name_life)

    def start(self) -> None:
        """Open the store and start the stages."""
        self.open()
        self.begin()

    def begin(self) -> None:
        """Start the stages, each on a thread of its own. After `open`."""
        for lost in self.lost_secrets():
            logbook.SECRET_LOST(secret=lost)
        for name, run in (("writer", self._writer.run), ("keeper", self._run_keeper)):
            thread = threading.Thread(target=run, name=f"eventyard-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def rule_warnings(self, bus: str, record: RuleRecord) -> list[str]:
        """How the rule may feed itself, as far as that can be known, in sentences."""
        names = self._writer.numbers.copy()
        ways = {name: self._forwarder.ways(number) for name, number in names.items()} if record.rule.target.bus else {}
        return loops.warnings(bus, record.rule, rule.parse_pattern(record), ways, hops_max=self._hops_max)

    def _submit_forwarded(self, bus: str, command: Command, done: Callable[[Any], None], *, size: int = 0) -> None:
        self._writer.submit(bus, command, done, size=size)

    def leave(self) -> None:
        """It is about to be stopped: not ready from now on, so that nobody sends anybody here, and at work as before."""
        self._is_leaving = True

    def drain(self) -> None:
        """Give no more deliveries out: a receive that waits is answered with nothing, and pushes under way may end. Twice is harmless."""
        self._is_leaving = True
        self._dispatch.drain()
        self._forwarder.drain()
        self._consumers.stop()

    async def stop(self, drain_s: float = 10.0) -> int:
        """Drain, wait up to `drain_s` for pushes under way, write what was taken, close the store.

        How many pushes had no answer by then: they are due at once when it starts again, perhaps for the second time. A second call
        does nothing.
        """
        if self._stopping.is_set():
            return 0
        self.drain()
        self._streams.stop()
        self._backtests.stop()
        deadline = time.monotonic() + drain_s
        while (self._dispatch.under_way or self._forwarder.under_way) and time.monotonic() < deadline:  # noqa: ASYNC110 - counted on another thread
            await asyncio.sleep(0.02)
        self._dispatch.abandon()
        unanswered = self._dispatch.under_way
        self._stopping.set()
        self._writer.stop()
        self._engine.give_up()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        await asyncio.to_thread(self._streams.close)
        await asyncio.to_thread(self._backtests.close)
        await asyncio.to_thread(self._watch.close)
        if self._expressions is not None:
            self._expressions.close()
        self._transport.close()
        self._engine.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        return unanswered

    def unready(self) -> list[str]:
        """What keeps the bus from working as it should, in words for an operator; nothing when it is ready."""
        leaving = ["a stop that was asked for"] if self._is_leaving else []
        ended = [f"the thread {thread.name} has ended" for thread in self._threads if not thread.is_alive()]
        ended += [] if self._transport.is_running else ["the thread that pushes has ended"]
        lost = [f"a repair: {self._writer.losses.text}"] if self._writer.losses is not None else []
        return leaving + ended + lost + self._failure()

    def _failure(self) -> list[str]:
        """Why the last step was not kept. What is damaged does not get well by itself, as a disk may."""
        error = self._writer.failed_with
        if isinstance(error, Damaged):
            return [f"a repair: {error.detail}"]
        if isinstance(error, NotLeading):
            return [error.detail]
        return ["the disk refuses what is written"] if self._writer.has_failed else []

    def holdings(self) -> Holdings:
        """What the store holds, at a glance."""
        states = [state for number, state in list(self._writer.states.items()) if number]
        return Holdings(
            buses=len(states),
            events=sum(max(0, state.head + 1 - state.floor) for state in states),
            rules=sum(len(state.by_name) for state in states),
            pending=sum(sum(state.pending.copy().values()) for state in states),
            bytes=sum(self._engine.footprint().files.values()),
        )

    def scrubbing(self) -> Progress:
        """How far the scrubber's pass has come."""
        return self._scrubber.progress

    def damaged(self) -> dict[str, int]:
        """By bus, how many events were found damaged or gone since the start; buses without any are left out.

        They keep no bus from being ready: they are never served, a delivery of one ends as a dead letter, and all the rest works.
        """
        counts = {state.record.name: self._engine.damaged(number) for number, state in list(self._writer.states.items())}
        return {name: count for name, count in counts.items() if count}

    async def figures(self, tell: Callable[[Figures], T]) -> T:
        """What `tell` makes of all that is counted and of what waits, on a thread that is there for it."""
        return await self._watch.told(self._read_figures, tell)

    def _read_figures(self) -> Figures:
        reading = Reading(self._engine, self._writer.states, self.meter, self._now, self._watched)
        reading.read()
        self._watched = reading.turn
        waiting = Waiting(
            *self._writer.held,
            pushes=self._dispatch.under_way,
            verdicts=self._dispatch.verdicts,
            receives=len(self._consumers),
            streams=len(self._streams),
        )
        return Figures(
            meter=self.meter,
            buses=reading.buses,
            rules=reading.rules,
            detectors=reading.detectors,
            expectations=reading.expectations,
            unread=reading.unread,
            waiting=waiting,
            scrub=self.scrubbing(),
            footprint=self._engine.footprint(),
            unready=len(self.unready()),
            spans_dropped=self._tracing.dropped if self._tracing is not None else 0,
            took_s=reading.took_s,
        )

    def _run_keeper(self) -> None:
        """Backfills and the keeper's work, at most half of the time so that live traffic keeps the other half."""
        while not self._stopping.is_set():
            self._scrubber.step()
            if self._writer.losses is not None:
                self._stopping.wait(0.1)
                continue
            began = time.monotonic()
            did_something = self._step_beside_writer()
            took_s = time.monotonic() - began
            self._stopping.wait(max(0.005, took_s) if did_something else 0.1)

    def _step_beside_writer(self) -> bool:
        began = [self._backfill.step(), self._keeper.step(), self._handshakes.step(), self._retention.step()]
        return any([*began, self._dispatch.step()])

    def step(self) -> bool:
        """One bounded step of every stage on this thread, where `open` was called and `begin` was not. False when none had anything to do."""
        is_busy = self._step_beside_writer()
        return self._writer.step() or is_busy

    def idle_ms(self) -> int | None:
        """How long until a delivery, a lease or trouble falls due, now that a `step` found nothing to do; None: none does.

        Retention, and what else is only looked at now and then, is not in it.
        """
        idle = [idle_ms for stage in (self._writer, self._keeper, self._handshakes) if (idle_ms := stage.idle_ms()) is not None]
        return min(idle, default=None)

    def _wake(self) -> None:
        self._writer.wake()

    def _after_step(self) -> None:
        """On the writer's thread after each step."""
        self._answer_loops()
        self._streams.sleepers.announce()

    # Events

    @property
    def is_traced(self) -> bool:
        """Whether anybody asks what trace a publisher is in."""
        return self._tracing is not None

    async def publish(self, bus: str, events: Sequence[Event], *, traceparent: str = "") -> list[Published | Refused]:
        """Append events in order; one verdict each. Durable and routed when this returns.

        Raises `NotFound` (bus), `Overloaded`, `Stopping`, `StorageFull`, `StorageFailed`; then an event of the batch may or may
        not be accepted, and publishing the same again is safe: it is accepted once. `traceparent` is that of the call.
        """
        state, began_ns = self._state(bus), time.time_ns() if self._tracing is not None else 0
        command = machine.foresee(state.live, events)
        answers: list[Published | Refused] = await self._command(bus, command, size=sum(len(event.json) for event in events))
        if self._tracing is not None:
            self._tracing.published(state.record, events, answers, traceparent, began_ns)
        return answers

    async def event(self, bus: str, position: int) -> StoredEvent:
        """`Damaged` for one that is not as it was written, or absent although nothing took it away; `NotFound` for any other."""
        found = await self._read(lambda view, state: view.event(state.record.number, position), bus)
        if found is None:
            raise history.absent(self._state(bus), position, self._engine)
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
        answer: tuple[BusRecord, bool] = await self._system_command(CreateBus(name, self._name_life(), principal))
        return answer

    async def set_retention(self, name: str, retention: Retention, *, principal: str = "") -> BusRecord:
        """Change what the bus keeps of its log."""
        record: BusRecord = await self._system_command(SetRetention(name, retention, principal))
        return record

    async def bus_status(self, bus: str) -> BusStatus:
        """How far its log reaches, and what it weighs."""
        return await self._read(history.bus_status, bus)

    async def bus_statuses(self) -> list[BusStatus]:
        """Of all buses, by name."""
        states = [state for number, state in list(self._writer.states.items()) if number]
        found = await asyncio.to_thread(self._bus_statuses, states)
        return sorted(found, key=lambda status: status.record.name)

    def _bus_statuses(self, states: Sequence[BusState]) -> list[BusStatus]:
        with self._engine.reader() as view:
            return [history.bus_status(view, state) for state in states]

    async def delete_bus(self, name: str, *, principal: str = "") -> BusRecord:
        record: BusRecord = await self._system_command(DeleteBus(name, principal))
        return record

    def bus(self, name: str) -> BusRecord:
        return self._state(name).record


def _incarnation() -> str:
    return secrets.token_hex(4)
