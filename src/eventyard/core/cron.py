"""Cron expressions: five fields, or six with the seconds first. The one room of cronsim, which says what each field means.

Fields are those of Debian's cron: numbers, ranges, steps, lists, names of months and days, and beyond it `L` (the last day, or `5L` the
last Friday), `LW` (the last weekday) and `MON#2` (the second Monday). Where both days are given, either will do, unless one begins with `*`.

cronsim is asked for local times only and knows of no zone: what clocks that are changed make of them is decided here.
"""

import datetime

from cronsim import CronSim, CronSimError

from eventyard.core import limits, zone
from eventyard.core.errors import InvalidSchedule

_SECOND = datetime.timedelta(seconds=1)
_ANY = datetime.datetime(2000, 1, 1)  # noqa: DTZ001 - a local time

_FIELDS = (
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, L or LW"),
    ("month", "1 to 12, or JAN to DEC"),
    ("day of week", "0 to 7 (0 and 7 are Sunday), or SUN to SAT, 5L or MON#2"),
)


class Cron:
    """One expression, checked. Raises `InvalidSchedule` that names the field."""

    def __init__(self, text: str, *, at: str) -> None:
        if len(text) > limits.CRON_LENGTH_MAX:
            raise InvalidSchedule(f"found {len(text)} characters", wanted=f"at most {limits.CRON_LENGTH_MAX}", at=at)
        fields = text.split()
        if len(fields) not in {5, 6}:
            wanted = "five fields, minute hour day-of-month month day-of-week, or six with the second first, as 0 8 * * MON-FRI"
            raise InvalidSchedule(f'found {len(fields)} fields in "{text[:60]}"', wanted=wanted, at=at)
        self._text = " ".join(fields)
        _check_fields(fields, at)
        self.is_running = _simulated(self._text, _ANY, at).hours == set(range(24))
        """It has every hour of the day: clocks that are changed neither stop it nor repeat it."""

    def next_instant(self, after: datetime.datetime, place: datetime.tzinfo) -> datetime.datetime | None:
        """The first instant after `after`; None where there is none in some fifty years."""
        return self._running(after, place) if self.is_running else self._bound(after, place)

    def _bound(self, after: datetime.datetime, place: datetime.tzinfo) -> datetime.datetime | None:
        """Of hours that are named: each local time once, at the instant that it means. Of several in one gap one is left."""
        for shown in self._simulate(zone.local(after, place)):
            instant = zone.first_instant(shown, place)
            if instant > after:
                return instant
        return None

    def _running(self, after: datetime.datetime, place: datetime.tzinfo) -> datetime.datetime | None:
        """Of every hour: whatever the clocks show. From one change to the next they are UTC and so much more."""
        since, ahead = zone.local(after, place), zone.offset(after, place)
        while True:
            shown = next(self._simulate(since), None)
            if shown is None:
                return None
            instant = (shown - ahead).replace(tzinfo=zone.UTC)
            change = zone.next_change(after, instant, place)
            if change is None:
                return instant
            after, since, ahead = change, zone.local(change, place) - _SECOND, zone.offset(change, place)

    def _simulate(self, shown: datetime.datetime) -> CronSim:
        """The local times after `shown` in their order, as far as fifty years."""
        return CronSim(self._text, shown)


def _simulated(text: str, shown: datetime.datetime, at: str) -> CronSim:
    try:
        return CronSim(text, shown)
    except CronSimError as error:
        raise InvalidSchedule(f'found "{text}", which no day ever is', wanted="a day that some month has", at=at) from error


def _check_fields(fields: list[str], at: str) -> None:
    known = _FIELDS[-len(fields) :]
    for number, (field, (name, wanted)) in enumerate(zip(fields, known, strict=True)):
        for term in field.split(","):
            alone = ["*"] * len(fields)
            alone[number] = term
            try:
                CronSim(" ".join(alone), _ANY)
            except (CronSimError, ValueError, AssertionError):
                raise InvalidSchedule(_found(field, term, name), wanted=f"{wanted}; *, a-b, */n and a,b too", at=at) from None


def _found(field: str, term: str, name: str) -> str:
    inside = "" if term == field else f' in "{field[:60]}"'
    return f'found "{term[:60]}"{inside} for the {name}'
