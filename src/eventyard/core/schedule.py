"""A schedule: instants, and the event that is published at each of them.

Which instants those are is a function of the document alone (`Timetable`): what a cron expression, an interval or one time name, from `start`
to before `end`. When each is due is its own spread (`Timetable.due_ms`) after it, the same whenever it is asked. What has been published
already is the record's `done_ms`. So the id of an event follows from the schedule and its instant, and nothing else has to be remembered.
"""

import datetime
import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from eventyard.core import bus_events, clock, document, limits, zone
from eventyard.core.cron import Cron
from eventyard.core.errors import InvalidEvent, InvalidSchedule, Refused
from eventyard.core.event import RESERVED_TYPES, Event, make

_LATEST_MS = 32_503_680_000_000
"""The year 3000, in which nothing is asked of a calendar any more."""


class Emit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The event that is published: `data` is the same each time, and `instant` is added to it."""

    type: Annotated[str, msgspec.Meta(min_length=1)]
    subject: str = ""
    data: dict[str, msgspec.Raw] = {}


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller PUTs: exactly one of `cron`, `every_s` and `at`, and what is published then.

    Times without an offset are local times of `zone`. An interval counts from `start`, or else from 1970. `misfire`: what becomes of instants
    that passed while the bus was down.
    """

    emit: Emit
    cron: str | None = None
    every_s: Annotated[float, msgspec.Meta(ge=1, le=limits.SCHEDULE_INTERVAL_S_MAX)] | None = None
    at: str | None = None
    zone: str = "UTC"
    start: str | None = None
    end: str | None = None
    jitter_s: Annotated[float, msgspec.Meta(ge=0, le=limits.SCHEDULE_JITTER_S_MAX)] = 0.0
    misfire: Literal["skip", "once", "all"] = "once"
    description: Annotated[str, msgspec.Meta(max_length=limits.DESCRIPTION_LENGTH_MAX)] = ""
    owner: Annotated[str, msgspec.Meta(max_length=limits.NAME_LENGTH_MAX)] = ""

    @property
    def times(self) -> tuple[Any, ...]:
        """All that says when."""
        return (self.cron, self.every_s, self.at, self.zone, self.start, self.end, self.jitter_s)


class Missed(msgspec.Struct, frozen=True):
    """Instants in a row that the bus came to too late: `count` of them (`is_more`: and others, uncounted), `published` of which were."""

    first_ms: int
    last_ms: int
    count: int = 0
    published: int = 0
    is_more: bool = False


class ScheduleRecord(msgspec.Struct, frozen=True):
    """A schedule as the bus keeps it. `uid` is the position of the edit event that created it, `version` of the last edit.

    Every instant up to `done_ms` is done with. `published` and `skipped` count since it was created.
    """

    uid: int
    name: str
    version: int
    schedule: Schedule
    created_ms: int
    changed_ms: int
    done_ms: int
    is_paused: bool = False
    last_ms: int | None = None
    """The instant of the last event published."""
    published: int = 0
    skipped: int = 0
    missed: Missed | None = None
    """Those that the bus is just catching up on."""
    is_deleted: bool = False


class Timetable:
    """The instants of a schedule, in Unix milliseconds. Raises `InvalidSchedule`."""

    def __init__(self, schedule: Schedule) -> None:
        _check_one_kind(schedule)
        self._zone = zone.zone_named(schedule.zone, at="/zone")
        self._cron = None if schedule.cron is None else Cron(schedule.cron, at="/cron")
        self._every_ms = None if schedule.every_s is None else round(schedule.every_s * 1000)
        self._at_ms = None if schedule.at is None else self._time_ms(schedule.at, at="/at")
        self._start_ms = 0 if schedule.start is None else self._time_ms(schedule.start, at="/start")
        self._end_ms = _LATEST_MS if schedule.end is None else self._time_ms(schedule.end, at="/end")
        self._jitter_ms = round(schedule.jitter_s * 1000)
        _check_span(schedule, self._start_ms, self._end_ms)

    @property
    def jitter_ms(self) -> int:
        return self._jitter_ms

    def next_ms(self, after_ms: int) -> int | None:
        """The first instant after `after_ms`; None where there is none."""
        after_ms = max(after_ms, self._start_ms - 1)
        found = self._next_ms(after_ms) if after_ms < self._end_ms else None
        return found if found is not None and found < self._end_ms else None

    def _next_ms(self, after_ms: int) -> int | None:
        if self._every_ms is not None:
            return self._start_ms + ((after_ms - self._start_ms) // self._every_ms + 1) * self._every_ms
        if self._at_ms is not None:
            return self._at_ms if self._at_ms > after_ms else None
        assert self._cron is not None  # noqa: S101 - one of the three is there
        instant = self._cron.next_instant(zone.moment(after_ms), self._zone)
        return None if instant is None else zone.unix_ms(instant)

    def instants(self, after_ms: int) -> Iterator[int]:
        """All instants after `after_ms`."""
        found = self.next_ms(after_ms)
        while found is not None:
            yield found
            found = self.next_ms(found)

    def last_ms(self, after_ms: int, until_ms: int) -> int | None:
        """The last instant after `after_ms` and not after `until_ms`, looked for in a stretch twice as long each time."""
        back_ms, low = 1_000, until_ms
        while low > after_ms:
            low = max(after_ms, until_ms - back_ms)
            found = None
            for instant in self.instants(low):
                if instant > until_ms:
                    break
                found = instant
            if found is not None:
                return found
            back_ms *= 2
        return None

    def due_ms(self, instant_ms: int, seed: str) -> int:
        """When the bus comes to it: spread over the window behind it, the same each time for one schedule (`seed`) and instant."""
        if not self._jitter_ms:
            return instant_ms
        drawn = hashlib.blake2b(f"{seed} {instant_ms}".encode(), digest_size=8, person=b"jitter").digest()
        return instant_ms + int.from_bytes(drawn) % self._jitter_ms

    def _time_ms(self, text: str, *, at: str) -> int:
        wanted = "an RFC 3339 time, as 2026-01-31T08:00:00Z, or one without an offset, which is a local time of the zone"
        try:
            time = datetime.datetime.fromisoformat(text)
            instant = zone.first_instant(time, self._zone) if time.tzinfo is None else time.astimezone(zone.UTC)
            unix_ms = zone.unix_ms(instant)
        except (ValueError, OverflowError):
            raise InvalidSchedule(f'found "{text[:60]}"', wanted=wanted, at=at) from None
        if not 0 <= unix_ms < _LATEST_MS or len(text) == len("2026-01-31"):
            raise InvalidSchedule(f'found "{text[:60]}"', wanted=f"{wanted}, from 1970 to 2999", at=at)
        return unix_ms


def _check_one_kind(schedule: Schedule) -> None:
    given = [name for name in ("cron", "every_s", "at") if getattr(schedule, name) is not None]
    if len(given) != 1:
        found = f"found {' and '.join(given)}" if given else "found no times"
        raise InvalidSchedule(found, wanted='one of "cron", "every_s" and "at"', at="/" + (given[1] if given else "cron"))


def _check_span(schedule: Schedule, start_ms: int, end_ms: int) -> None:
    if start_ms >= end_ms:
        raise InvalidSchedule(
            f'found that it ends at "{schedule.end}"', wanted=f'a time after its start, "{schedule.start}"', at="/end"
        )
    if schedule.every_s is not None and schedule.jitter_s > schedule.every_s:
        wanted = f"no more than the {schedule.every_s:g} s from one instant to the next"
        raise InvalidSchedule(f"found a jitter of {schedule.jitter_s:g} s", wanted=wanted, at="/jitter_s")


def parse(body: bytes) -> tuple[Schedule, Timetable]:
    """A caller's document and its instants, or `InvalidSchedule`."""
    if len(body) > limits.SCHEDULE_BYTES_MAX:
        raise InvalidSchedule(f"found {len(body)} bytes", wanted=f"at most {limits.SCHEDULE_BYTES_MAX}")
    schedule = document.read(body, Schedule, InvalidSchedule)
    emit = schedule.emit
    if "instant" in emit.data:
        wanted = "another name: the schedule puts its instant there"
        raise InvalidSchedule('found the member "instant"', wanted=wanted, at="/emit/data/instant")
    if emit.type.startswith(RESERVED_TYPES):
        wanted = f"a type that does not begin with {RESERVED_TYPES}"
        raise InvalidSchedule(f'found "{emit.type[:60]}"', wanted=wanted, at="/emit/type")
    try:
        _event(emit, "x", "x", 0)
    except (InvalidEvent, Refused) as error:
        raise InvalidSchedule(f"found {error.found}", wanted=error.wanted, at=f"/emit{error.at}") from error
    kept = Emit(emit.type, emit.subject, {name: value.copy() for name, value in emit.data.items()})
    return msgspec.structs.replace(schedule, emit=kept), Timetable(schedule)


def seed(record: ScheduleRecord, incarnation: str) -> str:
    """What its spread is drawn by."""
    return f"{incarnation}-{record.uid}"


def event_at(record: ScheduleRecord, instant_ms: int, *, bus: str, incarnation: str) -> Event:
    """What is published at an instant: equal arguments make equal bytes."""
    source = f"{bus_events.source(bus)}/schedules/{record.name}"
    return _event(record.schedule.emit, source, f"{seed(record, incarnation)}-{instant_ms}", instant_ms)


def _event(emit: Emit, source: str, id_: str, instant_ms: int) -> Event:
    instant = clock.rfc3339(instant_ms)
    attributes = {"id": id_, "source": source, "type": emit.type, "time": instant}
    if emit.subject:
        attributes["subject"] = emit.subject
    return make(attributes, {**emit.data, "instant": instant})
