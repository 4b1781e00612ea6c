"""POST /v1/buses/{bus}/events: one event or a batch in, and after they are durable one verdict for each out."""

from collections.abc import Iterator, Mapping
from typing import cast

import msgspec

from eventyard import ingest
from eventyard.core import event, limits
from eventyard.core.access import Caller
from eventyard.core.commands import Published
from eventyard.core.errors import Forbidden, InvalidRequest, Refused
from eventyard.core.event import Event
from eventyard.surfaces.http import problems
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.problems import Problem


class Accepted(msgspec.Struct, frozen=True):
    """The event is durable at `position`. `duplicate`: it was there already, and that is its first position."""

    id: str
    source: str
    position: int
    duplicate: bool


class Verdict(msgspec.Struct, frozen=True):
    """What became of one event of a batch: the members of `Accepted`, or `error`."""

    id: str | msgspec.UnsetType = msgspec.UNSET
    source: str | msgspec.UnsetType = msgspec.UNSET
    position: int | msgspec.UnsetType = msgspec.UNSET
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET
    error: Problem | msgspec.UnsetType = msgspec.UNSET


class AcceptedBatch(msgspec.Struct, frozen=True):
    """One verdict for each event, in their order."""

    events: list[Verdict]


def body_bytes_max(headers: Mapping[bytes, bytes]) -> int:
    """One event is refused by its size before it is read; only a batch may be longer."""
    is_batch = headers.get(b"content-type", b"").lower().startswith(_BATCHED)
    return limits.BATCH_BYTES_MAX if is_batch else limits.EVENT_BYTES_MAX


_BATCHED = event.BATCHED.encode()


async def publish(call: Call[NoFields]) -> Answer:
    batch = _accept(call)
    if batch.is_batch:
        return await _publish_batch(call, batch.events)
    [verdict] = await call.yard.publish(call.path["bus"], cast("tuple[Event]", batch.events), traceparent=_traceparent(call))
    if isinstance(verdict, Refused):
        raise verdict
    return json_answer(Accepted(verdict.id, verdict.source, verdict.position, verdict.is_duplicate), 202)


def _accept(call: Call[NoFields]) -> ingest.Batch:
    try:
        batch = ingest.accept(_content_type(call.headers), _decoded(call.headers), call.body)
        return _allowed(call.caller, call.path["bus"], batch) if call.caller.is_bound else batch
    except Refused as refused:
        call.yard.meter.turn_away(call.path["bus"], refused)
        raise


def _allowed(caller: Caller, bus: str, batch: ingest.Batch) -> ingest.Batch:
    """Events that the caller may not publish are refused in their places; one alone, at once."""
    events = tuple(event if isinstance(event, Refused) else caller.refusal(event, bus) or event for event in batch.events)
    if not batch.is_batch and isinstance(events[0], Refused):
        raise events[0]
    return msgspec.structs.replace(batch, events=events)


def _traceparent(call: Call[NoFields]) -> str:
    """The request's own `traceparent`, where anybody wants to know."""
    if call.yard.is_traced:
        for name, value in call.headers:
            if name == b"traceparent":
                return value.decode("latin-1")
    return ""


def _content_type(headers: list[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == b"content-type":
            return value.decode("latin-1")
    return None


def _decoded(headers: list[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    """Lazily, since only a binary-mode event has its attributes here."""
    for name, value in headers:
        yield name.decode("latin-1"), value.decode("latin-1")


async def _publish_batch(call: Call[NoFields], events: tuple[Event | Refused, ...]) -> Answer:
    """Each refusal stays in its place. A batch of which nothing was taken is itself a bad request."""
    accepted = [event for event in events if isinstance(event, Event)]
    answers = iter(await call.yard.publish(call.path["bus"], accepted, traceparent=_traceparent(call)) if accepted else [])
    verdicts = [event if isinstance(event, Refused) else next(answers) for event in events]
    for refused in events:
        if isinstance(refused, Refused):
            call.yard.meter.turn_away(call.path["bus"], refused)
    told = [_verdict(verdict) for verdict in verdicts]
    refusals = [verdict for verdict in verdicts if isinstance(verdict, Refused)]
    if refusals and len(refusals) == len(verdicts):
        return problems.answer(_all_refused(refusals), events=told)
    return json_answer(AcceptedBatch(told), 202)


def _verdict(verdict: Published | Refused) -> Verdict:
    if isinstance(verdict, Refused):
        return Verdict(error=problems.problem(verdict))
    return Verdict(verdict.id, verdict.source, verdict.position, verdict.is_duplicate)


def _all_refused(refusals: list[Refused]) -> Refused:
    """Forbidden where that is what each of them was: another key is what it takes."""
    first = refusals[0]
    found = f"each of the {len(refusals)} events was refused, the first for: {first.found}"
    if isinstance(first, Forbidden) and all(isinstance(refusal, Forbidden) for refusal in refusals):
        return Forbidden(first.scope, found, wanted=first.wanted, at=first.at)
    return InvalidRequest(found, wanted=first.wanted, at=first.at)
