"""The system bus: its log records which buses exist. It is not readable as events and takes none from outside."""

import msgspec

from eventyard.core import bus_events, limits
from eventyard.core.changes import BusRecord
from eventyard.core.commands import CreateBus, DeleteBus, EmptyBus, SetRetention
from eventyard.core.draft import Draft
from eventyard.core.errors import InvalidRequest, NotFound

SYSTEM_BUS = 0
DEFAULT_BUS = "default"


def create_bus(draft: Draft, command: CreateBus) -> tuple[BusRecord, bool]:
    """The bus and whether it is new. A name whose last bus is still being emptied waits for that to end."""
    buses = draft.buses()
    before = buses.get(command.name)
    if before is not None and not before.is_deleted:
        return before, False
    if before is not None:
        raise InvalidRequest(f'found bus "{command.name}" still being emptied', wanted="to try again shortly")
    if len(buses) >= limits.BUSES_MAX:
        raise InvalidRequest(f"found {len(buses)} buses", wanted=f"at most {limits.BUSES_MAX}; delete one first")
    # The position of the event that records it, so never used twice: a late verdict for a bus that is gone must find no other.
    number = draft.head + 1
    if number > limits.BUS_NUMBER_MAX:
        raise InvalidRequest(
            f"found {number - 1} buses created and deleted so far", wanted="a new store: no number is used twice"
        )
    record = BusRecord(number, command.name, command.incarnation, draft.time.time_ms)
    draft.append_bus_event(bus_events.BUS_CREATED, command.name, {"name": command.name, "principal": command.principal})
    draft.set_bus(record)
    return record, True


def delete_bus(draft: Draft, command: DeleteBus) -> BusRecord:
    """From this step on the bus is gone; `empty_bus` removes what it held."""
    before = draft.buses().get(command.name)
    if before is None or before.is_deleted:
        raise NotFound(f'found no bus "{command.name}"', wanted="a bus that exists")
    if command.name == DEFAULT_BUS:
        raise InvalidRequest('found "default"', wanted="another bus: the default bus always exists")
    record = msgspec.structs.replace(before, is_deleted=True)
    draft.append_bus_event(bus_events.BUS_DELETED, command.name, {"name": command.name, "principal": command.principal})
    draft.set_bus(record)
    return record


def set_retention(draft: Draft, command: SetRetention) -> BusRecord:
    """What the bus keeps from here on. Nothing is recorded where nothing changes."""
    before = draft.buses().get(command.name)
    if before is None or before.is_deleted:
        raise NotFound(f'found no bus "{command.name}"', wanted="a bus that exists")
    if before.retention == command.retention:
        return before
    record = msgspec.structs.replace(before, retention=command.retention)
    data = {"name": command.name, "principal": command.principal, "retention": msgspec.to_builtins(command.retention)}
    draft.append_bus_event(bus_events.BUS_CHANGED, command.name, data)
    draft.set_bus(record)
    return record


def empty_bus(draft: Draft, command: EmptyBus) -> bool:
    """Have the engine remove a bounded part of a deleted bus. True when nothing is left and the name is free again."""
    record = next((bus for bus in draft.buses().values() if bus.number == command.number and bus.is_deleted), None)
    if record is None:
        return True
    draft.emptied_bus = record.number
    if draft.view.holds(record.number):
        return False
    draft.set_bus(msgspec.structs.replace(record, is_removed=True))
    return True
