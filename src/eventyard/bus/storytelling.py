"""Stories: what came of an event."""

from eventyard import history, storytelling
from eventyard.bus.asking import Asking
from eventyard.core.bus_state import BusState
from eventyard.core.view import View
from eventyard.storytelling import Story


class StoryCalls(Asking):
    async def story(self, bus: str, position: int, *, is_whole: bool = True, after: int = 0, limit: int = 100) -> Story:
        """At most `limit` events, above the position `after`, of the story that the event is a part of; without `is_whole`, that begins with it.

        Raises `NotFound` and `Damaged` as `event` does.
        """

        def told(view: View, state: BusState) -> Story:
            if view.event(state.record.number, position) is None:
                raise history.absent(state, position, self._engine)
            root = storytelling.root_of(view, state.record.number, position) if is_whole else position
            return storytelling.tell(view, state, root, self._now(), after=after, limit=limit)

        return await self._read(told, bus)
