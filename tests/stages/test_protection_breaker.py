"""The breaker: it opens, probes and closes, and tells; what a target asks for meanwhile."""

import pytest

from eventyard.core import limits
from eventyard.core.breaker import Place
from eventyard.core.commands import Publish, SetPaused
from eventyard.core.delivery import State
from eventyard.core.protection import Held, Hold
from eventyard.ports import PushAnswer
from tests.support.builders import an_event, put_rule
from tests.support.guarded import BACKOFF, BREAKER, Guarded, opened


@pytest.fixture
def house() -> Guarded:
    return Guarded()


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
