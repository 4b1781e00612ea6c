"""What two looks at the rules of some buses tell together: rates. Pure."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from eventyard.client import RuleStatus


class Look(msgspec.Struct, frozen=True):
    """What was there at one moment: `at_s` on a clock that only runs forward, and the rules and last positions by bus."""

    at_s: float
    heads: Mapping[str, int]
    statuses: Mapping[tuple[str, str], "RuleStatus"]


class RuleLine(msgspec.Struct, frozen=True):
    """A rule. Rates are per second, None where it was not there before; `lag_s` is how fast its lag grows."""

    bus: str
    rule: str
    state: str
    delivered_s: float | None
    lag: int
    lag_s: float | None
    oldest_age_s: float | None
    retrying: int
    dead: int
    dead_s: float | None


class BusLine(msgspec.Struct, frozen=True):
    bus: str
    head: int
    events_s: float | None
    rules: int
    lag: int


def rule_lines(before: Look, now: Look) -> list[RuleLine]:
    """By bus and name."""
    return [_line(key, before, now) for key in sorted(now.statuses)]


def _line(key: tuple[str, str], before: Look, now: Look) -> RuleLine:
    status, old = now.statuses[key], before.statuses.get(key)
    # Counts only grow; smaller ones are those of another rule by the name.
    if old is not None and (old.delivered > status.delivered or old.discarded > status.discarded):
        old = None
    took_s = now.at_s - before.at_s

    def rate(new: int, was: int | None) -> float | None:
        return None if was is None or took_s <= 0 else (new - was) / took_s

    return RuleLine(
        bus=key[0],
        rule=key[1],
        state=state_of(status),
        delivered_s=rate(status.delivered, None if old is None else old.delivered),
        lag=status.lag,
        lag_s=rate(status.lag, None if old is None else old.lag),
        oldest_age_s=status.oldest_age_s,
        retrying=status.retrying,
        dead=status.dead,
        dead_s=rate(status.dead, None if old is None else old.dead),
    )


def state_of(status: "RuleStatus") -> str:
    """In one word what a person would want to know first."""
    if status.paused:
        return "paused"
    if (breaker := status.protection.breaker) is not None and breaker != "closed":
        return breaker
    return "failing" if status.failing else status.status


def bus_lines(before: Look, now: Look) -> Iterator[BusLine]:
    took_s = now.at_s - before.at_s
    for bus, head in sorted(now.heads.items()):
        was = before.heads.get(bus)
        rate = (head - was) / took_s if was is not None and head >= was and took_s > 0 else None
        lags = [status.lag for (of, _), status in now.statuses.items() if of == bus]
        yield BusLine(bus, head, rate, len(lags), sum(lags))
