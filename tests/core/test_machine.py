"""The machine's story, told on the memory engine step by step. Its laws: tests/conformance and tests/simulation."""

from typing import Any

import msgspec
import pytest

from eventyard.core import limits
from eventyard.core.commands import (
    AdvanceBackfill,
    ContinueIntent,
    CreateBus,
    DeleteBus,
    DeleteRule,
    EmptyBus,
    Publish,
    Published,
    Put,
    Redrive,
    Release,
    SetPaused,
)
from eventyard.core.delivery import Note, Reason, State, decode_note
from eventyard.core.errors import (
    EventConflict,
    InvalidRequest,
    InvalidRule,
    NotFound,
    StaleLease,
    TooManyMatches,
    VersionConflict,
)
from eventyard.core.machine import foresee
from eventyard.core.pattern.index import Index
from eventyard.core.rule import Status
from eventyard.core.verdict import Dead, Delivered, Gone, Retry
from tests.support.builders import Stepped, an_event, put_rule

OK = Delivered(Note(status=204))
LATER = Retry(1_000, Note(status=503))
NEVER = Dead(Note(reason=Reason.ANSWER, status=422))


@pytest.fixture
def bus() -> Stepped:
    return Stepped()


def publish(bus: Stepped, *numbers: int | str, **fields: object) -> list[Published]:
    answers = bus.do(Publish(tuple(an_event(number, **fields) for number in numbers)))  # type: ignore[arg-type]
    assert isinstance(answers, list)
    return answers


def test_positions_are_dense_from_one(bus: Stepped) -> None:
    assert [answer.position for answer in publish(bus, 1, 2, 3)] == [1, 2, 3]


def test_an_event_published_again_is_answered_with_its_first_position(bus: Stepped) -> None:
    publish(bus, 1, 2)
    assert publish(bus, 1) == [Published(1, "/shop", "e1", is_duplicate=True)]
    assert bus.state.head == 2


def test_an_event_twice_in_one_batch_is_accepted_once(bus: Stepped) -> None:
    assert [answer.is_duplicate for answer in publish(bus, 1, 1)] == [False, True]


def test_the_same_id_with_other_content_is_refused(bus: Stepped) -> None:
    publish(bus, 1)
    (answer,) = bus.do(Publish((an_event(1, data={"other": True}),)))
    assert isinstance(answer, EventConflict)
    assert bus.state.head == 1


def test_every_duplicate_of_many_waiting_requests_is_found(bus: Stepped) -> None:
    """Duplicates append nothing, so they never fill a step: the step must still not reach past what it asked ids for."""
    events = tuple(an_event(number) for number in range(1_000))
    bus.do(Publish(events))
    answers: list[list[Published]] = []
    for _ in range(5):
        bus.writer.submit("default", Publish(events), answers.append)
    while len(answers) < 5:
        bus.writer.step()
    assert all(answer.is_duplicate for answered in answers for answer in answered)
    assert bus.state.head == 1_000


def test_an_id_is_new_again_after_the_window(bus: Stepped) -> None:
    publish(bus, 1)
    for _ in range(limits.DEDUP_WINDOW_MS // limits.CLOCK_JUMP_MS_MAX):
        bus.clock.advance(limits.CLOCK_JUMP_MS_MAX)
        bus.writer.step()
    assert publish(bus, 1)[0].position == 2


def test_a_matching_rule_gets_one_delivery_and_another_none(bus: Stepped) -> None:
    paid, sent = bus.put("paid"), bus.put("sent", pattern={"type": ["order.sent"]})
    (answer,) = publish(bus, 1)
    assert bus.row(paid.uid, answer.position).state is State.WAITING
    assert bus.row(sent.uid, answer.position) is None


def test_a_rule_governs_exactly_the_events_after_its_edit(bus: Stepped) -> None:
    answers: list[object] = []
    submit = bus.writer.submit
    submit("default", Publish((an_event(1),)), answers.append)
    submit("default", put_rule("paid"), answers.append)
    submit("default", Publish((an_event(2),)), answers.append)
    submit("default", put_rule("paid", pattern={"type": ["order.sent"]}), answers.append)
    submit("default", Publish((an_event(3),)), answers.append)
    bus.writer.step()
    record = bus.state.by_name["paid"]
    assert (record.uid, record.version) == (2, 4)
    assert [bus.row(record.uid, position) is not None for position in (1, 3, 5)] == [False, True, False]


def test_an_edit_is_an_event_at_its_position(bus: Stepped) -> None:
    record = bus.put("paid", owner="team-a")
    document = msgspec.json.decode(bus.engine.view.event(1, record.uid).json)  # type: ignore[union-attr]
    assert document["type"] == "io.eventyard.rule.created"
    assert document["data"]["rule"]["owner"] == "team-a"


def test_the_same_rule_put_again_changes_nothing(bus: Stepped) -> None:
    bus.put("paid")
    answer = bus.do(put_rule("paid"))
    assert (answer.is_created, answer.is_changed, bus.state.head) == (False, False, 1)


def test_of_two_edits_of_what_both_saw_the_second_is_a_conflict(bus: Stepped) -> None:
    seen = bus.do(put_rule("paid")).record.version
    first, second = (msgspec.structs.replace(put_rule("paid", description=text), version=seen) for text in ("one", "another"))
    assert bus.do(first).is_changed
    assert isinstance(bus.do(second), VersionConflict)
    assert not bus.do(first).is_changed  # Asked again after a lost answer: it is as asked.
    assert isinstance(bus.do(DeleteRule("paid", version=seen)), VersionConflict)
    assert isinstance(bus.do(msgspec.structs.replace(second, version=0)), VersionConflict)
    assert isinstance(bus.do(msgspec.structs.replace(put_rule("new"), version=seen)), VersionConflict)
    assert bus.state.by_name["paid"].rule.description == "one"
    assert "new" not in bus.state.by_name


def test_another_start_for_a_rule_that_exists_is_refused(bus: Stepped) -> None:
    bus.put("paid", start="latest")
    assert isinstance(bus.do(put_rule("paid", start="earliest")), InvalidRule)


def test_a_start_beyond_the_head_is_refused(bus: Stepped) -> None:
    answer = bus.do(put_rule("paid", start={"position": 7}))
    assert isinstance(answer, InvalidRule)
    assert answer.at == "/start/position"


def test_matches_asked_ahead_count_only_under_the_index_in_force(bus: Stepped) -> None:
    before = bus.put("before")
    ahead = foresee(bus.state.live, (an_event(1),))
    assert ahead.events[0].document is None
    after = bus.put("after")
    (answer,) = bus.do(ahead)
    assert [bus.row(uid, answer.position) is not None for uid in (before.uid, after.uid)] == [True, True]
    (again,) = bus.do(foresee(bus.state.live, (an_event(2),)))
    assert [bus.row(uid, again.position) is not None for uid in (before.uid, after.uid)] == [True, True]


def test_an_edit_in_the_same_step_is_in_force_for_what_was_matched_ahead(bus: Stepped) -> None:
    record = bus.put("paid")
    answers: list[Any] = []
    ahead = foresee(bus.state.live, (an_event(1),))
    bus.writer.submit("default", put_rule("paid", pattern={"type": ["order.sent"]}), answers.append)
    bus.writer.submit("default", ahead, answers.append)
    bus.writer.step()
    assert bus.row(record.uid, answers[1][0].position) is None


def test_a_start_in_the_future_is_refused_and_one_that_has_passed_is_found(bus: Stepped) -> None:
    publish(bus, 1)
    bus.clock.advance(2_000)
    publish(bus, 2)
    assert isinstance(bus.do(put_rule("soon", start={"time": "2099-01-01T00:00:00Z"})), InvalidRule)
    record = bus.put("since", start={"time": "2023-11-14T22:13:21Z"})
    assert [bus.row(record.uid, position) is not None for position in (1, 2)] == [False, True]


def test_a_fresh_delivery_goes_out_already_leased(bus: Stepped) -> None:
    record = bus.put("paid")
    bus.receiver.want(record.uid, 1)
    publish(bus, 1, 2)
    assert [lease.delivery.position for lease in bus.receiver.leases] == [2]
    assert [bus.row(record.uid, position).state for position in (2, 3)] == [State.LEASED, State.WAITING]


def test_what_waits_goes_out_before_what_is_fresh(bus: Stepped) -> None:
    record = bus.put("paid")
    publish(bus, 1)
    bus.receiver.want(record.uid, 1)
    publish(bus, 2)
    assert [lease.delivery.position for lease in bus.receiver.leases] == [2]


def test_no_more_is_leased_than_the_receivers_have_room_for(bus: Stepped) -> None:
    record = bus.put("paid")
    bus.receiver.want(record.uid, 10)
    bus.receiver.room_left = 3
    publish(bus, *range(8))
    assert len(bus.receiver.leases) == 3


def leased(bus: Stepped) -> tuple[int, object]:
    record = bus.put("paid")
    bus.receiver.want(record.uid, 1)
    publish(bus, 1)
    bus.receiver.wanted.clear()
    return record.uid, bus.receiver.leases[-1]


def test_a_delivered_verdict_ends_the_delivery(bus: Stepped) -> None:
    uid, lease = leased(bus)
    assert bus.settle(lease, OK) is None  # type: ignore[arg-type]
    row = bus.row(uid, 2)
    assert (row.state, row.attempts, row.note) == (State.DELIVERED, 1, b"")


def test_the_same_verdict_again_is_answered_ok_and_another_is_stale(bus: Stepped) -> None:
    _, lease = leased(bus)
    bus.settle(lease, OK)  # type: ignore[arg-type]
    assert bus.settle(lease, OK) is None  # type: ignore[arg-type]
    assert isinstance(bus.settle(lease, NEVER), StaleLease)  # type: ignore[arg-type]


def test_a_retry_waits_for_its_time_and_counts_on(bus: Stepped) -> None:
    uid, lease = leased(bus)
    bus.settle(lease, LATER)  # type: ignore[arg-type]
    bus.receiver.want(uid, 1)
    bus.clock.advance(999)
    bus.writer.step()
    assert len(bus.receiver.leases) == 1
    bus.clock.advance(1)
    bus.writer.step()
    assert [(one.delivery.attempts, one.delivery.leases) for one in bus.receiver.leases] == [(1, 1), (2, 2)]


def test_a_stale_lease_cannot_settle(bus: Stepped) -> None:
    uid, lease = leased(bus)
    bus.clock.advance(40_000)
    bus.receiver.want(uid, 1)
    assert bus.expire() == 1
    bus.writer.step()
    assert bus.receiver.leases[-1].delivery.leases == 2
    assert isinstance(bus.settle(lease, OK), StaleLease)  # type: ignore[arg-type]
    assert bus.row(uid, 2).state is State.LEASED


def test_a_verdict_on_an_expired_lease_counts_until_a_later_lease(bus: Stepped) -> None:
    uid, lease = leased(bus)
    bus.clock.advance(100_000)
    assert bus.settle(lease, OK) is None  # type: ignore[arg-type]
    assert bus.row(uid, 2).state is State.DELIVERED


def test_a_dead_letter_keeps_its_reason_and_a_redrive_starts_it_anew(bus: Stepped) -> None:
    uid, lease = leased(bus)
    bus.settle(lease, NEVER)  # type: ignore[arg-type]
    assert decode_note(bus.row(uid, 2).note).reason == Reason.ANSWER
    answer = bus.do(Redrive("paid", ((uid, 0, 2),)))
    row = bus.row(uid, 2)
    assert (answer.moved, row.state, row.attempts, row.leases) == (1, State.WAITING, 0, 1)


def test_a_redrive_of_all_goes_on_in_bounded_steps(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 2)
    record = bus.put("paid")
    bus.receiver.want(record.uid, 5)
    publish(bus, *range(5))
    bus.receiver.wanted.clear()
    for lease in list(bus.receiver.leases):
        bus.settle(lease, NEVER)
    answer = bus.do(Redrive("paid", None))
    assert (answer.moved, answer.is_running) == (2, True)
    assert [bus.do(ContinueIntent(answer.position)) for _ in range(2)] == [False, True]
    assert bus.state.queues[record.uid].counts[State.WAITING] == 5
    assert not bus.state.intents


def test_gone_pauses_the_rule_and_does_not_count(bus: Stepped) -> None:
    uid, lease = leased(bus)
    bus.settle(lease, Gone(Note(status=410)))  # type: ignore[arg-type]
    assert bus.state.by_uid[uid].is_paused
    assert (bus.row(uid, 2).state, bus.row(uid, 2).attempts) == (State.WAITING, 0)
    bus.receiver.want(uid, 1)
    bus.writer.step()
    assert len(bus.receiver.leases) == 1
    bus.do(SetPaused("paid", is_paused=False))
    bus.writer.step()
    assert len(bus.receiver.leases) == 2


def test_a_paused_rule_collects_and_gives_nothing_out(bus: Stepped) -> None:
    record = bus.put("paid")
    bus.do(SetPaused("paid", is_paused=True))
    bus.receiver.want(record.uid, 5)
    publish(bus, 1)
    assert not bus.receiver.leases
    assert bus.state.queues[record.uid].pending == 1


def test_a_deleted_rule_discards_what_waits_and_settles_what_is_under_way(bus: Stepped) -> None:
    record = bus.put("paid")
    bus.receiver.want(record.uid, 2)
    publish(bus, 1, 2, 3)
    first, second = bus.receiver.leases
    bus.do(DeleteRule("paid"))
    assert decode_note(bus.row(record.uid, 4).note).reason == Reason.RULE_DELETED
    assert bus.row(record.uid, 2).state is State.LEASED
    bus.settle(first, OK)
    bus.settle(second, LATER)
    assert [bus.row(record.uid, position).state for position in (2, 3)] == [State.DELIVERED, State.DISCARDED]
    (intent,) = bus.state.intents
    assert bus.do(ContinueIntent(intent))
    assert record.uid not in bus.state.by_uid


def test_a_name_is_free_at_once_after_its_rule_is_deleted(bus: Stepped) -> None:
    first = bus.put("paid")
    bus.do(DeleteRule("paid"))
    assert bus.put("paid").uid != first.uid
    assert isinstance(bus.do(DeleteRule("other")), NotFound)


def test_a_rule_from_the_earliest_gets_a_short_past_in_the_step_that_creates_it(bus: Stepped) -> None:
    publish(bus, 1, 2)
    record = bus.put("paid", start="earliest")
    assert record.status is Status.LIVE
    assert [bus.row(record.uid, position) is not None for position in (1, 2, 3)] == [True, True, False]


def test_a_long_past_is_backfilled_and_the_switch_misses_nothing(bus: Stepped) -> None:
    publish(bus, *range(250))
    record = bus.put("paid", start={"position": 51})
    assert record.status is Status.BACKFILLING
    publish(bus, "during")
    assert bus.row(record.uid, 252) is None
    assert not bus.do(advance(record, 51, 100))
    assert bus.do(advance(record, 101, 160))
    publish(bus, "after")
    expected = [position for position in range(51, 254) if position != record.uid]
    assert [position for position in range(1, 254) if bus.row(record.uid, position)] == expected


def test_a_backfill_that_read_under_another_version_is_read_again(bus: Stepped) -> None:
    publish(bus, *range(250))
    record = bus.put("paid", start="earliest")
    bus.put("paid", pattern={"type": ["order.sent"]})
    assert not bus.do(advance(record, 1, 50))
    assert bus.state.live_backfill(record.uid).next_position == 1


def advance(record: Any, first: int, last: int) -> AdvanceBackfill:
    puts = tuple(Put(position) for position in range(first, last + 1))
    return AdvanceBackfill(record.uid, record.run, record.version, first, last, puts)


def test_a_rule_that_fails_on_an_event_gets_a_dead_letter_and_the_others_their_delivery(
    bus: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = bus.put("good"), bus.put("bad", pattern={"type": ["order.paid"], "data": {"n": [1]}})
    broken = bus.state.live

    def match(_self: object, _document: object) -> list[int]:
        raise RecursionError

    def evaluate(pattern: object, _document: object) -> bool:
        if pattern is dict(broken.items())[bad.uid]:
            raise RecursionError
        return True

    monkeypatch.setattr(Index, "match_document", match)
    monkeypatch.setattr(Index, "match_and_fail", match)
    monkeypatch.setattr("eventyard.core.draft.evaluate", evaluate)
    publish(bus, 1)
    assert bus.row(good.uid, 3).state is State.WAITING
    assert decode_note(bus.row(bad.uid, 3).note).reason == Reason.EVALUATION
    monkeypatch.undo()
    assert bus.do(Redrive("bad", None)).moved == 1
    assert bus.row(bad.uid, 3).state is State.WAITING


def test_an_event_that_matches_too_many_rules_is_refused_whole(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MATCHES_PER_EVENT_MAX", 1)
    bus.put("one")
    bus.put("two")
    (answer,) = bus.do(Publish((an_event(1),)))
    assert isinstance(answer, TooManyMatches)
    assert bus.state.head == 2


def test_leases_of_a_holder_that_is_gone_are_due_again(bus: Stepped) -> None:
    uid, _ = leased(bus)
    bus.do(Release(tuple(bus.state.leased)))
    bus.receiver.want(uid, 1)
    bus.writer.step()
    assert bus.receiver.leases[-1].delivery.attempts == 2


def test_buses_share_nothing_and_a_deleted_one_is_emptied(bus: Stepped) -> None:
    answers: list[object] = []
    bus.writer.submit_system(CreateBus("two", "life9"), answers.append)
    bus.writer.step()
    bus.do(Publish((an_event(1),)), bus="two")
    assert (bus.state.head, bus.writer.states[2].head) == (0, 1)
    bus.writer.submit_system(DeleteBus("two"), answers.append)
    bus.writer.step()
    with pytest.raises(NotFound):
        bus.writer.submit("two", Publish((an_event(2),)), answers.append)
    for _ in range(3):
        bus.writer.submit_system(EmptyBus(2), answers.append)
        bus.writer.step()
    assert answers[-1] is True
    assert not bus.engine.view.holds(2)


def test_the_default_bus_cannot_be_deleted(bus: Stepped) -> None:
    answers: list[object] = []
    bus.writer.submit_system(DeleteBus("default"), answers.append)
    bus.writer.step()
    assert isinstance(answers[0], InvalidRequest)
