"""Protection beside the breaker, over the real writer and dispatch with a clock that is moved by hand: rate, nothing but failure, hosts."""

import random
from typing import Any

import pytest

from eventyard.consumers import Claim, Consumers
from eventyard.core import limits
from eventyard.core.breaker import Place
from eventyard.core.clock import BusTime
from eventyard.core.commands import DeleteRule, Publish, SetPaused
from eventyard.core.delivery import State
from eventyard.core.errors import StorageFull
from eventyard.core.hosts import HostBudget, Hosts
from eventyard.core.protection import Held, Hold
from eventyard.dispatch import Dispatch
from eventyard.keeper import Keeper
from eventyard.writer import Writer
from tests.stages.test_writer import FlakyEngine
from tests.support.builders import ManualClock, an_event, put_rule
from tests.support.guarded import BACKOFF, Guarded, opened


@pytest.fixture
def house() -> Guarded:
    return Guarded()


# Rate


def test_a_rule_sends_no_more_than_its_rate(house: Guarded) -> None:
    house.rule(rate_per_s=20, concurrency=100)
    house.publish(100)
    sent = house.answer_all(204)
    assert sent == 2
    for _ in range(40):
        house.pass_ms(100)
        sent += house.answer_all(204)
    assert sent == 2 + 40 * 2


def test_who_waits_for_the_rate_wakes_the_writer_when_the_next_may_go(house: Guarded) -> None:
    uid = house.rule(rate_per_s=2)
    house.publish(3)
    assert house.answer_all(204) == 1
    assert house.held(uid) == Held(Hold.RATE, house._now().work_ms + 500)
    assert house.writer._idle_s() == pytest.approx(0.5)
    house.pass_ms(499)
    assert house.sent == 0
    house.pass_ms(1)
    assert house.sent == 1


def test_restarts_in_a_row_send_no_more_than_the_rate(house: Guarded) -> None:
    house.rule(rate_per_s=2)
    house.publish(20)
    sent = house.answer_all(204)
    for _ in range(10):
        house.restarted()
        assert house.sent == 0
        house.pass_ms(600)
        sent += house.answer_all(204)
    assert sent == 1 + 10


def test_a_rule_that_is_put_after_a_restart_may_go_at_once(house: Guarded) -> None:
    house.restarted()
    house.rule(rate_per_s=0.01)
    house.publish(1)
    assert house.sent == 1


def test_a_rule_at_its_rate_keeps_no_other_waiting(house: Guarded) -> None:
    house.rule(rate_per_s=1)
    house.rule("other")
    house.publish(10)
    rules = [dict(request.headers)["eventyard-rule"] for request, _ in house.transport.sent]
    assert (rules.count("paid"), rules.count("other")) == (1, 10)


def test_a_higher_rate_holds_at_once(house: Guarded) -> None:
    house.rule(rate_per_s=0.01)
    house.publish(30)
    assert house.answer_all(204) == 1
    house.rule(rate_per_s=100)
    house.pass_ms(100)
    assert house.answer_all(204) == 10


def test_no_rate_is_no_limit(house: Guarded) -> None:
    house.rule(rate_per_s=0.01)
    house.publish(10)
    assert house.answer_all(204) == 1
    house.rule(rate_per_s=None)
    assert house.sent == 9


def test_what_a_failed_commit_would_have_sent_takes_nothing_of_the_rate(house: Guarded) -> None:
    house.rule(rate_per_s=1)
    house.engine.error = StorageFull("no space")
    house.publish(1)
    assert house.sent == 0
    house.engine.error = None
    house.publish(1)
    assert house.sent == 1


def test_retries_are_of_the_rate_too(house: Guarded) -> None:
    house.rule(rate_per_s=1, breaker=None)
    house.publish(1)
    house.answer(500)
    assert house.sent == 0
    house.pass_ms(1_000)
    assert house.sent == 1


# Workers


def test_what_protects_a_target_holds_for_workers_too() -> None:
    engine, clock = FlakyEngine(), ManualClock()
    consumers = Consumers(lambda: None)
    writer = Writer(engine, clock, consumers)
    writer.open(lambda: "life0")
    writer.run_now(1, put_rule("paid", delivery={"rate_per_s": 10}))
    writer.run_now(1, Publish(tuple(an_event(number) for number in range(50))))
    given: list[Any] = []

    def take(answer: Any) -> None:
        given.extend(answer)

    for _ in range(10):
        for _ in range(2):
            consumers.wait(Claim(None, 100, 0, take))
        while writer.step():
            pass
        clock.advance(100)
    assert len(given) == 10


def test_bus_time_is_all_that_it_goes_by(house: Guarded) -> None:
    """A wall clock that jumps opens and closes nothing."""
    uid = opened(house)
    house.clock.wall_ms += 3_600_000
    house.quiet()
    assert (house.sent, house.place(uid)) == (0, Place.OPEN)
    assert isinstance(house._now(), BusTime)


# Nothing but failure


def test_a_rule_of_which_nothing_goes_well_is_paused_in_the_end(house: Guarded) -> None:
    uid = house.rule(pause_after_s=3_600, breaker=None, concurrency=1, max_attempts=1_000)
    house.publish(1)
    for _ in range(20):
        house.answer(500)
    house.pass_ms(3_599_999)
    house.answer(500)
    assert house.sent == 1
    house.pass_ms(1)
    house.answer(500)
    assert (house.sent, house.writer.states[1].by_uid[uid].is_paused) == (0, True)
    (told,) = [told for told in house.events() if told["type"] == "io.eventyard.rule.disabled"]
    assert told["data"]["because"] == "nothing went well for 60 minutes, and 22 attempts failed"


def test_a_success_begins_the_time_anew(house: Guarded) -> None:
    uid = house.rule(pause_after_s=3_600, breaker=None, concurrency=1, max_attempts=1_000)
    house.publish(2)
    for _ in range(20):
        house.answer(500)
    house.pass_ms(3_000_000)
    house.answer(204)
    house.answer(500)
    house.pass_ms(3_599_999)
    for _ in range(20):
        house.answer(500)
    assert not house.writer.states[1].by_uid[uid].is_paused


def test_a_few_failures_far_apart_pause_nothing(house: Guarded) -> None:
    uid = house.rule(pause_after_s=60, breaker=None, concurrency=1, max_attempts=1)
    for _ in range(limits.PAUSE_ATTEMPTS_MIN - 1):
        house.publish(1)
        house.answer(500)
        house.pass_ms(3_600_000)
    assert not house.writer.states[1].by_uid[uid].is_paused
    house.publish(1)
    house.answer(500)
    assert house.writer.states[1].by_uid[uid].is_paused


def test_who_resumes_it_gives_it_the_whole_time_again_and_so_does_another_target(house: Guarded) -> None:
    policy: dict[str, Any] = {"pause_after_s": 30, "breaker": None, "concurrency": 1, "max_attempts": 1_000}
    uid = house.rule(**policy)
    house.publish(1)
    for _ in range(2):
        for _ in range(10):
            house.answer(500)
        house.pass_ms(30_000)
        while house.sent:
            house.answer(500)
        assert house.writer.states[1].by_uid[uid].is_paused
        house.do(SetPaused("paid", is_paused=False))
    for _ in range(10):
        house.answer(500)
    house.pass_ms(30_000)
    house.do(put_rule("paid", delivery={"backoff": BACKOFF} | policy, target={"http": {"url": "http://127.0.0.1:10/"}}))
    house.answer(500)
    assert not house.writer.states[1].by_uid[uid].is_paused


def test_how_long_nothing_went_well_outlives_a_restart(house: Guarded) -> None:
    uid = house.rule(pause_after_s=60, breaker=None, concurrency=1, max_attempts=1_000)
    house.publish(1)
    for _ in range(10):
        house.answer(500)
    house.transport.sent.clear()
    house.restarted()
    house.pass_ms(60_000)
    house.answer(500)
    assert house.writer.states[1].by_uid[uid].is_paused


# Hosts


class Crowded(Guarded):
    """Whose operator bounds what goes to a host."""

    def __init__(self, concurrency: int | None = None, rate_per_s: float | None = None) -> None:
        super().__init__()
        self.budget = HostBudget(concurrency, rate_per_s)
        self.restarted()
        self.pass_ms(1_000)

    def restarted(self) -> None:
        self.dispatch = Dispatch(self.transport, self._now, self._wake, random.Random(1))
        self.writer = Writer(self.engine, self.clock, self.dispatch, hosts=Hosts(self.budget))
        self.writer.open(lambda: "life1")
        self.keeper = Keeper(self.writer.states, self.writer.submit_own, self._now)
        self.quiet()

    def rules_sent(self) -> list[str]:
        return [dict(request.headers)["eventyard-rule"] for request, _ in self.transport.sent]


def test_rules_share_what_may_be_under_way_to_their_host() -> None:
    house = Crowded(concurrency=3)
    uids = [house.rule(name) for name in ("one", "two", "three")]
    house.publish(10)
    assert house.sent == 3
    state, work_ms = house.writer.states[1], house._now().work_ms
    assert Held(Hold.HOST) in [state.held(state.by_uid[uid], work_ms) for uid in uids]
    delivered = 0
    while house.sent:
        assert house.sent <= 3
        house.answer(204)
        delivered += 1
    assert delivered == 30


def test_a_rule_with_much_keeps_none_with_little_from_its_turn() -> None:
    house = Crowded(concurrency=1)
    house.rule("much")
    house.publish(50)
    house.rule("little")
    house.publish(1)
    for _ in range(6):
        house.answer(204)
    assert house.counts("little")[State.DELIVERED] == 1


def test_another_host_is_another_budget() -> None:
    house = Crowded(concurrency=1)
    house.rule("one")
    house.do(put_rule("two", target={"http": {"url": "http://127.0.0.1:10/"}}))
    house.publish(5)
    assert sorted(house.rules_sent()) == ["one", "two"]


def test_rules_share_the_rate_of_their_host() -> None:
    house = Crowded(rate_per_s=10)
    for name in ("one", "two"):
        house.rule(name)
    house.publish(20)
    sent = house.answer_all(204)
    assert sent == 1
    assert house.writer._idle_s() == pytest.approx(0.1)
    for _ in range(20):
        house.pass_ms(100)
        sent += house.answer_all(204)
    assert sent == 21
    assert {house.counts(name)[State.DELIVERED] for name in ("one", "two")} == {10, 11}


def test_restarts_in_a_row_send_a_host_no_more_than_its_rate() -> None:
    house = Crowded(rate_per_s=2)
    for name in ("one", "two"):
        house.rule(name)
    house.publish(20)
    sent = house.answer_all(204)
    for _ in range(10):
        house.restarted()
        assert house.sent == 0
        house.pass_ms(600)
        sent += house.answer_all(204)
    assert sent == 1 + 10


def test_what_was_under_way_at_a_restart_takes_room_no_more() -> None:
    house = Crowded(concurrency=2)
    house.rule("one")
    house.publish(5)
    house.transport.sent.clear()
    house.dispatch = Dispatch(house.transport, house._now, house._wake, random.Random(1))
    house.writer = Writer(house.engine, house.clock, house.dispatch, hosts=Hosts(HostBudget(2)))
    house.writer.open(lambda: "life1")
    house.quiet()
    assert house.sent == 2


def test_a_deleted_rule_leaves_its_place_in_line() -> None:
    house = Crowded(concurrency=1)
    for name in ("one", "two", "three"):
        house.rule(name)
    house.publish(2)
    waiting = next(name for name in ("one", "two", "three") if name not in house.rules_sent())
    house.do(DeleteRule(waiting))
    answered = 0
    while house.sent:
        house.answer(204)
        answered += 1
    assert answered == 4
