"""The machine on the SQLite engine and on the memory engine, side by side, under any history of commands.

Every step is admitted twice, once over each engine's view, and must answer and change the same. Then the engines must tell
the same of every bus, and a state rebuilt from `load` must be the one that lived through it all. The limits are made small,
so that bounded work takes several steps and ids leave their window.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventyard.core import access, detector_document, expectation, expectation_document, limits, machine
from eventyard.core import event as events
from eventyard.core.bus_state import BusState, Loaded
from eventyard.core.changes import BusRecord, Changes, Filter, Retention
from eventyard.core.clock import BusTime
from eventyard.core.commands import (
    AdvanceBackfill,
    Command,
    ContinueIntent,
    CreateBus,
    CreateKey,
    DeleteBus,
    DeleteEmitter,
    DeleteRule,
    Demand,
    EmptyBus,
    EndReplay,
    EnforceCap,
    Expire,
    ForgetTombstones,
    Lease,
    Publish,
    Purge,
    Put,
    PutEmitter,
    PutRule,
    Redrive,
    Release,
    Replay,
    Retain,
    RevokeKey,
    RunTimers,
    Seek,
    SetPaused,
    SetRetention,
    Settle,
    Settlement,
    Skip,
    Sweep,
    TellTrouble,
    TrimParked,
)
from eventyard.core.delivery import Key, Note, State
from eventyard.core.detector import KeyState
from eventyard.core.draft import Draft
from eventyard.core.emitter import Kept, Kind
from eventyard.core.errors import Refused, StorageFailed
from eventyard.core.event import Event
from eventyard.core.grants import Demands
from eventyard.core.order_key import lane_of
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import parse
from eventyard.core.rule import StartPosition, parse_pattern
from eventyard.core.strict_json import decode
from eventyard.core.system import SYSTEM_BUS
from eventyard.core.verdict import Dead, Delivered, GivenBack, Gone, Renewed, Retry
from eventyard.core.view import View
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.sqlite import SqliteEngine, writing
from tests.conformance.comparing import answers, comparable, facts, plain
from tests.conformance.engines import SMALL, rule_document

SMALL_LIMITS = {
    "DEDUP_WINDOW_IDS": 25,
    "DEDUP_WINDOW_MS": 3_000,
    "INTENT_ROWS_PER_STEP": 2,
    "BACKFILL_LAST_STRETCH": 3,
    "STEP_CHANGES_MAX": 40,
    "LIVE_BACKLOG_MAX": 6,
    "BACKFILL_UNSETTLED_MAX": 3,
    "PARKED_BEHIND_MAX": 2,
    "PARKED_KEYS_MAX": 3,
    "RETAIN_POSITIONS_PER_STEP": 4,
    "TOMBSTONE_S": 2,
    "TOMBSTONES_MAX": 2,
    "REPLAYS_PER_RULE_MAX": 2,
    "REPLAYS_KEPT_MAX": 2,
    "LEASES_PER_STEP_MAX": 3,
    "DEAD_LETTERS_TOLD_EACH": 2,
    "DEAD_LETTERS_TOLD_EVERY_MS": 3_000,
    "TROUBLE_EVENTS_PER_STEP": 2,
    "KEPT_CACHED_MAX": 1,
    "SWEEP_KEYS_PER_STEP": 1,
    "HOLDS_REST_MS": 0,
    "DETECTOR_EDGES_BURST_S": 2,
}
PATTERNS = [
    '{"type":["a"]}',
    '{"type":["b"]}',
    '{"source":["/s"]}',
    '{"type":[{"prefix":"io.eventyard."}]}',
    '{"data":{"n":[1]}}',
]
NAMES = ["one", "two", "three"]
START_MS = 1_700_000_000_000

names = st.sampled_from(NAMES)
published = st.builds(
    lambda kind, name, n: events.make(
        {"specversion": "1.0", "id": name, "source": "/s", "type": kind, **({"subject": f"k{n}"} if name != "i0" else {})},
        {"n": n},
    ),
    st.sampled_from("ab"),
    st.sampled_from([f"i{n}" for n in range(12)]),
    st.integers(1, 2),
)
starts = st.sampled_from(
    ['"latest"', '"earliest"', '{"position": 2}', '{"time": "2023-11-14T22:13:21.5Z"}', "null", '"resume"']
)
places = st.sampled_from(["latest", "earliest", StartPosition(position=3), StartPosition(time="2023-11-14T22:13:21.5Z")])
verdicts = st.one_of(
    st.just(Delivered(Note())),
    st.just(Dead(Note(reason="answer", status=400))),
    st.just(Gone(Note(status=410))),
    st.just(GivenBack(50, Note(failure="not now"))),
    st.just(Renewed(3_000)),
    st.builds(Retry, st.sampled_from([0, 700]), st.just(Note(failure="no answer")), st.booleans()),
)


def _is_in_hold(row: Kept) -> bool:
    return msgspec.json.decode(row.record, type=KeyState).phase.is_waiting


def _is_open(row: Kept) -> bool:
    return msgspec.json.decode(row.record, type=expectation.KeyState).phase is expectation.Phase.OPEN


class EnginesAgree(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cleanup = contextlib.ExitStack()
        for name, value in SMALL_LIMITS.items():
            self.cleanup.enter_context(mock.patch.object(limits, name, value))
        self.cleanup.enter_context(mock.patch.object(writing, "EMPTIED_ROWS", 4))
        self.folder = Path(self.cleanup.enter_context(tempfile.TemporaryDirectory()))
        self.copies = 0
        self.memory = MemoryEngine()
        self.sqlite = self.open(self.folder / "0.db")
        self.time = BusTime(START_MS, 1_000)
        self.leases: list[Lease] = []
        self.ids: set[tuple[str, str]] = set()
        self.states: dict[int, BusState] = {}

    def teardown(self) -> None:
        self.sqlite.close()
        self.cleanup.close()

    def open(self, path: Path) -> SqliteEngine:
        return SqliteEngine(str(path), layout=SMALL, synchronous="OFF")

    # Commands

    @initialize()
    def found(self) -> None:
        founding = Changes(SYSTEM_BUS, self.time, 0, buses=[BusRecord(SYSTEM_BUS, "system", "i0", START_MS)])
        self.commit([founding])
        self.states = {SYSTEM_BUS: BusState(self.memory.load()[0])}
        self.step({SYSTEM_BUS: [CreateBus("default", "i1"), CreateBus("two", "i2")]})

    @rule(batch=st.lists(published, min_size=1, max_size=8), more=st.lists(published, max_size=3), count=st.integers(0, 3))
    def publish(self, batch: list[Event], more: list[Event], count: int) -> None:
        self.ids |= {(event.source, event.id) for event in batch + more}
        commands: dict[int, list[Command]] = {1: [Publish(tuple(batch))]}
        if more and 2 in self.states:
            commands[2] = [Publish(tuple(more))]
        self.step(commands, self.demands(count, 1_000))

    @rule(
        name=names,
        pattern=st.sampled_from(PATTERNS),
        start=starts,
        batch=st.lists(published, max_size=2),
        kind=st.sampled_from([("none", "http"), ("key", "http"), ("none", "queue"), ("key", "queue")]),
    )
    def put_rule(self, name: str, pattern: str, start: str, batch: list[Event], kind: tuple[str, str]) -> None:
        self.ids |= {(event.source, event.id) for event in batch}
        self.step({1: [Publish(tuple(batch)), self.put(name, pattern, start, *kind), Publish(tuple(batch[::-1]))]})

    @rule(names=st.lists(names, min_size=2, max_size=5), are_puts=st.lists(st.booleans(), min_size=5, max_size=5))
    def edit_rules_in_one_step(self, names: list[str], are_puts: list[bool]) -> None:
        edits = zip(names, are_puts, strict=False)
        intents = [ContinueIntent(number) for number in self.states[1].intents]
        puts = [self.put(name, PATTERNS[0], "null") if is_put else DeleteRule(name) for name, is_put in edits]
        self.step({1: [*intents, *puts]})

    @rule(name=names)
    def delete_rule(self, name: str) -> None:
        self.step({1: [DeleteRule(name)]})

    @rule(name=names, is_paused=st.booleans())
    def pause_rule(self, name: str, is_paused: bool) -> None:
        self.step({1: [SetPaused(name, is_paused)]})

    @rule(count=st.integers(1, 6), lease_ms=st.sampled_from([100, 5_000]))
    def lease(self, count: int, lease_ms: int) -> None:
        self.step({number: [] for number in self.states}, self.demands(count, lease_ms))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), all_verdicts=st.lists(verdicts, min_size=1, max_size=4))
    def settle(self, data: st.DataObject, all_verdicts: list[Any]) -> None:
        """Of any lease ever granted, so stale, expired and repeated ones are among them."""
        chosen = [data.draw(st.sampled_from(self.leases[-12:])) for _ in all_verdicts]
        settlements = [
            Settlement(lease.delivery.key, lease.delivery.leases, verdict)
            for lease, verdict in zip(chosen, all_verdicts, strict=True)
        ]
        self.step({1: [Settle(tuple(settlements))]})

    @rule(name=names)
    def redrive_all(self, name: str) -> None:
        self.step({1: [Redrive(name, None)]})

    @precondition(lambda self: self.leases)
    @rule(name=names, data=st.data())
    def redrive_some(self, name: str, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.leases), min_size=1, max_size=3))
        self.step({1: [Redrive(name, tuple(lease.delivery.key for lease in chosen))]})

    @precondition(lambda self: 1 in self.states and self.states[1].intents)
    @rule(is_reversed=st.booleans())
    def continue_intents(self, is_reversed: bool) -> None:
        numbers = sorted(self.states[1].intents, reverse=is_reversed)
        self.step({1: [ContinueIntent(number) for number in numbers]})

    @precondition(lambda self: 1 in self.states and self.states[1].backfills)
    @rule(length=st.integers(1, 6), stale=st.booleans(), fails=st.booleans())
    def advance_backfills(self, length: int, stale: bool, fails: bool) -> None:
        commands: list[Command] = [self.advance(key, length, fails=fails) for key in self.states[1].backfills]
        self.step({1: commands * (2 if stale else 1)})

    @rule(limit=st.integers(1, 4), is_push_kept=st.booleans())
    def release(self, limit: int, is_push_kept: bool) -> None:
        self.step({1: [Release(tuple(sorted(self.states[1].leased))[:limit], is_push_kept)]})

    @rule(limit=st.integers(1, 4))
    def expire(self, limit: int) -> None:
        self.step({1: [Expire(limit)]})

    @rule(name=names, place=places)
    def seek(self, name: str, place: Any) -> None:
        self.step({1: [Seek(name, place)]})

    @rule(name=names, first=places, per_s=st.sampled_from([0.0, 2.0, 3_000.0]), is_original=st.booleans())
    def replay(self, name: str, first: Any, per_s: float, is_original: bool) -> None:
        self.step({1: [Replay(name, first, per_s=per_s, is_original=is_original and not per_s)]})

    @precondition(lambda self: 1 in self.states and any(one.is_replay for one in self.states[1].backfills.values()))
    @rule(data=st.data())
    def end_replay(self, data: st.DataObject) -> None:
        state = self.states[1]
        replays = sorted(key for key, one in state.backfills.items() if one.is_replay and not state.by_uid[key[0]].is_deleted)
        if replays:
            uid, run = data.draw(st.sampled_from(replays))
            self.step({1: [EndReplay(state.by_uid[uid].name, run)]})

    @rule(name=names, reason=st.sampled_from(["", "answer", "attempts"]), is_all=st.booleans())
    def purge(self, name: str, reason: str, is_all: bool) -> None:
        keys = None if is_all else self.dead_keys(name)
        self.step({1: [Purge(name, keys, filter=Filter(reason), is_parked_too=not is_all)]})

    @rule(name=names)
    def skip(self, name: str) -> None:
        self.step({1: [Skip(name, self.dead_keys(name))]})

    @rule(name=names)
    def redrive_what_was_skipped(self, name: str) -> None:
        record = self.states[1].by_name.get(name)
        if record is not None:
            rows = self.memory._buses[1].deliveries.values()
            keys = tuple(sorted(row.key for row in rows if row.rule == record.uid and row.state is State.DISCARDED))
            self.step({1: [Redrive(name, keys[:4], is_out_of_order=True, per_s=5.0)]})

    @rule(data=st.data())
    def enforce_a_cap(self, data: st.DataObject) -> None:
        uids = sorted(self.states[1].by_uid)
        if uids:
            uid, below = data.draw(st.sampled_from(uids)), data.draw(st.integers(1, self.states[1].head + 1))
            run = data.draw(st.sampled_from(sorted(self.states[1].queues[uid].runs) or [0]))
            self.step({1: [EnforceCap(uid, run, below, "its backlog was larger")]})

    @rule()
    def trim_parked(self) -> None:
        self.step({1: [TrimParked(uid) for uid in sorted(self.states[1].lanes)]})

    @rule(by=st.integers(1, 30))
    def retain(self, by: int) -> None:
        self.step({1: [Retain(self.states[1].floor + by)]})

    @rule()
    def forget_tombstones(self) -> None:
        self.step({1: [ForgetTombstones()]})

    @precondition(lambda self: 1 in self.states and self.states[1].health)
    @rule()
    def tell_trouble(self) -> None:
        self.step({1: [TellTrouble(tuple(self.states[1].health))]})

    @rule(
        name=names,
        when=st.sampled_from(['{"data":{"n":[1]}}', '{"data":{"n":[2]}}', '{"type":["b"]}']),
        waits=st.sampled_from([(0.0, 0.0, None), (0.05, 1.0, None), (0.0, 0.0, 1.0), (1.0, 0.0, 2.0)]),
        more=st.sampled_from([{}, {"first": "fire"}, {"max_keys": 1}, {"max_edges_per_s": 0.5}]),
        batch=st.lists(published, max_size=2),
    )
    def put_detector(
        self, name: str, when: str, waits: tuple[float, float, float | None], more: dict[str, Any], batch: list[Event]
    ) -> None:
        self.ids |= {(event.source, event.id) for event in batch}
        for_s, keep_for_s, forget_after_s = waits
        document: dict[str, Any] = {
            "for_s": for_s,
            "keep_for_s": keep_for_s,
            "forget_after_s": forget_after_s,
            "on": {"type": ["a", "b"]},
        }
        document |= {"when": msgspec.Raw(when.encode()), "emit": {"rise": {"type": "up"}, "fall": {"type": f"down-{name}"}}}
        detector = detector_document.parse(msgspec.json.encode(document | more))
        put = PutEmitter(Kind.DETECTOR, name, msgspec.Raw(msgspec.json.encode(detector)))
        self.step({1: [Publish(tuple(batch)), put, Publish(tuple(batch[::-1]))]})

    @rule(name=names)
    def delete_detector(self, name: str) -> None:
        self.step({1: [DeleteEmitter(Kind.DETECTOR, name)]})

    @rule(
        name=names,
        patterns=st.sampled_from([(["a"], ["b"]), (["a", "b"], ["b"]), (["b"], ["b"])]),
        within_s=st.sampled_from([0.05, 1.0, 3.0]),
        more=st.sampled_from([{}, {"late_for_s": 0}, {"max_keys": 1}, {"max_missed_per_s": 0.5}]),
        batch=st.lists(published, max_size=2),
    )
    def put_expectation(
        self, name: str, patterns: tuple[list[str], list[str]], within_s: float, more: dict[str, Any], batch: list[Event]
    ) -> None:
        self.ids |= {(event.source, event.id) for event in batch}
        after, expect = patterns
        emit = {outcome: {"type": f"{outcome}-{name}"} for outcome in ("missed", "met", "late")}
        document = {"after": {"type": after}, "expect": {"type": expect}, "within_s": within_s, "emit": emit} | more
        read = expectation_document.parse(msgspec.json.encode(document))
        put = PutEmitter(Kind.EXPECTATION, name, msgspec.Raw(msgspec.json.encode(read)))
        self.step({1: [Publish(tuple(batch)), put, Publish(tuple(batch[::-1]))]})

    @rule(name=names)
    def delete_expectation(self, name: str) -> None:
        self.step({1: [DeleteEmitter(Kind.EXPECTATION, name)]})

    @precondition(lambda self: 1 in self.states and self.states[1].emitters.due_ms is not None)
    @rule(limit=st.integers(1, 4), batch=st.lists(published, max_size=2))
    def run_timers(self, limit: int, batch: list[Event]) -> None:
        self.ids |= {(event.source, event.id) for event in batch}
        self.step({1: [RunTimers(limit), Publish(tuple(batch)), RunTimers(limit)]})

    @precondition(lambda self: 1 in self.states and self.states[1].emitters.sweeping)
    @rule()
    def sweep(self) -> None:
        self.step({1: [Sweep(uid) for uid in self.states[1].emitters.sweeping]})

    @rule(max_bytes=st.integers(1, 3))
    def set_retention(self, max_bytes: int) -> None:
        self.step({SYSTEM_BUS: [SetRetention("default", Retention(max_bytes=max_bytes))]})

    @rule(number=st.integers(0, 3), is_made=st.booleans())
    def make_or_revoke_a_key(self, number: int, is_made: bool) -> None:
        key = access.made(access.key_text(bytes([number]) * 36), f"k{number}", access.EVERYTHING)
        self.step({SYSTEM_BUS: [CreateKey(key, "me") if is_made else RevokeKey(key.id, "me")]})

    @rule(is_created=st.booleans())
    def make_or_delete_a_bus(self, is_created: bool) -> None:
        self.step({SYSTEM_BUS: [CreateBus("two", "i9") if is_created else DeleteBus("two")]})

    @rule()
    def empty_buses(self) -> None:
        """Until both engines are done: the memory engine drops a bus at once, SQLite in bounded steps."""
        for record in [bus for bus in self.states[SYSTEM_BUS].buses.values() if bus.is_deleted]:
            for _ in range(200):
                if self.empty(record.number):
                    break
            else:
                raise AssertionError("a bus is never empty")

    @rule(by_ms=st.sampled_from([1, 90, 2_000]))
    def wait(self, by_ms: int) -> None:
        self.time = BusTime(self.time.time_ms + by_ms, self.time.work_ms + by_ms)

    @rule(batch=st.lists(published, min_size=1, max_size=8), is_at_commit=st.booleans())
    def fail(self, batch: list[Event], is_at_commit: bool) -> None:
        """A commit that fails leaves both the file and what is known of ids as they were."""
        draft = self.draft(1, self.sqlite.view, {})
        machine.prefetch(draft, [Publish(tuple(batch))])
        machine.admit(draft, Publish(tuple(batch)))
        changes = draft.finish()
        if not changes.events:
            return
        broken = Changes(2, self.time, 1, events=[msgspec.structs.replace(changes.events[0], digest=None)])
        hook = (lambda: True) if is_at_commit else None
        self.sqlite._connection.set_commit_hook(hook)
        with pytest.raises((StorageFailed, TypeError)):
            self.sqlite.commit([changes] if is_at_commit else [changes, broken])
        self.sqlite._connection.set_commit_hook(None)

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = self.open(self.folder / f"{self.copies}.db")

    @rule()
    def die(self) -> None:
        """The process is killed: what is on disk is all there is."""
        before, self.copies = self.copies, self.copies + 1
        for suffix in ("", "-wal"):
            shutil.copy(self.folder / f"{before}.db{suffix}", self.folder / f"{self.copies}.db{suffix}")
        self.sqlite.close()
        self.sqlite = self.open(self.folder / f"{self.copies}.db")

    # What must hold after each

    @invariant()
    def load_alike(self) -> None:
        assert [plain(loaded) for loaded in self.sqlite.load()] == [plain(loaded) for loaded in self.memory.load()]

    @invariant()
    def answer_alike(self) -> None:
        for state in self.states.values():
            mine = dict(answers(self.memory.view, state, self.time))
            for name, answer in answers(self.sqlite.view, state, self.time):
                assert answer == mine[name], name

    @invariant()
    def know_the_same_ids(self) -> None:
        for number, state in self.states.items():
            assert self.known(self.sqlite.view, number, state) == self.known(self.memory.view, number, state)

    @invariant()
    def rebuild_alike(self) -> None:
        for loaded in self.memory.load():
            live, rebuilt = self.states[loaded.record.number], BusState(loaded)
            assert facts(rebuilt) == facts(live)
            for uid, rule_queue in rebuilt.queues.items():
                for run, queue in rule_queue.runs.items():
                    bound = live.queues[uid].runs[run].due_ms
                    assert queue.due_ms is None or (bound is not None and bound <= queue.due_ms)
                bound, due_ms = live.due.get(uid), rebuilt.due.get(uid)
                assert due_ms is None or (bound is not None and bound <= due_ms)
            bound, due_ms = live.emitters.due_ms, rebuilt.emitters.due_ms
            assert due_ms is None or (bound is not None and bound <= due_ms)

    @invariant()
    def count_what_is_kept(self) -> None:
        for number, state in self.states.items():
            for uid, plan in state.emitters.plans.items():
                rows = self.memory.view.kept_after(number, uid, "", 1_000)
                is_detector = plan.record.kind is Kind.DETECTOR
                waiting = [row for row in rows if (_is_in_hold(row) if is_detector else _is_open(row))]
                counts = state.emitters.counts(uid)
                told = counts.get("keys", 0), counts.get("pending" if is_detector else "open", 0)
                assert told == (len(rows), len(waiting))

    @invariant()
    def every_pending_delivery_has_its_rule(self) -> None:
        for number, state in self.states.items():
            rows = self.memory._buses[number].deliveries.values() if number in self.memory._buses else ()
            assert {row.rule for row in rows if row.state.is_pending} <= set(state.by_uid)

    @invariant()
    def every_rule_has_its_name(self) -> None:
        for state in self.states.values():
            assert {r.uid for r in state.by_uid.values() if not r.is_deleted} == {r.uid for r in state.by_name.values()}

    # Stepping

    def put(self, name: str, pattern: str, start: str, order: str = "none", target: str = "http") -> PutRule:
        document = rule_document(pattern, start, order, target)
        if isinstance(document.start, StartPosition) and document.start.position is not None:
            position = min(document.start.position, self.states[1].head + 1)
            document = msgspec.structs.replace(document, start=StartPosition(position))
        return PutRule(name, document, parse(pattern.encode()))

    def demands(self, count: int, lease_ms: int) -> dict[int, tuple[Demand, ...]]:
        """Of every rule that there is or may come in the step: one claim of its own, and one on all of them."""
        shared = Demand(0, count, lease_ms)
        return {uid: (Demand(uid, count, lease_ms), shared) for uid in range(1, self.states[1].head + 10)}

    def dead_keys(self, name: str) -> tuple[Key, ...]:
        record = self.states[1].by_name.get(name)
        return tuple(row.key for row in self.memory.view.dead(1, record.uid, (0, -1), 3)) if record is not None else ()

    def advance(self, key: tuple[int, int], length: int, *, fails: bool) -> AdvanceBackfill:
        state = self.states[1]
        record, backfill = state.by_uid[key[0]], state.backfills[key]
        first = backfill.next_position
        last = min(backfill.last or state.head, first + length - 1)
        pattern = parse_pattern(record)
        stretch = self.sqlite.view.events(1, first, last, length)
        matched = [event for event in stretch if evaluate(pattern, decode(event.json))]
        policy = record.rule.delivery
        puts = [Put(event.position, lane_of(policy, event.json), event.accepted_ms) for event in matched]
        failed = tuple(event.position for event in matched)
        return AdvanceBackfill(*key, record.version, first, last, () if fails else tuple(puts), failed if fails else ())

    def empty(self, number: int) -> bool:
        """Each engine at its own pace, and `is_removed` committed to both when both hold nothing."""
        if self.memory.view.holds(number) or self.sqlite.view.holds(number):
            self.commit([Changes(SYSTEM_BUS, self.time, self.states[SYSTEM_BUS].head, emptied_bus=number)])
            self.states[SYSTEM_BUS].time = self.time
            return False
        self.step({SYSTEM_BUS: [EmptyBus(number)]})
        return True

    def step(self, commands: dict[int, list[Command]], demands: Demands | None = None) -> None:
        """Admit the commands of several buses over both views, commit them as one batch, and apply."""
        batch: list[Changes] = []
        leases: list[Lease] = []
        for number, of_bus in commands.items():
            one = self.draft(number, self.memory.view, demands or {})
            other = self.draft(number, self.sqlite.view, demands or {})
            assert admit(one, of_bus) == admit(other, of_bus)
            assert one.finish() == other.finish()
            assert (one.leases, one.drained) == (other.leases, other.drained)
            batch.append(one.finish())
            leases += one.leases
        batch = [changes for changes in batch if not changes.is_empty]
        if batch:
            self.commit(batch)
            self.apply(batch)
        self.leases += [lease for lease in leases if lease.record.uid in self.states[1].by_uid]
        for number in commands:
            self.refresh(number)

    def draft(self, number: int, view: View, demands: Demands) -> Draft:
        return Draft(self.states[number], view, self.time, [demands])

    def commit(self, batch: Sequence[Changes]) -> None:
        self.memory.commit(batch)
        self.sqlite.commit(batch)

    def apply(self, batch: Sequence[Changes]) -> None:
        for changes in batch:
            self.states[changes.bus].apply(changes)
            for record in changes.buses:
                if record.is_deleted:
                    self.states.pop(record.number, None)
                elif record.number in self.states:
                    self.states[record.number].record = record
                else:
                    self.states[record.number] = BusState(Loaded(record, 0, BusTime(0, 0)))

    def refresh(self, number: int) -> None:
        """As the writer does, so that bounds are not only ever lowered."""
        if (state := self.states.get(number)) is not None:
            for uid, rule_queue in state.queues.items():
                for run in rule_queue.runs if uid % 2 else ():
                    state.set_due(uid, run, self.memory.view.next_due(number, uid, run))

    def known(self, view: View, number: int, state: BusState) -> dict[tuple[str, str], Any]:
        """What is in the window; behind it an engine may forget."""
        found = view.find_ids(number, sorted(self.ids))
        return {
            key: known
            for key, known in found.items()
            if known.position > state.head - limits.DEDUP_WINDOW_IDS
            and known.accepted_ms > state.time.time_ms - limits.DEDUP_WINDOW_MS
        }


def admit(draft: Draft, commands: Sequence[Command]) -> list[Any]:
    machine.prefetch(draft, commands)
    answered: list[Any] = []
    for command in commands:
        try:
            answered.append(machine.admit(draft, command))
        except Refused as error:
            answered.append(error)
    machine.conclude(draft)
    return [str(answer) if isinstance(answer, Refused) else comparable(answer) for answer in answered]


TestEnginesAgree = EnginesAgree.TestCase
TestEnginesAgree.settings = settings(
    max_examples=settings().max_examples // 4,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
