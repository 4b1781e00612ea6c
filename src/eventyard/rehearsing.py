"""A rehearsal under way: the log over again for an emitter that is tried, stretch by stretch.

Unlike a backtest of patterns it is more than the sum of its looks: what is known of keys goes from each to the next. So it is kept
between them, bounded by keys and not by events, and each look tells all that was found so far. Like it, it asks nothing of the writer.
"""

import heapq
from collections.abc import Callable

import msgspec

from eventyard.backtesting import Gap, Query, Stretch
from eventyard.core import limits
from eventyard.core.bus_state import BusState
from eventyard.core.changes import StoredEvent
from eventyard.core.playback import Figures, Playback
from eventyard.core.rehearsal import Told
from eventyard.core.view import View


class Seen(msgspec.Struct):
    """What was read so far of positions `first` to `last`, up to and with `next_after` (None: all). `by_day`: events, by days since 1970 (UTC)."""

    first: int = 0
    last: int = 0
    next_after: int | None = None
    events: int = 0
    begins_ms: int | None = None
    ends_ms: int | None = None
    by_day: dict[int, int] = {}
    gaps: list[Gap] = []


class Found(msgspec.Struct, frozen=True):
    """What was found so far. `counts`: what was counted of the emitter, `in_force` of the one beside it (None: there is none).

    `types`: how many of each type were told, `all` how these differ, `moved` how many are told by both at another time. `keys`: those of which most
    differs or was told, of `keys_told`. Samples of what is `told`, `added`, `removed`.
    """

    is_done: bool
    seen: Seen
    counts: dict[str, int]
    in_force: dict[str, int] | None
    types: dict[str, int]
    all: Figures
    moved: int
    by_day: dict[int, Figures]
    keys: list[tuple[str, Figures]]
    keys_told: int
    told: list[Told]
    added: list[Told]
    removed: list[Told]


class Rehearsing:
    def __init__(self, playback: Playback, query: Query, ends_ms: int) -> None:
        """`ends_ms` (bus time): up to when time passes after the last event, so that holds end."""
        self.playback = playback
        self.seen = Seen()
        self.is_done = False
        self._query = query
        self._ends_ms = ends_ms
        self._is_read = False

    def look(self, view: View, state: BusState, clock_ms: Callable[[], int]) -> None:
        """Go on until the range ends or one request has looked at enough."""
        ends_at = clock_ms() + limits.BACKTEST_MS_MAX

        def is_over() -> bool:
            return clock_ms() >= ends_at

        if not self._is_read:
            self._read(Stretch(view, state, self._query), is_over)
        if self._is_read and not self.is_done and self.playback.pass_to(self._ends_ms, is_over):
            self.playback.end()
            self.is_done = True

    def found(self, samples: int) -> Found:
        """As it is now: nothing of it changes with the next look."""
        playback = self.playback
        return Found(
            is_done=self.is_done,
            seen=msgspec.structs.replace(self.seen, by_day=self.seen.by_day.copy()),
            counts=playback.tried.counts.copy(),
            in_force=None if playback.in_force is None else playback.in_force.counts.copy(),
            types=dict(playback.types),
            all=_copy(playback.all),
            moved=playback.moved,
            by_day={day: _copy(figures) for day, figures in playback.by_day.items()},
            keys=[(key, _copy(figures)) for key, figures in self._keys_of_most()],
            keys_told=len(playback.by_key),
            told=playback.told.some(samples),
            added=playback.added.some(samples),
            removed=playback.removed.some(samples),
        )

    def forget(self) -> None:
        """What is known of keys, once it is done and told."""
        for rehearsal in (self.playback.tried, self.playback.in_force):
            if rehearsal is not None:
                rehearsal.emitters.clear()

    def _keys_of_most(self) -> list[tuple[str, Figures]]:
        return heapq.nlargest(limits.REHEARSED_KEYS_TOLD_MAX, self.playback.by_key.items(), key=_weight)

    def _read(self, stretch: Stretch, is_over: Callable[[], bool]) -> None:
        for events in stretch:
            heard = self._hear(events, is_over)
            if heard:
                stretch.take(events[:heard])
            if heard < len(events) or stretch.is_enough or is_over():
                break
        else:
            stretch.end()
        self._add(stretch)

    def _hear(self, events: list[StoredEvent], is_over: Callable[[], bool]) -> int:
        """How many were heard when it was over: perhaps none, where much fell due before."""
        playback = self.playback
        for count, event in enumerate(events):
            if not playback.pass_to(event.accepted_ms, is_over):
                return count
            playback.hear(event)
            if is_over():
                return count + 1
        return len(events)

    def _add(self, stretch: Stretch) -> None:
        seen = self.seen
        seen.first = seen.first or stretch.first
        seen.last, seen.next_after = stretch.last, stretch.next_after
        seen.events += stretch.events
        seen.begins_ms = stretch.begins_ms if seen.begins_ms is None else seen.begins_ms
        seen.ends_ms = seen.ends_ms if stretch.ends_ms is None else stretch.ends_ms
        for day in stretch.days:
            seen.by_day[day.number] = seen.by_day.get(day.number, 0) + day.events
        seen.gaps = _joined(seen.gaps, stretch.gaps)[: limits.BACKTEST_GAPS_MAX]
        self._is_read = seen.next_after is None
        self._query = msgspec.structs.replace(self._query, after=seen.next_after or 0, last=seen.last)


def _copy(figures: Figures) -> Figures:
    return msgspec.structs.replace(figures)


def _weight(of_key: tuple[str, Figures]) -> tuple[int, int]:
    figures = of_key[1]
    return figures.added + figures.removed, figures.told


def _joined(before: list[Gap], after: list[Gap]) -> list[Gap]:
    """Where one stretch ends in a gap and the next begins with it, that is one."""
    if before and after and before[-1].reason == after[0].reason and before[-1].last + 1 == after[0].first:
        return [*before[:-1], Gap(before[-1].first, after[0].last, after[0].reason), *after[1:]]
    return [*before, *after]
