"""When deliveries that are spread over time fall due."""

import pytest

from eventyard.core import limits
from eventyard.core.backfilling import next_paced


@pytest.mark.parametrize("per_s", [5e-324, 1e-308, limits.REPLAY_PER_S_MIN])
def test_however_slow_the_pace_the_next_falls_due_at_a_time_that_can_be_told(per_s: float) -> None:
    last_ms, work_ms = 1.0, 1_000
    for _ in range(1_000):
        last_ms = next_paced(last_ms, per_s, work_ms)
    assert work_ms <= int(last_ms) <= work_ms + limits.PACED_AHEAD_MS_MAX


def test_one_more_falls_due_as_much_later_as_the_pace_says() -> None:
    assert next_paced(5_000.0, 4, 1_000) == 5_250
