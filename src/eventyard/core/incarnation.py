"""A new incarnation of a bus: what starts it in a store that was put back from a backup.

The store's old life may have gone on after the backup: its positions were given to other events, its deliveries settled
otherwise. Delivery ids carry the incarnation, so none of that life is ever taken for one of this. The bus says so itself, in its log.
"""

import msgspec

from eventyard.core.bus_events import BUS_RESTORED
from eventyard.core.bus_state import BusState, Loaded
from eventyard.core.changes import Changes
from eventyard.core.clock import BusTime, rfc3339
from eventyard.core.draft import Draft
from eventyard.core.settling import take_back_all
from eventyard.core.view import View


def restored(loaded: Loaded, view: View, time: BusTime, incarnation: str, last_position: int) -> Changes:
    """What makes a restored bus another one under the same name; rules that match its event get it as any other.

    Leases end with the old incarnation, and their deliveries are due at once. `last_position` is that of the backup; the bus goes on behind its head, which may lie above (a gap).
    """
    state = BusState(msgspec.structs.replace(loaded, record=msgspec.structs.replace(loaded.record, incarnation=incarnation)))
    draft = Draft(state, view, time)
    draft.set_bus(state.record)
    take_back_all(draft)
    draft.append_bus_event(
        BUS_RESTORED,
        state.record.name,
        {
            "name": state.record.name,
            "principal": "",
            "incarnation": incarnation,
            "previous_incarnation": loaded.record.incarnation,
            "last_position": last_position,
            "last_time": rfc3339(loaded.time.time_ms),
        },
    )
    return draft.finish()
