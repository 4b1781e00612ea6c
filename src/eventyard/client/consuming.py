"""A consumer at work on a rule, as a conversation without I/O: receive, have each delivery handled, say what became of it.

Theory of operation. `consuming` yields what is to be done next, a call to send or a delivery to handle, and is told what came of it. What
was handled is acknowledged together, when its batch is through and at least every second, so that a crash repeats little. A delivery
whose lease has run out by our own clock before its turn is not begun: another consumer may have it.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

import msgspec

from eventyard.client import pulling
from eventyard.client.answers import Delivery
from eventyard.client.call import Call
from eventyard.client.errors import Reject

log = logging.getLogger("eventyard.client")

ACKNOWLEDGE_EVERY_S = 1.0

DELAY_S_MAX = 600.0
"""A delivery that fails again and again is tried again at least so often; the rule's attempts and age end it."""

OnFailure = Callable[[Delivery, Exception], None]


class Consume(msgspec.Struct, frozen=True):
    """What is to be consumed, and how: see `consume`."""

    name: str
    handle: Callable[[Delivery], Any]
    bus: str
    max: int
    wait_s: float
    lease_s: float
    retry_s: float
    is_until_empty: bool
    on_failure: OnFailure


class Handle(msgspec.Struct, frozen=True):
    """Have this delivery handled; told None when it was, else what was raised."""

    delivery: Delivery


Step = Call[Any] | Handle


def log_failure(delivery: Delivery, failure: Exception) -> None:
    log.warning("delivery %s failed at attempt %d and is released", delivery.id, delivery.attempt, exc_info=failure)


def consume(
    name: str,
    handle: Callable[[Delivery], Any],
    *,
    bus: str = "default",
    max: int = 10,  # noqa: A002 - the door's own name
    wait_s: float = 20.0,
    lease_s: float = 30.0,
    retry_s: float = 1.0,
    until_empty: bool = False,
    on_failure: OnFailure = log_failure,
) -> Consume:
    """Receive from the rule `name` and have each delivery handled: it is acknowledged when `handle` (of an AsyncClient: awaited) returns.

    When it raises, the delivery is released and given out again after `retry_s`, twice that after the next attempt, and so on;
    `on_failure` is told (else the log is). `Reject` makes it a dead letter. It goes on until nothing came for `wait_s`, if
    `until_empty`, or until `handle` raises what is no Exception, as Ctrl-C does: then what was not handled is released.
    """
    return Consume(name, handle, bus, max, wait_s, lease_s, retry_s, until_empty, on_failure)


def consuming(wanted: Consume, now: Callable[[], float]) -> Generator[Step, Any, None]:
    """Until the queue is empty, where that is the end, or a handler raises what is no Exception: whoever raised it leaves.

    `now` in seconds, from any start.
    """
    is_over = False
    while not is_over:
        deliveries = yield pulling.receive(
            wanted.name, bus=wanted.bus, max=wanted.max, wait_s=wanted.wait_s, lease_s=wanted.lease_s
        )
        is_leaving = yield from _work_through(wanted, deliveries, now)
        is_over = is_leaving or (wanted.is_until_empty and not deliveries)


def _work_through(wanted: Consume, deliveries: list[Delivery], now: Callable[[], float]) -> Generator[Step, Any, bool]:
    """Handle one batch. Whether its handler leaves; then what it did not handle is released."""
    leased_at = acknowledged_at = now()
    left, done, is_leaving = deque(deliveries), list[Delivery](), False
    while left and not is_leaving and now() - leased_at < wanted.lease_s:
        failure = yield Handle(left[0])
        if failure is None:
            done.append(left.popleft())
        elif isinstance(failure, Exception):
            yield _refusal(wanted, left.popleft(), failure)
        else:
            is_leaving = True
        if done and now() - acknowledged_at >= ACKNOWLEDGE_EVERY_S:
            yield pulling.acknowledge(wanted.name, done, bus=wanted.bus)
            done, acknowledged_at = [], now()
    if done:
        yield pulling.acknowledge(wanted.name, done, bus=wanted.bus)
    if left and is_leaving:
        yield pulling.release(wanted.name, left, bus=wanted.bus)
    return is_leaving


def _refusal(wanted: Consume, delivery: Delivery, failure: Exception) -> Call[Any]:
    if isinstance(failure, Reject):
        return pulling.reject(wanted.name, delivery, reason=failure.reason, bus=wanted.bus)
    wanted.on_failure(delivery, failure)
    delay_s = min(DELAY_S_MAX, wanted.retry_s * 2.0 ** min(delivery.attempt - 1, _DOUBLINGS_MAX))
    return pulling.release(wanted.name, delivery, delay_s=delay_s, bus=wanted.bus)


_DOUBLINGS_MAX = 32
"""The longest delay is reached long before; past a thousand a double could not hold the power."""
