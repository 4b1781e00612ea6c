"""What a step has changed so far, laid over the committed state. Dropped whole when the commit fails.

Reads go through the draft: what the step itself changed first, then memory, then the engine's view.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from eventyard.core import limits
from eventyard.core.bus_events import bus_event
from eventyard.core.bus_state import BusState, with_record
from eventyard.core.changes import Backfill, BusRecord, Changes, Intent, Moved, StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.commands import Demand, Lease
from eventyard.core.delivery import Delivery, Key, Note, Reason, State, encode_note
from eventyard.core.event import Event
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.rule import RuleRecord
from eventyard.core.strict_json import decode
from eventyard.core.view import Known, View

Matches = tuple[Sequence[int], Sequence[int]]
"""The uids of the rules that match an event, and of those that could not be evaluated on it."""


class Draft:
    def __init__(
        self,
        state: BusState,
        view: View,
        time: BusTime,
        demands: Mapping[int, Demand] | None = None,
        room: int = limits.STEP_CHANGES_MAX,
    ) -> None:
        self.state = state
        self.view = view
        self.time = time
        self.head = state.head
        self.live = state.live
        self.leases: list[Lease] = []
        self.drained: list[int] = []
        self.demands = demands or {}
        self.room = room
        self._granted: dict[int, int] = {}
        self.known: dict[tuple[str, str], Known] = {}
        self.bytes = 0
        self._events: list[StoredEvent] = []
        self._puts: dict[Key, Delivery] = {}
        self._moves: dict[Key, Moved] = {}
        self._rules: dict[int, RuleRecord] = {}
        self._names: dict[str, RuleRecord | None] = {}
        self._backfills: dict[int, Backfill] = {}
        self._intents: dict[int, Intent] = {}
        self._buses: dict[str, BusRecord] = {}
        self.emptied_bus = 0

    @property
    def bus(self) -> int:
        return self.state.record.number

    @property
    def is_full(self) -> bool:
        """Whether the step has reached its bound; what is left waits for the next one."""
        return (
            len(self._events) >= limits.STEP_EVENTS_MAX
            or len(self._puts) + len(self._moves) >= limits.STEP_CHANGES_MAX
            or self.bytes >= limits.STEP_BYTES_MAX
        )

    def finish(self) -> Changes:
        return Changes(
            bus=self.bus,
            time=self.time,
            head=self.head,
            events=self._events,
            puts=list(self._puts.values()),
            moves=list(self._moves.values()),
            rules=list(self._rules.values()),
            backfills=list(self._backfills.values()),
            intents=list(self._intents.values()),
            buses=list(self._buses.values()),
            emptied_bus=self.emptied_bus,
        )

    # Events

    def append(self, event: Event, matches: Matches | None = None) -> int:
        """Give the event the next position and put it for every rule that it matches. The position."""
        matched, failed = matches or self.match(event)
        self.head += 1
        stored = StoredEvent(self.head, self.time.time_ms, event.digest, event.json, event.source, event.id)
        self._events.append(stored)
        self.known[event.source, event.id] = Known(self.head, self.time.time_ms, event.digest)
        self.bytes += len(event.json)
        for uid in matched:
            self.put(uid, self.head, event.json)
        for uid in failed:
            self.put_unevaluated(uid, self.head)
        return self.head

    def append_bus_event(self, kind: str, subject: str, data: dict[str, object]) -> int:
        """Append an event of the bus about itself."""
        moment = datetime.datetime.fromtimestamp(self.time.time_ms / 1000, datetime.UTC)
        return self.append(
            bus_event(
                kind,
                bus=self.state.record.name,
                incarnation=self.state.record.incarnation,
                position=self.head + 1,
                time=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                subject=subject,
                data=data,
            )
        )

    def match(self, event: Event) -> Matches:
        """Ask the live index; where it fails, ask each rule by itself."""
        document = decode(event.json) if event.document is None else event.document
        try:
            return self.live.match(document), ()
        except Exception:  # noqa: BLE001 - a rule that fails on an event costs that rule a dead letter, nobody else anything
            return self._match_one_by_one(document)

    def _match_one_by_one(self, document: Any) -> tuple[list[int], list[int]]:
        matched, failed = [], []
        for uid, pattern in self.live.items():
            try:
                if evaluate(pattern, document):
                    matched.append(uid)
            except Exception:  # noqa: BLE001 - as above: this is where the failing rule is singled out
                failed.append(uid)
        return matched, failed

    def event(self, position: int) -> StoredEvent | None:
        if position > self.state.head:
            return self._events[position - self.state.head - 1]
        return self.view.event(self.bus, position)

    def stretch(self, first: int, limit: int) -> list[StoredEvent]:
        """At most `limit` events from `first` on, those of this step included."""
        stored = self.view.events(self.bus, first, self.state.head, limit) if first <= self.state.head else []
        own = self._events[max(0, first - self.state.head - 1) :]
        return (stored + own)[:limit]

    # Deliveries

    def put(self, uid: int, position: int, event: bytes | None = None) -> None:
        """A delivery of the event for the rule: leased at once where a receiver waits and nobody stands before it."""
        record = self.rule(uid)
        fresh = Delivery(uid, record.run, position, State.WAITING, self.time.work_ms)
        if event is not None and not record.is_paused and self.wanted(uid) > 0 and not self._has_backlog(uid):
            fresh = self._grant(fresh, event)
        self._puts[fresh.key] = fresh

    def put_unevaluated(self, uid: int, position: int) -> None:
        """A dead letter for a rule that could not be evaluated on the event; a redrive evaluates again."""
        note = encode_note(Note(reason=Reason.EVALUATION, at_ms=self.time.time_ms))
        dead = Delivery(uid, self.rule(uid).run, position, State.DEAD, self.time.time_ms, note=note)
        self._puts[dead.key] = dead

    def wanted(self, uid: int) -> int:
        """How many more deliveries of the rule its receivers take now."""
        demand = self.demands.get(uid)
        if demand is None:
            return 0
        return min(demand.count - self._granted.get(uid, 0), self.room - len(self.leases))

    def _has_backlog(self, uid: int) -> bool:
        queue = self.state.queues.get(uid)
        return queue is not None and queue.is_due(self.time.work_ms)

    def lease(self, delivery: Delivery, event: bytes) -> None:
        """Grant the next lease on a delivery that was put before."""
        self.move(delivery, self._grant(delivery, event))

    def move(self, was: Delivery, now: Delivery) -> None:
        """Replace a delivery's row."""
        key = now.key
        if key in self._puts:
            self._puts[key] = now
        elif key in self._moves:
            self._moves[key] = Moved(self._moves[key].was, now)
        else:
            self._moves[key] = Moved(was.state, now)

    def has_pending(self, uid: int) -> bool:
        """Whether this very step leaves a delivery of the rule pending."""
        touched = [*self._puts.values(), *(move.now for move in self._moves.values())]
        return any(delivery.rule == uid and delivery.state.is_pending for delivery in touched)

    def is_touched(self, key: Key) -> bool:
        return key in self._puts or key in self._moves

    def delivery(self, key: Key) -> Delivery | None:
        if key in self._puts:
            return self._puts[key]
        if key in self._moves:
            return self._moves[key].now
        return self.state.leased.get(key) or self.view.delivery(self.bus, key)

    def _grant(self, delivery: Delivery, event: bytes) -> Delivery:
        """The delivery leased to whoever demanded it. The attempt counts from here, crash or not."""
        leased = Delivery(
            delivery.rule,
            delivery.run,
            delivery.position,
            State.LEASED,
            self.time.work_ms + self.demands[delivery.rule].lease_ms,
            delivery.attempts + 1,
            delivery.leases + 1,
            delivery.first_ms or max(1, self.time.work_ms),
            delivery.note,
        )
        self._granted[delivery.rule] = self._granted.get(delivery.rule, 0) + 1
        self.bytes += len(event)
        self.leases.append(Lease(leased, event, self.rule(delivery.rule)))
        return leased

    # Rules, backfills, intents, buses

    def rule(self, uid: int) -> RuleRecord:
        """The rule `uid`, being deleted or not. KeyError where it is gone."""
        return self._rules.get(uid) or self.state.by_uid[uid]

    def find_rule(self, uid: int) -> RuleRecord | None:
        return self._rules.get(uid) or self.state.by_uid.get(uid)

    def rule_named(self, name: str) -> RuleRecord | None:
        return self._names[name] if name in self._names else self.state.by_name.get(name)

    def rules_count(self) -> int:
        edited = sum((record is not None) - (name in self.state.by_name) for name, record in self._names.items())
        return len(self.state.by_name) + edited

    def set_rule(self, record: RuleRecord) -> None:
        """The rule's new record, in force for what this step does from here on."""
        self.live = with_record(self.live, self.find_rule(record.uid), record)
        self._rules[record.uid] = record
        if not record.is_deleted:
            self._names[record.name] = record
        elif (holder := self.rule_named(record.name)) is not None and holder.uid == record.uid:
            self._names[record.name] = None  # A later rule of the same name keeps it.

    def backfill(self, uid: int) -> Backfill | None:
        return self._backfills.get(uid) or self.state.backfills.get(uid)

    def set_backfill(self, backfill: Backfill) -> None:
        self._backfills[backfill.rule] = backfill

    def intent(self, number: int) -> Intent | None:
        return self._intents.get(number) or self.state.intents.get(number)

    def set_intent(self, intent: Intent) -> None:
        self._intents[intent.number] = intent

    def buses(self) -> dict[str, BusRecord]:
        return self.state.buses | self._buses

    def set_bus(self, record: BusRecord) -> None:
        self._buses[record.name] = record
