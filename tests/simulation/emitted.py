"""What a bus publishes by itself, of state and of time, held against its log from the beginning."""

from eventyard.core.view import View
from tests.simulation.expected import Expecting
from tests.simulation.ledger import BusLedger
from tests.simulation.timed import Timing
from tests.simulation.watched import Step, Watching


def check_emitted(bus: BusLedger, view: View, *, is_at_rest: bool) -> None:
    timing = Timing(bus.record.incarnation)
    watching, expecting = (kind(bus.record.incarnation, bus.documents) for kind in (Watching, Expecting))
    for step in bus.steps:
        watching.take(step)
        expecting.take(step)
        for position in range(step.first, step.last + 1):
            timing.take(position, bus.documents[position], step.time_ms)
    timing.check()
    for emitters in (watching, expecting) if bus.steps else ():
        emitters.check_damped()
        emitters.check_kept(view, bus.record.number, _now(bus))
        if is_at_rest:
            emitters.check_at_rest(_now(bus))


def _now(bus: BusLedger) -> Step:
    last = bus.steps[-1]
    return last._replace(first=bus.head + 1, last=bus.head)
