"""The machine's detectors beside a plain model of one, under any observations, waits, ticks and restarts.

The model knows no table, no rows and no timers: it looks at what was observed of one key, in the order in which it came, and says when its
condition was true. Both must tell the same edges of every key, whenever the keeper came, however often the bus was started anew, and whatever the disk refused.
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
from eventyard.core.clock import rfc3339
from eventyard.core.commands import Publish, RunTimers
from eventyard.core.errors import StorageFailed
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.sqlite import SqliteEngine
from eventyard.ports import Engine
from tests.support.builders import ManualClock, Stepped, put_detector

KEYS = ["a", "b"]
HIGH, LOW = 2, 1


class Terms(msgspec.Struct, frozen=True):
    for_s: float
    keep_for_s: float
    late_by_s: float
    has_until: bool
    first: str
    order_by: str
    forget_after_s: float | None


class See(msgspec.Struct, frozen=True):
    """An observation whose event tells a time `ago_ms` ago. A negative one: of a clock that runs ahead. `is_refused`: the disk does not take it
    the first time, and its publisher comes again.
    """

    key: str
    n: int
    ago_ms: int
    is_refused: bool = False


class Wait(msgspec.Struct, frozen=True):
    by_ms: int
    is_ticked: bool


class Restart(msgspec.Struct, frozen=True):
    pass


steps = st.lists(
    st.one_of(
        st.builds(See, st.sampled_from(KEYS), st.integers(0, 3), st.sampled_from([0, 0, 0, 400, 5_000, -700]), st.booleans()),
        st.builds(Wait, st.sampled_from([1, 300, 999, 1_000, 4_000, 30_000]), st.booleans()),
        st.builds(Restart),
    ),
    max_size=30,
)
terms = st.builds(
    Terms,
    for_s=st.sampled_from([0, 1, 3]),
    keep_for_s=st.sampled_from([0, 1]),
    late_by_s=st.sampled_from([0, 0.5]),
    has_until=st.booleans(),
    first=st.sampled_from(["arm", "fire", "suppress"]),
    order_by=st.sampled_from(["time", "position"]),
    forget_after_s=st.sampled_from([None, 20]),
)


class Model:
    """One key: what is true of it, and since when something else seems to be."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.truth: bool | None = None
        self.turning: tuple[int, int, int] | None = None  # bus time and work time since when, and the cause
        self.last: Any = None
        self.heard_ms = 0
        self.edges: list[tuple[bool, int, int]] = []

    def see(self, n: int, *, told_ms: int, accepted_ms: int, work_ms: int, is_resting: bool, position: int) -> None:
        order = position if self.terms.order_by == "position" else min(told_ms, accepted_ms)
        self.pass_time(work_ms, is_resting=is_resting)
        if self.last is not None and order < self.last:
            return
        since_ms = max(min(told_ms, accepted_ms), accepted_ms - round(self.terms.late_by_s * 1000))
        self._learn(n, since_ms, work_ms - (accepted_ms - since_ms), position)
        self.last, self.heard_ms = order, work_ms
        self.pass_time(0, is_resting=True)

    def _learn(self, n: int, since_ms: int, since_work_ms: int, position: int) -> None:
        is_high = n >= HIGH
        is_low = n < LOW if self.terms.has_until else not is_high
        if self.truth is None and is_high and self.terms.first == "suppress":
            return
        if self.truth is None and not (is_high and self.terms.first == "fire"):
            self.truth = is_high
            return
        self.truth = bool(self.truth)
        is_turned = is_low and not is_high if self.truth else is_high
        if not is_turned:
            self.turning = None
        elif self.turning is None:
            self.turning = (since_ms, since_work_ms, position)

    def pass_time(self, work_ms: int, *, is_resting: bool) -> None:
        """What time makes of it up to a work time. While the bus rests only what has to wait for nothing is an edge."""
        if self.turning is not None:
            wait_s = self.terms.keep_for_s if self.truth else self.terms.for_s
            due_ms = self.turning[1] + round((wait_s + self.terms.late_by_s) * 1000)
            if wait_s == 0 or (not is_resting and due_ms <= work_ms):
                self.truth = not self.truth
                self.edges.append((self.truth, self.turning[2], self.turning[0] + round(wait_s * 1000)))
                self.turning = None
        if not is_resting and self._is_forgotten(work_ms):
            self.truth = self.last = None

    def _is_forgotten(self, work_ms: int) -> bool:
        if self.turning is not None or self.terms.forget_after_s is None or self.last is None:
            return False
        return work_ms >= self.heard_ms + self.terms.forget_after_s * 1000


class Failing(MemoryEngine):
    """A disk that refuses the next commit where it is told to."""

    is_failing = False

    def commit(self, batch: Sequence[Changes]) -> None:
        if self.is_failing:
            raise StorageFailed("found a disk that fails")
        super().commit(batch)


class Run:
    """The machine and a model for each key, side by side."""

    def __init__(self, engine: Engine, terms: Terms) -> None:
        self.clock = ManualClock()
        self.bus = Stepped(engine, self.clock)
        until = {"data": {"n": [{"numeric": ["<", LOW]}]}} if terms.has_until else None
        fields = msgspec.structs.asdict(terms)
        del fields["has_until"]
        when = {"data": {"n": [{"numeric": [">=", HIGH]}]}}
        assert self.bus.do(put_detector("d", when=when, until=until, **fields)).is_created
        self.models = {key: Model(terms) for key in KEYS}

    @property
    def is_resting(self) -> bool:
        return bool(self.bus.now().work_ms < self.bus.state.emitters.rest_until_ms)

    def carry_out(self, step: See | Wait | Restart) -> None:
        match step:
            case See():
                self.see(step)
            case Wait():
                self.clock.advance(step.by_ms)
                if step.is_ticked:
                    self.tick()
            case Restart():
                self.bus = Stepped(self.bus.engine, self.clock)

    def see(self, step: See) -> None:
        now = self.bus.now()
        told_ms = now.time_ms - step.ago_ms
        attributes = {"id": f"e{self.bus.state.head}", "source": "/s", "type": "car.updated", "subject": step.key}
        event = events.make(attributes | {"time": rfc3339(told_ms)}, {"n": step.n})
        engine = self.bus.engine
        if step.is_refused and isinstance(engine, Failing):
            engine.is_failing = True
            assert isinstance(self.bus.do(Publish((event,))), StorageFailed)
            engine.is_failing = False
        (answer,) = self.bus.do(Publish((event,)))
        self.models[step.key].see(
            step.n,
            told_ms=told_ms,
            accepted_ms=now.time_ms,
            work_ms=now.work_ms,
            is_resting=self.is_resting,
            position=answer.position,
        )

    def tick(self) -> None:
        self.bus.do(RunTimers(100))
        for model in self.models.values():
            model.pass_time(self.bus.now().work_ms, is_resting=self.is_resting)

    def end(self) -> None:
        """Time enough for every hold to end."""
        self.clock.advance(limits.HOLDS_REST_MS + 9_000)
        self.tick()

    def edges(self) -> dict[str, list[tuple[bool, int, str]]]:
        told: dict[str, list[tuple[bool, int, str]]] = defaultdict(list)
        for stored in self.bus.engine.view.events(1, 1, self.bus.state.head, 10_000):
            document = json.loads(stored.json)
            if document["source"].endswith("/detectors/d"):
                edge = (document["data"]["edge"] == "rise", document["data"]["cause"]["position"], document["time"])
                told[document["subject"]].append(edge)
        return dict(told)

    def edges_of_models(self) -> dict[str, list[tuple[bool, int, str]]]:
        told = {
            key: [(is_rise, position, rfc3339(at_ms)) for is_rise, position, at_ms in model.edges]
            for key, model in self.models.items()
        }
        return {key: edges for key, edges in told.items() if edges}


@given(terms=terms, steps=steps)
@settings(deadline=None)
def test_the_machine_tells_the_edges_of_the_plain_model(terms: Terms, steps: list[See | Wait | Restart]) -> None:
    run = Run(Failing(), terms)
    for step in steps:
        run.carry_out(step)
    run.end()
    assert run.edges() == run.edges_of_models()


@given(terms=terms, steps=steps)
@settings(max_examples=30, deadline=None)
def test_on_disk_it_tells_the_same(terms: Terms, steps: list[See | Wait | Restart]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = SqliteEngine(str(Path(folder) / "a.db"), synchronous="OFF")
        runs = [Run(MemoryEngine(), terms), Run(engine, terms)]
        for run in runs:
            for step in steps:
                run.carry_out(step)
            run.end()
        one, other = ([stored.json for stored in run.bus.engine.view.events(1, 1, run.bus.state.head, 10_000)] for run in runs)
        assert one == other
        engine.close()


@given(terms=terms, steps=steps, data=st.data())
@settings(max_examples=100, deadline=None)
def test_when_the_keeper_comes_changes_no_edge_of_a_key(
    terms: Terms, steps: list[See | Wait | Restart], data: st.DataObject
) -> None:
    """Where the bus is not away: what had ended before it went is told by when time was looked at."""
    alike = [step for step in steps if not isinstance(step, Restart)]
    ticked = [
        msgspec.structs.replace(step, is_ticked=data.draw(st.booleans())) if isinstance(step, Wait) else step for step in alike
    ]
    one, other = Run(MemoryEngine(), terms), Run(MemoryEngine(), terms)
    for run, own in ((one, alike), (other, ticked)):
        for step in own:
            run.carry_out(step)
        run.end()
    first, second = ({key: [at for *_, at in edges] for key, edges in run.edges().items()} for run in (one, other))
    assert first == second
