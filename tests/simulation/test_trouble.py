"""A dead target with a long queue before it, played with the house's own stages on both engines: what the log is told of it."""

from typing import Any

import pytest

from eventyard.core import limits, rule
from eventyard.core.commands import Publish, PutRule
from eventyard.core.delivery import State
from eventyard.core.event import make
from tests.simulation.books import Books
from tests.simulation.house import EngineName, House, Parts
from tests.simulation.world import World

QUEUED = 1_000
ENGINES = ["memory", "sqlite"]

SHOP = b"""{"pattern": {"source": [{"prefix": "/client/"}]}, "target": {"http": {"url": "http://alpha/shop", "timeout_s": 5}},
    "delivery": {"breaker": null, "max_attempts": 3, "backoff": {"initial_s": 1, "max_s": 2}, "concurrency": 50}}"""
ALARM = b"""{"pattern": {"type": [{"prefix": "io.eventyard."}]}, "target": {"http": {"url": "http://beta/alarm", "timeout_s": 5}},
    "delivery": {"breaker": null, "max_attempts": 2, "backoff": {"initial_s": 1, "max_s": 2}}}"""


class Town:
    """The house with a shop and an alarm, and so many events that wait for both."""

    def __init__(self, engine: EngineName, **moods: str) -> None:
        self.house = House(World(7), Books(), engine, Parts())
        assert self.house.open()
        self.house.targets.moods.update(moods)
        for name, document in (("shop", SHOP), ("alarm", ALARM)):
            self._ask(PutRule(name, *rule.parse(document)))
        for start in range(0, QUEUED, 100):
            ids = range(start, start + 100)
            self._ask(Publish(tuple(make({"id": str(n), "source": "/client/1", "type": "order.paid"}, n) for n in ids)))

    def _ask(self, command: Any) -> None:
        answers: list[Any] = []
        self.house.writer.submit("default", command, answers.append)
        while not answers:
            self.house.step_writer()

    def work_off(self, *, crashes: int = 0) -> int:
        """Until nothing is pending, and two minutes more; the process is killed `crashes` times on the way. How long it took."""
        began_ms = self.house.world.now_ms
        while self._pending():
            self._step()
            if crashes and self._count(State.DEAD) > QUEUED // 2:
                crashes -= 1
                self.house.crash()
                assert self.house.open()
        took_ms = self.house.world.now_ms - began_ms
        until_ms = self.house.world.now_ms + 2 * limits.DEAD_LETTERS_TOLD_EVERY_MS
        while self.house.world.now_ms < until_ms:
            self._step()
        return took_ms

    def _step(self) -> None:
        for _ in range(3):
            self.house.step_others()
            self.house.step_writer()
        self.house.world.pass_time(300)

    def _pending(self) -> int:
        return sum(queue.pending for queue in self.house.writer.states[1].queues.values())

    def _count(self, state: State) -> int:
        return sum(queue.counts[state] for queue in self.house.writer.states[1].queues.values())

    def told(self, name: str) -> list[tuple[str, int]]:
        """Of the rule, what the log was told of trouble: the last words of the types, each with its count."""
        told = [
            (document["type"].removeprefix("io.eventyard.delivery."), document["data"].get("count", 0))
            for document in self.house.ledger.buses[1].documents.values()
            if document["type"].startswith("io.eventyard.delivery.") and document["data"]["name"] == name
        ]
        self.house.audit(is_at_rest=True)
        self.house.check_reload()
        return told


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mood", ["422", "500", "hang"])
def test_a_dead_target_with_a_long_queue_is_a_handful_of_events(engine: EngineName, mood: str) -> None:
    town = Town(engine, alpha=mood)
    took_ms = town.work_off(crashes=2)
    told = town.told("shop")

    minutes = 1 + took_ms // limits.DEAD_LETTERS_TOLD_EVERY_MS + 1
    assert told[0] == ("failing", 0)
    assert sorted(told[1:])[: limits.DEAD_LETTERS_TOLD_EACH] == [("deadlettered", 1)] * limits.DEAD_LETTERS_TOLD_EACH
    assert len(told) <= 1 + limits.DEAD_LETTERS_TOLD_EACH + minutes
    assert sum(count for _, count in told) == QUEUED


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dead_receiver_of_alarms_alarms_nobody_about_itself(engine: EngineName) -> None:
    town = Town(engine, alpha="422", beta="500")
    town.work_off()
    assert town.told("alarm") == []
    assert town.told("shop")[0] == ("failing", 0)
    assert town.house.writer.states[1].health[2].is_failing


@pytest.mark.parametrize("engine", ENGINES)
def test_a_target_that_flaps_is_two_events_a_second_at_most(engine: EngineName) -> None:
    town = Town(engine, alpha="flapping")
    took_ms = town.work_off()
    told = [kind for kind, _ in town.told("shop") if kind != "deadlettered"]
    assert told[:2] == ["failing", "recovered"]
    assert told == ["failing", "recovered"] * (len(told) // 2) + ["failing"] * (len(told) % 2)
    assert len(told) <= 2 * (2 + took_ms // limits.TROUBLE_TOLD_EVERY_MS)
