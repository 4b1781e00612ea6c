"""What an expectation knows of one key, and how that changes: one table of transitions, pure.

Theory of operation. An event that matches `after` opens an expectation of its key. One that matches `expect` meets it, if it comes before
`within_s` are over; else it is missed as they are over, and an `expect` that comes yet is late, for as long as `late_for_s` says. So one event
that opened brings about either one that says `met`, or one that says `missed` and perhaps one that says `late`.

The order of the log is the order: an `expect` that stands before its `after` meets nothing. An event that matches both is taken as the
`expect` that it is first, then as an `after`; so something that has to come again and again is expected by one pattern.

How long has been waited is counted in work time, which stands still while the bus is away: what was to come could not. It counts from when
the bus accepted the event, for an absence is that the bus has not heard of something, whatever the events say of their times.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from eventyard.core.origin import Origin


class Phase(enum.IntEnum):
    """NONE: nothing is kept of the key."""

    NONE = 0
    OPEN = 1
    MISSED = 2


class Signal(enum.StrEnum):
    """What an event says (the first two), what time says, and what a change of the document says: what opened it no longer does."""

    EXPECT = "expect"
    AFTER = "after"
    DUE = "due"
    WITHDRAWN = "withdrawn"


class Act(enum.StrEnum):
    """What goes with a transition; counted by its name."""

    OPENED = "opened"
    REPEATED = "repeated"
    UNEXPECTED = "unexpected"
    MET = "met"
    MISSED = "missed"
    LATE = "late"
    FORGOTTEN = "forgotten"
    WITHDRAWN = "withdrawn"

    @property
    def is_told(self) -> bool:
        """Whether it is what `emit` has a type for."""
        return self in (Act.MET, Act.MISSED, Act.LATE)


class Move(NamedTuple):
    to: Phase
    act: Act


_NONE, _OPEN, _MISSED = Phase

TABLE: Mapping[tuple[Phase, Signal], Move] = MappingProxyType(
    {
        (_NONE, Signal.AFTER): Move(_OPEN, Act.OPENED),
        (_NONE, Signal.EXPECT): Move(_NONE, Act.UNEXPECTED),
        (_OPEN, Signal.AFTER): Move(_OPEN, Act.REPEATED),
        (_OPEN, Signal.EXPECT): Move(_NONE, Act.MET),
        (_OPEN, Signal.DUE): Move(_MISSED, Act.MISSED),
        (_OPEN, Signal.WITHDRAWN): Move(_NONE, Act.WITHDRAWN),
        (_MISSED, Signal.AFTER): Move(_OPEN, Act.OPENED),
        (_MISSED, Signal.EXPECT): Move(_NONE, Act.LATE),
        (_MISSED, Signal.DUE): Move(_NONE, Act.FORGOTTEN),
    }
)


class Terms(msgspec.Struct, frozen=True):
    """What of an expectation's document the transitions need, in milliseconds."""

    within_ms: int
    late_for_ms: int


class Heard(msgspec.Struct, frozen=True):
    """One event as an expectation takes it: when it was accepted, in bus time and in work time."""

    origin: Origin
    at_ms: int
    work_ms: int


class KeyState(msgspec.Struct, frozen=True, array_like=True):
    """What an expectation keeps of one key that is OPEN or MISSED.

    `version` of the expectation that judged it last. `opened`: the event that opened it, accepted at `opened_ms` (bus time) and `began_ms` (work
    time). `put_off_ms`: it is over and has to wait until this work time for its turn to be told; 0 where it has not.
    """

    version: int
    phase: Phase
    opened: Origin
    opened_ms: int
    began_ms: int
    put_off_ms: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What became of an expectation: missed at `time_ms` (bus time), or met or late by the event that was `heard` then."""

    act: Act
    opened: Origin
    opened_ms: int
    heard: Heard | None
    time_ms: int
    waited_ms: int

    @property
    def cause(self) -> Origin:
        """The event that it comes of: what was waited for, or that of which nothing came."""
        return self.opened if self.heard is None else self.heard.origin


def wake_ms(kept: KeyState, terms: Terms) -> int:
    """The work time at which somebody has to look at the key."""
    return kept.put_off_ms or _over_ms(kept, terms)


def is_over(kept: KeyState, terms: Terms, work_ms: int) -> bool:
    """Whether what it waits for, in its phase, is over at this work time. As long as `within_s` to the millisecond is over."""
    return bool(kept.put_off_ms) or _over_ms(kept, terms) <= work_ms


def _over_ms(kept: KeyState, terms: Terms) -> int:
    limit_ms = kept.began_ms + terms.within_ms
    return limit_ms if kept.phase is Phase.OPEN else limit_ms + terms.late_for_ms


def put_off(kept: KeyState, until_ms: int) -> KeyState:
    return msgspec.structs.replace(kept, put_off_ms=until_ms)


def taken(kept: KeyState | None, signal: Signal, heard: Heard, version: int) -> tuple[KeyState | None, Act]:
    """The key after an event (None: nothing is kept of it). What was over by then `ended` has seen to before."""
    move = TABLE[Phase.NONE if kept is None else kept.phase, signal]
    if move.act is Act.OPENED:
        return KeyState(version, Phase.OPEN, heard.origin, heard.at_ms, heard.work_ms), move.act
    return (None if move.to is Phase.NONE else kept), move.act


def ended(kept: KeyState) -> tuple[KeyState | None, Act]:
    """The key after what it waited for in its phase is over."""
    move = TABLE[kept.phase, Signal.DUE]
    if move.to is Phase.NONE:
        return None, move.act
    return msgspec.structs.replace(kept, phase=move.to, put_off_ms=0), move.act


def rejudged(kept: KeyState, version: int, opens: bool | None) -> tuple[KeyState | None, Act | None]:
    """The key under a changed expectation. `opens`: whether the new version, too, opens at the event that opened it; None: the log does not have
    that any more. What is open stays open, for as long as the new version says; what is missed was told, and stays so.
    """
    if kept.phase is Phase.OPEN and opens is False:
        return None, TABLE[kept.phase, Signal.WITHDRAWN].act
    return msgspec.structs.replace(kept, version=version, put_off_ms=0), None


def outcome(kept: KeyState, act: Act, heard: Heard | None, terms: Terms) -> Outcome:
    """What an act that is told says of the key as it was before. `heard`: what was waited for, where it came."""
    if heard is None:
        return Outcome(act, kept.opened, kept.opened_ms, None, kept.opened_ms + terms.within_ms, terms.within_ms)
    return Outcome(act, kept.opened, kept.opened_ms, heard, heard.at_ms, heard.work_ms - kept.began_ms)


def picture() -> str:
    """The table as a diagram (Mermaid), for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> NONE"]
    lines += [f"    {at.name} --> {move.to.name}: {signal} / {move.act}" for (at, signal), move in TABLE.items()]
    return "\n".join(lines) + "\n"
