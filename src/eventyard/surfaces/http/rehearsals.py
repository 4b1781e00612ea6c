"""POST /v1/buses/{bus}/backtest/detectors and /expectations: one tried on the log before it is saved, stretch by stretch."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import msgspec

from eventyard.backtesting import Query
from eventyard.bus.rehearsals import Rehearsed, Tried
from eventyard.core import document, limits
from eventyard.core.emitter import Kind
from eventyard.core.errors import InvalidPattern, InvalidRequest, PatternTooCostly, Refused
from eventyard.core.playback import Figures
from eventyard.core.rehearsal import Told
from eventyard.surfaces.http.backtesting import Date, GapAnswer, Version, date_of
from eventyard.surfaces.http.buses import read_nothing
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.detectors import DetectorState
from eventyard.surfaces.http.expectations import ExpectationState
from eventyard.surfaces.http.schemas import MaybeTime, Time
from eventyard.surfaces.http.times import read_time_ms, rfc3339

DetectorText = Annotated[
    msgspec.Raw,
    msgspec.Meta(description="A detector: docs/reference/detectors.md.", extra_json_schema={"type": "object"}),
]


ExpectationText = Annotated[
    msgspec.Raw,
    msgspec.Meta(description="An expectation: docs/reference/expectations.md.", extra_json_schema={"type": "object"}),
]


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is tried on events accepted in [`from`, `until`) is held against the one `name` as that is in force; where there is none, or none is
    named, against nothing.

    `version`: only where that one is in this, 0 for none that is there. `samples`: how many events of each kind are told.
    """

    name: Annotated[str, msgspec.Meta(max_length=limits.NAME_LENGTH_MAX)] = ""
    version: Version | None = None
    from_: MaybeTime = msgspec.field(default="", name="from")
    until: MaybeTime = ""
    samples: Annotated[int, msgspec.Meta(ge=0, le=limits.BACKTEST_SAMPLES_MAX)] = 10


class DetectorTrial(Trial, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `detector` to try; the rest as `Trial` says."""

    detector: DetectorText


class ExpectationTrial(Trial, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An `expectation` to try; the rest as `Trial` says."""

    expectation: ExpectationText


class RehearsedDayAnswer(msgspec.Struct, frozen=True):
    """A day (UTC): events that were looked at, and what would have been published."""

    day: Date
    events: int
    told: int
    added: int
    removed: int


class RehearsedKeyAnswer(msgspec.Struct, frozen=True):
    """What would have been published of one key."""

    key: str
    told: int
    added: int
    removed: int


class RehearsedTypeAnswer(msgspec.Struct, frozen=True):
    """How many events of one type would have been published."""

    type: str
    told: int


class ToldAnswer(msgspec.Struct, frozen=True):
    """An `event` that would have been published, for the one at `position`, and when. Its id would have been another."""

    position: int
    at: Time
    event: Any


class RehearsedSamplesAnswer(msgspec.Struct, frozen=True):
    """Spread over what was looked at."""

    told: list[ToldAnswer]
    added: list[ToldAnswer]
    removed: list[ToldAnswer]


class RehearsalAnswer(msgspec.Struct, frozen=True):
    """What was found so far of positions `first` to `last`, up to and with `next_after` (null: all). POST `.../{backtest}` goes on until it is `done`.

    `told` events would have been published; of these `added` are not by the `version` of `name` in force, and `removed` are by that alone (0: there
    is none). `moved`: by both, at another time. `counts` as the state of one has them, `in_force` those of the one beside it. `keys`: those of
    which most differs or was told, of `keys_told`.
    """

    backtest: str
    done: bool
    name: str
    version: int
    first: int
    last: int
    next_after: int | None
    events: int
    begins: Time | None
    ends: Time | None
    told: int
    added: int
    removed: int
    moved: int
    types: list[RehearsedTypeAnswer]
    counts: dict[str, int]
    in_force: dict[str, int] | None
    days: list[RehearsedDayAnswer]
    gaps: list[GapAnswer]
    keys: list[RehearsedKeyAnswer]
    keys_told: int
    samples: RehearsedSamplesAnswer


async def backtest_detector(call: Call[NoFields]) -> Answer:
    asked = await asyncio.to_thread(document.read, call.body, DetectorTrial, InvalidRequest)
    return await _begun(call, Kind.DETECTOR, asked, asked.detector)


async def backtest_expectation(call: Call[NoFields]) -> Answer:
    asked = await asyncio.to_thread(document.read, call.body, ExpectationTrial, InvalidRequest)
    return await _begun(call, Kind.EXPECTATION, asked, asked.expectation)


async def go_on_with_detector(call: Call[NoFields]) -> Answer:
    return await _gone_on(call, Kind.DETECTOR)


async def go_on_with_expectation(call: Call[NoFields]) -> Answer:
    return await _gone_on(call, Kind.EXPECTATION)


async def _begun(call: Call[NoFields], kind: Kind, asked: Trial, said: msgspec.Raw) -> Answer:
    if asked.version is not None and not asked.name:
        raise InvalidRequest("found a version and no name", wanted=f"the {kind}'s name beside it", at="/version")
    query = Query(from_ms=read_time_ms(asked.from_, at="/from"), until_ms=read_time_ms(asked.until, at="/until"))
    tried = Tried(kind, bytes(said), asked.name, asked.version)
    try:
        found = await call.while_there(call.yard.rehearse(call.path["bus"], tried, query, samples=asked.samples))
    except (kind.refusal, InvalidPattern, PatternTooCostly) as error:
        raise _inside(error, f"/{kind}") from error
    return _answer(found, _STATES[kind])


async def _gone_on(call: Call[NoFields], kind: Kind) -> Answer:
    read_nothing(call.body)
    found = await call.while_there(call.yard.go_on_rehearsing(call.path["bus"], kind, call.path["backtest"]))
    return _answer(found, _STATES[kind])


_STATES: Mapping[Kind, type[msgspec.Struct]] = MappingProxyType(
    {Kind.DETECTOR: DetectorState, Kind.EXPECTATION: ExpectationState}
)


def _inside(error: Refused, at: str) -> Refused:
    """Said of a document that stands inside of the request."""
    return type(error)(error.found, wanted=error.wanted, at=(at + error.at).rstrip("/"))


def _answer(rehearsed: Rehearsed, state: type[msgspec.Struct]) -> Answer:
    """`state` of its kind says what is counted."""
    found, seen = rehearsed.found, rehearsed.found.seen
    days = sorted(seen.by_day.keys() | found.by_day.keys())[-limits.BACKTEST_DAYS_MAX :]
    return json_answer(
        RehearsalAnswer(
            backtest=rehearsed.token,
            done=found.is_done,
            name=rehearsed.name,
            version=rehearsed.version,
            first=seen.first,
            last=seen.last,
            next_after=seen.next_after,
            events=seen.events,
            begins=None if seen.begins_ms is None else rfc3339(seen.begins_ms),
            ends=None if seen.ends_ms is None else rfc3339(seen.ends_ms),
            told=found.all.told,
            added=found.all.added,
            removed=found.all.removed,
            moved=found.moved,
            types=[RehearsedTypeAnswer(kind, count) for kind, count in sorted(found.types.items())],
            counts=_counted(found.counts, state),
            in_force=None if found.in_force is None else _counted(found.in_force, state),
            days=[_day(day, seen.by_day.get(day, 0), found.by_day.get(day, Figures())) for day in days],
            gaps=[GapAnswer(gap.first, gap.last, gap.reason) for gap in seen.gaps],
            keys=[RehearsedKeyAnswer(key, one.told, one.added, one.removed) for key, one in found.keys],
            keys_told=found.keys_told,
            samples=RehearsedSamplesAnswer(_shown(found.told), _shown(found.added), _shown(found.removed)),
        )
    )


_NOT_COUNTED = 5
"""Fields of a state before what is counted."""


_BY_CHANGES = {"turned", "withdrawn"}
"""Counted of a change of it, of which there is none."""


def _counted(counts: dict[str, int], state: type[msgspec.Struct]) -> dict[str, int]:
    return {name: counts.get(name, 0) for name in state.__struct_fields__[_NOT_COUNTED:] if name not in _BY_CHANGES}


def _day(day: int, events: int, figures: Figures) -> RehearsedDayAnswer:
    return RehearsedDayAnswer(date_of(day), events, figures.told, figures.added, figures.removed)


def _shown(some: list[Told]) -> list[ToldAnswer]:
    return [ToldAnswer(one.cause, rfc3339(one.at_ms), msgspec.Raw(one.event)) for one in some]
