"""A push as an HTTP request: what a target gets of a delivery, whoever sends it."""

from collections.abc import Callable, Sequence

import msgspec

from eventyard.core import event as events
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Lease
from eventyard.core.delivery import Delivery, delivery_id
from eventyard.core.errors import SecretLost
from eventyard.core.rule import WITHOUT_EVENT, HttpTarget, RuleRecord, compiled_transform
from eventyard.core.secret import Secret, context
from eventyard.core.transform.shaped import Shaped, address
from eventyard.core.transform.shapes import facts
from eventyard.ports import PushRequest

Headers = Sequence[tuple[str, str]]

Opener = Callable[[str, str], str]
"""`ports.Vault.open`."""


def nothing_to_open(_sealed: str, _context: str) -> str:
    """Where there is no vault."""
    raise SecretLost("there is no key file here")


def push(
    bus: BusRecord,
    lease: Lease,
    more: Headers = (),
    open_secret: Opener = nothing_to_open,
    *,
    shaped: Shaped | None = None,
) -> PushRequest:
    """What the rule's target gets of a leased delivery. `more`: headers that whoever sends it adds. `SecretLost`, `TransformFailed`.

    `shaped`: what the rule's transform made of the event; None where it has none.
    """
    target = lease.record.rule.target.http
    if target is None:
        raise TypeError(f"rule {lease.record.name} is pulled, not pushed")
    request = _request(bus, lease.record, lease.delivery, lease.event, target=target, shaped=shaped)
    if target.headers:
        more = (*more, *_own(bus, lease.record, target, open_secret))
    for name, value in more:
        request = _with_header(request, name, value)
    if not (lease.is_replayed and lease.record.rule.replay == "mark"):
        return request
    return _with_header(request, "eventyard-replay", str(lease.delivery.run))


def trial(bus: BusRecord, record: RuleRecord, target: HttpTarget, delivery: Delivery, event: bytes) -> PushRequest:
    """What another target gets that somebody tries a delivery of the rule on. `TransformFailed`."""
    compiled = compiled_transform(target)
    shaped = None if compiled is None else compiled.shape(event, facts(bus, record, delivery))
    request = _request(bus, record, delivery, event, target=target, shaped=shaped)
    for name, value in _own(bus, record, target, nothing_to_open):
        request = _with_header(request, name, value)
    return _with_header(request, "eventyard-test", "true")


def preview(target: HttpTarget, event: bytes) -> PushRequest:
    """What the target would get of an event, without what the bus adds for each delivery and without secrets. `TransformFailed`."""
    compiled = compiled_transform(target)
    shaped = None if compiled is None else compiled.shape(event, _EXAMPLE)
    content, body = _content(target, event, shaped)
    own = [(name, _NOT_SHOWN if isinstance(value, Secret) else value) for name, value in target.headers.items()]
    return _addressed(target, (*content, *own), body, shaped)


_EXAMPLE = {"bus": b'"default"', "rule": b'"example"', "delivery": b'"example-1-1-0"', "position": b"1", "attempt": b"1"}
"""What a transform that is only tried is told of its delivery."""

_NOT_SHOWN = "(not shown)"


def _request(
    bus: BusRecord, record: RuleRecord, delivery: Delivery, event: bytes, *, target: HttpTarget, shaped: Shaped | None
) -> PushRequest:
    content, body = _content(target, event, shaped)
    headers = [
        *content,
        ("eventyard-delivery", delivery_id(bus.incarnation, delivery.rule, delivery.position, delivery.run)),
        ("eventyard-attempt", str(delivery.attempts)),
        ("eventyard-position", str(delivery.position)),
        ("eventyard-bus", bus.name),
        ("eventyard-rule", record.name),
    ]
    return _addressed(target, tuple(headers), body, shaped)


def _addressed(target: HttpTarget, headers: tuple[tuple[str, str], ...], body: bytes, shaped: Shaped | None) -> PushRequest:
    if shaped is None:
        return PushRequest(target.url, headers, body, target.timeout_s, method=target.method)
    url = address(target.url, shaped)
    return PushRequest(url, (*headers, *shaped.headers), body, target.timeout_s, method=target.method)


def _own(bus: BusRecord, record: RuleRecord, target: HttpTarget, open_secret: Opener) -> list[tuple[str, str]]:
    """The target's own headers. A secret that is not sealed was opened for us, as for a worker."""
    return [(name, _clear(value, context(bus.name, record.name, name), open_secret)) for name, value in target.headers.items()]


def _clear(value: str | Secret, belongs_to: str, open_secret: Opener) -> str:
    if not isinstance(value, Secret):
        return value
    if value.secret is None or not value.is_sealed:
        return value.secret or ""
    try:
        return open_secret(value.secret, belongs_to)
    except SecretLost as error:
        raise SecretLost(f"the secret of {belongs_to} cannot be opened: {error.found}") from error


def _with_header(request: PushRequest, name: str, value: str) -> PushRequest:
    return msgspec.structs.replace(request, headers=(*request.headers, (name, value)))


def _content(target: HttpTarget, stored: bytes, shaped: Shaped | None) -> tuple[Headers, bytes]:
    """The body, and the headers that say what it is: a transform's, or the event's as far as the method has it sent."""
    if shaped is not None and shaped.body is not None:
        return [("content-type", shaped.content_type)], shaped.body
    headers, body = _event_content(target, stored)
    if target.method not in WITHOUT_EVENT:
        return headers, body
    return [(name, value) for name, value in headers if name != "content-type"], b""


def _event_content(target: HttpTarget, stored: bytes) -> tuple[Headers, bytes]:
    if target.mode == "structured":
        return [("content-type", events.STRUCTURED)], stored
    headers, body = events.to_binary(stored)
    return list(headers.items()), body
