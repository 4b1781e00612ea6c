"""The whole house on one thread: the real stages over the real core, built as `bus.Eventyard` builds them, without its threads.

Whatever happens between two steps of a stage in production happens here between two calls of `step`. A crash drops every
object and keeps the store; for SQLite the store is a simulated disk, and a power cut may take what was not synced.
"""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import apsw
import msgspec

from eventyard.backfill import BackfillStage
from eventyard.consumers import Consumers
from eventyard.core.batch import batch_id
from eventyard.core.bus_state import BusState, Loaded, Queue
from eventyard.core.changes import BusRecord, Changes, QueueKey
from eventyard.core.clock import BusTime
from eventyard.core.commands import Command, Lease
from eventyard.core.delivery import delivery_id
from eventyard.core.errors import EventyardError, Unavailable
from eventyard.core.handshake import ORIGIN_DEFAULT
from eventyard.core.hosts import HostBudget, Hosts
from eventyard.core.limits import HOPS_MAX_DEFAULT
from eventyard.core.loss import Losses, Verified
from eventyard.core.record import ID_BYTES, Stand
from eventyard.core.view import View
from eventyard.dispatch import Dispatch
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.nats.engine import NatsEngine
from eventyard.engines.sqlite import SqliteEngine, log_tail
from eventyard.engines.sqlite.connection import PAGE_BYTES, Synchronous
from eventyard.engines.sqlite.ids import Layout
from eventyard.engines.sqlite.marks import MarkFile
from eventyard.gathering import Gathered
from eventyard.handshakes import Handshakes
from eventyard.keeper import Keeper
from eventyard.ports import Engine, Footprint
from eventyard.retaining import RetentionStage
from eventyard.scrubber import Scrubber
from eventyard.tokens import TokenTransport
from eventyard.writer import Writer
from tests.simulation.audit import audit
from tests.simulation.books import Books, BrokenPromise
from tests.simulation.disk import Disk, DiskMarks, DiskVFS
from tests.simulation.explained import check_explained
from tests.simulation.forwards import WatchedForwarder
from tests.simulation.handing import Gate
from tests.simulation.ledger import Ledger
from tests.simulation.rates import Rates
from tests.simulation.replies import check_commit, check_replies
from tests.simulation.shapes import Evaluator
from tests.simulation.targets import Targets
from tests.simulation.world import SimulatedClock, World
from tests.support.streams import SimulatedStreams

EngineName = Literal["memory", "sqlite", "journal"]
"""`journal`: memory, made again in each life from a journal that loses questions and answers."""

JOURNAL_BADNESS = 0.3
"""A life begins with a few questions for each bus, of which none may be lost: it should mostly succeed."""

LAYOUT = Layout(segment_ids=16, slice_segments=3)
"""Small enough that segments and slices of the dedup window close within one run."""


class Parts(msgspec.Struct, frozen=True):
    """What a mutant may replace."""

    writer: type[Writer] = Writer
    synchronous: Synchronous = "FULL"
    marks: Callable[[DiskVFS], MarkFile] = lambda vfs: DiskMarks(vfs, "bus.marks")
    wrap: Callable[[Engine], Engine] = lambda engine: engine
    has_budgets: bool = True
    """Whether each life draws what it allows to one host; else there is no bound."""
    is_watched: bool | None = None
    """Whether there are detectors and schedules in the story. None: in some."""


class WatchedEngine:
    """An engine whose commits are written into the ledger, and whose next one can be told to fail before it keeps anything."""

    def __init__(self, engine: Engine, ledger: Ledger, hops_max: int) -> None:
        self._engine = engine
        self._ledger = ledger
        self._hops_max = hops_max
        self.next_error: EventyardError | None = None

    @property
    def view(self) -> View:
        return self._engine.view

    @property
    def losses(self) -> Losses | None:
        return self._engine.losses

    def verify(self, bus: int, first: int, last: int) -> Verified:
        return self._engine.verify(bus, first, last)

    def verified(self, bus: int) -> int:
        return self._engine.verified(bus)

    def damaged(self, bus: int) -> int:
        return self._engine.damaged(bus)

    def is_damaged(self, bus: int, position: int) -> bool:
        return self._engine.is_damaged(bus, position)

    def footprint(self) -> Footprint:
        return self._engine.footprint()

    @property
    def is_joint(self) -> bool:
        return self._engine.is_joint

    def stands(self) -> dict[int, Stand]:
        return self._engine.stands()

    def give_up(self) -> None:
        self._engine.give_up()

    def load(self) -> list[Loaded]:
        return self._engine.load()

    def commit(self, batch: Sequence[Changes]) -> None:
        error, self.next_error = self.next_error, None
        if error is not None:
            raise error
        try:
            self._engine.commit(batch)
        except EventyardError:
            self._ledger.doubt(batch)
            raise
        self._ledger.take(batch)
        for changes in batch:
            if changes.bus in self._ledger.buses:
                check_commit(self._ledger.buses[changes.bus], changes, self._hops_max)

    def reader(self) -> AbstractContextManager[View]:
        return self._engine.reader()

    def close(self) -> None:
        self._engine.close()


class _WatchedDispatch(Dispatch):
    """Tells the gate when it was given each lease, which may be some time before its push, and the targets what a batch is made of: it does not say so itself."""

    gate: Gate
    targets: Targets

    def take(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self.gate.give(bus.incarnation, lease.delivery)
        super().take(bus, leases)

    def _send_batch(self, gathered: Gathered[Any]) -> None:
        targets = self.targets
        bus, deliveries = gathered.pushes[0].bus, [push.lease.delivery for push in gathered.pushes]
        ids = [delivery_id(bus.incarnation, one.rule, one.position, one.run) for one in deliveries]
        targets.gathered[batch_id(ids)] = [
            (one, push.lease.event) for one, push in zip(deliveries, gathered.pushes, strict=True)
        ]
        targets.incarnations[batch_id(ids)] = bus.incarnation
        super()._send_batch(gathered)


class House:
    """`writer` and the other stages are there while `is_up`."""

    writer: Writer
    dispatch: Dispatch
    forwarder: WatchedForwarder
    handshakes: Handshakes
    backfill: BackfillStage
    consumers: Consumers
    keeper: Keeper
    scrubber: Scrubber
    retention: RetentionStage
    engine: WatchedEngine

    def __init__(self, world: World, books: Books, engine_name: EngineName, parts: Parts) -> None:
        self.world = world
        self.books = books
        self.ledger = Ledger(world)
        self.is_watched = world.seed % 3 == 2 if parts.is_watched is None else parts.is_watched
        self.hops_max = HOPS_MAX_DEFAULT if self.is_watched else world.rng.choice((1, 2, 4))
        self._parts = parts
        self._budget = self._draw_budget()
        self.rates = Rates(world, self.ledger)
        self.gate = Gate(books, self.ledger, self.rates)
        self.evaluator = Evaluator(world, books)
        self.targets = Targets(world, self.gate, self.evaluator, self._now)
        self.clock = SimulatedClock(world)
        self.disk = Disk()
        self.is_up = False
        self._engine_name = engine_name
        self._memory = MemoryEngine()
        self._streams = SimulatedStreams(random.Random(world.seed), badness=JOURNAL_BADNESS)
        self._records = itertools.count()
        self._vfs: DiskVFS | None = None
        self._sqlite: SqliteEngine | None = None
        self._incarnations = 0

    def _record_id(self) -> bytes:
        return next(self._records).to_bytes(ID_BYTES, "big")

    def incarnation(self) -> str:
        self._incarnations += 1
        return f"{self._incarnations:08x}"

    # Life

    def open(self) -> bool:
        """Start the process. False where the disk let it down; then it may be tried again."""
        self.world.life += 1
        try:
            self.engine = WatchedEngine(self._parts.wrap(self._open_engine()), self.ledger, self.hops_max)
            self._build()
            self._check_whole()
            self.ledger.settle_doubts(self.engine.load(), self.engine.view)
            self.ledger.begin_life()
            self.writer.open(self.incarnation)
        except Unavailable as error:
            self.world.note(f"start failed: {error}")
            self.crash()
            return False
        self.is_up = True
        return True

    def _open_engine(self) -> Engine:
        if self._engine_name == "memory":
            return self._memory
        if self._engine_name == "journal":
            leader = f"node-{self.world.life}"
            return NatsEngine(self._streams, MemoryEngine(), leader=leader, ids=self._record_id)
        self._vfs = DiskVFS(f"disk-{id(self)}-{self.world.life}", self.disk)
        self._sqlite = SqliteEngine(
            "bus.db",
            vfs=self._vfs.vfs_name,
            synchronous=self._parts.synchronous,
            is_exclusive=True,
            layout=LAYOUT,
            marks=self._parts.marks(self._vfs),
        )
        return self._sqlite

    def _check_whole(self) -> None:
        """The disk kept what it had synced, so whoever says that something is lost is wrong."""
        if self.engine.losses is not None:
            raise BrokenPromise(f"a whole store was taken for one that lost something: {self.engine.losses.text}")
        if self._sqlite is not None and "bus.db-wal" in self.disk.files:
            whole, _ = self._sqlite._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
            lost = log_tail.lost_commits(bytes(self.disk.files["bus.db-wal"].content), PAGE_BYTES, whole)
            if lost:
                raise BrokenPromise(f"a whole log was taken for a damaged one: {lost} commits behind frame {whole}")

    def _build(self) -> None:
        chance = random.Random(self.world.rng.getrandbits(32))
        transport = TokenTransport(self.targets, lambda: self.clock.monotonic_ms() / 1000)
        self.dispatch = _WatchedDispatch(transport, self._now, self._wake, chance, expressions=self.evaluator)
        self.dispatch.gate, self.dispatch.targets = self.gate, self.targets
        self.targets.restart()
        self.consumers = Consumers(self._wake)
        self.forwarder = WatchedForwarder(self._submit_carried, self._now, chance, self._wake)
        self.forwarder.watch(self.world, self.gate, self.books, self.ledger)
        receivers = (self.dispatch, self.consumers, self.forwarder)
        self.writer = self._parts.writer(self.engine, self.clock, *receivers, hosts=self._hosts(), hops_max=self.hops_max)
        self.handshakes = Handshakes(self.writer.states, self._submit, transport, self._now, ORIGIN_DEFAULT)
        self.backfill = BackfillStage(self.engine, self.writer.states, self._submit)
        self.keeper = Keeper(self.writer.states, self._submit, self._now)
        self.scrubber = Scrubber(self.engine, self.writer.states, self.clock.monotonic_ms)
        self.retention = RetentionStage(self.engine, self.writer.states, self._submit, self._now)

    def _hosts(self) -> Hosts:
        """What the operator of this life allows to one host: mostly what the last one did."""
        if self.world.rng.random() < 0.3:
            self._budget = self._draw_budget()
        self.rates.restart(self._budget)
        return Hosts(self._budget)

    def _draw_budget(self) -> HostBudget:
        if not self._parts.has_budgets:
            return HostBudget()
        rng = self.world.rng
        return HostBudget(rng.choice((None, None, 1, 5)), rng.choice((None, None, 2, 50)))

    def crash(self) -> None:
        """The process dies between two instructions; its page cache lives on in the operating system."""
        self.is_up = False
        self.world.forget()
        if self._vfs is not None:
            self._vfs.unplug()
        if self._sqlite is not None:
            self._sqlite.close()
        self._vfs = self._sqlite = None
        self.disk.fault = None

    @property
    def may_go_unanswered(self) -> bool:
        """Whether its journal loses answers, also those that a start waits for."""
        return self._engine_name == "journal"

    def calm_journal(self) -> None:
        """From now on every question is answered."""
        self._streams.calm()

    def cut_power(self) -> None:
        """The machine dies: what was not synced may be lost, whole or in part."""
        self.crash()
        self.disk.power_cut(self.world.rng)
        self.clock.reboot()

    def _now(self) -> BusTime:
        time = self.writer.now()
        self.ledger.clock_ms = max(self.ledger.clock_ms, time.time_ms)
        return time

    def _wake(self) -> None:
        self.writer.wake()

    def _submit(self, number: int, command: Command, done: Callable[[Any], None]) -> None:
        self.writer.submit_own(number, command, done)

    def _submit_carried(self, bus: str, command: Command, done: Callable[[Any], None], *, size: int = 0) -> None:
        self.writer.submit(bus, command, done, size=size)

    # One bounded step of a stage

    def step_writer(self) -> bool:
        return self.writer.step()

    def step_others(self) -> bool:
        self.scrubber.step()
        if any(self.engine.damaged(number) for number in self.writer.states):
            raise BrokenPromise("the scrubber took whole events for damaged ones")
        began = [self.backfill.step(), self.keeper.step(), self.handshakes.step(), self.retention.step(), self.dispatch.step()]
        return any(began)

    def audit(self, *, is_at_rest: bool) -> None:
        audit(self.engine.load(), self.engine.view, self.books, self.ledger, is_at_rest=is_at_rest)
        for number, state in self.writer.states.items():
            if number:
                bus = self.ledger.buses[number]
                check_replies(bus, self.books, self.hops_max, is_at_rest=is_at_rest)
                check_explained(self.engine.view, state, bus, self.books, self.writer.now(), is_at_rest=is_at_rest)

    def check_reload(self) -> None:
        """What the house remembers is what a fresh start would read."""
        for loaded in self.engine.load():
            _check_same(self.writer, loaded)


def _check_same(writer: Writer, loaded: Loaded) -> None:
    state = writer.states.get(loaded.record.number)
    if state is None:
        raise BrokenPromise(f"bus {loaded.record.name} is in the store and not in memory")
    rules = {record.uid: record for record in loaded.rules if record.uid in state.by_uid or not record.is_deleted}
    pairs = {
        "head": (state.head, loaded.head),
        "time": (state.time.time_ms if state.head else 0, loaded.time.time_ms if loaded.head else 0),
        "rules": (state.by_uid, rules),
        "backfills": (state.backfills, {backfill.key: backfill for backfill in loaded.backfills}),
        "tombstones": (state.tombstones, {tombstone.name: tombstone for tombstone in loaded.tombstones}),
        "lanes": (_lanes(state), _lanes(BusState(loaded))),
        "log": ((state.floor, state.log_bytes), (loaded.floor, loaded.log_bytes)),
        "health": (state.health, {health.rule: health for health in loaded.health}),
        "unwell": (state.unwell, {health.rule for health in loaded.health if health.is_unwell}),
        "intents": (state.intents, {intent.number: intent for intent in loaded.intents}),
        "leased": (state.leased, {delivery.key: delivery for delivery in loaded.leased}),
        "emitters": (state.emitters.by_uid, {record.uid: record for record in loaded.emitters}),
        "tallies": (_counts(state.emitters.tallies), _counts({tally.owner: tally.counts for tally in loaded.emitter_tallies})),
        "schedules": (state.schedules.by_uid, {record.uid: record for record in loaded.schedules}),
        "buses": (state.buses, {record.name: record for record in loaded.buses}),
        "counts": (
            {key: queue.counts for key, queue in _queues(state).items() if any(queue.counts)},
            {key: queue.counts for key, queue in loaded.queues.items() if key[0] in state.by_uid and any(queue.counts)},
        ),
    }
    for what, (memory, store) in pairs.items():
        if memory != store:
            raise BrokenPromise(f"{what} of bus {loaded.record.name}: memory has {memory}, the store has {store}")
    _check_bound("keys of emitters", state.emitters.due_ms, loaded.kept_due_ms)
    for key, queue in _queues(state).items():
        due_ms = loaded.queues[key].due_ms if key in loaded.queues else None
        _check_bound(key, queue.due_ms, due_ms)
        if key not in state.closed:
            _check_bound(key, state.due.get(key[0]), due_ms)


def _queues(state: BusState) -> dict[QueueKey, Queue]:
    return {(uid, run): queue for uid, of_rule in state.queues.items() for run, queue in of_rule.runs.items()}


def _lanes(state: BusState) -> dict[tuple[int, ...], tuple[int, bool, list[int]]]:
    return {
        (uid, *key): (lane.head, lane.is_parked, lane.behind)
        for uid, of_rule in state.lanes.items()
        for key, lane in of_rule.lanes.items()
    }


def _counts(tallies: Mapping[int, Mapping[str, int]]) -> dict[int, dict[str, int]]:
    return {owner: dict(counts) for owner, counts in tallies.items()}


def _check_bound(key: QueueKey | str, bound_ms: int | None, due_ms: int | None) -> None:
    """The bound on when something falls due may be early and never late: a late one is something forgotten."""
    if due_ms is not None and (bound_ms is None or bound_ms > due_ms):
        raise BrokenPromise(f"{key} is due at {due_ms} and its bound in memory says {bound_ms}")
