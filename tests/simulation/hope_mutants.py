"""Mutants of expectations: an absence that is none, one that nobody is told of, an answer that counts twice or not at all."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any
from unittest import mock

import msgspec

from eventyard.core import expectation, expecting
from eventyard.core.emitter_draft import EmitterDraft
from eventyard.core.expectation import Act, KeyState, Move, Outcome, Phase, Signal, Terms

Patch = Callable[[], AbstractContextManager[object]]


def _moved(phase: Phase, signal: Signal, move: Move) -> Patch:
    return lambda: mock.patch.object(expectation, "TABLE", {**expectation.TABLE, (phase, signal): move})


def _answers_hide_it() -> AbstractContextManager[object]:
    """An answer that finds time over is met all the same."""

    def not_ended(_draft: Any, _plan: Any, _key: str, known: KeyState | None) -> KeyState | None:
        return known

    hear = expecting.hear

    def heard(*args: Any) -> None:
        with mock.patch.object(expecting, "_all_ended", not_ended):
            hear(*args)

    return mock.patch.object(expecting, "hear", heard)


def _after_comes_first() -> AbstractContextManager[object]:
    """What matches both opens before it answers."""
    hear = EmitterDraft.hear

    def turned_round(self: EmitterDraft, event: Any) -> None:
        before = len(self.heard)
        hear(self, event)
        if len(self.heard) > before:
            heard = self.heard.pop()
            self.heard.append(msgspec.structs.replace(heard, ears=heard.ears[::-1]))

    return mock.patch.object(EmitterDraft, "hear", turned_round)


def _never_late(kept: KeyState, terms: Terms) -> int:
    return kept.began_ms + terms.within_ms


def _from_when_it_was_judged() -> AbstractContextManager[object]:
    """A change lets what is open wait anew."""
    rejudged = expectation.rejudged

    def anew(kept: KeyState, version: int, opens: bool | None) -> tuple[KeyState | None, Act | None]:
        after, act = rejudged(kept, version, opens)
        return (None if after is None else msgspec.structs.replace(after, began_ms=after.began_ms + 60_000)), act

    return mock.patch.object(expectation, "rejudged", anew)


def _never_withdrawn() -> AbstractContextManager[object]:
    """What a change does not open any more is missed."""
    rejudged = expectation.rejudged
    return mock.patch.object(expectation, "rejudged", lambda kept, version, _: rejudged(kept, version, True))


HOPE_MUTANTS: Mapping[str, Patch] = MappingProxyType(
    {
        "answers-hide-it": _answers_hide_it,
        "after-comes-first": _after_comes_first,
        "nothing-is-late": lambda: mock.patch.object(expectation, "_over_ms", _never_late),
        "changes-begin-anew": _from_when_it_was_judged,
        "never-withdrawn": _never_withdrawn,
        "comes-of-the-first": lambda: mock.patch.object(Outcome, "cause", property(lambda self: self.opened)),
        "repeats-begin-anew": _moved(Phase.OPEN, Signal.AFTER, Move(Phase.OPEN, Act.OPENED)),
        "answers-do-not-end-it": _moved(Phase.OPEN, Signal.EXPECT, Move(Phase.OPEN, Act.MET)),
        "late-again-and-again": _moved(Phase.MISSED, Signal.EXPECT, Move(Phase.MISSED, Act.LATE)),
        "missed-for-ever": _moved(Phase.MISSED, Signal.AFTER, Move(Phase.MISSED, Act.REPEATED)),
        "no-absence-waits": lambda: mock.patch.object(expecting, "turn_ms", return_value=0),
    }
)
