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

from eventyard.core import event as events
from eventyard.core import limits, machine
from eventyard.core.bus_state import BusState, Loaded
from eventyard.core.changes import BusRecord, Changes
from eventyard.core.clock import BusTime
from eventyard.core.commands import (
    AdvanceBackfill,
    Command,
    ContinueIntent,
    CreateBus,
    DeleteBus,
    DeleteRule,
    Demand,
    EmptyBus,
    Lease,
    Publish,
    PutRule,
    Redrive,
    Release,
    SetPaused,
    Settle,
    Settlement,
)
from eventyard.core.delivery import Note
from eventyard.core.draft import Draft
from eventyard.core.errors import Refused, StorageFailed
from eventyard.core.event import Event
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import parse
from eventyard.core.rule import StartPosition, parse_pattern
from eventyard.core.strict_json import decode
from eventyard.core.system import SYSTEM_BUS
from eventyard.core.verdict import Dead, Delivered, Gone, Retry
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
    lambda kind, name, n: events.make({"specversion": "1.0", "id": name, "source": "/s", "type": kind}, {"n": n}),
    st.sampled_from("ab"),
    st.sampled_from([f"i{n}" for n in range(12)]),
    st.integers(1, 2),
)
starts = st.sampled_from(['"latest"', '"earliest"', '{"position": 2}', '{"time": "2023-11-14T22:13:21.5Z"}', "null"])
verdicts = st.one_of(
    st.just(Delivered(Note())),
    st.just(Dead(Note(reason="answer", status=400))),
    st.just(Gone(Note(status=410))),
    st.builds(Retry, st.sampled_from([0, 700]), st.just(Note(failure="no answer")), st.booleans()),
)


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

    @rule(name=names, pattern=st.sampled_from(PATTERNS), start=starts, batch=st.lists(published, max_size=2))
    def put_rule(self, name: str, pattern: str, start: str, batch: list[Event]) -> None:
        self.ids |= {(event.source, event.id) for event in batch}
        self.step({1: [Publish(tuple(batch)), self.put(name, pattern, start), Publish(tuple(batch[::-1]))]})

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
        commands: list[Command] = [self.advance(uid, length, fails=fails) for uid in self.states[1].backfills]
        self.step({1: commands * (2 if stale else 1)})

    @rule(limit=st.integers(1, 4))
    def release(self, limit: int) -> None:
        self.step({1: [Release(limit)]})

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
            for uid, queue in rebuilt.queues.items():
                bound = live.queues[uid].due_ms
                assert queue.due_ms is None or (bound is not None and bound <= queue.due_ms)

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

    def put(self, name: str, pattern: str, start: str) -> PutRule:
        document = rule_document(pattern, start)
        if isinstance(document.start, StartPosition) and document.start.position is not None:
            position = min(document.start.position, self.states[1].head + 1)
            document = msgspec.structs.replace(document, start=StartPosition(position))
        return PutRule(name, document, parse(pattern.encode()))

    def demands(self, count: int, lease_ms: int) -> dict[int, Demand]:
        """Of every rule that there is or may come in the step."""
        return {uid: Demand(uid, count, lease_ms) for uid in range(1, self.states[1].head + 10)}

    def advance(self, uid: int, length: int, *, fails: bool) -> AdvanceBackfill:
        state = self.states[1]
        record, first = state.by_uid[uid], state.backfills[uid].next_position
        last = min(state.head, first + length - 1)
        pattern = parse_pattern(record)
        stretch = self.sqlite.view.events(1, first, last, length)
        matched = tuple(event.position for event in stretch if evaluate(pattern, decode(event.json)))
        return AdvanceBackfill(uid, record.version, first, last, () if fails else matched, matched if fails else ())

    def empty(self, number: int) -> bool:
        """Each engine at its own pace, and `is_removed` committed to both when both hold nothing."""
        if self.memory.view.holds(number) or self.sqlite.view.holds(number):
            self.commit([Changes(SYSTEM_BUS, self.time, self.states[SYSTEM_BUS].head, emptied_bus=number)])
            self.states[SYSTEM_BUS].time = self.time
            return False
        self.step({SYSTEM_BUS: [EmptyBus(number)]})
        return True

    def step(self, commands: dict[int, list[Command]], demands: dict[int, Demand] | None = None) -> None:
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

    def draft(self, number: int, view: View, demands: dict[int, Demand]) -> Draft:
        return Draft(self.states[number], view, self.time, demands)

    def commit(self, batch: Sequence[Changes]) -> None:
        self.memory.commit(batch)
        self.sqlite.commit(batch)

    def apply(self, batch: Sequence[Changes]) -> None:
        for changes in batch:
            self.states[changes.bus].apply(changes)
            for record in changes.buses:
                if record.is_deleted:
                    self.states.pop(record.number, None)
                else:
                    self.states[record.number] = BusState(Loaded(record, 0, BusTime(0, 0), (), (), (), {}))

    def refresh(self, number: int) -> None:
        """As the writer does, so that bounds are not only ever lowered."""
        if (state := self.states.get(number)) is not None:
            for uid, queue in state.queues.items():
                if uid % 2:
                    queue.due_ms = self.memory.view.next_due(number, uid)

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
    machine.lease_waiting(draft)
    return [str(answer) if isinstance(answer, Refused) else comparable(answer) for answer in answered]


TestEnginesAgree = EnginesAgree.TestCase
TestEnginesAgree.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
