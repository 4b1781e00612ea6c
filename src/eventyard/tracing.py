"""Spans of events and their deliveries, for OpenTelemetry. The only module that knows its libraries, and loaded only where spans are wanted.

Theory of operation. Who publishes or pushes leaves a note in a bounded queue and goes on; one thread takes notes, passes over those whose trace is not sampled, and
makes spans of the others, with the times at which things happened. The library sends them in batches on a thread of its own. Where either
cannot follow, spans are dropped, and nothing waits.
"""

import os
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

import eventyard
from eventyard.core import limits, trace
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Lease, Published
from eventyard.core.delivery import delivery_id
from eventyard.core.errors import Refused
from eventyard.core.event import Event
from eventyard.core.trace import Context, Span
from eventyard.ports import PushAnswer


class _Publishing(msgspec.Struct, frozen=True):
    bus: BusRecord
    events: Sequence[Event]
    answers: Sequence[Published | Refused]
    traceparent: str
    began_ns: int
    ended_ns: int


class _Attempt(msgspec.Struct, frozen=True):
    bus: BusRecord
    lease: Lease
    answer: PushAnswer
    ended_ns: int


class _Ids(IdGenerator):
    """Gives the ids that the next span is to have. Only the thread that makes spans asks."""

    def __init__(self) -> None:
        self.next = Context(0, 0, is_sampled=False)

    def generate_trace_id(self) -> int:
        return self.next.trace_id

    def generate_span_id(self) -> int:
        return self.next.span_id


class Tracing:
    """`ports.Tracing`. `ratio`: which part of the traces that begin here is sampled, 0 to 1."""

    def __init__(self, exporter: SpanExporter, ratio: float) -> None:
        self._ratio = ratio
        self._ids, self._chance = _Ids(), RandomIdGenerator()
        name = os.environ.get("OTEL_SERVICE_NAME", "eventyard")
        resource = Resource.create({"service.name": name, "service.version": eventyard.__version__})
        # What is asked for is sampled already: the decision is the trace's.
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False, id_generator=self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("eventyard", eventyard.__version__)
        self._notes: queue.SimpleQueue[_Publishing | _Attempt | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="eventyard-tracing", daemon=True)
        self._thread.start()
        self.dropped = 0

    @classmethod
    def to(cls, endpoint: str, ratio: float) -> "Tracing":
        """To a collector's OTLP over HTTP. Headers and certificates are OpenTelemetry's own variables, `OTEL_EXPORTER_OTLP_...`."""
        return cls(OTLPSpanExporter(endpoint), ratio)

    # From any thread

    def published(
        self, bus: BusRecord, events: Sequence[Event], answers: Sequence[Published | Refused], traceparent: str, began_ns: int
    ) -> None:
        self._leave(_Publishing(bus, events, answers, traceparent, began_ns, time.time_ns()))

    def pushed(self, bus: BusRecord, lease: Lease, answer: PushAnswer) -> None:
        self._leave(_Attempt(bus, lease, answer, time.time_ns()))

    def headers(self, bus: BusRecord, lease: Lease) -> list[tuple[str, str]]:
        """What a push tells its target of the trace."""
        context = self._attempting(bus, lease).context
        state = [("tracestate", context.state)] if context.state else []
        return [("traceparent", context.traceparent), *state]

    def _leave(self, note: _Publishing | _Attempt) -> None:
        if self._notes.qsize() >= limits.TRACE_NOTES_MAX:
            self.dropped += 1
        else:
            self._notes.put(note)

    def close(self) -> None:
        """Spans that are noted are sent, as far as that takes no longer than a moment."""
        self._notes.put(None)
        self._thread.join(limits.TRACE_CLOSE_S)
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(limits.TRACE_CLOSE_S)

    # On the tracing thread

    def _run(self) -> None:
        while (note := self._notes.get()) is not None:
            match note:
                case _Publishing():
                    self._tell_publishing(note)
                case _Attempt():
                    self._tell_attempt(note)

    def _tell_publishing(self, note: _Publishing) -> None:
        caller = trace.parse(note.traceparent)
        for event, answer in zip(note.events, note.answers, strict=True):
            if isinstance(answer, Published):
                self._tell_event(note, event, answer, caller)

    def _tell_event(self, note: _Publishing, event: Event, answer: Published, caller: Context | None) -> None:
        span = trace.publishing(note.bus.incarnation, answer.position, trace.of_event(event.json), self._ratio)
        if not span.context.is_sampled:
            return
        links = [caller] if caller is not None and caller != span.parent else []
        if answer.is_duplicate:  # Its position has a span already: that of the first publishing.
            links.append(span.context)
            span = Span(msgspec.structs.replace(span.context, span_id=self._chance.generate_span_id()), span.parent)
        attributes: dict[str, Any] = {
            "messaging.system": "eventyard",
            "messaging.operation.type": "send",
            "messaging.destination.name": note.bus.name,
            "messaging.message.id": event.id,
            "cloudevents.event_id": event.id,
            "cloudevents.event_source": event.source,
            "cloudevents.event_type": event.type,
            "eventyard.position": answer.position,
            "eventyard.duplicate": answer.is_duplicate,
        }
        made = self._begin(span, f"publish {note.bus.name}", SpanKind.SERVER, began_ns=note.began_ns, links=links)
        made.set_attributes(attributes)
        made.end(note.ended_ns)

    def _tell_attempt(self, note: _Attempt) -> None:
        span = self._attempting(note.bus, note.lease)
        if not span.context.is_sampled:
            return
        lease, delivery, answer = note.lease, note.lease.delivery, note.answer
        attributes: dict[str, Any] = {
            "messaging.system": "eventyard",
            "messaging.operation.type": "process",
            "messaging.destination.name": note.bus.name,
            "eventyard.rule": lease.record.name,
            "eventyard.position": delivery.position,
            "eventyard.delivery": delivery_id(note.bus.incarnation, delivery.rule, delivery.position, delivery.run),
            "eventyard.attempt": delivery.attempts,
            "eventyard.replay": lease.is_replayed,
        }
        if answer.status:
            attributes["http.response.status_code"] = answer.status
        began_ns = note.ended_ns - int(answer.elapsed_s * 1e9)
        made = self._begin(span, f"deliver {lease.record.name}", SpanKind.CLIENT, began_ns=began_ns)
        made.set_attributes(attributes)
        if not 200 <= answer.status < 300:
            made.set_attribute("error.type", str(answer.status) if answer.status else "no answer")
            made.set_status(Status(StatusCode.ERROR, answer.failure))
        made.end(note.ended_ns)

    def _attempting(self, bus: BusRecord, lease: Lease) -> Span:
        return trace.attempting(bus.incarnation, lease.delivery, trace.of_event(lease.event), self._ratio)

    def _begin(self, span: Span, name: str, kind: SpanKind, *, began_ns: int, links: Sequence[Context] = ()) -> otel.Span:
        self._ids.next = span.context
        above = otel.set_span_in_context(otel.NonRecordingSpan(_told(span.parent))) if span.parent else None
        linked = [Link(_told(link)) for link in links]
        return self._tracer.start_span(name, context=above, kind=kind, links=linked, start_time=began_ns)


def _told(context: Context) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.is_sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags, trace_state=state)
