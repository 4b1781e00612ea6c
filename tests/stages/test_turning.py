"""How many keys a changed detector turns: what is foretold is what the sweep then counts."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard import turning
from eventyard.core import event as events
from eventyard.core.commands import Publish, Sweep
from eventyard.core.detector_plan import DetectorPlan
from eventyard.core.emitter import EmitterRecord, Kind
from eventyard.turning import Turns
from tests.support.builders import Stepped, put_detector

seen = st.lists(st.tuples(st.sampled_from("klmn"), st.integers(0, 4), st.sampled_from("ab")), max_size=20)
changed = st.fixed_dictionaries(
    {
        "on": st.sampled_from([{"type": ["a"]}, {"type": ["a", "b"]}]),
        "when": st.sampled_from([{"data": {"n": [{"numeric": [">=", at]}]}} for at in (1, 2, 3)]),
        "until": st.sampled_from([None, {"data": {"n": [0]}}]),
        "for_s": st.sampled_from([0, 5]),
    }
)


@given(seen, changed, changed)
@settings(max_examples=100, deadline=None)
def test_as_many_turn_as_was_foretold(seen: list[tuple[str, int, str]], before: dict[str, Any], after: dict[str, Any]) -> None:
    bus = Stepped()
    bus.do(put_detector("d", **before))
    for number, (key, n, kind) in enumerate(seen):
        bus.do(Publish((events.make({"id": f"e{number}", "source": "/s", "type": kind, "subject": key}, {"n": n}),)))
    put = put_detector("d", **after)
    plan = DetectorPlan(EmitterRecord(1, Kind.DETECTOR, "d", bus.state.head + 1, put.document, 0, 0))
    foretold = Turns(bus.state.emitters.counts(1).get("keys", 0))
    if bus.state.emitters.by_uid[1].document != put.document:
        turning.look(bus.engine.view, 1, plan, foretold, lambda: 0)
        assert (foretold.judged, foretold.next_after) == (foretold.keys, None)
    bus.do(put)
    while bus.state.emitters.sweeping:
        bus.do(Sweep(1))
    assert bus.state.emitters.counts(1).get("turned", 0) == foretold.turned
    assert len(foretold.names) == foretold.turned
