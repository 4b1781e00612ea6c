"""A bus whose targets are protected: what it sends is answered at the moments that a test says."""

import json
import random
from typing import Any

from eventyard.core.breaker import Place
from eventyard.core.commands import Publish
from eventyard.core.protection import Held
from eventyard.dispatch import Dispatch
from eventyard.keeper import Keeper
from eventyard.writer import Writer
from tests.stages.test_dispatch import Pushing
from tests.support.builders import an_event, put_rule

BREAKER = {
    "failure_share": 0.5,
    "window_s": 10,
    "min_requests": 4,
    "open_s": 10,
    "probes": 1,
    "successes": 2,
    "slow_start_s": 10,
}


BACKOFF = {"initial_s": 0, "max_s": 0}


class Guarded(Pushing):
    """With a keeper, since what the log is told of breakers it may owe for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.keeper = Keeper(self.writer.states, self.writer.submit_own, self._now)

    def rule(self, name: str = "paid", **delivery: Any) -> int:
        document = {"delivery": {"breaker": BREAKER, "backoff": BACKOFF} | delivery}
        uid: int = self.do(put_rule(name, **document))[0].record.uid
        return uid

    def publish(self, count: int) -> None:
        self.do(Publish(tuple(an_event(number) for number in range(self.number, self.number + count))))
        self.number += count

    number = 0

    def pass_ms(self, ms: int) -> None:
        self.clock.advance(ms)
        self.keeper.step()
        self.quiet()

    @property
    def sent(self) -> int:
        return len(self.transport.sent)

    def answer_all(self, status: int, **fields: Any) -> int:
        """What is under way just now; how many that was."""
        count = self.sent
        for _ in range(count):
            self.transport.answer(status, **fields)
        self.quiet()
        return count

    def place(self, uid: int) -> Place:
        place: Place = self.guard(uid).breaker.place
        return place

    def guard(self, uid: int) -> Any:
        return self.writer.states[1].protection.guard(uid)

    def held(self, uid: int) -> Held | None:
        state = self.writer.states[1]
        found: Held | None = self.guard(uid).held(state.by_uid[uid], state.queues[uid].leased, self._now().work_ms)
        return found

    def kinds(self) -> list[str]:
        events = self.engine.view.events(1, 1, self.writer.states[1].head, 1_000)
        kinds = [json.loads(event.json)["type"] for event in events]
        return [kind.removeprefix("io.eventyard.") for kind in kinds if kind.startswith("io.eventyard.breaker")]

    def events(self) -> list[Any]:
        events = self.engine.view.events(1, 1, self.writer.states[1].head, 1_000)
        return [json.loads(event.json) for event in events]

    def restarted(self) -> None:
        self.dispatch = Dispatch(self.transport, self._now, self._wake, random.Random(1))
        self.writer = Writer(self.engine, self.clock, self.dispatch)
        self.writer.open(lambda: "life1")
        self.keeper = Keeper(self.writer.states, self.writer.submit_own, self._now)
        self.quiet()


def opened(house: Guarded, *, events: int = 20, **delivery: Any) -> int:
    """A rule whose breaker is open, with `events` waiting behind it."""
    uid = house.rule(**({"concurrency": 4} | delivery))
    house.publish(events)
    house.answer_all(503)
    assert house.place(uid) is Place.OPEN
    return uid
