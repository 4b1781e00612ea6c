"""The token bucket: what may go, and when the next one may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import limits
from eventyard.core.bucket import Bucket, brim, full


def test_a_rested_bucket_holds_a_tenth_of_a_second() -> None:
    assert full(50, 0).whole == 5
    assert full(50, 0).filled(50, 3_600_000).whole == 5


def test_a_slow_bucket_holds_one() -> None:
    assert full(0.5, 0).whole == 1
    emptied = full(0.5, 0).without(1)
    assert (emptied.whole, emptied.next_ms(0.5)) == (0, 2_000)
    assert (emptied.filled(0.5, 1_999).whole, emptied.filled(0.5, 2_000).whole) == (0, 1)


def test_a_lowered_rate_takes_away_what_is_above_the_brim() -> None:
    assert full(100, 0).whole == 10
    assert full(100, 0).filled(20, 0).whole == 2


def test_time_that_stands_still_fills_nothing() -> None:
    assert full(10, 1_000).without(1).filled(10, 400) == Bucket(0.0, 1_000)


rates = st.one_of(st.floats(limits.RATE_PER_S_MIN, 10), st.floats(10, limits.RATE_PER_S_MAX))


@given(rates, st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 100)), min_size=1, max_size=40))
def test_over_any_stretch_no_more_goes_than_the_rate_and_what_is_held(rate: float, steps: list[tuple[int, int]]) -> None:
    bucket, now_ms = full(rate, 0), 0
    went: list[tuple[int, int]] = []
    for wait_ms, wanted in steps:
        now_ms += wait_ms
        bucket = bucket.filled(rate, now_ms)
        taken = min(wanted, bucket.whole)
        bucket = bucket.without(taken)
        went.append((now_ms, taken))
    for first in range(len(went)):
        for last in range(first, len(went)):
            stretch_s = (went[last][0] - went[first][0]) / 1000
            total = sum(count for _, count in went[first : last + 1])
            assert total <= rate * stretch_s + brim(rate) + 0.001


@given(rates, st.integers(1, 10_000))
def test_who_comes_whenever_one_may_go_gets_the_rate(rate: float, count: int) -> None:
    bucket = full(rate, 0).without(full(rate, 0).whole)
    start_ms, went = bucket.next_ms(rate), 0
    now_ms = start_ms
    for _ in range(min(count, 200)):
        now_ms = bucket.next_ms(rate)
        bucket = bucket.filled(rate, now_ms)
        assert bucket.whole >= 1
        went += bucket.whole
        bucket = bucket.without(bucket.whole)
    assert went >= int((now_ms - start_ms) * rate / 1000)


@pytest.mark.parametrize("rate", [limits.RATE_PER_S_MIN, 0.3, 1, 7, 1_000, limits.RATE_PER_S_MAX])
def test_when_the_next_one_may_go_it_may(rate: float) -> None:
    bucket = full(rate, 17).without(full(rate, 17).whole)
    next_ms = bucket.next_ms(rate)
    assert bucket.filled(rate, next_ms).whole >= 1
    assert next_ms == 17 or bucket.filled(rate, next_ms - 1).whole == 0
