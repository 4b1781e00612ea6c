"""Which instants a schedule has, by the audit's own reading: every minute of a zone is looked at, one after another."""

import datetime
import functools
import zoneinfo
from collections.abc import Iterator
from typing import Any

MINUTE_MS = 60_000

CRONS: dict[str, tuple[frozenset[int] | None, frozenset[int]]] = {
    "* * * * *": (None, frozenset(range(60))),
    "*/7 * * * *": (None, frozenset(range(0, 60, 7))),
    "15 */6 * * *": (frozenset(range(0, 24, 6)), frozenset({15})),
    "30 9,21 * * *": (frozenset({9, 21}), frozenset({30})),
}
"""The expressions that operators of the simulation write, and what they mean: hours (None: every one) and minutes. Clocks change in no story."""


def instants(document: Any, after_ms: int, until_ms: int) -> list[int]:
    """All after `after_ms`, up to `until_ms`."""
    first, last = after_ms + 1, until_ms
    if document["start"] is not None:
        first = max(first, _ms(document["start"]))
    if document["end"] is not None:
        last = min(last, _ms(document["end"]) - 1)
    if document["at"] is not None:
        return [at for at in [_ms(document["at"])] if first <= at <= last]
    if document["every_s"] is not None:
        every_ms = round(document["every_s"] * 1000)
        origin = 0 if document["start"] is None else _ms(document["start"])
        return list(range(origin + -((origin - first) // every_ms) * every_ms, last + 1, every_ms))
    return list(_of_cron(document["cron"], document["zone"], first, last))


def _of_cron(cron: str, zone: str, first: int, last: int) -> Iterator[int]:
    for minute in range(-(-first // MINUTE_MS), last // MINUTE_MS + 1):
        if _is_meant(cron, zone, minute):
            yield minute * MINUTE_MS


@functools.cache
def _is_meant(cron: str, zone: str, minute: int) -> bool:
    hours, minutes = CRONS[cron]
    local = datetime.datetime.fromtimestamp(minute * 60, zoneinfo.ZoneInfo(zone))
    return (hours is None or local.hour in hours) and local.minute in minutes


def _ms(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1000)
