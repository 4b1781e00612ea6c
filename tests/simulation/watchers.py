"""Operators of detectors and schedules, and the sensors that those detectors watch."""

import random
from typing import Any

import msgspec

from eventyard.core import detector_document, expectation_document, schedule
from eventyard.core.commands import (
    DeleteEmitter,
    DeleteSchedule,
    EmitterPut,
    PauseSchedule,
    PutEmitter,
    PutSchedule,
    SchedulePut,
)
from eventyard.core.emitter import EmitterRecord, Kind
from eventyard.core.errors import InvalidSchedule
from eventyard.core.event import Event, make
from eventyard.core.schedule import ScheduleRecord
from tests.simulation.asking import Asker, Done, shown
from tests.simulation.books import Edit
from tests.simulation.documents import BUSES
from tests.simulation.house import House
from tests.simulation.producers import Producers
from tests.simulation.watch_documents import DETECTORS, EXPECTATIONS, SCHEDULES, WatchDocuments, encoded


class Watchers(Asker):
    """By chance of their own, so that a story without them is the same as if there were none."""

    def __init__(self, house: House, producers: Producers) -> None:
        super().__init__(house)
        self._rng = random.Random(f"watching {house.world.seed}")
        self._producers = producers
        self._documents = WatchDocuments(self._rng)

    # Detectors and expectations

    def observe(self) -> None:
        """One observation, or several in a row: also of one key, and of one time."""
        events = [self._observation() for _ in range(self._rng.choice((1, 1, 1, 3, 8)))]
        self._producers.publish_these(self._rng.choice(BUSES), events)

    def observe_and_wait(self) -> None:
        """Some of a key as it goes: most holds are short, so between two of them something ends, or is cut short."""
        bus = self._rng.choice(BUSES)
        for _ in range(self._rng.choice((2, 5, 9))):
            self._producers.publish_these(bus, [self._observation()])
            self._house.step_writer()
            self._house.world.pass_time(self._rng.choice((1, 400, 600, 3_100, 6_000, 11_000)))
            if self._rng.random() < 0.5:
                self._house.step_others()
        self._house.step_writer()

    def crash_in_holds(self) -> None:
        """The process dies while holds are under way, is away for a while, and soon after it is back they would have ended."""
        self.observe_and_wait()
        self.observe()
        self._house.step_writer()
        self._house.crash()
        self._house.world.pass_time(self._rng.choice((1, 20_000, 700_000)))
        if self._house.open():
            for _ in range(2):
                self._house.world.pass_time(self._rng.choice((1, 600, 3_100)))
                self._house.step_others()
                self._house.step_writer()

    def _observation(self) -> Event:
        return make(*self._documents.observation(self._house.clock.now_ms()))

    def put_detector(self) -> None:
        bus, name = self._rng.choice(BUSES), self._rng.choice(DETECTORS)
        document = self._documents.detector(name, self._document_of(bus, Kind.DETECTOR, name))
        self._put(bus, Kind.DETECTOR, name, detector_document.parse(encoded(document)))

    def put_expectation(self) -> None:
        bus, name = self._rng.choice(BUSES), self._rng.choice(EXPECTATIONS)
        document = self._documents.expectation(name, self._document_of(bus, Kind.EXPECTATION, name))
        self._put(bus, Kind.EXPECTATION, name, expectation_document.parse(encoded(document)))

    def _document_of(self, bus: str, kind: Kind, name: str) -> Any:
        state = self._state(bus)
        record = state.emitters.by_name.get((kind, name)) if state is not None else None
        return None if record is None else msgspec.json.decode(record.document)

    def _put(self, bus: str, kind: Kind, name: str, document: Any) -> None:
        command = PutEmitter(kind, name, msgspec.Raw(msgspec.json.encode(document)))
        self._ask(bus, command, self._noting_edit(bus, name, kind))

    def delete_emitter(self) -> None:
        kind = self._rng.choice((Kind.DETECTOR, Kind.EXPECTATION))
        bus, name = self._rng.choice(BUSES), self._rng.choice(DETECTORS if kind is Kind.DETECTOR else EXPECTATIONS)
        self._ask(bus, DeleteEmitter(kind, name), self._noting_edit(bus, name, kind))

    def edit_in_holds(self) -> None:
        """A change while something waits, and soon something of it is heard again, or the sweep comes first."""
        self.observe()
        self._house.step_writer()
        self._rng.choice((self.put_detector, self.put_expectation))()
        self._house.step_writer()
        if self._rng.random() < 0.5:
            self._house.step_others()
        self.observe()
        self._house.step_writer()

    # Schedules

    def put_schedule(self) -> None:
        bus, name = self._rng.choice(BUSES), self._rng.choice(SCHEDULES)
        document = self._documents.schedule(self._house.writer.now().time_ms)
        try:
            command = PutSchedule(name, schedule.parse(encoded(document))[0])
        except InvalidSchedule:
            return  # It would end before it begins.
        self._ask(bus, command, self._noting_edit(bus, name, "schedule"))

    def delete_schedule(self) -> None:
        bus, name = self._rng.choice(BUSES), self._rng.choice(SCHEDULES)
        self._ask(bus, DeleteSchedule(name), self._noting_edit(bus, name, "schedule"))

    def pause_schedule(self) -> None:
        bus, name = self._rng.choice(BUSES), self._rng.choice(SCHEDULES)
        self._ask(bus, PauseSchedule(name, is_paused=self._rng.random() < 0.5), lambda _: None)

    def pause_for_a_while(self) -> None:
        bus = self._rng.choice(BUSES)
        state = self._state(bus)
        if state is None or not state.schedules.names:
            return
        name = self._rng.choice(state.schedules.names)
        for is_paused in (True, False):
            self._ask(bus, PauseSchedule(name, is_paused), lambda _: None)
            self._house.step_writer()
            self._house.world.pass_time(self._rng.choice((1, 10_000, 70_000)))
        self._house.step_others()

    def pause_all(self) -> None:
        """So that the story can end."""
        for number, name in self._running():
            self._house.writer.submit_own(number, PauseSchedule(name, is_paused=True), lambda _: None)

    def _running(self) -> list[tuple[int, str]]:
        return [
            (state.record.number, name)
            for state in self._house.writer.states.values()
            for name, record in state.schedules.by_name.items()
            if not record.is_paused
        ]

    def owed(self) -> list[str]:
        """Schedules that go on, keys that are still in a hold or open, and detectors and expectations with keys to be judged anew or forgotten."""
        states = self._house.writer.states.values()
        pending = {
            (state.record.name, uid): tally.get("pending", 0) + tally.get("open", 0)
            for state in states
            for uid, tally in state.emitters.tallies.items()
        }
        sweeping = [f"{state.record.name}: {uid} sweeps" for state in states for uid in state.emitters.sweeping]
        holds = [f"{at}: {count} keys wait" for at, count in pending.items() if count]
        return [*sweeping, *holds, *(f"{number}: schedule {name}" for number, name in self._running())]

    # Answers

    def _noting_edit(self, bus: str, name: str, kind: str) -> Done:
        state = self._state(bus)
        incarnation = state.record.incarnation if state is not None else ""

        def note(answer: Any) -> None:
            self._house.world.note(f"answered {kind} {name}: {shown(answer)}")
            told = _told(answer)
            if told is not None:
                edit = Edit(incarnation, told[0], f"io.eventyard.{kind}.{told[1]}", name)
                self._house.books.edits.append(edit)

        return note


def _told(answer: Any) -> tuple[int, str] | None:
    """The position of the event that records an edit, and what it says was done."""
    match answer:
        case EmitterPut(record, is_created, is_changed) if is_changed:
            return record.version, "created" if is_created else "changed"
        case SchedulePut(record, True):
            return record.version, "created"
        case EmitterRecord() | ScheduleRecord() if answer.is_deleted:
            return answer.version, "deleted"
    return None
