"""Telling a story, as a reading: what came of one event, and of that, with what became of every delivery on the way.

Theory of operation. An event that came of another stands behind it in the log, and the store knows which came of which from either side. So
a story is a tree whose root is found by going from cause to cause, and which is told in the order of the log: of all branches the next
event is always the one with the least position (a merge, by a heap of the next of each). Where a page ended is then one position, and the
next page goes the same way once more, reading no event before it.

Nothing can go round: a cause stands before what came of it, and one that does not is not followed.
"""

import heapq
from collections.abc import Iterator

import msgspec

from eventyard.core import limits
from eventyard.core.bus_state import BusState
from eventyard.core.cause import Cited
from eventyard.core.changes import StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery
from eventyard.core.explain import deliveries
from eventyard.core.explain.facts import DeliveryTold, Facts
from eventyard.core.view import View


class RuleTold(msgspec.Struct, frozen=True):
    """One delivery of an event in a story, and the rule that it was for: its name (empty where that is not kept)."""

    name: str
    uid: int
    delivery: DeliveryTold


class Chapter(msgspec.Struct, frozen=True):
    """One event of a story. `cause` is the position of what it came of, `depth` how far that goes back to where the story begins.

    `event` is None where it cannot be read any more. `has_more`: not all of its deliveries are told.
    """

    position: int
    cause: int | None
    depth: int
    event: StoredEvent | None
    rules: tuple[RuleTold, ...]
    has_more: bool


class Story(msgspec.Struct, frozen=True):
    """What came of the event at `root`, in the order of the log. `next_after` is the position to continue after (None: that was all).

    `before`: what the root says it came of, where the log does not have that. `is_cut`: there is more than a story may tell.
    """

    root: int
    before: Cited | None
    chapters: list[Chapter]
    next_after: int | None
    is_cut: bool


class _Step(msgspec.Struct, frozen=True, order=True):
    """The next event of one branch."""

    position: int
    cause: int
    depth: int


def root_of(view: View, bus: int, position: int) -> int:
    """The event with which everything began that the one at `position` is a part of, as far back as the log goes."""
    for _ in range(limits.STORY_EVENTS_MAX):
        cause = view.cause_of(bus, position)
        if cause is None or cause >= position or view.event(bus, cause) is None:
            break
        position = cause
    return position


def tell(view: View, state: BusState, root: int, time: BusTime, *, after: int = 0, limit: int = 100) -> Story:
    """At most `limit` events of the story that begins at `root`, above the position `after`."""
    bus = state.record.number
    steps: list[_Step] = []
    is_cut = False
    for number, step in enumerate(_steps(view, bus, root)):
        if number == limits.STORY_EVENTS_MAX:
            is_cut = True
            break
        if step.position > after:
            steps.append(step)
        if len(steps) > limit:
            break
    shown = steps[:limit]
    events = view.events_at(bus, [step.position for step in shown])
    teller = _Teller(view, state, time)
    chapters = [teller.chapter(step, events.get(step.position)) for step in shown]
    return Story(root, _before(view, bus, root), chapters, shown[-1].position if len(steps) > limit else None, is_cut)


def _steps(view: View, bus: int, root: int) -> Iterator[_Step]:
    """The whole tree by position."""
    waiting = [_Step(root, 0, 0)]
    while waiting:
        step = heapq.heappop(waiting)
        yield step
        for cause, after, depth in ((step.cause, step.position, step.depth), (step.position, step.position, step.depth + 1)):
            if cause and (following := view.derived(bus, cause, after, 1)):
                heapq.heappush(waiting, _Step(following[0], cause, depth))


def _before(view: View, bus: int, root: int) -> Cited | None:
    event = view.event(bus, root)
    if event is None:
        return None
    named = msgspec.json.decode(event.json, type=_Named)
    is_named = named.causationid is not None and named.causationsource is not None
    return Cited(str(named.causationsource), str(named.causationid)) if is_named else None


class _Named(msgspec.Struct):
    causationid: str | int | bool | None = None
    causationsource: str | int | bool | None = None


class _Teller:
    """Puts the deliveries of events in words, as `explain` does."""

    def __init__(self, view: View, state: BusState, time: BusTime) -> None:
        self._view = view
        self._state = state
        self._time = time
        self._names: dict[int, str] = {}

    def chapter(self, step: _Step, event: StoredEvent | None) -> Chapter:
        rows = self._view.deliveries_of(self._state.record.number, step.position, 0, limits.STORY_DELIVERIES_MAX + 1)
        told = tuple(self._told(row) for row in rows[: limits.STORY_DELIVERIES_MAX])
        return Chapter(step.position, step.cause or None, step.depth, event, told, len(rows) > limits.STORY_DELIVERIES_MAX)

    def _told(self, row: Delivery) -> RuleTold:
        facts = Facts(
            uid=row.rule,
            position=row.position,
            document=None,
            time=self._time,
            incarnation=self._state.record.incarnation,
            record=self._state.by_uid.get(row.rule),
            versions=(),
            looks=(),
            patterns={},
            deliveries=(row,),
        )
        backfill = self._state.backfills.get((row.rule, row.run))
        is_replayed = backfill is not None and backfill.is_replay
        return RuleTold(self._name(row.rule), row.rule, deliveries.told(facts, row, is_replayed=is_replayed))

    def _name(self, uid: int) -> str:
        """A deleted rule's is that of its edits, while they are kept."""
        record = self._state.by_uid.get(uid)
        if record is not None:
            return record.name
        if uid not in self._names:
            found = self._view.versions(self._state.record.number, uid - 1, 1)
            self._names[uid] = found[0].name if found and found[0].uid == uid else ""
        return self._names[uid]
