"""Rules that bring events to other buses here, watched: what is published there, what came of it, and that it is there once."""

from collections.abc import Mapping, Sequence
from typing import Any

from eventyard.core.changes import BusRecord
from eventyard.core.commands import Lease, Published
from eventyard.core.errors import EventyardError, NotFound, Overloaded, Refused, Stopping, TooManyHops
from eventyard.core.limits import PUSH_LEASE_MARGIN_MS
from eventyard.core.verdict import PushVerdict
from eventyard.forwarding import Forwarder, _Carried, _event
from tests.simulation.books import Books, BrokenPromise, Handed
from tests.simulation.handing import Gate
from tests.simulation.ledger import Ledger
from tests.simulation.world import World


class WatchedForwarder(Forwarder):
    """Writes into the books what it carries, as a target would, and looks into the other bus once it is told that it is there."""

    def watch(self, world: World, gate: Gate, books: Books, ledger: Ledger) -> None:
        self.world, self.gate, self.books, self.ledger = world, gate, books, ledger
        self._handed: dict[Any, Handed] = {}

    def take(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self.gate.give(bus.incarnation, lease.delivery)
            self._handed[bus.number, lease.delivery.key] = self._hand(bus, lease)
        super().take(bus, leases)

    def _hand(self, bus: BusRecord, lease: Lease) -> Handed:
        now_ms, delivery = self.world.now_ms, lease.delivery
        handed = Handed(
            incarnation=bus.incarnation,
            key=delivery.key,
            rule=lease.record.name,
            event=lease.event,
            attempt=delivery.attempts,
            life=self.world.life,
            at_ms=now_ms,
            bus_ms=self._now().time_ms,
            ends_ms=now_ms + PUSH_LEASE_MARGIN_MS,
            replay=str(delivery.run) if lease.is_replayed and lease.record.rule.replay == "mark" else "",
            is_forwarded=True,
        )
        self.world.note(f"carry {handed.incarnation} {handed.key} attempt {handed.attempt} to {lease.record.rule.target.bus}")
        self.gate.hand(handed)
        return handed

    def _publish(self, name: str, carried: Sequence[_Carried]) -> None:
        incarnation = next((bus.record.incarnation for bus in self._there(name)), None)
        if incarnation is not None:
            for one in carried:
                self.books.submit(incarnation, _event(one))
        super()._publish(name, carried)

    def _there(self, name: str) -> list[Any]:
        return [bus for bus in self.ledger.buses.values() if bus.record.name == name and not bus.record.is_deleted]

    def _verdict(self, carried: _Carried, answer: Published | EventyardError) -> PushVerdict:
        handed = self._handed.pop((carried.bus.number, carried.lease.delivery.key))
        handed.answered_ms = self.world.now_ms
        answers = carried.lease.record.rule.delivery.answers
        handed.meaning, handed.status, handed.is_uncounted = _meaning(answer, answers)
        if isinstance(answer, Published):
            self._check_there(carried, answer)
        return super()._verdict(carried, answer)

    def _check_there(self, carried: _Carried, answer: Published) -> None:
        """Under its own names, at the position that was answered, with its own content and one hop more at least."""
        target = carried.lease.record.rule.target.bus
        wanted = _event(carried)
        for bus in self._there("" if target is None else target.name):
            found = bus.log.get(answer.position)
            if found is None or (found.source, found.id, found.digest) != (wanted.source, wanted.id, wanted.digest):
                raise BrokenPromise(f"{wanted.source} {wanted.id} was brought to {target}, and there is {found}")
            hops = bus.documents[answer.position].get("eventyardhops", 0)
            if not answer.is_duplicate and hops <= wanted.hops:
                raise BrokenPromise(f"{wanted.source} {wanted.id} was brought to {target}, and counts {hops} hops")


def _meaning(answer: Any, answers: Mapping[str, str]) -> tuple[str, int, bool]:
    """By the guide, and not by the code that decides."""
    match answer:
        case Published() | TooManyHops():
            return "delivered", 0, False
        case Stopping() | Overloaded():
            return "retry", 0, True
        case NotFound():
            return answers.get("404", answers.get("4xx", "retry")), 404, False
        case Refused():
            return "dead", 409, False
    return answers.get("503", answers.get("5xx", "retry")), 503, False
