"""Traces: what an event carries is kept, and the bus's own spans can be named without having been stored."""

import msgspec
import pytest

from eventyard.core import trace
from eventyard.core.delivery import Delivery, State
from eventyard.core.trace import Context

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LEASED = Delivery(3, 0, 8, State.LEASED, 0, attempts=1, leases=1)


def context(text: str = PARENT) -> Context:
    found = trace.parse(text)
    assert found
    return found


@pytest.mark.parametrize("text", [PARENT, PARENT[:-2] + "00", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"])
def test_a_traceparent_is_read(text: str) -> None:
    found = context(text)
    assert (f"{found.trace_id:032x}", f"{found.span_id:016x}") == (text[3:35], text[36:52])
    assert found.is_sampled == text[52:].startswith("-01")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT + "-more",
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        PARENT + "\n",
        PARENT[:-1],
    ],
)
def test_what_is_none_costs_its_trace_alone(text: str) -> None:
    assert trace.parse(text) is None


def test_a_traceparent_is_written_as_it_is_read() -> None:
    assert context().traceparent == PARENT


def test_an_event_tells_its_own_trace_and_not_that_of_its_data() -> None:
    event = {"type": "t", "traceparent": PARENT, "tracestate": "a=1", "data": {"traceparent": "x"}}
    assert trace.of_event(msgspec.json.encode(event)) == msgspec.structs.replace(context(), state="a=1")
    assert trace.of_event(msgspec.json.encode({"type": "t", "data": {"traceparent": PARENT}})) is None
    assert trace.of_event(msgspec.json.encode({"type": "t", "traceparent": 5})) is None


def test_all_spans_of_an_event_are_in_its_trace() -> None:
    publishing = trace.publishing("life", 8, context(), 0.0)
    attempting = trace.attempting("life", LEASED, context(), 0.0)
    assert publishing.parent == context()
    assert attempting.parent == publishing.context
    assert {publishing.context.trace_id, attempting.context.trace_id} == {context().trace_id}
    assert publishing.context.is_sampled
    assert attempting.context.is_sampled


def test_an_event_without_a_trace_begins_one() -> None:
    publishing = trace.publishing("life", 8, None, 1.0)
    assert publishing.parent is None
    assert trace.attempting("life", LEASED, None, 1.0).parent == publishing.context
    assert trace.publishing("life", 9, None, 1.0).context.trace_id != publishing.context.trace_id
    assert trace.publishing("other", 8, None, 1.0).context.trace_id != publishing.context.trace_id


def test_each_attempt_has_a_span_of_its_own_that_is_the_same_when_asked_again() -> None:
    first = trace.attempting("life", LEASED, context(), 0.0).context
    assert trace.attempting("life", LEASED, context(), 0.0).context == first
    others = [msgspec.structs.replace(LEASED, **change) for change in ({"leases": 2}, {"rule": 4}, {"run": 5}, {"position": 9})]
    assert len({first.span_id, *(trace.attempting("life", other, context(), 0.0).context.span_id for other in others)}) == 5


def test_a_trace_that_began_elsewhere_brings_its_decision() -> None:
    unsampled = context(PARENT[:-2] + "00")
    assert not trace.publishing("life", 8, unsampled, 1.0).context.is_sampled
    assert trace.publishing("life", 8, context(), 0.0).context.is_sampled


def test_of_the_traces_that_begin_here_the_ratio_is_sampled() -> None:
    sampled = sum(trace.publishing("life", position, None, 0.1).context.is_sampled for position in range(1, 10_001))
    assert 850 < sampled < 1150
    assert not any(trace.publishing("life", position, None, 0.0).context.is_sampled for position in range(1, 100))
