"""Rules moved in the log: seek, replay, and deleted rules that are gone on for. The stories, and a law about long backlogs."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard.core import limits
from eventyard.core.commands import DeleteRule, EndReplay, Lease, Publish, Redrive, Replay, Seek, SetPaused
from eventyard.core.delivery import Note, Reason, State, decode_note
from eventyard.core.errors import InvalidRequest, InvalidRule, NotFound, StaleLease
from eventyard.core.rule import RuleRecord, StartPosition, Status
from eventyard.core.verdict import Dead, Delivered, Retry
from tests.support.builders import an_event, put_rule
from tests.support.houses import House

DONE = Delivered(Note(status=204))
NEVER = Dead(Note(reason=Reason.ANSWER, status=422))

pytestmark = pytest.mark.usefixtures("untold_trouble")


@pytest.fixture
def bus() -> House:
    return House()


@pytest.fixture
def rule(bus: House) -> RuleRecord:
    """At position 1; events 2 to 6 follow."""
    record: RuleRecord = bus.put("paid")
    publish(bus, 5)
    return record


_numbers = iter(range(10**9))


def publish(bus: House, count: int, **changes: Any) -> None:
    bus.do(Publish(tuple(an_event(next(_numbers), **changes) for _ in range(count))))


def lease(bus: House, uid: int, count: int = 100) -> list[Lease]:
    bus.receiver.want(uid, count)
    bus.rest()
    bus.receiver.wanted.pop(uid)
    return bus.take()


def delivered(bus: House, uid: int) -> list[int]:
    return [delivery.position for delivery in bus.deliver_all(uid)]


# Seek


def test_a_seek_back_delivers_again_in_a_run_of_its_own(bus: House, rule: RuleRecord) -> None:
    assert delivered(bus, rule.uid) == [2, 3, 4, 5, 6]
    sought = bus.do(Seek("paid", StartPosition(position=4)))
    again = bus.deliver_all(rule.uid)
    assert [(row.position, row.run) for row in again] == [(4, 7), (5, 7), (6, 7)]
    assert sought.run == 7  # the position of the event that records it


def test_a_seek_forward_discards_what_was_owed_and_says_why(bus: House, rule: RuleRecord) -> None:
    bus.do(Seek("paid", "latest"))
    bus.rest()
    rows = [bus.row(rule.uid, position) for position in range(2, 7)]
    assert {(row.state, decode_note(row.note).reason) for row in rows} == {(State.DISCARDED, Reason.SEEK)}
    publish(bus, 1)
    assert delivered(bus, rule.uid) == [8]


def test_a_seek_to_the_same_place_owes_the_same_again_and_nothing_twice(bus: House, rule: RuleRecord) -> None:
    bus.do(Seek("paid", StartPosition(position=2)))
    assert delivered(bus, rule.uid) == [2, 3, 4, 5, 6]


def test_a_late_verdict_on_a_run_that_a_seek_closed_counts_for_nothing(
    bus: House, rule: RuleRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the seek is still discarding, a bounded part a step."""
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    leases = lease(bus, rule.uid)
    bus.do(Seek("paid", "latest"))
    assert isinstance(bus.settle(leases[-1], DONE), StaleLease)
    bus.rest()
    assert isinstance(bus.settle(leases[0], DONE), StaleLease)
    assert {bus.row(rule.uid, position).state for position in range(2, 7)} == {State.DISCARDED}


def test_a_rule_in_the_middle_of_its_past_may_be_moved_within_it(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    monkeypatch.setattr(limits, "BACKFILL_EVENTS_PER_STEP", 2)
    publish(bus, 20)
    record = bus.put("late", start="earliest")
    bus.backfill.step()
    bus.writer.step()
    bus.do(Seek("late", StartPosition(position=15)))
    assert delivered(bus, record.uid) == list(range(15, 21))


def test_a_paused_rule_that_is_moved_stays_paused(bus: House, rule: RuleRecord) -> None:
    bus.do(SetPaused("paid", is_paused=True))
    assert bus.do(Seek("paid", "earliest")).is_paused
    assert lease(bus, rule.uid) == []
    bus.do(SetPaused("paid", is_paused=False))
    assert delivered(bus, rule.uid) == [2, 3, 4, 5, 6]


def test_dead_letters_outlive_a_seek_and_can_be_redriven(bus: House, rule: RuleRecord) -> None:
    (first, *_) = lease(bus, rule.uid, 1)
    bus.settle(first, NEVER)
    bus.do(Seek("paid", "latest"))
    bus.rest()
    assert bus.do(Redrive("paid", None)).moved == 1
    assert delivered(bus, rule.uid) == [2]


@pytest.mark.parametrize(
    ("place", "found"),
    [(StartPosition(position=99), "position 99"), (StartPosition(time="2099-01-01T00:00:00Z"), "yet to come")],
)
def test_a_place_outside_the_log_is_refused(bus: House, rule: RuleRecord, place: Any, found: str) -> None:
    answer = bus.do(Seek("paid", place))
    assert isinstance(answer, InvalidRequest)
    assert found in answer.found
    assert bus.state.by_uid[rule.uid].run == 0


def test_a_rule_that_is_not_there_cannot_be_moved(bus: House) -> None:
    assert isinstance(bus.do(Seek("nobody", "latest")), NotFound)


# Replay


def test_a_replay_delivers_exactly_its_stretch_and_leaves_the_rule_where_it_is(bus: House, rule: RuleRecord) -> None:
    delivered(bus, rule.uid)
    replay = bus.do(Replay("paid", StartPosition(position=3), StartPosition(position=6)))
    publish(bus, 1)
    found = bus.deliver_all(rule.uid)
    assert sorted((row.run, row.position) for row in found) == [(0, 8), (replay.run, 3), (replay.run, 4), (replay.run, 5)]


def test_only_a_replays_deliveries_are_marked(bus: House, rule: RuleRecord) -> None:
    replay = bus.do(Replay("paid", "earliest"))
    leases = lease(bus, rule.uid)
    assert {(one.delivery.run, one.is_replayed) for one in leases} == {(0, False), (replay.run, True)}


def test_a_replay_may_be_narrowed_by_a_pattern(bus: House) -> None:
    record = bus.put("all", pattern={"source": ["/shop"]})
    publish(bus, 2)
    publish(bus, 2, kind="order.sent")
    delivered(bus, record.uid)
    bus.do(Replay("all", "earliest", pattern=b'{"type": ["order.sent"]}'))
    assert delivered(bus, record.uid) == [4, 5]


def test_a_throttled_replay_falls_due_at_its_rate(bus: House, rule: RuleRecord) -> None:
    delivered(bus, rule.uid)
    bus.clock.advance(1_000)
    bus.do(Replay("paid", "earliest", per_s=2))
    counts = []
    for _ in range(6):
        counts.append(len(lease(bus, rule.uid)))
        bus.clock.advance(500)
    assert counts == [1, 1, 1, 1, 1, 0]


def test_a_replay_at_the_original_pace_falls_due_as_its_events_came(bus: House) -> None:
    record = bus.put("paid")
    for wait_ms in (0, 3_000, 0, 7_000):
        bus.clock.advance(wait_ms)
        publish(bus, 1)
    delivered(bus, record.uid)
    bus.do(Replay("paid", StartPosition(position=2), is_original=True))
    due = []
    for _ in range(11):
        due.append(len(lease(bus, record.uid)))
        bus.clock.advance(1_000)
    assert due == [1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1]


def test_a_replay_goes_on_after_a_crash_where_it_was(bus: House, rule: RuleRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_EVENTS_PER_STEP", 2)
    delivered(bus, rule.uid)
    replay = bus.do(Replay("paid", "earliest"))
    bus.backfill.step()
    bus.writer.step()
    again = House(bus.engine)
    assert [(row.position, row.run) for row in again.deliver_all(rule.uid)] == [(n, replay.run) for n in range(2, 7)]


def test_a_cancelled_replay_discards_what_it_owes_and_can_then_be_forgotten(bus: House, rule: RuleRecord) -> None:
    delivered(bus, rule.uid)
    replay = bus.do(Replay("paid", "earliest"))
    bus.rest()
    assert bus.do(EndReplay("paid", replay.run)).is_cancelled
    bus.rest()
    assert {bus.row(rule.uid, position, replay.run).state for position in range(2, 7)} == {State.DISCARDED}
    assert delivered(bus, rule.uid) == []
    bus.do(EndReplay("paid", replay.run))
    assert (rule.uid, replay.run) not in bus.state.backfills
    assert isinstance(bus.do(EndReplay("paid", replay.run)), NotFound)


def test_a_rule_may_refuse_replays(bus: House) -> None:
    bus.put("paid", replay="refuse")
    publish(bus, 1)
    answer = bus.do(Replay("paid", "earliest"))
    assert isinstance(answer, InvalidRequest)
    assert "refuses replays" in answer.found


def test_an_empty_stretch_is_no_replay(bus: House, rule: RuleRecord) -> None:
    assert isinstance(bus.do(Replay("paid", "latest")), InvalidRequest)
    assert isinstance(bus.do(Replay("paid", StartPosition(position=4), StartPosition(position=4))), InvalidRequest)
    assert rule.uid in bus.state.by_uid


def test_replays_under_way_are_bounded_and_ended_ones_forgotten(
    bus: House, rule: RuleRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REPLAYS_PER_RULE_MAX", 2)
    monkeypatch.setattr(limits, "REPLAYS_KEPT_MAX", 2)
    delivered(bus, rule.uid)
    bus.do(Replay("paid", "earliest"))
    bus.do(Replay("paid", "earliest"))
    assert isinstance(bus.do(Replay("paid", "earliest")), InvalidRequest)
    for _ in range(4):
        bus.rest()
        bus.do(Replay("paid", "earliest"))
    assert len(bus.state.backfills) <= 3


# Deleted, and gone on for


def deleted(bus: House, name: str = "paid") -> None:
    bus.do(DeleteRule(name))
    bus.rest()


def test_a_rule_created_again_goes_on_with_what_was_not_delivered(bus: House, rule: RuleRecord) -> None:
    """Events 2 and 4 were delivered, 3 died, 5 and 6 waited to be tried again; 8 came while there was no rule."""
    two, three, four, five, six = lease(bus, rule.uid)
    bus.settle(two, DONE)
    bus.settle(three, NEVER)
    bus.settle(four, DONE)
    bus.settle(five, Retry(60_000, Note(status=503)))
    bus.settle(six, Retry(0, Note(status=410), is_counted=False))
    deleted(bus)
    publish(bus, 1)
    again = bus.put("paid", start="resume")
    assert delivered(bus, again.uid) == [3, 5, 6, 8]


def test_a_rule_deleted_in_its_past_is_gone_on_for_from_there(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    monkeypatch.setattr(limits, "BACKFILL_EVENTS_PER_STEP", 4)
    publish(bus, 12)
    record = bus.put("late", start="earliest")
    bus.backfill.step()
    bus.writer.step()
    bus.receiver.want(record.uid, 2)
    bus.writer.step()
    bus.receiver.wanted.clear()
    for one in bus.take():
        bus.settle(one, DONE)
    deleted(bus, "late")
    again = bus.put("late", start="resume")
    assert sorted(delivered(bus, again.uid)) == list(range(3, 13))


def test_a_name_that_no_rule_had_cannot_be_gone_on_for(bus: House) -> None:
    answer = bus.do(put_rule("new", start="resume"))
    assert isinstance(answer, InvalidRule)
    assert answer.at == "/start"


def test_a_rule_is_not_gone_on_for_while_its_queue_is_emptied(
    bus: House, rule: RuleRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    bus.do(DeleteRule("paid"))
    assert rule.uid in bus.state.by_uid
    answer = bus.do(put_rule("paid", start="resume"))
    assert isinstance(answer, InvalidRule)
    assert "try again" in answer.wanted
    bus.rest()
    assert delivered(bus, bus.put("paid", start="resume").uid) == [2, 3, 4, 5, 6]


def test_a_deleted_rule_leaves_no_dead_letters_to_hold_their_events(bus: House, rule: RuleRecord) -> None:
    for one in lease(bus, rule.uid):
        bus.settle(one, NEVER)
    deleted(bus)
    assert {bus.row(rule.uid, position).state for position in range(2, 7)} == {State.DISCARDED}


def test_deleted_rules_are_forgotten_in_time(bus: House, rule: RuleRecord) -> None:
    deleted(bus)
    bus.clock.advance(limits.TOMBSTONE_S * 1000 - 10)
    bus.furnish()
    bus.rest()
    assert "paid" in bus.state.tombstones
    # The wall clock alone may not do it at a jump; the house works on meanwhile.
    for _ in range(2):
        bus.clock.advance(limits.CLOCK_JUMP_MS_MAX)
        bus.furnish()
        bus.rest()
    assert "paid" not in bus.state.tombstones
    assert rule.uid not in bus.state.by_uid


# The way of a live rule with a long backlog


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["publish", "deliver", "rest", "restart"]), st.integers(1, 9)), max_size=30))
def test_a_rule_that_falls_behind_and_catches_up_misses_nothing_and_gets_nothing_twice(acts: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("LIVE_BACKLOG_MAX", 6), ("BACKFILL_UNSETTLED_MAX", 3), ("BACKFILL_LAST_STRETCH", 2)):
            patch.setattr(limits, name, value)
        patch.setattr(limits, "BACKFILL_EVENTS_PER_STEP", 4)
        bus = House()
        record = bus.put("paid")
        taken: list[int] = []
        statuses = {Status.LIVE}
        for act, count in acts:
            if act == "publish":
                publish(bus, count)
            elif act == "deliver":
                taken += [one.delivery.position for one in _settled(bus, record.uid, count)]
            elif act == "restart":
                bus = House(bus.engine)
            else:
                bus.rest()
            statuses.add(bus.state.by_uid[record.uid].status)
        taken += delivered(bus, record.uid)
        assert taken == list(range(2, bus.state.head + 1))
        assert bus.state.by_uid[record.uid].status is Status.LIVE


def _settled(bus: House, uid: int, count: int) -> list[Lease]:
    leases = lease(bus, uid, count)
    for one in leases:
        assert bus.settle(one, DONE) is None
    return leases
