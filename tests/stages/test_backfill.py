"""Backfill and the keeper, stepped by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventyard.backfill import BackfillStage
from eventyard.core import limits
from eventyard.core.commands import Command, CreateBus, DeleteBus, DeleteRule, Publish, SetPaused
from eventyard.core.delivery import Reason, State, decode_note
from eventyard.core.rule import Status
from eventyard.engines.sqlite import SqliteEngine
from eventyard.engines.sqlite.place import place
from eventyard.keeper import Keeper
from tests.support.builders import Stepped, an_event
from tests.support.stores import change


@pytest.fixture
def bus() -> Stepped:
    stepped = Stepped()
    stepped.do(Publish(tuple(an_event(number, kind="a" if number % 3 else "b") for number in range(1_300))))
    return stepped


def a_stage(bus: Stepped) -> BackfillStage:
    return BackfillStage(bus.engine, bus.writer.states, bus.writer.submit_own)


def test_a_late_rule_gets_every_old_match_once_and_then_what_comes(bus: Stepped) -> None:
    record = bus.put("late", pattern={"type": ["b"]}, start="earliest")
    stage = a_stage(bus)
    steps = 0
    while stage.step():
        steps += 1
        bus.do(Publish((an_event(f"live{steps}", kind="b"),)))
        bus.writer.step()
    assert bus.state.by_uid[record.uid].status is Status.LIVE
    stored = bus.engine.view.events(1, 1, bus.state.head, 5_000)
    wanted = [event.position for event in stored if b'"type":"b"' in event.json]
    assert [event.position for event in stored if bus.row(record.uid, event.position)] == wanted
    assert steps > 1


def test_a_rule_is_fed_no_further_ahead_than_its_bound(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_UNSETTLED_MAX", 100)
    record = bus.put("late", pattern={"type": ["a", "b"]}, start="earliest")
    stage = a_stage(bus)
    assert stage.step()
    bus.writer.step()
    assert not stage.step()
    assert bus.state.queues[record.uid].pending == limits.BACKFILL_EVENTS_PER_STEP


def test_a_paused_rule_is_not_fed(bus: Stepped) -> None:
    bus.put("late", start="earliest")
    bus.do(SetPaused("late", is_paused=True))
    assert not a_stage(bus).step()


def test_one_stretch_is_asked_for_at_a_time(bus: Stepped) -> None:
    bus.put("late", start="earliest")
    stage = a_stage(bus)
    assert [stage.step(), stage.step()] == [True, False]


def test_a_damaged_event_is_a_dead_letter_not_a_gap(bus: Stepped) -> None:
    record = bus.put("late", pattern={"type": ["a"]}, start="earliest")
    del bus.engine._buses[1].events[10]  # type: ignore[attr-defined]
    a_stage(bus).step()
    bus.writer.step()
    assert bus.row(record.uid, 10).state.name == "DEAD"


def test_the_keeper_carries_a_deletion_to_its_end(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 100)
    record = bus.put("all", pattern={"type": ["a", "b"]})
    bus.do(Publish(tuple(an_event(f"n{number}", kind="a") for number in range(450))))
    bus.do(DeleteRule("all"))
    keeper = Keeper(bus.writer.states, bus.writer.submit_own, bus.writer.now)
    run(bus, keeper.step)
    assert record.uid not in bus.state.by_uid
    assert not bus.state.intents


def test_the_keeper_empties_a_deleted_bus(bus: Stepped) -> None:
    for command in (CreateBus("two", "life9"), DeleteBus("two")):
        system(bus, command)
    keeper = Keeper(bus.writer.states, bus.writer.submit_own, bus.writer.now)
    run(bus, keeper.step)
    assert "two" not in bus.writer.states[0].buses
    assert system(bus, CreateBus("two", "life10"))[1]


def run(bus: Stepped, step: Callable[[], bool]) -> None:
    for _ in range(20):
        step()
        bus.writer.step()
    assert not step()


def system(bus: Stepped, command: Command) -> Any:
    answers: list[Any] = []
    bus.writer.submit_system(command, answers.append)
    bus.writer.step()
    return answers[0]


@pytest.mark.parametrize("count", [700, 30], ids=["in a stretch", "in the last stretch"])
def test_a_damaged_event_costs_a_late_rule_a_dead_letter_and_a_known_gap_nothing(tmp_path: Path, count: int) -> None:
    path = tmp_path / "eventyard.db"
    bus = Stepped(SqliteEngine(str(path)))
    bus.do(Publish(tuple(an_event(number, kind="a") for number in range(count))))
    bus.engine.close()
    change(path, "DELETE FROM event WHERE place BETWEEN ? AND ?", place(1, 11), place(1, 15))
    change(path, "INSERT INTO gap VALUES (1, 12, 14, 'the test', 1)")
    bus = Stepped(SqliteEngine(str(path)))
    record = bus.put("late", pattern={"type": ["a"]}, start="earliest")
    stage = a_stage(bus)
    while stage.step():
        bus.writer.step()

    rows = {position: bus.row(record.uid, position) for position in range(1, count + 1)}
    dead = {position: decode_note(row.note).reason for position, row in rows.items() if row and row.state is State.DEAD}
    assert dead == {11: Reason.EVALUATION, 15: Reason.EVALUATION}
    assert [position for position, row in rows.items() if row is None] == [12, 13, 14]
    assert bus.state.by_uid[record.uid].status is Status.LIVE
    bus.engine.close()
