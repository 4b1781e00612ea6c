"""Traces: where an event's story begins, and which spans of it are the bus's own.

Theory of operation. An event may carry `traceparent` (CloudEvents' extension for distributed tracing): the trace in which it came to be. It is kept as it
is, and everything that the bus does with the event belongs to that trace; an event without one begins a trace of its own. Nothing is stored for this: the ids of
spans follow from what they are about, so that an attempt made days and restarts later is a child of the very span of its publishing. Whether a trace is sampled
is its beginner's word; where the bus begins it, it follows from the trace's id, so that it is decided once and the same everywhere.

Pure: what is made of it, and who is told, is somebody else's.
"""

import re
from hashlib import blake2b

import msgspec

from eventyard.core.delivery import Delivery


class Context(msgspec.Struct, frozen=True):
    """A span as others name it: W3C Trace Context. `state` is the `tracestate` that goes with it."""

    trace_id: int
    span_id: int
    is_sampled: bool
    state: str = ""

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.is_sampled:02x}"


class Span(msgspec.Struct, frozen=True):
    """One of the bus's own: what it is, and its parent (None: it begins its trace)."""

    context: Context
    parent: Context | None


def parse(traceparent: str, state: str = "") -> Context | None:
    """None for what is no `traceparent`: a producer's mistake costs its trace, never its event."""
    parsed = _TRACEPARENT.fullmatch(traceparent)
    if parsed is None:
        return None
    version, trace, span, flags, rest = parsed.groups()
    context = Context(int(trace, 16), int(span, 16), bool(int(flags, 16) & 1), state)
    is_known = version != "ff" and (version != "00" or not rest)
    return context if is_known and context.trace_id and context.span_id else None


_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class _Attributes(msgspec.Struct):
    traceparent: str = ""
    tracestate: str = ""


def of_event(json: bytes) -> Context | None:
    """What an event carries, in its structured form."""
    if b'"traceparent"' not in json:
        return None
    try:
        found = _DECODER.decode(json)
    except msgspec.DecodeError:
        return None
    return parse(found.traceparent, found.tracestate)


_DECODER = msgspec.json.Decoder(_Attributes)


def publishing(incarnation: str, position: int, event: Context | None, ratio: float) -> Span:
    """The span of the event's publishing at `position`. `ratio`: which part of the traces that begin here is sampled."""
    key = f"{incarnation}-{position}"
    if event is None:
        trace_id = _hash(f"trace {key}", 16)
        context = Context(trace_id, _hash(f"publish {key}", 8), _is_drawn(trace_id, ratio))
    else:
        context = _child(event, _hash(f"publish {key}", 8))
    return Span(context, event)


def attempting(incarnation: str, delivery: Delivery, event: Context | None, ratio: float) -> Span:
    """The span of one attempt: the lease that `delivery` is under now. A child of the event's publishing."""
    parent = publishing(incarnation, delivery.position, event, ratio).context
    key = f"attempt {incarnation}-{delivery.rule}-{delivery.position}-{delivery.run}-{delivery.leases}"
    return Span(_child(parent, _hash(key, 8)), parent)


def _child(parent: Context, span_id: int) -> Context:
    return Context(parent.trace_id, span_id, parent.is_sampled, parent.state)


def _is_drawn(trace_id: int, ratio: float) -> bool:
    return (trace_id & _LOW_HALF) < ratio * (_LOW_HALF + 1)


_LOW_HALF = 2**64 - 1


def _hash(text: str, size: int) -> int:
    """Never 0, which stands for no span."""
    return int.from_bytes(blake2b(text.encode(), digest_size=size).digest(), "big") or 1
