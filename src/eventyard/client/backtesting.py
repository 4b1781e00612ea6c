"""Patterns tried on the log before they are saved: what is asked, and what is made of the answers. No I/O here."""

import datetime
from collections.abc import Sequence

import msgspec

from eventyard.client.answers import Page
from eventyard.client.building import Document, Moment, text_of, time_text
from eventyard.client.call import JSON, Call, Request, Walk, address, decode, nothing
from eventyard.client.event import encode_json
from eventyard.client.patience import Response


class Tried(msgspec.Struct, frozen=True):
    """A pattern to try. It is held against the rule of that name as it is in force (empty, or none there: against nothing)."""

    pattern: Document
    rule: str = ""


class BacktestGap(msgspec.Struct, frozen=True):
    """Positions of which no event can be read: removed by `retention`, given up by a repair as `lost`, or `damaged`."""

    first: int
    last: int
    reason: str


class BacktestDay(msgspec.Struct, frozen=True):
    """How many events were looked at of a day (UTC)."""

    day: str
    events: int


class TriedDay(msgspec.Struct, frozen=True):
    """What a pattern does with the events of one day (UTC). Days without any of it are left out."""

    day: str
    matched: int
    added: int
    removed: int


class Samples(msgspec.Struct, frozen=True):
    """Positions of events, spread over the time that was looked at."""

    matched: list[int] = []
    added: list[int] = []
    removed: list[int] = []
    failed: list[int] = []


class TriedRule(msgspec.Struct, frozen=True):
    """What one pattern matches; of these `added` are not matched by the `version` of the rule in force, and `removed` are by that alone.

    `version` 0: there is no rule of that name, and nothing is told to be added or removed. On those that `failed` the pattern cannot be
    evaluated; the bus would make a dead letter of each.
    """

    name: str
    version: int
    matched: int
    added: int
    removed: int
    failed: int
    days: list[TriedDay] = []
    samples: Samples = Samples()


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """How far a backtest has come in the positions `first` to `last`: up to and with `next_after` (None: all).

    Of what was looked at the first event was accepted at `begins` and the last at `ends` (RFC 3339).
    """

    first: int
    last: int
    next_after: int | None
    begins: str | None
    ends: str | None

    @property
    def positions(self) -> int:
        """How many positions the range has."""
        return max(0, self.last + 1 - self.first)

    @property
    def looked_at(self) -> int:
        """How many of them are done with."""
        return self.positions if self.next_after is None else self.next_after + 1 - self.first

    @property
    def span_s(self) -> float:
        """From the first event to the last, in seconds."""
        if self.begins is None or self.ends is None:
            return 0.0
        begins, ends = (datetime.datetime.fromisoformat(text) for text in (self.begins, self.ends))
        return (ends - begins).total_seconds()


class Backtest(Range, frozen=True, kw_only=True):
    """What was found so far (see `Range`). `rules` in the order in which they were given. `events` were looked at."""

    events: int
    days: list[BacktestDay]
    gaps: list[BacktestGap]
    rules: list[TriedRule]

    @property
    def is_done(self) -> bool:
        return self.next_after is None


def backtest(
    *tried: Tried,
    bus: str = "default",
    from_: Moment | None = None,
    until: Moment | None = None,
    samples: int = 10,
) -> Walk[Backtest]:
    """What these patterns (at most 100, 1 MiB in all) would have matched of the events accepted from `from_` to before `until`.

    Gives what was found so far, stretch by stretch; the last one is all. The end is the bus's last event as of the first request. `samples`:
    positions of each kind for each pattern. ProblemError `version-conflict` where a rule is changed meanwhile.
    """
    path = address("buses", bus, "backtest")
    times = {"from": time_text(from_), "until": time_text(until)}
    asked: dict[str, object] = {"samples": samples, **{name: text for name, text in times.items() if text is not None}}
    found: Backtest | None = None
    total = _Sum(len(tried), samples)
    while found is None or not found.is_done:
        page = yield Call(Request("POST", path, body=_body(tried, asked, found), content_type=JSON), total.add)
        [found] = page.items


def _body(tried: Sequence[Tried], asked: dict[str, object], found: Backtest | None) -> bytes:
    """Patterns are embedded as they were written: the spelling of numbers counts. From the second request on nothing may be another."""
    rules = []
    for number, one in enumerate(tried):
        more: dict[str, object] = {"name": one.rule}
        if found is not None and one.rule:
            more["version"] = found.rules[number].version
        rules.append(f'{encode_json(more).decode()[:-1]},"pattern":{text_of(one.pattern)}}}')
    more = asked if found is None else asked | {"after": found.next_after, "last": found.last}
    return f'{encode_json(more).decode()[:-1]},"rules":[{",".join(rules)}]}}'.encode()


class _Sum:
    """Adds up what the stretches say. Every sample is kept, so that those told are from the whole of it."""

    def __init__(self, count: int, samples: int) -> None:
        self._wanted = samples
        self._samples = [Samples([], [], [], []) for _ in range(count)]
        self._found: Backtest | None = None

    def add(self, response: Response) -> Page[Backtest]:
        nothing(response)
        part = decode(response, Backtest)
        for kept, rule in zip(self._samples, part.rules, strict=True):
            for kind in _KINDS:
                getattr(kept, kind).extend(getattr(rule.samples, kind))
        self._found = part if self._found is None else self._and(self._found, part)
        return Page([self._found])

    def _and(self, found: Backtest, part: Backtest) -> Backtest:
        rules = zip(found.rules, part.rules, self._samples, strict=True)
        return Backtest(
            first=found.first,
            last=found.last,
            next_after=part.next_after,
            events=found.events + part.events,
            begins=found.begins or part.begins,
            ends=part.ends or found.ends,
            days=_days(found.days, part.days),
            gaps=_gaps(found.gaps, part.gaps),
            rules=[self._rule(before, after, kept) for before, after, kept in rules],
        )

    def _rule(self, before: TriedRule, after: TriedRule, kept: Samples) -> TriedRule:
        return TriedRule(
            name=before.name,
            version=before.version,
            matched=before.matched + after.matched,
            added=before.added + after.added,
            removed=before.removed + after.removed,
            failed=before.failed + after.failed,
            days=_tried_days(before.days, after.days),
            samples=Samples(*(_spread(getattr(kept, kind), self._wanted) for kind in _KINDS)),
        )


_KINDS = ("matched", "added", "removed", "failed")


def _days(before: list[BacktestDay], after: list[BacktestDay]) -> list[BacktestDay]:
    """Where one stretch ends and the next begins on the same day, that is one day."""
    if before and after and before[-1].day == after[0].day:
        one = BacktestDay(after[0].day, before[-1].events + after[0].events)
        return [*before[:-1], one, *after[1:]]
    return [*before, *after]


def _tried_days(before: list[TriedDay], after: list[TriedDay]) -> list[TriedDay]:
    if before and after and before[-1].day == after[0].day:
        last, first = before[-1], after[0]
        counts = (last.matched + first.matched, last.added + first.added, last.removed + first.removed)
        return [*before[:-1], TriedDay(first.day, *counts), *after[1:]]
    return [*before, *after]


def _gaps(before: list[BacktestGap], after: list[BacktestGap]) -> list[BacktestGap]:
    if before and after and before[-1].reason == after[0].reason and before[-1].last + 1 == after[0].first:
        return [*before[:-1], BacktestGap(before[-1].first, after[0].last, after[0].reason), *after[1:]]
    return [*before, *after]


def _spread(positions: list[int], count: int) -> list[int]:
    """At most `count` of them, evenly from all."""
    if len(positions) <= count:
        return positions[:]
    return [positions[(2 * at + 1) * len(positions) // (2 * count)] for at in range(count)]
