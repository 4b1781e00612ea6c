"""Redrives, purges and what a deletion discards: which deliveries are meant, and how the work goes on in bounded steps."""

import json
from typing import Any

import pytest

from eventyard import dead_letters
from eventyard.core import limits
from eventyard.core.changes import ALL_DEAD, Filter
from eventyard.core.commands import DeleteRule, Publish, Purge, Redrive, Seek, SetPaused, Skip
from eventyard.core.delivery import Note, Reason, State, decode_note
from eventyard.core.errors import InvalidRequest, NotFound
from eventyard.core.order_key import lane_of_key
from eventyard.core.rule import RuleRecord
from eventyard.core.verdict import Dead
from tests.support.builders import an_event
from tests.support.houses import House

pytestmark = pytest.mark.usefixtures("untold_trouble")


@pytest.fixture
def bus() -> House:
    return House()


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 2)


def died(bus: House, name: str, *reasons: str, **delivery: Any) -> RuleRecord:
    """A rule with a dead letter for each of these reasons, a second of bus time apart, keyed by `data.n` from 0 on."""
    record: RuleRecord = bus.put(name, delivery=delivery)
    for number, reason in enumerate(reasons):
        bus.receiver.want(record.uid, 1)
        bus.do(Publish((an_event(f"{name}-{number}", data={"n": number}),)))
        bus.receiver.wanted.clear()
        bus.settle(bus.take()[0], Dead(Note(reason=reason, at_ms=bus.clock.wall_ms)))
        bus.clock.advance(1_000)
    bus.writer.step()
    return record


def dead(bus: House, record: RuleRecord) -> list[int]:
    return [row.position for row in bus.engine.view.dead(1, record.uid, (0, -1), 1_000)]


def counts(bus: House, record: RuleRecord) -> dict[str, int]:
    found = bus.state.queues[record.uid].counts
    return {state.name.lower(): found[state] for state in State if found[state]}


def told(bus: House, position: int) -> Any:
    """The data of a bus event without what all have."""
    data = json.loads(bus.engine.view.event(1, position).json)["data"]  # type: ignore[union-attr]
    return {name: value for name, value in data.items() if name not in {"name", "uid", "principal"}}


REASONS = ("answer", "age", "answer", "attempts", "answer")


@pytest.mark.parametrize(
    ("meant", "positions", "said"),
    [
        (ALL_DEAD, [2, 3, 4, 5, 6], {"all": True}),
        (Filter(reason="answer"), [2, 4, 6], {"filter": {"reason": "answer"}}),
        (Filter(lanes=(lane_of_key(1), lane_of_key(3))), [3, 5], {"filter": {"keys": 2}}),
        (Filter(from_ms=1_700_000_001_000, until_ms=1_700_000_003_000), [3, 4], None),
        (Filter(reason="age", lanes=(lane_of_key(0),)), [], None),
    ],
)
@pytest.mark.parametrize("verb", [Redrive, Purge])
def test_exactly_those_that_are_meant_are_moved(
    bus: House, meant: Filter, positions: list[int], said: Any, verb: type[Redrive | Purge]
) -> None:
    record = died(bus, "paid", *REASONS, order="key", key="data.n")
    assert dead_letters.count(bus.engine.view, bus.state, record.uid, meant) == len(positions)
    asked = bus.do(verb("paid", None, filter=meant))
    bus.rest()
    left = [position for position in (2, 3, 4, 5, 6) if position not in positions]
    assert dead(bus, record) == left
    state = "waiting" if verb is Redrive else "discarded"
    assert counts(bus, record).get(state, 0) == len(positions)
    assert said is None or told(bus, asked.position) == said


def test_the_log_tells_the_times_of_a_filter_as_people_read_them(bus: House) -> None:
    died(bus, "paid", "answer")
    asked = bus.do(Purge("paid", None, filter=Filter(from_ms=1_700_000_000_000, until_ms=1_700_000_000_500)))
    assert told(bus, asked.position) == {"filter": {"from": "2023-11-14T22:13:20.000Z", "until": "2023-11-14T22:13:20.500Z"}}


def test_what_dies_again_is_not_part_of_the_same_redrive(bus: House) -> None:
    record = died(bus, "paid", *["answer"] * 5)
    bus.receiver.want(record.uid, 100)
    bus.do(Redrive("paid", None))
    again = 0
    for _ in range(30):
        bus.rest()
        for lease in bus.take():
            again += 1
            bus.settle(lease, Dead(Note(reason="answer")))
    assert (again, dead(bus, record)) == (5, [2, 3, 4, 5, 6])
    assert bus.state.intents == {}


def test_a_spread_redrive_falls_due_at_its_rate_over_all_its_steps(bus: House) -> None:
    record = died(bus, "paid", *["answer"] * 5)
    began_ms = bus.now().work_ms
    bus.do(Redrive("paid", None, per_s=4.0))
    bus.rest()
    assert [bus.row(record.uid, position).at_ms - began_ms for position in range(2, 7)] == [0, 250, 500, 750, 1_000]


def test_a_spread_redrive_that_stood_still_makes_nothing_up(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_UNSETTLED_MAX", 2)
    record = died(bus, "paid", *["answer"] * 4)
    began_ms = bus.now().work_ms
    bus.do(Redrive("paid", None, per_s=10.0))
    bus.rest()
    bus.clock.advance(60_000)
    bus.receiver.want(record.uid, 2)
    bus.rest()
    bus.receiver.wanted.clear()
    for lease in bus.take():
        bus.settle(lease, Dead(Note(reason="age")))
    bus.rest()
    assert [bus.row(record.uid, position).at_ms - began_ms for position in (4, 5)] == [60_000, 60_100]


def test_it_goes_on_after_a_restart_where_it_was(bus: House) -> None:
    record = died(bus, "paid", *["answer"] * 5)
    assert bus.do(Redrive("paid", None)).is_running
    again = House(bus.engine)
    again.rest()
    assert (dead(again, record), again.state.intents) == ([], {})


def test_one_for_a_rule_that_is_deleted_meanwhile_ends_with_it(bus: House) -> None:
    record = died(bus, "paid", *["answer"] * 5)
    bus.do(Redrive("paid", None))
    bus.do(DeleteRule("paid"))
    bus.rest()
    assert (bus.state.intents, record.uid in bus.state.by_uid) == ({}, False)
    rows = [bus.row(record.uid, position) for position in range(2, 7)]
    assert {(row.state, decode_note(row.note).reason) for row in rows} == {(State.DISCARDED, "rule-deleted")}


def test_a_purge_that_overtakes_a_redrive_leaves_each_with_its_own(bus: House) -> None:
    record = died(bus, "paid", *["answer"] * 6)
    bus.do(SetPaused("paid", is_paused=True))
    redriven, purged = bus.do(Redrive("paid", None)), bus.do(Purge("paid", None))
    assert (redriven.is_running, purged.is_running) == (True, True)
    bus.rest()
    found = counts(bus, record)
    assert (found.get("waiting", 0) + found.get("discarded", 0), found.get("dead", 0)) == (6, 0)


def test_named_ones_are_moved_at_once_and_strangers_are_left(bus: House) -> None:
    record, other = died(bus, "paid", "answer", "age"), died(bus, "other", "answer")
    stranger = dead(bus, other)[0]
    keys = ((record.uid, 0, 2), (record.uid, 0, 2), (record.uid, 0, 99), (record.uid, 7, 3), (other.uid, 0, stranger))
    asked = bus.do(Redrive("paid", keys))
    assert (asked.moved, asked.is_running, told(bus, asked.position)) == (1, False, {"count": 5})
    assert (dead(bus, record), dead(bus, other)) == ([3], [stranger])


def test_what_was_delivered_or_waits_cannot_be_redriven_purged_or_skipped(bus: House) -> None:
    record = died(bus, "paid", "answer", order="key", key="data.n")
    bus.do(Redrive("paid", None))
    for command in (
        Redrive("paid", ((record.uid, 0, 2),)),
        Purge("paid", ((record.uid, 0, 2),)),
        Skip("paid", ((record.uid, 0, 2),)),
    ):
        assert bus.do(command).moved == 0
    assert counts(bus, record) == {"waiting": 1}


@pytest.mark.parametrize("command", [Redrive("none", None), Purge("none", None), Skip("none")])
def test_a_rule_that_is_not_there_has_no_dead_letters(bus: House, command: Redrive | Purge | Skip) -> None:
    assert isinstance(bus.do(command), NotFound)
    assert bus.state.head == 0


def test_nothing_is_put_back_while_a_seek_is_still_discarding(bus: House) -> None:
    record = died(bus, "paid", *["answer"] * 3)
    bus.do(Publish(tuple(an_event(f"more-{number}") for number in range(5))))
    bus.do(Seek("paid", "latest"))
    assert isinstance(bus.do(Redrive("paid", None)), InvalidRequest)
    bus.rest()
    assert bus.do(Redrive("paid", None)).is_running
    bus.rest()
    assert counts(bus, record) == {"waiting": 3, "discarded": 5}


def test_a_redrive_evaluates_again_what_could_not_be_evaluated(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    record = bus.put("paid", pattern={"type": ["order.paid"]})
    with monkeypatch.context() as context:
        context.setattr("eventyard.core.draft.Draft.match", lambda _draft, _event: ((), (record.uid,)))
        bus.do(Publish((an_event(1), an_event(2, kind="order.sent"))))
    assert counts(bus, record) == {"dead": 2}
    with monkeypatch.context() as context:
        context.setattr("eventyard.core.intents.evaluate", _fails)
        bus.do(Redrive("paid", None))
        bus.rest()
    assert counts(bus, record) == {"dead": 2}
    bus.do(Redrive("paid", None))
    bus.rest()
    assert counts(bus, record) == {"waiting": 1, "discarded": 1}
    assert decode_note(bus.row(record.uid, 3).note).reason == Reason.NO_MATCH


def _fails(*_: Any) -> bool:
    raise RuntimeError("too costly")
