"""A worker whose server goes away, is none, or hears that the worker stops."""

import random

import pytest
from standardwebhooks.webhooks import Webhook

from eventyard.core import limits
from eventyard.core.delivery import State, decode_note
from eventyard.ports import PushAnswer
from eventyard.worker.worker import REPORT, Worker
from tests.support.builders import an_event
from tests.support.working import URL, House, events


@pytest.fixture
def house() -> House:
    house = House()
    house.put()
    house.turn()
    return house


# A server that goes away


def test_verdicts_are_kept_while_the_server_is_away_and_told_once_when_it_is_back(house: House) -> None:
    house.publish(*events(3))
    house.turn()
    house.door.die()
    for _ in range(3):
        house.targets.answer(204)
    for _ in range(50):
        house.turn(500)
    assert house.states() == [State.LEASED] * 3
    assert house.worker.under_way == 3
    house.door.start()
    for _ in range(20):
        house.turn(500)
    assert house.states() == [State.DELIVERED] * 3
    assert house.door.told == [3]
    assert house.targets.sent == []


def test_it_says_once_that_the_server_went_and_once_that_it_is_back(house: House) -> None:
    house.door.end_waits()
    house.turn()
    house.door.die()
    for _ in range(20):
        house.turn(1_000)
    house.door.start()
    for _ in range(10):
        house.turn(1_000)
    house.door.end_waits()
    house.turn()
    met, gone, back = house.said
    assert met.startswith("Pushing for the server at http")
    assert gone.startswith("The server does not answer: connection")
    assert back == "The server is back"


def test_a_server_that_is_away_is_asked_less_and_less_but_never_given_up(house: House) -> None:
    house.door.die()
    house.turn()

    def asked_in(seconds: int) -> int:
        before = len(house.door.asked)
        for _ in range(seconds * 20):
            house.turn(50)
        return len(house.door.asked) - before

    first, later = asked_in(10), asked_in(100)
    assert first > 5
    assert 100 / limits.WORKER_WAIT_S_MAX <= later <= 2 * 100 / limits.WORKER_WAIT_S_MAX + 2


def test_a_server_that_is_overloaded_is_left_alone_for_as_long_as_it_says(house: House) -> None:
    house.door.end_waits()
    house.door.answer_instead = PushAnswer(503, {"retry-after": "4"}, b'{"detail": "try again shortly"}')
    house.turn()
    before = len(house.door.asked)
    for _ in range(39):
        house.turn(100)
    assert len(house.door.asked) == before
    assert house.said[-1].startswith("The server does not answer: status 503: try again shortly")
    house.door.answer_instead = None
    house.turn(500)
    assert len(house.door.asked) == before + 1


def test_a_delivery_does_not_grow_old_while_the_server_is_away(house: House) -> None:
    house.put("young", delivery={"max_age_s": 60, "backoff": {"initial_s": 1, "max_s": 1}})
    house.publish(an_event(1))
    house.turn()
    house.door.die()
    for _ in range(30):
        house.turn(10_000)
    house.targets.answer(500)
    house.targets.answer(500)
    house.door.start()
    for _ in range(100):
        house.turn(100)
    assert house.worker.told == 2
    assert State.DEAD not in house.states()


def test_verdicts_that_the_server_refuses_are_not_sent_for_ever(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    house.door.answer_instead = PushAnswer(400, {}, b"{}")
    house.targets.answer(204)
    house.turn()
    assert house.worker.under_way == 0
    house.turn()
    assert house.door.asked.count(REPORT) == 1


def test_a_lease_that_ran_out_on_the_way_is_not_pushed(house: House) -> None:
    house.turn()
    house.door.is_holding = True
    house.publish(an_event(1))
    house.turn()
    house.clock.advance(10_000 + limits.PUSH_LEASE_MARGIN_MS)
    house.door.let_go()
    house.worker.step()
    assert house.sent() == []
    assert house.worker.under_way == 0


# Whom it asks


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (PushAnswer(404, {}, b"<html>"), "status 404"),
        (PushAnswer(404, {}, b'{"detail": "found no address\\u001b[2J"}'), "status 404: found no address"),
        (PushAnswer(200, {}, b"<html>a web site</html>"), "cannot be read"),
        (PushAnswer(302, {"location": "/login"}, b""), "status 302"),
    ],
)
def test_what_is_no_server_of_this_version_is_the_end_at_first(answer: PushAnswer, found: str) -> None:
    house = House()
    house.door.answer_instead = answer
    house.turn()
    assert house.worker.refusal is not None
    assert found in str(house.worker.refusal)
    assert str(house.worker.refusal).isprintable()


def test_what_was_a_server_once_is_waited_for(house: House) -> None:
    house.door.end_waits()
    house.door.answer_instead = PushAnswer(404, {}, b"")
    for _ in range(30):
        house.turn(500)
    assert house.worker.refusal is None
    house.door.answer_instead = None
    house.publish(an_event(1))
    for _ in range(20):
        house.turn(500)
    assert len(house.sent()) == 1


def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    house = House()
    house.door.failure = "connection refused"
    for _ in range(10):
        house.turn(500)
    house.door.failure = ""
    house.put()
    house.publish(an_event(1))
    for _ in range(20):
        house.turn(500)
    assert len(house.sent()) == 1
    assert house.worker.refusal is None


# How it stops


def test_a_worker_that_stops_takes_no_more_and_is_over_when_all_is_told(house: House) -> None:
    house.publish(*events(2))
    house.turn()
    house.worker.stop()
    house.turn()
    assert house.worker.is_stopping
    assert not house.worker.is_over
    house.targets.answer(204)
    house.targets.answer(204)
    house.door.end_waits()
    house.turn()
    assert house.worker.is_over
    asked = len(house.door.asked)
    house.publish(*events(2, first=3))
    house.turn()
    assert len(house.door.asked) == asked
    assert house.states() == [State.DELIVERED] * 2 + [State.WAITING] * 2


def test_what_comes_after_the_stop_is_given_back_unsent_and_uncounted(house: House) -> None:
    house.worker.stop()
    house.worker.step()
    house.publish(*events(2))
    house.turn()
    house.turn()
    assert house.sent() == []
    assert [(row.state, row.attempts, row.leases) for row in house.rows()] == [(State.WAITING, 0, 1)] * 2
    assert house.worker.is_over


def test_what_hangs_at_the_end_is_given_back_and_counted(house: House) -> None:
    house.put("once", delivery={"max_attempts": 1})
    house.publish(an_event(1))
    house.turn()
    house.worker.stop()
    house.turn()
    house.worker.give_up()
    for _ in range(2):
        house.targets.answer(0, failure="the bus is stopping")
    house.door.end_waits()
    house.turn()
    assert house.worker.is_over
    assert [(row.state, row.attempts) for row in house.rows()] == [(State.RETRYING, 1)] * 2
    assert decode_note(house.rows()[0].note).failure == "its worker stopped before it was answered"
    assert all(row.at_ms <= house.door.writer.now().work_ms for row in house.rows())


def test_an_answer_at_the_last_moment_counts(house: House) -> None:
    house.publish(*events(2))
    house.turn()
    house.worker.stop()
    house.turn()
    house.worker.give_up()
    house.targets.answer(204)
    house.targets.answer(0, failure="the bus is stopping")
    house.turn()
    assert house.states() == [State.DELIVERED, State.RETRYING]


def test_two_workers_share_a_rule_and_its_concurrency(house: House) -> None:
    other = House()
    other.door = house.door
    other.clock = house.clock
    other.worker = Worker(
        other.targets,
        house.door,
        URL,
        wake=lambda: None,
        say=other.said.append,
        now=lambda: house.clock.elapsed_ms / 1000,
        rng=random.Random(2),
    )
    house.put("narrow", delivery={"concurrency": 3})
    other.turn()
    house.publish(*events(2))
    house.turn()
    other.turn()
    house.publish(*events(4, first=3))
    house.turn()
    other.turn()
    narrow = [row for row in house.rows() if row.state is State.LEASED and row.rule == max(house.door.writer.states[1].by_uid)]
    assert len(narrow) == 3
    assert house.sent()
    assert other.sent()
    assert set(house.sent()).isdisjoint(other.sent())


def test_a_worker_signs_with_the_time_that_targets_know(house: House) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    target = {"http": {"url": "http://127.0.0.1:9/signed", "signing": {"secrets": [{"secret": secret}]}}}
    house.put("signed", target=target)
    house.publish(an_event(1))
    house.turn()
    (request,) = [request for request, _ in house.targets.sent if request.url.endswith("/signed")]
    headers = dict(request.headers)
    Webhook(secret).verify(request.body, headers, json_parse=False)
    assert headers["webhook-id"] == headers["eventyard-delivery"]
