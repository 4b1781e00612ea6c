"""The log's old end: what is removed, what stays because it is owed, and what is discarded past a cap, loudly."""

import json
from typing import Any

import pytest

from eventyard.core import bus_events, limits
from eventyard.core.changes import Retention
from eventyard.core.commands import DeleteRule, Lease, Publish, Redrive, Replay, Retain, Seek, SetRetention
from eventyard.core.delivery import Note, Reason, State, decode_note
from eventyard.core.errors import InvalidRequest, InvalidRule
from eventyard.core.rule import RuleRecord, StartPosition
from eventyard.core.verdict import Dead, Delivered, Retry
from eventyard.retaining import FLOOR_EVERY_MS, RULES_EVERY_MS
from tests.support.builders import an_event, put_rule
from tests.support.houses import House

DONE = Delivered(Note(status=204))
HOUR_S = 3_600


@pytest.fixture
def bus() -> House:
    return House()


def publish(bus: House, *numbers: int, **changes: Any) -> Any:
    return bus.do(Publish(tuple(an_event(number, **changes) for number in numbers)))


def keep(bus: House, **retention: Any) -> None:
    answers: list[Any] = []
    bus.writer.submit_system(SetRetention("default", Retention(**retention)), answers.append)
    while not answers:
        bus.writer.step()


def pass_time(bus: House, seconds: float) -> None:
    """As it passes for a bus that is at work: in steps of a minute, the stages stepped after each."""
    left_ms = int(seconds * 1000)
    while left_ms > 0:
        bus.clock.advance(min(left_ms, RULES_EVERY_MS))
        left_ms -= RULES_EVERY_MS
        bus.rest()


def kept(bus: House) -> list[int]:
    return [event.position for event in bus.engine.view.events(1, 1, bus.state.head, 10_000)]


def lease(bus: House, uid: int) -> list[Lease]:
    bus.receiver.want(uid, 1_000)
    bus.rest()
    bus.receiver.wanted.pop(uid)
    return bus.take()


def told(bus: House, kind: str) -> list[dict[str, Any]]:
    """The data of every event of the bus of this kind."""
    documents = [json.loads(event.json) for event in bus.engine.view.events(1, 1, bus.state.head, 10_000)]
    return [document["data"] for document in documents if document["type"] == kind]


# The floor


def test_events_past_the_age_of_the_bus_are_removed(bus: House) -> None:
    keep(bus, max_age_s=HOUR_S)
    publish(bus, 1, 2)
    pass_time(bus, HOUR_S / 2)
    publish(bus, 3)
    pass_time(bus, HOUR_S / 2 + 2 * FLOOR_EVERY_MS / 1000 + 60)
    assert kept(bus) == [3]
    assert bus.state.floor == 3


def test_events_past_the_bytes_of_the_bus_are_removed(bus: House) -> None:
    publish(bus, *range(100, 120))
    each = len(bus.engine.view.events(1, 1, 1, 1)[0].json)
    keep(bus, max_bytes=5 * each)
    pass_time(bus, 180)
    assert kept(bus) == list(range(16, 21))


def test_the_log_may_be_removed_to_its_head_and_goes_on_behind_it(bus: House) -> None:
    keep(bus, max_age_s=60)
    publish(bus, 1, 2, 3)
    pass_time(bus, 300)
    assert kept(bus) == []
    assert publish(bus, 4)[0].position == 4


def test_one_step_removes_a_bounded_stretch(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RETAIN_POSITIONS_PER_STEP", 4)
    publish(bus, *range(10))
    assert [bus.do(Retain(9)) for _ in range(3)] == [5, 9, 9]


def test_what_a_rule_is_owed_stays_and_goes_with_its_last_delivery(bus: House) -> None:
    one, two = bus.put("one"), bus.put("two", pattern={"data": {"n": [3]}})
    publish(bus, 2, 3, 4)
    for each in lease(bus, one.uid):
        verdict = Dead(Note(reason=Reason.ANSWER)) if each.delivery.position == 5 else DONE
        bus.settle(each, verdict)
    bus.do(Retain(bus.state.head + 1))
    assert kept(bus) == [4, 5]  # event 3 is owed to rule two, event 4 is a dead letter of rule one
    (waiting,) = lease(bus, two.uid)
    bus.settle(waiting, DONE)
    assert kept(bus) == [5]
    bus.do(Redrive("one", None))
    (again,) = lease(bus, one.uid)
    assert again.event
    bus.settle(again, DONE)
    assert 5 not in kept(bus)


def test_a_backfill_that_has_yet_to_read_holds_the_floor(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    monkeypatch.setattr(limits, "BACKFILL_EVENTS_PER_STEP", 5)
    publish(bus, *range(20))
    bus.put("late", start="earliest")
    bus.backfill.step()
    bus.writer.step()
    assert bus.do(Retain(21)) == 6


def test_an_id_is_known_for_its_window_whether_or_not_its_event_is_kept(bus: House) -> None:
    publish(bus, 1)
    bus.do(Retain(2))
    assert kept(bus) == []
    (answer,) = publish(bus, 1)
    assert (answer.position, answer.is_duplicate) == (1, True)


# Places below the floor


@pytest.fixture
def cut(bus: House) -> RuleRecord:
    """A rule whose bus has removed events 2 to 4 of 6."""
    record: RuleRecord = bus.put("paid")
    publish(bus, 2, 3, 4, 5, 6)
    bus.deliver_all(record.uid)
    bus.do(Retain(5))
    return record


def test_a_seek_or_replay_from_below_the_floor_is_refused_naming_the_gap(bus: House, cut: RuleRecord) -> None:
    for command in (Seek("paid", StartPosition(position=2)), Replay("paid", StartPosition(position=2))):
        answer = bus.do(command)
        assert isinstance(answer, InvalidRequest)
        assert "2 to 4 are gone" in answer.found
    assert bus.state.by_uid[cut.uid].run == 0


def test_earliest_is_the_floor(bus: House, cut: RuleRecord) -> None:
    bus.do(Seek("paid", "earliest"))
    assert [row.position for row in bus.deliver_all(cut.uid)] == [5, 6]


def test_a_deleted_rule_cannot_be_gone_on_for_past_the_floor(bus: House) -> None:
    bus.put("paid")
    publish(bus, 1, 2, 3)
    bus.do(DeleteRule("paid"))
    bus.rest()
    bus.do(Retain(4))
    answer = bus.do(put_rule("paid", start="resume"))
    assert isinstance(answer, InvalidRule)
    assert "2 to 3 are gone" in answer.found


# Caps


def test_a_backlog_past_its_age_loses_its_oldest_loudly(bus: House) -> None:
    record = bus.put("paid", delivery={"backlog": {"max_age_s": HOUR_S}})
    publish(bus, 1, 2)
    pass_time(bus, HOUR_S / 2)
    publish(bus, 3)
    pass_time(bus, HOUR_S / 2 + 180)
    rows = {position: bus.row(record.uid, position) for position in (2, 3, 4)}
    assert [rows[position].state for position in (2, 3, 4)] == [State.DISCARDED, State.DISCARDED, State.WAITING]
    assert decode_note(rows[2].note).reason == Reason.CAP
    (cap,) = told(bus, bus_events.RETENTION_CAP)
    assert (cap["name"], cap["first"], cap["last"]) == ("paid", 2, 3)


def test_a_backlog_past_its_bytes_loses_its_oldest_loudly(bus: House) -> None:
    record = bus.put("paid", delivery={"backlog": {"max_bytes": 1_000}})
    publish(bus, *range(100, 120))
    pass_time(bus, 120)
    states = [bus.row(record.uid, position).state for position in range(2, 22)]
    assert states[0] is State.DISCARDED
    assert states[-1] is State.WAITING
    assert len(told(bus, bus_events.RETENTION_CAP)) == 1


def test_a_rule_that_starts_in_the_past_is_not_late_with_what_it_was_only_just_given(bus: House) -> None:
    publish(bus, 1, 2)
    pass_time(bus, 2 * HOUR_S)
    record = bus.put("paid", start="earliest", delivery={"backlog": {"max_age_s": HOUR_S}})
    pass_time(bus, HOUR_S / 2)
    assert {bus.row(record.uid, position).state for position in (1, 2)} == {State.WAITING}
    pass_time(bus, HOUR_S)
    assert {bus.row(record.uid, position).state for position in (1, 2)} == {State.DISCARDED}


def test_a_replay_of_old_events_is_not_capped_by_their_age(bus: House) -> None:
    record = bus.put("paid", delivery={"backlog": {"max_age_s": HOUR_S}})
    publish(bus, 1, 2)
    bus.deliver_all(record.uid)
    pass_time(bus, 2 * HOUR_S)
    replay = bus.do(Replay("paid", "earliest"))
    pass_time(bus, 300)
    assert bus.row(record.uid, 2, replay.run).state is State.WAITING


def test_what_is_under_way_is_left_to_its_end_by_a_cap(bus: House) -> None:
    record = bus.put("paid", delivery={"backlog": {"max_age_s": 600}}, target={"queue": {"lease_s": 43_200}})
    bus.receiver.want(record.uid, 1, 43_200_000)
    publish(bus, 1)
    bus.receiver.wanted.clear()
    (held,) = bus.take()
    pass_time(bus, 1_200)
    assert bus.settle(held, DONE) is None


def test_dead_letters_past_their_age_are_discarded_and_their_events_removed(bus: House) -> None:
    keep(bus, max_age_s=60, dead_letters_s=HOUR_S)
    record = bus.put("paid")
    publish(bus, 1)
    (one,) = lease(bus, record.uid)
    bus.settle(one, Dead(Note(reason=Reason.ANSWER, status=422)))
    pass_time(bus, HOUR_S / 2)
    assert 2 in kept(bus)
    pass_time(bus, HOUR_S)
    assert 2 not in kept(bus)
    assert bus.row(record.uid, 2) is None  # with its event
    assert bus.state.queues[record.uid].counts[State.DISCARDED] == 1


def test_the_end_of_dead_letters_is_told(bus: House) -> None:
    keep(bus, dead_letters_s=HOUR_S)
    record = bus.put("paid")
    publish(bus, 1)
    (one,) = lease(bus, record.uid)
    bus.settle(one, Dead(Note(reason=Reason.ANSWER, status=422)))
    pass_time(bus, HOUR_S + 180)
    assert [data["because"] for data in told(bus, bus_events.RULE_PURGED)] == [Reason.EXPIRED]
    assert decode_note(bus.row(record.uid, 2).note).reason == Reason.EXPIRED


def test_the_end_of_dead_letters_of_the_bus_s_own_events_is_told_to_nobody(bus: House) -> None:
    """What told it would come to the same rule, die there, and be told again, without end."""
    keep(bus, dead_letters_s=HOUR_S)
    record = bus.put("watch", pattern={"type": [{"prefix": "io.eventyard."}]}, start="earliest")
    owed = lease(bus, record.uid)
    assert owed
    for one in owed:
        bus.settle(one, Dead(Note(reason=Reason.ANSWER, status=422)))
    assert bus.state.queues[record.uid].counts[State.DEAD]
    head = bus.state.head
    pass_time(bus, HOUR_S + 180)
    assert bus.state.queues[record.uid].counts[State.DEAD] == 0
    assert bus.state.head == head
    assert {decode_note(bus.row(record.uid, one.delivery.position).note).reason for one in owed} == {Reason.EXPIRED}


def test_a_retry_that_waits_keeps_its_event(bus: House) -> None:
    record = bus.put("paid")
    publish(bus, 1)
    (one,) = lease(bus, record.uid)
    bus.settle(one, Retry(60_000, Note(status=503)))
    bus.do(Retain(bus.state.head + 1))
    bus.clock.advance(60_000)
    (again,) = lease(bus, record.uid)
    assert json.loads(again.event)["id"] == "e1"
