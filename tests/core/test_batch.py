"""Batches: how they are composed, and what an answer says of each event."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import batch, event, limits
from eventyard.core import rule as rules
from eventyard.core.batch import Told
from eventyard.core.errors import InvalidRule
from tests.support.builders import a_rule_document, an_event


def told(status: int, *entries: Any, count: int | None = None) -> list[int] | None:
    found = batch.told(status, json.dumps({"events": entries}).encode(), len(entries) if count is None else count)
    return None if found is None else [one.status for one in found]


def test_a_batch_is_the_stored_bytes_and_reads_as_them() -> None:
    events = [an_event(number).json for number in range(3)]
    assert event.split_batch(batch.composed(events)) == events
    assert len(batch.composed(events)) == 1 + sum(map(batch.size_in, events))


def test_the_id_of_a_batch_is_that_of_its_deliveries_in_their_order() -> None:
    assert batch.batch_id(["a", "b"]) == batch.batch_id(["a", "b"])
    assert len({batch.batch_id(ids) for ids in (["a", "b"], ["b", "a"], ["a"], ["ab"], ["a b"])}) == 4


def test_what_our_own_door_answers_is_understood() -> None:
    taken = {"id": "1", "source": "/s", "position": 17, "duplicate": False}
    refused = {"error": {"type": "urn:x", "title": "No event", "status": 400, "detail": "..."}}
    conflict = {"error": {"title": "Conflict", "status": 409}}
    assert told(202, taken, refused, taken | {"duplicate": True}, conflict) == [202, 400, 202, 409]
    assert told(400, refused, refused) == [400, 400]


def test_what_our_own_receiver_answers_is_understood() -> None:
    assert told(503, {"id": "1", "status": 204}, {"status": 422, "error": "rejected"}, {"status": 503, "error": "later"}) == [
        204,
        422,
        503,
    ]


def test_the_text_of_each_is_kept_for_its_own_delivery() -> None:
    found = batch.told(202, b'{"events":[{"position":1},{"error":{"status":422,"detail":"no total"}}]}', 2)
    assert found is not None
    assert found[1] == Told(422, b'{"error":{"status":422,"detail":"no total"}}')


@pytest.mark.parametrize("error", ["no", 17, [], {}, {"status": "422"}, {"status": 202}, {"status": 99}, {"status": 10**9}])
def test_an_error_without_a_status_of_its_own_is_no_success(error: Any) -> None:
    assert told(202, {"error": error}, {"position": 1}) == [0, 202]


def test_an_entry_that_says_nothing_is_as_the_request_was_answered() -> None:
    assert told(503, {}, {"position": 4}) == [503, 200]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"[]",
        b"{}",
        b'{"events":{}}',
        b'{"events":[1,2]}',
        b'{"events":[{}]}',
        b'{"events":[{},{},{}]}',
        b'{"events":[{},',
    ],
)
def test_an_answer_that_does_not_say_what_became_of_each_counts_for_all(body: bytes) -> None:
    assert batch.told(202, body, 2) is None


@given(st.binary(max_size=200), st.integers(100, 599), st.integers(1, 5))
def test_whatever_is_answered_there_is_a_status_for_each_or_one_for_all(body: bytes, status: int, count: int) -> None:
    found = batch.told(status, b"{" + body, count)
    assert found is None or len(found) == count


def rule(http: dict[str, Any], **fields: Any) -> rules.Rule:
    return rules.parse(a_rule_document(target={"http": {"url": "http://127.0.0.1:9/", **http}}, **fields))[0]


def test_a_batch_has_defaults() -> None:
    assert rule({"batch": {}}).target.http.batch == batch.Batch(50, 262_144, 0.5)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "more",
    [
        {"mode": "binary"},
        {"method": "GET"},
        {"method": "DELETE"},
        {"transform": {"template": {"body": {"a": "b"}}}},
    ],
)
def test_what_is_made_of_one_event_is_refused_beside_batches(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidRule) as refused:
        rule({"batch": {}, **more})
    assert refused.value.at == "/target/http/batch"


@pytest.mark.parametrize(
    "batching", [{"max_events": 0}, {"max_events": 1_001}, {"max_bytes": 0}, {"wait_s": 61}, {"wait_s": -1}, {"x": 1}]
)
def test_a_batch_beyond_its_limits_is_refused(batching: dict[str, Any]) -> None:
    with pytest.raises(InvalidRule):
        rule({"batch": batching})


def test_a_lease_covers_the_wait_and_the_push() -> None:
    plain, batched = (_record(http) for http in ({}, {"batch": {"wait_s": 20}}))
    assert batched.push_lease_ms == plain.push_lease_ms + 20_000
    assert 10_000 < batched.sent_lease_ms <= batched.push_lease_ms - 20_000


def test_concurrency_counts_requests_and_what_is_leased_for_them_is_bounded() -> None:
    leases = [_record({"batch": {"max_events": events}}).leases_max for events in (1, 50, 1_000)]
    assert leases == [16, 800, limits.BATCHED_LEASES_MAX]


def _record(http: dict[str, Any]) -> rules.RuleRecord:
    return rules.RuleRecord(1, "r", 1, rule(http), rules.Status.LIVE, 0, 0)


def test_a_record_of_before_batches_reads_as_one_without() -> None:
    text = msgspec.json.encode(_record({}))
    before = text.replace(b',"batch":null', b"")
    assert before != text
    assert msgspec.json.decode(before, type=rules.RuleRecord) == _record({})
