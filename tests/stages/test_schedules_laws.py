"""What holds of schedules whatever happens: time passes, clocks jump, disks fail, the bus ends without a word, and somebody edits."""

from collections import defaultdict
from typing import Any
from unittest import mock

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard.core import limits
from eventyard.core.commands import DeleteSchedule, PauseSchedule
from eventyard.core.errors import StorageFailed
from eventyard.engines.memory import MemoryEngine
from tests.stages.test_schedules import HOUR, Home

STEADY = 7_000
"""From one instant of the schedule that nobody edits to the next."""

ACTS = st.one_of(
    st.tuples(st.just("pass"), st.integers(1, 90_000)),
    st.tuples(st.just("restart"), st.sampled_from((0, 5_000, 70_000, HOUR))),
    st.tuples(st.just("jump"), st.sampled_from((-HOUR, -5_000, 5_000, 500_000, 5 * HOUR))),
    st.tuples(st.just("fail"), st.just(0)),
    st.tuples(st.just("edit"), st.sampled_from((11, 13, 60))),
    st.tuples(st.just("pause"), st.booleans()),
    st.tuples(st.just("delete"), st.just(0)),
)


class Failing(MemoryEngine):
    """Its next commit fails where it is told so, before anything is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.is_failing = False

    def commit(self, batch: Any) -> None:
        is_failing, self.is_failing = self.is_failing, False
        if is_failing:
            raise StorageFailed("found no disk", wanted="one")
        super().commit(batch)


def play(home: Home, engine: Failing, act: str, value: int) -> None:
    match act:
        case "pass":
            home.clock.advance(value)
        case "restart":
            home.restart(value)
        case "jump":
            home.clock.wall_ms += value
        case "fail":
            engine.is_failing = True
            home.clock.advance(STEADY)
        case "edit":
            engine.is_failing = (
                False  # Where the clock went back nothing has been committed since: this law is not about an edit that fails.
            )
            home.schedule("edited", every_s=value, misfire=("skip", "once", "all")[value % 3], jitter_s=value % 5)
        case "pause":
            home.do(PauseSchedule("edited", bool(value)))
        case "delete":
            home.do(DeleteSchedule("edited"))
    home.rest()


def published(home: Home) -> dict[int, list[int]]:
    """By schedule, the instants of its events in the order of the log."""
    found: dict[int, list[int]] = defaultdict(list)
    for event in home.told():
        _, uid, instant_ms = event["id"].split("-")
        found[int(uid)].append(int(instant_ms))
    return found


@settings(deadline=None, max_examples=settings().max_examples // 4)
@given(st.lists(ACTS, max_size=25), st.sampled_from((1, 3, 200)))
def test_every_instant_is_published_once_and_in_its_order(acts: list[tuple[str, int]], instants_per_step: int) -> None:
    engine = Failing()
    home = Home(engine)
    with mock.patch.object(limits, "SCHEDULE_INSTANTS_PER_STEP", instants_per_step):
        steady = home.schedule("steady", every_s=STEADY // 1_000, misfire="all")
        for act, value in acts:
            play(home, engine, act, int(value))
        home.clock.advance(1)
        home.rest()
    found = published(home)
    for instants in found.values():
        assert instants == sorted(set(instants))
    own = found[steady.uid]
    assert all(instant % STEADY == 0 for instant in own)
    if not any(event["data"]["more"] for event in home.told("io.eventyard.schedule.missed")):
        first = (steady.created_ms // STEADY + 1) * STEADY
        last = home.state.time.time_ms
        assert own == list(range(first, last + 1, STEADY))
    for record in home.state.schedules.by_uid.values():
        assert record.published == len(found[record.uid])
    assert engine.load()[1].schedules == tuple(home.state.schedules.by_uid.values())


def test_the_record_of_a_schedule_is_read_as_it_was_written() -> None:
    home = Home(MemoryEngine())
    record = home.schedule("edited", cron="0 8 * * *", emit={"type": "shop.tick", "data": {"price": 1}})
    assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record
