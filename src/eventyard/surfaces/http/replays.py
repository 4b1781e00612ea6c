"""Runs of a rule: seek to another place of the log, and replays of a stretch of it."""

from typing import Literal

import msgspec

from eventyard.core import commands, document
from eventyard.core.errors import EventyardError, InvalidPattern, InvalidRequest, PatternTooCostly
from eventyard.core.rule import Place, StartPosition
from eventyard.history import ReplayStatus
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.events import read_position
from eventyard.surfaces.http.reviving import PerSecond
from eventyard.surfaces.http.rules import shown_rule
from eventyard.surfaces.http.schemas import NULL, MaybePatternText, Time
from eventyard.surfaces.http.times import rfc3339


class Seek(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the rule goes on."""

    to: Place


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From `from` up to before `until` (left out: up to now), narrowed by `pattern`.

    `per_s`: so many a second; `pace`: as far apart as they were accepted; neither: as fast as the rule takes them.
    """

    from_: Place = msgspec.field(name="from")
    until: Literal["latest"] | StartPosition | None = None
    pattern: MaybePatternText = msgspec.field(default_factory=lambda: NULL)
    per_s: PerSecond | None = None
    pace: Literal["original"] | None = None


class ReplayAnswer(msgspec.Struct, frozen=True):
    """A replay of positions `first` to `last`, of which all below `next_position` were read.

    `state`: reading, delivering, done or cancelled. Its deliveries: `pending`, and `delivered`, `dead` and `discarded` so far.
    """

    run: int
    state: str
    first: int
    last: int
    next_position: int
    pending: int
    delivered: int
    dead: int
    discarded: int
    pattern: MaybePatternText
    per_s: float | None
    pace: str | None
    created: Time
    ended: Time | None


class ReplaysAnswer(msgspec.Struct, frozen=True):
    """The newest first."""

    replays: list[ReplayAnswer]
    next: str | None = None


async def seek(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Seek, InvalidRequest)
    return json_answer(shown_rule(await call.yard.seek(*_rule(call), asked.to, principal=call.principal)))


async def replay(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Replay, InvalidRequest)
    if asked.per_s is not None and asked.pace is not None:
        raise InvalidRequest("found per_s and pace", wanted="one of them, or neither", at="/pace")
    bus, name = _rule(call)
    command = commands.Replay(
        name,
        asked.from_,
        asked.until,
        pattern=b"" if bytes(asked.pattern) == bytes(NULL) else bytes(asked.pattern),
        per_s=asked.per_s or 0.0,
        is_original=asked.pace == "original",
        principal=call.principal,
    )
    try:
        return json_answer(_shown(await call.yard.replay(bus, command)), 202)
    except (InvalidPattern, PatternTooCostly) as error:
        raise _below_pattern(error) from error


async def replays(call: Call[NoFields]) -> Answer:
    return json_answer(ReplaysAnswer([_shown(one) for one in call.yard.replays(*_rule(call))]))


async def one_replay(call: Call[NoFields]) -> Answer:
    return json_answer(_shown(call.yard.replay_of(*_rule(call), _run(call))))


async def end_replay(call: Call[NoFields]) -> Answer:
    return json_answer(_shown(await call.yard.end_replay(*_rule(call), _run(call), principal=call.principal)))


def _rule(call: Call[NoFields]) -> tuple[str, str]:
    return call.path["bus"], call.path["rule"]


def _run(call: Call[NoFields]) -> int:
    return read_position(call.path["run"], at="path run")


def _below_pattern(error: EventyardError) -> EventyardError:
    return type(error)(error.found, wanted=error.wanted, at=("/pattern" + error.at).rstrip("/"))


def _shown(one: ReplayStatus) -> ReplayAnswer:
    return ReplayAnswer(
        run=one.run,
        state=one.state,
        first=one.first,
        last=one.last,
        next_position=one.next_position,
        pending=one.pending,
        delivered=one.delivered,
        dead=one.dead,
        discarded=one.discarded,
        pattern=msgspec.Raw(one.pattern) if one.pattern else NULL,
        per_s=one.pace.per_s or None,
        pace="original" if one.pace.is_original else None,
        created=rfc3339(one.created_ms),
        ended=rfc3339(one.ended_ms) if one.ended_ms else None,
    )
