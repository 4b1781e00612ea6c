"""The log over again for an emitter that is tried and, beside it, the version in force: what each would publish, and what differs.

Both begin with knowing nothing and hear the same events in the same virtual time, so what differs comes of what their documents say. The two tell
the same where they tell an event of the same type, of the same key, for the same event of the log; where one tells it later, it has moved. What one has
told waits for the other for as long as that may still tell it, one for each key at the most, so memory is bounded by the keys.
"""

from collections import Counter
from collections.abc import Callable

import msgspec

from eventyard.core import emitter_plan, limits, strict_json
from eventyard.core.changes import StoredEvent
from eventyard.core.clock import DAY_MS
from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.index import Index
from eventyard.core.rehearsal import Rehearsal, Told
from eventyard.core.spread import Spread

_Name = tuple[str, str, int]


class Figures(msgspec.Struct):
    """How many were `told`; of these `added` are not told by the version in force, and `removed` are told by that alone."""

    told: int = 0
    added: int = 0
    removed: int = 0


class Playback:
    def __init__(self, tried: Rehearsal, in_force: Rehearsal | None = None) -> None:
        self.tried = tried
        self.in_force = in_force
        self._sides = [tried] if in_force is None else [tried, in_force]
        self._listening = Index()
        for side, rehearsal in enumerate(self._sides):
            for number, pattern in rehearsal.plan.listens.items():
                self._listening = self._listening.with_rule(emitter_plan.ear(side, number), pattern)
        self._waiting: tuple[dict[str, Told], dict[str, Told]] = ({}, {})
        """By side and key: what it has told and the other may yet tell."""
        self.types: Counter[str] = Counter()
        self.all = Figures()
        self.moved = 0
        self.by_day: dict[int, Figures] = {}
        self.by_key: dict[str, Figures] = {}
        self.told = Spread[Told](limits.BACKTEST_SAMPLES_MAX)
        self.added = Spread[Told](limits.BACKTEST_SAMPLES_MAX)
        self.removed = Spread[Told](limits.BACKTEST_SAMPLES_MAX)

    def hear(self, event: StoredEvent) -> None:
        """The next event of the log, accepted at the time to which `pass_to` has come."""
        for ear in self._ears(event.json):
            side, number = emitter_plan.owner_of(ear)
            self._sides[side].hear(event, number)
        self._settle()

    def _ears(self, event: bytes) -> list[int]:
        try:
            return self._listening.match(event)
        except PatternTooCostly:
            ears, failed = self._listening.match_and_fail(strict_json.decode(event))
            for side in {emitter_plan.owner_of(ear)[0] for ear in failed}:
                self._sides[side].count_failed()
            return ears

    def pass_to(self, time_ms: int, is_over: Callable[[], bool]) -> bool:
        """Let time pass for both. False where it was over before that: then once more."""
        passed = all(rehearsal.pass_to(time_ms, is_over) for rehearsal in self._sides)
        self._settle()
        return passed

    def end(self) -> None:
        """Nothing more comes: what was told by one alone stays so."""
        for side, waiting in enumerate(self._waiting):
            for one in waiting.values():
                self._differ(side, one)
            waiting.clear()

    # What was told

    def _settle(self) -> None:
        told = [rehearsal.take_told() for rehearsal in self._sides]
        for one in told[0]:
            self._count(one)
        if self.in_force is not None:
            self._compare({one.name: one for one in told[0]}, {one.name: one for one in told[1]})
        for rehearsal in self._sides:
            rehearsal.emitters.touched.clear()

    def _compare(self, *told: dict[_Name, Told]) -> None:
        """What one tells, the other tells as well now, has told before, may tell yet, or does not tell."""
        for name in told[0].keys() & told[1].keys():
            self._pair(told[0].pop(name), told[1].pop(name))
        for own, others in ((told[0], self._waiting[1]), (told[1], self._waiting[0])):
            for one in list(own.values()):
                if (other := others.get(one.key)) is not None and other.name == one.name:
                    self._pair(own.pop(one.name), others.pop(one.key))
        self._give_up()
        for side, own in enumerate(told):
            for one in own.values():
                if self._sides[1 - side].awaits(one.key) == one.cause:
                    self._waiting[side][one.key] = one
                else:
                    self._differ(side, one)

    def _pair(self, one: Told, other: Told) -> None:
        self.moved += one.at_ms != other.at_ms

    def _give_up(self) -> None:
        """What one has told and the other, having come past it, will not tell any more."""
        for waiting, side, other in ((self._waiting[0], 0, self._sides[1]), (self._waiting[1], 1, self._sides[0])):
            for key in other.emitters.touched & waiting.keys() if waiting else ():
                if other.awaits(key) != waiting[key].cause:
                    self._differ(side, waiting.pop(key))

    # Figures

    def _count(self, one: Told) -> None:
        self.types[one.type] += 1
        self.told.add(one)
        for figures in self._figures(one):
            figures.told += 1

    def _differ(self, side: int, one: Told) -> None:
        (self.added if side == 0 else self.removed).add(one)
        for figures in self._figures(one):
            if side == 0:
                figures.added += 1
            else:
                figures.removed += 1

    def _figures(self, one: Told) -> tuple[Figures, ...]:
        by_day = self.by_day.setdefault(one.at_ms // DAY_MS, Figures())
        return self.all, by_day, self.by_key.setdefault(one.key, Figures())
