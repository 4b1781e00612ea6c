"""How a rule's deliveries go, and what of it the log has yet to be told.

Theory of operation. A rule is well, and nothing is kept of it, until an attempt fails or a delivery dies. From then on it has a row, which
is a change like any other, until it is well again, the log knows, and no bound on telling holds anything back any more. So what goes
well costs one look into an empty set, and rows are as few as rules in trouble. `trouble` turns what a step learns into events.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from eventyard.core import limits
from eventyard.core.delivery import Delivery, Note


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule in trouble.

    `is_failing`: its last attempt failed. `to_tell`: as much, by its last attempt at an event that is not the bus's own; `told`: what
    the log says. `since_ms` (bus time): when the trouble began. `failures` and `deliveries`: attempts that failed and went well since the log
    was last told. `status` and `failure` are those of the last that failed; `at` is the position of the event that tipped it. `failing_at_ms` and `recovered_at_ms` (work time): when
    each was told last, and is not told again for `rest_ms`.

    `interval_ms` (work time) is when the interval began in which `singles` dead letters were told each by itself. `untold` more wait for
    its end; their positions reach from `first` to `last`, and the first of them died at `untold_since_ms` (bus time).

    `is_open_told`: the log says that its breaker is open, told at `breaker_at_ms` (work time), or was told to be closed then.

    `refused_ms`, `refused_singles`, `refused` and so on: the same of replies that were not taken; `refused` of them wait to be told.

    `fruitless`: attempts that failed since the last one that went well, or since somebody resumed the rule or gave it another target; the first of
    them at `fruitless_ms` (work time).
    """

    rule: int
    is_failing: bool = False
    to_tell: bool = False
    told: bool = False
    since_ms: int = 0
    failures: int = 0
    deliveries: int = 0
    status: int = 0
    failure: str = ""
    at: int = 0
    failing_at_ms: int | None = None
    recovered_at_ms: int | None = None
    rest_ms: int = 0
    interval_ms: int | None = None
    singles: int = 0
    untold: int = 0
    first: int = 0
    last: int = 0
    untold_since_ms: int = 0
    is_open_told: bool = False
    breaker_at_ms: int | None = None
    fruitless_ms: int | None = None
    fruitless: int = 0
    refused_ms: int | None = None
    refused_singles: int = 0
    refused: int = 0
    refused_first: int = 0
    refused_last: int = 0
    refused_since_ms: int = 0
    is_removed: bool = False

    @property
    def is_unwell(self) -> bool:
        """Whether a success of it is news."""
        return self.is_failing or self.to_tell or self.told

    @property
    def is_owed(self) -> bool:
        """Whether the log says that it fails and it does not, or the other way."""
        return self.to_tell != self.told

    @property
    def due_ms(self) -> int | None:
        """The work time at which something is to be told of it, or it is to be forgotten. None: nothing by time alone."""
        owed = [self.turn_ms] if self.is_owed else []
        owed += [self.interval_ends_ms] if self.untold else []
        owed += [self.refused_ends_ms] if self.refused else []
        if owed:
            return min(owed)
        if self.is_unwell or self.is_open_told:
            return None
        return max(self.flaps_until_ms, self.interval_ends_ms, self.refused_ends_ms, self.breaker_turn_ms)

    @property
    def is_untold(self) -> bool:
        """Whether anything waits for its time to be told, but that its breaker is open or closed."""
        return self.is_owed or bool(self.untold or self.refused)

    @property
    def refused_ends_ms(self) -> int:
        return 0 if self.refused_ms is None else self.refused_ms + limits.REPLIES_REFUSED_TOLD_EVERY_MS

    @property
    def breaker_turn_ms(self) -> int:
        """The work time from which the log may be told of its breaker again."""
        return 0 if self.breaker_at_ms is None else self.breaker_at_ms + limits.TROUBLE_TOLD_EVERY_MS

    def owes_breaker(self, work_ms: int, *, is_open: bool) -> bool:
        """Whether the log is to be told of its breaker now. Of one that only the bus's own events have opened it is not."""
        return is_open != self.is_open_told and work_ms >= self.breaker_turn_ms and (self.is_open_told or self.to_tell)

    @property
    def turn_ms(self) -> int:
        """The work time from which the change of state that is owed may be told."""
        told_ms = self.failing_at_ms if self.to_tell else self.recovered_at_ms
        return 0 if told_ms is None else told_ms + max(self.rest_ms, limits.TROUBLE_TOLD_EVERY_MS)

    @property
    def flaps_until_ms(self) -> int:
        """The work time until which a change of state is one of several that soon follow one another."""
        told_ms = max(self.failing_at_ms or 0, self.recovered_at_ms or 0)
        return told_ms + 2 * self.rest_ms

    def told_at(self, work_ms: int) -> "Health":
        """The change of state was told. The sooner one follows another, the longer the next one has to wait."""
        if not self.to_tell:
            return msgspec.structs.replace(self, told=False, failures=0, deliveries=0, recovered_at_ms=work_ms)
        rest_ms = limits.TROUBLE_TOLD_EVERY_MS
        if self.rest_ms and work_ms < self.flaps_until_ms:
            rest_ms = max(rest_ms, min(2 * self.rest_ms, limits.TROUBLE_RESTS_MS_MAX))
        return msgspec.structs.replace(self, told=True, failures=0, deliveries=0, failing_at_ms=work_ms, rest_ms=rest_ms)

    @property
    def interval_ends_ms(self) -> int:
        return 0 if self.interval_ms is None else self.interval_ms + limits.DEAD_LETTERS_TOLD_EVERY_MS


class Outcome(NamedTuple):
    """What came of one attempt at the event at `position`. `note` tells why it failed; None: it went well."""

    position: int
    note: Note | None


class HealthDraft:
    """What one step learns of its rules, over the committed rows. `unwell`: rules of which a success is news."""

    def __init__(self, committed: Mapping[int, Health], unwell: set[int]) -> None:
        self.unwell = unwell
        self._is_own = False
        self.outcomes: dict[int, list[Outcome]] = {}
        self.deaths: list[tuple[Delivery, Note]] = []
        self.due: tuple[int, ...] = ()
        """Rules of which somebody wants told what falls due by time alone."""
        self._committed = committed
        self._own: dict[int, Health] = {}

    @property
    def has_news(self) -> bool:
        return bool(self.outcomes or self.deaths or self.due)

    def failed(self, delivery: Delivery, note: Note) -> None:
        uid = delivery.rule
        if uid not in self.unwell:
            self._take_over()
            self.unwell.add(uid)
        self.outcomes.setdefault(uid, []).append(Outcome(delivery.position, note))

    def _take_over(self) -> None:
        """From here on `unwell` is the step's own: the committed one is only read."""
        if not self._is_own:
            self.unwell, self._is_own = set(self.unwell), True

    def delivered(self, delivery: Delivery) -> None:
        """Only asked for of the `unwell`."""
        self.outcomes.setdefault(delivery.rule, []).append(Outcome(delivery.position, None))

    def died(self, delivery: Delivery, note: Note) -> None:
        self.deaths.append((delivery, note))

    def begin_anew(self, uid: int) -> None:
        """What failed until now says nothing any more of how long nothing went well."""
        health = self.get(uid)
        if health is not None and health.fruitless:
            self.set(msgspec.structs.replace(health, fruitless_ms=None, fruitless=0))

    # Rows

    def get(self, uid: int) -> Health | None:
        found = self._own.get(uid) or self._committed.get(uid)
        return None if found is None or found.is_removed else found

    def set(self, health: Health) -> None:
        if health != self.get(health.rule):
            self._own[health.rule] = health

    def forget(self, uid: int) -> None:
        if self.get(uid) is not None:
            self._own[uid] = Health(uid, is_removed=True)

    @property
    def changed(self) -> list[Health]:
        return list(self._own.values())
