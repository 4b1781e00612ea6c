"""Backtesting: what patterns would have matched of the log, and what that changes against rules as they are in force.

Theory of operation. A look is one bounded read: it goes over a stretch of the log once, whatever the number of patterns, and says where to
go on; whoever asks adds the looks up. Every pattern that is tried, and the pattern in force that it is held against, is a rule of one set, so both
are judged as the bus itself judges: an event costs one question. Only positions are noted meanwhile. They ascend, and so does the time of
acceptance, so days, samples and what changes are read off them at the end. Nothing is kept between two looks, and nothing is asked of the writer.

What cannot be judged is told, never passed over: positions that nobody can read as gaps, events that cost a pattern too much as failed (the
bus would make a dead letter of each).
"""

import bisect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from eventyard.core import limits, strict_json
from eventyard.core.bus_state import BusState
from eventyard.core.changes import StoredEvent
from eventyard.core.errors import InvalidPattern, PatternTooCostly
from eventyard.core.loss import without_gaps
from eventyard.core.pattern import language
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import Pattern
from eventyard.core.pattern.ruleset import RuleSet
from eventyard.core.view import View

DAY_MS = 24 * 60 * 60 * 1000

Positions = list[int]
"""Ascending."""


class Trial(msgspec.Struct, frozen=True):
    """A pattern that is tried, as text, and the one in force that it is held against (None: there is none)."""

    pattern: bytes
    in_force: bytes | None = None

    @property
    def is_compared(self) -> bool:
        """Whether the two can differ at all."""
        return self.in_force is not None and self.in_force != self.pattern


class Query(msgspec.Struct, frozen=True):
    """Events after position `after` up to `last` (None: the head), accepted in [from_ms, until_ms)."""

    trials: tuple[Trial, ...] = ()
    after: int = 0
    last: int | None = None
    from_ms: int | None = None
    until_ms: int | None = None


class Gap(msgspec.Struct, frozen=True):
    """Positions `first` to `last` of which no event can be read: `retention` removed them, a repair gave them up as `lost`, or `damaged`."""

    first: int
    last: int
    reason: str


class Day(msgspec.Struct):
    """A day (days since 1970, UTC): the position of its first event in the stretch, and how many there are."""

    number: int
    first: int
    events: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """Events that one pattern matches; of these `added` are not matched by the one in force, and `removed` are by that one alone.

    On those that `failed` it cannot be evaluated.
    """

    matched: Positions
    added: Positions
    removed: Positions
    failed: Positions


class Look(msgspec.Struct, frozen=True):
    """One stretch of the range from `first` to `last`. `next_after` goes on (None: it reached the end).

    `events` were looked at, the first and the last of them accepted at `begins_ms` and `ends_ms`. An outcome for each trial.
    """

    first: int
    last: int
    next_after: int | None
    events: int
    begins_ms: int | None
    ends_ms: int | None
    days: list[Day]
    gaps: list[Gap]
    outcomes: list[Outcome]

    def by_day(self, positions: Positions) -> list[int]:
        """How many of the positions lie in each of `days`."""
        cuts = [bisect.bisect_left(positions, day.first) for day in self.days] + [len(positions)]
        return [end - begin for begin, end in itertools.pairwise(cuts)]


def spread(positions: Positions, count: int) -> Positions:
    """At most `count` of the positions, evenly from all of them."""
    return positions if len(positions) <= count else [positions[at * len(positions) // count] for at in range(count)]


def look(view: View, state: BusState, query: Query, clock_ms: Callable[[], int]) -> Look:
    """Judge events until the range ends or one request has looked at enough. Raises InvalidPattern and PatternTooCostly for what is no pattern."""
    until = clock_ms() + limits.BACKTEST_MS_MAX
    judge, stretch = _Judge(query.trials), _Stretch(view, state, query)
    for event in stretch:
        judge(event.position, event.json)
        if stretch.is_enough or clock_ms() >= until:
            break
    return Look(
        first=stretch.first,
        last=stretch.last,
        next_after=stretch.next_after,
        events=stretch.events,
        begins_ms=stretch.begins_ms,
        ends_ms=stretch.ends_ms,
        days=stretch.days,
        gaps=stretch.gaps,
        outcomes=judge.outcomes(),
    )


# Reading


class _Stretch:
    """The events of a range, of which few are in memory at a time, and what is to be told of them whatever the pattern."""

    def __init__(self, view: View, state: BusState, query: Query) -> None:
        self._view, self._state, self._number = view, state, state.record.number
        self.events = 0
        self.begins_ms: int | None = None
        self.ends_ms: int | None = None
        self.days: list[Day] = []
        self.gaps: list[Gap] = []
        self.next_after: int | None = None
        wanted, self.last = _range(view, state, query)
        self.first = max(wanted, state.floor)
        self._miss(wanted, min(self.first - 1, self.last))

    @property
    def is_enough(self) -> bool:
        return (
            self.events >= limits.BACKTEST_EVENTS_MAX
            or len(self.gaps) >= limits.BACKTEST_GAPS_MAX
            or len(self.days) > limits.BACKTEST_DAYS_MAX
        )

    def __iter__(self) -> Iterator[StoredEvent]:
        at, day_ends_ms = self.first, 0
        while at <= self.last:
            stored = self._view.events(self._number, at, self.last, limits.SCAN_EVENTS_AT_ONCE)
            for event in stored:
                if event.position > at:
                    self._miss(at, event.position - 1)
                if event.accepted_ms >= day_ends_ms:
                    day_ends_ms = self._begin_day(event)
                at = event.position + 1
                self.events += 1
                self.days[-1].events += 1
                self.ends_ms = event.accepted_ms
                self.next_after = event.position if at <= self.last else None
                yield event
            if len(stored) < limits.SCAN_EVENTS_AT_ONCE:
                self._miss(at, self.last)
                self.next_after = None
                return

    def _begin_day(self, event: StoredEvent) -> int:
        """When the day ends that begins with this event."""
        number = event.accepted_ms // DAY_MS
        self.days.append(Day(number, event.position))
        if self.begins_ms is None:
            self.begins_ms = event.accepted_ms
        return (number + 1) * DAY_MS

    def _miss(self, first: int, last: int) -> None:
        """Positions at which no event was read, by the reason. The floor is asked anew: retention may have come between."""
        if first > last:
            return
        floor = self._view.floor(self._number)
        if first < floor:
            self.gaps.append(Gap(first, min(last, floor - 1), "retention"))
        at = max(first, floor)
        for begin, end in without_gaps(self._state.gaps, at, last):
            if at < begin:
                self.gaps.append(Gap(at, begin - 1, "lost"))
            self.gaps.append(Gap(begin, end, "damaged"))
            at = end + 1
        if at <= last:
            self.gaps.append(Gap(at, last, "lost"))


def _range(view: View, state: BusState, query: Query) -> tuple[int, int]:
    """The first and last position that were asked for, removed ones included: of those nobody knows when they were accepted."""
    number, first = state.record.number, query.after + 1
    if query.from_ms is not None:
        at = view.position_at(number, query.from_ms)
        first = max(first, at if at > state.floor else 1)
    last = state.head if query.last is None else min(query.last, state.head)
    if query.until_ms is not None:
        last = min(last, view.position_at(number, query.until_ms) - 1)
    return first, last


# Judging


class _Judge:
    """All patterns as the rules of one set: a trial's own under its number, the one in force under that and the number of trials."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._trials = trials
        self._patterns = {number: _parsed(trial.pattern, number) for number, trial in enumerate(trials)}
        for number, trial in enumerate(trials, len(trials)):
            if trial.in_force is not None and trial.is_compared:
                self._patterns[number] = language.parse(trial.in_force)
        self._match = _matcher(self._patterns)
        self._matched: dict[int, Positions] = {key: [] for key in self._patterns}
        self._failed: dict[int, Positions] = {key: [] for key in self._patterns}

    def __call__(self, position: int, body: bytes) -> None:
        try:
            for key in self._match(body):
                self._matched[key].append(position)
        except PatternTooCostly:
            self._judge_one_by_one(position, body)

    def _judge_one_by_one(self, position: int, body: bytes) -> None:
        """Where one pattern fails the set fails, and the others have their verdict all the same."""
        document = strict_json.decode(body)
        for key, pattern in self._patterns.items():
            try:
                if evaluate(pattern, document):
                    self._matched[key].append(position)
            except PatternTooCostly:
                self._failed[key].append(position)

    def outcomes(self) -> list[Outcome]:
        return [self._outcome(number, trial) for number, trial in enumerate(self._trials)]

    def _outcome(self, number: int, trial: Trial) -> Outcome:
        """An event on which the one in force fails is not matched by it: it came to nobody."""
        matched, failed = self._matched[number], self._failed[number]
        if not trial.is_compared:
            return Outcome(matched, [], [], failed)
        in_force = self._matched[len(self._trials) + number]
        return Outcome(matched, _without(matched, in_force), _without(in_force, matched), failed)


def _without(positions: Positions, others: Positions) -> Positions:
    left_out = frozenset(others)
    return [position for position in positions if position not in left_out]


def _matcher(patterns: Mapping[int, Pattern]) -> Callable[[bytes], list[int]]:
    rules = RuleSet()
    for key, pattern in patterns.items():
        rules = rules.with_rule(key, pattern)
    return lambda body: rules.match(strict_json.decode(body))


def _parsed(text: bytes, number: int) -> Pattern:
    try:
        return language.parse(text)
    except (InvalidPattern, PatternTooCostly) as error:
        raise type(error)(error.found, wanted=error.wanted, at=f"/rules/{number}/pattern{error.at}".rstrip("/")) from error
