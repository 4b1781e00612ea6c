"""The audit: holds what was committed against the books, bus by bus, rule by rule and event by event.

It knows the promises and not the machine. What was in force where it learns from the log itself (`chronicle`); what a rule is owed, and
what became of it, is judged in `owed` and `fates`.
"""

from eventyard.core import limits
from eventyard.core.bus_state import Loaded
from eventyard.core.changes import StoredEvent
from eventyard.core.view import View
from tests.simulation import chronicle
from tests.simulation.books import Acknowledged, Books, BrokenPromise, Handed
from tests.simulation.emitted import check_emitted
from tests.simulation.fates import Fates
from tests.simulation.ledger import BusLedger, Ledger
from tests.simulation.owed import check_rule


def audit(loaded: list[Loaded], view: View, books: Books, ledger: Ledger, *, is_at_rest: bool) -> None:
    """Raise `BrokenPromise` where store, ledger and books disagree. `is_at_rest`: everything owed has had its chance."""
    _check_buses({bus.record.incarnation for bus in loaded}, books)
    ledger.check(loaded, view)
    for bus in loaded:
        if bus.record.number != 0:
            BusAudit(ledger.buses[bus.record.number], books, view).check(is_at_rest=is_at_rest)


def _check_buses(found: set[str], books: Books) -> None:
    if lost := books.buses - books.buses_deleting - found:
        raise BrokenPromise(f"buses that were acknowledged are gone: {lost}")
    if back := books.buses_deleted & found:
        raise BrokenPromise(f"buses whose deletion was acknowledged are there: {back}")


class BusAudit:
    def __init__(self, bus: BusLedger, books: Books, view: View) -> None:
        self._bus = bus
        self._view = view
        self._books = books
        self._incarnation = bus.record.incarnation
        self._rules = chronicle.read(bus)

    def check(self, *, is_at_rest: bool) -> None:
        self._check_ids()
        for acknowledged in self._books.acknowledged:
            if acknowledged.incarnation == self._incarnation:
                self._check_acknowledged(acknowledged)
        self._check_edits()
        fates = Fates(self._bus, self._books)
        for rule in self._rules.values():
            check_rule(self._bus, rule, is_at_rest=is_at_rest)
            fates.check(rule, is_at_rest=is_at_rest)
        self._check_handed()
        check_emitted(self._bus, self._view, is_at_rest=is_at_rest)
        if is_at_rest:
            self._bus.alarms.check_at_rest(uid for uid, record in self._bus.rules.items() if not record.is_deleted)

    def _check_ids(self) -> None:
        """The same source and id twice only where the dedup window lay between."""
        last: dict[tuple[str, str], StoredEvent] = {}
        for event in self._bus.log.values():
            before = last.get((event.source, event.id))
            if before is not None and not _is_window_over(before, event):
                self._bus.fail(f"{event.source} {event.id} is in the log at {before.position} and {event.position}")
            last[event.source, event.id] = event

    def _check_acknowledged(self, promised: Acknowledged) -> None:
        event = self._bus.log.get(promised.position)
        if event is None:
            self._bus.fail(f"acknowledged and not in the log, which ends at {self._bus.head}: {promised}")
        elif (event.source, event.id, event.digest) != (promised.source, promised.id, promised.digest):
            self._bus.fail(f"position {promised.position} has {event.source} {event.id}, and was acknowledged for {promised}")

    def _check_edits(self) -> None:
        for edit in self._books.edits:
            if edit.incarnation != self._incarnation:
                continue
            found = self._bus.documents.get(edit.position, {})
            if found.get("type") != edit.kind or found["data"]["name"] != edit.name:
                self._bus.fail(f"an acknowledged edit is not in the log: {edit}, found {found}")

    def _check_handed(self) -> None:
        for (incarnation, _), handed in self._books.handed.items():
            if incarnation == self._incarnation:
                self._check_first(handed[0])

    def _check_first(self, handed: Handed) -> None:
        uid, _, position = handed.key
        event = self._bus.log.get(position)
        if event is None or event.json != handed.event:
            self._bus.fail(f"somebody was handed what is not in the log: {handed}")
        if uid not in self._rules or handed.rule != self._rules[uid].name:
            self._bus.fail(f"somebody was handed what another rule owns: {handed}")


def _is_window_over(before: StoredEvent, event: StoredEvent) -> bool:
    return (
        before.position <= event.position - 1 - limits.DEDUP_WINDOW_IDS
        or before.accepted_ms <= event.accepted_ms - limits.DEDUP_WINDOW_MS
    )
