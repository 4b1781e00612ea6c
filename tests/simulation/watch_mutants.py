"""Mutants of detectors: edges lost, told twice, too soon, or where none is."""

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any
from unittest import mock

import msgspec

from eventyard.core import detecting, detector, emitter_plan
from eventyard.core.changes import StoredEvent
from eventyard.core.detector import Act, KeyState, Move, Observation, Phase, Signal, Terms
from eventyard.core.detector_plan import DetectorPlan
from eventyard.core.emitter_draft import EmitterDraft
from eventyard.core.emitter_state import EmitterState

Patch = Callable[[], AbstractContextManager[object]]
_replace = msgspec.structs.replace


def _moved(phase: Phase, signal: Signal, move: Move) -> Patch:
    return lambda: mock.patch.object(detector, "TABLE", {**detector.TABLE, (phase, signal): move})


def _runs_while_away() -> AbstractContextManager[object]:
    """Holds go by the time of day, so a night of downtime ends them."""
    init = EmitterDraft.__init__

    def by_day(self: EmitterDraft, state: EmitterState, view: Any, bus: int, work_ms: int) -> None:
        init(self, state, view, bus, work_ms)
        self.hold_clock_ms = work_ms

    return mock.patch.object(EmitterDraft, "__init__", by_day)


def _told_and_forgotten() -> AbstractContextManager[object]:
    """That a hold has ended is told, and sometimes not kept."""
    keep = detecting._keep

    def kept(draft: Any, plan: Any, key: str, before: KeyState | None, after: KeyState) -> None:
        is_rise = (
            before is not None and before.phase is Phase.PENDING and after.phase is Phase.TRUE and bool(draft.time.work_ms % 2)
        )
        keep(draft, plan, key, before, before if is_rise and before is not None else after)

    return mock.patch.object(detecting, "_keep", kept)


def _not_told_by_time() -> AbstractContextManager[object]:
    """A hold that time ends is an edge that nobody is told of."""
    wake = detecting.wake

    def silent(*args: Any) -> None:
        with mock.patch.object(detecting, "_tell"):
            wake(*args)

    return mock.patch.object(detecting, "wake", silent)


def _believes_every_time() -> AbstractContextManager[object]:
    """A reading from an hour ago begins a hold an hour ago."""
    observation = DetectorPlan.observation

    def believed(self: DetectorPlan, event: StoredEvent, *, work_ms: int, values: str) -> Observation | None:
        terms, self.terms = self.terms, _replace(self.terms, late_by_ms=10**9)
        seen = observation(self, event, work_ms=work_ms, values=values)
        self.terms = terms
        return seen

    return mock.patch.object(DetectorPlan, "observation", believed)


def _ends_nothing_first() -> AbstractContextManager[object]:
    """An observation that breaks a hold which had lasted hides that it did."""
    ended = detecting._ended

    def only_at_once(draft: Any, plan: Any, key: str, known: KeyState) -> KeyState:
        is_new = not known.due_ms or known.version != plan.record.version
        return ended(draft, plan, key, known) if is_new else known

    take = detecting._take

    def taken(*args: Any) -> None:
        with mock.patch.object(detecting, "_ended", only_at_once):
            take(*args)

    return mock.patch.object(detecting, "_take", taken)


def _judges_aloud() -> AbstractContextManager[object]:
    """A change of the detector begins holds, which end in edges."""

    def aloud(kept: KeyState, version: int, _signal: Signal | None, terms: Terms, _now_ms: int) -> tuple[KeyState, bool]:
        return detector._with_wait(_replace(kept, version=version), terms), False

    return mock.patch.object(detector, "rejudged", aloud)


def _turned_about() -> AbstractContextManager[object]:
    """What was said before and after are exchanged."""
    flipped = detector.flipped

    def exchanged(kept: KeyState, terms: Terms) -> tuple[KeyState, detector.Flip]:
        after, flip = flipped(kept, terms)
        return after, _replace(flip, before=flip.after, after=flip.before)

    return mock.patch.object(detector, "flipped", exchanged)


def _told_as_it_is_now() -> AbstractContextManager[object]:
    """An edge takes the observation before it is told for its cause."""
    flipped = detector.flipped

    def now(kept: KeyState, terms: Terms) -> tuple[KeyState, detector.Flip]:
        after, flip = flipped(kept, terms)
        return after, _replace(flip, cause=_replace(flip.cause, position=kept.position))

    return mock.patch.object(detector, "flipped", now)


def _deleted_go_on() -> AbstractContextManager[object]:
    """A deleted detector listens on until its keys are forgotten."""
    with_record = emitter_plan.with_record

    def listening_on(listening: Any, before: Any, after: Any) -> Any:
        return listening if after is None else with_record(listening, before, after)

    plans: dict[int, Any] = {}
    plan = EmitterDraft.plan

    def also_deleted(self: EmitterDraft, uid: int) -> Any:
        found = plan(self, uid)
        plans[uid] = found or plans.get(uid)
        return plans[uid]

    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.object(emitter_plan, "with_record", listening_on))
    stack.enter_context(mock.patch.object(EmitterDraft, "plan", also_deleted))
    return stack


WATCH_MUTANTS: Mapping[str, Patch] = MappingProxyType(
    {
        "holds-never-rest": _runs_while_away,
        "told-and-forgotten": _told_and_forgotten,
        "not-told-by-time": _not_told_by_time,
        "every-time-is-believed": _believes_every_time,
        "what-was-due-is-hidden": _ends_nothing_first,
        "changes-are-edges": _judges_aloud,
        "before-is-after": _turned_about,
        "cause-is-the-last": _told_as_it_is_now,
        "late-counts": lambda: mock.patch.object(detector, "is_late", return_value=False),
        "never-forgotten": lambda: mock.patch.object(detector, "is_forgotten", return_value=False),
        "no-edge-waits": lambda: mock.patch.object(detecting, "turn_ms", return_value=0),
        "first-is-an-edge": _moved(Phase.UNKNOWN, Signal.ARM, Move(Phase.PENDING, Act.BEGIN)),
        "between-is-gone": _moved(Phase.TRUE, Signal.BETWEEN, Move(Phase.RELEASING, Act.BEGIN)),
        "holds-are-not-broken": _moved(Phase.PENDING, Signal.GONE, Move(Phase.PENDING)),
        "falls-are-not-broken": _moved(Phase.RELEASING, Signal.HOLDS, Move(Phase.RELEASING)),
        "deleted-go-on": _deleted_go_on,
    }
)
