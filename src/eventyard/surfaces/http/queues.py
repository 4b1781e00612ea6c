"""Pull: consumers receive deliveries of a rule under leases, and say what became of them.

A receive that waits is a request that is not answered yet. Its caller may hang up meanwhile, so the door listens for that: the claim is
given up then, and what was leased for it goes back, uncounted.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from eventyard.core import document, limits
from eventyard.core.commands import Lease
from eventyard.core.delivery import delivery_id
from eventyard.core.errors import InvalidRequest, StaleLease
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.schemas import CloudEvent

LeaseSeconds = Annotated[float, msgspec.Meta(ge=1, le=limits.LEASE_S_MAX)]
Leases = Annotated[list[str], msgspec.Meta(min_length=1, max_length=limits.SETTLE_LEASES_MAX)]


class Receive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `max` deliveries, each leased for `lease_s` (null: as long as the rule says); `wait_s` for the first to come."""

    max: Annotated[int, msgspec.Meta(ge=1, le=limits.RECEIVE_MAX)] = 100
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=limits.RECEIVE_WAIT_S_MAX)] = 0.0
    lease_s: LeaseSeconds | None = None


class DeliveryAnswer(msgspec.Struct, frozen=True):
    """One event for this rule in this run. `id` stays the same over all attempts; `lease` is what it is settled by.

    `replayed` stands where the delivery belongs to a replay and the rule's `replay` is `mark`.
    """

    id: str
    lease: str
    attempt: int
    position: int
    run: int
    event: CloudEvent
    replayed: bool | msgspec.UnsetType = msgspec.UNSET


class DeliveriesAnswer(msgspec.Struct, frozen=True):
    """Empty where nothing came in time."""

    deliveries: list[DeliveryAnswer]


class Acknowledge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Leases whose deliveries are done."""

    leases: Leases


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Leases whose deliveries are to be given out again, `delay_s` from now."""

    leases: Leases
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=limits.RELEASE_DELAY_S_MAX)] = 0.0


class Reject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Leases whose deliveries can never be done: they become dead letters, which keep the `reason`."""

    leases: Leases
    reason: Annotated[str, msgspec.Meta(max_length=limits.REJECT_REASON_LENGTH_MAX)] = ""


class Renew(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Leases that are to end `lease_s` from now (null: as long as the rule says)."""

    leases: Leases
    lease_s: LeaseSeconds | None = None


class LeaseResult(msgspec.Struct, frozen=True):
    """Whether the verdict counts; `reason` says in a word why it does not."""

    lease: str
    ok: bool
    reason: str | None


class ResultsAnswer(msgspec.Struct, frozen=True):
    """One for each lease, in the order in which they were asked for."""

    results: list[LeaseResult]


async def receive(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Receive, InvalidRequest) if call.body else Receive()
    receiving = call.yard.receive(
        call.path["bus"], call.path["rule"], count=asked.max, wait_s=asked.wait_s, lease_s=asked.lease_s
    )
    leases = await (call.while_there(receiving) if asked.wait_s else receiving)
    incarnation = call.yard.bus(call.path["bus"]).incarnation
    return json_answer(DeliveriesAnswer([_delivery(incarnation, lease) for lease in leases]))


async def acknowledge(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Acknowledge, InvalidRequest)
    return _results(asked.leases, await call.yard.acknowledge(call.path["bus"], call.path["rule"], asked.leases))


async def release(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Release, InvalidRequest)
    found = await call.yard.release(call.path["bus"], call.path["rule"], asked.leases, delay_s=asked.delay_s)
    return _results(asked.leases, found)


async def reject(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Reject, InvalidRequest)
    found = await call.yard.reject(call.path["bus"], call.path["rule"], asked.leases, reason=asked.reason)
    return _results(asked.leases, found)


async def renew(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Renew, InvalidRequest)
    found = await call.yard.renew(call.path["bus"], call.path["rule"], asked.leases, lease_s=asked.lease_s)
    return _results(asked.leases, found)


def _delivery(incarnation: str, lease: Lease) -> DeliveryAnswer:
    row = lease.delivery
    name = delivery_id(incarnation, row.rule, row.position, row.run)
    is_marked = lease.is_replayed and lease.record.rule.replay == "mark"
    return DeliveryAnswer(
        name,
        f"{name}-{row.leases}",  # As `lease_token` has it, without putting the id together twice.
        row.attempts,
        row.position,
        row.run,
        msgspec.Raw(lease.event),
        True if is_marked else msgspec.UNSET,
    )


def _results(tokens: Sequence[str], found: Sequence[StaleLease | None]) -> Answer:
    results = [
        LeaseResult(token, stale is None, None if stale is None else stale.reason)
        for token, stale in zip(tokens, found, strict=True)
    ]
    return json_answer(ResultsAnswer(results))
