"""The keeper: asks once for what is to be done, and again when that is done."""

from collections.abc import Callable
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.commands import Command, ContinueIntent, DeleteRule, Expire, ForgetTombstones, Publish, Redrive, TrimParked
from eventyard.core.delivery import Note, Reason, State
from eventyard.core.rule import RuleRecord
from eventyard.core.verdict import Dead
from eventyard.keeper import LEASES_EVERY_MS, TOMBSTONES_EVERY_MS, Keeper
from tests.support.builders import an_event
from tests.support.houses import House

NEVER = Dead(Note(reason=Reason.ANSWER, status=422))


class Kept(House):
    """`asked` is what the keeper asked of the writer. `held` answers are given by `let_go`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Command] = []
        self.held: list[Callable[[Any], None]] = []
        self.keeper = Keeper(self.writer.states, self._submit, self.now)

    def _submit(self, number: int, command: Command, done: Callable[[Any], None]) -> None:
        self.asked.append(command)
        self.writer.submit_own(number, command, lambda _: self.held.append(done))

    def let_go(self) -> None:
        while self.writer.step():
            pass
        held, self.held = self.held, []
        for done in held:
            done(None)


@pytest.fixture
def bus() -> Kept:
    return Kept()


def all_dead(bus: House, record: RuleRecord, count: int) -> None:
    """That many events, each a dead letter."""
    bus.do(Publish(tuple(an_event(f"{bus.state.head}-{number}") for number in range(count))))
    bus.receiver.want(record.uid, count)
    bus.writer.step()
    bus.receiver.wanted.clear()
    for lease in bus.take():
        bus.settle(lease, NEVER)


def test_a_step_is_asked_for_once_until_it_is_answered(bus: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 2)
    all_dead(bus, bus.put("paid"), 5)
    number = bus.do(Redrive("paid", None)).position
    assert [bus.keeper.step(), bus.keeper.step()] == [True, False]
    bus.let_go()
    assert bus.keeper.step()
    bus.let_go()
    assert not bus.keeper.step()
    assert bus.asked == [ContinueIntent(number)] * 2


def test_a_redrive_goes_no_further_ahead_than_its_consumer_can(bus: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 2)
    monkeypatch.setattr(limits, "BACKFILL_UNSETTLED_MAX", 3)
    record = bus.put("paid")
    all_dead(bus, record, 9)
    bus.do(Redrive("paid", None))
    assert bus.keeper.step()
    bus.let_go()
    assert not bus.keeper.step()
    assert bus.state.queues[record.uid].counts[State.WAITING] == 4


def test_leases_are_looked_through_now_and_then_and_taken_back(bus: Kept) -> None:
    record = bus.put("paid")
    bus.receiver.want(record.uid, 3, lease_ms=LEASES_EVERY_MS)
    bus.do(Publish(tuple(an_event(number) for number in range(3))))
    bus.receiver.wanted.clear()
    assert not bus.keeper.step()
    bus.clock.advance(LEASES_EVERY_MS)
    assert bus.keeper.step()
    bus.let_go()
    assert bus.asked == [Expire(limits.LEASES_PER_STEP_MAX)]
    assert bus.state.queues[record.uid].counts[State.RETRYING] == 3


def test_what_is_parked_past_its_limit_is_trimmed(bus: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARKED_BEHIND_MAX", 2)
    record = bus.put("paid", delivery={"order": "key", "key": "data.k"})
    bus.receiver.want(record.uid, 1)
    bus.do(Publish(tuple(an_event(number, data={"k": 1}) for number in range(3))))
    bus.settle(bus.take()[0], NEVER)
    assert not bus.keeper.step()
    bus.do(Publish((an_event("one more", data={"k": 1}),)))
    assert bus.keeper.step()
    assert bus.asked == [TrimParked(record.uid)]


def test_deleted_rules_are_looked_through_once_a_minute(bus: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    bus.put("paid")
    bus.do(DeleteRule("paid"))
    bus.keeper.step()
    bus.let_go()
    monkeypatch.setattr(limits, "TOMBSTONE_S", 30)
    for by_ms, left in ((TOMBSTONES_EVERY_MS - 1, {"paid"}), (1, set())):
        bus.clock.advance(by_ms)
        bus.keeper.step()
        bus.let_go()
        assert set(bus.state.tombstones) == left
    assert [command for command in bus.asked if isinstance(command, ForgetTombstones)] == [ForgetTombstones()] * 2
