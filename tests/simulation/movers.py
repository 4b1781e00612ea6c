"""Operators who move queues: seeks, replays, skips, purges, redrives of every kind, and what a bus keeps."""

import json
from typing import Any

import msgspec

from eventyard.core import bus_events, rule
from eventyard.core.changes import ALL_DEAD, Backfill, Filter, Retention
from eventyard.core.commands import EndReplay, Purge, PutRule, Redrive, Replay, Seek, SetRetention, Skip
from eventyard.core.delivery import Delivery, Key, Reason, State
from eventyard.core.order_key import lane_of_key
from eventyard.core.rule import Place, StartPosition
from tests.simulation.asking import Asker, shown
from tests.simulation.documents import BUSES, RULES, Documents
from tests.simulation.house import House
from tests.simulation.producers import KEYS

REASONS = (Reason.ATTEMPTS, Reason.AGE, Reason.ANSWER, Reason.REJECTED)


class Movers(Asker):
    def __init__(self, house: House, documents: Documents) -> None:
        super().__init__(house)
        self._documents = documents

    # Runs

    def seek(self) -> None:
        bus, name = self._some()
        self._ask(bus, Seek(name, self._place(bus)), self._noting(bus, bus_events.RULE_SOUGHT, name))

    def replay(self) -> None:
        """Some stretch, narrowed or not, at once or at one pace or another; sometimes by mistake."""
        bus, name = self._some()
        rng, pattern = self._rng, json.dumps(self._documents.pattern()).encode()
        command = Replay(
            name,
            rng.choice(("earliest", self._place(bus))),
            rng.choice((None, self._place(bus))),
            pattern=rng.choice((b"", pattern)),
            per_s=rng.choice((0.0, 0.0, 0.05, 20.0)),
            is_original=rng.random() < 0.3,
        )
        note = self._noting(bus, bus_events.RULE_REPLAYED, name)
        is_mistaken = rng.random() < 0.3

        def answered(answer: Any) -> None:
            note(answer)
            if is_mistaken and isinstance(answer, Backfill):
                self._end(bus, name, answer.run)

        self._ask(bus, command, answered)

    def end_replay(self) -> None:
        """Cancel one, forget one, or name one that never was."""
        bus = self._rng.choice(BUSES)
        state = self._state(bus)
        if state is None:
            return
        there = [one for one in state.backfills.values() if one.is_replay and one.rule in state.by_uid]
        if there and self._rng.random() < 0.9:
            one = self._rng.choice(there)
            name, run = state.by_uid[one.rule].name, one.run
        else:
            name, run = self._rng.choice(RULES), self._rng.randint(1, state.head + 1)
        self._end(bus, name, run)

    def _end(self, bus: str, name: str, run: int) -> None:
        self._ask(bus, EndReplay(name, run), lambda answer: self._house.world.note(f"replay ended: {shown(answer)}"))

    def resume_rule(self) -> None:
        """A deleted rule goes on where it stood, as it was or with another document."""
        bus = self._rng.choice(BUSES)
        state = self._state(bus)
        there = sorted(state.tombstones.keys() - state.by_name.keys()) if state is not None else []
        if state is not None and there:
            name = self._rng.choice(there)
            before = self._house.ledger.buses[state.record.number].rules[state.tombstones[name].uid]
            document = self._documents.write(name, self._life(bus), None, "resume")
            if self._rng.random() < 0.7:
                document = msgspec.json.encode(msgspec.structs.replace(before.rule, start="resume"))
            self._ask(bus, PutRule(name, *rule.parse(document)), self._noting(bus, bus_events.RULE_CREATED, name))

    # Dead letters

    def redrive(self) -> None:
        bus, name = self._some(is_dead=True)
        keys = self._rows(bus, name, State.DEAD)
        command = Redrive(
            name, keys, filter=ALL_DEAD if keys is not None else self._filter(), per_s=self._rng.choice((0.0, 0.0, 0.05))
        )
        self._redrive(bus, command)

    def redrive_skipped(self) -> None:
        """What was skipped, out of order; with it some dead letters."""
        bus, name = self._some(is_dead=True)
        skipped = self._rows(bus, name, State.DISCARDED) or ()
        state = self._state(bus)
        if state is not None:
            self._house.gate.out_of_order.update((state.record.incarnation, key) for key in skipped)
            keys = (*skipped, *(self._rows(bus, name, State.DEAD) or ()))
            self._redrive(bus, Redrive(name, keys, is_out_of_order=True))

    def _redrive(self, bus: str, command: Redrive) -> None:
        if state := self._state(bus):
            self._house.books.redrive(state.record.incarnation, command.name)
        self._ask(bus, command, self._noting(bus, bus_events.RULE_REDRIVEN, command.name))

    def purge(self) -> None:
        bus, name = self._some(is_dead=True)
        keys = self._rows(bus, name, State.DEAD)
        meant = ALL_DEAD if keys is not None else self._filter()
        command = Purge(name, keys, filter=meant, is_parked_too=keys is not None and self._rng.random() < 0.5)
        self._ask(bus, command, self._noting(bus, bus_events.RULE_PURGED, name))

    def skip(self) -> None:
        bus, name = self._some(is_dead=True)
        lanes = tuple(lane_of_key(key) for key in (*KEYS, "one", "two", "x", "y"))
        some = {"keys": self._rows(bus, name, State.DEAD) or ()} if self._rng.random() < 0.5 else {"lanes": lanes}
        self._ask(bus, Skip(name, **some), self._noting(bus, bus_events.RULE_SKIPPED, name))

    def _filter(self) -> Filter:
        rng, now_ms = self._rng, self._house.writer.now().time_ms
        return rng.choice(
            (
                ALL_DEAD,
                Filter(reason=rng.choice(REASONS)),
                Filter(lanes=(lane_of_key("one"), lane_of_key("a"))),
                Filter(from_ms=now_ms - 60_000),
                Filter(until_ms=now_ms - 60_000),
            )
        )

    def _rows(self, bus: str, name: str, wanted: State) -> tuple[Key, ...] | None:
        """Some chosen deliveries in that state, sometimes one in another; or (None) all."""
        state, record = self._state(bus), self._record(bus, name)
        if record is None or state is None or self._rng.random() < 0.4:
            return None
        rows = self._house.ledger.buses[state.record.number].rows.values()
        own = [row for row in rows if row.rule == record.uid]
        some = [row for row in own if row.state is wanted]
        stray = [self._rng.choice(own)] if own and self._rng.random() < 0.1 else []
        return tuple(row.key for row in (*self._sample(some), *stray))

    def _sample(self, rows: list[Delivery]) -> list[Delivery]:
        return self._rng.sample(rows, min(len(rows), self._rng.choice((1, 3))))

    # Buses

    def set_retention(self) -> None:
        rng, bus = self._rng, self._rng.choice(BUSES)
        retention = Retention(
            max_age_s=rng.choice((20, 300, 604_800)),
            max_bytes=rng.choice((500, 3_000, 10**10)),
            dead_letters_s=rng.choice((30, 600, 2_592_000)),
        )
        self._ask_system(SetRetention(bus, retention), lambda answer: self._house.world.note(f"keeps: {shown(answer)}"))

    def _place(self, bus: str) -> Place:
        state = self._state(bus)
        place: Any = self._documents.place(state.head if state else 0, self._house.clock.now_ms())
        return StartPosition(**place) if isinstance(place, dict) else place
