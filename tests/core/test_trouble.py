"""What the log is told of failures, how rarely, and that nothing is told of the bus's own events."""

import itertools
import json
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.commands import (
    DeleteRule,
    Lease,
    Publish,
    Purge,
    Redrive,
    Release,
    SetPaused,
    Settle,
    Settlement,
    TellTrouble,
)
from eventyard.core.delivery import RELEASED, Note, Reason, State
from eventyard.core.verdict import Dead, Delivered, GivenBack, Gone, Retry, Verdict
from eventyard.engines.memory import MemoryEngine
from tests.support.builders import an_event
from tests.support.houses import House

OK = Delivered(Note(status=204))
LATER = Retry(0, Note(status=503))
NEVER = Dead(Note(reason=Reason.ANSWER, status=422))
RELEASE = GivenBack(0, Note(failure=RELEASED))
ALL: dict[str, Any] = {"pattern": {"source": [{"prefix": ""}]}}
QUEUE: dict[str, Any] = {"target": {"queue": {}}}
FAILING, RECOVERED, DEADLETTERED = "failing", "recovered", "deadlettered"


@pytest.fixture
def bus() -> House:
    return House()


def told(bus: House) -> list[tuple[str, Any]]:
    """Events of trouble, each by the last word of its type, with its data."""
    return told_of(bus, 1)


def told_of(bus: House, first: int) -> list[tuple[str, Any]]:
    events = [json.loads(event.json) for event in bus.engine.view.events(1, first, bus.state.head, 100_000)]
    kind = "io.eventyard.delivery."
    return [(event["type"].removeprefix(kind), event["data"]) for event in events if event["type"].startswith(kind)]


def kinds(bus: House) -> list[str]:
    return [kind for kind, _ in told(bus)]


def given(bus: House, uid: int, *ids: str | int, lasting: bool = False) -> list[Lease]:
    """Events with these ids published, and what the rule is then given."""
    bus.receiver.want(uid, 1_000, lease_ms=1_000_000 if lasting else 40_000)
    if ids:
        bus.do(Publish(tuple(an_event(number) for number in ids)))
    else:
        bus.writer.step()
    return [lease for lease in bus.take() if lease.delivery.rule == uid]


def settled(bus: House, *verdicts: tuple[Lease, Verdict]) -> None:
    """All in one step."""
    each = tuple(Settlement(lease.delivery.key, lease.delivery.leases, verdict) for lease, verdict in verdicts)
    assert set(bus.do(Settle(each))) == {None}


def wait(bus: House, ms: int) -> None:
    bus.clock.advance(ms)
    bus.rest()


# Failing and recovered


def test_a_rule_that_is_well_leaves_nothing(bus: House) -> None:
    (lease,) = given(bus, bus.put("r").uid, 1)
    settled(bus, (lease, OK))
    assert (told(bus), bus.state.health, bus.state.unwell) == ([], {}, set())


def test_the_first_failure_is_told_with_what_the_target_said(bus: House) -> None:
    record = bus.put("r")
    bus.clock.advance(500)
    settled(bus, (given(bus, record.uid, 1)[0], Retry(0, Note(status=503, failure="f" * 1_000, answer="secret"))))
    told_of = {
        "name": "r",
        "uid": record.uid,
        "since": "2023-11-14T22:13:20.500Z",
        "failures": 1,
        "deliveries": 0,
        "status": 503,
    }
    assert told(bus) == [(FAILING, told_of | {"failure": "f" * limits.FAILURE_TOLD_CHARACTERS})]


def test_further_failures_are_counted_and_told_when_it_recovers(bus: House) -> None:
    record = bus.put("r")
    (lease,) = given(bus, record.uid, 1)
    for _ in range(4):
        settled(bus, (lease, LATER))
        (lease,) = given(bus, record.uid)
    settled(bus, (lease, OK))

    assert kinds(bus) == [FAILING, RECOVERED]
    data = told(bus)[1][1]
    assert (data["failures"], data["deliveries"], data["status"]) == (3, 1, 503)


def test_what_failed_and_went_well_in_one_step_is_no_change(bus: House) -> None:
    one, two = given(bus, bus.put("r").uid, 1, 2)
    settled(bus, (one, LATER), (two, OK))
    assert (told(bus), bus.state.health) == ([], {})


def test_of_outcomes_in_one_step_the_last_one_counts(bus: House) -> None:
    one, two = given(bus, bus.put("r").uid, 1, 2)
    settled(bus, (one, OK), (two, LATER))
    assert kinds(bus) == [FAILING]


def test_each_is_told_once_a_second_at_most_and_what_came_between_is_counted(bus: House) -> None:
    uid = bus.put("r").uid
    for number in range(20):
        (lease,) = [lease for lease in given(bus, uid, number) if lease.delivery.attempts == 1]
        settled(bus, (lease, Retry(3_600_000, Note(status=500)) if number % 2 == 0 else OK))
    assert kinds(bus) == [FAILING, RECOVERED]

    (lease,) = given(bus, uid, "more")
    settled(bus, (lease, Retry(3_600_000, Note(status=502))))
    assert kinds(bus) == [FAILING, RECOVERED]
    bus.clock.advance(999)
    bus.do(TellTrouble((uid,)))
    assert kinds(bus) == [FAILING, RECOVERED]
    bus.clock.advance(1)
    bus.do(TellTrouble((uid,)))
    assert kinds(bus) == [FAILING, RECOVERED, FAILING]
    data = told(bus)[2][1]
    assert (data["failures"], data["deliveries"], data["status"]) == (10, 9, 502)


def test_a_rule_that_flaps_all_the_time_is_told_more_and_more_rarely_and_at_once_after_some_quiet(bus: House) -> None:
    uid = bus.put("r", **QUEUE).uid
    for number in range(1_200):
        (lease,) = given(bus, uid, number)
        settled(bus, (lease, NEVER if number % 2 == 0 else OK))
        wait(bus, 500)
    events = bus.engine.view.events(1, 1, bus.state.head, 100_000)
    times = [event.accepted_ms for event in events if b'"io.eventyard.delivery.failing"' in event.json]
    rests = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert rests == sorted(rests)
    assert rests[:3] == [1_000, 2_000, 4_000]
    assert rests[-1] == limits.TROUBLE_RESTS_MS_MAX
    for _ in range(3):
        wait(bus, limits.TROUBLE_RESTS_MS_MAX)
    assert bus.state.health == {}
    settled(bus, (given(bus, uid, "later")[0], NEVER))
    assert kinds(bus)[-2] == FAILING


def test_a_change_that_was_held_back_and_undone_is_never_told(bus: House) -> None:
    uid = bus.put("r").uid
    verdicts: tuple[Verdict, ...] = (LATER, OK, LATER, OK)
    for number, verdict in enumerate(verdicts):
        settled(bus, (given(bus, uid, number)[-1], verdict))
    wait(bus, 10_000)
    assert kinds(bus) == [FAILING, RECOVERED]
    assert bus.state.health == {}


def test_trouble_began_when_it_began_however_often_it_flapped_since(bus: House) -> None:
    uid = bus.put("r").uid
    verdicts: tuple[Verdict, ...] = (LATER, OK, LATER)
    for number, verdict in enumerate(verdicts):
        settled(bus, (given(bus, uid, number)[-1], verdict))
        bus.clock.advance(100)
    assert told(bus)[1][1]["since"] == "2023-11-14T22:13:20.000Z"
    wait(bus, 5_000)
    assert told(bus)[2][1]["since"] == "2023-11-14T22:13:20.200Z"


@pytest.mark.parametrize("verdict", [LATER, NEVER, RELEASE, Gone(Note(status=410))])
def test_whatever_is_no_delivery_is_a_failure(bus: House, verdict: Verdict) -> None:
    settled(bus, (given(bus, bus.put("r", **QUEUE).uid, 1)[0], verdict))
    assert kinds(bus)[0] == FAILING


@pytest.mark.parametrize("target", [{}, QUEUE])
def test_a_lease_that_ran_out_is_a_failure(bus: House, target: dict[str, Any]) -> None:
    given(bus, bus.put("r", **target).uid, 1)
    bus.clock.advance(40_000)
    bus.expire()
    assert [(kind, data["failure"]) for kind, data in told(bus)] == [(FAILING, "the lease ran out")]


def test_what_was_given_back_unsent_is_none(bus: House) -> None:
    settled(bus, (given(bus, bus.put("r").uid, 1)[0], Retry(0, Note(failure="given back unsent"), is_counted=False)))
    assert told(bus) == []


def test_a_restart_is_none(bus: House) -> None:
    (lease,) = given(bus, bus.put("r").uid, 1)
    bus.do(Release((lease.delivery.key,)))
    assert told(bus) == []


def test_a_late_verdict_on_what_was_taken_back_is_not_counted_twice(bus: House) -> None:
    uid = bus.put("r").uid
    (lease,) = given(bus, uid, 1)
    bus.clock.advance(40_000)
    bus.expire()
    settled(bus, (lease, LATER))
    assert bus.state.health[uid].failures == 0


# Dead letters


def test_a_dead_letter_is_told_with_its_event(bus: House) -> None:
    record = bus.put("r")
    (lease,) = given(bus, record.uid, 1)
    settled(bus, (lease, NEVER))
    assert told(bus)[1] == (
        DEADLETTERED,
        {
            "name": "r",
            "uid": record.uid,
            "count": 1,
            "delivery": "life1-1-2-0",
            "event": {"position": 2, "source": "/shop", "id": "e1", "type": "order.paid"},
            "reason": "answer",
            "attempts": 1,
            "status": 422,
            "failure": "",
        },
    )


def test_why_a_consumer_rejected_it_is_told(bus: House) -> None:
    (lease,) = given(bus, bus.put("r", **QUEUE).uid, 1)
    settled(bus, (lease, Dead(Note(reason=Reason.REJECTED, answer="no such order"))))
    assert told(bus)[1][1]["failure"] == "no such order"


def test_what_is_redriven_or_purged_in_the_same_step_is_not_told(bus: House) -> None:
    one, two = given(bus, bus.put("r").uid, 1, 2)
    for lease, verb in ((one, Redrive), (two, Purge)):
        answers: list[Any] = []
        settle = Settle((Settlement(lease.delivery.key, lease.delivery.leases, NEVER),))
        bus.writer.submit("default", settle, answers.append)
        bus.writer.submit("default", verb("r", (lease.delivery.key,)), answers.append)
        bus.writer.step()
        assert len(answers) == 2
    assert DEADLETTERED not in kinds(bus)


def test_ten_are_told_one_by_one_and_the_rest_together_when_a_minute_is_over(bus: House) -> None:
    leases = given(bus, bus.put("r").uid, *range(16))
    for lease in leases[:15]:
        settled(bus, (lease, NEVER))
    assert kinds(bus).count(DEADLETTERED) == limits.DEAD_LETTERS_TOLD_EACH
    bus.clock.advance(59_999)
    settled(bus, (leases[15], NEVER))
    bus.do(TellTrouble((1,)))
    assert kinds(bus).count(DEADLETTERED) == limits.DEAD_LETTERS_TOLD_EACH
    bus.clock.advance(1)
    bus.do(TellTrouble((1,)))
    summary = told(bus)[-1]
    assert summary == (
        DEADLETTERED,
        {"name": "r", "uid": 1, "count": 6, "first": 12, "last": 17, "since": "2023-11-14T22:13:20.000Z"},
    )


def test_a_flood_that_goes_on_is_one_event_a_minute(bus: House) -> None:
    uid = bus.put("r", target={"queue": {"lease_s": 1_000}}).uid
    for minute in range(5):
        for number, lease in enumerate(given(bus, uid, *(f"{minute}-{number}" for number in range(50)), lasting=True)):
            settled(bus, (lease, NEVER))
            bus.clock.advance(1_200)
            if number % 10 == 0:
                bus.rest()
    wait(bus, 60_000)
    dead = [data for kind, data in told(bus) if kind == DEADLETTERED]
    assert [data["count"] for data in dead[:10]] == [1] * 10
    assert sum(data["count"] for data in dead) == 250
    assert len(dead) == 10 + 5


def test_a_minute_after_a_flood_each_is_told_again(bus: House) -> None:
    uid = bus.put("r").uid
    settled(bus, *((lease, NEVER) for lease in given(bus, uid, *range(16))))
    wait(bus, 60_000)
    wait(bus, 60_000)
    settled(bus, (given(bus, uid, "later")[0], NEVER))
    assert told(bus)[-1][1]["count"] == 1


def test_what_cannot_be_evaluated_is_told_as_a_dead_letter(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    bus.put("r")
    broken = _raises_on("order.paid")
    monkeypatch.setattr("eventyard.core.draft.evaluate", broken)
    monkeypatch.setattr("eventyard.core.pattern.index.Index.match_and_fail", broken)
    bus.do(Publish((an_event(1),)))
    assert [(kind, data["reason"], data["attempts"]) for kind, data in told(bus)] == [(DEADLETTERED, "evaluation", 0)]


def _raises_on(kind: str) -> Any:
    def match(_: Any, document: Any) -> Any:
        if document["type"] == kind:
            raise RuntimeError("a defect of ours")
        return (), ()

    return match


# The bounds of a step


def test_however_many_rules_fail_a_step_tells_a_bounded_number_and_the_rest_soon(
    bus: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TROUBLE_EVENTS_PER_STEP", 3)
    uids = [bus.put(f"r{number}").uid for number in range(8)]
    for uid in uids:
        bus.receiver.want(uid, 1)
    bus.do(Publish((an_event(1),)))
    head = bus.state.head
    settled(bus, *((lease, NEVER) for lease in bus.take()))
    assert bus.state.head == head + 3
    wait(bus, 60_000)
    for _ in range(20):
        wait(bus, limits.TROUBLE_TOLD_EVERY_MS)
    assert sorted(data["uid"] for kind, data in told(bus) if kind == FAILING) == uids
    assert sorted(data["uid"] for kind, data in told(bus) if kind == DEADLETTERED) == uids


def test_publishers_that_fill_every_step_keep_no_trouble_from_being_told(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = bus.put("r").uid
    (lease,) = given(bus, uid, 1)
    monkeypatch.setattr(limits, "STEP_EVENTS_MAX", 2)
    bus.writer.submit("default", Settle((Settlement(lease.delivery.key, 1, NEVER),)), lambda _: None)
    bus.writer.submit("default", Publish(tuple(an_event(f"more-{number}") for number in range(9))), lambda _: None)
    bus.writer.step()
    assert kinds(bus) == [FAILING]


def test_an_event_of_trouble_is_delivered_in_the_step_that_tells_it(bus: House) -> None:
    alarm = bus.put("alarm", pattern={"type": ["io.eventyard.delivery.deadlettered"]})
    uid = bus.put("r").uid
    (lease,) = given(bus, uid, 1)
    bus.receiver.want(alarm.uid, 1)
    settled(bus, (lease, NEVER))
    (alert,) = bus.take()
    assert (alert.delivery.rule, json.loads(alert.event)["data"]["event"]["id"]) == (alarm.uid, "e1")


# The loop guard


def test_an_edit_is_in_the_log_whatever_is_its_cause_and_a_paused_rule_makes_no_more(bus: House) -> None:
    """A rule that is paused for what its receiver says of the bus's own event is edited; but that is told once."""
    uid = bus.put("everything", **ALL).uid
    bus.put("another")
    for _ in range(5):
        for lease in given(bus, uid):
            bus.settle(lease, Gone(Note(status=410)))
        wait(bus, 60_000)
    types = [json.loads(event.json)["type"] for event in bus.engine.view.events(1, 1, bus.state.head, 100)]
    assert types[2:] == ["io.eventyard.rule.disabled"]


@pytest.mark.parametrize("verdict", [LATER, NEVER, RELEASE, Gone(Note(status=410))])
def test_the_failure_of_a_delivery_of_the_buss_own_event_is_told_to_nobody(bus: House, verdict: Verdict) -> None:
    alarm = bus.put("alarm", pattern={"type": [{"prefix": "io.eventyard."}]}, **QUEUE)
    uid = bus.put("r").uid
    settled(bus, (given(bus, uid, 1)[0], NEVER))
    before = kinds(bus)
    for _ in range(5):
        for lease in given(bus, alarm.uid):
            bus.settle(lease, verdict)
        wait(bus, 60_000)
    assert kinds(bus) == before == [FAILING, DEADLETTERED]


def test_a_rule_that_gets_everything_and_fails_tells_of_itself_once(bus: House) -> None:
    uid = bus.put("everything", **ALL).uid
    leases = given(bus, uid, 1)
    for _ in range(50):
        if leases:
            settled(bus, *((lease, NEVER) for lease in leases))
        leases = given(bus, uid)
        wait(bus, 10_000)
    assert leases == []
    assert kinds(bus) == [FAILING, DEADLETTERED]


def test_its_own_events_neither_make_a_rule_failing_nor_well_in_the_log(bus: House) -> None:
    """But its status tells: what it fails at, it fails at."""
    uid = bus.put("everything", **ALL).uid
    (paid,) = given(bus, uid, 1)
    settled(bus, (paid, LATER))
    wait(bus, 5_000)
    mixed = given(bus, uid)
    own = [lease for lease in mixed if b"io.eventyard." in lease.event]
    assert len(own) == 1
    settled(bus, (own[0], OK))
    wait(bus, 5_000)
    assert kinds(bus) == [FAILING]
    assert (bus.state.health[uid].is_failing, bus.state.health[uid].to_tell) == (False, True)


def test_a_dead_receiver_of_alerts_is_seen_failing_though_nobody_is_told(bus: House) -> None:
    alarm = bus.put("alarm", pattern={"type": [{"prefix": "io.eventyard."}]})
    bus.put("another")
    (lease,) = given(bus, alarm.uid)
    settled(bus, (lease, LATER))
    assert told(bus) == []
    assert bus.state.health[alarm.uid].is_failing
    settled(bus, (given(bus, alarm.uid)[0], OK))
    wait(bus, 1)
    assert bus.state.health == {}


def test_of_many_outcomes_the_last_at_an_event_of_others_is_found(bus: House) -> None:
    uid = bus.put("everything", **ALL, **QUEUE).uid
    (paid,) = given(bus, uid, 1)
    for number in range(130):
        bus.do(SetPaused("everything", is_paused=number % 2 == 0))
    own = given(bus, uid)
    assert len(own) == 130
    settled(bus, (paid, LATER), *((lease, OK) for lease in own))
    assert kinds(bus) == [FAILING]
    assert not bus.state.health[uid].is_failing


@pytest.mark.parametrize("is_own", [True, False])
def test_an_event_that_cannot_be_read_is_told_without_names_unless_it_is_known_for_the_buss_own(
    bus: House,
    is_own: bool,
) -> None:
    uid = bus.put("everything", **ALL).uid
    (paid,) = given(bus, uid, 1)
    bus.receiver.wanted.clear()
    settled(bus, (paid, LATER))
    own = bus.state.head
    damaged = own if is_own else paid.delivery.position
    assert isinstance(bus.engine, MemoryEngine)
    del bus.engine._buses[1].events[damaged]
    given(bus, uid)

    assert bus.row(uid, damaged).state is State.DEAD
    dead = [data for kind, data in told_of(bus, own + 1) if kind == DEADLETTERED]
    assert [data["event"] for data in dead] == ([] if is_own else [{"position": damaged, "source": "", "id": "", "type": ""}])


# What becomes of the state


def test_what_is_owed_survives_a_restart(bus: House) -> None:
    uid = bus.put("r").uid
    settled(bus, *((lease, NEVER) for lease in given(bus, uid, *range(16))))
    before = bus.state.health
    again = House(bus.engine)
    assert (again.state.health, again.state.unwell) == (before, {uid})
    wait(again, 60_000)
    assert told(again)[-1][1]["count"] == 6


def test_a_rule_that_is_deleted_is_forgotten_with_what_is_owed(bus: House) -> None:
    settled(bus, *((lease, NEVER) for lease in given(bus, bus.put("r").uid, *range(16))))
    before = kinds(bus)
    bus.do(DeleteRule("r"))
    assert bus.state.health == {}
    wait(bus, 120_000)
    assert kinds(bus) == before


def test_what_fails_for_a_deleted_rule_is_told_to_nobody(bus: House) -> None:
    (lease,) = given(bus, bus.put("r").uid, 1)
    bus.do(DeleteRule("r"))
    settled(bus, (lease, NEVER))
    assert (told(bus), bus.state.health) == ([], {})


def test_a_row_without_its_rule_as_a_repair_may_leave_one_is_forgotten(bus: House) -> None:
    uid = bus.put("r").uid
    settled(bus, (given(bus, uid, 1)[0], LATER))
    assert isinstance(bus.engine, MemoryEngine)
    del bus.engine._buses[1].rules[uid]
    again = House(bus.engine)
    wait(again, 100)
    assert again.state.health == {}
    assert bus.engine.load()[1].health == ()


def test_the_bus_disables_a_rule_whose_target_is_gone_and_says_so(bus: House) -> None:
    (lease,) = given(bus, bus.put("r").uid, 1)
    settled(bus, (lease, Gone(Note(status=410))))
    events = [json.loads(event.json) for event in bus.engine.view.events(1, 1, bus.state.head, 10)]
    (disabled,) = [event for event in events if event["type"] == "io.eventyard.rule.disabled"]
    assert disabled["data"]["because"] == "the target answered 410 Gone"
    assert bus.state.by_name["r"].is_paused
    assert bus.row(1, 2).state is State.WAITING


# At scale


def test_tens_of_thousands_of_dead_letters_are_a_handful_of_events(bus: House) -> None:
    """A dead target with a long queue: 500 verdicts a step, a step each tenth of a second."""
    count = 20_000
    uid = bus.put("r", target={"queue": {"max_leases": count}}).uid
    bus.receiver.want(uid, count)
    bus.receiver.room_left = 10**9
    for start in range(0, count, 1_000):
        bus.do(Publish(tuple(an_event(number) for number in range(start, start + 1_000))))
    leases = bus.take()
    assert len(leases) == count
    head = bus.state.head
    for start in range(0, count, 500):
        settled(bus, *((lease, NEVER) for lease in leases[start : start + 500]))
        bus.clock.advance(100)
        bus.keeper.step()
    bus.receiver.wanted.clear()
    bus.clock.advance(60_000)
    bus.keeper.step()
    bus.writer.step()

    assert bus.state.queues[uid].counts[State.DEAD] == count
    written = bus.engine.view.events(1, head + 1, bus.state.head, 1_000)
    counts = [json.loads(event.json)["data"].get("count", 0) for event in written]
    assert counts == [0, *[1] * 10, counts[11]]
    assert sum(counts) == count
