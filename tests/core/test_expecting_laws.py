"""The machine's expectations beside a plain model of one, under any events, waits, ticks, restarts and refusals of the disk.

The model knows no table, no rows and no timers: it looks at what came of one key, in the order of the log, and says what became of each opening.
Both must tell the same of every key, whenever the keeper came, however often the bus was started anew, and whatever the disk refused.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard.core import event as events
from eventyard.core import limits
from eventyard.core.changes import Changes
from eventyard.core.commands import Publish, RunTimers, Sweep
from eventyard.core.errors import StorageFailed
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.sqlite import SqliteEngine
from eventyard.ports import Engine
from tests.support.builders import ManualClock, Stepped, put_expectation

KEYS = ["a", "b"]
PATTERNS: dict[str, Any] = {"after": {"type": ["paid", "beat"]}, "expect": {"type": ["shipped", "beat"]}}
LATE_FOR_MS = 2_000


class Come(msgspec.Struct, frozen=True):
    """An event. `is_refused`: the disk does not take it the first time, and its publisher comes again."""

    key: str
    kind: str
    is_refused: bool = False


class Wait(msgspec.Struct, frozen=True):
    by_ms: int
    is_ticked: bool


class Restart(msgspec.Struct, frozen=True):
    """The bus is away for so long."""

    away_ms: int


class Change(msgspec.Struct, frozen=True):
    """Another time is given to what is open. `is_swept`: every key is judged anew at once."""

    within_ms: int
    is_swept: bool


Step = Come | Wait | Restart | Change
waits = st.builds(Wait, st.sampled_from([1, 500, 999, 1_000, 3_000, 30_000]), st.booleans())
comes = st.builds(Come, st.sampled_from(KEYS), st.sampled_from(["paid", "paid", "shipped", "beat"]), st.booleans())
restarts = st.builds(Restart, st.sampled_from([0, 10_000]))
changes = st.builds(Change, st.sampled_from([1_000, 3_000, 4_500]), st.booleans())
steps = st.lists(st.one_of(comes, comes, waits, restarts, changes), max_size=30)
withins = st.sampled_from([1_000, 3_000])


class Model:
    """One key: what opened it, at which position and work time, whether it was missed, and by which document it is judged: a changed one
    counts from when somebody comes to the key.
    """

    def __init__(self) -> None:
        self.opened: tuple[int, int] | None = None
        self.is_missed = False
        self.within_ms = 0
        self.told: list[tuple[str, int, int]] = []

    def come(self, kind: str, position: int, work_ms: int, within_ms: int, *, is_resting: bool) -> None:
        self.within_ms = within_ms
        self.tick(work_ms, within_ms, is_resting=is_resting)
        if kind in {"shipped", "beat"} and self.opened is not None:
            self.told.append(("late" if self.is_missed else "met", self.opened[0], work_ms - self.opened[1]))
            self.opened, self.is_missed = None, False
        if kind in {"paid", "beat"} and (self.opened is None or self.is_missed):
            self.opened, self.is_missed = (position, work_ms), False

    def tick(self, work_ms: int, within_ms: int, *, is_resting: bool) -> None:
        """What time makes of it up to a work time. While the bus rests it makes nothing."""
        if self.opened is None or is_resting:
            return
        waited_ms = work_ms - self.opened[1]
        if waited_ms < self.within_ms + (LATE_FOR_MS if self.is_missed else 0):
            return
        self.within_ms = within_ms
        if not self.is_missed and waited_ms >= within_ms:
            self.is_missed = True
            self.told.append(("missed", self.opened[0], within_ms))
        if self.is_missed and waited_ms >= within_ms + LATE_FOR_MS:
            self.opened, self.is_missed = None, False


class Failing(MemoryEngine):
    """A disk that refuses the next commit where it is told to."""

    is_failing = False

    def commit(self, batch: Sequence[Changes]) -> None:
        if self.is_failing:
            raise StorageFailed("found a disk that fails")
        super().commit(batch)


class Run:
    """The machine and a model for each key, side by side."""

    def __init__(self, engine: Engine, within_ms: int) -> None:
        self.clock = ManualClock()
        self.bus = Stepped(engine, self.clock)
        self.models = {key: Model() for key in KEYS}
        self.put(within_ms)

    def put(self, within_ms: int) -> None:
        self.within_ms = within_ms
        self.bus.do(put_expectation("x", within_s=within_ms / 1000, late_for_s=LATE_FOR_MS / 1000, **PATTERNS))

    @property
    def is_resting(self) -> bool:
        return bool(self.bus.now().work_ms < self.bus.state.emitters.rest_until_ms)

    def carry_out(self, step: Step) -> None:
        match step:
            case Come():
                self.come(step)
            case Wait():
                self.clock.advance(step.by_ms)
                if step.is_ticked:
                    self.tick()
            case Restart():
                self.clock.advance(step.away_ms)
                self.bus = Stepped(self.bus.engine, self.clock)
            case Change():
                self.change(step)

    def come(self, step: Come) -> None:
        now = self.bus.now()
        told = {"id": f"e{self.bus.state.head}", "source": "/s", "type": step.kind, "subject": step.key}
        event, engine = events.make(told, {}), self.bus.engine
        if step.is_refused and isinstance(engine, Failing):
            engine.is_failing = True
            assert isinstance(self.bus.do(Publish((event,))), StorageFailed)
            engine.is_failing = False
        (answer,) = self.bus.do(Publish((event,)))
        self.models[step.key].come(step.kind, answer.position, now.work_ms, self.within_ms, is_resting=self.is_resting)

    def change(self, step: Change) -> None:
        """What was over before it is told by the old version: the keeper comes first."""
        self.tick()
        self.put(step.within_ms)
        if step.is_swept:
            self.sweep()

    def tick(self) -> None:
        self.bus.do(RunTimers(100))
        for model in self.models.values():
            model.tick(self.bus.now().work_ms, self.within_ms, is_resting=self.is_resting)

    def sweep(self) -> None:
        while self.bus.state.emitters.sweeping:
            self.bus.do(Sweep(self.bus.state.emitters.sweeping[0]))
        for model in self.models.values():
            model.within_ms = self.within_ms

    def end(self) -> None:
        """Time enough for all that is open; keys that a change has not come to yet have their turn first."""
        self.sweep()
        self.clock.advance(limits.HOLDS_REST_MS + 9_000)
        self.tick()

    def told(self) -> dict[str, list[tuple[str, int, int]]]:
        told: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        for stored in self.bus.engine.view.events(1, 1, self.bus.state.head, 10_000):
            document = json.loads(stored.json)
            if document["source"].endswith("/expectations/x"):
                data = document["data"]
                outcome = (data["outcome"], data["after"]["position"], round(data["waited_s"] * 1000))
                told[document["subject"]].append(outcome)
        return dict(told)

    def told_by_models(self) -> dict[str, list[tuple[str, int, int]]]:
        return {key: model.told for key, model in self.models.items() if model.told}

    @property
    def counts(self) -> dict[str, int]:
        (uid,) = self.bus.state.emitters.by_uid
        return dict(self.bus.state.emitters.counts(uid))


@given(within_ms=withins, steps=steps)
@settings(deadline=None)
def test_the_machine_tells_what_the_plain_model_tells(within_ms: int, steps: list[Step]) -> None:
    run = Run(Failing(), within_ms)
    for step in steps:
        run.carry_out(step)
    run.end()
    assert run.told() == run.told_by_models()


@given(within_ms=withins, steps=steps)
@settings(deadline=None)
def test_every_opening_ends_once_and_what_is_counted_adds_up(within_ms: int, steps: list[Step]) -> None:
    run = Run(Failing(), within_ms)
    for step in steps:
        run.carry_out(step)
    run.end()
    told = [(position, outcome) for outcomes in run.told().values() for outcome, position, _ in outcomes]
    assert len(told) == len(set(told))
    counts = run.counts
    assert counts.get("opened", 0) == counts.get("met", 0) + counts.get("missed", 0)
    assert (counts.get("keys", 0), counts.get("open", 0)) == (0, 0)
    assert not run.bus.engine.view.kept_due(1, 10)


@given(within_ms=withins, steps=steps)
@settings(max_examples=30, deadline=None)
def test_on_disk_it_tells_the_same(within_ms: int, steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = SqliteEngine(str(Path(folder) / "a.db"), synchronous="OFF")
        runs = [Run(MemoryEngine(), within_ms), Run(engine, within_ms)]
        for run in runs:
            for step in steps:
                run.carry_out(step)
            run.end()
        one, other = ([stored.json for stored in run.bus.engine.view.events(1, 1, run.bus.state.head, 10_000)] for run in runs)
        assert one == other
        engine.close()


@given(within_ms=withins, steps=steps, data=st.data())
@settings(max_examples=100, deadline=None)
def test_when_the_keeper_comes_changes_nothing_of_what_is_told_of_a_key(
    within_ms: int, steps: list[Step], data: st.DataObject
) -> None:
    """Where the bus is not away and the document stays: both ask when time was looked at."""
    alike = [step for step in steps if isinstance(step, Come | Wait)]
    ticked = [
        msgspec.structs.replace(step, is_ticked=data.draw(st.booleans())) if isinstance(step, Wait) else step for step in alike
    ]
    told = []
    for own in (alike, ticked):
        run = Run(MemoryEngine(), within_ms)
        for step in own:
            run.carry_out(step)
        run.end()
        told.append({key: [(outcome, waited_ms) for outcome, _, waited_ms in found] for key, found in run.told().items()})
    assert told[0] == told[1]
