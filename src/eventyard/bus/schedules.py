"""Schedules: put, edited, paused, deleted."""

import bisect

from eventyard.bus.asking import Asking
from eventyard.core import rule, schedule
from eventyard.core.commands import DeleteSchedule, PauseSchedule, PutSchedule, SchedulePut
from eventyard.core.errors import NotFound
from eventyard.core.schedule import ScheduleRecord


class ScheduleCalls(Asking):
    def schedules(self, bus: str, *, after: str = "", limit: int) -> list[ScheduleRecord]:
        """By name, those whose names come after `after`, `limit` at the most."""
        book = self._state(bus).schedules
        names = book.names.copy()
        following = names[bisect.bisect_right(names, after) :]
        return [record for name in following[:limit] if (record := book.by_name.get(name)) is not None]

    def schedule(self, bus: str, name: str) -> ScheduleRecord:
        record = self._state(bus).schedules.by_name.get(name)
        if record is None:
            raise NotFound(f'found no schedule "{name[:60]}" on bus "{bus}"', wanted="a schedule that exists")
        return record

    def next_instants(self, bus: str, record: ScheduleRecord, count: int) -> list[int]:
        """The next instants of a schedule, Unix milliseconds, `count` at the most; none while it is paused."""
        following = self._state(bus).schedules.next_of(record.uid)
        found = [] if following is None or following.instant_ms is None else [following.instant_ms]
        while following is not None and following.timetable is not None and found and len(found) < count:
            later_ms = following.timetable.next_ms(found[-1])
            if later_ms is None:
                break
            found.append(later_ms)
        return found

    async def put_schedule(
        self, bus: str, name: str, document: bytes, *, principal: str = "", version: int | None = None
    ) -> SchedulePut:
        """Create or change a schedule from its JSON document. `version`: only the one that has it, 0 for none that is there."""
        rule.check_name(name, what="schedule")
        parsed, _ = schedule.parse(document)
        answer: SchedulePut = await self._command(bus, PutSchedule(name, parsed, principal, version))
        return answer

    async def delete_schedule(self, bus: str, name: str, *, principal: str = "", version: int | None = None) -> ScheduleRecord:
        record: ScheduleRecord = await self._command(bus, DeleteSchedule(name, principal, version))
        return record

    async def pause_schedule(self, bus: str, name: str, *, is_paused: bool, principal: str = "") -> ScheduleRecord:
        record: ScheduleRecord = await self._command(bus, PauseSchedule(name, is_paused, principal))
        return record
