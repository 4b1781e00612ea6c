"""Producers: what they ask of the house, and what of its answers they write into the books."""

from typing import Any

import msgspec

from eventyard.core.commands import Publish, Published
from eventyard.core.errors import EventConflict, EventyardError, Overloaded
from eventyard.core.event import Event, make
from tests.simulation.asking import shown
from tests.simulation.books import BrokenPromise
from tests.simulation.documents import BUSES, TYPES
from tests.simulation.house import House

CLIENTS = 3

KEYS: tuple[Any, ...] = ("a", "a", "a", "b", 1, 1.0, "1", True, None, [1, "a"], {"a": 1})
"""Order keys as they stand in the data of events: every JSON type, and None for no key at all."""


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
        self._send(self._rng.choice(BUSES), [self._new(client) for _ in range(self._rng.choice((1, 1, 2, 7)))])

    def publish_to(self, bus: str) -> None:
        self._send(bus, [self._new(0)])

    def publish_these(self, bus: str, events: list[Event]) -> None:
        self._send(bus, events)

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
            forged = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
            self._send(bus, [make(forged, {"n": -1, "kind": "forged"})])

    def _new(self, client: int) -> Event:
        self._numbers[client] += 1
        number, rng = self._numbers[client], self._rng
        attributes = {"specversion": "1.0", "id": str(number), "source": f"/client/{client}", "type": rng.choice(TYPES)}
        attributes |= rng.choice(({}, {"subject": "one"}, {"subject": "two"}, {"subject": "one", "partitionkey": "two"}))
        data = {"n": number % 10, "kind": rng.choice("xyz")}
        key = rng.choice(KEYS)
        return make(attributes, data if key is None else data | {"key": key})

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
        self.producers._house.world.note(f"published: {shown(answer)}")
        if isinstance(answer, EventyardError):
            return
        for event, one in zip(self.events, answer, strict=True):
            self.producers.take_answer(self.bus, self.incarnation, event, one)
