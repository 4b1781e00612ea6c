"""Runs that begin, end and are gone on for, where their ends meet: what `test_moves` tells as stories, at its seams."""

from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.commands import (
    AdvanceBackfill,
    Command,
    DeleteRule,
    EndReplay,
    EnforceCap,
    Lease,
    Publish,
    Purge,
    Put,
    Redrive,
    Replay,
    Seek,
    SetPaused,
    Settle,
    Settlement,
)
from eventyard.core.delivery import Note, Reason, State, decode_note
from eventyard.core.errors import EventyardError, InvalidRequest, InvalidRule, NotFound, StaleLease
from eventyard.core.rule import RuleRecord, StartPosition
from eventyard.core.verdict import Dead, Delivered, GivenBack, Retry
from tests.support.builders import an_event, put_rule
from tests.support.houses import House

OK = Delivered(Note(status=204))
NEVER = Dead(Note(reason=Reason.ANSWER, status=422))
EARLIEST = StartPosition(position=2)

_numbers = iter(range(1, 10**9))

pytestmark = pytest.mark.usefixtures("untold_trouble")


@pytest.fixture
def bus() -> House:
    return House()


@pytest.fixture
def paid(bus: House) -> RuleRecord:
    """A rule at position 1, and five events after it."""
    record: RuleRecord = bus.put("paid")
    publish(bus, 5)
    return record


def publish(bus: House, count: int) -> None:
    bus.do(Publish(tuple(an_event(next(_numbers)) for _ in range(count))))


def leased(bus: House, uid: int, count: int = 100) -> list[Lease]:
    bus.receiver.want(uid, count)
    bus.writer.step()
    bus.receiver.wanted.pop(uid)
    return bus.take()


def together(bus: House, *commands: Command) -> list[Any]:
    """The answers to commands that are admitted in one step."""
    answers: list[Any] = []
    for command in commands:
        bus.writer.submit("default", command, answers.append)
    bus.writer.step()
    assert len(answers) == len(commands)
    return answers


def told(bus: House, kind: str) -> int:
    """How often the bus said so in its log."""
    stored = bus.engine.view.events(1, 1, bus.state.head, 10_000)
    return sum(f'"io.eventyard.{kind}"'.encode() in event.json for event in stored)


def resumed(bus: House, **changes: Any) -> RuleRecord:
    bus.rest()
    answer = bus.do(put_rule("paid", start="resume", **changes))
    if isinstance(answer, EventyardError):
        raise answer
    record: RuleRecord = answer.record
    return record


def positions(bus: House, uid: int) -> list[int]:
    return [row.position for row in bus.deliver_all(uid)]


# A run that is being closed


@pytest.mark.parametrize("delivery", [{}, {"order": "key"}])
@pytest.mark.parametrize("is_cancelled", [True, False])
def test_a_run_that_is_being_closed_gives_out_nothing_more(
    bus: House, monkeypatch: pytest.MonkeyPatch, delivery: Any, *, is_cancelled: bool
) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 2)
    record = bus.put("paid", delivery=delivery)
    bus.do(Publish(tuple(an_event(f"k{number}", kind="order.paid") for number in range(9))))
    if is_cancelled:
        bus.deliver_all(record.uid)
        run = bus.do(Replay("paid", EARLIEST)).run
        bus.rest()
    bus.receiver.want(record.uid, 100)
    bus.do(EndReplay("paid", run) if is_cancelled else Seek("paid", "latest"))
    bus.rest()
    assert bus.take() == []
    assert bus.state.queues[record.uid].pending == 0
    assert bus.state.queues[record.uid].counts[State.DISCARDED] == 9


def test_a_key_whose_head_a_seek_discards_moves_on_to_nobody(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    record = bus.put("paid", delivery={"order": "key", "key": "data.k"})
    bus.do(Publish(tuple(an_event(f"o{number}", data={"k": 1}) for number in range(4))))
    bus.receiver.want(record.uid, 100)
    bus.do(Seek("paid", "latest"))
    bus.rest()
    assert bus.take() == []
    assert bus.state.lanes[record.uid].lanes == {}


def test_what_is_put_in_the_step_of_a_seek_is_discarded_with_the_rest(bus: House, paid: RuleRecord) -> None:
    together(bus, Publish((an_event("with it"),)), Seek("paid", "latest"))
    bus.rest()
    assert bus.state.queues[paid.uid].counts[State.DISCARDED] == 6
    assert positions(bus, paid.uid) == []


def test_two_seeks_at_once_leave_the_last_place(bus: House, paid: RuleRecord) -> None:
    together(bus, Seek("paid", "earliest"), Seek("paid", StartPosition(position=5)))
    assert positions(bus, paid.uid) == [5, 6]
    assert bus.state.by_uid[paid.uid].run == 8


@pytest.mark.parametrize("is_paused", [True, False])
def test_a_seek_of_a_rule_that_is_being_fed_leaves_its_old_stretch(
    bus: House, paid: RuleRecord, monkeypatch: pytest.MonkeyPatch, *, is_paused: bool
) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    bus.do(Seek("paid", "earliest"))
    bus.do(SetPaused("paid", is_paused))
    bus.do(Seek("paid", StartPosition(position=6)))
    bus.do(SetPaused("paid", is_paused=False))
    assert positions(bus, paid.uid) == [6]
    assert bus.state.backfills == {}


def test_a_rule_that_is_gone_cannot_be_moved(bus: House, paid: RuleRecord) -> None:
    leased(bus, paid.uid, 1)
    bus.do(DeleteRule("paid"))
    for command in (Seek("paid", "earliest"), Replay("paid", EARLIEST), EndReplay("paid", 3)):
        assert isinstance(bus.do(command), NotFound)


# Replays


def test_cancelling_a_replay_twice_is_once(bus: House, paid: RuleRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    bus.deliver_all(paid.uid)
    run = bus.do(Replay("paid", EARLIEST)).run
    bus.rest()
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 2)
    first, second = bus.do(EndReplay("paid", run)), bus.do(EndReplay("paid", run))
    assert first == second
    assert told(bus, "replay.cancelled") == 1
    bus.rest()
    assert bus.do(EndReplay("paid", run)).is_removed
    assert isinstance(bus.do(EndReplay("paid", run)), NotFound)


def test_a_replay_that_is_read_to_its_end_in_this_step_is_cancelled_and_not_forgotten(bus: House, paid: RuleRecord) -> None:
    bus.deliver_all(paid.uid)
    replay = bus.do(Replay("paid", StartPosition(position=6)))
    advance = AdvanceBackfill(paid.uid, replay.run, paid.version, 6, replay.last, (Put(6),))
    _, ended = together(bus, advance, EndReplay("paid", replay.run))
    assert (ended.is_cancelled, ended.is_removed) == (True, False)
    bus.rest()
    assert bus.state.queues[paid.uid].runs[replay.run].counts[State.DISCARDED] == 1


def test_a_replay_is_kept_while_it_has_dead_letters_and_they_stay_marked(
    bus: House, paid: RuleRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REPLAYS_KEPT_MAX", 1)
    bus.deliver_all(paid.uid)
    run = bus.do(Replay("paid", StartPosition(position=6))).run
    bus.rest()
    for lease in leased(bus, paid.uid):
        bus.settle(lease, NEVER)
    assert isinstance(bus.do(EndReplay("paid", run)), InvalidRequest)
    for _ in range(3):
        bus.do(Replay("paid", StartPosition(position=6)))
        bus.deliver_all(paid.uid)
    assert (paid.uid, run) in bus.state.backfills
    bus.do(Redrive("paid", None))
    [again] = leased(bus, paid.uid)
    assert (again.is_replayed, again.delivery.run) == (True, run)
    bus.settle(again, OK)
    assert bus.do(EndReplay("paid", run)).is_removed


def test_a_replay_that_is_read_and_not_delivered_is_still_under_way(
    bus: House, paid: RuleRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REPLAYS_PER_RULE_MAX", 1)
    bus.deliver_all(paid.uid)
    bus.do(Replay("paid", EARLIEST))
    bus.rest()
    assert isinstance(bus.do(Replay("paid", EARLIEST)), InvalidRequest)
    bus.deliver_all(paid.uid)
    assert not isinstance(bus.do(Replay("paid", EARLIEST)), InvalidRequest)


def test_a_replay_delivers_what_a_rule_that_was_gone_on_for_had(bus: House, paid: RuleRecord) -> None:
    bus.deliver_all(paid.uid)
    bus.do(DeleteRule("paid"))
    record = resumed(bus)
    assert positions(bus, record.uid) == []
    bus.do(Replay("paid", EARLIEST, until=StartPosition(position=7)))
    assert positions(bus, record.uid) == [2, 3, 4, 5, 6]
    bus.do(Seek("paid", StartPosition(position=5)))
    assert positions(bus, record.uid) == [5, 6]


# Going on for a deleted rule


def test_what_somebody_discarded_on_purpose_stays_discarded(bus: House, paid: RuleRecord) -> None:
    for lease in leased(bus, paid.uid):
        bus.settle(lease, NEVER)
    bus.do(Purge("paid", ((paid.uid, 0, 2), (paid.uid, 0, 4))))
    bus.do(DeleteRule("paid"))
    assert positions(bus, resumed(bus).uid) == [3, 5, 6]


def test_a_rule_gone_on_for_again_and_again_gets_nothing_twice_and_misses_nothing(bus: House, paid: RuleRecord) -> None:
    """The first event is owed through all of its lives; each life has one more delivered."""
    uid, delivered = paid.uid, []
    for _ in range(4):
        leases = leased(bus, uid)
        delivered += [lease.delivery.position for lease in leases[1:2]]
        for lease in leases[1:2]:
            bus.settle(lease, OK)
        bus.clock.advance(100_000)
        bus.do(DeleteRule("paid"))
        uid = resumed(bus).uid
    assert (delivered, positions(bus, uid)) == ([3, 4, 5, 6], [2])
    assert len(bus.state.by_uid[uid].resumed) == 4


def test_what_a_life_before_had_is_forgotten_when_nothing_so_old_is_owed(bus: House, paid: RuleRecord) -> None:
    bus.deliver_all(paid.uid)
    bus.do(DeleteRule("paid"))
    first = resumed(bus)
    publish(bus, 1)
    bus.deliver_all(first.uid)
    bus.do(DeleteRule("paid"))
    assert [done.uid for done in resumed(bus).resumed] == [first.uid]


def test_a_rule_gone_on_for_too_often_is_refused(bus: House, paid: RuleRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESUMED_MAX", 1)
    del paid
    bus.do(DeleteRule("paid"))
    resumed(bus)
    bus.do(DeleteRule("paid"))
    with pytest.raises(InvalidRule, match="gone on for 1 times"):
        resumed(bus)


def test_what_a_seek_let_go_of_is_not_gone_on_for(bus: House, paid: RuleRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the rule is deleted before its old run is discarded."""
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    del paid
    bus.do(Seek("paid", "latest"))
    publish(bus, 1)
    bus.do(DeleteRule("paid"))
    assert positions(bus, resumed(bus).uid) == [8]


def test_what_a_replay_owed_is_not_gone_on_for(bus: House) -> None:
    publish(bus, 3)
    record = bus.put("paid")
    bus.do(Replay("paid", "earliest", until=StartPosition(position=3)))
    bus.rest()
    [*_, last] = leased(bus, record.uid)
    bus.settle(last, NEVER)
    publish(bus, 1)
    bus.do(DeleteRule("paid"))
    bus.clock.advance(100_000)
    assert positions(bus, resumed(bus).uid) == [6]


@pytest.mark.parametrize("is_evaluated", [True, False])
def test_what_dies_in_the_very_step_of_the_deletion_is_gone_on_for(
    bus: House, paid: RuleRecord, monkeypatch: pytest.MonkeyPatch, *, is_evaluated: bool
) -> None:
    bus.deliver_all(paid.uid)
    if is_evaluated:
        publish(bus, 1)
        [lease] = leased(bus, paid.uid)
        together(bus, Settle((Settlement(lease.delivery.key, 1, NEVER),)), DeleteRule("paid"))
    else:
        with monkeypatch.context() as context:
            context.setattr("eventyard.core.draft.Draft.match", lambda _draft, _event: ((), (paid.uid,)))
            together(bus, Publish((an_event("cannot be judged"),)), DeleteRule("paid"))
    assert positions(bus, resumed(bus).uid) == [7]


def test_a_new_pattern_judges_what_the_old_one_never_matched(bus: House, paid: RuleRecord) -> None:
    for lease in leased(bus, paid.uid, 1):
        bus.settle(lease, NEVER)
    bus.do(Publish((an_event("other", kind="order.sent"),)))
    bus.deliver_all(paid.uid)
    bus.do(DeleteRule("paid"))
    record = resumed(bus, pattern={"type": ["order.paid", "order.sent"]})
    assert positions(bus, record.uid) == [2, 7]


# Verdicts that come late


def test_a_verdict_from_before_a_redrive_undoes_it_only_where_the_work_was_done(bus: House, paid: RuleRecord) -> None:
    first, second, *_ = leased(bus, paid.uid)
    for lease in (first, second):
        bus.settle(lease, NEVER)
    bus.do(Redrive("paid", None))
    for verdict in (NEVER, GivenBack(0, Note()), Retry(0, Note())):
        assert isinstance(bus.settle(first, verdict), StaleLease)
    assert bus.row(paid.uid, 2).state is State.WAITING
    assert bus.settle(first, OK) is None
    [again] = leased(bus, paid.uid)
    assert (again.delivery.position, again.delivery.leases) == (3, 2)
    assert isinstance(bus.settle(second, OK), StaleLease)


# Caps


def test_a_cap_that_finds_only_what_is_leased_says_nothing(bus: House, paid: RuleRecord) -> None:
    leases = leased(bus, paid.uid)
    head = bus.state.head
    bus.do(EnforceCap(paid.uid, 0, 5, "its backlog was larger"))
    assert (bus.state.head, bus.state.intents) == (head, {})
    bus.settle(leases[0], Retry(0, Note()))
    bus.do(EnforceCap(paid.uid, 0, 5, "its backlog was larger"))
    bus.rest()
    row = bus.row(paid.uid, 2)
    assert (row.state, decode_note(row.note).reason) == (State.DISCARDED, "cap")
    assert told(bus, "retention.cap") == 1
    assert bus.settle(leases[1], OK) is None
