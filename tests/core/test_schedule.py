"""A schedule's document: what it may say, and which instants and events follow from it."""

import datetime
import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard.core import clock, limits, schedule
from eventyard.core.errors import InvalidSchedule
from eventyard.core.schedule import Emit, Schedule, ScheduleRecord, Timetable


def ms(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1000)


def document(**members: object) -> bytes:
    return msgspec.json.encode({"emit": {"type": "shop.tick"}, **members})


def instants(table: Timetable, after: str, count: int) -> list[str]:
    return [clock.rfc3339(instant) for instant in itertools.islice(table.instants(ms(after)), count)]


def table(**members: object) -> Timetable:
    return schedule.parse(document(**members))[1]


def test_an_interval_counts_from_its_start() -> None:
    found = instants(table(every_s=90, start="2026-01-01T00:00:01Z"), "2025-12-31T00:00Z", 3)
    assert found == ["2026-01-01T00:00:01.000Z", "2026-01-01T00:01:31.000Z", "2026-01-01T00:03:01.000Z"]


def test_an_interval_without_a_start_counts_from_1970() -> None:
    assert instants(table(every_s=300), "2026-01-01T00:02Z", 1) == ["2026-01-01T00:05:00.000Z"]


def test_one_time_has_one_instant() -> None:
    assert instants(table(at="2026-05-01T08:00:00", zone="Europe/Berlin"), "2026-01-01T00:00Z", 2) == [
        "2026-05-01T06:00:00.000Z"
    ]


def test_one_time_in_a_gap_is_the_first_instant_after_it() -> None:
    assert instants(table(at="2026-03-29T02:30:00", zone="Europe/Berlin"), "2026-01-01T00:00Z", 1) == [
        "2026-03-29T01:00:00.000Z"
    ]


def test_the_start_is_in_and_the_end_is_out() -> None:
    found = instants(table(cron="0 * * * *", start="2026-01-01T10:00:00Z", end="2026-01-01T12:00:00Z"), "2025-01-01T00:00Z", 9)
    assert found == ["2026-01-01T10:00:00.000Z", "2026-01-01T11:00:00.000Z"]


@given(st.integers(1, 86_400), st.integers(0, 2**40), st.text(max_size=20))
def test_each_instant_is_due_within_its_window_and_always_at_the_same_time(jitter_s: int, instant_ms: int, seed: str) -> None:
    spread = Timetable(Schedule(Emit("x"), cron="* * * * *", jitter_s=jitter_s))
    due_ms = spread.due_ms(instant_ms, seed)
    assert instant_ms <= due_ms < instant_ms + jitter_s * 1000
    assert due_ms == spread.due_ms(instant_ms, seed)


def test_schedules_are_spread_apart() -> None:
    spread = table(cron="* * * * *", jitter_s=3_600)
    assert len({spread.due_ms(0, f"bus-{uid}") for uid in range(100)}) > 90


def test_the_event_of_an_instant_follows_from_the_schedule_and_the_instant() -> None:
    said, _ = schedule.parse(document(cron="* * * * *", emit={"type": "shop.tick", "subject": "all", "data": {"price": 1.10}}))
    record = ScheduleRecord(7, "tick", 9, said, 0, 0, 0)
    one, two = (schedule.event_at(record, ms("2026-01-01T00:00Z"), bus="shop", incarnation="c0de") for _ in range(2))
    assert one.json == two.json
    assert msgspec.json.decode(one.json) == {
        "specversion": "1.0",
        "id": "c0de-7-1767225600000",
        "source": "/eventyard/buses/shop/schedules/tick",
        "type": "shop.tick",
        "subject": "all",
        "time": "2026-01-01T00:00:00.000Z",
        "data": {"price": 1.1, "instant": "2026-01-01T00:00:00.000Z"},
    }


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "at /cron: found no times"),
        ({"cron": "* * * * *", "every_s": 5}, "at /every_s: found cron and every_s"),
        ({"cron": "61 * * * *"}, 'found "61" for the minute; wanted 0 to 59'),
        ({"cron": "0 1,24 * * *"}, 'found "24" in "1,24" for the hour; wanted 0 to 23'),
        ({"cron": "0 0 32 * *"}, 'found "32" for the day of month; wanted 1 to 31'),
        ({"cron": "0 0 * FOO *"}, 'found "FOO" for the month; wanted 1 to 12'),
        ({"cron": "0 0 * * 8"}, 'found "8" for the day of week; wanted 0 to 7'),
        ({"cron": "60 0 0 * * *"}, 'found "60" for the second; wanted 0 to 59'),
        ({"cron": "* * * *"}, "found 4 fields"),
        ({"cron": "0 0 30 2 *"}, "which no day ever is"),
        ({"cron": "x" * (limits.CRON_LENGTH_MAX + 1)}, "wanted at most 250"),
        ({"cron": "* * * * *", "zone": "Europe/Atlantis"}, "at /zone: found the zone"),
        ({"cron": "* * * * *", "zone": "../../etc/passwd"}, "at /zone"),
        ({"cron": "* * * * *", "zone": "Europe"}, "at /zone"),
        ({"every_s": -5}, "at /every_s"),
        ({"every_s": 0.5}, "at /every_s"),
        ({"at": "tomorrow"}, "at /at"),
        ({"at": "2026-05-01"}, "at /at"),
        ({"at": "9999-12-31T23:59:59-14:00"}, "at /at"),
        ({"cron": "* * * * *", "start": "2026-05-02T00:00:00Z", "end": "2026-05-01T00:00:00Z"}, "at /end"),
        ({"cron": "* * * * *", "jitter_s": -1}, "at /jitter_s"),
        ({"every_s": 10, "jitter_s": 11}, "at /jitter_s"),
        ({"cron": "* * * * *", "misfire": "twice"}, "at /misfire"),
        ({"cron": "* * * * *", "emit": {"type": ""}}, "at /emit/type"),
        ({"cron": "* * * * *", "emit": {"type": "io.eventyard.x"}}, "at /emit/type"),
        ({"cron": "* * * * *", "emit": {"type": "a\u0000b"}}, "at /emit/type"),
        ({"cron": "* * * * *", "emit": {"type": "x", "subject": "\u0007"}}, "at /emit/subject"),
        ({"cron": "* * * * *", "emit": {"type": "x", "data": {"instant": 1}}}, "at /emit/data/instant"),
        ({"cron": "* * * * *", "emit": {"type": "x", "data": 5}}, "at /emit/data"),
        ({"corn": "* * * * *"}, 'unknown field "corn"'),
    ],
)
def test_a_bad_document_gets_one_clear_refusal(members: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        schedule.parse(document(**members))
    assert said in str(refused.value)


@settings(deadline=None)
@given(st.text(alphabet="0123456789*/-,#LWMONJA? \t", max_size=30))
def test_any_text_is_a_cron_expression_or_is_refused(text: str) -> None:
    try:
        found = table(cron=text)
    except InvalidSchedule:
        return
    first = found.next_ms(ms("2026-01-01T00:00Z"))
    assert first is None or first > ms("2026-01-01T00:00Z")
