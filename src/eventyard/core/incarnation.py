"""A new incarnation of a bus: what starts it in a store that was put back from a backup, or that a repair has taken something from.

The store's old life went on, or had gone further: its positions were given to other events, its deliveries settled
otherwise. Delivery ids carry the incarnation, so none of that life is ever taken for one of this. The bus says so itself, in its log.
"""

import msgspec

from eventyard.core import bus_events
from eventyard.core.bus_state import BusState, Loaded
from eventyard.core.changes import Changes
from eventyard.core.clock import BusTime, rfc3339
from eventyard.core.draft import Draft
from eventyard.core.settling import take_back_all
from eventyard.core.view import View

STRETCHES_TOLD = 100
"""Lost stretches that the event names; all of them are in the store, as known gaps."""


def restored(loaded: Loaded, view: View, time: BusTime, incarnation: str, last_position: int) -> Changes:
    """What makes a restored bus another one under the same name; rules that match its event get it as any other.

    Leases end with the old incarnation, and their deliveries are due at once. `last_position` is that of the backup; the bus goes on
    behind its head, which may lie above (a gap).
    """
    data = {"last_position": last_position, "last_time": rfc3339(loaded.time.time_ms)}
    return _begun(loaded, Draft(_state(loaded, incarnation), view, time), bus_events.BUS_RESTORED, data)


def repaired(loaded: Loaded, view: View, time: BusTime, incarnation: str, lost: list[tuple[int, int]]) -> Changes:
    """The same for a bus that a repair took something from: the stretches of positions that are `lost`, if any."""
    told = [{"first": first, "last": last} for first, last in lost[:STRETCHES_TOLD]]
    count = sum(last - first + 1 for first, last in lost)
    data: dict[str, object] = {"lost_positions": count, "lost": told}
    return _begun(loaded, Draft(_state(loaded, incarnation), view, time), bus_events.BUS_REPAIRED, data)


def _state(loaded: Loaded, incarnation: str) -> BusState:
    return BusState(msgspec.structs.replace(loaded, record=msgspec.structs.replace(loaded.record, incarnation=incarnation)))


def _begun(loaded: Loaded, draft: Draft, kind: str, data: dict[str, object]) -> Changes:
    record = draft.state.record
    named: dict[str, object] = {
        "name": record.name,
        "principal": "",
        "incarnation": record.incarnation,
        "previous_incarnation": loaded.record.incarnation,
    }
    draft.set_bus(record)
    take_back_all(draft)
    draft.append_bus_event(kind, record.name, named | data)
    return draft.finish()
