"""Builders for tests: events, rules and a bus in memory that is stepped by hand."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import msgspec

from eventyard.core import detector_document, expectation_document
from eventyard.core import event as events
from eventyard.core import rule as rules
from eventyard.core.clock import BusTime
from eventyard.core.commands import Command, Demand, Expire, Lease, PutEmitter, PutRule, Settle, Settlement
from eventyard.core.emitter import Kind
from eventyard.core.event import Event
from eventyard.core.verdict import Verdict
from eventyard.engines.memory import MemoryEngine
from eventyard.ports import Engine, PushAnswer, PushRequest
from eventyard.testing.clock import ManualClock as ManualClock  # noqa: PLC0414 - given on to tests
from eventyard.writer import Receiver, Writer

URL = "http://127.0.0.1:9/events"


def an_event(number: int | str = 1, *, kind: str = "order.paid", source: str = "/shop", data: Any = None) -> Event:
    attributes = {"specversion": "1.0", "id": f"e{number}", "source": source, "type": kind}
    return events.make(attributes, {"n": number} if data is None else data)


def document_of(event: Event) -> dict[str, Any]:
    """What a pattern sees of an event that was just read."""
    assert event.document is not None
    return event.document


def a_rule_document(**changes: Any) -> bytes:
    document = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": URL}}} | changes
    return json.dumps(document).encode()


def put_rule(name: str, **changes: Any) -> PutRule:
    return PutRule(name, *rules.parse(a_rule_document(**changes)))


def a_detector_document(**changes: Any) -> bytes:
    document = {
        "on": {"type": ["car.updated"]},
        "when": {"data": {"status": ["sold"]}},
        "emit": {"rise": {"type": "car.sold"}, "fall": {"type": "car.back"}},
    }
    return json.dumps(document | changes).encode()


def put_detector(name: str, *, version: int | None = None, **changes: Any) -> PutEmitter:
    detector = detector_document.parse(a_detector_document(**changes))
    return PutEmitter(Kind.DETECTOR, name, msgspec.Raw(msgspec.json.encode(detector)), version=version)


def an_expectation_document(**changes: Any) -> bytes:
    document = {
        "after": {"type": ["order.paid"]},
        "expect": {"type": ["order.shipped"]},
        "within_s": 600,
        "emit": {"missed": {"type": "order.missed"}, "met": {"type": "order.met"}, "late": {"type": "order.late"}},
    }
    return json.dumps(document | changes).encode()


def put_expectation(name: str, *, version: int | None = None, **changes: Any) -> PutEmitter:
    expectation = expectation_document.parse(an_expectation_document(**changes))
    return PutEmitter(Kind.EXPECTATION, name, msgspec.Raw(msgspec.json.encode(expectation)), version=version)


class ManualReceiver:
    """A receiver that demands what a test says and keeps what it gets."""

    def __init__(self) -> None:
        self.wanted: dict[int, tuple[Demand]] = {}
        self.leases: list[Lease] = []
        self.room_left = 1_000
        self.while_collected: Callable[[], None] = lambda: None

    def demands(self, bus: int) -> dict[int, tuple[Demand]]:
        return self.wanted if bus == 1 else {}

    def room(self) -> int:
        return self.room_left

    def take(self, _bus: Any, leases: Any) -> None:
        self.leases += leases

    def collect(self) -> tuple[()]:
        """Verdicts come by `Stepped.settle`."""
        self.while_collected()
        return ()

    def follow(self, bus: Any, records: Any) -> None:
        """Nothing to learn: the test names its rules."""

    def forget(self, bus: Any) -> None:
        """Nothing is kept by bus."""

    @property
    def next_ms(self) -> None:
        """At no time by itself."""

    def conclude(self, error: Any, unreached: Any) -> None:
        """Nobody waits."""

    def want(self, rule: int, count: int, lease_ms: int = 40_000) -> None:
        self.wanted[rule] = (Demand(rule, count, lease_ms),)


class Stepped:
    """A writer on an engine, stepped by hand: `do` submits one command to the default bus and steps until it is answered."""

    def __init__(self, engine: Engine | None = None, clock: ManualClock | None = None) -> None:
        self.engine = engine or MemoryEngine()
        self.clock = clock or ManualClock()
        self.receiver = ManualReceiver()
        numbers = itertools.count()
        self.writer = Writer(self.engine, self.clock, _receiver(self.receiver))
        self.writer.open(lambda: f"life{next(numbers)}")

    @property
    def state(self) -> Any:
        return self.writer.states[1]

    def do(self, command: Command, *, bus: str = "default") -> Any:
        answers: list[Any] = []
        self.writer.submit(bus, command, answers.append)
        while not answers:
            self.writer.step()
        return answers[0]

    def put(self, name: str, **changes: Any) -> Any:
        return self.do(put_rule(name, **changes)).record

    def expire(self) -> int:
        """Take back what ran out, as the keeper has it done. How many leases were."""
        count: int = self.do(Expire(1_000))
        return count

    def now(self) -> BusTime:
        return self.writer.now()

    def settle(self, lease: Lease, verdict: Verdict) -> Any:
        return self.do(Settle((Settlement(lease.delivery.key, lease.delivery.leases, verdict),)))[0]

    def row(self, rule: int, position: int, run: int = 0) -> Any:
        return self.engine.view.delivery(1, (rule, run, position))


def _receiver(receiver: ManualReceiver) -> Receiver:
    return receiver


class ScriptedTransport:
    """Keeps what it is asked to send; the test answers."""

    is_running = True

    def __init__(self) -> None:
        self.sent: list[tuple[PushRequest, Callable[[PushAnswer], None]]] = []

    def send(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        self.sent.append((request, done))

    def answer(self, status: int, **fields: Any) -> PushRequest:
        request, done = self.sent.pop(0)
        done(PushAnswer(status, fields.pop("headers", {}), fields.pop("body", b""), **fields))
        return request

    def close(self) -> None:
        """Nothing runs by itself."""


def as_json(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))
