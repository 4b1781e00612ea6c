"""Defects that the simulation, or reading the code to write it, brought to light: each small enough to see why."""

from typing import Any

import pytest

from eventyard.consumers import Claim
from eventyard.core import limits, rule
from eventyard.core.commands import (
    AdvanceBackfill,
    Command,
    ContinueIntent,
    CreateBus,
    DeleteBus,
    DeleteRule,
    EndReplay,
    EnforceCap,
    Publish,
    Put,
    PutRule,
    Redrive,
    Replay,
    Seek,
    SetPaused,
)
from eventyard.core.delivery import State, decode_note
from eventyard.core.errors import InvalidRule, NotFound, StorageFailed, StorageFull
from eventyard.core.event import make
from tests.simulation.books import Books
from tests.simulation.house import EngineName, House, Parts
from tests.simulation.world import World

ANY = b'{"pattern": {"source": [{"prefix": "/client/"}]}, "target": {"http": {"url": "http://alpha/mail", "timeout_s": 5}}'


class Small:
    """A house that is told what to do, answer by answer."""

    def __init__(self, engine: EngineName = "memory") -> None:
        self.house = House(World(1), Books(), engine, Parts(has_budgets=False))
        self.house.open()

    def ask(self, bus: str, *commands: Command) -> list[Any]:
        """All in one step."""
        answers: list[Any] = []
        for command in commands:
            self.submit(bus, command, answers)
        self.house.step_writer()
        return answers

    def submit(self, bus: str, command: Command, answers: list[Any]) -> None:
        if isinstance(command, CreateBus | DeleteBus):
            self.house.writer.submit_system(command, answers.append)
            return
        if isinstance(command, Redrive):
            self.house.books.redrive(self.house.writer.states[1].record.incarnation, command.name)
        self.house.writer.submit(bus, command, answers.append)

    def work(self) -> None:
        for _ in range(20):
            self.house.step_others()
            self.house.step_writer()

    def states(self, bus: int, uid: int, positions: range) -> list[State | None]:
        rows = [self.house.engine.view.delivery(bus, (uid, 0, position)) for position in positions]
        return [row.state if row else None for row in rows]


def put(name: str, *, tail: bytes = b"") -> PutRule:
    return PutRule(name, *rule.parse(ANY + tail + b"}"))


def pull(name: str) -> PutRule:
    document = b'{"pattern": {"source": [{"prefix": "/client/"}]}, "target": {"queue": {"lease_s": 1}}}'
    return PutRule(name, *rule.parse(document))


def publish(*numbers: int) -> Publish:
    return Publish(tuple(make({"id": str(n), "source": "/client/1", "type": "car.sold"}, {"n": n}) for n in numbers))


def keyed(keys: str) -> Publish:
    """One event for each key."""
    return Publish(
        tuple(
            make({"id": f"{n}{key}{len(keys)}", "source": "/client/1", "type": "car.sold"}, {"key": key})
            for n, key in enumerate(keys)
        )
    )


def test_a_cut_publish_keeps_no_position_of_a_failed_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STEP_EVENTS_MAX", 2)
    small = Small()
    small.house.engine.next_error = StorageFull("no room")
    answers = small.ask("default", publish(1, 2, 3))
    small.work()
    assert [type(answer) for answer in answers] == [StorageFull]
    assert small.house.writer.states[1].head == 0


def test_what_is_leased_at_start_is_not_released_with_what_was_left_over() -> None:
    small = Small()
    small.house.targets.moods["alpha"] = "hang"
    small.ask("default", put("mail", tail=b', "delivery": {"concurrency": 1}'))
    small.ask("default", publish(1, 2, 3))
    small.house.crash()
    small.house.open()
    small.work()
    assert [len(handed) for handed in small.house.books.handed.values()] == [2]


def test_a_bus_may_be_deleted_in_the_step_that_changes_it() -> None:
    small = Small()
    small.ask("", CreateBus("second", "0000000a"))
    answers: list[Any] = []
    small.submit("", DeleteBus("second"), answers)
    small.submit("second", publish(1), answers)
    small.house.step_writer()
    assert len(answers) == 2
    assert "second" not in small.house.writer.numbers


def test_a_start_in_the_future_is_refused() -> None:
    """It took the events of its own step, which no answer had promised it."""
    answer = Small().ask("default", publish(1), put("mail", tail=b', "start": {"time": "2099-01-01T00:00:00Z"}'))[1]
    assert isinstance(answer, InvalidRule)


def test_a_verdict_for_a_deleted_bus_settles_nothing_of_the_next_one() -> None:
    small = Small()
    small.house.targets.moods["alpha"] = "slow"
    for incarnation in ("0000000a", "0000000b"):
        small.ask("", CreateBus("second", incarnation))
        small.ask("second", put("mail"))
        small.ask("second", publish(1))
        if incarnation == "0000000a":
            small.ask("", DeleteBus("second"))
            small.work()
            small.house.targets.moods["alpha"] = "500"
    small.house.world.pass_time(5_000)
    small.work()
    assert small.states(small.house.writer.numbers["second"], 1, range(2, 3)) != [State.DELIVERED]


def test_a_redrive_under_way_moves_nothing_of_a_rule_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    small = Small()
    small.house.targets.moods["alpha"] = "422"
    uid = small.ask("default", put("mail", tail=b', "delivery": {"concurrency": 3}'))[0].record.uid
    small.ask("default", publish(1, 2, 3))
    small.house.world.pass_time(1_000)
    small.work()
    small.house.targets.moods["alpha"] = "422"
    redriven = small.ask("default", Redrive("mail", None))[0]
    small.house.world.pass_time(1_000)
    small.house.step_writer()
    small.ask("default", DeleteRule("mail"), ContinueIntent(redriven.position))
    small.house.world.pass_time(60_000)
    small.work()
    assert not any(state is not None and state.is_pending for state in small.states(1, uid, range(1, 5)))


def test_a_backfill_that_cannot_read_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    small = Small("sqlite")
    small.ask("default", publish(1, 2, 3))
    small.house.crash()
    small.house.open()
    uid = small.ask("default", put("mail", tail=b', "start": "earliest"'))[0].record.uid
    monkeypatch.setattr(small.house.engine, "reader", _failing_reader)
    assert not small.house.backfill.step()
    monkeypatch.undo()
    small.work()
    assert small.states(1, uid, range(1, 4)) != [None, None, None]


def test_a_rule_that_is_pulled_from_now_on_gives_nothing_to_who_pushed_it() -> None:
    """Its leases went to dispatch, which has no target for them: the writer died of it."""
    small = Small()
    small.ask("default", put("mail", tail=b', "delivery": {"concurrency": 1}'))
    small.ask("default", publish(1, 2))
    small.house.world.pass_time(1_000)
    small.ask("default", pull("mail"))
    assert [len(handed) for handed in small.house.books.handed.values()] == [1]


def test_a_rule_may_be_deleted_in_the_step_that_leases_of_it() -> None:
    """The claim had ended with the rule when its lease was to be handed over: the writer died of it."""
    small = Small()
    uid = small.ask("default", pull("mail"))[0].record.uid
    answers: list[Any] = []
    small.house.consumers.wait(Claim((1, uid), 1, 1_000, answers.append))
    small.ask("default", publish(1), DeleteRule("mail"))
    small.house.world.pass_time(2_000)
    small.work()
    assert isinstance(answers[0], NotFound)
    assert small.states(1, uid, range(2, 3)) == [State.DISCARDED]


def test_a_restart_shortens_no_lease() -> None:
    small = Small()
    uid = small.ask("default", pull("mail"))[0].record.uid
    answers: list[Any] = []
    small.ask("default", publish(1))
    small.house.consumers.wait(Claim((1, uid), 1, 600_000, answers.append))
    small.house.step_writer()
    small.house.crash()
    small.house.open()
    small.house.world.pass_time(590_000)
    small.work()
    assert small.states(1, uid, range(2, 3)) == [State.LEASED]


def test_what_is_parked_does_not_keep_the_redrive_waiting_that_frees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    monkeypatch.setattr(limits, "BACKFILL_UNSETTLED_MAX", 1)
    small = Small()
    small.house.targets.moods["alpha"] = "422"
    uid = small.ask("default", put("mail", tail=b', "delivery": {"order": "key", "key": "data.key"}'))[0].record.uid
    small.ask("default", keyed("ab"))
    small.house.world.pass_time(1_000)
    small.work()
    small.ask("default", keyed("abab"))
    small.house.targets.moods.clear()
    small.ask("default", Redrive("mail", None))
    for _ in range(5):
        small.house.world.pass_time(1_000)
        small.work()
    assert small.states(1, uid, range(2, 4)) == [State.DELIVERED] * 2


def test_what_a_closed_run_still_owes_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives nothing out, so the writer found it due again and again, without a pause, until all of it was discarded."""
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    small = Small()
    small.house.targets.moods["alpha"] = "hang"
    uid = small.ask("default", put("mail", tail=b', "delivery": {"concurrency": 1}'))[0].record.uid
    small.ask("default", publish(1, 2, 3, 4))
    small.ask("default", Seek("mail", "latest"))
    assert uid not in small.house.writer.states[1].due
    small.work()
    assert small.states(1, uid, range(2, 6)) == [State.DISCARDED] * 4


def test_a_late_verdict_on_a_cancelled_replay_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    small = Small()
    uid = small.ask("default", put("mail", tail=b', "delivery": {"concurrency": 3}'))[0].record.uid
    small.ask("default", publish(1, 2, 3))
    small.house.world.pass_time(1_000)
    small.work()
    small.house.targets.moods["alpha"] = "slow"
    run = small.ask("default", Replay("mail", "earliest"))[0].run
    small.work()
    small.ask("default", EndReplay("mail", run))
    small.house.world.pass_time(10_000)
    small.house.step_writer()
    rows = [small.house.engine.view.delivery(1, (uid, run, position)) for position in (2, 3, 4)]
    assert [decode_note(row.note).reason for row in rows if row is not None] == ["cancelled"] * 3


def test_a_rule_deleted_in_the_middle_of_a_seek_tells_its_dead_letters_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seek went on through all of the rule, and said that it was the seek."""
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    small = Small()
    small.house.targets.moods["alpha"] = "422"
    uid = small.ask("default", put("mail"), publish(1, 2, 3, 4))[0].record.uid
    small.work()
    small.house.world.pass_time(1_000)
    small.ask("default", SetPaused("mail", is_paused=True), publish(5, 6))
    small.ask("default", Seek("mail", "latest"))
    small.ask("default", DeleteRule("mail"))
    small.work()
    rows = small.house.engine.view.deliveries(1, [(uid, 0, position) for position in range(2, 6)])
    assert [decode_note(row.note).reason for row in rows] == ["rule-deleted"] * 4


def test_a_cap_tells_of_what_a_backfill_puts_in_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKFILL_LAST_STRETCH", 1)
    monkeypatch.setattr(limits, "BACKFILL_EVENTS_PER_STEP", 2)
    small = Small()
    small.ask("default", publish(1, 2, 3, 4))
    uid = small.ask("default", put("mail", tail=b', "start": "earliest"'), SetPaused("mail", is_paused=True))[0].record.uid
    version = small.house.writer.states[1].by_uid[uid].version
    cap = EnforceCap(uid, 0, 4, "its backlog was older than 1 s")
    small.ask("default", AdvanceBackfill(uid, 0, version, 1, 2, (Put(1), Put(2))), cap)
    told = small.house.ledger.buses[1].documents[small.house.writer.states[1].head]["data"]
    small.work()
    assert (told["first"], told["last"]) == (1, 3)
    assert small.states(1, uid, range(1, 4)) == [State.DISCARDED, State.DISCARDED, None]


def test_a_cap_is_done_with_though_its_rule_gets_more_with_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it was not, no dead letter of the rule could be redriven."""
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    small = Small()
    uid = small.ask("default", put("mail"), SetPaused("mail", is_paused=True), publish(1, 2))[0].record.uid
    small.ask("default", EnforceCap(uid, 0, 4, "its backlog was older than 1 s"))
    cap = small.house.writer.states[1].head
    for number in range(10, 15):
        small.ask("default", publish(number), ContinueIntent(cap))
    assert not small.house.writer.states[1].intents


def _failing_reader() -> Any:
    raise StorageFailed("injected")


def test_a_queue_whose_next_moment_cannot_be_read_does_not_stop_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Small()
    small.house.targets.moods["alpha"] = "500"
    uid = small.ask("default", put("mail"))[0].record.uid
    small.ask("default", publish(1))
    small.house.world.pass_time(1_000)
    small.house.step_writer()
    small.house.targets.moods.clear()
    small.house.world.pass_time(60_000)
    monkeypatch.setattr(small.house.engine.view, "next_due", lambda *_: _failing_reader())
    small.house.step_writer()
    small.house.world.pass_time(1_000)
    small.work()
    assert small.states(1, uid, range(2, 3)) == [State.DELIVERED]
