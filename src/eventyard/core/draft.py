"""What a step has changed so far, laid over the committed state. Dropped whole when the commit fails.

Reads go through the draft: what the step itself changed first, then memory, then the engine's view.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from eventyard.core import cause as causes
from eventyard.core import limits
from eventyard.core.access import AccessKey
from eventyard.core.bus_events import bus_event
from eventyard.core.bus_state import BusState, closed_runs, with_record
from eventyard.core.cause import Cause, Derivation
from eventyard.core.changes import Backfill, BusRecord, Changes, Intent, Moved, QueueKey, StoredEvent
from eventyard.core.clock import BusTime, rfc3339
from eventyard.core.commands import Lease
from eventyard.core.delivery import DELIVERED, LEASED, Delivery, Key, Note, Reason, State, encode_note, following
from eventyard.core.emitter_draft import EmitterDraft
from eventyard.core.event import Event
from eventyard.core.grants import Demands, Grants, Ledger
from eventyard.core.health import HealthDraft
from eventyard.core.order import LanesDraft
from eventyard.core.order_key import lane_of
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import Pattern
from eventyard.core.protection import ProtectionDraft
from eventyard.core.reply import ReplyOutcome
from eventyard.core.rule import RuleRecord, Status, Tombstone
from eventyard.core.rule_history import RuleVersion
from eventyard.core.schedule_book import ScheduleDraft
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
        demands: Sequence[Demands] = (),
        ledger: Ledger | None = None,
        *,
        hops_max: int = limits.HOPS_MAX_DEFAULT,
    ) -> None:
        self.state = state
        self.view = view
        self.time = time
        self.hops_max = hops_max
        """How many hops may lie behind an event of this bus."""
        self.head = state.head
        self.floor = state.floor
        self.log_bytes = state.log_bytes
        self.live = state.live
        self.lanes = LanesDraft(state.lanes)
        self.health = HealthDraft(state.health, state.unwell)
        self.emitters = EmitterDraft(state.emitters, view, state.record.number, time.work_ms)
        self.protection = ProtectionDraft(state.protection, time.work_ms, ledger.hosts if ledger else None, state.record.number)
        self.schedules = ScheduleDraft(state.schedules)
        self.grants = Grants(demands, ledger or Ledger([limits.STEP_CHANGES_MAX] * len(demands)))
        self.leases: list[Lease] = []
        self.drained: list[tuple[int, int]] = []
        self.leases_max = limits.LEASES_PER_STEP_MAX
        """How many of the deliveries that wait the step may lease."""
        self.queues_read = 0
        """How many queues the step has asked the store about."""
        self.unreached: list[int] = []
        """Rules that may have more to give, pulled ones all of them: the step gave out enough before it came to their end."""
        self.known: dict[tuple[str, str], Known] = {}
        self.bytes = 0
        self.put_live: set[int] = set()
        self._leased: dict[int, int] = {}
        self._fetched: dict[Key, Delivery | None] = {}
        self._events: list[StoredEvent] = []
        self._derivations: list[Derivation] = []
        self._causes: dict[int, Cause] = {}
        self.replies = list[tuple[int, ReplyOutcome]]()
        """By rule, what became of its replies."""
        self._puts: dict[Key, Delivery] = {}
        self._moves: dict[Key, Moved] = {}
        self._rules: dict[int, RuleRecord] = {}
        self.versions = list[RuleVersion]()
        self._names: dict[str, RuleRecord | None] = {}
        self._tombstones: dict[str, Tombstone] = {}
        self._backfills: dict[tuple[int, int], Backfill] = {}
        self._intents: dict[int, Intent] = {}
        self._buses: dict[str, BusRecord] = {}
        self._keys: dict[str, AccessKey] = {}
        self._forgotten: list[tuple[int, int]] = []
        self.emptied_bus = 0

    @property
    def bus(self) -> int:
        return self.state.record.number

    @property
    def is_full(self) -> bool:
        """Whether the step has reached its bound; what is left waits for the next one."""
        return (
            len(self._events) >= limits.STEP_EVENTS_MAX
            or len(self._puts) + len(self._moves) + self.emitters.count >= limits.STEP_CHANGES_MAX
            or self.bytes >= limits.STEP_BYTES_MAX
        )

    def finish(self) -> Changes:
        return Changes(
            bus=self.bus,
            time=self.time,
            head=self.head,
            floor=self.floor,
            log_bytes=self.log_bytes,
            events=self._events,
            derivations=self._derivations,
            replies=self.replies,
            puts=list(self._puts.values()),
            moves=list(self._moves.values()),
            rules=list(self._rules.values()),
            versions=self.versions,
            tombstones=list(self._tombstones.values()),
            backfills=list(self._backfills.values()),
            intents=list(self._intents.values()),
            health=self.health.changed,
            emitters=self.emitters.changed_records,
            kept=self.emitters.changed_kept,
            emitter_tallies=self.emitters.changed_tallies,
            looked=self.emitters.looked,
            schedules=self.schedules.changed,
            buses=list(self._buses.values()),
            keys=list(self._keys.values()),
            forgotten=self._forgotten,
            emptied_bus=self.emptied_bus,
        )

    # Events

    def append(self, event: Event, matches: Matches | None = None, *, cause: int = 0) -> int:
        """Give the event the next position and put it for every rule that it matches. The position.

        `cause`: the position of the event that it came of, 0 for none.
        """
        matched, failed = matches or self.match(event)
        self.head += 1
        stored = StoredEvent(self.head, self.time.time_ms, event.digest, event.json, event.source, event.id, self.log_bytes)
        self._events.append(stored)
        if cause:
            self._derivations.append(Derivation(self.head, cause))
        self.known[event.source, event.id] = Known(self.head, self.time.time_ms, event.digest)
        size = len(event.json)
        self.bytes += size
        self.log_bytes += size
        for uid in matched:
            self.put(uid, self.head, event.json)
        for uid in failed:
            self.put_unevaluated(uid, self.rule(uid).run, self.head)
        if self.emitters.listening:
            self.emitters.hear(stored)
        return self.head

    def append_bus_event(self, kind: str, subject: str, data: dict[str, object], *, cause: int = 0) -> int:
        """Append an event of the bus about itself. `cause`: the position of the event of which it comes, where there is one."""
        found = self.cause(cause) if cause else None
        event = bus_event(
            kind,
            bus=self.state.record.name,
            incarnation=self.state.record.incarnation,
            position=self.head + 1,
            time=rfc3339(self.time.time_ms),
            subject=subject,
            data=data,
            cause=found,
        )
        return self.append(event, cause=0 if found is None else cause)

    def find_ids(self, ids: Sequence[tuple[str, str]]) -> None:
        """Ask the engine which of these it knows, with one question."""
        self.known = self.view.find_ids(self.bus, ids) | self.known

    def cause(self, position: int) -> Cause | None:
        """The event at `position` as a cause; None where it cannot be read."""
        if position not in self._causes:
            self.read_causes([position])
        return self._causes.get(position)

    def read_causes(self, positions: Sequence[int]) -> None:
        """Read these with one question, for those who ask for each by itself."""
        missing = sorted({position for position in positions if position not in self._causes})
        bodies = self.bodies_at(missing) if missing else {}
        self._causes.update((position, causes.of(position, body)) for position, body in bodies.items())

    def cited(self, event: Event) -> Cause | None:
        """What the event says it came of, as far as the bus knows it."""
        known = None if event.cited is None else self.known.get(event.cited)
        return None if known is None else self.cause(known.position)

    def match(self, event: Event) -> Matches:
        """Ask the live index; where it fails otherwise than about a rule, ask each rule by itself."""
        document = decode(event.json) if event.document is None else event.document
        try:
            return self.live.match_and_fail(document)
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

    def bodies_at(self, positions: Sequence[int]) -> dict[int, bytes]:
        """The JSON of the events at these positions that there are, this step's included."""
        head = self.state.head
        own = {position: self._events[position - head - 1].json for position in positions if position > head}
        if not own:
            return self.view.bodies_at(self.bus, positions)
        return self.view.bodies_at(self.bus, [position for position in positions if position <= head]) | own

    def event(self, position: int) -> StoredEvent | None:
        if position > self.state.head:
            return self._events[position - self.state.head - 1]
        return self.view.event(self.bus, position)

    def stretch(self, first: int, limit: int) -> list[StoredEvent]:
        """At most `limit` events from `first` on, those of this step included."""
        stored = self.view.events(self.bus, first, self.state.head, limit) if first <= self.state.head else []
        own = self._events[max(0, first - self.state.head - 1) :]
        return (stored + own)[:limit]

    def forget(self, first: int, last: int) -> None:
        """Remove the events from `first` to `last` that nobody is owed when the step is done."""
        self._forgotten.append((first, last))

    # Deliveries

    def put(self, uid: int, position: int, event: bytes) -> None:
        """A delivery of a new event for a live rule: leased at once where a receiver waits and nobody stands before it."""
        record = self.rule(uid)
        self.put_live.add(uid)
        lane = lane_of(record.rule.delivery, event)
        if lane and self.lanes.is_busy(uid, record.run, lane):
            fresh = Delivery(uid, record.run, position, State.BLOCKED, self.time.work_ms, lane=lane)
        else:
            fresh = Delivery(uid, record.run, position, State.WAITING, self.time.work_ms, lane=lane)
            if record.gives_out and not self._has_backlog(uid, record.run):
                fresh = self._granted(fresh, event) or fresh
        self._put(fresh)

    def put_old(self, uid: int, run: int, position: int, lane: int, at_ms: int) -> None:
        """A delivery of an old event, not before `at_ms`; it waits for its lease."""
        state = State.BLOCKED if lane and self.lanes.is_busy(uid, run, lane) else State.WAITING
        self._put(Delivery(uid, run, position, state, max(at_ms, self.time.work_ms), lane=lane))

    def put_unevaluated(self, uid: int, run: int, position: int) -> None:
        """A dead letter for a rule that could not be evaluated on the event; a redrive evaluates again."""
        note = Note(reason=Reason.EVALUATION, at_ms=self.time.time_ms)
        fresh = Delivery(uid, run, position, State.DEAD, self.time.time_ms, note=encode_note(note))
        self._put(fresh)
        self.health.died(fresh, note)

    def _put(self, fresh: Delivery) -> None:
        self._puts[fresh.key] = fresh
        if fresh.lane:
            self.lanes.place(fresh)

    def _has_backlog(self, uid: int, run: int) -> bool:
        rule_queue = self.state.queues.get(uid)
        queue = rule_queue.runs.get(run) if rule_queue is not None else None
        return queue is not None and queue.is_due(self.time.work_ms)

    def move(self, was: Delivery, now: Delivery) -> None:
        """Replace a delivery's row."""
        key = now.key
        if key in self._puts:
            self._puts[key] = now
        else:
            before = self._moves.get(key)
            self._moves[key] = Moved(was.state if before is None else before.was, now)
        if was.state is LEASED and now.state is not LEASED:
            self._leased[now.rule] = self._leased_now(now.rule) - 1
        if now.lane and not (was.state.is_running and now.state.is_running):
            self.lanes.place(now)
        if now.position < self.floor and not now.state.is_owed:
            self.forget(now.position, now.position)

    def end(self, delivery: Delivery, state: State, note: Note) -> None:
        """An ended delivery is one compact row: one that was delivered at once has no note, and what its target said was 2xx; unless the rule
        itself says that what it answered means delivered.
        """
        if state is DELIVERED and not note.line:
            kept = delivery.note and encode_note(following(delivery.note, Note()))
        else:
            kept = encode_note(following(delivery.note, note))
            if state is State.DEAD:
                self.health.died(delivery, note)
        self.move(delivery, delivery.ended(state, self.time.time_ms, kept))

    def has_pending(self, uid: int, run: int | None = None, below: int = 0) -> bool:
        """Whether this very step leaves a delivery of the rule (in that run, below that position) pending."""
        touched = [row for row in self._touched_of(uid) if row.state.is_pending and (run is None or row.run == run)]
        return any(not below or row.position < below for row in touched)

    def oldest_pending(self, uid: int, run: int) -> int | None:
        """The least position of what is pending in a run of the rule, as near as the step knows: never too high."""
        stored = self.view.oldest(self.bus, uid, run)
        own = [row.position for row in self._touched_of(uid) if row.run == run and row.state.is_pending]
        return min([*own, *([stored] if stored is not None else [])], default=None)

    def oldest_owed(self, uid: int, run: int) -> int | None:
        """As `oldest_pending`, of what is pending or dead."""
        found = (self.oldest_pending(uid, run), self.view.oldest_dead(self.bus, uid, run))
        own = [row.position for row in self._touched_of(uid) if row.run == run and row.state is State.DEAD]
        return min([*own, *(position for position in found if position is not None)], default=None)

    def _touched_of(self, uid: int) -> Iterator[Delivery]:
        touched = [*self._puts.values(), *(move.now for move in self._moves.values())]
        return (delivery for delivery in touched if delivery.rule == uid)

    def is_touched(self, key: Key) -> bool:
        return key in self._puts or key in self._moves

    def untouched(self, rows: list[Delivery]) -> list[Delivery]:
        """Those that this step has not changed."""
        return [row for row in rows if not self.is_touched(row.key)] if self._puts or self._moves else rows

    def delivery(self, key: Key) -> Delivery | None:
        found = self._known(key)
        if found is None and key not in self._fetched:
            self.fetch([key])
        return found or self._fetched[key]

    def fetch(self, keys: Sequence[Key]) -> None:
        """Read what memory does not hold with one question: it costs far less than one each."""
        leased = self.state.leased
        missing = [key for key in keys if key not in leased and key not in self._fetched and self._known(key) is None]
        if missing:
            self._fetched.update(dict.fromkeys(missing))
            self._fetched.update((row.key, row) for row in self.view.deliveries(self.bus, missing))

    def deliveries(self, keys: Sequence[Key]) -> list[Delivery]:
        """Those of `keys` that there are, in their order."""
        self.fetch(keys)
        return [found for key in keys if (found := self.delivery(key)) is not None]

    def _known(self, key: Key) -> Delivery | None:
        """What the step has changed itself, or memory holds."""
        moved = self._moves.get(key)
        return moved.now if moved is not None else self._puts.get(key) or self.state.leased.get(key)

    # Leases

    def may_lease(self, uid: int) -> int:
        """How many more deliveries of the rule may be leased and are wanted: a bound for a read."""
        wanted = self.grants.wanted(uid)
        return min(wanted, self._lease_room(uid)) if wanted > 0 else 0

    def _lease_room(self, uid: int) -> int:
        """None in the very step in which a rule that was pushed is pulled from now on, say: the demands are for what it was."""
        record, before = self.rule(uid), self.state.by_uid.get(uid)
        if before is not None and before.carrier != record.carrier:
            return 0
        return self.protection.room(record, self._leased_now(uid))

    def _leased_now(self, uid: int) -> int:
        """How many leases of the rule are out with what this step has granted and settled so far."""
        leased = self._leased.get(uid)
        if leased is None:
            queue = self.state.queues.get(uid)
            leased = self._leased[uid] = queue.leased if queue is not None else 0
        return leased

    def lease(self, delivery: Delivery, event: bytes) -> None:
        """Grant the next lease on a delivery that was put before, where somebody takes it."""
        leased = self._granted(delivery, event)
        if leased is not None:
            self.move(delivery, leased)

    def lease_all(self, rule: int, run: int, waiting: Sequence[tuple[Delivery, bytes]]) -> None:
        """As `lease`, for deliveries of one run with their events, as many as are taken. None was changed by this step before."""
        record, is_replayed, work_ms = self.rule(rule), self._is_replayed(rule, run), self.time.work_ms
        taken = waiting[: self._lease_room(rule)]
        for delivery, event in taken:
            granted = self.grants.grant(rule, len(event))
            if granted is None:
                return
            holder, demand = granted
            leased = delivery.leased(work_ms, demand.lease_ms)
            self.leases.append(Lease(leased, event, record, holder, demand.claim, is_replayed))
            self.bytes += len(event)
            self._leased[rule] += 1
            self.protection.take(rule)
            self.move(delivery, leased)

    def _granted(self, delivery: Delivery, event: bytes) -> Delivery | None:
        """The delivery leased to whoever demanded it. The attempt counts from here, crash or not."""
        uid = delivery.rule
        granted = self.grants.grant(uid, len(event)) if self._lease_room(uid) > 0 else None
        if granted is None:
            return None
        holder, demand = granted
        leased = delivery.leased(self.time.work_ms, demand.lease_ms)
        is_replayed = self._is_replayed(uid, delivery.run)
        self.leases.append(Lease(leased, event, self.rule(uid), holder, demand.claim, is_replayed))
        self.bytes += len(event)
        self._leased[uid] += 1
        self.protection.take(uid)
        return leased

    def _is_replayed(self, rule: int, run: int) -> bool:
        backfill = self.backfill(rule, run) if run else None
        return backfill is not None and backfill.is_replay

    # Rules, backfills, intents, buses, keys

    def rule(self, uid: int) -> RuleRecord:
        """The rule `uid`, being deleted or not. KeyError where it is gone."""
        return self._rules.get(uid) or self.state.by_uid[uid]

    def find_rule(self, uid: int) -> RuleRecord | None:
        return self._rules.get(uid) or self.state.by_uid.get(uid)

    def resumed(self) -> list[int]:
        """Rules that gave nothing out before this step, being paused or without consent, and do now."""
        there = self.state.by_uid
        return [uid for uid, now in self._rules.items() if now.gives_out and uid in there and not there[uid].gives_out]

    def rule_named(self, name: str) -> RuleRecord | None:
        return self._names[name] if name in self._names else self.state.by_name.get(name)

    def rules_count(self) -> int:
        edited = sum((record is not None) - (name in self.state.by_name) for name, record in self._names.items())
        return len(self.state.by_name) + edited

    def is_being_deleted(self, name: str) -> bool:
        """Whether a deleted rule of this name still has deliveries to discard."""
        records = [self.find_rule(uid) for uid in self.state.deleting | self._rules.keys()]
        return any(record is not None and record.name == name and record.status is Status.DELETING for record in records)

    def set_rule(self, record: RuleRecord, pattern: Pattern | None = None) -> None:
        """The rule's new record, in force for what this step does from here on. `pattern`: its own, where it was read already."""
        self.live = with_record(self.live, self.find_rule(record.uid), record, pattern)
        self._rules[record.uid] = record
        if not record.is_deleted:
            self._names[record.name] = record
        elif (holder := self.rule_named(record.name)) is not None and holder.uid == record.uid:
            self._names[record.name] = None  # A later rule of the same name keeps it.

    def tombstone(self, name: str) -> Tombstone | None:
        tombstone = self._tombstones.get(name) or self.state.tombstones.get(name)
        return None if tombstone is None or tombstone.is_removed else tombstone

    def set_tombstone(self, tombstone: Tombstone) -> None:
        self._tombstones[tombstone.name] = tombstone

    def backfill(self, uid: int, run: int) -> Backfill | None:
        return self._backfills.get((uid, run)) or self.state.backfills.get((uid, run))

    def cursor(self, record: RuleRecord) -> int:
        """Everything below it has been judged in the rule's live run."""
        backfill = self.backfill(record.uid, record.run)
        return self.head + 1 if backfill is None or backfill.is_done else backfill.next_position

    def backfills_of(self, uid: int) -> list[Backfill]:
        """All of the rule that are there, ended replays included."""
        own = {key: backfill for key, backfill in self._backfills.items() if key[0] == uid}
        return list(({backfill.key: backfill for backfill in self.state.backfills_of(uid)} | own).values())

    def reading(self) -> list[Backfill]:
        """Those of all rules that have something yet to read."""
        return [backfill for backfill in (self.state.reading | self._backfills).values() if not backfill.is_done]

    def set_backfill(self, backfill: Backfill) -> None:
        self._backfills[backfill.key] = backfill

    def intent(self, number: int) -> Intent | None:
        return self._intents.get(number) or self.state.intents.get(number)

    def intents(self) -> Collection[Intent]:
        if not self._intents and not self.state.intents:
            return ()
        return list({**self.state.intents, **self._intents}.values())

    @property
    def closed(self) -> Mapping[QueueKey, str]:
        """Runs that are being emptied for good, and what their deliveries are told."""
        return closed_runs(self.intents()) if self._intents else self.state.closed

    def set_intent(self, intent: Intent) -> None:
        self._intents[intent.number] = intent

    def buses(self) -> dict[str, BusRecord]:
        return self.state.buses | self._buses

    def set_bus(self, record: BusRecord) -> None:
        self._buses[record.name] = record

    def keys(self) -> dict[str, AccessKey]:
        return {name: key for name, key in {**self.state.keys, **self._keys}.items() if not key.is_removed}

    def set_key(self, key: AccessKey) -> None:
        self._keys[key.id] = key
