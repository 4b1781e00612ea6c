"""Mutants of delivery: replies, other buses, consent, rates and budgets, transforms, logins."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any
from unittest import mock

import msgspec

from eventyard.core import event, reply, replying, settling, trouble
from eventyard.core.commands import Published
from eventyard.core.delivery import Note, Reason
from eventyard.core.draft import Draft
from eventyard.core.hosts import Hosts
from eventyard.core.protection import Protection
from eventyard.core.reply import RefusedReply
from eventyard.core.rule import RuleRecord
from eventyard.core.transform import TransformFailed
from eventyard.core.transform.inputs import Inputs
from eventyard.core.verdict import Delivered
from eventyard.forwarding import Forwarder
from eventyard.tokens import TokenTransport

Patch = Callable[[], AbstractContextManager[object]]


# Replies


def _stale_replies_count() -> AbstractContextManager[object]:
    """The reply of a verdict that comes too late is taken all the same."""
    settle = settling._settle

    def settled(draft: Any, settlement: Any, closed: Any) -> Any:
        answer, verdict = settle(draft, settlement, closed), settlement.verdict
        delivery, record = draft.delivery(settlement.key), draft.find_rule(settlement.key[0])
        if answer is not None and delivery and record and isinstance(verdict, Delivered) and verdict.reply is not None:
            replying.take(draft, delivery, record, verdict.reply)
        return answer

    return mock.patch.object(settling, "_settle", settled)


def _refused_replies_kill() -> AbstractContextManager[object]:
    """A delivery whose reply is refused is a dead letter, though its target took it."""
    deliver = settling._deliver

    def delivered(draft: Any, delivery: Any, record: Any, verdict: Delivered) -> None:
        if isinstance(verdict.reply, RefusedReply):
            settling.kill(draft, delivery, record, Note(Reason.ANSWER, 200, at_ms=draft.time.time_ms))
        else:
            deliver(draft, delivery, record, verdict)

    return mock.patch.object(settling, "_deliver", delivered)


# Other buses


def _settled_before_published() -> AbstractContextManager[object]:
    """A delivery counts as brought before the other bus has it."""

    def publish(self: Forwarder, name: str, carried: Any) -> None:  # noqa: ARG001 - as the method it stands for
        self._published(carried, [Published(1, "", "", is_duplicate=False) for _ in carried])

    return mock.patch.object(Forwarder, "_publish", publish)


def _hops_unbounded() -> AbstractContextManager[object]:
    """What comes of one another goes on for ever."""
    begin = Draft.__init__

    def unbounded(self: Draft, *given: Any, **named: Any) -> None:
        begin(self, *given, **named | {"hops_max": 1_000})

    return mock.patch.object(Draft, "__init__", unbounded)


# Consent and rates


def _any_address_was_asked() -> AbstractContextManager[object]:
    """Consent that was given at one address is taken for one at any."""
    return mock.patch.object(RuleRecord, "heard", property(lambda record: record.handshake if record.is_asked else None))


def _allowed_rate_is_ignored() -> AbstractContextManager[object]:
    return mock.patch.object(RuleRecord, "rate_per_s", property(lambda record: record.rule.delivery.rate_per_s))


def _full_at_each_start() -> AbstractContextManager[object]:
    """Who restarts may send at once."""
    begin = Protection.__init__
    return mock.patch.object(Protection, "__init__", lambda self, healths, *_: begin(self, healths))


# Transforms


def _half_a_request() -> AbstractContextManager[object]:
    """What an event has not is null in its request."""
    find = Inputs._find

    def found(self: Inputs, path: Any) -> bytes:
        try:
            return find(self, path)
        except TransformFailed:
            return b"null"

    return mock.patch.object(Inputs, "_find", found)


# Logins


def _token_server_is_stormed() -> AbstractContextManager[object]:
    """It is asked by every push while it is down."""
    fetched = TokenTransport._fetched

    def forgetting(self: TokenTransport, grant: Any, answer: Any) -> None:
        fetched(self, grant, answer)
        self._kept[grant].asks_again_at = 0.0

    return mock.patch.object(TokenTransport, "_fetched", forgetting)


def _again_and_again() -> AbstractContextManager[object]:
    """A push whose token is refused is sent as often as there is another one."""
    answered = TokenTransport._answered

    def as_the_first(self: TokenTransport, grant: Any, push: Any, token: str, answer: Any) -> None:
        self._kept[grant].trusted_until = 0.0
        answered(self, grant, msgspec.structs.replace(push, is_second=False), token, answer)

    return mock.patch.object(TokenTransport, "_answered", as_the_first)


DELIVERY_MUTANTS: Mapping[str, Patch] = MappingProxyType(
    {
        "stale-replies-count": _stale_replies_count,
        "replies-are-lost": lambda: mock.patch.object(replying, "take"),
        "refused-in-silence": lambda: mock.patch.object(replying, "_tell_refused"),
        "refused-are-not-summed": lambda: mock.patch.object(
            trouble._Teller, "_tell_refused", lambda _self, _record, health: health
        ),
        "refused-replies-kill": _refused_replies_kill,
        "replies-of-nothing": lambda: mock.patch.object(reply, "_caused", lambda found, _: reply._lean(found)),
        "settled-before-published": _settled_before_published,
        "hops-uncounted": lambda: mock.patch.object(event, "with_hops", lambda found, _: found),
        "hops-unbounded": _hops_unbounded,
        "consent-not-awaited": lambda: mock.patch.object(RuleRecord, "awaits_consent", property(lambda _: False)),
        "any-address-was-asked": _any_address_was_asked,
        "allowed-rate-is-ignored": _allowed_rate_is_ignored,
        "full-at-each-start": _full_at_each_start,
        "hosts-full-at-each-start": lambda: mock.patch.object(Hosts, "begin_empty"),
        "new-address-is-unbound": lambda: mock.patch.object(Hosts, "is_followed", return_value=True),
        "half-a-request": _half_a_request,
        "no-other-token": lambda: mock.patch.object(TokenTransport, "_doubt", return_value=False),
        "again-and-again": _again_and_again,
        "token-server-is-stormed": _token_server_is_stormed,
    }
)
