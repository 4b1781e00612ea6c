"""What the code of an emitter stands on: a step of the bus (`Draft`), or the log over again in virtual time (`rehearsal`)."""

from typing import Protocol

from eventyard.core.changes import BusRecord, StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.emitter import Kept
from eventyard.core.emitter_plan import Plan
from eventyard.core.event import Event


class Home(Protocol):
    @property
    def record(self) -> BusRecord: ...


class Shelf(Protocol):
    """What is kept of keys, and counted. As `EmitterDraft` says of each."""

    def plan(self, uid: int) -> Plan | None: ...

    @property
    def hold_clock_ms(self) -> int: ...

    def tally(self, owner: int) -> dict[str, int]: ...

    def kept(self, owner: int, key: str) -> Kept | None: ...

    def keep(self, row: Kept) -> None: ...

    def forget(self, owner: int, key: str) -> None: ...


class Ground(Protocol):
    """As `Draft` says of each."""

    @property
    def state(self) -> Home: ...

    @property
    def time(self) -> BusTime: ...

    @property
    def hops_max(self) -> int: ...

    @property
    def emitters(self) -> Shelf: ...

    def event(self, position: int) -> StoredEvent | None: ...

    def append(self, event: Event, *, cause: int = 0) -> int: ...
