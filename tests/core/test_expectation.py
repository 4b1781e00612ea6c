"""The phases of an expected key: the table, and what an event, time and a changed document make of it."""

from pathlib import Path

import pytest

from eventyard.core import expectation
from eventyard.core.expectation import Act, Heard, KeyState, Phase, Signal, Terms
from eventyard.core.origin import Origin

PAGE = Path(__file__).resolve().parents[2] / "docs" / "internals" / "expectations.md"
TERMS = Terms(within_ms=600, late_for_ms=50)
OPENED = Origin(1, "/s", "e1", "t")
OPEN = KeyState(1, Phase.OPEN, OPENED, opened_ms=10_000, began_ms=1_000)
MISSED = KeyState(1, Phase.MISSED, OPENED, opened_ms=10_000, began_ms=1_000)


def heard(position: int = 2, work_ms: int = 1_100) -> Heard:
    return Heard(Origin(position, "/s", f"e{position}", "t"), 9_000 + work_ms, work_ms)


def test_the_page_shows_the_table() -> None:
    assert f"```mermaid\n{expectation.picture()}```" in PAGE.read_text()


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_says_what_every_event_makes_of_it(phase: Phase) -> None:
    assert {Signal.AFTER, Signal.EXPECT} <= {signal for at, signal in expectation.TABLE if at is phase}


def test_time_ends_whatever_is_kept_so_that_no_row_stays_for_ever() -> None:
    for phase in (Phase.OPEN, Phase.MISSED):
        assert expectation.TABLE[phase, Signal.DUE].to > phase or expectation.TABLE[phase, Signal.DUE].to is Phase.NONE


def test_what_opens_is_kept_with_the_time_at_which_it_was_accepted() -> None:
    kept, act = expectation.taken(None, Signal.AFTER, heard(7, 1_300), 3)
    assert (act, kept) == (Act.OPENED, KeyState(3, Phase.OPEN, Origin(7, "/s", "e7", "t"), 10_300, 1_300))


def test_what_comes_again_before_the_answer_neither_opens_anew_nor_gives_more_time() -> None:
    assert expectation.taken(OPEN, Signal.AFTER, heard(), 1) == (OPEN, Act.REPEATED)


def test_what_is_expected_in_time_ends_it() -> None:
    assert expectation.taken(OPEN, Signal.EXPECT, heard(), 1) == (None, Act.MET)


def test_what_nobody_waits_for_keeps_nothing() -> None:
    assert expectation.taken(None, Signal.EXPECT, heard(), 1) == (None, Act.UNEXPECTED)


def test_within_ends_as_its_last_millisecond_is_over() -> None:
    assert (expectation.is_over(OPEN, TERMS, 1_599), expectation.is_over(OPEN, TERMS, 1_600)) == (False, True)


def test_what_is_missed_may_be_late_for_its_own_time_and_is_then_forgotten() -> None:
    kept, act = expectation.ended(OPEN)
    assert (act, kept) == (Act.MISSED, MISSED)
    assert expectation.taken(MISSED, Signal.EXPECT, heard(), 1) == (None, Act.LATE)
    assert (expectation.is_over(MISSED, TERMS, 1_649), expectation.is_over(MISSED, TERMS, 1_650)) == (False, True)
    assert expectation.ended(MISSED) == (None, Act.FORGOTTEN)


def test_after_it_was_missed_it_can_be_opened_anew() -> None:
    kept, act = expectation.taken(MISSED, Signal.AFTER, heard(9), 1)
    assert (act, kept and kept.opened.position) == (Act.OPENED, 9)


def test_what_is_put_off_is_over_all_the_same() -> None:
    kept = expectation.put_off(OPEN, 5_000)
    assert expectation.is_over(kept, TERMS, 0)
    assert expectation.wake_ms(kept, TERMS) == 5_000
    assert expectation.ended(kept) == (MISSED, Act.MISSED)


@pytest.mark.parametrize(
    ("kept", "opens", "phase", "act"),
    [
        (OPEN, True, Phase.OPEN, None),
        (OPEN, None, Phase.OPEN, None),
        (OPEN, False, Phase.NONE, Act.WITHDRAWN),
        (MISSED, False, Phase.MISSED, None),
    ],
)
def test_a_changed_document_withdraws_what_it_would_not_have_opened(
    kept: KeyState, opens: bool | None, phase: Phase, act: Act | None
) -> None:
    after, done = expectation.rejudged(kept, 8, opens)
    assert (after.phase if after else Phase.NONE, after.version if after else 8, done) == (phase, 8, act)


def test_an_outcome_tells_of_what_it_came_and_how_long_was_waited() -> None:
    missed = expectation.outcome(OPEN, Act.MISSED, None, TERMS)
    assert (missed.cause, missed.time_ms, missed.waited_ms) == (OPENED, 10_600, 600)
    met = expectation.outcome(OPEN, Act.MET, heard(2, 1_250), TERMS)
    assert (met.cause.position, met.time_ms, met.waited_ms) == (2, 10_250, 250)
