"""Claims of workers: one claim is for every push rule of every bus, and nothing that was leased for it is lost with it."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from eventyard.bus import Eventyard
from eventyard.consumers import Claim, Consumers, Granted
from eventyard.core import limits
from eventyard.core.commands import CreateBus, DeleteRule, Publish, SetPaused
from eventyard.core.errors import NotFound
from eventyard.core.network import Policy
from eventyard.engines.memory import MemoryEngine
from eventyard.writer import Writer
from tests.support.builders import ManualClock, ScriptedTransport, an_event, put_rule

LIMIT_S = 20.0


class Desk:
    """A writer with consumers, stepped by hand."""

    def __init__(self) -> None:
        self.consumers = Consumers(lambda: None)
        self.writer = Writer(MemoryEngine(), ManualClock(), self.consumers)
        self.writer.open(map("life{}".format, itertools.count()).__next__)
        self.answers: list[list[Granted]] = []

    def submit(self, bus: str, command: Any) -> None:
        self.writer.submit(bus, command, lambda _: None)

    def do(self, bus: str, command: Any) -> None:
        self.submit(bus, command)
        self.step()

    def step(self) -> None:
        while self.writer.step():
            pass

    def claim(self, count: int) -> Claim:
        """A worker's claim, waiting."""
        claim = Claim(None, count, 0, lambda answer: self.answers.append(_granted(answer)))
        self.consumers.wait(claim)
        return claim


def _granted(answer: Any) -> list[Granted]:
    assert isinstance(answer, list)
    return answer


def test_a_claim_is_for_push_rules_alone() -> None:
    desk = Desk()
    desk.do("default", put_rule("pushed"))
    desk.do("default", put_rule("pulled", target={"queue": {}}))
    desk.do("default", Publish((an_event(1),)))
    desk.claim(10)
    desk.step()
    assert [lease.record.name for _, lease in desk.answers[0]] == ["pushed"]


def test_a_lease_lasts_as_long_as_its_rules_push_may() -> None:
    desk = Desk()
    desk.do("default", put_rule("slow", target={"http": {"url": "http://127.0.0.1:9/", "timeout_s": 100}}))
    desk.do("default", Publish((an_event(1),)))
    desk.claim(10)
    desk.step()
    ((_, lease),) = desk.answers[0]
    assert lease.delivery.at_ms == 100_000 + limits.PUSH_LEASE_MARGIN_MS


def test_the_count_of_a_claim_holds_over_all_buses_of_a_step() -> None:
    desk = Desk()
    for number in range(3):
        desk.writer.submit_system(CreateBus(f"bus{number}", f"life-{number}"), lambda _: None)
    desk.step()
    for number in range(3):
        desk.do(f"bus{number}", put_rule("r"))
        desk.do(f"bus{number}", Publish(tuple(an_event(each) for each in range(5))))
    desk.claim(7)
    desk.writer.step()
    assert len(desk.answers[0]) == 7


def test_one_step_gives_out_no_more_bytes_than_a_step_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(an_event(1, data="x" * 1_000).json)
    monkeypatch.setattr(limits, "STEP_BYTES_MAX", 3 * size)
    desk = Desk()
    desk.do("default", put_rule("a"))
    desk.do("default", put_rule("b"))
    desk.claim(100)
    desk.do("default", Publish((an_event(1, data="x" * 1_000), an_event(2, data="x" * 1_000))))
    assert sum(len(lease.event) for _, lease in desk.answers[0]) <= 3 * size
    for _ in range(4):
        desk.claim(100)
        desk.step()
    given = [
        (lease.record.name, position)
        for answer in desk.answers
        for (_, lease) in answer
        for position in [lease.delivery.position]
    ]
    assert sorted(given) == [("a", 3), ("a", 4), ("b", 3), ("b", 4)]


def test_two_workers_share_a_rule_and_its_concurrency() -> None:
    desk = Desk()
    desk.do("default", put_rule("r", delivery={"concurrency": 5}))
    desk.claim(3)
    desk.claim(3)
    desk.do("default", Publish(tuple(an_event(number) for number in range(9))))
    assert [len(answer) for answer in desk.answers] == [3, 2]


def test_a_pulled_rule_that_is_deleted_in_the_step_that_leases_it_ends_the_claim() -> None:
    desk = Desk()
    desk.do("default", put_rule("pulled", target={"queue": {}}))
    (uid,) = desk.writer.states[1].by_uid
    ends: list[Any] = []
    desk.consumers.wait(Claim((1, uid), 3, 30_000, ends.append))
    desk.submit("default", Publish((an_event(1),)))
    desk.submit("default", DeleteRule("pulled"))
    desk.step()
    assert [type(end) for end in ends] == [NotFound]
    desk.do("default", put_rule("other"))
    desk.claim(3)
    desk.do("default", Publish((an_event(2),)))
    assert [lease.record.name for _, lease in desk.answers[0]] == ["other"]


def test_a_claim_waits_for_a_rule_that_is_paused() -> None:
    desk = Desk()
    desk.do("default", put_rule("r"))
    desk.do("default", SetPaused("r", is_paused=True))
    desk.do("default", Publish((an_event(1),)))
    desk.claim(3)
    desk.step()
    assert desk.answers == []
    desk.do("default", SetPaused("r", is_paused=False))
    assert [len(answer) for answer in desk.answers] == [1]


def test_a_claim_that_waits_no_longer_is_answered_with_nothing() -> None:
    desk = Desk()
    claim = desk.claim(3)
    desk.step()
    desk.consumers.hurry(claim)
    desk.step()
    assert desk.answers == [[]]


# Who leaves while it waits


def story(tell: Callable[[Eventyard], Any]) -> None:
    async def run() -> None:
        policy = Policy(is_loopback_allowed=True)
        yard = Eventyard(MemoryEngine(), ScriptedTransport(), ManualClock(), policy, is_pushing=False)
        yard.start()
        try:
            await asyncio.wait_for(tell(yard), LIMIT_S)
        finally:
            await yard.stop()

    asyncio.run(run())


def test_what_was_leased_for_a_worker_that_left_is_due_again_and_uncounted() -> None:
    async def tell(yard: Eventyard) -> None:
        await yard.put_rule(
            "default", "r", b'{"pattern":{"type":["order.paid"]},"target":{"http":{"url":"http://127.0.0.1:9/"}}}'
        )
        leaving = asyncio.create_task(yard.receive_pushes(count=10, wait_s=LIMIT_S))
        await asyncio.sleep(0)
        is_leased = threading.Event()
        after = yard._writer.after_step
        go_on = threading.Event()

        def hold() -> None:
            """Between the lease and its answer, on the writer's thread."""
            if yard._writer.states[1].leased and not is_leased.is_set():
                is_leased.set()
                go_on.wait(LIMIT_S)
            after()

        yard._writer.after_step = hold
        publishing = asyncio.create_task(yard.publish("default", [an_event(1)]))
        await asyncio.to_thread(is_leased.wait, LIMIT_S)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        go_on.set()
        await publishing
        ((_, lease),) = await yard.receive_pushes(count=10, wait_s=LIMIT_S)
        assert (lease.delivery.attempts, lease.delivery.leases) == (1, 2)

    story(tell)


def test_a_claim_of_a_worker_that_left_takes_nothing() -> None:
    async def tell(yard: Eventyard) -> None:
        await yard.put_rule(
            "default", "r", b'{"pattern":{"type":["order.paid"]},"target":{"http":{"url":"http://127.0.0.1:9/"}}}'
        )
        leaving = asyncio.create_task(yard.receive_pushes(count=10, wait_s=LIMIT_S))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert await yard.receive_pushes(count=10) == []
        await yard.publish("default", [an_event(1)])
        ((bus, lease),) = await yard.receive_pushes(count=10, wait_s=LIMIT_S)
        assert (bus.name, lease.delivery.leases) == ("default", 1)

    story(tell)
