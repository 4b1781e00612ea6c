"""What answers mean, when a retry comes, and what time it is for a bus."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import answer_table, clock, limits
from eventyard.core.answer_table import Answers, Meaning
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, Reason, State, delivery_id, parse_delivery_id
from eventyard.core.errors import InvalidRule
from eventyard.core.retry import backoff_ms, retry_after_ms
from eventyard.core.rule import Backoff, DeliveryPolicy
from eventyard.core.verdict import Answer, Dead, Delivered, Gone, PushVerdict, Retry, decide

POLICY = DeliveryPolicy(max_attempts=3, max_age_s=60, backoff=Backoff(initial_s=1, factor=2, max_s=10))


def verdict(answer: Answer, *, attempts: int = 1, first_ms: int = 1, work_ms: int = 1, chance: float = 0.5) -> PushVerdict:
    delivery = Delivery(1, 0, 1, State.LEASED, 0, attempts=attempts, leases=attempts, first_ms=first_ms)
    return decide(POLICY, delivery, answer, work_ms=work_ms, time_ms=0, chance=chance)


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_every_2xx_is_delivered(status: int) -> None:
    assert isinstance(verdict(Answer(status)), Delivered)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_would_fail_again_is_dead_at_once(status: int) -> None:
    answer = verdict(Answer(status, body=b"no such field"))
    assert isinstance(answer, Dead)
    assert (answer.note.reason, answer.note.status, answer.note.answer) == (Reason.ANSWER, status, "no such field")


@pytest.mark.parametrize("status", [0, 100, 301, 307, 401, 403, 404, 405, 408, 409, 425, 429, 500, 502, 503, 599])
def test_everything_else_is_tried_again(status: int) -> None:
    assert isinstance(verdict(Answer(status)), Retry)


def test_gone_pauses() -> None:
    assert isinstance(verdict(Answer(410)), Gone)


def test_a_forbidden_address_is_dead_at_once() -> None:
    answer = verdict(Answer(0, failure="address 10.0.0.1 is forbidden", is_refused=True))
    assert isinstance(answer, Dead)
    assert answer.note.reason == Reason.FORBIDDEN_TARGET


def test_the_last_attempt_ends_as_attempts() -> None:
    answer = verdict(Answer(500), attempts=3)
    assert isinstance(answer, Dead)
    assert answer.note.reason == Reason.ATTEMPTS


def test_age_ends_a_delivery_and_the_last_try_is_at_its_end() -> None:
    nearly = verdict(Answer(500), work_ms=59_901, chance=0.99)
    assert isinstance(nearly, Retry)
    assert nearly.delay_ms == 100
    ended = verdict(Answer(500), work_ms=60_001)
    assert isinstance(ended, Dead)
    assert ended.note.reason == Reason.AGE


def test_retry_after_wins_when_it_is_later() -> None:
    assert verdict(Answer(503, retry_after="7")).delay_ms == 7_000  # type: ignore[union-attr]
    assert verdict(Answer(503, retry_after="0"), chance=0.9).delay_ms == 900  # type: ignore[union-attr]


def test_garbage_in_retry_after_is_ignored() -> None:
    assert verdict(Answer(429, retry_after="soon, I hope")).delay_ms == 500  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ["-5", "1e9", "0x10", "\x00", "\xff", "1, 2", "NaN", "٣", "Thu, 99 Foo 9999 99:99:99 GMT", "x" * 65_536, "; ", ","]
)
def test_a_delay_that_cannot_be_read_is_none(text: str) -> None:
    assert retry_after_ms(text, 0) is None
    assert verdict(Answer(429, retry_after=text)).delay_ms == 500  # type: ignore[union-attr]


@given(st.text(max_size=40), st.integers(0, 2**43))
def test_whatever_stands_in_retry_after_the_wait_is_bounded(text: str, time_ms: int) -> None:
    wait_ms = retry_after_ms(text, time_ms)
    assert wait_ms is None or 0 <= wait_ms <= limits.RETRY_AFTER_S_MAX * 1000


def test_retry_after_may_be_a_date_and_is_cut() -> None:
    assert retry_after_ms("Thu, 01 Jan 1970 00:01:40 GMT", 40_000) == 60_000
    assert retry_after_ms("Thu, 01 Jan 1970 00:00:01 GMT", 40_000) == 0
    assert retry_after_ms("999999999999", 0) == limits.RETRY_AFTER_S_MAX * 1000


@given(st.integers(1, 100_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1e6), st.floats(1, 100), st.floats(0, 1e6))
def test_backoff_stays_within_its_bounds(attempts: int, chance: float, initial: float, factor: float, most: float) -> None:
    wait_ms = backoff_ms(Backoff(initial, factor, most), attempts, chance)
    assert 0 <= wait_ms <= most * 1000


@given(st.binary(max_size=3_000))
def test_an_answers_body_is_kept_short_and_readable(body: bytes) -> None:
    note = verdict(Answer(500, body=body)).note
    assert len(note.answer) <= limits.ANSWER_KEPT_BYTES


@given(st.lists(st.tuples(st.integers(-(10**9), 10**9), st.integers(0, 10**5)), max_size=50))
def test_bus_time_never_runs_backwards_whatever_the_wall_does(moves: list[tuple[int, int]]) -> None:
    now, wall, worked = BusTime(10**12, 5), 10**12, 5
    for jump, elapsed in moves:
        wall += elapsed + jump
        worked += elapsed
        later = clock.advance(now, wall, elapsed)
        assert later.time_ms >= now.time_ms
        assert later.work_ms == worked
        assert later.time_ms <= now.time_ms + elapsed + limits.CLOCK_JUMP_MS_MAX
        now = later


def test_a_jump_past_the_bound_is_not_believed_until_the_next_start() -> None:
    now = BusTime(1_000_000, 0)
    jumped = clock.advance(now, 1_000_000 + limits.CLOCK_JUMP_MS_MAX + 2, 1)
    assert (jumped.time_ms, jumped.is_suspended) == (1_000_001, True)
    assert clock.start(jumped, 9_000_000_000).time_ms == 9_000_000_000


@given(st.integers(0, 2**53), st.integers(0, 2**53), st.integers(0, 2**53))
def test_a_delivery_id_names_its_key(rule: int, position: int, run: int) -> None:
    assert parse_delivery_id(delivery_id("life0", rule, position, run)) == ("life0", (rule, run, position))


@pytest.mark.parametrize(
    "text", ["", "a", "life-1-2", "life-1-2-3-4", "life-1-x-3", "life-1-²-3", "life-1--3", "l-1-2-" + "9" * 99]
)
def test_what_is_no_delivery_id_is_none(text: str) -> None:
    assert parse_delivery_id(text) is None


# The answer table of a rule


def by_table(status: int, answers: Answers, *, attempts: int = 1, chance: float = 0.5, retry_after: str = "") -> PushVerdict:
    policy = msgspec.structs.replace(POLICY, answers=answers)
    delivery = Delivery(1, 0, 1, State.LEASED, 0, attempts=attempts, leases=attempts, first_ms=1)
    return decide(policy, delivery, Answer(status, retry_after=retry_after), work_ms=1, time_ms=0, chance=chance)


@pytest.mark.parametrize(
    ("meaning", "kind"), [("delivered", Delivered), ("retry", Retry), ("slow", Retry), ("dead", Dead), ("pause", Gone)]
)
@pytest.mark.parametrize("status", [200, 302, 404, 410, 422, 503])
def test_a_rule_says_what_any_status_means_and_the_line_is_kept(status: int, meaning: Meaning, kind: type) -> None:
    verdict = by_table(status, {str(status): meaning})
    assert isinstance(verdict, kind)
    assert (verdict.note.line, verdict.note.status) == (f"{status}: {meaning}", status)


def test_a_status_beats_its_class() -> None:
    answers: Answers = {"4xx": "dead", "404": "delivered"}
    assert (by_table(404, answers).note.line, by_table(405, answers).note.line) == ("404: delivered", "4xx: dead")


@given(st.integers(100, 599), st.dictionaries(st.sampled_from(["404", "5xx", "200"]), st.just("dead"), max_size=3))
def test_what_no_line_names_means_what_it_usually_does(status: int, answers: Answers) -> None:
    if not {str(status), f"{status // 100}xx"} & answers.keys():
        assert by_table(status, answers) == by_table(status, {})


def test_no_table_speaks_of_no_answer() -> None:
    policy = msgspec.structs.replace(POLICY, answers={f"{digit}xx": "delivered" for digit in range(2, 6)})
    delivery = Delivery(1, 0, 1, State.LEASED, 0, attempts=1, leases=1, first_ms=1)
    silent = decide(policy, delivery, Answer(0, failure="timed out"), work_ms=1, time_ms=0, chance=0.5)
    forbidden = decide(policy, delivery, Answer(0, is_refused=True), work_ms=1, time_ms=0, chance=0.5)
    assert (type(silent), type(forbidden)) == (Retry, Dead)


def test_slow_waits_for_half_the_longest_backoff_at_least() -> None:
    for chance in (0.0, 0.999):
        slow = by_table(500, {"500": "slow"}, chance=chance)
        assert isinstance(slow, Retry)
        assert 5_000 <= slow.delay_ms <= 10_000
    later = by_table(500, {"500": "slow"}, retry_after="20")
    assert isinstance(later, Retry)
    assert later.delay_ms == 20_000


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_tries_again_and_not_soon(status: int) -> None:
    answer = verdict(Answer(status), chance=0.0)
    assert isinstance(answer, Retry)
    assert answer.delay_ms >= 5_000


@pytest.mark.parametrize("line", ["4", "40", "4040", "4XX", "1xx", "199", "600", "6xx", "xx", "40x", "404\n", "", "٤٠٤"])
def test_a_line_that_names_no_status_is_refused_where_it_stands(line: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        answer_table.check({line: "dead"}, at="/delivery/answers")
    assert refused.value.at == f"/delivery/answers/{line}"
