"""Pushes of several deliveries in one request: when they go, what they hold, and what their answers mean."""

import base64
import datetime
import json
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from eventyard.core import limits
from eventyard.core.commands import DeleteRule, Publish, Replay, SetPaused
from eventyard.core.delivery import State
from eventyard.core.errors import StorageFull
from eventyard.core.event import split_batch
from eventyard.ports import PushRequest
from tests.stages.test_dispatch import Pushing
from tests.support.builders import an_event, put_rule

URL = "http://127.0.0.1:9/events"


@pytest.fixture
def house() -> Pushing:
    return Pushing()


def batching(name: str = "r", *, delivery: dict[str, Any] | None = None, replay: str = "mark", **batch: Any) -> Any:
    http = {"url": URL, "batch": {"max_events": 3, **batch}}
    return put_rule(name, target={"http": http}, delivery=delivery or {}, replay=replay)


def publish(house: Pushing, count: int, first: int = 1, **fields: Any) -> None:
    house.do(Publish(tuple(an_event(number, **fields) for number in range(first, first + count))))


def pass_time(house: Pushing, by_ms: int) -> None:
    house.clock.advance(by_ms)
    house.quiet()


def ids(request: PushRequest) -> list[str]:
    return [json.loads(event)["id"] for event in split_batch(request.body)]


def sent(house: Pushing) -> list[list[str]]:
    return [ids(request) for request, _ in house.transport.sent]


# When they go


def test_a_full_batch_goes_at_once_and_the_rest_when_its_first_has_waited(house: Pushing) -> None:
    house.do(batching(wait_s=2))
    publish(house, 4)
    assert sent(house) == [["e1", "e2", "e3"]]
    pass_time(house, 1_500)
    publish(house, 1, first=5)
    pass_time(house, 499)
    assert len(sent(house)) == 1
    pass_time(house, 1)
    assert sent(house)[1:] == [["e4", "e5"]]


def test_a_batch_without_a_wait_is_what_one_step_gave_out(house: Pushing) -> None:
    house.do(batching(wait_s=0))
    publish(house, 2)
    assert sent(house) == [["e1", "e2"]]


def test_a_batch_ends_before_the_event_that_would_be_too_much(house: Pushing) -> None:
    size = len(an_event(1).json)
    house.do(batching(max_events=100, max_bytes=2 * size + 4, wait_s=9))
    publish(house, 5)
    assert sent(house) == [["e1", "e2"], ["e3", "e4"]]


def test_an_event_that_is_too_large_for_any_batch_goes_alone(house: Pushing) -> None:
    house.do(batching(max_bytes=10, wait_s=9))
    publish(house, 2)
    assert sent(house) == [["e1"], ["e2"]]


def test_the_writer_is_told_when_a_batch_is_due(house: Pushing) -> None:
    house.do(batching(wait_s=2))
    assert house.dispatch.next_ms is None
    publish(house, 1)
    assert house.dispatch.next_ms == house.writer.now().work_ms + 2_000


def test_concurrency_counts_requests(house: Pushing) -> None:
    house.do(batching(delivery={"concurrency": 2}, wait_s=9))
    publish(house, 10)
    assert sent(house) == [["e1", "e2", "e3"], ["e4", "e5", "e6"]]
    house.answer(204)
    assert sent(house) == [["e4", "e5", "e6"], ["e7", "e8", "e9"]]


def test_no_more_requests_go_than_concurrency_allows_however_few_events_each_has(house: Pushing) -> None:
    house.do(batching(delivery={"concurrency": 2}, max_bytes=10))
    publish(house, 6)
    assert sent(house) == [["e1"], ["e2"]]
    house.answer(204)
    assert sent(house) == [["e2"], ["e3"]]
    while house.transport.sent:
        house.answer(204)
    assert house.counts("r")[State.DELIVERED] == 6


def test_what_waits_behind_slow_requests_until_its_lease_is_short_is_given_back_uncounted(house: Pushing) -> None:
    house.do(batching(delivery={"concurrency": 1, "max_attempts": 1}, max_bytes=10))
    publish(house, 3)
    assert sent(house) == [["e1"]]
    pass_time(house, limits.PUSH_LEASE_MARGIN_MS // 2 + 1_000)
    house.answer(204)
    while house.transport.sent:
        house.answer(204)
    assert house.counts("r")[State.DELIVERED] == 3


def test_when_the_bus_stops_nothing_waits_for_more(house: Pushing) -> None:
    house.do(batching(wait_s=60))
    publish(house, 1)
    assert sent(house) == []
    house.dispatch.drain()
    house.quiet()
    assert sent(house) == [["e1"]]
    assert house.answer(204) is not None
    assert house.counts("r")[State.DELIVERED] == 1


def test_what_gathers_when_the_process_dies_is_sent_by_the_next(house: Pushing) -> None:
    house.do(batching(wait_s=60))
    publish(house, 2)
    house.dispatch.abandon()
    again = house.reopened()
    again.quiet()
    pass_time(again, 60_000)
    assert sent(again) == [["e1", "e2"]]


# What they hold


def test_a_batch_says_what_it_is_and_is_signed_as_a_whole(house: Pushing) -> None:
    secret = "whsec_" + base64.b64encode(b"x" * 32).decode()
    http = {"url": URL, "batch": {}, "signing": {"secrets": [{"secret": secret}]}, "headers": {"x-tenant": "7"}}
    house.do(put_rule("r", target={"http": http}))
    publish(house, 2)
    pass_time(house, 500)
    request, _ = house.transport.sent[0]
    headers = dict(request.headers)
    assert headers["content-type"] == "application/cloudevents-batch+json"
    assert (headers["eventyard-rule"], headers["eventyard-bus"], headers["x-tenant"]) == ("r", "default", "7")
    assert headers["webhook-id"] == headers["eventyard-batch"]
    assert not {"eventyard-delivery", "eventyard-attempt", "eventyard-position"} & headers.keys()
    moment = datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), datetime.UTC)
    assert Webhook(secret).sign(headers["webhook-id"], moment, request.body.decode()) == headers["webhook-signature"]


def test_the_same_deliveries_tried_again_have_the_same_id_and_others_have_another(house: Pushing) -> None:
    house.do(batching(max_events=2))
    publish(house, 4)
    first, second = (dict(request.headers)["eventyard-batch"] for request, _ in house.transport.sent)
    house.answer(500)
    house.answer(204)
    pass_time(house, 1_000)
    pass_time(house, 1_000)
    again = dict(house.transport.sent[0][0].headers)["eventyard-batch"]
    assert (again == first, second == first) == (True, False)


def test_of_a_key_there_is_one_in_a_batch(house: Pushing) -> None:
    house.do(batching(delivery={"order": "key", "key": "data.key"}, wait_s=1, max_events=10))
    house.do(Publish(tuple(an_event(number, data={"key": number % 2}) for number in range(1, 7))))
    pass_time(house, 1_000)
    assert sent(house) == [["e1", "e2"]]
    house.answer(204)
    pass_time(house, 1_000)
    assert sent(house) == [["e3", "e4"]]


def test_a_marked_replay_has_batches_of_its_own(house: Pushing) -> None:
    house.do(batching(max_events=10, wait_s=1))
    publish(house, 1)
    pass_time(house, 1_000)
    house.answer(204)
    house.do(Replay("r", "earliest"))
    house.backfill()
    publish(house, 1, first=2)
    pass_time(house, 1_000)
    found = {tuple(ids(request)): dict(request.headers).get("eventyard-replay") for request, _ in house.transport.sent}
    assert found.keys() == {("e1",), ("e2",)}
    assert (found["e2",], found["e1",] is not None) == (None, True)


# What is answered


def test_a_status_counts_for_all(house: Pushing) -> None:
    house.do(batching())
    publish(house, 3)
    house.answer(422, body=b"no")
    assert house.counts("r")[State.DEAD] == 3


def test_a_receiver_may_say_what_became_of_each(house: Pushing) -> None:
    house.do(batching())
    publish(house, 3)
    entries = [{"position": 1, "duplicate": False}, {"error": {"status": 422}}, {"error": {"status": 503}}]
    house.answer(202, body=json.dumps({"events": entries}).encode())
    counts = house.counts("r")
    assert (counts[State.DELIVERED], counts[State.DEAD], counts[State.RETRYING]) == (1, 1, 1)
    assert house.told("r", 3).why.endswith('the last answer was 422: "{"error": {"status": 422}}"')


def test_the_rules_own_answers_count_for_each(house: Pushing) -> None:
    house.do(batching(delivery={"answers": {"409": "delivered"}}))
    publish(house, 3)
    entries = [{"error": {"status": 409}}, {"position": 1}, {"error": {"status": 409}}]
    house.answer(202, body=json.dumps({"events": entries}).encode())
    assert house.counts("r")[State.DELIVERED] == 3


def test_a_batch_that_is_too_large_goes_again_in_halves_until_it_fits(house: Pushing) -> None:
    house.do(batching(max_events=8, wait_s=1, delivery={"concurrency": 1, "max_attempts": 1}))
    publish(house, 8)
    sizes = []
    while house.transport.sent:
        count = len(ids(house.transport.sent[0][0]))
        sizes.append(count)
        house.answer(413 if count > 2 else 204)
        pass_time(house, 1_000)
    assert sizes[:2] == [8, 4]
    assert max(sizes[3:]) <= 2
    assert house.counts("r")[State.DELIVERED] == 8


def test_one_event_that_is_too_large_by_itself_dies_alone(house: Pushing) -> None:
    house.do(batching(max_events=4, wait_s=1))
    house.do(Publish(tuple(an_event(number, data={"x": "y" * (900 if number == 2 else 1)}) for number in range(1, 5))))
    while house.transport.sent:
        house.answer(413 if len(house.transport.sent[0][0].body) > 800 else 204)
        pass_time(house, 1_000)
    counts = house.counts("r")
    assert (counts[State.DELIVERED], counts[State.DEAD]) == (3, 1)
    assert house.told("r", 3).outcome == "dead"


def test_larger_batches_are_tried_again_after_a_while(house: Pushing) -> None:
    house.do(batching(max_events=4, wait_s=1))
    publish(house, 4)
    house.answer(413)
    while house.transport.sent:
        house.answer(204)
    pass_time(house, limits.BATCH_LEARNT_MS)
    publish(house, 4, first=11)
    assert sent(house) == [["e11", "e12", "e13", "e14"]]


def test_gone_pauses_the_rule_and_no_delivery_of_the_batch_pays(house: Pushing) -> None:
    house.do(batching())
    publish(house, 3)
    house.answer(410)
    counts = house.counts("r")
    assert (house.writer.states[1].by_name["r"].is_paused, counts[State.WAITING]) == (True, 3)


# What changes meanwhile


@pytest.mark.parametrize(
    "edit", [SetPaused("r", is_paused=True), DeleteRule("r"), put_rule("r", target={"http": {"url": URL}})]
)
def test_what_gathers_is_not_sent_as_the_rule_was(house: Pushing, edit: Any) -> None:
    house.do(batching(wait_s=5))
    publish(house, 2)
    house.do(edit)
    pass_time(house, 5_000)
    assert all(len(request.body) for request, _ in house.transport.sent)
    batches = [request for request, _ in house.transport.sent if "batch" in dict(request.headers)["content-type"]]
    assert batches == []
    attempts = [dict(request.headers)["eventyard-attempt"] for request, _ in house.transport.sent]
    assert set(attempts) <= {"1"}


def test_a_disk_that_refuses_verdicts_keeps_the_requests_place_until_they_are_written(house: Pushing) -> None:
    house.do(batching(delivery={"concurrency": 1}))
    publish(house, 6)
    house.engine.error = StorageFull("full")
    house.answer(204)
    assert sent(house) == []
    house.engine.error = None
    house.dispatch.step()
    house.quiet()
    assert sent(house) == [["e4", "e5", "e6"]]
