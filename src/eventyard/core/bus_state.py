"""What a bus holds in memory of what is committed: its head, its time, its rules, and where their queues stand.

Only `apply` changes it, only with changes that an engine has committed, and it can be rebuilt from the store at any time.
"""

import msgspec

from eventyard.core import rule as rules
from eventyard.core.changes import Backfill, BusRecord, Changes, Intent
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, State
from eventyard.core.pattern.ruleset import RuleSet
from eventyard.core.rule import RuleRecord, Status


class Queue(msgspec.Struct):
    """Where one rule's queue stands: how many deliveries are in each `State`, and when the next one may be leased.

    `due_ms`: no delivery that may be leased is due before this work time (None: none is pending). It is a bound, not a fact:
    it may be too early after a lease is settled, never too late.
    """

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * len(State))
    due_ms: int | None = None

    @property
    def pending(self) -> int:
        return self.counts[State.WAITING] + self.counts[State.LEASED]

    def is_due(self, work_ms: int) -> bool:
        return self.due_ms is not None and self.due_ms <= work_ms


def tally(changes: Changes) -> dict[int, list[int]]:
    """By rule, how many deliveries each `State` gains or loses with these changes."""
    deltas: dict[int, list[int]] = {}
    for delivery in changes.puts:
        delta = deltas.get(delivery.rule)
        if delta is None:
            delta = deltas[delivery.rule] = [0] * len(State)
        delta[delivery.state] += 1
    for move in changes.moves:
        delta = deltas.get(move.now.rule)
        if delta is None:
            delta = deltas[move.now.rule] = [0] * len(State)
        delta[move.was] -= 1
        delta[move.now.state] += 1
    return deltas


class Loaded(msgspec.Struct, frozen=True):
    """Everything an engine tells of one bus at start."""

    record: BusRecord
    head: int
    time: BusTime
    rules: tuple[RuleRecord, ...]
    backfills: tuple[Backfill, ...]
    intents: tuple[Intent, ...]
    queues: dict[int, Queue]
    leased: tuple[Delivery, ...] = ()
    buses: tuple[BusRecord, ...] = ()
    """On the system bus: every bus that is there or still being emptied."""


class BusState:
    """The committed state of one bus. The writer alone changes it; other threads look single things up in it."""

    def __init__(self, loaded: Loaded) -> None:
        self.record = loaded.record
        self.head = loaded.head
        self.floor = 1
        self.time = loaded.time
        self.by_uid: dict[int, RuleRecord] = {}
        self.by_name: dict[str, RuleRecord] = {}
        self.live = RuleSet()
        self.queues: dict[int, Queue] = {}
        self.leased = {delivery.key: delivery for delivery in loaded.leased}
        self.buses = {record.name: record for record in loaded.buses}
        self.backfills = {backfill.rule: backfill for backfill in loaded.backfills}
        self.intents = {intent.number: intent for intent in loaded.intents}
        for record in loaded.rules:
            self._apply_rule(record)
        for uid, queue in loaded.queues.items():
            if uid in self.by_uid:
                self.queues[uid] = queue

    def apply(self, changes: Changes) -> None:
        """Take over what the engine has committed."""
        self.head = changes.head
        self.time = changes.time
        for record in changes.rules:
            self._apply_rule(record)
        self._count(tally(changes))
        for delivery in changes.puts:
            self._place(delivery)
        for move in changes.moves:
            self._place(move.now)
        self._apply_backfills(changes.backfills)
        self._apply_intents(changes.intents)
        for bus in changes.buses:
            if bus.is_removed:
                self.buses.pop(bus.name, None)
            else:
                self.buses[bus.name] = bus

    def _apply_rule(self, record: RuleRecord) -> None:
        before = self.by_uid.get(record.uid)
        if before is not None and self.by_name.get(before.name) is before:
            del self.by_name[before.name]
        if record.status is Status.DELETED:
            self.by_uid.pop(record.uid, None)
            self.queues.pop(record.uid, None)
        else:
            self.by_uid[record.uid] = record
            self.queues.setdefault(record.uid, Queue())
        if not record.is_deleted:
            self.by_name[record.name] = record
        self.live = with_record(self.live, before, record)

    def _place(self, delivery: Delivery) -> None:
        """Keep what is leased at hand, and the queue's bound true."""
        if delivery.state is State.LEASED:
            self.leased[delivery.key] = delivery
        else:
            self.leased.pop(delivery.key, None)
        queue = self.queues.get(delivery.rule)
        if queue is not None and delivery.state.is_pending and (queue.due_ms is None or delivery.at_ms < queue.due_ms):
            queue.due_ms = delivery.at_ms

    def _count(self, deltas: dict[int, list[int]]) -> None:
        for rule, delta in deltas.items():
            if queue := self.queues.get(rule):
                queue.counts = [have + more for have, more in zip(queue.counts, delta, strict=True)]

    def _apply_backfills(self, backfills: list[Backfill]) -> None:
        for backfill in backfills:
            if backfill.is_done:
                self.backfills.pop(backfill.rule, None)
            else:
                self.backfills[backfill.rule] = backfill

    def _apply_intents(self, intents: list[Intent]) -> None:
        for intent in intents:
            if intent.is_done:
                self.intents.pop(intent.number, None)
            else:
                self.intents[intent.number] = intent


def with_record(live: RuleSet, before: RuleRecord | None, record: RuleRecord) -> RuleSet:
    """The live index after `before` (None: there was none) became `record`."""
    is_live = record.status is Status.LIVE
    was_live = before is not None and before.status is Status.LIVE
    if is_live and (not was_live or before is None or before.rule.pattern != record.rule.pattern):
        return live.with_rule(record.uid, rules.parse_pattern(record))
    if was_live and not is_live:
        return live.without(record.uid)
    return live
