"""The instants of cron expressions beside a model that looks at every minute, where clocks are changed and where they are not."""

import datetime
import itertools
import zoneinfo
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard.core import zone
from eventyard.core.schedule import Emit, Schedule, Timetable

MINUTE = datetime.timedelta(minutes=1)

CHANGES = (
    ("Europe/Berlin", "2026-03-29T01:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00Z"),
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2026-11-01T06:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"),  # half an hour back
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"),  # half an hour on
    ("America/Havana", "2026-03-08T05:00Z"),  # from midnight to one: a day without its first hour
    ("America/Havana", "2026-11-01T05:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),  # a whole day that never was
    ("Asia/Kathmandu", "2026-03-29T01:00Z"),
    ("UTC", "2026-03-29T01:00Z"),
)


class Fields:
    """Minutes, hours and days of the week, as sets."""

    def __init__(self, minutes: set[int], hours: set[int], weekdays: set[int]) -> None:
        self.minutes, self.hours, self.weekdays = minutes, hours, weekdays

    @property
    def text(self) -> str:
        def listed(values: set[int], count: int) -> str:
            return "*" if len(values) == count else ",".join(map(str, sorted(values)))

        return f"{listed(self.minutes, 60)} {listed(self.hours, 24)} * * {listed(self.weekdays, 7)}"

    def have(self, shown: datetime.datetime) -> bool:
        weekday = shown.isoweekday() % 7
        return shown.minute in self.minutes and shown.hour in self.hours and weekday in self.weekdays


def every_minute(first: datetime.datetime, last: datetime.datetime) -> list[datetime.datetime]:
    return [first + number * MINUTE for number in range((last - first) // MINUTE)]


def modelled(fields: Fields, name: str, first: datetime.datetime, last: datetime.datetime) -> list[datetime.datetime]:
    """Of every minute from `first` to before `last`: what the schedule says of it."""
    place = zoneinfo.ZoneInfo(name)
    shown = {instant: instant.astimezone(place).replace(tzinfo=None, fold=0) for instant in every_minute(first, last)}
    if len(fields.hours) == 24:
        return [instant for instant, local in shown.items() if fields.have(local)]
    earliest: dict[datetime.datetime, datetime.datetime] = {}
    for instant, local in shown.items():
        earliest.setdefault(local, instant)
    begins, ends = shown[first], max(shown.values())
    wanted = [local for local in every_minute(begins, ends + MINUTE) if fields.have(local)]
    return sorted({earliest.get(local) or earliest[min(later for later in earliest if later > local)] for local in wanted})


@st.composite
def fields_drawn(draw: st.DrawFn) -> Fields:
    minutes = draw(st.sampled_from([set(range(60))]) | st.sets(st.integers(0, 59), min_size=1, max_size=4))
    hours = draw(st.sampled_from([set(range(24)), set(range(0, 24, 2))]) | st.sets(st.integers(0, 23), min_size=1, max_size=6))
    weekdays = draw(st.sampled_from([set(range(7))]) | st.sets(st.integers(0, 6), min_size=1, max_size=6))
    return Fields(minutes, hours, weekdays)


def timetable(cron: str, name: str) -> Timetable:
    return Timetable(Schedule(Emit("x"), cron=cron, zone=name))


def instants(table: Timetable, after: datetime.datetime, before: datetime.datetime) -> list[datetime.datetime]:
    """Those after the one and before the other time."""
    found = map(zone.moment, table.instants(zone.unix_ms(after)))
    return list(itertools.takewhile(lambda instant: instant < before, found))


@settings(deadline=None, max_examples=60)
@given(fields_drawn(), st.sampled_from(CHANGES), st.integers(0, 600))
def test_the_instants_are_those_that_a_look_at_every_minute_finds(
    fields: Fields, change: tuple[str, str], earlier: int
) -> None:
    name, at = change
    first = datetime.datetime.fromisoformat(at) - datetime.timedelta(hours=14, minutes=earlier)
    last = first + datetime.timedelta(hours=40)
    expected = modelled(fields, name, first, last)
    assert instants(timetable(fields.text, name), first - MINUTE, last) == expected


@settings(deadline=None, max_examples=60)
@given(fields_drawn(), st.sampled_from(CHANGES), st.lists(st.integers(-1_000, 1_000), min_size=1, max_size=5))
def test_the_next_instant_after_any_time_is_the_first_of_all_that_are_later(
    fields: Fields, change: tuple[str, str], minutes: Sequence[int]
) -> None:
    name, at = change
    table, middle = timetable(fields.text, name), datetime.datetime.fromisoformat(at)
    first, last = middle - datetime.timedelta(days=1), middle + datetime.timedelta(days=1)
    every = instants(table, first, last)
    for number in minutes:
        time = middle + number * MINUTE
        later = [instant for instant in every if instant > time]
        found = table.next_ms(zone.unix_ms(time))
        if later:
            assert found == zone.unix_ms(later[0])


@settings(deadline=None, max_examples=60)
@given(fields_drawn(), st.sampled_from(CHANGES), st.integers(0, 2_000), st.integers(0, 2_000))
def test_the_last_instant_of_a_stretch_is_the_last_of_all_in_it(
    fields: Fields, change: tuple[str, str], before: int, after: int
) -> None:
    name, at = change
    middle = datetime.datetime.fromisoformat(at)
    low, high = middle - before * MINUTE, middle + after * MINUTE
    table = timetable(fields.text, name)
    every = instants(table, low, high + MINUTE)
    found = table.last_ms(zone.unix_ms(low), zone.unix_ms(high))
    assert found == (zone.unix_ms(every[-1]) if every else None)


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("30 2 * * *", "2026-03-28T12:00Z", ["2026-03-29T01:00Z", "2026-03-30T00:30Z"]),
        ("30 2 * * *", "2026-10-24T12:00Z", ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]),
        ("10,40 2 * * *", "2026-03-28T12:00Z", ["2026-03-29T01:00Z", "2026-03-30T00:10Z"]),
        ("0 */2 * * *", "2026-03-28T23:30Z", ["2026-03-29T01:00Z", "2026-03-29T02:00Z"]),
        ("*/30 * * * *", "2026-03-29T00:29Z", ["2026-03-29T00:30Z", "2026-03-29T01:00Z", "2026-03-29T01:30Z"]),
        ("*/30 * * * *", "2026-10-25T00:29Z", ["2026-10-25T00:30Z", "2026-10-25T01:00Z", "2026-10-25T01:30Z"]),
        ("15 30 2 * * *", "2026-03-28T12:00Z", ["2026-03-29T01:00Z", "2026-03-30T00:30:15Z"]),
        ("*/20 * 3 * * *", "2026-03-29T00:59Z", ["2026-03-29T01:00Z", "2026-03-29T01:00:20Z"]),
    ],
)
def test_what_happens_where_clocks_are_changed(cron: str, after: str, expected: list[str]) -> None:
    found = timetable(cron, "Europe/Berlin").instants(zone.unix_ms(datetime.datetime.fromisoformat(after)))
    assert [zone.moment(next(found)) for _ in expected] == [datetime.datetime.fromisoformat(text) for text in expected]


def test_a_day_in_fifty_years_is_found() -> None:
    leap_day = timetable("0 12 29 2 *", "UTC").next_ms(zone.unix_ms(datetime.datetime.fromisoformat("2096-03-01T00:00Z")))
    assert leap_day == zone.unix_ms(datetime.datetime.fromisoformat("2104-02-29T12:00Z"))
