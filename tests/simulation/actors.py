"""Producers and operators: what they ask of the house, and what of its answers they write into the books."""

import contextlib
import datetime
import json
import random
import re
from collections.abc import Callable
from typing import Any

import msgspec

from eventyard.core import rule
from eventyard.core.bus_events import RULE_CHANGED, RULE_CREATED, RULE_DELETED, RULE_REDRIVEN
from eventyard.core.commands import (
    Command,
    CreateBus,
    DeleteBus,
    DeleteRule,
    Publish,
    Published,
    PutRule,
    Redrive,
    Redriven,
    RulePut,
    SetPaused,
)
from eventyard.core.errors import EventConflict, EventyardError, NotFound, Overloaded, Unavailable
from eventyard.core.event import Event, make
from eventyard.core.rule import RuleRecord
from tests.simulation.books import BrokenPromise, Edit
from tests.simulation.house import House
from tests.simulation.targets import MOODS
from tests.simulation.world import HOUR_MS

TYPES = ("car.sold", "car.repaired", "order.paid")
RULES = ("rewards", "stock", "mail", "audit", "billing")
HOSTS = ("alpha", "beta", "gamma")
CLIENTS = 3


class Producers:
    """Several clients that number their events, send unanswered ones again, and sometimes answered ones too."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._rng = house.world.rng
        self._numbers = [0] * CLIENTS
        self._unanswered: list[tuple[str, Event]] = []
        self._answered: list[tuple[str, Event]] = []

    def publish(self) -> None:
        client = self._rng.randrange(CLIENTS)
        self._send(_bus(self._rng), [self._new(client) for _ in range(self._rng.choice((1, 1, 2, 7)))])

    def publish_to(self, bus: str) -> None:
        self._send(bus, [self._new(0)])

    def send_again(self) -> None:
        """What was never answered, as a client does after a timeout or an error."""
        some, self._unanswered = self._unanswered[:5], self._unanswered[5:]
        for bus in sorted({bus for bus, _ in some}):
            self._send(bus, [event for of, event in some if of == bus])

    def repeat(self) -> None:
        """What was answered long ago."""
        if self._answered:
            bus, event = self._rng.choice(self._answered)
            self._send(bus, [event])

    def conflict(self) -> None:
        """Another content under a known source and id."""
        if self._answered:
            bus, event = self._rng.choice(self._answered)
            self._send(bus, [_event(event.source, event.id, event.type, -1, "forged")])

    def _new(self, client: int) -> Event:
        self._numbers[client] += 1
        number = self._numbers[client]
        return _event(f"/client/{client}", str(number), self._rng.choice(TYPES), number % 10, self._rng.choice("xyz"))

    def _send(self, bus: str, events: list[Event]) -> None:
        writer = self._house.writer
        number = writer.numbers.get(bus)
        if number is None:
            return
        incarnation = writer.states[number].record.incarnation
        request = _Request(self, bus, incarnation, events)
        for event in events:
            self._house.books.submit(incarnation, event)
        self._house.world.note(f"publish {[(event.source, event.id) for event in events]} to {bus}")
        self._unanswered += [(bus, event) for event in events]
        try:
            writer.submit(bus, Publish(tuple(events)), request.answered, size=sum(len(event.json) for event in events))
        except Overloaded:
            self._house.world.note("overloaded")

    def take_answer(self, bus: str, incarnation: str, event: Event, answer: Any) -> None:
        match answer:
            case Published():
                self._take_position(bus, incarnation, event, answer)
            case EventConflict():
                self._house.books.conflict(incarnation, event)
                self._unanswered = [pair for pair in self._unanswered if pair[1] is not event]
            case _:
                raise BrokenPromise(f"event {event.id} of {event.source} was answered {answer!r}")

    def _take_position(self, bus: str, incarnation: str, event: Event, answer: Published) -> None:
        self._house.books.acknowledge(incarnation, event, answer.position, is_duplicate=answer.is_duplicate)
        self._answered.append((bus, event))
        self._unanswered = [pair for pair in self._unanswered if pair[1] is not event]


class _Request(msgspec.Struct, frozen=True):
    producers: Producers
    bus: str
    incarnation: str
    events: list[Event]

    def answered(self, answer: Any) -> None:
        self.producers._house.world.note(f"published: {_shown(answer)}")
        if isinstance(answer, EventyardError):
            return
        for event, one in zip(self.events, answer, strict=True):
            self.producers.take_answer(self.bus, self.incarnation, event, one)


class Operators:
    """Whoever edits rules and buses, and changes the mood of targets."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._rng = house.world.rng

    def put_rule(self) -> None:
        bus, name = _bus(self._rng), self._rng.choice(RULES)
        parsed, pattern = rule.parse(self._document(bus, name))
        self._ask(bus, PutRule(name, parsed, pattern), self._noting(bus, RULE_CREATED, name))

    def put_simple_rule(self, bus: str) -> None:
        """All events of clients, from now on."""
        url = f"http://{self._rng.choice(HOSTS)}/mail"
        document = {"pattern": {"source": [{"prefix": "/client/"}]}, "target": {"http": {"url": url, "timeout_s": 5}}}
        parsed, pattern = rule.parse(json.dumps(document).encode())
        self._ask(bus, PutRule("mail", parsed, pattern), self._noting(bus, RULE_CREATED, "mail"))

    def delete_rule(self) -> None:
        bus, name = _bus(self._rng), self._rng.choice(RULES)
        self._ask(bus, DeleteRule(name), self._noting(bus, RULE_DELETED, name))

    def pause_rule(self) -> None:
        self._set_paused(is_paused=True)

    def resume_rule(self) -> None:
        self._set_paused(is_paused=False)

    def _set_paused(self, *, is_paused: bool) -> None:
        self._ask(_bus(self._rng), SetPaused(self._rng.choice(RULES), is_paused), _ignore)

    def redrive(self) -> None:
        bus, name = _bus(self._rng), self._rng.choice(RULES)
        self._ask(bus, Redrive(name, self._keys(bus, name)), self._noting(bus, RULE_REDRIVEN, name))

    def _keys(self, bus: str, name: str) -> tuple[tuple[int, int, int], ...] | None:
        """All dead letters, or some chosen ones."""
        writer = self._house.writer
        state = writer.states.get(writer.numbers.get(bus, -1))
        record = state.by_name.get(name) if state else None
        if record is None or state is None or self._rng.random() < 0.5:
            return None
        with contextlib.suppress(Unavailable):
            return tuple(row.key for row in self._house.engine.view.dead(state.record.number, record.uid, (0, -1), 3))
        return None

    def create_bus(self) -> None:
        self.create_bus_named(self._rng.choice(("second", "third")))

    def create_bus_named(self, name: str) -> None:
        self._ask_system(CreateBus(name, self._house.incarnation()), self._note_created)

    def delete_bus(self) -> None:
        self.delete_bus_named(self._rng.choice(("second", "third")))

    def delete_bus_named(self, name: str) -> None:
        number = self._house.writer.numbers.get(name)
        if number is not None:
            self._house.books.buses_deleting.add(self._house.writer.states[number].record.incarnation)
            self._ask_system(DeleteBus(name), self._note_deleted)

    def change_mood(self) -> None:
        host, mood = self._rng.choice(HOSTS), self._rng.choice(MOODS)
        self._house.world.note(f"target {host} is {mood}")
        self._house.targets.moods[host] = mood

    def _document(self, bus: str, name: str) -> bytes:
        url = f"http://{self._rng.choice(HOSTS)}/{name}"
        document: dict[str, Any] = {"pattern": self._pattern(), "target": {"http": {"url": url, "timeout_s": 5}}}
        start = self._start(bus)
        if start is not None:
            document["start"] = start
        document["delivery"] = {
            "max_attempts": self._rng.choice((1, 3, 50)),
            "max_age_s": self._rng.choice((60, 86_400)),
            "backoff": {"initial_s": 1, "factor": 2, "max_s": 30},
            "concurrency": self._rng.choice((1, 2, 16)),
        }
        return json.dumps(document).encode()

    def _pattern(self) -> dict[str, Any]:
        """Patterns that the audit can evaluate by itself."""
        rng = self._rng
        return rng.choice(
            (
                {"type": [rng.choice(TYPES)]},
                {"type": [{"prefix": "car."}], "data": {"n": [{"numeric": [">=", rng.randrange(10)]}]}},
                {"data": {"kind": ["x", "y"]}},
                {"source": [{"anything-but": ["/client/0"]}]},
                {"type": [{"prefix": "io.eventyard.rule."}]},
                {"source": [{"prefix": "/client/"}]},
            )
        )

    def _start(self, bus: str) -> Any:
        rng, writer = self._rng, self._house.writer
        state = writer.states.get(writer.numbers.get(bus, -1))
        head = state.head if state else 0
        moment = datetime.datetime.fromtimestamp(
            (self._house.clock.now_ms() - rng.randint(-60_000, HOUR_MS)) / 1000, datetime.UTC
        )
        choices = (None, "latest", "earliest", "earliest", {"position": rng.randint(1, head + 1)}, {"time": moment.isoformat()})
        return rng.choice(choices)

    def _ask(self, bus: str, command: Command, done: Callable[[Any], None]) -> None:
        if bus in self._house.writer.numbers:
            self._house.world.note(f"ask {bus} {_shown(command)}")
            with contextlib.suppress(Overloaded):
                self._house.writer.submit(bus, command, done)

    def _ask_system(self, command: Command, done: Callable[[Any], None]) -> None:
        self._house.world.note(f"ask {_shown(command)}")
        with contextlib.suppress(Overloaded):
            self._house.writer.submit_system(command, done)

    def _noting(self, bus: str, kind: str, name: str) -> Callable[[Any], None]:
        """Write an answered edit into the books, under the life that the bus had when it was asked for."""
        writer = self._house.writer
        number = writer.numbers.get(bus)
        incarnation = writer.states[number].record.incarnation if number is not None else ""
        return lambda answer: self._note_edit(incarnation, kind, name, answer)

    def _note_edit(self, incarnation: str, kind: str, name: str, answer: Any) -> None:
        self._house.world.note(f"answered {kind} {name}: {_shown(answer)}")
        match answer:
            case RulePut(record, is_created, is_changed):
                if is_changed:
                    edit = Edit(incarnation, record.version, RULE_CREATED if is_created else RULE_CHANGED, name)
                    self._house.books.edits.append(edit)
            case RuleRecord():
                self._house.books.edits.append(Edit(incarnation, answer.version, kind, name))
            case Redriven():
                self._house.books.edits.append(Edit(incarnation, answer.position, kind, name))

    def _note_created(self, answer: Any) -> None:
        self._house.world.note(f"created {_shown(answer)}")
        if not isinstance(answer, EventyardError):
            self._house.books.buses.add(answer[0].incarnation)

    def _note_deleted(self, answer: Any) -> None:
        self._house.world.note(f"deleted {_shown(answer)}")
        if not isinstance(answer, EventyardError):
            self._house.books.buses_deleted.add(answer.incarnation)
        elif not isinstance(answer, NotFound) and answer.code == "internal-error":
            raise BrokenPromise(f"a bus could not be deleted: {answer}")


def _bus(rng: random.Random) -> str:
    return rng.choice(("default", "default", "default", "second", "third"))


def _event(source: str, name: str, kind: str, number: int, letter: str) -> Event:
    return make({"id": name, "source": source, "type": kind}, {"n": number, "kind": letter})


def _ignore(_answer: Any) -> None:
    """Pausing changes no promise that the books keep."""


def _shown(answer: Any) -> str:
    return _ADDRESS.sub("", f"{type(answer).__name__} {answer}")[:300]


_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Where an object lies in memory is no part of what happened."""
