"""The phases of a key: the table, and what an observation, a hold's end and a changed detector make of it."""

from pathlib import Path

import msgspec
import pytest

from eventyard.core import detector
from eventyard.core.detector import AT_ONCE, Act, KeyState, Observation, Phase, Signal, Terms
from eventyard.core.origin import Origin

PAGE = Path(__file__).resolve().parents[2] / "docs" / "internals" / "detectors.md"
AT_MS = 1_700_000_000_000


def seen(position: int, *, at_ms: int = 0, mark: detector.Mark | None = None, values: str = "") -> Observation:
    cause = Origin(position, "/s", f"e{position}", "t")
    order = position if mark is None else mark
    return Observation(cause, order, AT_MS + at_ms, at_ms, at_ms, values or f'{{"n":{position}}}')


AS_IT_IS = Terms()


def after(*signals: Signal, terms: Terms = AS_IT_IS, phase: Phase = Phase.FALSE) -> KeyState:
    """A key after observations, one a second, holds that are due at once not ended."""
    kept = KeyState(1, phase)
    for number, signal in enumerate(signals, 1):
        kept, _ = detector.observed(kept, signal, seen(number, at_ms=number * 1_000), terms)
    return kept


def test_the_page_shows_the_table() -> None:
    assert f"```mermaid\n{detector.picture()}```" in PAGE.read_text()


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_says_what_every_observation_makes_of_it(phase: Phase) -> None:
    firsts = {Signal.ARM, Signal.FIRE, Signal.SUPPRESS}
    told = {Signal.BETWEEN, Signal.GONE} | (firsts if phase is Phase.UNKNOWN else {Signal.HOLDS})
    assert told <= {signal for at, signal in detector.TABLE if at is phase}


def test_only_a_hold_is_due_and_only_a_due_hold_is_an_edge() -> None:
    edges = {at: move for at, move in detector.TABLE.items() if move.act in {Act.RISE, Act.FALL}}
    assert set(edges) == {at for at in detector.TABLE if at[1] is Signal.DUE}
    assert {at for at, _ in edges} == {phase for phase in Phase if phase.is_waiting}


def test_a_hold_that_lasts_for_nothing_is_due_as_it_begins() -> None:
    kept = after(Signal.HOLDS)
    assert kept.phase is Phase.PENDING
    assert kept.due_ms == AT_ONCE
    assert detector.is_due(kept, 0)


def test_a_hold_ends_after_what_it_has_to_last_and_what_may_come_late() -> None:
    kept = after(Signal.HOLDS, terms=Terms(for_ms=5_000, late_by_ms=300))
    assert (detector.is_due(kept, 6_299), detector.is_due(kept, 6_300)) == (False, True)


def test_a_hold_counts_from_its_first_observation() -> None:
    kept = after(Signal.HOLDS, Signal.HOLDS, Signal.HOLDS, terms=Terms(for_ms=5_000))
    assert (kept.due_ms, kept.hold_ms) == (6_000, AT_MS + 1_000)


@pytest.mark.parametrize("signal", [Signal.GONE, Signal.BETWEEN])
def test_a_hold_is_cancelled_by_what_breaks_it_and_a_next_one_counts_anew(signal: Signal) -> None:
    terms = Terms(for_ms=5_000)
    kept = after(Signal.HOLDS, signal, terms=terms)
    assert (kept.phase, kept.cause, kept.before) == (Phase.FALSE, None, "")
    kept, _ = detector.observed(kept, Signal.HOLDS, seen(3, at_ms=3_000), terms)
    assert kept.due_ms == 8_000


@pytest.mark.parametrize("signal", [Signal.HOLDS, Signal.BETWEEN])
def test_a_release_is_cancelled_by_what_breaks_it(signal: Signal) -> None:
    kept = after(Signal.GONE, signal, terms=Terms(keep_for_ms=5_000), phase=Phase.TRUE)
    assert kept.phase is Phase.TRUE


def test_between_the_conditions_a_truth_stays() -> None:
    assert after(Signal.BETWEEN, phase=Phase.TRUE).phase is Phase.TRUE
    assert after(Signal.BETWEEN, phase=Phase.FALSE).phase is Phase.FALSE


def test_an_edge_tells_since_when_and_what_was_said_before_and_last() -> None:
    terms = Terms(for_ms=3_000)
    kept = after(Signal.GONE, Signal.HOLDS, Signal.HOLDS, terms=terms)
    kept, flip = detector.flipped(kept, terms)
    assert kept.phase is Phase.TRUE
    assert (flip.act, flip.cause.position, flip.before, flip.after) == (Act.RISE, 2, '{"n":1}', '{"n":3}')
    assert (flip.since_ms, flip.time_ms, flip.held_ms) == (AT_MS + 2_000, AT_MS + 5_000, 3_000)


def test_a_fall_tells_how_long_the_condition_had_held() -> None:
    terms = Terms()
    kept, _ = detector.flipped(after(Signal.HOLDS), terms)
    kept, _ = detector.observed(kept, Signal.GONE, seen(2, at_ms=9_000), terms)
    _, flip = detector.flipped(kept, terms)
    assert (flip.act, flip.held_ms, flip.since_ms) == (Act.FALL, 8_000, AT_MS + 9_000)


def test_the_end_of_no_hold_is_a_defect() -> None:
    with pytest.raises(ValueError, match="no hold"):
        detector.flipped(KeyState(1, Phase.FALSE), Terms())


@pytest.mark.parametrize(
    ("first", "phase"),
    [(Signal.ARM, Phase.TRUE), (Signal.FIRE, Phase.PENDING), (Signal.SUPPRESS, Phase.UNKNOWN)],
)
def test_what_the_first_observation_is_that_finds_it_so(first: Signal, phase: Phase) -> None:
    assert after(Signal.HOLDS, terms=Terms(first=first), phase=Phase.UNKNOWN).phase is phase


def test_suppressed_is_all_until_it_was_seen_otherwise() -> None:
    terms = Terms(first=Signal.SUPPRESS)
    assert after(Signal.HOLDS, Signal.GONE, Signal.HOLDS, terms=terms, phase=Phase.UNKNOWN).phase is Phase.PENDING


def test_an_observation_as_old_as_the_last_one_counts_and_an_older_one_does_not() -> None:
    kept = msgspec.structs.replace(KeyState(1, Phase.FALSE), mark=7)
    assert [detector.is_late(kept, mark) for mark in (6, 7, 8)] == [True, False, False]
    assert not detector.is_late(kept, "6")


def test_a_key_is_forgotten_after_a_while_but_not_in_a_hold() -> None:
    terms = Terms(forget_after_ms=1_000, for_ms=60_000)
    kept = after(Signal.GONE, terms=terms)
    assert [detector.is_forgotten(kept, terms, work_ms) for work_ms in (1_999, 2_000)] == [False, True]
    assert detector.wake_ms(kept, terms) == 2_000
    kept = after(Signal.HOLDS, terms=terms)
    assert not detector.is_forgotten(kept, terms, 90_000)
    assert detector.wake_ms(kept, terms) == 61_000


def test_what_is_put_off_waits_and_is_cancelled_like_any_hold() -> None:
    kept = detector.put_off(after(Signal.HOLDS), 4_000)
    assert (detector.is_due(kept, 3_999), detector.is_due(kept, 4_000)) == (False, True)
    kept, act = detector.observed(kept, Signal.GONE, seen(2), Terms())
    assert (kept.phase, act, kept.is_put_off) == (Phase.FALSE, Act.CANCEL, False)


def test_under_another_version_a_hold_lasts_as_long_as_that_says() -> None:
    kept = after(Signal.HOLDS, terms=Terms(for_ms=5_000))
    kept, is_turned = detector.rejudged(kept, 2, Signal.HOLDS, Terms(for_ms=2_000), AT_MS)
    assert (kept.phase, kept.due_ms, kept.version, is_turned) == (Phase.PENDING, 3_000, 2, False)


def test_another_version_turns_a_truth_over_quietly() -> None:
    kept, is_turned = detector.rejudged(after(Signal.GONE), 2, Signal.HOLDS, Terms(), AT_MS + 9)
    assert (kept.phase, is_turned, kept.since_ms, kept.changes[-1].is_told) == (Phase.TRUE, True, AT_MS + 9, False)


def test_another_version_ends_a_hold_that_it_does_not_see() -> None:
    kept, is_turned = detector.rejudged(after(Signal.HOLDS, terms=Terms(for_ms=5)), 2, Signal.GONE, Terms(), AT_MS)
    assert (kept.phase, kept.cause, is_turned) == (Phase.FALSE, None, False)


def test_a_key_whose_last_observation_is_gone_stays_where_it_was() -> None:
    for phase in (Phase.TRUE, Phase.FALSE, Phase.UNKNOWN):
        kept, is_turned = detector.rejudged(KeyState(1, phase), 2, None, Terms(), AT_MS)
        assert (kept.phase, is_turned) == (phase, False)


def test_the_last_changes_are_kept() -> None:
    kept = KeyState(1, Phase.FALSE)
    for number in range(1, 9):
        kept, _ = detector.observed(kept, Signal.HOLDS if number % 2 else Signal.GONE, seen(number), Terms())
        kept, _ = detector.flipped(kept, Terms())
    assert [change.position for change in kept.changes] == [5, 6, 7, 8]
