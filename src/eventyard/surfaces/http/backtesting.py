"""POST /v1/buses/{bus}/backtest: patterns tried on the log before they are saved, stretch by stretch."""

import asyncio
import datetime
from typing import Annotated

import msgspec

from eventyard.backtesting import Look, Outcome, Query
from eventyard.bus.backtesting import Backtested, Tried
from eventyard.core import document, limits
from eventyard.core.clock import DAY_MS
from eventyard.core.errors import InvalidRequest
from eventyard.core.spread import spread
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.schemas import POSITION_MAX, MaybeTime, PatternText, Position, Time
from eventyard.surfaces.http.times import read_time_ms, rfc3339

Version = Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)]


class BacktestRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pattern to try. It is held against the rule `name` as that is in force; where there is none, or none is named, against nothing.

    `version`: only where that rule is in this one, 0 for none that is there.
    """

    pattern: PatternText
    name: Annotated[str, msgspec.Meta(max_length=limits.NAME_LENGTH_MAX)] = ""
    version: Version | None = None


class Backtest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of events after position `after` up to `last` (null: the last one), accepted in [`from`, `until`).

    `samples`: of how many events of each kind the position is told.
    """

    rules: Annotated[list[BacktestRule], msgspec.Meta(min_length=1, max_length=limits.BACKTEST_RULES_MAX)]
    from_: MaybeTime = msgspec.field(default="", name="from")
    until: MaybeTime = ""
    after: Position = 0
    last: Position | None = None
    samples: Annotated[int, msgspec.Meta(ge=0, le=limits.BACKTEST_SAMPLES_MAX)] = 10


Date = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date"})]


class DayAnswer(msgspec.Struct, frozen=True):
    """How many events were looked at of a day (UTC)."""

    day: Date
    events: int


class GapAnswer(msgspec.Struct, frozen=True):
    """Positions of which no event can be read: removed by `retention`, given up by a repair as `lost`, or `damaged`."""

    first: int
    last: int
    reason: str


class DayCountsAnswer(msgspec.Struct, frozen=True):
    """What became of the events of one day (UTC)."""

    day: Date
    matched: int
    added: int
    removed: int


class SamplesAnswer(msgspec.Struct, frozen=True):
    """Positions, spread over the stretch."""

    matched: list[int]
    added: list[int]
    removed: list[int]
    failed: list[int]


class TriedAnswer(msgspec.Struct, frozen=True):
    """One of the patterns. `matched` events; of these `added` are not matched by the `version` in force, and `removed` are matched by that
    alone (0: there is none, and nothing is told to be added or removed). `failed`: it cannot be evaluated on them.
    """

    name: str
    version: int
    matched: int
    added: int
    removed: int
    failed: int
    days: list[DayCountsAnswer]
    samples: SamplesAnswer


class BacktestAnswer(msgspec.Struct, frozen=True):
    """What a stretch of the log says, of the range `first` to `last`. `rules` in the order in which they were asked.

    `next_after` given as `after`, and `last` as it is, continues; null when the end is reached. `begins` and `ends`: when the first and the last
    event in it was accepted.
    """

    first: int
    last: int
    next_after: int | None
    events: int
    begins: Time | None
    ends: Time | None
    days: list[DayAnswer]
    gaps: list[GapAnswer]
    rules: list[TriedAnswer]


async def backtest(call: Call[NoFields]) -> Answer:
    """On threads: reading the largest request is work that others must not wait for. A caller that hangs up before its turn takes none."""
    asked = await asyncio.to_thread(document.read, call.body, Backtest, InvalidRequest)
    query = Query(
        after=asked.after,
        last=asked.last,
        from_ms=read_time_ms(asked.from_, at="/from"),
        until_ms=read_time_ms(asked.until, at="/until"),
    )
    tried = [_tried(number, rule) for number, rule in enumerate(asked.rules)]
    found = await call.while_there(call.yard.backtest(call.path["bus"], tried, query))
    return json_answer(_shown(asked, found))


def _tried(number: int, rule: BacktestRule) -> Tried:
    if rule.version is not None and not rule.name:
        raise InvalidRequest("found a version and no name", wanted="the rule's name beside it", at=f"/rules/{number}/version")
    return Tried(bytes(rule.pattern), rule.name, rule.version)


def _shown(asked: Backtest, found: Backtested) -> BacktestAnswer:
    """Of thousands of positions it is found out by day which they are of, and of some of them which they are."""
    look = found.look
    told = zip(asked.rules, found.versions, look.outcomes, strict=True)
    return BacktestAnswer(
        first=look.first,
        last=look.last,
        next_after=look.next_after,
        events=look.events,
        begins=None if look.begins_ms is None else rfc3339(look.begins_ms),
        ends=None if look.ends_ms is None else rfc3339(look.ends_ms),
        days=[DayAnswer(date_of(day.number), day.events) for day in look.days],
        gaps=[GapAnswer(gap.first, gap.last, gap.reason) for gap in look.gaps],
        rules=[_rule(rule.name, version, look, outcome, asked.samples) for rule, version, outcome in told],
    )


def _rule(name: str, version: int, look: Look, outcome: Outcome, samples: int) -> TriedAnswer:
    by_day = zip(look.days, *(look.by_day(kind) for kind in (outcome.matched, outcome.added, outcome.removed)), strict=True)
    return TriedAnswer(
        name=name,
        version=version,
        matched=len(outcome.matched),
        added=len(outcome.added),
        removed=len(outcome.removed),
        failed=len(outcome.failed),
        days=[DayCountsAnswer(date_of(day.number), *counts) for day, *counts in by_day if any(counts)],
        samples=SamplesAnswer(
            spread(outcome.matched, samples),
            spread(outcome.added, samples),
            spread(outcome.removed, samples),
            spread(outcome.failed, samples),
        ),
    )


def date_of(day: int) -> str:
    return datetime.datetime.fromtimestamp(day * DAY_MS // 1000, datetime.UTC).date().isoformat()
