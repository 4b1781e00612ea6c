"""What a detector knows of one key, and how that changes: one table of transitions, pure.

Theory of operation. A detector asks of every observation of a key whether its condition holds (`Signal`). The condition's truth is what
the key's phase stands for; two phases wait between the truths. PENDING: the condition holds and has yet to hold for `for_s` before it is a
truth. RELEASING: it is gone and has yet to be gone for `keep_for_s`. A hold that ends as it began is DUE, and that alone flips a key, even
where nothing has to be waited for: then a hold is due as it begins. So there is one place where an edge comes from. A key of which nothing
is known is UNKNOWN; from there no edge leads anywhere, but where `first` is `fire`.

Two clocks, as everywhere in a bus. When something was so is told in bus time, and how long a hold takes is counted in work time, so that
no hold ends because the bus was away: who would have said that it is over could not.

An observation counts from the time that its event tells, as far as that can be believed: never after it was accepted, and never more
than `late_by_s` before. The watermark has passed what is older; nothing that is said of it now may end a hold that others could still
have broken. By the order that `order_by` asks for, an observation that is older than the last one applied is late and changes nothing.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from eventyard.core.origin import Origin


class Phase(enum.IntEnum):
    UNKNOWN = 0
    FALSE = 1
    PENDING = 2
    TRUE = 3
    RELEASING = 4

    @property
    def is_waiting(self) -> bool:
        """Whether a hold is under way."""
        return _IS_WAITING[self]

    @property
    def is_true(self) -> bool:
        """What the log was last told, or would have been."""
        return _IS_TRUE[self]


_IS_WAITING = (False, False, True, False, True)
_IS_TRUE = (False, False, False, True, True)
"""By phase: looked up several times for each observation, which costs a third of comparing members."""


class Signal(enum.StrEnum):
    """What an observation says (the first three), and what time says.

    BETWEEN: neither `when` nor `until` holds. FIRST: the condition holds and nothing was known before; what that means is for `first` to say.
    """

    HOLDS = "holds"
    BETWEEN = "between"
    GONE = "gone"
    ARM = "holds, first: arm"
    FIRE = "holds, first: fire"
    SUPPRESS = "holds, first: suppress"
    DUE = "due"
    FORGOTTEN = "forgotten"


class Act(enum.StrEnum):
    """What goes with a transition."""

    NOTHING = ""
    BEGIN = "a hold begins"
    CANCEL = "the hold is cancelled"
    RISE = "rise"
    FALL = "fall"


class Move(NamedTuple):
    to: Phase
    act: Act = Act.NOTHING


_UNKNOWN, _FALSE, _PENDING, _TRUE, _RELEASING = Phase

TABLE: Mapping[tuple[Phase, Signal], Move] = MappingProxyType(
    {
        (_UNKNOWN, Signal.ARM): Move(_TRUE),
        (_UNKNOWN, Signal.FIRE): Move(_PENDING, Act.BEGIN),
        (_UNKNOWN, Signal.SUPPRESS): Move(_UNKNOWN),
        (_UNKNOWN, Signal.BETWEEN): Move(_FALSE),
        (_UNKNOWN, Signal.GONE): Move(_FALSE),
        (_FALSE, Signal.HOLDS): Move(_PENDING, Act.BEGIN),
        (_FALSE, Signal.BETWEEN): Move(_FALSE),
        (_FALSE, Signal.GONE): Move(_FALSE),
        (_FALSE, Signal.FORGOTTEN): Move(_UNKNOWN),
        (_PENDING, Signal.HOLDS): Move(_PENDING),
        (_PENDING, Signal.BETWEEN): Move(_FALSE, Act.CANCEL),
        (_PENDING, Signal.GONE): Move(_FALSE, Act.CANCEL),
        (_PENDING, Signal.DUE): Move(_TRUE, Act.RISE),
        (_TRUE, Signal.HOLDS): Move(_TRUE),
        (_TRUE, Signal.BETWEEN): Move(_TRUE),
        (_TRUE, Signal.GONE): Move(_RELEASING, Act.BEGIN),
        (_TRUE, Signal.FORGOTTEN): Move(_UNKNOWN),
        (_RELEASING, Signal.HOLDS): Move(_TRUE, Act.CANCEL),
        (_RELEASING, Signal.BETWEEN): Move(_TRUE, Act.CANCEL),
        (_RELEASING, Signal.GONE): Move(_RELEASING),
        (_RELEASING, Signal.DUE): Move(_FALSE, Act.FALL),
        (_UNKNOWN, Signal.FORGOTTEN): Move(_UNKNOWN),
    }
)
"""A hold under way is never forgotten: it ends first. Nothing but a hold is ever due."""

AT_ONCE = 0
"""A hold that is due as it begins."""

Mark = int | str
"""Where an observation stands in the order of its key."""


class Terms(msgspec.Struct, frozen=True):
    """What of a detector's document the transitions need, in milliseconds."""

    first: Signal = Signal.ARM
    for_ms: int = 0
    keep_for_ms: int = 0
    late_by_ms: int = 0
    forget_after_ms: int | None = None

    def wait_ms(self, phase: Phase) -> int:
        """How long the hold of a phase has to last."""
        return self.for_ms if phase is Phase.PENDING else self.keep_for_ms


class Observation(msgspec.Struct, frozen=True):
    """One event as a detector takes it. `at_ms` (bus time): since when it counts. `work_ms`: the work time at which it is applied, as of
    `at_ms` at `began_ms`. `values`: JSON of what the conditions look at.
    """

    cause: Origin
    mark: Mark
    at_ms: int
    work_ms: int
    began_ms: int
    values: str = ""


class Change(msgspec.Struct, frozen=True, array_like=True):
    """That a key came to a truth: since when (bus time), by the observation at which position, and whether the log was told."""

    to: Phase
    since_ms: int
    position: int
    is_told: bool


CHANGES_KEPT = 4
"""Of each key, the last ones: two pairs of rise and fall, in about 100 bytes."""


class KeyState(msgspec.Struct, frozen=True, array_like=True):
    """What a detector keeps of one key.

    `version` of the detector by which it was judged last; `position` and `mark` of the last observation applied, `values` what it said,
    `seen_ms` when (work time). `since_ms` (bus time): when the truth in force began. Of a hold under way: `due_ms`, the work time at which it
    ends (`AT_ONCE`: as it began), `hold_ms` and `began_ms`, since when it counts in bus and in work time, its `cause`, and `before`, what the
    observation before said. `is_put_off`: it was due and had to wait for its turn.
    """

    version: int
    phase: Phase = Phase.UNKNOWN
    position: int = 0
    mark: Mark = 0
    values: str = ""
    seen_ms: int = 0
    since_ms: int = 0
    due_ms: int = 0
    hold_ms: int = 0
    began_ms: int = 0
    cause: Origin | None = None
    before: str = ""
    is_put_off: bool = False
    changes: tuple[Change, ...] = ()


class Flip(msgspec.Struct, frozen=True):
    """An edge. `since_ms`: when the new truth began; `time_ms`: when it was one, its hold over; `held_ms`: how long the condition had held
    then. `before` and `after` are what the observation before the hold and the last one said.
    """

    act: Act
    cause: Origin
    since_ms: int
    time_ms: int
    held_ms: int
    before: str
    after: str


def is_late(kept: KeyState, mark: Mark) -> bool:
    """Whether an observation is older than the last one applied. One as old counts: events of one time are in the order of the log."""
    return isinstance(mark, type(kept.mark)) and mark < kept.mark  # type: ignore[operator]  # they are of one type


def is_due(kept: KeyState, work_ms: int) -> bool:
    """Whether the hold under way, if any, ends at this work time or before."""
    return kept.phase.is_waiting and kept.due_ms <= work_ms


def is_forgotten(kept: KeyState, terms: Terms, work_ms: int) -> bool:
    """Whether it is so long ago that anything was heard of the key that nothing is known of it any more."""
    if terms.forget_after_ms is None or kept.phase.is_waiting:
        return False
    return work_ms >= kept.seen_ms + terms.forget_after_ms


def wake_ms(kept: KeyState, terms: Terms) -> int | None:
    """The work time at which somebody has to look at the key. None: never by time alone."""
    if kept.phase.is_waiting:
        return kept.due_ms
    return None if terms.forget_after_ms is None else kept.seen_ms + terms.forget_after_ms


def observed(kept: KeyState, signal: Signal, seen: Observation, terms: Terms) -> tuple[KeyState, Act]:
    """The key after an observation that is not late. A hold that begins may be due at once: `flipped` is for whoever asks `is_due`."""
    if kept.phase is Phase.UNKNOWN and signal is Signal.HOLDS:
        signal = terms.first
    move = TABLE[kept.phase, signal]
    after = msgspec.structs.replace(
        kept,
        phase=move.to,
        position=seen.cause.position,
        mark=seen.mark,
        values=seen.values,
        seen_ms=seen.work_ms,
    )
    if move.act is Act.BEGIN:
        return _begun(after, kept, seen, terms), move.act
    if move.act is Act.CANCEL:
        return _settled(after), move.act
    if kept.phase is Phase.UNKNOWN and move.to is not Phase.UNKNOWN:
        first = Change(move.to, seen.at_ms, seen.cause.position, is_told=False)
        return _with_change(msgspec.structs.replace(after, since_ms=seen.at_ms), first), move.act
    return after, move.act


def _begun(after: KeyState, before: KeyState, seen: Observation, terms: Terms) -> KeyState:
    wait_ms = terms.wait_ms(after.phase)
    due_ms = seen.began_ms + wait_ms + terms.late_by_ms if wait_ms else AT_ONCE
    return msgspec.structs.replace(
        after, due_ms=due_ms, hold_ms=seen.at_ms, began_ms=seen.began_ms, cause=seen.cause, before=before.values
    )


def _settled(kept: KeyState) -> KeyState:
    return msgspec.structs.replace(kept, due_ms=0, hold_ms=0, began_ms=0, cause=None, before="", is_put_off=False)


def put_off(kept: KeyState, until_ms: int) -> KeyState:
    """A hold that is due has to wait for its turn until this work time. What ends it meanwhile ends it."""
    return msgspec.structs.replace(kept, due_ms=until_ms, is_put_off=True)


def flipped(kept: KeyState, terms: Terms) -> tuple[KeyState, Flip]:
    """The key after the hold under way has come to its end, and the edge that this is."""
    if kept.cause is None:
        raise ValueError("found no hold under way")
    move, wait_ms = TABLE[kept.phase, Signal.DUE], terms.wait_ms(kept.phase)
    held_ms = wait_ms if move.act is Act.RISE else max(0, kept.hold_ms - kept.since_ms)
    flip = Flip(move.act, kept.cause, kept.hold_ms, kept.hold_ms + wait_ms, held_ms, kept.before, kept.values)
    after = _settled(msgspec.structs.replace(kept, phase=move.to, since_ms=kept.hold_ms))
    return _with_change(after, Change(move.to, kept.hold_ms, kept.cause.position, is_told=True)), flip


def _with_change(kept: KeyState, change: Change) -> KeyState:
    return msgspec.structs.replace(kept, changes=(*kept.changes, change)[-CHANGES_KEPT:])


def rejudged(kept: KeyState, version: int, signal: Signal | None, terms: Terms, now_ms: int) -> tuple[KeyState, bool]:
    """The key under a changed detector, from its last observation; and whether that turned its truth over, now (bus time).

    Quietly: another question is no change in the world. `signal` None: the observation is not to be had any more, or is none under the
    new version; then the key stays where it was. A hold goes on as long as the new version, too, says what the old one said.
    """
    kept = msgspec.structs.replace(kept, version=version)
    if signal is None or kept.phase is Phase.UNKNOWN:
        return _with_wait(kept, terms), False
    is_true = signal is Signal.HOLDS or (signal is Signal.BETWEEN and kept.phase.is_true)
    waited_for = {Phase.PENDING: Signal.HOLDS, Phase.RELEASING: Signal.GONE}
    if kept.phase.is_waiting and signal is waited_for[kept.phase]:
        return _with_wait(kept, terms), False
    is_turned = is_true != kept.phase.is_true
    after = _settled(msgspec.structs.replace(kept, phase=Phase.TRUE if is_true else Phase.FALSE))
    if not is_turned:
        return after, False
    after = msgspec.structs.replace(after, since_ms=now_ms)
    return _with_change(after, Change(after.phase, now_ms, after.position, is_told=False)), True


def _with_wait(kept: KeyState, terms: Terms) -> KeyState:
    """A hold under way lasts as long as the new version says, also where it had come to its end and waited for its turn."""
    if not kept.phase.is_waiting:
        return kept
    wait_ms = terms.wait_ms(kept.phase)
    due_ms = kept.began_ms + wait_ms + terms.late_by_ms if wait_ms else AT_ONCE
    return msgspec.structs.replace(kept, due_ms=max(due_ms, kept.due_ms) if kept.is_put_off else due_ms)


def picture() -> str:
    """The table as a diagram (Mermaid), for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> UNKNOWN"]
    for (at, signal), move in TABLE.items():
        act = f" / {move.act}" if move.act else ""
        lines.append(f"    {at.name} --> {move.to.name}: {_label(signal)}{act}")
    return "\n".join(lines) + "\n"


def _label(signal: Signal) -> str:
    return signal.replace(": ", " ")  # A second colon ends a label in Mermaid.
