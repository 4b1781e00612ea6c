"""Operators: whoever edits rules and buses, moves queues, and changes the mood of targets."""

import contextlib
from typing import Any

from eventyard.core import rule
from eventyard.core.bus_events import RULE_CHANGED, RULE_CREATED, RULE_DELETED, RULE_REDRIVEN
from eventyard.core.commands import CreateBus, DeleteBus, DeleteRule, PutRule, Redrive, Redriven, RulePut, SetPaused
from eventyard.core.delivery import Key
from eventyard.core.errors import EventyardError, NotFound, Unavailable
from eventyard.core.rule import RuleRecord
from tests.simulation.asking import Asker, Done, shown
from tests.simulation.books import BrokenPromise, Edit
from tests.simulation.documents import BUSES, HOSTS, RULES, Documents
from tests.simulation.house import House
from tests.simulation.targets import MOODS


class Operators(Asker):
    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._documents = Documents(self._rng)

    def _some(self) -> tuple[str, str]:
        """A bus and a rule; mostly one that is there."""
        bus = self._rng.choice(BUSES)
        state = self._state(bus)
        there = sorted(state.by_name) if state is not None else []
        return bus, self._rng.choice(there if there and self._rng.random() < 0.7 else RULES)

    # Rules

    def put_rule(self) -> None:
        bus, name = self._rng.choice(BUSES), self._rng.choice(RULES)
        before = self._record(bus, name)
        start = self._place(bus) if self._rng.random() < (0.8 if before is None else 0.1) else None
        document = self._documents.write(name, before, start)
        self._put(bus, name, document)

    def put_simple_rule(self, bus: str) -> None:
        self._put(bus, "mail", self._documents.simple("mail"))

    def _put(self, bus: str, name: str, document: bytes) -> None:
        self._ask(bus, PutRule(name, *rule.parse(document)), self._noting(bus, RULE_CREATED, name))

    def _place(self, bus: str) -> Any:
        state = self._state(bus)
        return self._documents.place(state.head if state else 0, self._house.clock.now_ms())

    def delete_rule(self) -> None:
        bus, name = self._some()
        self._ask(bus, DeleteRule(name), self._noting(bus, RULE_DELETED, name))

    def pause_rule(self) -> None:
        self._set_paused(is_paused=True)

    def resume_rule(self) -> None:
        self._set_paused(is_paused=False)

    def _set_paused(self, *, is_paused: bool) -> None:
        bus, name = self._some()
        self._ask(bus, SetPaused(name, is_paused), _ignore)

    # Dead letters

    def redrive(self) -> None:
        bus, name = self._some()
        if state := self._state(bus):
            self._house.books.redrive(state.record.incarnation, name)
        self._ask(bus, Redrive(name, self._dead(bus, name)), self._noting(bus, RULE_REDRIVEN, name))

    def _dead(self, bus: str, name: str) -> tuple[Key, ...] | None:
        """Some chosen dead letters, or (None) all."""
        state, record = self._state(bus), self._record(bus, name)
        if record is None or state is None or self._rng.random() < 0.5:
            return None
        with contextlib.suppress(Unavailable):
            return tuple(row.key for row in self._house.engine.view.dead(state.record.number, record.uid, (0, -1), 3))
        return None

    # Buses

    def create_bus(self) -> None:
        self.create_bus_named(self._rng.choice(("second", "third")))

    def create_bus_named(self, name: str) -> None:
        self._ask_system(CreateBus(name, self._house.incarnation()), self._note_created)

    def delete_bus(self) -> None:
        self.delete_bus_named(self._rng.choice(("second", "third")))

    def delete_bus_named(self, name: str) -> None:
        state = self._state(name)
        if state is not None:
            self._house.books.buses_deleting.add(state.record.incarnation)
            self._ask_system(DeleteBus(name), self._note_deleted)

    # Targets

    def change_mood(self) -> None:
        host, mood = self._rng.choice(HOSTS), self._rng.choice(MOODS)
        self._house.world.note(f"target {host} is {mood}")
        self._house.targets.moods[host] = mood

    # Answers

    def _noting(self, bus: str, kind: str, name: str) -> Done:
        """Write an answered edit into the books, under the life that the bus had when it was asked for."""
        state = self._state(bus)
        incarnation = state.record.incarnation if state is not None else ""
        return lambda answer: self._note_edit(incarnation, kind, name, answer)

    def _note_edit(self, incarnation: str, kind: str, name: str, answer: Any) -> None:
        self._house.world.note(f"answered {kind} {name}: {shown(answer)}")
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
        self._house.world.note(f"created {shown(answer)}")
        if not isinstance(answer, EventyardError):
            self._house.books.buses.add(answer[0].incarnation)

    def _note_deleted(self, answer: Any) -> None:
        self._house.world.note(f"deleted {shown(answer)}")
        if not isinstance(answer, EventyardError):
            self._house.books.buses_deleted.add(answer.incarnation)
        elif not isinstance(answer, NotFound) and answer.code == "internal-error":
            raise BrokenPromise(f"a bus could not be deleted: {answer}")


def _ignore(_answer: Any) -> None:
    """What was asked changes no promise that the books keep."""
