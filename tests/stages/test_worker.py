"""A worker against a bus in memory, without a network: the test is the server's door, the targets, and the clock."""

import random
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.commands import CreateBus, Publish
from eventyard.core.delivery import State, decode_note
from eventyard.ports import ExpressionFailed, Values
from eventyard.worker.worker import RECEIVE, Worker
from tests.stages.test_shaped_pushes import ByHand
from tests.support.builders import ScriptedTransport, an_event, put_rule
from tests.support.working import URL, House, events


@pytest.fixture
def house() -> House:
    house = House()
    house.put()
    house.turn()
    return house


# What it is for


def test_what_is_leased_is_pushed_and_the_server_hears_of_it(house: House) -> None:
    house.publish(*events(3))
    house.turn()
    assert len(house.sent()) == 3
    for _ in range(3):
        house.targets.answer(204)
    house.turn()
    assert house.states() == [State.DELIVERED] * 3
    assert house.worker.told == 3
    assert house.worker.under_way == 0


def test_a_target_gets_the_event_as_it_is_stored_under_its_delivery_id(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    ((request, _),) = house.targets.sent
    assert request.body == an_event(1).json
    row = house.rows()[0]
    assert dict(request.headers)["eventyard-delivery"] == f"life1-{row.rule}-{row.position}-0"
    assert dict(request.headers)["eventyard-attempt"] == "1"


def test_a_worker_shapes_pushes_as_the_server_does(house: House) -> None:
    template = {"paths": {"id": "id", "n": "data.n"}, "path": "/<id>", "body": {"n": "<n>"}}
    house.put(target={"http": {"url": "http://127.0.0.1:9", "method": "PUT", "transform": {"template": template}}})
    house.publish(an_event(1), an_event(2, data={}))
    house.turn()
    ((request, _),) = house.targets.sent
    assert (request.method, request.url, request.body) == ("PUT", "http://127.0.0.1:9/e1", b'{"n":1}')
    house.targets.answer(204)
    house.turn()
    assert house.states() == [State.DELIVERED, State.DEAD]
    assert decode_note(house.rows()[1].note).reason == "transform"


def test_the_rules_of_all_buses_are_pushed(house: House) -> None:
    answers: list[Any] = []
    house.door.writer.submit_system(CreateBus("other", "life-other"), answers.append)
    house.door.step()
    house.do(put_rule("r"), bus="other")
    house.do(Publish((an_event(1),)), bus="other")
    house.publish(an_event(1))
    house.turn()
    house.turn()
    assert len({name.rpartition("-")[0] for name in house.sent()}) == 2
    house.targets.answer(204)
    house.targets.answer(204)
    house.turn()
    assert house.door.told == [2]
    assert house.worker.told == 2


def test_it_asks_for_more_while_pushes_are_under_way(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    house.publish(an_event(2))
    house.turn()
    assert len(house.sent()) == 2


def test_verdicts_that_come_while_a_request_is_on_its_way_go_together_in_the_next(house: House) -> None:
    house.publish(*events(5))
    house.turn()
    house.door.is_holding = True
    house.targets.answer(204)
    house.turn()
    for _ in range(4):
        house.targets.answer(204)
        house.turn()
    house.door.let_go()
    house.turn()
    assert house.door.told == [1, 4]


def test_while_targets_answer_verdicts_gather_until_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WORKER_VERDICTS_ENOUGH", 3)
    house = House()
    house.put()
    house.publish(*events(5))
    house.turn()
    for _ in range(2):
        house.targets.answer(204)
        assert house.worker.step(was_idle=False) <= limits.WORKER_LULL_S
    assert house.door.told == []
    house.targets.answer(204)
    house.worker.step(was_idle=False)
    assert house.door.told == [3]
    house.targets.answer(204)
    house.worker.step(was_idle=False)
    assert house.door.told == [3]
    house.worker.step(was_idle=True)
    assert house.door.told == [3, 1]


def test_the_last_verdict_of_all_is_waited_for_by_nobody(house: House) -> None:
    house.publish(*events(2))
    house.turn()
    house.targets.answer(204)
    house.worker.step(was_idle=False)
    assert house.door.told == []
    house.targets.answer(204)
    house.worker.step(was_idle=False)
    assert house.door.told == [2]


def test_a_worker_that_is_full_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUSHES_UNDER_WAY_MAX", 3)
    house = House()
    house.put()
    house.publish(*events(8))
    house.turn()
    asked = len(house.door.asked)
    house.turn()
    house.turn()
    assert len(house.sent()) == 3
    assert len(house.door.asked) == asked
    house.targets.answer(204)
    house.turn()
    house.turn()
    assert len(house.sent()) == 3
    assert house.worker.told == 1


def test_a_receive_that_brought_nothing_is_followed_by_the_next(house: House) -> None:
    asked = house.door.asked.count(RECEIVE)
    house.door.end_waits()
    house.turn()
    assert house.door.asked.count(RECEIVE) == asked + 1


# What targets answer


def test_a_target_that_says_when_to_come_back_is_heeded(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    house.targets.answer(503, headers={"retry-after": "60"})
    house.turn()
    (row,) = house.rows()
    assert row.state is State.RETRYING
    assert 59_000 <= row.at_ms - house.door.writer.now().work_ms <= 60_000
    house.clock.advance(58_000)
    house.turn()
    assert house.sent() == []
    house.turn(2_000)
    ((request, _),) = house.targets.sent
    assert dict(request.headers)["eventyard-attempt"] == "2"


def test_what_can_never_be_taken_is_a_dead_letter_with_the_answer(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    house.targets.answer(422, body=b"no such order")
    house.turn()
    (row,) = house.rows()
    assert row.state is State.DEAD
    note = decode_note(row.note)
    assert (note.reason, note.status, note.answer) == ("answer", 422, "no such order")


def test_a_target_that_is_gone_pauses_the_rule(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    house.targets.answer(410)
    house.turn()
    (record,) = house.door.writer.states[1].by_uid.values()
    assert record.is_paused
    assert [(row.state, row.attempts) for row in house.rows()] == [(State.WAITING, 0)]


def test_the_last_attempt_that_fails_is_a_dead_letter(house: House) -> None:
    house.put("once", delivery={"max_attempts": 1})
    house.publish(an_event(1))
    house.turn()
    house.targets.answer(500)
    house.targets.answer(500)
    house.turn()
    assert sorted(house.states()) == [State.RETRYING, State.DEAD]


# Waiting


def test_a_step_says_when_there_is_something_to_do_again(house: House) -> None:
    assert house.worker.step() == limits.WORKER_IDLE_S
    house.door.die()
    house.worker.step()
    assert 0 < house.worker.step() <= limits.WORKER_WAIT_S_MAX
    house.door.start()
    house.clock.advance(int(limits.WORKER_WAIT_S_MAX * 1000))
    house.worker.step()
    assert house.worker.step() == limits.WORKER_IDLE_S


def test_a_worker_that_found_something_there_rests_before_it_waits_for_more() -> None:
    house = House()
    house.put()
    house.publish(*events(5))
    house.turn(0)
    assert len(house.sent()) == 5
    asked = house.door.asked.count(RECEIVE)
    assert house.worker.step() == pytest.approx(limits.WORKER_REST_S)
    house.turn(0)
    assert house.door.asked.count(RECEIVE) == asked
    house.turn(int(limits.WORKER_REST_S * 1000))
    assert house.door.asked.count(RECEIVE) == asked + 1


def test_what_had_to_be_waited_for_is_followed_by_the_next_wait_at_once(house: House) -> None:
    house.publish(an_event(1))
    asked = house.door.asked.count(RECEIVE)
    house.turn(0)
    assert house.door.asked.count(RECEIVE) == asked + 1


def test_a_report_brings_more_and_there_is_one_claim_at_a_time() -> None:
    house = House()
    house.put("r", delivery={"concurrency": 2})
    house.publish(*events(6))
    house.turn(0)
    assert house.door.rooms == []
    for _ in range(2):
        house.targets.answer(204)
        house.targets.answer(204)
        house.turn(0)
    assert len(house.sent()) == 2
    assert house.door.told == [2, 2]
    assert all(room > 0 for room in house.door.rooms)
    house.turn(int(limits.WORKER_REST_S * 1000))
    house.targets.answer(204)
    house.turn(0)
    assert house.door.rooms[-1] == 0


def test_news_wake_whoever_steps() -> None:
    woken: list[str] = []
    worker = Worker(
        ScriptedTransport(),
        ScriptedTransport(),
        URL,
        wake=lambda: woken.append("up"),
        say=print,
        now=lambda: 0.0,
        rng=random.Random(1),
    )
    worker.stop()
    assert woken == ["up"]
    worker.wait(1_000_000)
    assert worker.is_stopping


# Transforms in JSONata


def test_what_an_evaluator_makes_is_pushed_and_what_it_cannot_is_told_without_waiting() -> None:
    house, evaluator, woken = House(), ByHand(), []
    house.worker = Worker(
        house.targets,
        house.door,
        URL,
        wake=lambda: woken.append(True),
        say=house.said.append,
        now=lambda: house.clock.elapsed_ms / 1000,
        rng=random.Random(1),
        expressions=evaluator,
    )
    house.put(target={"http": {"url": "http://127.0.0.1:9", "transform": {"jsonata": {"path": "id"}}}})
    house.publish(an_event(1), an_event(2))
    house.turn()
    evaluator.tell(Values((b'"e1"',)))
    ((request, _),) = house.targets.sent
    assert request.url == "http://127.0.0.1:9/e1"
    woken.clear()
    evaluator.tell(ExpressionFailed("it loops", 0))
    assert woken
    house.targets.answer(204)
    house.turn()
    assert house.states() == [State.DELIVERED, State.DEAD]


# Batches


def batching(house: House, **batch: Any) -> None:
    """The rule of the house pushes in batches from now on."""
    house.put(target={"http": {"url": "http://127.0.0.1:9/events", "batch": {"max_events": 3, **batch}}})
    house.turn()


def test_a_worker_gathers_batches_and_reports_each_delivery(house: House) -> None:
    batching(house, wait_s=1)
    house.publish(*events(4))
    house.turn()
    assert [request.body.count(b"specversion") for request, _ in house.targets.sent] == [3]
    house.turn(1_000)
    assert [request.body.count(b"specversion") for request, _ in house.targets.sent] == [3, 1]
    house.targets.answer(202, body=b'{"events":[{"position":1},{"error":{"status":422}},{"status":503}]}')
    house.targets.answer(204)
    house.turn()
    assert house.states() == [State.DELIVERED, State.DEAD, State.RETRYING, State.DELIVERED]


def test_a_worker_is_back_in_time_for_a_batch_that_is_not_full(house: House) -> None:
    batching(house, wait_s=0.2)
    house.publish(*events(1))
    house.turn()
    assert not house.targets.sent
    assert 0 < house.worker.step() <= 0.2


def test_a_worker_that_stops_sends_what_has_gathered(house: House) -> None:
    batching(house, wait_s=60)
    house.publish(*events(2))
    house.turn()
    house.worker.stop()
    house.turn()
    assert house.worker.under_way == 2
    house.targets.answer(204)
    house.turn()
    house.door.end_waits()
    house.turn()
    assert house.worker.is_over
    assert house.states() == [State.DELIVERED, State.DELIVERED]
