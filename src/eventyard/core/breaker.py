"""A circuit breaker: what keeps a bus from calling a target that does not answer, and from overrunning one that has just come back.

Theory of operation. Each rule that pushes has one. While it is CLOSED it counts what came of attempts in a sliding window; once enough of them failed
it OPENs and nothing goes out. After a time it is HALF_OPEN: a few attempts go out as probes, and what comes of them decides. When enough of
them went well it is RECOVERING, which is closed again, but lets through little at first and more and more (slow start), and so it
is CLOSED. Which place follows which is the table `TRANSITIONS`, and nothing else; docs/internals/breaker.md is drawn from it.

An attempt is judged by where the breaker stands now, so what was sent before it came there and failed says nothing (`Breaker.since_ms`). The
longer a target stays away the more rarely it is probed, up to a stated cap.

The idea is Nygard's ("Release It!", 2007); share, window, minimum and probes are named as in resilience4j.
"""

import enum
from collections.abc import Mapping
from typing import Annotated

import msgspec

from eventyard.core import limits


class BreakerPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Opens when of at least `min_requests` attempts within `window_s` the part `failure_share` failed. Then for `open_s` nothing goes out, each time
    in a row twice as long; then at most `probes` at once, until `successes` went well. After that what may be under way at once, and the rate,
    grow evenly over `slow_start_s` to what the rule allows.
    """

    failure_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    window_s: Annotated[float, msgspec.Meta(ge=1, le=limits.BREAKER_WINDOW_S_MAX)] = 30.0
    min_requests: Annotated[int, msgspec.Meta(ge=1, le=limits.BREAKER_REQUESTS_MAX)] = 20
    open_s: Annotated[float, msgspec.Meta(ge=0.1, le=limits.BREAKER_OPEN_S_MAX)] = 10.0
    probes: Annotated[int, msgspec.Meta(ge=1, le=limits.CONCURRENCY_MAX)] = 1
    successes: Annotated[int, msgspec.Meta(ge=1, le=limits.BREAKER_REQUESTS_MAX)] = 3
    slow_start_s: Annotated[float, msgspec.Meta(ge=0, le=limits.BREAKER_OPEN_S_MAX)] = 10.0


class Place(enum.StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    RECOVERING = "recovering"


class Cause(enum.StrEnum):
    """What moves a breaker, as the picture has it."""

    SHARE = "the share of failures is reached"
    RESTED = "its time is over"
    PROBE_FAILED = "a probe fails"
    PROBES_WELL = "enough probes go well"
    STARTED = "the slow start is over"
    RESUMED = "the rule is resumed"
    EDITED = "target or breaker are edited"


TRANSITIONS: Mapping[tuple[Place, Cause], Place] = {
    (Place.CLOSED, Cause.SHARE): Place.OPEN,
    (Place.OPEN, Cause.RESTED): Place.HALF_OPEN,
    (Place.OPEN, Cause.RESUMED): Place.HALF_OPEN,
    (Place.HALF_OPEN, Cause.PROBE_FAILED): Place.OPEN,
    (Place.HALF_OPEN, Cause.PROBES_WELL): Place.RECOVERING,
    (Place.RECOVERING, Cause.SHARE): Place.OPEN,
    (Place.RECOVERING, Cause.STARTED): Place.CLOSED,
    (Place.OPEN, Cause.EDITED): Place.CLOSED,
    (Place.HALF_OPEN, Cause.EDITED): Place.CLOSED,
    (Place.RECOVERING, Cause.EDITED): Place.CLOSED,
}
"""Where each cause leads from each place. A cause that has no line at a place changes nothing there."""

SLICES = 10
"""Parts of the window. One leaves it as a whole, so what is counted reaches back between nine and ten tenths of the window."""


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """What came of attempts in one part of time; `number` counts such parts since the bus began."""

    number: int
    well: int
    failed: int


class Breaker(msgspec.Struct, frozen=True):
    """Where it stands since `since_ms`; OPEN, until `until_ms` (work time). `openings`: in a row. `well`: probes that went well.

    `window`: by slice, the oldest first, while attempts are counted.
    """

    place: Place = Place.CLOSED
    since_ms: int = 0
    until_ms: int = 0
    openings: int = 0
    well: int = 0
    window: tuple[Slice, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the target is kept from being called, but for probes. This is what the log is told."""
        return self.place in {Place.OPEN, Place.HALF_OPEN}

    @property
    def counted(self) -> tuple[int, int]:
        """Attempts in the window, and how many of them failed."""
        failed = sum(part.failed for part in self.window)
        return sum(part.well for part in self.window) + failed, failed

    def is_idle(self, policy: BreakerPolicy, work_ms: int) -> bool:
        """Whether it is as if nothing had ever failed, so that it need not be kept."""
        return self.place is Place.CLOSED and not any(part.failed for part in _reaching(self.window, policy, work_ms))

    def at(self, policy: BreakerPolicy, work_ms: int) -> "Breaker":
        """Where it stands by now, if nothing came of any attempt since."""
        if self.place is Place.OPEN and work_ms >= self.until_ms:
            return self.moved(Cause.RESTED, self.until_ms)
        if self.place is Place.RECOVERING and work_ms >= self.since_ms + _ms(policy.slow_start_s):
            return self.moved(Cause.STARTED, self.since_ms + _ms(policy.slow_start_s))
        return self

    def learn(self, policy: BreakerPolicy, work_ms: int, well: int, failed: int) -> "Breaker":
        """So many attempts went well and so many failed, each begun since it stands where it does now."""
        now = self.at(policy, work_ms)
        if now.place is Place.OPEN:
            return now
        if now.place is Place.HALF_OPEN:
            return _probed(now, policy, work_ms, well, failed)
        window = _added(_reaching(now.window, policy, work_ms), Slice(_number(policy, work_ms), well, failed))
        counting = msgspec.structs.replace(now, window=window)
        attempts, failures = counting.counted
        if failed and attempts >= policy.min_requests and failures >= policy.failure_share * attempts:
            return _opened(now, Cause.SHARE, policy, work_ms, window)
        return counting

    def resumed(self, work_ms: int) -> "Breaker":
        """Whoever resumes the rule wants to know now whether the target is back."""
        return self.moved(Cause.RESUMED, work_ms) if (self.place, Cause.RESUMED) in TRANSITIONS else self

    def edited(self, work_ms: int) -> "Breaker":
        """What it has learnt was of another target."""
        return self.moved(Cause.EDITED, work_ms) if (self.place, Cause.EDITED) in TRANSITIONS else Breaker(since_ms=work_ms)

    def allowed(self, policy: BreakerPolicy, concurrency: int, work_ms: int) -> int:
        """How many attempts may be under way at once."""
        match self.at(policy, work_ms).place:
            case Place.OPEN:
                return 0
            case Place.HALF_OPEN:
                return min(policy.probes, concurrency)
            case Place.RECOVERING:
                return max(1, int(concurrency * self.part(policy, work_ms)))
            case Place.CLOSED:
                return concurrency

    def part(self, policy: BreakerPolicy, work_ms: int) -> float:
        """Which part of its concurrency and rate the rule may use: all of it, but for the slow start."""
        if self.place is not Place.RECOVERING or not policy.slow_start_s:
            return 1.0
        passed = (work_ms - self.since_ms) / (policy.slow_start_s * 1000)
        return min(1.0, max(limits.SLOW_START_PART_MIN, passed))

    def moved(self, cause: Cause, work_ms: int) -> "Breaker":
        """What was counted belongs to where it stood. How often it has opened is forgotten once it is closed."""
        place = TRANSITIONS[self.place, cause]
        return Breaker(place, work_ms, openings=0 if place is Place.CLOSED else self.openings)


def _probed(breaker: Breaker, policy: BreakerPolicy, work_ms: int, well: int, failed: int) -> Breaker:
    if failed:
        return _opened(breaker, Cause.PROBE_FAILED, policy, work_ms, (Slice(_number(policy, work_ms), well, failed),))
    if breaker.well + well >= policy.successes:
        return breaker.moved(Cause.PROBES_WELL, work_ms).at(policy, work_ms)
    return msgspec.structs.replace(breaker, well=breaker.well + well)


def _opened(breaker: Breaker, cause: Cause, policy: BreakerPolicy, work_ms: int, window: tuple[Slice, ...]) -> Breaker:
    """With what opened it, for whoever asks why."""
    until_ms = work_ms + open_ms(policy, breaker.openings)
    return Breaker(TRANSITIONS[breaker.place, cause], work_ms, until_ms, breaker.openings + 1, window=window)


def open_ms(policy: BreakerPolicy, openings: int) -> int:
    """How long it stays open that has opened so many times before in a row: twice as long each time, up to the cap."""
    longest_s = max(policy.open_s, limits.BREAKER_OPENS_S_MAX)
    return _ms(min(longest_s, policy.open_s * 2.0 ** min(openings, 60)))


def _reaching(window: tuple[Slice, ...], policy: BreakerPolicy, work_ms: int) -> tuple[Slice, ...]:
    """What of the window is still in it."""
    oldest = _number(policy, work_ms) - SLICES + 1
    return window if not window or window[0].number >= oldest else tuple(part for part in window if part.number >= oldest)


def _added(window: tuple[Slice, ...], part: Slice) -> tuple[Slice, ...]:
    if window and window[-1].number >= part.number:
        last = window[-1]
        return (*window[:-1], Slice(last.number, last.well + part.well, last.failed + part.failed))
    return (*window, part)


def _number(policy: BreakerPolicy, work_ms: int) -> int:
    return int(work_ms * SLICES // _ms(policy.window_s))


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def picture() -> str:
    """The table as a state diagram and in words, as docs/internals/breaker.md has it."""
    lines = [f"    {_node(start)} --> {_node(end)}: {cause.value}" for (start, cause), end in TRANSITIONS.items()]
    rows = [f"| {start.value} | {cause.value} | {end.value} |" for (start, cause), end in TRANSITIONS.items()]
    diagram = ["```mermaid", "stateDiagram-v2", "    [*] --> closed", *lines, "```"]
    return "\n".join([*diagram, "", "| stands | cause | then stands |", "| --- | --- | --- |", *rows])


def _node(place: Place) -> str:
    return place.value.replace("-", "_")
