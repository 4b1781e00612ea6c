"""Spans of what a served bus does, where OpenTelemetry is installed; and that nothing of it is there where nobody asks for it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import eventyard
from eventyard.core import limits, trace
from tests.support import targets
from tests.support.buses import ServedBus, served_bus
from tests.support.targets import Target

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-2] + "00"
CALLER = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


class Traced(NamedTuple):
    bus: ServedBus
    exporter: Any
    tracing: Any

    def spans(self) -> list[Any]:
        """All that were made, once the bus has stopped: nothing is waited for before."""
        self.bus.stop()
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traced(request: pytest.FixtureRequest) -> Iterator[Traced]:
    """The mark `ratio` says which part of the traces that begin here is sampled; without it none is."""
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from eventyard.tracing import Tracing  # noqa: PLC0415 - not everybody has what it needs

    exporter = memory.InMemorySpanExporter()
    tracing = Tracing(exporter, getattr(request, "param", 0.0))
    with served_bus(tracing=tracing) as bus:
        yield Traced(bus, exporter, tracing)


def an_event(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(number), "source": "/s", "type": "t", **more}


def named(spans: list[Any], name: str) -> list[Any]:
    return sorted((span for span in spans if span.name == name), key=lambda span: span.start_time)


def test_an_event_and_each_attempt_are_spans_of_the_events_own_trace(traced: Traced) -> None:
    bus = traced.bus
    with Target(targets.flaps(503)) as target:
        rule = {
            "pattern": {"type": ["t"]},
            "target": {"http": {"url": target.url}},
            "delivery": {"backoff": {"initial_s": 0}},
        }
        bus.put("/v1/buses/default/rules/r", json=rule)
        bus.publish("default", an_event(traceparent=PARENT, tracestate="shop=1"), traceparent=CALLER)
        bus.wait_until(lambda: bus.get("/v1/buses/default/rules/r/status").json()["delivered"] == 1)
        requests = target.requests
    spans = traced.spans()
    [published] = named(spans, "publish default")
    attempts = named(spans, "deliver r")
    event, caller = trace.parse(PARENT), trace.parse(CALLER)
    assert event
    assert caller
    assert {span.context.trace_id for span in spans} == {event.trace_id}
    assert published.parent.span_id == event.span_id
    assert [link.context.span_id for link in published.links] == [caller.span_id]
    assert [attempt.parent.span_id for attempt in attempts] == [published.context.span_id] * 2
    assert [attempt.attributes["http.response.status_code"] for attempt in attempts] == [503, 200]
    assert [attempt.status.is_ok for attempt in attempts] == [False, True]
    assert [attempt.attributes["eventyard.attempt"] for attempt in attempts] == [1, 2]
    assert published.attributes["eventyard.position"] == attempts[0].attributes["eventyard.position"] == 2
    assert all(span.start_time <= span.end_time for span in spans)
    told = [trace.parse(request.headers["traceparent"]) for request in requests]
    assert [each.span_id for each in told if each] == [attempt.context.span_id for attempt in attempts]
    assert [request.headers["tracestate"] for request in requests] == ["shop=1", "shop=1"]


def test_the_event_itself_keeps_its_traceparent(traced: Traced) -> None:
    traced.bus.publish("default", an_event(traceparent=PARENT), traceparent=CALLER)
    assert traced.bus.events("default")[0]["traceparent"] == PARENT


@pytest.mark.parametrize("traced", [1.0], indirect=True)
def test_a_duplicate_is_a_span_beside_the_first(traced: Traced) -> None:
    for _ in range(2):
        traced.bus.publish("default", an_event())
    first, again = named(traced.spans(), "publish default")
    assert (first.attributes["eventyard.duplicate"], again.attributes["eventyard.duplicate"]) == (False, True)
    assert first.context.span_id != again.context.span_id
    assert [link.context.span_id for link in again.links] == [first.context.span_id]


@pytest.mark.parametrize("traced", [1.0], indirect=True)
def test_each_event_of_a_batch_is_a_span_and_what_is_refused_is_none(traced: Traced) -> None:
    batch = [an_event(1), {"specversion": "1.0"}, an_event(2)]
    traced.bus.publish("default", batch, "application/cloudevents-batch+json")
    assert [span.attributes["messaging.message.id"] for span in traced.spans()] == ["1", "2"]


@pytest.mark.parametrize("traced", [1.0], indirect=True)
def test_what_its_beginner_does_not_sample_is_not_traced(traced: Traced) -> None:
    traced.bus.publish("default", an_event(traceparent=UNSAMPLED))
    assert traced.spans() == []


def test_nothing_that_begins_here_is_traced_at_ratio_0(traced: Traced) -> None:
    traced.bus.publish("default", an_event())
    assert traced.spans() == []


@pytest.mark.parametrize("traced", [1.0], indirect=True)
def test_a_push_without_an_answer_is_an_error(traced: Traced) -> None:
    bus = traced.bus
    with Target(targets.close_at_once) as target:
        rule = {"pattern": {"type": ["t"]}, "target": {"http": {"url": target.url}}, "delivery": {"max_attempts": 1}}
        bus.put("/v1/buses/default/rules/r", json=rule)
        bus.publish("default", an_event())
        bus.wait_until(lambda: bus.get("/v1/buses/default/rules/r/status").json()["dead"] == 1)
    [attempt] = named(traced.spans(), "deliver r")
    assert not attempt.status.is_ok
    assert attempt.attributes["error.type"] == "no answer"
    assert "http.response.status_code" not in attempt.attributes


def test_past_the_bound_notes_are_dropped_and_counted(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TRACE_NOTES_MAX", 0)
    traced.bus.publish("default", an_event(traceparent=PARENT))
    assert traced.tracing.dropped == 1
    assert "eventyard_spans_dropped_total 1.0" in traced.bus.get("/metrics").text
    assert traced.spans() == []


def test_spans_reach_a_collector() -> None:
    pytest.importorskip("opentelemetry.sdk")
    from eventyard.tracing import Tracing  # noqa: PLC0415 - as above

    with Target(targets.answers(200)) as collector:
        with served_bus(tracing=Tracing.to(f"{collector.url}/v1/traces", 1.0)) as bus:
            bus.publish("default", an_event())
        collector.wait_for_requests(1)
        sent = collector.requests[0]
    assert (sent.method, sent.headers["content-type"]) == ("POST", "application/x-protobuf")
    assert b"publish default" in sent.body


def test_a_worker_tells_of_the_pushes_that_it_makes() -> None:
    pytest.importorskip("opentelemetry.sdk")
    with Target(targets.answers(200)) as collector, Target(targets.answers(204)) as target, served_bus(is_pushing=False) as bus:
        environment = os.environ | {"PYTHONPATH": str(Path(eventyard.__file__).parents[1])}
        environment |= {"EVENTYARD_TRACE_ENDPOINT": f"{collector.url}/v1/traces", "OTEL_SERVICE_NAME": "worker-7"}
        command = [sys.executable, "-m", "eventyard", "worker", "--server", bus.url]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as worker:
            rule = {"pattern": {"type": ["t"]}, "target": {"http": {"url": target.url}}}
            bus.put("/v1/buses/default/rules/r", json=rule)
            bus.publish("default", an_event(traceparent=PARENT))
            bus.wait_until(lambda: bus.get("/v1/buses/default/rules/r/status").json()["delivered"] == 1)
            worker.terminate()
            assert worker.wait(20) == 0
        collector.wait_for_requests(1)
        sent = b"".join(request.body for request in collector.requests)
    told = trace.parse(target.requests[0].headers["traceparent"])
    assert told
    assert told.span_id.to_bytes(8, "big") in sent
    assert b"deliver r" in sent
    assert b"worker-7" in sent


# Where nobody asks for it

RUN = """
import sys
{before}
from eventyard.serve import serve
from eventyard.settings import Settings
from eventyard.core.errors import InvalidSettings
try:
    serve(Settings(port=0, data=sys.argv[1], trace_endpoint="{endpoint}"))
except InvalidSettings as refused:
    print(refused.detail)
"""


def run(tmp_path: Path, endpoint: str, before: str = "") -> str:
    environment = os.environ | {"PYTHONPATH": str(Path(eventyard.__file__).parents[1])}
    command = [sys.executable, "-c", RUN.format(before=before, endpoint=endpoint), str(tmp_path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def test_an_endpoint_without_what_it_needs_is_told_with_what_to_install(tmp_path: Path) -> None:
    said = run(tmp_path, "http://127.0.0.1:4318/v1/traces", "sys.modules['opentelemetry'] = None")
    assert "at trace-endpoint" in said
    assert "eventyard[otel]" in said


def test_an_endpoint_that_is_no_address_is_refused(tmp_path: Path) -> None:
    assert "wanted the address of a collector" in run(tmp_path, "collector:4318")


def test_nothing_of_it_is_loaded_where_nobody_asks(tmp_path: Path) -> None:
    check = (
        "import asyncio, sys, eventyard\n"
        "async def used():\n"
        "    async with eventyard.open(sys.argv[1]) as bus:\n"
        "        return bus.is_traced\n"
        "sys.exit(asyncio.run(used()) or 'opentelemetry' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(eventyard.__file__).parents[1])}
    command = [sys.executable, "-c", check, str(tmp_path / "shop.db")]
    assert subprocess.run(command, env=environment, check=False, timeout=60).returncode == 0
