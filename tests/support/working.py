"""A worker over a house whose server it asks by calls, and the door between them."""

import itertools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from eventyard.consumers import Claim, Consumers, Granted
from eventyard.core import handout, limits
from eventyard.core.commands import Publish, Settle
from eventyard.core.delivery import Delivery, State
from eventyard.core.errors import EventyardError
from eventyard.core.event import Event
from eventyard.engines.memory import MemoryEngine
from eventyard.ports import Engine, PushAnswer, PushRequest
from eventyard.worker.worker import RECEIVE, REPORT, Worker
from eventyard.writer import Writer
from tests.support.builders import ManualClock, ScriptedTransport, an_event, put_rule

URL = "http://127.0.0.1:8410"


POLICY = {"backoff": {"initial_s": 10, "factor": 1}}


class Waiting(msgspec.Struct):
    """A receive that is not answered yet."""

    claim: Claim
    done: Callable[[PushAnswer], None]
    ends_ms: float


class Door:
    """A server that leaves pushing to workers, stepped by hand, with its door as a transport."""

    def __init__(self, clock: ManualClock, engine: Engine | None = None) -> None:
        self.clock = clock
        self.engine = engine or MemoryEngine()
        self.failure = ""
        self.answer_instead: PushAnswer | None = None
        self.is_holding = False
        self.held: list[Callable[[], None]] = []
        """Answers that are on their way while `is_holding`."""
        self.asked: list[str] = []
        self.told: list[int] = []
        self.rooms: list[int] = []
        self._records = handout.Records()
        self.start()

    def start(self) -> None:
        """Begin a life on the same store."""
        self.failure = ""
        self.consumers = Consumers(lambda: None)
        self.writer = Writer(self.engine, self.clock, self.consumers)
        self.writer.is_push_kept = True
        self.writer.open(map("life{}".format, itertools.count()).__next__)
        self._waiting: list[Waiting] = []

    is_running = True

    def send(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        path = request.url.removeprefix(URL)
        self.asked.append(path)
        done = self._holding(done)
        if self.failure:
            done(PushAnswer(0, {}, b"", failure=self.failure))
        elif self.answer_instead is not None:
            done(self.answer_instead)
        elif path == RECEIVE:
            self._receive(request.body, done)
        else:
            assert path == REPORT
            self._report(request.body, done)

    def _holding(self, done: Callable[[PushAnswer], None]) -> Callable[[PushAnswer], None]:
        def answer(what: PushAnswer) -> None:
            if self.is_holding:
                self.held.append(lambda: done(what))
            else:
                done(what)

        return answer

    def let_go(self) -> None:
        self.is_holding = False
        while self.held:
            self.held.pop(0)()

    def close(self) -> None:
        """Nothing runs by itself."""

    def _receive(self, body: bytes, done: Callable[[PushAnswer], None]) -> None:
        asked = msgspec.json.decode(body)
        assert 0 < asked["max"] <= limits.WORKER_RECEIVE_MAX
        claim = Claim(None, asked["max"], 0, lambda granted: self._hand_out(granted, done))
        self._waiting.append(Waiting(claim, done, self.clock.elapsed_ms + asked["wait_s"] * 1000))
        self.consumers.wait(claim)

    def _hand_out(self, granted: Any, done: Callable[[PushAnswer], None]) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting.done is not done]
        done(PushAnswer(200, {}, handout.encode(self.writer.now(), _granted(granted), self._records)))

    def _report(self, body: bytes, done: Callable[[PushAnswer], None]) -> None:
        report = handout.read_report(body)
        self.told.append(sum(len(of_bus.settled) for of_bus in report.by_bus))
        self.rooms.append(report.room)
        results: list[list[str | None]] = []
        for of_bus in report.by_bus:
            settlements = tuple(handout.settlements(of_bus.settled))
            self.writer.submit(of_bus.bus, Settle(settlements), lambda answers: results.append(_words(answers)))
        granted: list[Any] = []
        if report.room:
            self.consumers.wait(Claim(None, report.room, 0, lambda leases: granted.extend(_granted(leases)), is_impatient=True))
        self.step()
        done(PushAnswer(200, {}, handout.encode_receipt(results, self.writer.now(), granted, self._records)))

    def step(self) -> None:
        for waiting in self._waiting:
            if waiting.ends_ms <= self.clock.elapsed_ms:
                self.consumers.hurry(waiting.claim)
        while self.writer.step():
            pass

    def end_waits(self) -> None:
        """The time of those who wait is over."""
        for waiting in self._waiting:
            waiting.ends_ms = 0.0
        self.step()

    def die(self) -> None:
        """The process is killed: whoever waits loses the connection, and nobody can connect."""
        self.failure = "connection refused"
        for waiting in self._waiting:
            waiting.done(PushAnswer(0, {}, b"", failure="connection closed without an answer"))
        self._waiting = []


def _granted(answer: Any) -> list[Granted]:
    assert isinstance(answer, list)
    return answer


def _words(answers: Any) -> list[str | None]:
    return [None if stale is None else stale.reason for stale in answers]


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.door = Door(self.clock)
        self.targets = ScriptedTransport()
        self.said: list[str] = []
        self.worker = Worker(
            self.targets,
            self.door,
            URL,
            wake=lambda: None,
            say=self.said.append,
            now=lambda: self.clock.elapsed_ms / 1000,
            rng=random.Random(1),
            wall_ms=lambda: time.time_ns() // 1_000_000,
        )

    def do(self, command: Any, bus: str = "default") -> None:
        answers: list[Any] = []
        self.door.writer.submit(bus, command, answers.append)
        self.door.step()
        assert not isinstance(answers[0], EventyardError)

    def put(self, name: str = "r", **changes: Any) -> None:
        self.do(put_rule(name, **{"delivery": POLICY} | changes))

    def publish(self, *events: Event) -> None:
        self.do(Publish(events))

    def turn(self, ms: int = 10) -> None:
        """A little time passes, and everybody does what there is to do."""
        for _ in range(3):
            self.worker.step()
            self.door.step()
        self.clock.advance(ms)
        self.worker.step()
        self.door.step()
        self.worker.step()

    def sent(self) -> list[str]:
        """The ids of the deliveries that are under way to targets."""
        return [dict(request.headers)["eventyard-delivery"] for request, _ in self.targets.sent]

    def rows(self) -> list[Delivery]:
        """By rule and position."""
        view, state = self.door.engine.view, self.door.writer.states[1]
        found = [view.delivery(1, (uid, 0, position)) for uid in state.by_uid for position in range(1, state.head + 1)]
        return [row for row in found if row is not None]

    def states(self) -> list[State]:
        return [row.state for row in self.rows()]


def events(count: int, first: int = 1) -> Sequence[Event]:
    return [an_event(number) for number in range(first, first + count)]
