"""Backtesting: what patterns would have matched of the log, and what that changes against rules as they are in force.

Theory of operation. A look is one bounded read: it goes over a stretch of the log once, whatever the number of patterns, and says where to
go on; whoever asks adds the looks up. Every pattern that is tried, and the pattern in force that it is held against, is a rule of one index, so both
are judged as the bus itself judges: an event costs one question. Only positions are noted meanwhile. They ascend, and so does the time of
acceptance, so days, samples and what changes are read off them at the end. Nothing is kept between two looks, and nothing is asked of the writer.

What cannot be judged is told, never passed over: positions that nobody can read as gaps, events that cost a pattern too much as failed (the
bus would make a dead letter of each).
"""

import bisect
import itertools
from collections.abc import Callable, Iterator, Sequence

import msgspec

from eventyard.core import limits, strict_json
from eventyard.core.bus_state import BusState
from eventyard.core.changes import StoredEvent
from eventyard.core.clock import DAY_MS
from eventyard.core.errors import InvalidPattern, PatternTooCostly
from eventyard.core.loss import without_gaps
from eventyard.core.pattern import language
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import Pattern
from eventyard.core.view import View

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


def look(view: View, state: BusState, patterns: "Patterns", query: Query, clock_ms: Callable[[], int]) -> Look:
    """Judge events until the range ends or one request has looked at enough."""
    ends_at = clock_ms() + limits.BACKTEST_MS_MAX
    judge, stretch = _Judge(patterns), Stretch(view, state, query)
    for events in stretch:
        judged = judge.judge(events, lambda: clock_ms() >= ends_at)
        stretch.take(events[:judged])
        if stretch.is_enough or judged < len(events) or clock_ms() >= ends_at:
            break
    else:
        stretch.end()
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


class Stretch:
    """The events of a range, a few at a time, and what is to be told of those that were taken whatever the pattern."""

    def __init__(self, view: View, state: BusState, query: Query) -> None:
        self._view, self._state, self._number = view, state, state.record.number
        self.events = 0
        self.begins_ms: int | None = None
        self.ends_ms: int | None = None
        self.days: list[Day] = []
        self.gaps: list[Gap] = []
        wanted, self.last = _range(view, state, query)
        self.first = self._at = max(wanted, state.floor)
        self._day_ends_ms = 0
        self._miss(wanted, min(self.first - 1, self.last))

    @property
    def is_enough(self) -> bool:
        return (
            self.events >= limits.BACKTEST_EVENTS_MAX
            or len(self.gaps) >= limits.BACKTEST_GAPS_MAX
            or len(self.days) >= limits.BACKTEST_DAYS_MAX
        )

    @property
    def next_after(self) -> int | None:
        return self._at - 1 if self._at <= self.last else None

    def __iter__(self) -> Iterator[list[StoredEvent]]:
        """What comes next, as far as it was taken."""
        while self._at <= self.last:
            count = min(limits.SCAN_EVENTS_AT_ONCE, limits.BACKTEST_EVENTS_MAX - self.events)
            events = self._view.events(self._number, self._at, self.last, count)
            if not events:
                return
            yield events

    def take(self, events: list[StoredEvent]) -> None:
        """These were judged. Nearly always they are whole and of one day; else each is looked at."""
        last = events[-1]
        if last.position - self._at + 1 > len(events):
            for event in events:
                self._miss(self._at, event.position - 1)
                self._at = event.position + 1
        if last.accepted_ms < self._day_ends_ms:
            self.days[-1].events += len(events)
        else:
            for event in events:
                self._count(event)
        self._at = last.position + 1
        self.events += len(events)
        self.ends_ms = last.accepted_ms

    def _count(self, event: StoredEvent) -> None:
        if event.accepted_ms >= self._day_ends_ms:
            number = event.accepted_ms // DAY_MS
            self.days.append(Day(number, event.position))
            self._day_ends_ms = (number + 1) * DAY_MS
        if self.begins_ms is None:
            self.begins_ms = event.accepted_ms
        self.days[-1].events += 1

    def end(self) -> None:
        """Nothing more can be read."""
        self._miss(self._at, self.last)
        self._at = max(self._at, self.last + 1)

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


class Patterns:
    """All patterns as the rules of one index: a trial's own under its number, the one in force under that and the number of trials.

    What takes long to make of large ones is made once, and serves one look after the other.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        """Raises InvalidPattern and PatternTooCostly with the place in the list, PatternTooCostly where all together have too many fields."""
        self.trials = tuple(trials)
        self.index = Index()
        self._fields = 0
        for number, trial in enumerate(trials):
            self._add(number, _parsed(trial.pattern, number))
            if trial.in_force is not None and trial.is_compared:
                self._add(len(trials) + number, language.parse(trial.in_force))

    def _add(self, key: int, pattern: Pattern) -> None:
        self._fields += sum(len(alternative.fields) for alternative in pattern.alternatives)
        if self._fields > limits.BACKTEST_FIELDS_MAX and len(self.trials) > 1:
            raise PatternTooCostly(
                f"found {self._fields} fields up to here, in every alternative and with the patterns in force",
                wanted=f"at most {limits.BACKTEST_FIELDS_MAX} in all: fewer rules at once",
                at=f"/rules/{key % len(self.trials)}/pattern",
            )
        self.index = self.index.with_rule(key, pattern)


class _Judge:
    """What the patterns say of one event after the other."""

    def __init__(self, patterns: Patterns) -> None:
        self._trials, self._index = patterns.trials, patterns.index
        self._matched: list[Positions] = [[] for _ in range(2 * len(self._trials))]
        self._failed: list[Positions] = [[] for _ in range(2 * len(self._trials))]

    def judge(self, events: Sequence[StoredEvent], is_over: Callable[[], bool]) -> int:
        """How many were judged when it was over, at least one. Spelled out rather than called: this loop is what a backtest costs."""
        match, matched = self._index.match, self._matched
        for count, event in enumerate(events, 1):
            try:
                keys = match(event.json)
            except PatternTooCostly:
                keys = self._judge_apart(event)
            for key in keys:
                matched[key].append(event.position)
            if is_over():
                return count
        return len(events)

    def _judge_apart(self, event: StoredEvent) -> list[int]:
        """Where one pattern fails on the event, the others have their verdict all the same."""
        matched, failed = self._index.match_and_fail(strict_json.decode(event.json))
        for key in failed:
            self._failed[key].append(event.position)
        return matched

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


def _parsed(text: bytes, number: int) -> Pattern:
    try:
        return language.parse(text)
    except (InvalidPattern, PatternTooCostly) as error:
        raise type(error)(error.found, wanted=error.wanted, at=f"/rules/{number}/pattern{error.at}".rstrip("/")) from error
