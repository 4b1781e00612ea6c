"""When the client sends again, and how long it waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from eventyard.client.errors import Unreachable
from eventyard.client.patience import Outcome, Patience, Response, retry_after_s

TROUBLE = Unreachable("http://127.0.0.1:1", "refused")
NOW_S = 1_767_225_600.0  # Thu, 01 Jan 2026 00:00:00 GMT


def answered(status: int, retry_after: str = "") -> Response:
    return Response(status, b"", retry_after, NOW_S)


@pytest.mark.parametrize("outcome", [TROUBLE, answered(429), answered(503)])
def test_what_may_pass_is_tried_again(outcome: Outcome) -> None:
    assert Patience().wait_s(outcome, 1, chance=0.5) is not None


@pytest.mark.parametrize("status", [200, 202, 400, 404, 409, 413, 500, 502, 507])
def test_what_will_not_pass_is_not(status: int) -> None:
    assert Patience().wait_s(answered(status), 1, chance=0.5) is None


def test_attempts_end_at_their_number() -> None:
    patience = Patience(attempts_max=3)
    assert patience.wait_s(TROUBLE, 2, chance=0.5) is not None
    assert patience.wait_s(TROUBLE, 3, chance=0.5) is None


def test_waits_grow_up_to_their_cap() -> None:
    patience = Patience(attempts_max=99, first_s=1.0, factor=2.0, wait_max_s=5.0)
    assert [patience.wait_s(TROUBLE, attempt, chance=1.0) for attempt in (1, 2, 3, 4, 50)] == [1.0, 2.0, 4.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("²", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_s(answered(503, text)) == seconds


def test_a_server_is_not_asked_again_before_it_said() -> None:
    assert Patience().wait_s(answered(503, "7"), 1, chance=0.0) == 7.0


def test_at_the_cap_it_is_waited_for_and_one_past_it_not() -> None:
    patience = Patience(wait_max_s=30.0)
    assert patience.wait_s(answered(503, "30"), 1, chance=0.0) == 30.0
    assert patience.wait_s(answered(503, "31"), 1, chance=0.0) is None


@given(
    attempt=some.integers(1, 5_000),
    chance=some.floats(0, 1, exclude_max=True),
    retry_after=some.text(max_size=40),
    status=some.integers(100, 599),
)
def test_no_wait_is_negative_or_past_the_cap(attempt: int, chance: float, retry_after: str, status: int) -> None:
    patience = Patience(attempts_max=10_000)
    wait_s = patience.wait_s(answered(status, retry_after), attempt, chance=chance)
    assert wait_s is None or 0.0 <= wait_s <= patience.wait_max_s
