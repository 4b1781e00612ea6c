"""A detector that is asked: what it remembers of what events said changes nothing of what it makes of the next one."""

import json
from typing import Any
from unittest import mock

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import detector_document, limits
from eventyard.core.detector import Act
from eventyard.core.detector_plan import DetectorPlan
from eventyard.core.emitter import EmitterRecord, Kind
from tests.support.builders import a_detector_document

values = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b", "é" * 600, None, True, 1.5, 12345678901234567890]))
deeper = st.one_of(values, st.lists(values, max_size=2), st.builds(lambda value: {"in": value}, values))
datas = st.fixed_dictionaries({}, optional={"x": deeper, "y": deeper})
events = st.builds(
    lambda data: json.dumps({"id": "1", "type": "t", "source": "/s", "data": data}).encode(),
    st.one_of(datas, st.lists(datas, max_size=2)),
)
conditions = st.sampled_from(
    [
        {"data": {"x": [1, "a"]}},
        {"data": {"x": [{"numeric": [">", 1]}], "y": [{"exists": False}]}},
        {"data": {"x": [{"anything-but": ["a"]}], "y": [1, 2]}},
        {"$or": [{"data": {"x": {"in": [1]}}}, {"data": {"y": [{"prefix": "é"}, None]}}]},
        {"data": {"x": [12345678901234567890, 1.5]}},
    ]
)


def a_plan(**said: Any) -> DetectorPlan:
    document = msgspec.json.encode(detector_document.parse(a_detector_document(**said)))
    return DetectorPlan(EmitterRecord(1, Kind.DETECTOR, "d", 1, msgspec.Raw(document), 0, 0))


@given(conditions, st.one_of(st.none(), conditions), st.lists(events, max_size=12), st.integers(1, 3))
def test_what_is_remembered_is_what_the_conditions_say(when: Any, until: Any, some: list[bytes], kept: int) -> None:
    plan = a_plan(when=when, until=until)
    with mock.patch.object(limits, "DETECTOR_SIGNALS_KEPT", kept):
        for event in some:
            assert plan.judged(event) == (plan.signal(event), plan.values(event))
            for act in (Act.RISE, Act.FALL):
                assert plan.why(act, plan.values(event)) == plan._why(act, plan.values(event))


def test_events_that_say_the_same_are_judged_once() -> None:
    plan = a_plan(when={"data": {"x": [1]}})
    some = [b'{"id":"%d","data":{"x":%d,"y":[1]}}' % (number, number % 2) for number in range(10)]
    with mock.patch.object(plan, "signal", side_effect=plan.signal) as signal:
        told = [plan.judged(event)[0] for event in some]
    assert told == [plan.signal(event) for event in some]
    assert signal.call_count == 2
