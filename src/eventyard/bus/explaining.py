"""Explaining: why an event reached a rule, or did not."""

import msgspec

from eventyard import explaining, history
from eventyard.bus.asking import Asking
from eventyard.core.bus_state import BusState
from eventyard.core.changes import StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.errors import NotFound
from eventyard.core.explain.facts import Explanation
from eventyard.core.view import View
from eventyard.explaining import ExplainedPage


class Explained(msgspec.Struct, frozen=True):
    """An event and a page of rules, by uid. `next_after` is the uid to continue after (None: that was all)."""

    event: StoredEvent
    rules: list[Explanation]
    next_after: int | None


class Part(msgspec.Struct, frozen=True):
    """Which rules: all that have or had `name`, or, where it is empty, at most `limit` above the uid `after`."""

    name: str
    after: int
    limit: int


class ExplainCalls(Asking):
    async def explain(self, bus: str, position: int, *, name: str = "", after: int = 0, limit: int = 100) -> Explained:
        """What each rule had to do with the event: those above the uid `after`, or all that have or had `name`.

        Raises `NotFound` and `Damaged` as `event` does, and `NotFound` for a name of which nothing is known.
        """
        return await self._read(lambda view, state: self._explained(view, state, position, Part(name, after, limit)), bus)

    def _explained(self, view: View, state: BusState, position: int, part: "Part") -> Explained:
        time = self._now()
        event = view.event(state.record.number, position)
        if event is None:
            raise history.absent(state, position, self._engine)
        page = _page(view, state, event, time, part)
        if part.name and not page.rules:
            raise NotFound(
                f'found no rule "{part.name[:60]}" on bus "{state.record.name}"',
                wanted="a rule that is there, or was when an event that is still kept was published",
            )
        return Explained(event, page.rules, page.next_after)


def _page(view: View, state: BusState, event: StoredEvent, time: BusTime, part: Part) -> ExplainedPage:
    if part.name:
        return explaining.of_rule(view, state, event, time, part.name)
    return explaining.page(view, state, event, time, after=part.after, limit=part.limit)
