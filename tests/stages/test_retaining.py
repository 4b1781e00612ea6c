"""The stage of retention: when it looks, what it asks for, and what it does when the disk or a deletion is in the way."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.changes import Retention
from eventyard.core.commands import Command, CreateBus, DeleteBus, DeleteRule, Publish, Redrive, Retain, SetRetention
from eventyard.core.delivery import Note, Reason, State
from eventyard.core.errors import StorageFailed, StorageFull
from eventyard.core.verdict import Dead
from eventyard.core.view import View
from eventyard.engines.memory import MemoryEngine
from eventyard.retaining import FLOOR_EVERY_MS, RULES_EVERY_MS, RetentionStage
from tests.support.builders import an_event
from tests.support.houses import House

NEVER = Dead(Note(reason=Reason.ANSWER, status=422))


class WatchedEngine(MemoryEngine):
    """Counts its readers, and does what a test wants when one is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.readers = 0
        self.on_reader: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def reader(self) -> Iterator[View]:
        self.readers += 1
        self.on_reader()
        with super().reader() as view:
            yield view


class Watched(House):
    """A house whose retention is stepped by itself. `asked` is what it asks of the writer; `answer` what that says to it."""

    def __init__(self) -> None:
        self.watched = WatchedEngine()
        super().__init__(self.watched)
        self.asked: list[Command] = []
        self.answer: Any = None
        self.retention = RetentionStage(self.watched, self.writer.states, self._submit, self.now)
        self.retention.step()

    def _submit(self, number: int, command: Command, done: Callable[[Any], None]) -> None:
        self.asked.append(command)
        if self.answer is None:
            self.writer.submit_own(number, command, done)
        else:
            done(self.answer)

    def look(self, after_ms: int = FLOOR_EVERY_MS) -> bool:
        self.clock.advance(after_ms)
        did_something = self.retention.step()
        while self.writer.step():
            pass
        return did_something


@pytest.fixture
def bus() -> Watched:
    return Watched()


def keep(bus: House, **retention: Any) -> None:
    answers: list[Any] = []
    bus.writer.submit_system(SetRetention("default", Retention(**retention)), answers.append)
    bus.writer.step()
    assert answers


def publish(bus: House, count: int) -> None:
    bus.do(Publish(tuple(an_event(f"{bus.state.head}-{number}") for number in range(count))))


def test_at_a_start_nothing_is_looked_at(bus: Watched) -> None:
    keep(bus, max_bytes=1)
    publish(bus, 5)
    assert (bus.look(FLOOR_EVERY_MS - 1), bus.watched.readers) == (False, 0)
    assert (bus.look(1), bus.asked) == (True, [Retain(6)])


def test_a_bus_that_may_keep_its_first_event_costs_one_read_however_long_it_sleeps(bus: Watched) -> None:
    publish(bus, 5)
    for _ in range(9):
        assert not bus.look()
    assert bus.watched.readers == 2  # One for each bus: the system's has a log too.


def test_one_stretch_is_asked_for_at_a_time_and_the_next_without_waiting(bus: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RETAIN_POSITIONS_PER_STEP", 4)
    keep(bus, max_bytes=1)
    publish(bus, 10)
    bus.clock.advance(FLOOR_EVERY_MS)
    assert [bus.retention.step(), bus.retention.step()] == [True, False]
    bus.writer.step()
    assert [bus.look(0), bus.look(0), bus.look(0)] == [True, True, False]
    assert (bus.state.floor, bus.asked) == (11, [Retain(11)] * 3)


def test_what_is_in_the_way_is_left_until_the_next_look(bus: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    keep(bus, max_bytes=1)
    publish(bus, 10)
    bus.put("late", start={"position": 4})
    assert [bus.look(), bus.look(0), bus.look(0)] == [True, True, False]
    assert (bus.state.floor, len(bus.asked)) == (4, 2)
    assert bus.look()


def test_a_disk_that_refuses_is_asked_again_at_the_next_look_only(bus: Watched) -> None:
    keep(bus, max_bytes=1)
    publish(bus, 10)
    bus.answer = StorageFull("no room")
    assert [bus.look(), bus.look(0), bus.look(0)] == [True, False, False]
    bus.answer = None
    assert bus.look()
    assert bus.state.floor == 11


def test_a_disk_that_cannot_be_read_is_waited_for(bus: Watched) -> None:
    def failing() -> None:
        raise StorageFailed("a bad sector")

    keep(bus, max_bytes=1)
    publish(bus, 10)
    bus.watched.on_reader = failing
    assert not bus.look()
    bus.watched.on_reader = lambda: None
    assert bus.look()


def test_a_rule_that_is_deleted_while_it_is_looked_at_harms_nobody(bus: Watched) -> None:
    keep(bus, dead_letters_s=1)
    record = bus.put("paid")
    publish(bus, 2)
    bus.receiver.want(record.uid, 1)
    bus.writer.step()
    bus.receiver.wanted.clear()
    bus.settle(bus.take()[0], NEVER)

    def delete() -> None:
        bus.watched.on_reader = lambda: None
        bus.do(DeleteRule("paid"))
        bus.rest()

    bus.clock.advance(RULES_EVERY_MS - FLOOR_EVERY_MS)
    bus.retention.step()
    bus.watched.on_reader = delete
    assert not bus.look()
    assert record.uid not in bus.state.queues


def test_old_dead_letters_are_found_behind_however_many_new_ones(bus: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_MAX", 2)
    keep(bus, dead_letters_s=3_600)
    record = bus.put("paid")
    publish(bus, 5)
    for _ in range(2):
        bus.receiver.want(record.uid, 10)
        bus.writer.step()
        bus.receiver.wanted.clear()
        for lease in bus.take():
            bus.settle(lease, NEVER)
        bus.clock.advance(3_000_000)
        bus.do(Redrive("paid", tuple((record.uid, 0, position) for position in range(2, 6))))
    for _ in range(4):
        bus.receiver.want(record.uid, 10)
        bus.writer.step()
        bus.receiver.wanted.clear()
        for lease in bus.take():
            bus.settle(lease, NEVER)
        bus.look(RULES_EVERY_MS)
    assert [bus.row(record.uid, position).state for position in (5, 6)] == [State.DEAD, State.DISCARDED]


def test_a_bus_that_is_gone_is_no_longer_watched(bus: Watched) -> None:
    for command in (CreateBus("other", "life"), DeleteBus("other")):
        bus.writer.submit_system(command, lambda _: None)
        bus.writer.step()
        bus.look()
    assert set(bus.retention._watches) == {0, 1}
