"""The circuit breaker: each line of its table, the laws over any story, and its picture in the docs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import limits
from eventyard.core.breaker import TRANSITIONS, Breaker, BreakerPolicy, Cause, Place, open_ms, picture

POLICY = BreakerPolicy(failure_share=0.5, window_s=10, min_requests=4, open_s=10, probes=2, successes=3, slow_start_s=10)
S = 1_000


def opened(policy: BreakerPolicy = POLICY, at_ms: int = 0) -> Breaker:
    return Breaker().learn(policy, at_ms, 0, policy.min_requests)


def half_open(policy: BreakerPolicy = POLICY) -> Breaker:
    return opened(policy).at(policy, 10 * S)


def recovering(policy: BreakerPolicy = POLICY) -> Breaker:
    return half_open(policy).learn(policy, 10 * S, policy.successes, 0)


# Opening


def test_it_opens_when_the_share_is_reached() -> None:
    assert Breaker().learn(POLICY, 0, 2, 2).place is Place.OPEN
    assert Breaker().learn(POLICY, 0, 3, 2).place is Place.CLOSED


def test_a_few_failures_say_nothing() -> None:
    breaker = Breaker().learn(POLICY, 0, 0, 3)
    assert breaker.place is Place.CLOSED
    assert breaker.learn(POLICY, 1, 0, 1).place is Place.OPEN


def test_a_success_opens_nothing() -> None:
    """Although it makes the attempts enough."""
    assert Breaker().learn(POLICY, 0, 0, 3).learn(POLICY, 1, 1, 0).place is Place.CLOSED


def test_what_lies_behind_the_window_counts_no_more() -> None:
    breaker = Breaker().learn(POLICY, 0, 0, 3)
    assert breaker.learn(POLICY, 9 * S, 0, 1).place is Place.OPEN
    assert breaker.learn(POLICY, 10 * S, 0, 1).place is Place.CLOSED


def test_what_comes_late_is_not_counted_while_it_is_open() -> None:
    breaker = opened()
    assert breaker.learn(POLICY, 5 * S, 100, 100) == breaker


# Half-open


def test_after_its_time_it_lets_probes_through() -> None:
    assert opened().allowed(POLICY, 16, 10 * S - 1) == 0
    assert opened().allowed(POLICY, 16, 10 * S) == 2
    assert opened().allowed(POLICY, 1, 10 * S) == 1
    assert half_open().since_ms == 10 * S


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    again = half_open().learn(POLICY, 11 * S, 2, 1)
    assert (again.place, again.until_ms, again.openings) == (Place.OPEN, 31 * S, 2)


def test_enough_probes_that_go_well_close_it() -> None:
    once = half_open().learn(POLICY, 11 * S, 2, 0)
    assert once.place is Place.HALF_OPEN
    assert once.learn(POLICY, 12 * S, 1, 0).place is Place.RECOVERING


def test_it_stays_open_no_longer_than_the_cap() -> None:
    assert [open_ms(POLICY, openings) // S for openings in range(8)] == [10, 20, 40, 80, 160, 300, 300, 300]
    assert open_ms(POLICY, 10_000) == limits.BREAKER_OPENS_S_MAX * S
    long = BreakerPolicy(open_s=600)
    assert [open_ms(long, openings) // S for openings in range(3)] == [600, 600, 600]


# Slow start


def test_what_it_lets_through_grows_evenly() -> None:
    breaker = recovering()
    allowed = [breaker.allowed(POLICY, 20, (10 + second) * S) for second in range(11)]
    assert allowed == [2, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert [breaker.part(POLICY, at_ms) for at_ms in (10 * S, 15 * S, 20 * S)] == [0.1, 0.5, 1.0]
    assert breaker.at(POLICY, 20 * S - 1).place is Place.RECOVERING
    assert breaker.at(POLICY, 20 * S) == Breaker(Place.CLOSED, 20 * S)


def test_of_little_at_least_one_goes() -> None:
    assert recovering().allowed(POLICY, 1, 10 * S) == 1


def test_without_a_slow_start_it_is_closed_at_once() -> None:
    policy = BreakerPolicy(min_requests=4, slow_start_s=0)
    assert recovering(policy).place is Place.CLOSED


def test_a_target_that_fails_again_while_it_recovers_is_left_alone_for_longer() -> None:
    again = recovering().learn(POLICY, 12 * S, 0, 4)
    assert (again.place, again.until_ms, again.openings) == (Place.OPEN, 32 * S, 2)


def test_once_it_is_closed_the_next_opening_is_the_first() -> None:
    again = recovering().learn(POLICY, 20 * S, 0, 4)
    assert (again.place, again.until_ms, again.openings) == (Place.OPEN, 30 * S, 1)


# People


def test_a_rule_that_is_resumed_is_probed_at_once() -> None:
    assert opened().resumed(3 * S).allowed(POLICY, 16, 3 * S) == 2
    assert Breaker().resumed(3 * S) == Breaker()


def test_another_target_begins_anew() -> None:
    for breaker in (Breaker().learn(POLICY, 0, 0, 3), opened(), half_open(), recovering()):
        assert breaker.edited(12 * S) == Breaker(Place.CLOSED, 12 * S)


# Laws

policies = st.builds(
    BreakerPolicy,
    failure_share=st.floats(0.01, 1),
    window_s=st.integers(1, 60).map(float),
    min_requests=st.integers(1, 30),
    open_s=st.floats(0.1, 120),
    probes=st.integers(1, 5),
    successes=st.integers(1, 10),
    slow_start_s=st.floats(0, 60),
)
stories = st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 20), st.integers(0, 20)), max_size=60)


def told(policy: BreakerPolicy, story: list[tuple[int, int, int]]) -> list[tuple[int, Breaker, Breaker]]:
    """After each part of the story: the time, the breaker as it stood then, and what it made of it."""
    breaker, now_ms, found = Breaker(), 0, []
    for wait_ms, well, failed in story:
        now_ms += wait_ms
        before = breaker.at(policy, now_ms)
        breaker = before.learn(policy, now_ms, well, failed)
        found.append((now_ms, before, breaker))
    return found


@given(policies, stories)
def test_it_moves_as_its_table_says(policy: BreakerPolicy, story: list[tuple[int, int, int]]) -> None:
    steps = {(start, end) for (start, _), end in TRANSITIONS.items()}
    steps.add((Place.HALF_OPEN, Place.CLOSED))  # Where there is no slow start.
    for _, before, after in told(policy, story):
        assert before.place is after.place or (before.place, after.place) in steps


@given(policies, stories)
def test_it_opens_only_for_enough_failures(policy: BreakerPolicy, story: list[tuple[int, int, int]]) -> None:
    """Beside an account of its own: all attempts since it stands where it does, none older than the window."""
    counted: list[tuple[int, int, int]] = []
    for (now_ms, before, after), (_, well, failed) in zip(told(policy, story), story, strict=True):
        counted.append((now_ms, well, failed))
        if before.place in {Place.CLOSED, Place.RECOVERING}:
            since_ms = max(before.since_ms, now_ms - policy.window_s * 1000)
            recent = [each for each in counted if each[0] >= since_ms]
            attempts = sum(well + failed for _, well, failed in recent)
            if after.place is Place.OPEN:
                assert attempts >= policy.min_requests
                assert failed
        if before.place is not after.place:
            counted = []


@given(policies, stories)
def test_while_it_is_open_nothing_goes_and_it_ends(policy: BreakerPolicy, story: list[tuple[int, int, int]]) -> None:
    for now_ms, _, after in told(policy, story):
        if after.place is Place.OPEN:
            assert after.allowed(policy, 10, now_ms) == 0
            assert now_ms < after.until_ms <= now_ms + max(policy.open_s, limits.BREAKER_OPENS_S_MAX) * 1000
            assert after.allowed(policy, 10, after.until_ms) >= 1
        else:
            assert 1 <= after.allowed(policy, 10, now_ms) <= 10


@given(policies, stories)
def test_what_only_went_well_closes_it(policy: BreakerPolicy, story: list[tuple[int, int, int]]) -> None:
    breaker, now_ms = Breaker(), 0
    for now_ms, _, breaker in told(policy, story):  # noqa: B007 - the last of each
        pass
    now_ms = max(now_ms, breaker.until_ms)
    breaker = breaker.learn(policy, now_ms, policy.successes, 0)
    now_ms += 60_000
    assert breaker.at(policy, now_ms).place is Place.CLOSED
    assert breaker.learn(policy, now_ms, 1, 0).is_idle(policy, now_ms + 70_000)


@given(policies, stories)
def test_the_window_is_a_few_numbers(policy: BreakerPolicy, story: list[tuple[int, int, int]]) -> None:
    for _, _, after in told(policy, story):
        assert len(after.window) <= 10


# The picture


def test_every_place_can_be_left_and_reached() -> None:
    assert {start for start, _ in TRANSITIONS} == set(Place) == set(TRANSITIONS.values())
    assert {cause for _, cause in TRANSITIONS} == set(Cause)


def test_the_picture_in_the_docs_is_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "internals" / "breaker.md"
    assert picture() in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("place", Place)
def test_an_edit_leads_to_closed_from_everywhere(place: Place) -> None:
    assert Breaker(place).edited(1).place is Place.CLOSED
