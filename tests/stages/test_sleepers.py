"""Who is woken when, on a loop whose time and turns the test gives."""

import asyncio
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.bus_state import BusState, Loaded
from eventyard.core.changes import BusRecord
from eventyard.core.clock import BusTime
from eventyard.sleepers import Sleeper, Sleepers


class Loop:
    """What sleepers ask of an event loop. `calls` are what it was asked to do, and when."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, Any]] = []
        self.has_closed = False

    def time(self) -> float:
        return self.now

    def is_closed(self) -> bool:
        return self.has_closed

    def call_soon(self, *_: Any, **__: Any) -> None:
        """Nobody awaits these futures."""

    def get_debug(self) -> bool:
        return False

    def call_soon_threadsafe(self, callback: Any, *args: Any) -> None:
        if self.has_closed:
            raise RuntimeError("Event loop is closed")
        self.calls.append((self.now, lambda: callback(*args)))

    def call_at(self, when: float, callback: Any, *args: Any) -> None:
        self.calls.append((when, lambda: callback(*args)))

    def run(self) -> None:
        """All that is due, and what becomes due by it."""
        while self.run_once():
            pass

    def run_once(self) -> int:
        due = [call for call in self.calls if call[0] <= self.now]
        for call in due:
            self.calls.remove(call)
            call[1]()
        return len(due)


class House:
    """Sleepers over two buses of no more than a head."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.states = {number: state(number) for number in (1, 2)}
        self.sleepers = Sleepers(self.states)

    def sleeper(self, number: int, position: int, loop: Loop | None = None) -> Sleeper:
        on: Any = loop or self.loop
        future: Sleeper = asyncio.Future(loop=on)
        self.sleepers.lie_down(number, position, future)
        return future

    def grow(self, number: int, by: int = 1) -> None:
        """A step of the writer."""
        self.states[number].head += by
        self.sleepers.announce()


def state(number: int) -> BusState:
    return BusState(Loaded(BusRecord(number, f"bus{number}", "i", 1), 0, BusTime(0, 0), (), (), (), {}))


def test_only_sleepers_of_a_bus_that_grew_past_them_are_woken() -> None:
    house = House()
    here, ahead, elsewhere = house.sleeper(1, 0), house.sleeper(1, 5), house.sleeper(2, 0)
    house.grow(1)
    house.loop.run()
    assert [sleeper.done() for sleeper in (here, ahead, elsewhere)] == [True, False, False]
    house.grow(1, by=5)
    house.loop.run()
    assert [sleeper.done() for sleeper in (ahead, elsewhere)] == [True, False]


def test_a_loop_is_asked_once_for_a_turn_however_many_steps_there_are() -> None:
    house = House()
    house.sleeper(1, 0)
    for _ in range(10):
        house.grow(1)
    assert len(house.loop.calls) == 1


def test_a_step_that_concerns_nobody_asks_nothing_of_a_loop() -> None:
    house = House()
    house.sleeper(1, 0)
    house.grow(2)
    assert house.loop.calls == []


def test_the_next_turn_comes_after_as_long_a_rest_as_the_last_one_took() -> None:
    house = House()
    house.sleeper(1, 0)
    house.grow(1)
    house.loop.run()
    house.loop.now += 0.025  # What the sleeper did with its turn.
    again = house.sleeper(1, 1)
    house.grow(1)
    house.loop.now += 0.020
    house.loop.run()
    assert not again.done()
    house.loop.now += 0.010
    house.loop.run()
    assert again.done()


def test_who_lies_down_long_after_a_turn_makes_it_no_longer() -> None:
    house = House()
    house.sleeper(1, 0)
    house.grow(1)
    house.loop.run()
    house.loop.now += 0.001
    first = house.sleeper(1, 1)
    house.loop.now += 50.0
    second = house.sleeper(1, 1)
    house.grow(1)
    house.loop.run()
    assert (first.done(), second.done()) == (True, True)


def test_a_turn_rouses_a_few_and_the_next_ones_those_who_were_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_TURN", 2)
    house = House()
    asleep = [house.sleeper(1, 0) for _ in range(5)]
    house.grow(1)
    woken = []
    while house.loop.run_once():
        woken.append([sleeper.done() for sleeper in asleep].count(True))
    assert woken == [0, 2, 4, 5]


def test_a_rest_is_bounded_however_long_a_turn_took() -> None:
    house = House()
    house.sleeper(1, 0)
    house.grow(1)
    house.loop.run()
    house.loop.now += 60.0
    again = house.sleeper(1, 1)
    house.grow(1)
    house.loop.now += limits.STREAM_REST_S_MAX
    house.loop.run()
    assert again.done()


def test_who_lies_down_while_a_turn_is_due_is_woken_by_it() -> None:
    house = House()
    house.sleeper(1, 0)
    house.grow(1)
    late = house.sleeper(1, 0)
    house.loop.run()
    assert late.done()


def test_who_gets_up_by_itself_is_forgotten_and_disturbs_nobody() -> None:
    house = House()
    gone, ahead = house.sleeper(1, 0), house.sleeper(1, 1)
    house.sleepers.get_up(1, gone)
    house.grow(1)
    house.loop.run()
    assert not gone.done()
    assert not ahead.done()
    house.sleepers.announce()
    assert house.loop.calls == []
    house.sleepers.get_up(1, ahead)
    assert len(house.sleepers) == 0


def test_all_are_woken_when_their_bus_goes_or_the_house_closes() -> None:
    house = House()
    first, second = house.sleeper(1, 0), house.sleeper(2, 0)
    del house.states[1]
    house.sleepers.announce()
    house.loop.run()
    assert (first.done(), second.done()) == (True, False)
    house.sleepers.close()
    house.loop.run()
    assert second.done()


def test_a_loop_that_was_closed_is_let_go() -> None:
    house, closed = House(), Loop()
    house.sleeper(1, 0, closed)
    closed.has_closed = True
    house.grow(1)
    house.sleeper(1, 1)
    assert len(house.sleepers) == 1
