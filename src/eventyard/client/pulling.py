"""Receiving from a rule that is pulled, and saying what became of it, as pure functions like those of `protocol`."""

from collections.abc import Iterable
from typing import Any

import msgspec

from eventyard.client.answers import Delivery, Settled
from eventyard.client.call import JSON, Call, Request, address, answer
from eventyard.client.event import encode_json
from eventyard.client.patience import Response

Leases = Iterable[str | Delivery] | str | Delivery
"""Leases by their tokens, or deliveries that hold them; or a single one."""


class _Deliveries(msgspec.Struct, frozen=True):
    deliveries: list[Delivery]


class _Results(msgspec.Struct, frozen=True):
    results: list[Settled]


def receive(
    name: str,
    *,
    bus: str = "default",
    max: int = 100,  # noqa: A002 - the door's own name
    wait_s: float = 0.0,
    lease_s: float | None = None,
) -> Call[list[Delivery]]:
    """Lease up to `max` deliveries of the rule `name`, for `lease_s` each (else as long as the rule says).

    Where there are none it waits up to `wait_s` for the first. Empty where nothing came.
    """
    asked = {"max": max, "wait_s": wait_s} | ({} if lease_s is None else {"lease_s": lease_s})
    request = _request("receive", name, bus, asked)
    return Call(msgspec.structs.replace(request, wait_s=wait_s), _read_deliveries)


def acknowledge(name: str, leases: Leases, *, bus: str = "default") -> Call[list[Settled]]:
    """Done: these deliveries end as delivered. One `Settled` for each lease, in their order, here and of the next three."""
    return _settle("acknowledge", name, leases, bus)


def release(name: str, leases: Leases, *, delay_s: float = 0.0, bus: str = "default") -> Call[list[Settled]]:
    """Not done: they are given out again `delay_s` from now, or become dead letters where the rule's attempts or age are used up."""
    return _settle("release", name, leases, bus, delay_s=delay_s)


def reject(name: str, leases: Leases, *, reason: str = "", bus: str = "default") -> Call[list[Settled]]:
    """Never to be done: they become dead letters that keep the reason."""
    return _settle("reject", name, leases, bus, reason=reason)


def renew(name: str, leases: Leases, *, lease_s: float | None = None, bus: str = "default") -> Call[list[Settled]]:
    """Still at it: their leases end `lease_s` from now (else as long as the rule says)."""
    return _settle("renew", name, leases, bus, **({} if lease_s is None else {"lease_s": lease_s}))


def _settle(verb: str, name: str, leases: Leases, bus: str, **said: Any) -> Call[list[Settled]]:
    listed = [leases] if isinstance(leases, str | Delivery) else leases
    tokens = [each.lease if isinstance(each, Delivery) else each for each in listed]
    return Call(_request(verb, name, bus, {"leases": tokens, **said}), _read_results)


def _read_deliveries(response: Response) -> list[Delivery]:
    return answer(_Deliveries)(response).deliveries


def _read_results(response: Response) -> list[Settled]:
    return answer(_Results)(response).results


def _request(verb: str, name: str, bus: str, document: dict[str, Any]) -> Request:
    path = address("buses", bus, "rules", name, verb)
    return Request("POST", path, body=encode_json(document), content_type=JSON)
