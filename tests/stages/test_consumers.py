"""Consumers that wait: who is served, by which step, and who is told what. Stepped by hand."""

import itertools
from typing import Any

import pytest

from eventyard.consumers import Claim, Consumers
from eventyard.core import limits
from eventyard.core.commands import CreateBus, DeleteBus, DeleteRule, Expire, Publish, Seek, SetPaused, Settle, Settlement
from eventyard.core.delivery import Note
from eventyard.core.errors import InvalidRequest, NotFound, Overloaded, Stopping, StorageFull
from eventyard.core.verdict import Delivered
from eventyard.engines.memory import MemoryEngine
from eventyard.writer import HELD_S, Writer
from tests.support.builders import URL, ManualClock, an_event, put_rule

LEASE_MS = 30_000
QUEUE: dict[str, Any] = {"queue": {}}


class FlakyEngine(MemoryEngine):
    """Refuses commits while `error` is set."""

    error: Exception | None = None

    def commit(self, batch: Any) -> None:
        if self.error is not None:
            raise self.error
        super().commit(batch)


class Desk:
    """A writer with consumers. `answers`: what each claim was told, by the name that the test gave it, in that order."""

    def __init__(self) -> None:
        self.engine = FlakyEngine()
        self.clock = ManualClock()
        self.woken = 0
        self.consumers = Consumers(self._wake)
        self.writer = Writer(self.engine, self.clock, self.consumers)
        self.writer.open(map("life{}".format, itertools.count()).__next__)
        self.answers: dict[str, Any] = {}

    def _wake(self) -> None:
        self.woken += 1

    def put(self, name: str, *, bus: str = "default", **changes: Any) -> int:
        uid: int = self.do(put_rule(name, target=QUEUE, **changes), bus=bus).record.uid
        return uid

    def do(self, command: Any, *, bus: str = "default") -> Any:
        answers: list[Any] = []
        self.writer.submit(bus, command, answers.append)
        while not answers:
            self.writer.step()
        return answers[0]

    def publish(self, *numbers: int, bus: str = "default") -> None:
        self.do(Publish(tuple(an_event(number) for number in numbers)), bus=bus)

    def claim(self, name: str, uid: int, count: int = 10, *, is_impatient: bool = False, bus: int = 1) -> Claim:
        claim = Claim((bus, uid), count, LEASE_MS, lambda answer: self.answers.update({name: answer}), is_impatient)
        self.consumers.wait(claim)
        return claim

    def step(self) -> None:
        self.writer.step()

    def given(self) -> dict[str, list[int]]:
        """The positions that each claim was given, of those that were answered with a list."""
        lists = {name: answer for name, answer in self.answers.items() if isinstance(answer, list)}
        return {name: [lease.delivery.position for _, lease in answer] for name, answer in lists.items()}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_waits_is_given_by_the_next_step(desk: Desk) -> None:
    uid = desk.put("pulled")
    desk.publish(1, 2, 3)
    desk.claim("a", uid, 2)
    desk.step()
    assert desk.given() == {"a": [2, 3]}
    [(_, lease), *_] = desk.answers["a"]
    assert (lease.delivery.at_ms, lease.delivery.attempts) == (LEASE_MS, 1)


def test_a_claim_waits_for_the_step_that_has_something_for_it(desk: Desk) -> None:
    uid = desk.put("pulled")
    desk.claim("a", uid)
    desk.step()
    assert desk.answers == {}
    desk.publish(1, 2)
    assert desk.given() == {"a": [2, 3]}


def test_claims_are_served_in_their_order(desk: Desk) -> None:
    uid = desk.put("pulled")
    for name in "abc":
        desk.claim(name, uid, 2)
    desk.publish(1, 2, 3)
    assert desk.given() == {"a": [2, 3], "b": [4]}
    desk.publish(4)
    assert desk.given() == {"a": [2, 3], "b": [4], "c": [5]}


def test_claims_of_other_rules_are_not_in_the_way(desk: Desk) -> None:
    one, other = desk.put("one"), desk.put("other", pattern={"type": ["order.sent"]})
    desk.claim("one", one)
    desk.claim("other", other)
    desk.do(Publish((an_event(1, kind="order.sent"),)))
    assert desk.given() == {"other": [3]}


def test_an_impatient_claim_is_answered_by_a_step_in_which_nothing_else_happens(desk: Desk) -> None:
    desk.claim("a", desk.put("pulled"), is_impatient=True)
    assert not desk.writer.step()
    assert desk.answers == {"a": []}


def test_whoever_comes_or_waits_no_longer_wakes_the_writer(desk: Desk) -> None:
    claim = desk.claim("a", desk.put("pulled"))
    assert desk.woken == 1
    desk.consumers.hurry(claim)
    assert desk.woken == 2
    desk.step()
    assert desk.answers == {"a": []}


def test_a_claim_may_be_hurried_before_any_step_has_seen_it_and_after_its_answer(desk: Desk) -> None:
    claim = desk.claim("a", desk.put("pulled"))
    desk.consumers.hurry(claim)
    desk.step()
    desk.consumers.hurry(claim)
    desk.step()
    assert desk.answers == {"a": []}


def test_a_paused_rule_gives_nothing_and_who_has_no_patience_is_told_so(desk: Desk) -> None:
    uid = desk.put("pulled")
    desk.publish(1)
    desk.do(SetPaused("pulled", is_paused=True))
    desk.claim("patient", uid)
    desk.claim("impatient", uid, is_impatient=True)
    desk.step()
    assert desk.answers == {"impatient": []}
    desk.do(SetPaused("pulled", is_paused=False))
    assert desk.given() == {"impatient": [], "patient": [2]}


def test_who_waits_for_what_is_gone_is_told(desk: Desk) -> None:
    desk.writer.submit_system(CreateBus("other", "life-other"), lambda _: None)
    desk.step()
    gone, pushed, elsewhere = desk.put("gone"), desk.put("pushed"), desk.put("elsewhere", bus="other")
    for name, uid, bus in (("gone", gone, 1), ("pushed", pushed, 1), ("elsewhere", elsewhere, 2)):
        desk.claim(name, uid, bus=bus)
    desk.do(DeleteRule("gone"))
    desk.do(put_rule("pushed", target={"http": {"url": URL}}))
    desk.writer.submit_system(DeleteBus("other"), lambda _: None)
    desk.step()
    assert {name: type(answer) for name, answer in desk.answers.items()} == {
        "gone": NotFound,
        "pushed": InvalidRequest,
        "elsewhere": NotFound,
    }


def test_a_claim_on_a_rule_that_was_gone_before_it_came_is_told(desk: Desk) -> None:
    uid = desk.put("gone")
    desk.do(DeleteRule("gone"))
    desk.claim("late", uid)
    desk.claim("nowhere", uid, bus=7)
    desk.step()
    assert [type(answer) for answer in desk.answers.values()] == [NotFound, NotFound]


def test_a_step_that_could_not_be_kept_leaves_who_can_wait_waiting(desk: Desk) -> None:
    uid = desk.put("pulled")
    desk.publish(1)
    desk.engine.error = StorageFull("found no room")
    desk.claim("impatient", uid, is_impatient=True)
    desk.claim("patient", uid)
    desk.step()
    assert desk.answers == {"impatient": desk.engine.error}
    desk.engine.error = None
    desk.step()
    assert desk.given()["patient"] == [2]
    assert desk.answers["patient"][0][1].delivery.attempts == 1


def test_stopping_answers_everybody_and_takes_nobody(desk: Desk) -> None:
    uid = desk.put("pulled")
    desk.claim("a", uid)
    desk.step()
    desk.claim("b", uid)
    desk.consumers.stop()
    desk.step()
    assert desk.answers == {"a": [], "b": []}
    with pytest.raises(Stopping):
        desk.claim("c", uid)


def test_so_many_wait_and_no_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECEIVES_WAITING_MAX", 2)
    uid = desk.put("pulled")
    desk.claim("a", uid)
    desk.step()
    desk.claim("b", uid)
    with pytest.raises(Overloaded):
        desk.claim("c", uid)
    desk.publish(1)
    desk.claim("c", uid)


def test_a_lease_that_ran_out_goes_to_whoever_waits(desk: Desk) -> None:
    uid = desk.put("pulled")
    desk.publish(1)
    desk.claim("a", uid)
    desk.step()
    desk.claim("b", uid)
    desk.clock.advance(LEASE_MS)
    desk.do(Expire(100))
    desk.step()
    assert desk.given() == {"a": [2], "b": [2]}
    assert desk.answers["b"][0][1].delivery.attempts == 2


@pytest.mark.parametrize("by_ms", [86_400_000, -86_400_000])
def test_a_wall_clock_that_jumps_ends_no_lease(desk: Desk, by_ms: int) -> None:
    uid = desk.put("pulled")
    desk.publish(1)
    desk.claim("a", uid)
    desk.step()
    desk.clock.wall_ms += by_ms
    desk.clock.advance(LEASE_MS - 1)
    assert desk.do(Expire(100)) == 0
    desk.clock.advance(1)
    assert desk.do(Expire(100)) == 1


def test_publishers_that_fill_every_step_keep_nobody_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = desk.put("pulled")
    desk.publish(1)
    monkeypatch.setattr(limits, "STEP_EVENTS_MAX", 2)
    published: list[Any] = []
    desk.writer.submit("default", Publish(tuple(an_event(number) for number in range(10, 20))), published.append)
    desk.claim("a", uid, 1)
    desk.step()
    assert (published, desk.given()) == ([], {"a": [2]})


def test_a_queue_that_a_step_did_not_reach_is_no_empty_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    uids = {name: desk.put(name) for name in ("a", "b")}
    idle = desk.put("idle", pattern={"type": ["order.imaginary"]})
    desk.publish(*range(4))
    monkeypatch.setattr(limits, "LEASES_PER_STEP_MAX", 2)
    for name, uid in uids.items():
        desk.claim(f"{name}1", uid, 2, is_impatient=True)
        desk.claim(f"{name}2", uid, 2, is_impatient=True)
    desk.claim("idle", idle, is_impatient=True)
    desk.step()
    assert desk.given() == {"a1": [4, 5], "idle": []}
    while desk.writer.step():
        pass
    assert {name: len(given) for name, given in desk.given().items()} == {"a1": 2, "a2": 2, "b1": 2, "b2": 2, "idle": 0}


def test_what_is_due_in_a_run_that_is_being_closed_does_not_keep_the_writer_busy(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    uid = desk.put("pulled")
    desk.publish(*range(4))
    desk.do(Seek("pulled", "latest"))
    desk.claim("a", uid)
    assert not desk.writer.step()
    assert desk.writer._idle_s() >= HELD_S
    assert desk.answers == {}


def test_rules_with_long_queues_are_served_in_turns(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    uids = [desk.put(name) for name in "abc"]
    desk.publish(*range(10))
    monkeypatch.setattr(limits, "LEASES_PER_STEP_MAX", 2)
    for turn in range(2):
        for name, uid in zip("abc", uids, strict=True):
            desk.claim(f"{name}{turn}", uid, 2)
    order = []
    for _ in range(6):
        before = set(desk.answers)
        desk.step()
        order += sorted(name[0] for name in set(desk.answers) - before)
    assert order == ["a", "b", "c", "a", "b", "c"]


def test_buses_with_long_queues_are_served_in_turns(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.writer.submit_system(CreateBus("other", "life-other"), lambda _: None)
    desk.step()
    uids = {bus: desk.put("pulled", bus=bus) for bus in ("default", "other")}
    for bus in uids:
        desk.publish(*range(5), bus=bus)
    monkeypatch.setattr(limits, "STEP_BYTES_MAX", 1)
    for number, (bus, uid) in enumerate(uids.items(), 1):
        for turn in range(4):
            desk.claim(f"{bus}{turn}", uid, 1, bus=number)
    for _ in range(4):
        desk.step()
    assert sorted(desk.answers) == ["default0", "default1", "other0", "other1"]


def test_a_settled_list_is_one_question_to_the_store(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that ran out are not in memory any more: each would be a question of its own."""
    uid = desk.put("pulled")
    desk.publish(*range(20))
    desk.claim("a", uid, 20)
    desk.step()
    desk.clock.advance(LEASE_MS)
    desk.do(Expire(100))
    asked: list[int] = []
    view = desk.engine.view
    whole = type(view).deliveries

    def deliveries(self: Any, bus: int, keys: Any) -> Any:
        asked.append(len(keys))
        return whole(self, bus, keys)

    monkeypatch.setattr(type(view), "deliveries", deliveries)
    settlements = [Settlement(lease.delivery.key, 1, Delivered(Note())) for _, lease in desk.answers["a"]]
    invented = [Settlement((uid, 0, position), 1, Delivered(Note())) for position in range(1_000, 1_020)]
    found = desk.do(Settle((*settlements, *invented)))
    assert ([one is None for one in found], asked) == ([True] * 20 + [False] * 20, [40])
