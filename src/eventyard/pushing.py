"""A push as an HTTP request: what a target gets of a delivery, whoever sends it."""

from collections.abc import Callable, Sequence

from eventyard.core import event as events
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Lease
from eventyard.core.delivery import Delivery, delivery_id
from eventyard.core.errors import SecretLost
from eventyard.core.rule import HttpTarget, RuleRecord
from eventyard.core.secret import Secret, context
from eventyard.ports import PushRequest

Headers = Sequence[tuple[str, str]]

Opener = Callable[[str, str], str]
"""`ports.Vault.open`."""


def nothing_to_open(_sealed: str, _context: str) -> str:
    """Where there is no vault."""
    raise SecretLost("there is no key file here")


def push(bus: BusRecord, lease: Lease, more: Headers = (), open_secret: Opener = nothing_to_open) -> PushRequest:
    """What the rule's target gets of a leased delivery. `more`: headers that whoever sends it adds. `SecretLost`."""
    target = lease.record.rule.target.http
    if target is None:
        raise TypeError(f"rule {lease.record.name} is pulled, not pushed")
    request = _request(bus, lease.record, target, lease.delivery, lease.event)
    if target.headers:
        more = (*more, *_own(bus, lease.record, target, open_secret))
    for name, value in more:
        request = _with_header(request, name, value)
    if not (lease.is_replayed and lease.record.rule.replay == "mark"):
        return request
    return _with_header(request, "eventyard-replay", str(lease.delivery.run))


def trial(bus: BusRecord, record: RuleRecord, target: HttpTarget, delivery: Delivery, event: bytes) -> PushRequest:
    """What another target gets that somebody tries a delivery of the rule on."""
    request = _request(bus, record, target, delivery, event)
    for name, value in _own(bus, record, target, nothing_to_open):
        request = _with_header(request, name, value)
    return _with_header(request, "eventyard-test", "true")


def _request(bus: BusRecord, record: RuleRecord, target: HttpTarget, delivery: Delivery, event: bytes) -> PushRequest:
    content, body = _content(target, event)
    headers = [
        *content,
        ("eventyard-delivery", delivery_id(bus.incarnation, delivery.rule, delivery.position, delivery.run)),
        ("eventyard-attempt", str(delivery.attempts)),
        ("eventyard-position", str(delivery.position)),
        ("eventyard-bus", bus.name),
        ("eventyard-rule", record.name),
    ]
    return PushRequest(target.url, tuple(headers), body, target.timeout_s)


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
    headers = (*request.headers, (name, value))
    return PushRequest(request.url, headers, request.body, request.timeout_s, request.answer_bytes_max)


def _content(target: HttpTarget, stored: bytes) -> tuple[Headers, bytes]:
    if target.mode == "structured":
        return [("content-type", events.STRUCTURED)], stored
    headers, body = events.to_binary(stored)
    return list(headers.items()), body
