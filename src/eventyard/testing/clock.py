"""A clock that stands until it is moved, and what people say of times, as it counts."""

import datetime

from eventyard.core.clock import EPOCH


class ManualClock:
    """`ports.Clock`. `wall_ms` is Unix time; `elapsed_ms` only ever goes forward."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.wall_ms = now_ms
        self.elapsed_ms = 0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_ms(self) -> int:
        return self.elapsed_ms

    def advance(self, by_ms: int) -> None:
        self.wall_ms += by_ms
        self.elapsed_ms += by_ms


def moment(unix_ms: int) -> datetime.datetime:
    """In UTC."""
    return EPOCH + datetime.timedelta(milliseconds=unix_ms)


def unix_ms(said: datetime.datetime | str) -> int:
    """Of a time with a zone, or of one as RFC 3339 spells it. ValueError for any other."""
    time = datetime.datetime.fromisoformat(said) if isinstance(said, str) else said
    if time.tzinfo is None:
        raise ValueError(f"found the time {said} without a zone; wanted one like 2026-01-01T00:00:00Z")
    return (time - EPOCH) // datetime.timedelta(milliseconds=1)
