"""Time zones: which instants a local time is, and when the clocks of a place are changed.

Theory of operation. Twice a year in many places a clock on the wall is no function of time and time none of it. When clocks go forward, the
local times between do not exist (a gap): such a one means the first instant after it. When they go back, the local times between are there
twice (an overlap): such a one means the first of the two. So each local time means one instant, and a later one never an earlier instant.

Where zones change is the IANA database's say: the machine's own, else the package `tzdata`.
"""

import datetime
import re
import zoneinfo

from eventyard.core import limits
from eventyard.core.errors import InvalidSchedule

UTC = datetime.UTC
_SECOND = datetime.timedelta(seconds=1)
_DAY = datetime.timedelta(days=1)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*\Z")


def zone_named(name: str, *, at: str) -> datetime.tzinfo:
    """The zone of the IANA database that has this name, or `InvalidSchedule`."""
    wanted = "a time zone of the IANA database, as Europe/Berlin, America/New_York or UTC"
    if len(name) > limits.ZONE_LENGTH_MAX or not _NAME.match(name):
        raise InvalidSchedule(f'found "{name[:60]}"', wanted=wanted, at=at)
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidSchedule(f'found the zone "{name}", which is not known here', wanted=wanted, at=at) from error


def moment(unix_ms: int) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(milliseconds=unix_ms)


def unix_ms(instant: datetime.datetime) -> int:
    return (instant - _EPOCH) // datetime.timedelta(milliseconds=1)


def local(instant: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    """What a clock on the wall shows."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def first_instant(shown: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    """The instant that the local time `shown` means."""
    instant = shown.replace(tzinfo=zone).astimezone(UTC)
    if local(instant, zone) == shown:
        return instant
    before = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)  # In a gap it takes the offset that is yet to come.
    return _change_between(before, instant, zone)


def next_change(after: datetime.datetime, until: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime | None:
    """The first instant after `after` and not after `until` from which clocks are ahead of UTC by more or less than at `after`.

    They are looked at once a day: no place changes its clocks and changes them back within one.
    """
    ahead, low = offset(after, zone), after
    while low < until:
        high = min(low + _DAY, until)
        if offset(high, zone) != ahead:
            return _change_between(low, high, zone)
        low = high
    return None


def offset(instant: datetime.datetime, zone: datetime.tzinfo) -> datetime.timedelta:
    """How far clocks are ahead of UTC."""
    return instant.astimezone(zone).utcoffset() or datetime.timedelta()


def _change_between(low: datetime.datetime, high: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    """To the second: the first instant after `low` that has the offset of `high`. By halves."""
    ahead = offset(high, zone)
    while high - low > _SECOND:
        middle = low + datetime.timedelta(seconds=(high - low) // _SECOND // 2)
        low, high = (low, middle) if offset(middle, zone) == ahead else (middle, high)
    return high
