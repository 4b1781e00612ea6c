"""A push as an HTTP request: what a target gets of a delivery, whoever sends it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from eventyard.core import auth, batch, limits, reply, signature
from eventyard.core import cause as causes
from eventyard.core import event as events
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Lease
from eventyard.core.delivery import Delivery, delivery_id
from eventyard.core.errors import SecretLost
from eventyard.core.reply import RefusedReply, Reply
from eventyard.core.rule import RuleRecord
from eventyard.core.rule_secrets import BEARER, CLIENT_SECRET, PASSWORD, SIGNING
from eventyard.core.secret import Secret, context
from eventyard.core.target import WITHOUT_EVENT, HttpTarget
from eventyard.core.transform.shaped import Shaped, address
from eventyard.ports import PushAnswer, PushRequest

Headers = Sequence[tuple[str, str]]

Opener = Callable[[str, str], str]
"""`ports.Vault.open`."""


def nothing_to_open(_sealed: str, _context: str) -> str:
    """Where there is no vault."""
    raise SecretLost("there is no key file here")


class _Opened(NamedTuple):
    """What a target wants of its pushes beside the event, with its secrets opened: headers, what they are signed with, what a token is asked for with."""

    headers: Headers
    signing: Sequence[str]
    grant: auth.Grant | None = None


def push(
    bus: BusRecord,
    lease: Lease,
    time_s: int,
    more: Headers = (),
    open_secret: Opener = nothing_to_open,
    *,
    shaped: Shaped | None = None,
) -> PushRequest:
    """What the rule's target gets of a leased delivery at `time_s` (Unix time). `more`: headers that whoever sends it adds.

    `shaped`: what the rule's transform made of the event; None where it has none. `SecretLost`, `TransformFailed`.
    """
    record, target = lease.record, lease.record.rule.target.http
    if target is None:
        raise TypeError(f"rule {record.name} is pulled, not pushed")
    if is_marked(lease):
        more = (*more, ("eventyard-replay", str(lease.delivery.run)))
    if target.reply:
        more = (*more, reply.OFFER)
    opened = _open(bus, record, target, open_secret)
    request = _request(
        bus, record, lease.delivery, lease.event, target=target, shaped=shaped, more=more, opened=opened, time_s=time_s
    )
    return msgspec.structs.replace(request, answer_bytes_max=limits.REPLY_BYTES_MAX + 1) if target.reply else request


def answered(bus: BusRecord, lease: Lease, answer: PushAnswer) -> Reply | RefusedReply | None:
    """The reply that an answer to a push is, where the rule takes replies."""
    target, delivery = lease.record.rule.target.http, lease.delivery
    if target is None or not target.reply:
        return None
    identity = delivery_id(bus.incarnation, delivery.rule, delivery.position, delivery.run)
    cause = causes.of(delivery.position, lease.event)
    return reply.read(answer.status, answer.headers, answer.body, cause=cause, delivery=identity)


def is_marked(lease: Lease) -> bool:
    """Whether its push says of which replay it is."""
    return lease.is_replayed and lease.record.rule.replay == "mark"


def batched(bus: BusRecord, leases: Sequence[Lease], time_s: int, open_secret: Opener = nothing_to_open) -> PushRequest:
    """What the rule's target gets of several leased deliveries of one version of the rule, those of a marked replay for themselves. `SecretLost`.

    It tells of none of them beside its event: not which attempt it is, nor its position or trace. What is signed is the whole, under an id of the batch.
    """
    record, target = leases[0].record, leases[0].record.rule.target.http
    if target is None:
        raise TypeError(f"rule {record.name} is pulled, not pushed")
    deliveries = [lease.delivery for lease in leases]
    identity = batch.batch_id([delivery_id(bus.incarnation, one.rule, one.position, one.run) for one in deliveries])
    body = batch.composed([lease.event for lease in leases])
    opened = _open(bus, record, target, open_secret)
    headers = [
        ("content-type", events.BATCHED),
        ("eventyard-batch", identity),
        ("eventyard-bus", bus.name),
        ("eventyard-rule", record.name),
        *opened.headers,
    ]
    if is_marked(leases[0]):
        headers.append(("eventyard-replay", str(deliveries[0].run)))
    if opened.signing:
        headers += signature.headers(opened.signing, identity, time_s, body)
    answer_bytes = limits.PUSH_ANSWER_BYTES + len(leases) * limits.BATCH_VERDICT_BYTES
    return PushRequest(
        target.url, tuple(headers), body, target.timeout_s, answer_bytes, method=target.method, grant=opened.grant
    )


def trial(
    bus: BusRecord,
    record: RuleRecord,
    target: HttpTarget,
    delivery: Delivery,
    event: bytes,
    *,
    shaped: Shaped | None,
    time_s: int,
) -> PushRequest:
    """What another target gets that somebody tries a delivery of the rule on. `TransformFailed`."""
    more, opened = [("eventyard-test", "true")], _open(bus, record, target, nothing_to_open)
    return _request(bus, record, delivery, event, target=target, shaped=shaped, more=more, opened=opened, time_s=time_s)


def preview(target: HttpTarget, event: bytes, shaped: Shaped | None) -> PushRequest:
    """What the target would get of an event, without what the bus adds for each delivery and without secrets. `TransformFailed`."""
    content, body = _content(target, event, shaped)
    own = [(name, _NOT_SHOWN if isinstance(value, Secret) else value) for name, value in target.headers.items()]
    own += [] if target.auth is None else [(auth.HEADER, _NOT_SHOWN)]
    return _addressed(target, (*content, *own), body, shaped)


EXAMPLE = {"bus": b'"default"', "rule": b'"example"', "delivery": b'"example-1-1-0"', "position": b"1", "attempt": b"1"}
"""What a transform that is only tried is told of its delivery."""

_NOT_SHOWN = "(not shown)"


def _request(
    bus: BusRecord,
    record: RuleRecord,
    delivery: Delivery,
    event: bytes,
    *,
    target: HttpTarget,
    shaped: Shaped | None,
    more: Headers,
    opened: _Opened,
    time_s: int,
) -> PushRequest:
    identity = delivery_id(bus.incarnation, delivery.rule, delivery.position, delivery.run)
    content, body = _content(target, event, shaped)
    headers = [
        *content,
        ("eventyard-delivery", identity),
        ("eventyard-attempt", str(delivery.attempts)),
        ("eventyard-position", str(delivery.position)),
        ("eventyard-bus", bus.name),
        ("eventyard-rule", record.name),
        ("eventyard-hops", str(causes.hops(event))),
        *more,
        *opened.headers,
    ]
    if opened.signing:
        attributes = content if any(name.startswith("ce-") for name, _ in content) else ()
        headers += signature.headers(opened.signing, identity, time_s, body, attributes)
    request = _addressed(target, tuple(headers), body, shaped)
    return request if opened.grant is None else msgspec.structs.replace(request, grant=opened.grant)


def _addressed(target: HttpTarget, headers: tuple[tuple[str, str], ...], body: bytes, shaped: Shaped | None) -> PushRequest:
    if shaped is None:
        return PushRequest(target.url, headers, body, target.timeout_s, method=target.method)
    url = address(target.url, shaped)
    return PushRequest(url, (*headers, *shaped.headers), body, target.timeout_s, method=target.method)


def _open(bus: BusRecord, record: RuleRecord, target: HttpTarget, open_secret: Opener) -> _Opened:
    """A secret that is not sealed was opened for us, as for a worker."""

    def clear(value: str | Secret, name: str) -> str:
        return _clear(value, context(bus.name, record.name, name), open_secret)

    headers = [(name, clear(value, name)) for name, value in target.headers.items()]
    signing = [] if target.signing is None else [clear(secret, SIGNING) for secret in target.signing.secrets]
    if target.auth is None:
        return _Opened(headers, signing)
    basic, bearer, oauth2 = target.auth.basic, target.auth.bearer, target.auth.oauth2
    if basic is not None:
        headers.append((auth.HEADER, auth.basic(basic.username, clear(basic.password, PASSWORD))))
    if bearer is not None:
        headers.append((auth.HEADER, auth.bearer(clear(bearer, BEARER))))
    grant = None if oauth2 is None else auth.grant(oauth2, clear(oauth2.client_secret, CLIENT_SECRET))
    return _Opened(headers, signing, grant)


def _clear(value: str | Secret, belongs_to: str, open_secret: Opener) -> str:
    if not isinstance(value, Secret):
        return value
    if value.secret is None or not value.is_sealed:
        return value.secret or ""
    try:
        return open_secret(value.secret, belongs_to)
    except SecretLost as error:
        raise SecretLost(f"the secret of {belongs_to} cannot be opened: {error.found}") from error


def _content(target: HttpTarget, stored: bytes, shaped: Shaped | None) -> tuple[Headers, bytes]:
    """The body, and the headers that say what it is: a transform's, or the event's as far as the method has it sent."""
    if shaped is not None and shaped.body is not None:
        return [("content-type", shaped.content_type)], shaped.body
    headers, body = _event_content(target, stored)
    if target.method not in WITHOUT_EVENT:
        return headers, body
    return [(name, value) for name, value in headers if name != "content-type"], b""


def _event_content(target: HttpTarget, stored: bytes) -> tuple[Headers, bytes]:
    if target.batch is not None:
        return [("content-type", events.BATCHED)], batch.composed([stored])
    if target.mode == "structured":
        return [("content-type", events.STRUCTURED)], stored
    headers, body = events.to_binary(stored)
    return list(headers.items()), body
