"""A whole bus on one thread: the stages of a server over an engine in memory, stepped by hand, by a clock that a test moves.

Theory of operation. Everything that happens is one of four things: a step of the bus's stages, a turn of the loop (the HTTP door, async handlers,
services that fetch), a push that is answered, an outbox that is relayed. `settle` does them until none has anything to do; so nothing happens
beside the test, and the same test does the same each time. `advance` goes from one moment at which something falls due to the next and settles
at each, so a retry after two seconds comes after exactly two. Where a person's code asks the bus something, the stages and the loop are turned
until it is answered, and no further; so a handler may publish while it handles.
"""

import asyncio
import queue
import random
from collections.abc import Callable, Coroutine, Hashable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any, TypeVar

from eventyard.bus import Eventyard
from eventyard.core.network import Policy
from eventyard.engines.memory import MemoryEngine
from eventyard.expressions import Evaluators
from eventyard.ports import Outcome
from eventyard.surfaces.http import app
from eventyard.testing.clock import ManualClock
from eventyard.testing.loop import StandingLoop
from eventyard.testing.safe import OpenSafe
from eventyard.testing.targets import Targets
from eventyard.testing.watching import Watch

T = TypeVar("T")

ANYWHERE = Policy(is_loopback_allowed=True, allowed=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))
"""Nothing is sent, so a rule may name any address that the servers it is meant for allow."""

BEFORE_MS = 1_000
"""How long the bus has been there when a test begins. In its very first millisecond its work time is 0, which for a delivery means no time."""

LOOK_EVERY_MS = 60_000
"""Retention and the like have no moment of their own: in a long stretch of time they are looked at as often."""

EXPRESSION_S_MAX = 60.0
"""An evaluator has narrower bounds of its own; past this it is a defect."""


class WrongPlace(Exception):
    """The bus was asked in a place from where it cannot be turned."""


class Unending(Exception):
    """Nothing will ever happen that this call waits for."""


class AtOnce:
    """`ports.Expressions` that answers before it returns: the evaluators of a server, waited for."""

    def __init__(self) -> None:
        self._evaluators = Evaluators(1)

    def evaluate(
        self,
        who: Hashable,
        expressions: tuple[str, ...],
        event: bytes,
        facts: Mapping[str, bytes],
        done: Callable[[Outcome], None],
    ) -> None:
        came: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._evaluators.evaluate(who, expressions, event, facts, came.put)
        done(came.get(timeout=EXPRESSION_S_MAX))

    def close(self) -> None:
        self._evaluators.close()


class Always(random.Random):
    """Chance that always draws the most: a retry comes at the end of its backoff."""

    def random(self) -> float:
        return 1.0


class House:
    def __init__(self, now_ms: int, chance: random.Random | None = None) -> None:
        """`chance` draws how long before the end of its backoff a retry comes."""
        self.clock = ManualClock(now_ms - BEFORE_MS)
        self.loop = StandingLoop(self.clock)
        self.engine = MemoryEngine()
        self.targets = Targets(self.clock, self.loop)
        self.relays: list[Callable[[], bool]] = []
        self._working: list[asyncio.Task[Any]] = []
        self._incarnations = 0
        self.yard = Eventyard(
            self.engine,
            self.targets,
            self.clock,
            ANYWHERE,
            rng=chance or Always(),
            vault=OpenSafe(),
            expressions=AtOnce(),
        )
        self.yard.open(self._incarnation)
        self.clock.advance(BEFORE_MS)
        self.door = app(self.yard, unready=self.yard.unready)

    def _incarnation(self) -> str:
        self._incarnations += 1
        return f"{self._incarnations:08x}"

    # Asking

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What it gives. Time passes, and pushes are answered, only where it waits for that."""
        if self._is_within_loop():
            work.close()
            raise WrongPlace(
                "found the bus asked within async code, where it cannot be turned; wanted bus.async_client, awaited"
            )
        task = self.loop.create_task(work)
        while not task.done():
            if not self._turn() and not task.done():
                self._wait(task)
        return task.result()

    def _is_within_loop(self) -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    def _wait(self, task: asyncio.Task[Any]) -> None:
        """It waits for something else than an answer: go on with all there is until the next moment."""
        self.settle()
        if task.done():
            return
        idle_ms = self._idle_ms()
        if idle_ms is None:
            task.cancel()
            raise Unending("found a call that waits for what will never come")
        self.clock.advance(idle_ms)

    def _turn(self) -> bool:
        is_busy = self.loop.turn()
        return self.yard.step() or is_busy

    # Time

    def settle(self) -> None:
        """Until nothing is left to do at this moment. Raises NeverSettles, and what assertions in handlers came to."""
        watch = Watch(self)
        while self._turn() or self.targets.answer_next() or self._relay():
            self._raise_failed()
            watch.look()
        self._raise_failed()

    def _relay(self) -> bool:
        return any(relay() for relay in self.relays)

    def watch(self, working: asyncio.Task[Any]) -> None:
        """Have the test told if this ends in an error."""
        self._working.append(working)

    def _raise_failed(self) -> None:
        if self.targets.raised:
            raise self.targets.raised.pop(0)
        for ended in [task for task in self._working if task.done()]:
            self._working.remove(ended)
            if not ended.cancelled():
                ended.result()

    def advance(self, by_ms: int) -> None:
        """Let time pass, and everything that falls due in it happen at its moment."""
        self.settle()
        while by_ms > 0:
            idle_ms = self._idle_ms()
            passing_ms = min(by_ms, LOOK_EVERY_MS if idle_ms is None else min(idle_ms, LOOK_EVERY_MS))
            self.clock.advance(passing_ms)
            by_ms -= passing_ms
            self.settle()

    def _idle_ms(self) -> int | None:
        """How long until something happens, at least a millisecond: what is due now and was not done needs another moment."""
        idle = [idle_ms for idle_ms in (self.loop.idle_ms(), self.yard.idle_ms()) if idle_ms is not None]
        return max(1, min(idle)) if idle else None

    def close(self) -> None:
        """What is under way is given up."""
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.run(_ended(left))
        self.run(self.yard.stop(0))
        self.loop.close()


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
