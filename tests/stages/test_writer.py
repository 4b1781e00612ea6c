"""The writer: group commit, bounds, failure, restart."""

from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.commands import Publish, Settle, Settlement
from eventyard.core.delivery import Note, State
from eventyard.core.errors import Failed, Overloaded, Stopping, StorageFull
from eventyard.core.verdict import Delivered
from eventyard.engines.memory import MemoryEngine
from tests.support.builders import Stepped, an_event, put_rule


class FlakyEngine(MemoryEngine):
    """Refuses commits while `error` is set, and counts those it made."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.commits = 0

    def commit(self, batch: Any) -> None:
        if self.error is not None:
            raise self.error
        self.commits += 1
        super().commit(batch)


@pytest.fixture
def engine() -> FlakyEngine:
    return FlakyEngine()


@pytest.fixture
def bus(engine: FlakyEngine) -> Stepped:
    return Stepped(engine)


def test_what_waits_together_is_one_commit(bus: Stepped, engine: FlakyEngine) -> None:
    answers: list[Any] = []
    before = engine.commits
    for number in range(50):
        bus.writer.submit("default", Publish((an_event(number),)), answers.append)
    bus.writer.step()
    assert (len(answers), engine.commits - before) == (50, 1)


def test_nothing_is_answered_before_it_is_committed(bus: Stepped, engine: FlakyEngine) -> None:
    heads: list[int] = []
    bus.writer.submit("default", Publish((an_event(1),)), lambda _: heads.append(len(engine.view.events(1, 1, 9, 9))))
    bus.writer.step()
    assert heads == [1]


def test_a_failed_commit_tells_everybody_and_leaves_nothing_behind(bus: Stepped, engine: FlakyEngine) -> None:
    record = bus.put("paid")
    bus.receiver.want(record.uid, 5)
    engine.error = StorageFull("no space")
    answers: list[Any] = []
    bus.writer.submit("default", Publish((an_event(1), an_event(1))), answers.append)
    bus.writer.submit("default", put_rule("more"), answers.append)
    assert not bus.writer.step()
    assert answers == [engine.error, engine.error]
    assert (bus.state.head, len(bus.state.by_name), bus.receiver.leases) == (1, 1, [])
    engine.error = None
    (answer,) = bus.do(Publish((an_event(1),)))
    assert (answer.position, answer.is_duplicate) == (2, False)
    assert bus.row(record.uid, 2).state is State.LEASED


def test_a_duplicate_of_what_failed_to_commit_is_no_duplicate(bus: Stepped, engine: FlakyEngine) -> None:
    engine.error = StorageFull("no space")
    bus.do(Publish((an_event(1),)))
    engine.error = None
    assert bus.do(Publish((an_event(1, data={"other": 1}),)))[0].position == 1


def test_a_defect_fails_its_batch_and_not_the_bus(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("eventyard.core.publishing.publish", explode)
    assert isinstance(bus.do(Publish((an_event(1),))), Failed)
    monkeypatch.undo()
    assert bus.do(Publish((an_event(1),)))[0].position == 1


def test_a_request_past_the_bound_is_turned_away_and_room_comes_back(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INBOX_COMMANDS_MAX", 2)
    answers: list[Any] = []
    for number in range(2):
        bus.writer.submit("default", Publish((an_event(number),)), answers.append)
    with pytest.raises(Overloaded):
        bus.writer.submit("default", Publish((an_event(3),)), answers.append)
    bus.writer.step()
    bus.writer.submit("default", Publish((an_event(3),)), answers.append)


def test_bytes_that_wait_are_bounded_too(bus: Stepped) -> None:
    bus.writer.submit("default", Publish((an_event(1),)), print, size=limits.INBOX_BYTES_MAX)
    with pytest.raises(Overloaded):
        bus.writer.submit("default", Publish((an_event(2),)), print, size=1)


def test_a_verdict_is_never_turned_away(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INBOX_COMMANDS_MAX", 0)
    bus.writer.submit_own(1, Publish((an_event(1),)), lambda _: None)
    assert bus.writer.step()


def test_a_batch_is_cut_at_the_steps_bound_and_answered_whole(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STEP_EVENTS_MAX", 10)
    answers: list[Any] = []
    bus.writer.submit("default", Publish(tuple(an_event(number) for number in range(25))), answers.append)
    steps = 0
    while not answers:
        bus.writer.step()
        steps += 1
    assert steps == 3
    assert [answer.position for answer in answers[0]] == list(range(1, 26))


def test_a_stopped_writer_takes_nothing_and_answers_what_it_took(bus: Stepped) -> None:
    answers: list[Any] = []
    bus.writer.submit("default", Publish((an_event(1),)), answers.append)
    bus.writer.stop()
    bus.writer.run()
    assert answers[0][0].position == 1
    with pytest.raises(Stopping):
        bus.writer.submit("default", Publish((an_event(2),)), answers.append)


def test_a_restart_goes_on_where_it_was_and_releases_what_was_under_way(bus: Stepped, engine: FlakyEngine) -> None:
    record = bus.put("paid")
    bus.receiver.want(record.uid, 1)
    bus.do(Publish((an_event(1), an_event(2))))
    again = Stepped(engine)
    assert again.state.head == 3
    assert again.state.queues[record.uid].counts[:3] == [1, 1, 0]
    again.receiver.want(record.uid, 2)
    again.writer.step()
    assert sorted(lease.delivery.attempts for lease in again.receiver.leases) == [1, 2]


def test_accepted_time_stands_when_the_clock_goes_back(bus: Stepped) -> None:
    bus.do(Publish((an_event(1),)))
    bus.clock.wall_ms -= 3_600_000
    bus.do(Publish((an_event(2),)))
    first, second = bus.engine.view.events(1, 1, 2, 2)
    assert second.accepted_ms == first.accepted_ms


def test_a_wake_during_a_step_is_for_the_next_one(bus: Stepped) -> None:
    """A verdict that comes in while a step is being taken up must not wait for the writer's next look at the clock."""
    bus.receiver.while_collected = bus.writer.wake
    bus.writer.step()
    assert bus.writer._inbox._wake.is_set()


def test_beside_publishers_a_step_takes_a_share_of_the_verdicts(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    settle, answers = leased(bus, 6), list[Any]()
    monkeypatch.setattr(limits, "SHARE_BESIDE_PUBLISHERS", 4)
    monkeypatch.setattr(limits, "SHARE_PER_EVENT", 1)
    bus.writer.submit("default", settle, lambda answer: answers.append(("settled", answer)))
    bus.writer.submit("default", Publish((an_event(90),)), lambda _: answers.append("published"))
    bus.writer.step()
    assert (answers, counted(bus, State.DELIVERED)) == (["published"], 4)
    bus.writer.step()
    assert (answers[1:], counted(bus, State.DELIVERED)) == ([("settled", [None] * 6)], 6)


def test_with_nobody_publishing_a_step_takes_them_all(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    settle = leased(bus, 6)
    monkeypatch.setattr(limits, "SHARE_BESIDE_PUBLISHERS", 4)
    assert bus.do(settle) == [None] * 6


def test_verdicts_that_a_failed_commit_cut_are_told_and_may_be_said_again(
    bus: Stepped, engine: FlakyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, answers = leased(bus, 6), list[Any]()
    monkeypatch.setattr(limits, "SHARE_BESIDE_PUBLISHERS", 4)
    monkeypatch.setattr(limits, "SHARE_PER_EVENT", 1)
    engine.error = StorageFull("no space")
    bus.writer.submit("default", settle, answers.append)
    bus.writer.submit("default", Publish((an_event(90),)), answers.append)
    bus.writer.step()
    assert answers == [engine.error, engine.error]
    engine.error = None
    assert (counted(bus, State.DELIVERED), bus.do(settle)) == (0, [None] * 6)


def leased(bus: Stepped, count: int) -> Settle:
    """The verdict that each of so many leases is done."""
    record = bus.put("paid")
    bus.receiver.want(record.uid, count)
    bus.do(Publish(tuple(an_event(number) for number in range(count))))
    leases = [lease.delivery for lease in bus.receiver.leases]
    return Settle(tuple(Settlement(delivery.key, delivery.leases, Delivered(Note())) for delivery in leases))


def counted(bus: Stepped, state: State) -> int:
    return int(bus.state.queues[bus.state.by_name["paid"].uid].counts[state])
