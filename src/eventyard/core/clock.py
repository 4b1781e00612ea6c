"""Bus time: what time it is for a bus, as a value.

Two readings, because two different things are asked. `time_ms` (Unix milliseconds) is what people read: when an event was
accepted. It never runs backwards. `work_ms` counts only while the bus works: it drives leases, retries and the age of a
delivery, so a night of downtime expires nothing. Both advance with the machine's monotonic clock; the wall clock may push
`time_ms` ahead, but a jump past `CLOCK_JUMP_MS_MAX` is not believed while the bus runs (a wrong clock must not end a
dedup window); the bus then goes on at its own pace and says so.
"""

import datetime

import msgspec

from eventyard.core.limits import CLOCK_JUMP_MS_MAX

DAY_MS = 24 * 60 * 60 * 1000


class BusTime(msgspec.Struct, frozen=True):
    """`time_ms`: Unix milliseconds, never backwards. `work_ms`: milliseconds of work since the bus was created."""

    time_ms: int
    work_ms: int
    is_suspended: bool = False

    def bus_ms(self, work_ms: int) -> int:
        """The bus time at which it will be `work_ms`, if the bus goes on working."""
        return self.time_ms + max(0, work_ms - self.work_ms)


def start(last: BusTime, wall_ms: int) -> BusTime:
    """The time at which a process takes the bus up again: downtime passes in `time_ms` only."""
    return BusTime(max(last.time_ms, wall_ms), last.work_ms)


def advance(last: BusTime, wall_ms: int, elapsed_ms: int) -> BusTime:
    """The time `elapsed_ms` (monotonic, at least 0) after `last`, with the wall clock showing `wall_ms`."""
    own_ms = last.time_ms + elapsed_ms
    work_ms = last.work_ms + elapsed_ms
    if wall_ms > own_ms + CLOCK_JUMP_MS_MAX:
        return BusTime(own_ms, work_ms, is_suspended=True)
    if wall_ms < own_ms:
        # The wall clock went back, or lags: stand still rather than run ahead of it.
        return BusTime(max(wall_ms, last.time_ms), work_ms)
    return BusTime(wall_ms, work_ms)


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def rfc3339(unix_ms: int) -> str:
    """In UTC. Milliseconds are added as an integer, since a float of seconds loses the last of them."""
    moment = EPOCH + datetime.timedelta(milliseconds=unix_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
