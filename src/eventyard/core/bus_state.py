"""What a bus holds in memory of what is committed: its head, its time, its rules, and where their queues stand.

Only `apply` changes it, only with changes that an engine has committed, and it can be rebuilt from the store at any time; but for what
protects targets (`protection`), which begins anew with each start.
"""

import bisect
from collections.abc import Iterable, Sequence

import msgspec

from eventyard.core import limits
from eventyard.core import rule as rules
from eventyard.core.access import AccessKey
from eventyard.core.changes import Backfill, BusRecord, Changes, Intent, QueueKey
from eventyard.core.clock import BusTime
from eventyard.core.delivery import LEASED, Delivery, State
from eventyard.core.due import Due
from eventyard.core.emitter import EmitterRecord, EmitterTally
from eventyard.core.emitter_state import EmitterState
from eventyard.core.health import Health
from eventyard.core.loss import Gap
from eventyard.core.order import Lanes
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import Pattern
from eventyard.core.protection import Held, Protection
from eventyard.core.rule import RuleRecord, Status, Tombstone
from eventyard.core.schedule import ScheduleRecord
from eventyard.core.schedule_book import ScheduleBook


class Queue(msgspec.Struct):
    """Where one run of a rule stands: how many deliveries are in each `State`, and when the next one may be leased.

    `due_ms`: nothing in the queue is due before this work time (None: it is empty). It is a bound, not a fact: it may be too early,
    never too late.
    """

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * len(State))
    due_ms: int | None = None

    @property
    def pending(self) -> int:
        return sum(self.counts[: State.BLOCKED + 1])

    def is_due(self, work_ms: int) -> bool:
        return self.due_ms is not None and self.due_ms <= work_ms


class RuleQueue(msgspec.Struct):
    """The queues of one rule, by run. The live one comes first in what is given out."""

    runs: dict[int, Queue] = msgspec.field(default_factory=dict)

    def run(self, run: int) -> Queue:
        queue = self.runs.get(run)
        if queue is None:
            queue = self.runs[run] = Queue()
        return queue

    @property
    def counts(self) -> list[int]:
        """Over all runs. May be read from any thread."""
        counts = [queue.counts for queue in list(self.runs.values())]
        return [sum(column) for column in zip(*counts, strict=True)] if counts else [0] * len(State)

    @property
    def leased(self) -> int:
        return sum(queue.counts[State.LEASED] for queue in self.runs.values())

    @property
    def pending(self) -> int:
        return sum(queue.pending for queue in list(self.runs.values()))


class Loaded(msgspec.Struct, frozen=True):
    """Everything an engine tells of one bus at start. `ordered`: deliveries in lanes, pending or dead."""

    record: BusRecord
    head: int
    time: BusTime
    rules: tuple[RuleRecord, ...] = ()
    backfills: tuple[Backfill, ...] = ()
    intents: tuple[Intent, ...] = ()
    queues: dict[QueueKey, Queue] = {}
    leased: tuple[Delivery, ...] = ()
    buses: tuple[BusRecord, ...] = ()
    """On the system bus: every bus that is there or still being emptied."""
    keys: tuple[AccessKey, ...] = ()
    """On the system bus: every access key, those that are over included."""
    floor: int = 1
    log_bytes: int = 0
    tombstones: tuple[Tombstone, ...] = ()
    ordered: tuple[Delivery, ...] = ()
    gaps: tuple[Gap, ...] = ()
    """Positions that a repair has given up, in order."""
    health: tuple[Health, ...] = ()
    emitters: tuple[EmitterRecord, ...] = ()
    emitter_tallies: tuple[EmitterTally, ...] = ()
    kept_due_ms: int | None = None
    """When a key of any emitter is due first."""
    schedules: tuple[ScheduleRecord, ...] = ()


class BusState:
    """The committed state of one bus. The writer alone changes it; other threads look single things up in it."""

    def __init__(self, loaded: Loaded) -> None:
        self.record = loaded.record
        self.head, self.floor = loaded.head, loaded.floor
        self.log_bytes = loaded.log_bytes
        self.gaps = loaded.gaps
        self.time = loaded.time
        self.by_uid: dict[int, RuleRecord] = {}
        """By ascending uid: a rule keeps its place however often it is changed."""
        self.by_name: dict[str, RuleRecord] = {}
        self.names: list[str] = []
        """Those of `by_name`, sorted."""
        self.deleting: set[int] = set()
        """Deleted rules whose queues are not empty yet."""
        self.paused: set[int] = set()
        self.live = Index()
        self.queues: dict[int, RuleQueue] = {}
        self.pending: dict[int, int] = {}
        """By rule, of those that have any, how many of its deliveries are pending, over all runs."""
        self.dead: dict[int, int] = {}
        """As `pending`, how many are dead."""
        self.due = Due(self.by_uid)
        """Of rules with anything in their queues, closed runs aside."""
        self.lanes: dict[int, Lanes] = {}
        self.overparked: set[int] = set()
        """Rules with more behind their parked keys than they may have."""
        self.leased = {delivery.key: delivery for delivery in loaded.leased}
        self.buses = {record.name: record for record in loaded.buses}
        self.keys = {key.id: key for key in loaded.keys}
        self.backfills: dict[QueueKey, Backfill] = {}
        self.reading: dict[QueueKey, Backfill] = {}
        """Those of `backfills` that have not read all that they are to read."""
        self._fed: dict[int, tuple[int, ...]] = {}
        self.intents = {intent.number: intent for intent in loaded.intents}
        self.closed = closed_runs(self.intents.values())
        self.tombstones = {tombstone.name: tombstone for tombstone in loaded.tombstones}
        self.health = {health.rule: health for health in loaded.health}
        """Rules in trouble."""
        self.unwell = {health.rule for health in loaded.health if health.is_unwell}
        """Those of them of which a success is news."""
        self.emitters = EmitterState(loaded.emitters, loaded.emitter_tallies, loaded.kept_due_ms)
        self.protection = Protection(self.health, loaded.head, loaded.time.work_ms)
        self.schedules = ScheduleBook(loaded.schedules, loaded.record.incarnation)
        self._apply_backfills(loaded.backfills)
        for record in sorted(loaded.rules, key=lambda record: record.uid):
            self.live = with_record(self.live, self._place_rule(record), record)
        self.names = sorted(self.by_name)
        for (uid, run), queue in loaded.queues.items():
            if uid in self.by_uid:
                self.queues[uid].runs[run] = queue
                self._find_due(uid)
                self._sum(uid, queue.counts)
        for delivery in loaded.ordered:
            self._place_in_lane(delivery)

    def live_backfill(self, uid: int) -> Backfill | None:
        """What feeds the rule's live run, where it is not live."""
        record = self.by_uid.get(uid)
        return self.backfills.get((uid, record.run)) if record is not None else None

    def backfills_of(self, uid: int) -> list[Backfill]:
        """What feeds any run of the rule, ended replays included. From any thread."""
        return [found for run in self._fed.get(uid, ()) if (found := self.backfills.get((uid, run))) is not None]

    def unparked(self, uid: int, run: int | None = None) -> int:
        """Pending deliveries of a run (None: of all), without those that wait behind dead ones: what its consumer still has to do."""
        queue, lanes = self.queues.get(uid), self.lanes.get(uid)
        if run is None:
            return (queue.pending if queue is not None else 0) - (lanes.parked_behind if lanes is not None else 0)
        of_run = queue.runs.get(run) if queue is not None else None
        return (of_run.pending if of_run is not None else 0) - (lanes.parked_behind_in(run) if lanes is not None else 0)

    def gives_out(self, uid: int, work_ms: int) -> bool:
        """Whether deliveries of the rule may be leased at this time."""
        record, queue = self.by_uid.get(uid), self.queues.get(uid)
        if record is None or queue is None or not record.gives_out:
            return False
        return queue.leased < self.protection.allowed(record, work_ms)

    def leased_of(self, uid: int) -> int:
        """How many of the rule's deliveries are leased."""
        queue = self.queues.get(uid)
        return queue.leased if queue is not None else 0

    def held(self, record: RuleRecord, work_ms: int) -> Held | None:
        """What keeps what is due of the rule from going, beside its concurrency. None: nothing does."""
        return self.protection.held(record, self.leased_of(record.uid), work_ms)

    def set_due(self, uid: int, run: int, due_ms: int | None) -> None:
        """What the store says of a queue: exact, where the bound had only ever been lowered."""
        if rule_queue := self.queues.get(uid):
            rule_queue.run(run).due_ms = due_ms
            self._find_due(uid)

    def _find_due(self, uid: int) -> None:
        runs = self.queues[uid].runs.items()
        due = [queue.due_ms for run, queue in runs if queue.due_ms is not None and (uid, run) not in self.closed]
        if due:
            self.due.set(uid, min(due))
        else:
            self.due.forget(uid)

    def apply(self, changes: Changes, live: Index | None = None) -> None:
        """Take over what the engine has committed. `live`: the index that the step ended with; where it is not given it is made anew."""
        self.head, self.floor, self.log_bytes, self.time = changes.head, changes.floor, changes.log_bytes, changes.time
        self._apply_rules(changes.rules, live)
        self._count(changes)
        for delivery in changes.puts:
            self._place(delivery)
            if delivery.lane:
                self._place_in_lane(delivery)
        for move in changes.moves:
            self._place(move.now)
            if move.now.lane and not (move.was.is_running and move.now.state.is_running):
                self._place_in_lane(move.now)
        self._apply_backfills(changes.backfills)
        self._apply_intents(changes.intents)
        self._apply_tombstones(changes.tombstones)
        self._apply_health(changes.health)
        self.emitters.apply(changes)
        self.schedules.apply(changes.schedules)
        self._apply_buses(changes.buses)
        self._apply_keys(changes.keys)

    def _apply_rules(self, records: Iterable[RuleRecord], live: Index | None) -> None:
        for record in records:
            before = self._apply_rule(record)
            if live is None:
                self.live = with_record(self.live, before, record)
        if live is not None:
            self.live = live

    def _apply_rule(self, record: RuleRecord) -> RuleRecord | None:
        """What the rule was before."""
        name, was_there = record.name, record.name in self.by_name
        before = self._place_rule(record)
        if name in self.by_name and not was_there:
            bisect.insort(self.names, name)
        elif was_there and name not in self.by_name:
            del self.names[bisect.bisect_left(self.names, name)]
        return before

    def _place_rule(self, record: RuleRecord) -> RuleRecord | None:
        uid, before = record.uid, self.by_uid.get(record.uid)
        if before is not None and self.by_name.get(before.name) is before:
            del self.by_name[before.name]
        if record.status is Status.DELETED:
            for kept in (self.by_uid, self.queues, self.lanes, self.pending, self.dead):
                kept.pop(uid, None)
            self.due.forget(uid)
            self.overparked.discard(uid)
        else:
            self.by_uid[uid] = record
            if uid not in self.queues:
                self.queues[uid] = RuleQueue()
            self.due.refile(uid)
        self.protection.follow(before, record, self.time.work_ms)
        if not record.is_deleted:
            self.by_name[record.name] = record
        _keep(self.deleting, uid, is_in=record.status is Status.DELETING)
        _keep(self.paused, uid, is_in=record.is_paused and not record.is_deleted)
        return before

    def _place(self, delivery: Delivery) -> None:
        """Keep what is leased at hand, and the queue's bound true."""
        state = delivery.state
        if state is LEASED:
            self.leased[delivery.key] = delivery
        else:
            self.leased.pop(delivery.key, None)
            if state <= State.RETRYING and (rule_queue := self.queues.get(delivery.rule)) is not None:
                self._lower_due(delivery, rule_queue.run(delivery.run))

    def _place_in_lane(self, delivery: Delivery) -> None:
        uid = delivery.rule
        if uid in self.by_uid:
            lanes = self._lanes(uid)
            lanes.place(delivery)
            _keep(self.overparked, uid, is_in=lanes.parked_behind > limits.PARKED_BEHIND_MAX)

    def _lower_due(self, delivery: Delivery, queue: Queue) -> None:
        uid, at_ms = delivery.rule, delivery.at_ms
        if queue.due_ms is None or at_ms < queue.due_ms:
            queue.due_ms = at_ms
        before_ms = self.due.get(uid)
        if (before_ms is None or at_ms < before_ms) and (uid, delivery.run) not in self.closed:
            self.due.set(uid, at_ms)

    def _lanes(self, uid: int) -> Lanes:
        lanes = self.lanes.get(uid)
        if lanes is None:
            lanes = self.lanes[uid] = Lanes()
        return lanes

    def _count(self, changes: Changes) -> None:
        if not changes.puts and not changes.moves:
            return
        for (uid, run), delta in changes.tally.items():
            if rule_queue := self.queues.get(uid):
                queue = rule_queue.run(run)
                queue.counts = [have + more for have, more in zip(queue.counts, delta, strict=True)]
                self._sum(uid, delta)
            if delta[LEASED] > 0:
                self.due.serve(uid)

    def _sum(self, uid: int, delta: Sequence[int]) -> None:
        waiting, retrying, leased, blocked, _, dead, _ = delta
        if more := waiting + retrying + leased + blocked:
            _add(self.pending, uid, more)
        if dead:
            _add(self.dead, uid, dead)

    def _apply_backfills(self, backfills: Iterable[Backfill]) -> None:
        for backfill in backfills:
            key, (uid, run) = backfill.key, backfill.key
            others = tuple(other for other in self._fed.get(uid, ()) if other != run)
            if backfill.is_removed or (backfill.is_done and not backfill.is_replay):
                self.backfills.pop(key, None)
            else:
                self.backfills[key] = backfill
                others += (run,)
            if others:
                self._fed[uid] = others
            else:
                self._fed.pop(uid, None)
            if key in self.backfills and not backfill.is_done:
                self.reading[key] = backfill
            else:
                self.reading.pop(key, None)

    def _apply_intents(self, intents: Sequence[Intent]) -> None:
        if not intents:
            return
        for intent in intents:
            if intent.is_done:
                self.intents.pop(intent.number, None)
            else:
                self.intents[intent.number] = intent
        before, self.closed = self.closed, closed_runs(self.intents.values())
        for uid, _ in before.keys() ^ self.closed.keys():
            if uid in self.queues:
                self._find_due(uid)

    def _apply_tombstones(self, tombstones: Iterable[Tombstone]) -> None:
        for tombstone in tombstones:
            if tombstone.is_removed:
                self.tombstones.pop(tombstone.name, None)
            else:
                self.tombstones[tombstone.name] = tombstone

    def _apply_buses(self, buses: Iterable[BusRecord]) -> None:
        for bus in buses:
            if bus.is_removed:
                self.buses.pop(bus.name, None)
            else:
                self.buses[bus.name] = bus

    def _apply_keys(self, keys: Iterable[AccessKey]) -> None:
        for key in keys:
            if key.is_removed:
                self.keys.pop(key.id, None)
            else:
                self.keys[key.id] = key

    def _apply_health(self, healths: Iterable[Health]) -> None:
        for health in healths:
            if health.is_removed:
                self.health.pop(health.rule, None)
            else:
                self.health[health.rule] = health
            _keep(self.unwell, health.rule, is_in=health.is_unwell)


def _keep(kept: set[int], uid: int, *, is_in: bool) -> None:
    if is_in:
        kept.add(uid)
    else:
        kept.discard(uid)


def _add(sums: dict[int, int], uid: int, more: int) -> None:
    """A sum of nothing is none."""
    if left := sums.get(uid, 0) + more:
        sums[uid] = left
    else:
        sums.pop(uid, None)


def closed_runs(intents: Iterable[Intent]) -> dict[QueueKey, str]:
    """The runs that a seek or a cancelled replay is emptying just now, and why: what their deliveries are told."""
    return {closed: intent.reason for intent in intents if (closed := intent.closes) is not None}


def with_record(live: Index, before: RuleRecord | None, record: RuleRecord, pattern: Pattern | None = None) -> Index:
    """The live index after `before` (None: there was none) became `record`, whose `pattern` somebody may have read already."""
    is_live = record.status is Status.LIVE
    was_live = before is not None and before.status is Status.LIVE
    if is_live and (not was_live or before is None or before.rule.pattern != record.rule.pattern):
        return live.with_rule(record.uid, pattern or rules.parse_pattern(record))
    if was_live and not is_live:
        return live.without(record.uid)
    return live
