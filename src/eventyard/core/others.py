"""Which events are others', and which the bus published of itself: what becomes of a delivery of its own is told to nobody, or it would loop."""

from collections.abc import Sequence

import msgspec

from eventyard.core import bus_events, limits
from eventyard.core.draft import Draft
from eventyard.core.event import RESERVED_TYPES


class Names(msgspec.Struct):
    source: str = ""
    id: str = ""
    type: str = ""


_names = msgspec.json.Decoder(Names).decode


def of_others(draft: Draft, positions: Sequence[int]) -> dict[int, Names]:
    """Of the events at these positions those that the bus did not publish of itself. One that cannot be read has no names."""
    bodies = draft.bodies_at(positions) if positions else {}
    named = {position: _names(body) for position, body in bodies.items()}
    others = {position: event for position, event in named.items() if not event.type.startswith(RESERVED_TYPES)}
    unread = [position for position in positions if position not in named]
    return others | {position: Names() for position in unread if not _is_known_own(draft, position)}


def is_any_of_others(draft: Draft, positions: Sequence[int]) -> bool:
    """Whether there is one among them. Few are read at once: nearly always the first is one."""
    parts = range(0, len(positions), limits.SCAN_EVENTS_AT_ONCE)
    return any(of_others(draft, positions[start : start + limits.SCAN_EVENTS_AT_ONCE]) for start in parts)


def _is_known_own(draft: Draft, position: int) -> bool:
    """Of an event that cannot be read the dedup window still tells whether it is the bus's own: else a failing disk would loop."""
    name = (bus_events.source(draft.state.record.name), bus_events.own_id(draft.state.record.incarnation, position))
    known = draft.view.find_ids(draft.bus, [name]).get(name)
    return known is not None and known.position == position
