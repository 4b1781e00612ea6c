"""Protection, over the real writer and dispatch with a clock that is moved by hand: rate, breaker, quiet, slow start."""

import json
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
from eventyard.ports import PushAnswer
from eventyard.writer import Writer
from tests.stages.test_dispatch import Pushing
from tests.stages.test_writer import FlakyEngine
from tests.support.builders import ManualClock, an_event, put_rule

BREAKER = {
    "failure_share": 0.5,
    "window_s": 10,
    "min_requests": 4,
    "open_s": 10,
    "probes": 1,
    "successes": 2,
    "slow_start_s": 10,
}
BACKOFF = {"initial_s": 0, "max_s": 0}


class Guarded(Pushing):
    """With a keeper, since what the log is told of breakers it may owe for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.keeper = Keeper(self.writer.states, self.writer.submit_own, self._now)

    def rule(self, name: str = "paid", **delivery: Any) -> int:
        document = {"delivery": {"breaker": BREAKER, "backoff": BACKOFF} | delivery}
        uid: int = self.do(put_rule(name, **document))[0].record.uid
        return uid

    def publish(self, count: int) -> None:
        self.do(Publish(tuple(an_event(number) for number in range(self.number, self.number + count))))
        self.number += count

    number = 0

    def pass_ms(self, ms: int) -> None:
        self.clock.advance(ms)
        self.keeper.step()
        self.quiet()

    @property
    def sent(self) -> int:
        return len(self.transport.sent)

    def answer_all(self, status: int, **fields: Any) -> int:
        """What is under way just now; how many that was."""
        count = self.sent
        for _ in range(count):
            self.transport.answer(status, **fields)
        self.quiet()
        return count

    def place(self, uid: int) -> Place:
        place: Place = self.guard(uid).breaker.place
        return place

    def guard(self, uid: int) -> Any:
        return self.writer.states[1].protection.guard(uid)

    def held(self, uid: int) -> Held | None:
        state = self.writer.states[1]
        found: Held | None = self.guard(uid).held(state.by_uid[uid], state.queues[uid].leased, self._now().work_ms)
        return found

    def kinds(self) -> list[str]:
        events = self.engine.view.events(1, 1, self.writer.states[1].head, 1_000)
        kinds = [json.loads(event.json)["type"] for event in events]
        return [kind.removeprefix("io.eventyard.") for kind in kinds if kind.startswith("io.eventyard.breaker")]

    def events(self) -> list[Any]:
        events = self.engine.view.events(1, 1, self.writer.states[1].head, 1_000)
        return [json.loads(event.json) for event in events]

    def restarted(self) -> None:
        self.dispatch = Dispatch(self.transport, self._now, self._wake, random.Random(1))
        self.writer = Writer(self.engine, self.clock, self.dispatch)
        self.writer.open(lambda: "life1")
        self.keeper = Keeper(self.writer.states, self.writer.submit_own, self._now)
        self.quiet()


@pytest.fixture
def house() -> Guarded:
    return Guarded()


def opened(house: Guarded, *, events: int = 20, **delivery: Any) -> int:
    """A rule whose breaker is open, with `events` waiting behind it."""
    uid = house.rule(**({"concurrency": 4} | delivery))
    house.publish(events)
    house.answer_all(503)
    assert house.place(uid) is Place.OPEN
    return uid


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


# The breaker


def test_behind_an_open_breaker_nothing_is_sent_and_no_attempt_spent(house: Guarded) -> None:
    uid = opened(house)
    assert (house.sent, house.held(uid)) == (0, Held(Hold.BREAKER, house._now().work_ms + 10_000))
    house.pass_ms(9_999)
    assert house.sent == 0
    attempts = [house.engine.view.delivery(1, (uid, 0, position)).attempts for position in range(2, 22)]  # type: ignore[union-attr]
    assert sum(attempts) == 4


def test_a_probe_that_goes_well_opens_the_way_little_by_little(house: Guarded) -> None:
    uid = opened(house, events=60, concurrency=20)
    house.pass_ms(10_000)
    assert house.sent == 1
    for _ in range(2):
        assert house.place(uid) is Place.OPEN or house.guard(uid).breaker.well == 1
        assert house.sent == 1
        house.answer(204)
    assert house.place(uid) is Place.RECOVERING
    assert house.sent == 2
    house.pass_ms(5_000)
    assert house.sent == 10
    house.pass_ms(5_000)
    assert house.sent == 20


def test_a_probe_that_fails_opens_it_again_for_longer(house: Guarded) -> None:
    uid = opened(house)
    house.pass_ms(10_000)
    house.answer(503)
    assert (house.sent, house.held(uid)) == (0, Held(Hold.BREAKER, house._now().work_ms + 20_000))
    house.pass_ms(19_999)
    assert house.sent == 0
    house.pass_ms(1)
    assert house.sent == 1


def test_what_was_sent_before_it_opened_and_fails_late_is_no_failed_probe(house: Guarded) -> None:
    uid = house.rule(concurrency=6)
    house.publish(20)
    for _ in range(4):
        house.answer(503)
    late, house.transport.sent = house.transport.sent, []
    house.pass_ms(10_000)
    assert (len(late), house.sent) == (5, 0)  # While others are under way a probe would be one too many.
    for _, done in late:
        done(PushAnswer(503, {}, b""))
    house.quiet()
    assert house.sent == 1
    house.answer(204)
    house.answer(204)
    assert house.place(uid) is Place.RECOVERING


@pytest.mark.parametrize(
    ("status", "opens"),
    [(0, True), (500, True), (503, True), (408, True), (425, True), (429, True), (404, False), (302, False)],
)
def test_only_what_says_that_the_target_cannot_counts(house: Guarded, status: int, opens: bool) -> None:
    uid = house.rule(concurrency=4)
    house.publish(4)
    house.answer_all(status, **({} if status else {"failure": "timed out"}))
    assert (house.place(uid) is Place.OPEN) == opens


def test_dead_letters_of_a_target_that_is_there_open_nothing(house: Guarded) -> None:
    uid = house.rule(concurrency=4)
    house.publish(4)
    house.answer_all(422)
    assert house.place(uid) is Place.CLOSED


def test_a_rule_without_a_breaker_goes_on(house: Guarded) -> None:
    uid = house.rule(concurrency=4, breaker=None)
    house.publish(4)
    for _ in range(3):
        assert house.answer_all(503) == 4
    assert house.held(uid) is None


def test_the_probe_of_an_ordered_rule_is_the_head_of_a_key(house: Guarded) -> None:
    uid = house.rule(order="key", key="data.key", concurrency=4)
    house.do(Publish(tuple(an_event(number, data={"key": number % 4}) for number in range(12))))
    house.answer_all(503)
    house.pass_ms(10_000)
    (request, _), *others = house.transport.sent
    assert not others
    assert int(dict(request.headers)["eventyard-position"]) in {2, 3, 4, 5}
    assert house.engine.view.delivery(1, (uid, 0, 6)).state is State.BLOCKED  # type: ignore[union-attr]


def test_time_behind_an_open_breaker_is_no_part_of_a_deliverys_age(house: Guarded) -> None:
    uid = house.rule(concurrency=4, max_age_s=5)
    house.publish(4)
    house.answer_all(503)
    house.pass_ms(10_000)
    house.answer(503)
    assert house.counts("paid")[State.DEAD] == 0
    house.pass_ms(20_000)
    house.answer(204)
    assert house.counts("paid")[State.DELIVERED] == 1
    assert uid


def test_time_paused_is_no_part_of_a_deliverys_age(house: Guarded) -> None:
    house.rule(max_age_s=60, breaker=None)
    house.publish(1)
    house.answer(503)
    house.do(SetPaused("paid", is_paused=True))
    house.answer(503)
    house.pass_ms(3_600_000)
    house.do(SetPaused("paid", is_paused=False))
    house.answer(503)
    assert house.counts("paid")[State.DEAD] == 0


def test_another_target_is_called_at_once(house: Guarded) -> None:
    uid = opened(house)
    document = {"delivery": {"breaker": BREAKER, "concurrency": 4}, "target": {"http": {"url": "http://127.0.0.1:10/"}}}
    house.do(put_rule("paid", **document))
    assert (house.place(uid), house.sent) == (Place.CLOSED, 4)


def test_a_rule_that_is_resumed_is_probed_at_once(house: Guarded) -> None:
    opened(house)
    for is_paused in (True, False):
        house.do(SetPaused("paid", is_paused=is_paused))
    assert house.sent == 1


def test_a_breaker_that_nothing_fails_for_any_more_is_forgotten(house: Guarded) -> None:
    house.rule(concurrency=4)
    house.publish(1)
    house.answer(503)
    house.answer(204)
    assert house.writer.states[1].protection.watched
    house.pass_ms(10_000)
    house.publish(1)
    house.answer(204)
    protection = house.writer.states[1].protection
    assert (protection._guards, protection.watched) == ({}, set())


# What the log is told


def test_the_log_is_told_that_it_opened_and_that_it_closed(house: Guarded) -> None:
    opened(house)
    assert house.kinds() == ["breaker.opened"]
    house.pass_ms(10_000)
    house.answer(503)
    house.pass_ms(20_000)
    house.answer(204)
    house.answer(204)
    house.pass_ms(100)
    assert house.kinds() == ["breaker.opened", "breaker.closed"]


def test_what_changes_back_within_a_second_is_not_told(house: Guarded) -> None:
    """But when it has been so for a second."""
    opened(house, concurrency=4)
    document = {"delivery": {"breaker": BREAKER, "concurrency": 4, "backoff": BACKOFF}}
    for port in (10, 11):
        house.do(put_rule("paid", target={"http": {"url": f"http://127.0.0.1:{port}/"}}, **document))
        house.answer_all(503)
        house.pass_ms(100)
    assert house.kinds() == ["breaker.opened"]
    house.do(put_rule("paid", target={"http": {"url": "http://127.0.0.1:12/"}}, **document))
    house.answer_all(204)
    house.pass_ms(1_000)
    assert house.kinds() == ["breaker.opened", "breaker.closed"]


def test_a_breaker_of_alarms_alarms_nobody(house: Guarded) -> None:
    """Its deliveries are of the bus's own events."""
    document = {"pattern": {"type": [{"prefix": "io.eventyard."}]}, "delivery": {"breaker": BREAKER, "backoff": BACKOFF}}
    uid = house.do(put_rule("alarms", **document))[0].record.uid
    for number in range(6):
        house.do(put_rule(f"rule-{number}"))
    house.answer_all(503)
    house.pass_ms(2_000)
    assert (house.place(uid), house.kinds()) == (Place.OPEN, [])


def test_after_a_restart_an_open_breaker_is_probed_and_not_overrun(house: Guarded) -> None:
    uid = opened(house)
    house.restarted()
    assert (house.sent, house.guard(uid).breaker.is_open) == (1, True)
    house.answer(204)
    house.answer(204)
    house.pass_ms(1_000)
    assert (house.place(uid), house.kinds()) == (Place.RECOVERING, ["breaker.opened", "breaker.closed"])


# Quiet


@pytest.mark.parametrize("status", [429, 503])
def test_a_target_that_asks_for_quiet_gets_it_from_the_whole_rule(house: Guarded, status: int) -> None:
    uid = house.rule(concurrency=2)
    house.publish(10)
    house.answer(204)
    house.answer(status, headers={"retry-after": "7"})
    assert house.sent == 1
    house.answer(204)
    assert (house.sent, house.held(uid)) == (0, Held(Hold.RETRY_AFTER, house._now().work_ms + 7_000))
    house.pass_ms(6_999)
    assert house.sent == 0
    house.pass_ms(1)
    assert house.sent == 2


def test_other_answers_with_retry_after_are_of_the_one_delivery(house: Guarded) -> None:
    house.rule(concurrency=1)
    house.publish(3)
    house.answer(500, headers={"retry-after": "60"})
    assert house.sent == 1


def test_no_target_keeps_a_rule_quiet_for_longer_than_the_cap(house: Guarded) -> None:
    house.rule(concurrency=1)
    house.publish(3)
    house.answer(429, headers={"retry-after": "86400"})
    house.pass_ms(limits.HOLD_MS_MAX)
    assert house.sent == 1


def test_without_a_breaker_only_the_delivery_waits_that_was_answered(house: Guarded) -> None:
    house.rule(concurrency=1, breaker=None)
    house.publish(3)
    house.answer(429, headers={"retry-after": "60"})
    assert house.sent == 1


# Slow start


def test_the_rate_grows_with_the_slow_start(house: Guarded) -> None:
    uid = opened(house, events=400, rate_per_s=100, concurrency=100)
    house.pass_ms(10_000)
    while house.place(uid) is not Place.RECOVERING:
        house.answer_all(204)
        house.pass_ms(100)
    by_second = []
    for _ in range(3):
        sent = 0
        for _ in range(20):
            house.pass_ms(50)
            sent += house.answer_all(204)
        by_second.append(sent)
    assert by_second[0] <= 12
    assert by_second[0] < by_second[1] < by_second[2] <= 32


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
