"""Operators: whoever edits rules and buses, moves queues, and changes the mood of targets."""

from typing import Any

from eventyard.core import rule
from eventyard.core.bus_events import RULE_CREATED, RULE_DELETED
from eventyard.core.commands import CreateBus, DeleteBus, DeleteRule, PutRule, SetPaused
from eventyard.core.errors import EventyardError, NotFound
from tests.simulation.asking import Asker, shown
from tests.simulation.books import BrokenPromise
from tests.simulation.documents import BUSES, HOSTS, RULES, Documents
from tests.simulation.house import House
from tests.simulation.logins import MOODS as LOGIN_MOODS
from tests.simulation.targets import MOODS


class Operators(Asker):
    def __init__(self, house: House, documents: Documents) -> None:
        super().__init__(house)
        self._documents = documents

    # Rules

    def put_rule(self) -> None:
        bus, name = self._rng.choice(BUSES), self._rng.choice(RULES)
        before = self._record(bus, name)
        start = self._place(bus) if self._rng.random() < (0.8 if before is None else 0.1) else None
        document = self._documents.write(name, self._life(bus), before, start)
        self._put(bus, name, document)

    def put_simple_rule(self, bus: str) -> None:
        self._put(bus, "mail", self._documents.simple("mail", self._life(bus)))

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

    def change_login(self) -> None:
        """The token server is in another mood, or forgets what it gave."""
        logins = self._house.targets.logins
        if self._rng.random() < 0.4:
            logins.revoke()
        else:
            logins.mood = self._rng.choice(LOGIN_MOODS)
            self._house.world.note(f"the token server is {logins.mood}")

    # Answers

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
