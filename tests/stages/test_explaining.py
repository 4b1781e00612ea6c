"""Why an event reached a rule, or did not: every answer, on both engines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventyard import explaining
from eventyard.backfill import BackfillStage
from eventyard.core import limits
from eventyard.core.commands import (
    DeleteRule,
    EndReplay,
    EnforceCap,
    Publish,
    Purge,
    Redrive,
    Replay,
    Retain,
    Seek,
    SetPaused,
    Skip,
)
from eventyard.core.delivery import Note, Reason
from eventyard.core.explain.facts import Explanation, Outcome
from eventyard.core.rule import StartPosition
from eventyard.core.verdict import Dead, Delivered, GivenBack, Retry
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.sqlite import SqliteEngine
from eventyard.keeper import Keeper
from tests.support.builders import Stepped, an_event

BIG = {"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 20]}]}}
QUEUE: dict[str, Any] = {"queue": {}}


@pytest.fixture(params=["memory", "sqlite"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stepped]:
    stepped = Stepped(MemoryEngine() if request.param == "memory" else SqliteEngine(str(tmp_path / "bus.db")))
    yield stepped
    stepped.engine.close()


def publish(bus: Stepped, number: int | str = 1, **fields: Any) -> int:
    (published,) = bus.do(Publish((an_event(number, **fields),)))
    position: int = published.position
    return position


def explained(bus: Stepped, position: int, name: str = "r") -> Explanation:
    """To the last rule of that name."""
    return every(bus, position, name)[-1]


def every(bus: Stepped, position: int, name: str = "") -> list[Explanation]:
    event = bus.engine.view.event(1, position)
    assert event is not None
    with bus.engine.reader() as view:
        if name:
            return explaining.of_rule(view, bus.state, event, bus.now(), name).rules
        return explaining.page(view, bus.state, event, bus.now()).rules


def carry_on(bus: Stepped) -> None:
    """Backfills and what is under way, to their ends."""
    stages = [
        BackfillStage(bus.engine, bus.writer.states, bus.writer.submit_own).step,
        Keeper(bus.writer.states, bus.writer.submit_own, bus.now).step,
    ]
    while any([stages[0](), stages[1]()]):
        while bus.writer.step():
            pass


def lease(bus: Stepped, uid: int) -> Any:
    bus.receiver.want(uid, 1)
    bus.writer.step()
    bus.receiver.wanted.clear()
    return bus.receiver.leases[-1]


def fail(bus: Stepped, uid: int, status: int = 503, answer: str = "busy") -> None:
    note = Note(status=status, answer=answer, at_ms=bus.now().time_ms)
    assert bus.settle(lease(bus, uid), Retry(1_000, note)) is None
    bus.clock.advance(1_000)


def is_told(found: Explanation, outcome: Outcome, *parts: str) -> bool:
    """Whether it is this outcome, and the sentence says all of these."""
    assert (found.outcome, [part for part in parts if part not in found.why]) == (outcome, []), found.why
    return True


# No match


def test_what_does_not_match_is_told_with_the_failing_part(bus: Stepped) -> None:
    bus.put("r", pattern=BIG)
    position = publish(bus, data={"total": 12})

    found = explained(bus, position)
    assert is_told(found, Outcome.NO_MATCH, "data.total 12 is not >= 20")
    assert found.then is not None
    assert (found.then.matches, found.today, found.deliveries) == (False, None, ())


def test_an_event_is_judged_by_the_version_in_force_then_and_todays_is_told_beside_it(bus: Stepped) -> None:
    bus.put("r", pattern=BIG)
    position = publish(bus, data={"total": 12})
    bus.put("r", pattern={"type": ["order.paid"]})

    found = explained(bus, position)
    assert is_told(found, Outcome.NO_MATCH, "data.total 12 is not >= 20")
    assert found.then is not None
    assert found.today is not None
    assert (found.then.version, found.then.matches) == (1, False)
    assert (found.today.version, found.today.matches) == (3, True)


def test_todays_version_is_not_told_where_it_says_the_same(bus: Stepped) -> None:
    bus.put("r", pattern=BIG)
    position = publish(bus, data={"total": 12})
    bus.put("r", pattern=BIG, description="the same but for this")

    assert explained(bus, position).today is None


def test_an_edit_is_judged_by_the_rule_as_it_was_before_it(bus: Stepped) -> None:
    bus.put("r", pattern={"type": ["io.eventyard.rule.changed"]})
    edit = bus.put("r", pattern={"type": ["never"]}).version

    found = explained(bus, edit)
    assert found.outcome is Outcome.WAITING
    assert found.then is not None
    assert (found.then.version, found.then.matches) == (1, True)


# Before it started, after it ended


def test_a_rule_that_started_after_it_says_so(bus: Stepped) -> None:
    position = publish(bus)
    bus.put("r")

    assert is_told(explained(bus, position), Outcome.STARTED_AFTER, "created at position 2", "from position 3 on")


def test_a_rule_that_was_deleted_before_it_says_so_and_by_whom(bus: Stepped) -> None:
    bus.put("r")
    bus.do(DeleteRule("r", "ann"))
    position = publish(bus)

    found = explained(bus, position)
    assert is_told(found, Outcome.DELETED_BEFORE, "deleted at position 2", "by ann")
    assert found.is_deleted


def test_each_rule_of_a_name_tells_for_itself(bus: Stepped) -> None:
    bus.put("r")
    bus.do(DeleteRule("r"))
    position = publish(bus)
    bus.put("r")

    assert [found.outcome for found in every(bus, position, "r")] == [Outcome.DELETED_BEFORE, Outcome.STARTED_AFTER]


def test_a_name_that_nobody_knows_has_no_rules(bus: Stepped) -> None:
    assert every(bus, publish(bus), "nobody") == []


def test_what_a_backfill_has_yet_to_read_is_told_with_where_it_stands(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    first, second = publish(bus, 1), publish(bus, 2)
    bus.put("r", start="earliest")

    assert is_told(explained(bus, second), Outcome.NOT_REACHED, f"stands at position {first}")
    bus.do(SetPaused("r", is_paused=True, principal="ann"))
    assert is_told(explained(bus, second), Outcome.NOT_REACHED, "paused since", "by ann")

    bus.do(SetPaused("r", is_paused=False))
    carry_on(bus)
    assert explained(bus, second).outcome is Outcome.WAITING


def test_a_backfill_judges_by_the_version_in_force_when_it_comes_to_an_event(
    bus: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    monkeypatch.setattr(limits, "BACKFILL_EVENTS_PER_STEP", 1)
    first, second = publish(bus, 1, data={"total": 12}), publish(bus, 2, data={"total": 12})
    bus.put("r", start="earliest", pattern=BIG)
    BackfillStage(bus.engine, bus.writer.states, bus.writer.submit_own).step()
    bus.writer.step()
    version = bus.put("r", pattern={"type": ["order.paid"]}).version
    carry_on(bus)

    before, after = explained(bus, first), explained(bus, second)
    assert is_told(before, Outcome.NO_MATCH, "data.total 12 is not >= 20")
    assert before.then is not None
    assert before.today is not None
    assert (before.then.version, before.today.version) == (3, version)
    assert after.outcome is Outcome.WAITING
    assert after.then is not None
    assert (after.then.version, after.then.matches, after.today) == (version, True, None)


def test_a_rule_deleted_before_its_backfill_came_to_it_says_so(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    publish(bus, 1)
    position = publish(bus, 2)
    bus.put("r", start="earliest")
    bus.do(DeleteRule("r"))

    assert is_told(explained(bus, position), Outcome.DELETED_BEFORE, "before its backfill had come to the event")


# Pending


def test_what_waits_for_a_consumer_says_so(bus: Stepped) -> None:
    bus.put("r", target=QUEUE)
    assert is_told(explained(bus, publish(bus)), Outcome.WAITING, "for a consumer to receive it")


def test_what_waits_for_a_paused_rule_says_since_when_by_whom(bus: Stepped) -> None:
    bus.put("r")
    position = publish(bus)
    bus.do(SetPaused("r", is_paused=True, principal="ann"))

    assert is_told(explained(bus, position), Outcome.PAUSED, "paused since 2023-11-14T22:13:20.000Z by ann")


def test_what_is_under_way_says_until_when(bus: Stepped) -> None:
    uid = bus.put("r").uid
    position = publish(bus)
    lease(bus, uid)

    found = explained(bus, position)
    assert is_told(found, Outcome.LEASED, "it is being pushed, at the first attempt", "ends at 2023-11-14T22:14:00.000Z")


def test_what_is_to_be_tried_again_says_when_and_what_came_of_it(bus: Stepped) -> None:
    uid = bus.put("r").uid
    position = publish(bus)
    note = Note(status=503, answer="busy\n today", at_ms=bus.now().time_ms)
    bus.settle(lease(bus, uid), Retry(7_000, note))

    found = explained(bus, position)
    assert is_told(found, Outcome.RETRYING, "22:13:27.000Z", "after 1 attempt", '503: "busy today"')


def test_what_waits_behind_a_parked_key_names_the_dead_letter(bus: Stepped) -> None:
    uid = bus.put("r", delivery={"order": "key", "key": "data.n"}).uid
    head, behind, other = publish(bus, 1, data={"n": 7}), publish(bus, 2, data={"n": 7}), publish(bus, 3, data={"n": 8})
    held = lease(bus, uid)
    assert is_told(explained(bus, behind), Outcome.BLOCKED, f"behind position {head}", "has not ended")
    bus.settle(held, Dead(Note(reason=Reason.ANSWER, status=400)))

    assert is_told(explained(bus, behind), Outcome.PARKED, f"behind position {head}, a dead letter of the same key")
    assert explained(bus, other).outcome is Outcome.WAITING


# Ended


def test_what_was_delivered_at_once_has_no_more_to_tell(bus: Stepped) -> None:
    uid = bus.put("r").uid
    position = publish(bus)
    bus.settle(lease(bus, uid), Delivered(Note(status=200)))

    found = explained(bus, position)
    assert is_told(found, Outcome.DELIVERED, "delivered at 2023-11-14T22:13:20.000Z, at the first attempt")
    assert bus.row(uid, position).note == b""


def test_every_attempt_is_told_those_that_ended_alike_as_one(bus: Stepped) -> None:
    uid = bus.put("r").uid
    position = publish(bus)
    for _ in range(3):
        fail(bus, uid)
    fail(bus, uid, 500, "broken")
    bus.settle(lease(bus, uid), Delivered(Note(status=200)))

    (told,) = explained(bus, position).deliveries
    assert is_told(explained(bus, position), Outcome.DELIVERED, "at attempt 5")
    assert [(one.status, one.answer, one.count, one.at_ms - one.first_ms) for one in told.attempts] == [
        (503, "busy", 3, 2_000),
        (500, "broken", 1, 0),
    ]


def test_of_many_attempts_that_ended_differently_the_last_are_kept(bus: Stepped) -> None:
    uid = bus.put("r").uid
    position = publish(bus)
    for number in range(limits.ATTEMPTS_KEPT + 3):
        fail(bus, uid, 503, f"{number}" * 300)

    (told,) = explained(bus, position).deliveries
    assert [one.answer[0] for one in told.attempts[:-1]] == [str(n)[0] for n in range(2, limits.ATTEMPTS_KEPT + 2)]
    assert {len(one.answer) for one in told.attempts[:-1]} == {limits.ATTEMPT_CHARACTERS_KEPT}


def test_a_dead_letter_says_why_since_when_and_what_the_target_said(bus: Stepped) -> None:
    uid = bus.put("r").uid
    position = publish(bus)
    note = Note(reason=Reason.ANSWER, status=400, answer="no such order", at_ms=bus.now().time_ms)
    bus.settle(lease(bus, uid), Dead(note))

    found = explained(bus, position)
    assert is_told(found, Outcome.DEAD, "22:13:20", "will not take it", '400: "no such order"')
    assert found.deliveries[0].reason == "answer"


def test_what_was_redriven_still_tells_of_the_time_before(bus: Stepped) -> None:
    uid = bus.put("r").uid
    position = publish(bus)
    bus.settle(lease(bus, uid), Dead(Note(reason=Reason.ANSWER, status=400, at_ms=1)))
    bus.do(Redrive("r", None))
    assert is_told(explained(bus, position), Outcome.WAITING, "was a dead letter (answer) and was put back")
    bus.settle(lease(bus, uid), Delivered(Note()))

    (told,) = explained(bus, position).deliveries
    assert [(one.status, one.reason) for one in told.attempts] == [(400, "answer")]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Purge("r", None, "ann"), "purged from the dead letters"),
        (Purge("r", None, "ann", reason=Reason.EXPIRED), "as long as the bus keeps them"),
        (DeleteRule("r", "ann"), "its rule was deleted"),
    ],
)
def test_a_discarded_one_says_by_whom_why_and_when(bus: Stepped, command: Any, words: str) -> None:
    uid = bus.put("r").uid
    position = publish(bus)
    fail(bus, uid)
    bus.settle(lease(bus, uid), Dead(Note(reason=Reason.ATTEMPTS, status=503, at_ms=2)))
    bus.do(command)

    found = explained(bus, position)
    assert is_told(found, Outcome.DISCARDED, "discarded at 2023-11-14T22:13:21.000Z by ann", words)
    assert [(one.status, one.reason) for one in found.deliveries[0].attempts] == [(503, ""), (503, "attempts")]


def test_what_was_skipped_says_so(bus: Stepped) -> None:
    uid = bus.put("r", delivery={"order": "key", "key": "data.n"}).uid
    position = publish(bus)
    held = lease(bus, uid)
    bus.settle(held, Dead(Note(reason=Reason.ANSWER)))
    bus.do(Skip("r", (held.delivery.key,), principal="ann"))

    assert is_told(explained(bus, position), Outcome.DISCARDED, "by ann", "skipped, so that its key could go on")


def test_what_a_consumer_rejected_is_told_in_its_words(bus: Stepped) -> None:
    uid = bus.put("r", target=QUEUE).uid
    position = publish(bus)
    bus.settle(lease(bus, uid), GivenBack(0, Note(failure="released by its consumer", at_ms=1)))
    bus.settle(lease(bus, uid), Dead(Note(reason=Reason.REJECTED, answer="not ours", at_ms=2)))

    found = explained(bus, position)
    assert is_told(found, Outcome.DEAD, "its consumer rejected it", "not ours")
    assert [one.failure or one.answer for one in found.deliveries[0].attempts] == ["released by its consumer", "not ours"]


# Seeks, replays, caps, resumed


def test_a_seek_forward_is_told_to_have_moved_the_rule_past_what_it_never_got(
    bus: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    publish(bus, 1)
    position = publish(bus, 2)
    bus.put("r", start="earliest")
    bus.do(Seek("r", "latest", "ann"))

    assert is_told(explained(bus, position), Outcome.MOVED_PAST, "a seek", "by ann", "moved the rule on to position 5")


def test_what_a_seek_superseded_was_discarded_by_it(bus: Stepped) -> None:
    bus.put("r")
    position = publish(bus)
    bus.do(Seek("r", "latest", "ann"))

    assert is_told(explained(bus, position), Outcome.DISCARDED, "by ann", "a seek moved the rule elsewhere")


def test_after_a_seek_back_both_runs_are_told(bus: Stepped) -> None:
    uid = bus.put("r").uid
    position = publish(bus)
    bus.settle(lease(bus, uid), Delivered(Note()))
    run = bus.do(Seek("r", "earliest")).run
    carry_on(bus)

    found = explained(bus, position)
    assert [(told.delivery.run, told.outcome, told.is_replayed) for told in found.deliveries] == [
        (0, Outcome.DELIVERED, False),
        (run, Outcome.WAITING, False),
    ]
    assert found.outcome is Outcome.WAITING


def test_a_replay_is_told_as_one(bus: Stepped) -> None:
    position = publish(bus)
    bus.put("r")
    run = bus.do(Replay("r", StartPosition(position=position))).run
    carry_on(bus)

    found = explained(bus, position)
    assert is_told(found, Outcome.WAITING, f"by replay {run}")
    assert [told.is_replayed for told in found.deliveries] == [True]
    bus.do(EndReplay("r", run, "ann"))
    assert is_told(explained(bus, position), Outcome.DISCARDED, "by ann", "its replay was cancelled")


def test_what_was_passed_over_by_a_cap_unread_says_so(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    position = publish(bus, 1)
    publish(bus, 2)
    uid = bus.put("r", start="earliest").uid
    bus.do(EnforceCap(uid, 0, position + 1, "its age"))

    assert is_told(explained(bus, position), Outcome.CAPPED, "backlog was past its cap")


def test_what_the_deleted_rule_had_settled_is_told_to_the_one_that_goes_on_for_it(bus: Stepped) -> None:
    uid = bus.put("r").uid
    owed, done = publish(bus, 1), publish(bus, 2)
    bus.receiver.want(uid, 2)
    bus.writer.step()
    bus.receiver.wanted.clear()
    second = next(one for one in bus.receiver.leases if one.delivery.position == done)
    bus.settle(second, Delivered(Note()))
    bus.do(DeleteRule("r"))
    for one in bus.receiver.leases:
        bus.settle(one, Retry(0, Note()))
    carry_on(bus)
    bus.put("r", start="resume")
    carry_on(bus)

    assert explained(bus, owed).outcome is Outcome.WAITING
    assert is_told(explained(bus, done), Outcome.SETTLED_BEFORE, f"uid {uid}")


# History and bounds


def test_what_rules_said_is_kept_as_long_as_events_that_they_governed(bus: Stepped) -> None:
    uid = bus.put("r", pattern=BIG).uid
    bus.put("r", description="two")
    bus.put("r", description="three")
    gone = bus.put("gone").uid
    bus.do(DeleteRule("gone"))
    last = publish(bus)
    after = publish(bus, 2)
    bus.do(Retain(last))
    kept = {(one.uid, one.position) for one in bus.engine.view.versions(1, 0, 100)}
    assert kept == {(uid, 3)}, "what was followed by another edit, or ended, before the first event"
    assert gone not in {one.uid for one in every(bus, after)}
    assert is_told(explained(bus, after), Outcome.WAITING)


def test_of_one_rule_so_many_edits_are_remembered(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RULE_VERSIONS_MAX", 3)
    bus.put("r", description="0", pattern={"type": ["never"]})
    early = publish(bus)
    for number in range(1, 5):
        bus.put("r", description=str(number))

    assert [one.position for one in bus.engine.view.versions(1, 0, 100)] == [4, 5, 6]
    assert is_told(explained(bus, early), Outcome.UNKNOWN, "not kept any more")


def test_rules_come_in_pages_by_uid(bus: Stepped) -> None:
    uids = [bus.put(f"r{number}").uid for number in range(5)]
    position = publish(bus)
    assert [found.uid for found in pages(bus, position, 2)] == uids


def test_a_page_ends_where_its_patterns_are_too_much(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPLAINED_PATTERN_BYTES", 10)
    uids = [bus.put(f"r{number}").uid for number in range(3)]
    position = publish(bus)

    event = bus.engine.view.event(1, position)
    assert event is not None
    assert len(explaining.page(bus.engine.view, bus.state, event, bus.now()).rules) == 1
    assert [found.uid for found in pages(bus, position, 100)] == uids


def test_a_page_ends_before_a_rule_of_which_not_all_was_read(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RULE_VERSIONS_MAX", 3)
    monkeypatch.setattr(limits, "EXPLAINED_ROWS_PER_RULE", 1)
    uids = [bus.put(f"r{number}").uid for number in range(4)]
    for number in range(4):
        for text in "ab":
            bus.put(f"r{number}", description=text)
    position = publish(bus)
    assert [found.uid for found in pages(bus, position, 2)] == uids
    assert {found.outcome for found in pages(bus, position, 2)} == {Outcome.WAITING}


def pages(bus: Stepped, position: int, limit: int) -> Iterator[Explanation]:
    event = bus.engine.view.event(1, position)
    assert event is not None
    after: int | None = 0
    while after is not None:
        found = explaining.page(bus.engine.view, bus.state, event, bus.now(), after=after, limit=limit)
        yield from found.rules
        after = found.next_after


def test_the_targets_address_is_nowhere_in_an_explanation(bus: Stepped) -> None:
    uid = bus.put("r", target={"http": {"url": "http://user:hush@127.0.0.1/hook?token=hush"}}).uid
    position = publish(bus)
    fail(bus, uid)
    assert "hush" not in repr(explained(bus, position))
    assert "hush" not in repr(bus.engine.view.versions(1, 0, 9))
