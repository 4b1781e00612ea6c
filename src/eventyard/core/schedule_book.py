"""The schedules of a bus: as they are committed (`ScheduleBook`, a part of `BusState`), and over that what one step has changed (`ScheduleDraft`).

When each is due follows from its record and is kept nowhere else, so a book is as good after a restart as before.
"""

import bisect
from collections.abc import Iterable

from eventyard.core.errors import InvalidSchedule
from eventyard.core.schedule import ScheduleRecord, Timetable, seed


class Next:
    """The next instant of a schedule and when it is due, by one version of its record."""

    def __init__(self, record: ScheduleRecord, incarnation: str, timetable: Timetable | None) -> None:
        self.timetable = timetable
        self.instant_ms: int | None = None
        self.due_ms: int | None = None
        if timetable is None or record.is_paused:
            return
        self.instant_ms = timetable.next_ms(record.done_ms)
        if record.missed is not None:
            self.due_ms = 0  # Somebody has to see that the row of missed instants has ended.
        elif self.instant_ms is not None:
            self.due_ms = timetable.due_ms(self.instant_ms, seed(record, incarnation))


class ScheduleBook:
    """Only `apply` changes it, with records that are committed. Other threads look single things up in it."""

    def __init__(self, records: Iterable[ScheduleRecord], incarnation: str) -> None:
        self._incarnation = incarnation
        self.by_uid: dict[int, ScheduleRecord] = {}
        self.by_name: dict[str, ScheduleRecord] = {}
        self.names: list[str] = []
        """Those of `by_name`, sorted."""
        self._next: dict[int, Next] = {}
        self._timetables: dict[int, tuple[int, Timetable | None]] = {}
        self.apply(records)

    def apply(self, records: Iterable[ScheduleRecord]) -> None:
        for record in records:
            self._place(record)

    def _place(self, record: ScheduleRecord) -> None:
        uid, name, was_there = record.uid, record.name, record.name in self.by_name
        if record.is_deleted:
            for kept in (self.by_uid, self._next, self._timetables):
                kept.pop(uid, None)
            if was_there and self.by_name[name].uid == uid:
                del self.by_name[name]
                del self.names[bisect.bisect_left(self.names, name)]
            return
        self.by_uid[uid] = self.by_name[name] = record
        if not was_there:
            bisect.insort(self.names, name)
        version, timetable = self._timetables.get(uid, (0, None))
        if version != record.version:
            timetable = readable(record)
            self._timetables[uid] = (record.version, timetable)
        self._next[uid] = Next(record, self._incarnation, timetable)

    def next_of(self, uid: int) -> Next | None:
        return self._next.get(uid)

    @property
    def due_ms(self) -> int | None:
        """When one is due next. From any thread."""
        return min((at.due_ms for at in self._next.copy().values() if at.due_ms is not None), default=None)

    def overdue_ms(self, time_ms: int) -> int:
        """How late the one is that was due first. From any thread."""
        times = (at.due_ms or at.instant_ms for at in self._next.copy().values())
        return max((time_ms - at_ms for at_ms in times if at_ms is not None and at_ms <= time_ms), default=0)

    def due(self, time_ms: int) -> list[int]:
        """Those whose next instant has come, the longest due first. From any thread."""
        following = self._next.copy().items()
        return [
            uid
            for _, uid in sorted((at.due_ms, uid) for uid, at in following if at.due_ms is not None and at.due_ms <= time_ms)
        ]


class ScheduleDraft:
    def __init__(self, book: ScheduleBook) -> None:
        self._book = book
        self._records: dict[int, ScheduleRecord] = {}
        self._names: dict[str, ScheduleRecord | None] = {}

    @property
    def changed(self) -> list[ScheduleRecord]:
        return list(self._records.values())

    @property
    def count(self) -> int:
        edited = sum((record is not None) - (name in self._book.by_name) for name, record in self._names.items())
        return len(self._book.by_name) + edited

    def record(self, uid: int) -> ScheduleRecord | None:
        found = self._records.get(uid) or self._book.by_uid.get(uid)
        return None if found is None or found.is_deleted else found

    def named(self, name: str) -> ScheduleRecord | None:
        return self._names[name] if name in self._names else self._book.by_name.get(name)

    def timetable(self, record: ScheduleRecord) -> Timetable | None:
        following = None if record.uid in self._records else self._book.next_of(record.uid)
        return readable(record) if following is None else following.timetable

    def set(self, record: ScheduleRecord) -> None:
        self._records[record.uid] = record
        self._names[record.name] = None if record.is_deleted else record


def readable(record: ScheduleRecord) -> Timetable | None:
    """None where it cannot be read any more, as when its zone has left the database: such a schedule has no instants, and nobody else any harm."""
    try:
        return Timetable(record.schedule)
    except InvalidSchedule:
        return None
