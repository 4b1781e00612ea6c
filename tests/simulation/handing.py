"""What is checked of every delivery in the moment in which it is handed out, by a push or to a consumer.

It has to be leased by what is committed, of a rule and a run that give out, and in its order: while one of a key is under way or parked,
nothing of that key goes past it.
"""

from eventyard.core.delivery import Delivery, State
from tests.simulation.books import Books, Handed, HandedKey
from tests.simulation.consents import Consents
from tests.simulation.ledger import BusLedger, Ledger
from tests.simulation.rates import Rates
from tests.simulation.reading import Key, key_of


class Gate:
    def __init__(self, books: Books, ledger: Ledger, rates: Rates) -> None:
        self._books = books
        self.ledger = self._ledger = ledger
        self._rates = rates
        self.consents = Consents(rates.world)
        self._first: dict[tuple[str, int, int, Key], int] = {}
        self._replayed: dict[tuple[str, int, int], int] = {}
        self.out_of_order: set[HandedKey] = set()
        """What somebody asked to have put back out of order."""
        self._given: dict[HandedKey, int] = {}

    def give(self, incarnation: str, delivery: Delivery) -> None:
        """A lease on it is given for a push."""
        bus = self._ledger.of(incarnation)
        if bus is not None:
            self._given[incarnation, delivery.key] = bus.head_before
            self._rates.take(bus, delivery)
            self.consents.check(bus, bus.rules[delivery.rule], delivery)

    def hand(self, handed: Handed) -> None:
        bus = self._ledger.of(handed.incarnation)
        if bus is None:
            return
        row = bus.rows.get(handed.key)
        handed.head_before = bus.head_before
        if handed.has_waited:
            handed.head_before = self._given[handed.incarnation, handed.key]
            if row is not None and row.state is State.DISCARDED:
                return  # What is under way is not called back, and what gathers is.
        if row is None or not _is_leased_by(row, handed):
            bus.fail(f"somebody was handed what is not leased so: {handed}, {row}")
            return
        if handed.is_pulled:
            self._rates.take(bus, row)
        else:
            handed.lease = row.leases
        _check_given_out(bus, row, handed.head_before)
        _check_mark(bus, row, handed)
        self._check_pace(bus, row, handed)
        self._check_order(bus, row)
        self._books.hand(handed, was_pushed=row.rule in bus.pushed)

    # Pace

    def _check_pace(self, bus: BusLedger, row: Delivery, handed: Handed) -> None:
        """A replay goes no faster than it was asked to: so many a second, or as far apart as its events were accepted."""
        run = (bus.record.incarnation, row.rule, row.run)
        backfill = bus.backfills.get((row.rule, row.run))
        if backfill is None or not backfill.is_replay or (run[0], row.key) in self._books.handed:
            return
        count, pace = self._replayed.get(run, 0), backfill.pace
        self._replayed[run] = count + 1
        elapsed_ms = handed.at_ms - bus.opened_ms[row.rule, row.run]
        if pace.per_s and elapsed_ms + 1 < count * 1000 / pace.per_s:
            bus.fail(f"{row} is number {count + 1} of a replay of {pace.per_s} a second that has gone on for {elapsed_ms} ms")
        first = min(other.position for other in bus.rows.values() if (other.rule, other.run) == run[1:])
        apart_ms = bus.log[row.position].accepted_ms - bus.log[first].accepted_ms
        if pace.is_original and not pace.per_s and elapsed_ms < apart_ms:
            bus.fail(f"{row} was accepted {apart_ms} ms after the first of its replay, and comes after {elapsed_ms} ms")

    # Order

    def _check_order(self, bus: BusLedger, row: Delivery) -> None:
        key = _key(bus, row)
        if key is None:
            return
        for other in bus.rows.values():
            if (other.rule, other.run) == (row.rule, row.run) and other.key != row.key and _key(bus, other) == key:
                self._check_pair(bus, row, other)
        self._check_first(bus, row, key)

    def _check_pair(self, bus: BusLedger, row: Delivery, other: Delivery) -> None:
        if other.state is State.LEASED:
            bus.fail(f"two of a key are out at a time: {row}, {other}")
        if other.position < row.position and other.state.is_owed and not self._is_free(bus, other):
            bus.fail(f"a delivery has overtaken one of its key: {row}, {other}")

    def _check_first(self, bus: BusLedger, row: Delivery, key: Key) -> None:
        """Over all lives of the house, those of a key go out for the first time in the order of the log."""
        lane = (bus.record.incarnation, row.rule, row.run, key)
        last = self._first.setdefault(lane, row.position)
        is_new = (bus.record.incarnation, row.key) not in self._books.handed
        if is_new and row.position < last and not self._is_free(bus, row):
            bus.fail(f"{row} goes out for the first time after {last} of its key")
        self._first[lane] = max(last, row.position)

    def _is_free(self, bus: BusLedger, row: Delivery) -> bool:
        return (bus.record.incarnation, row.key) in self.out_of_order


def _is_leased_by(row: Delivery, handed: Handed) -> bool:
    is_same = row.attempts == handed.attempt and (not handed.is_pulled or row.leases == handed.lease)
    return row.state is State.LEASED and is_same


def _check_given_out(bus: BusLedger, row: Delivery, head_before: int) -> None:
    """Nothing of a paused or deleted rule, or a closed run, but what was leased in the step that said so, and dead letters that were put back."""
    stopped = bus.told.stopped.get(row.rule)
    if stopped is not None and stopped <= head_before:
        bus.fail(f"a rule that gives nothing out since {stopped} gave {row}")
    closed = bus.told.closed.get((row.rule, row.run))
    if closed is not None and closed <= head_before and row.key not in bus.died:
        bus.fail(f"a run that was closed at {closed} gave {row}")


def _check_mark(bus: BusLedger, row: Delivery, handed: Handed) -> None:
    """A replay's deliveries say so, as the rule wants it; nothing else does."""
    record, is_replayed = bus.rules[row.rule], (row.rule, row.run) in bus.replayed
    if handed.replay and (not is_replayed or handed.replay != str(row.run)):
        bus.fail(f"a delivery is marked as of a replay that it is not of: {handed}")
    is_wanted = is_replayed and (handed.is_pulled or record.rule.replay == "mark")
    if is_wanted and not handed.replay and record.version <= bus.head_before:
        bus.fail(f"a delivery of a replay is not marked: {handed}")


def _key(bus: BusLedger, row: Delivery) -> Key | None:
    return key_of(bus.rules[row.rule].rule.delivery, bus.documents[row.position])
