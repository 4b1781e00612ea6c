"""A consumer at work on a rule, as a conversation without I/O: receive, have each delivery handled, say what became of it.

Theory of operation. `consuming` yields what is to be done next, a call to send or a delivery to handle, and is told what came of it. What
was handled is acknowledged together, when its batch is through and at least every second, so that a crash repeats little. Several of
these conversations may run beside one another, as many as deliveries are to be handled at once; all they share is `Leases`, by which the
shell renews what is held while handlers run. A delivery whose lease is over by our own clock before its turn, or that the bus would not
renew, is not begun: another consumer may have it.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, Protocol

import msgspec

from eventyard.client import pulling
from eventyard.client.answers import Delivery, Settled
from eventyard.client.call import Call
from eventyard.client.errors import Reject, Retry

log = logging.getLogger("eventyard.client")

ACKNOWLEDGE_EVERY_S = 1.0

DELAY_S_MAX = 600.0
"""A delivery that fails again and again is tried again at least so often; the rule's attempts and age end it."""

STOP_S = 2.0
"""A consumer that may be stopped asks for no longer than this at a time, so it notices soon."""

RENEWALS_PER_LEASE = 3
"""How often a lease is renewed while it lasts: two renewals may be lost before it is."""

RENEWED_AT_ONCE = 1_000
"""Leases that a server takes in one request."""

REASON_LENGTH_MAX = 1_000
"""What a dead letter keeps of a reason; a longer one would be refused, and end the consumer."""

CONCURRENCY_MAX = 100
"""Each has a connection, and a thread or a task; more work at once is more processes' work."""

OnFailure = Callable[[Delivery, Exception], None]


class Stop(Protocol):
    """What tells a consumer to stop: a `threading.Event`, an `asyncio.Event`, `Stopping`."""

    def is_set(self) -> bool: ...


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
    concurrency: int
    stop: Stop | None

    @property
    def is_stopped(self) -> bool:
        return self.stop is not None and self.stop.is_set()


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
    concurrency: int = 1,
    stop: Stop | None = None,
) -> Consume:
    """Receive from the rule `name` and have each delivery handled: it is acknowledged when `handle` (of an AsyncClient: awaited) returns.

    When it raises, the delivery is released and given out again after `retry_s`, twice that after the next attempt, and so on;
    `on_failure` is told (else the log is). `Reject` makes it a dead letter, `Retry` has it given out again when it says. Leases are renewed while handlers run. Up to `concurrency`
    deliveries are handled at once, of a Client by as many threads. It goes on until `stop` is set, or nothing came for `wait_s`, if
    `until_empty`: then what is being handled is finished and the rest released. So it does when `handle` raises what is no Exception,
    as Ctrl-C does, which is raised on.
    """
    if not 1 <= concurrency <= CONCURRENCY_MAX:
        raise ValueError(f"found concurrency={concurrency}; wanted 1 to {CONCURRENCY_MAX}")
    return Consume(name, handle, bus, max, wait_s, lease_s, retry_s, until_empty, on_failure, concurrency, stop)


class Leases:
    """What all conversations of one consumer hold, by lease, and since when by our own clock. Threads share it."""

    def __init__(self, wanted: Consume, now: Callable[[], float]) -> None:
        self._wanted = wanted
        self._now = now
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def renew_every_s(self) -> float:
        return self._wanted.lease_s / RENEWALS_PER_LEASE

    def take(self, deliveries: Iterable[Delivery], since: float) -> None:
        with self._lock:
            self._since.update((each.lease, since) for each in deliveries)

    def drop(self, deliveries: Iterable[Delivery]) -> None:
        with self._lock:
            for each in deliveries:
                self._since.pop(each.lease, None)

    def holds(self, delivery: Delivery) -> bool:
        with self._lock:
            since = self._since.get(delivery.lease)
        return since is not None and self._now() - since < self._wanted.lease_s

    def renewals(self) -> list[Call[list[Settled]]]:
        """What renews all that is held by now."""
        with self._lock:
            held = list(self._since)
        batches = [held[start : start + RENEWED_AT_ONCE] for start in range(0, len(held), RENEWED_AT_ONCE)]
        wanted = self._wanted
        calls = [pulling.renew(wanted.name, batch, lease_s=wanted.lease_s, bus=wanted.bus) for batch in batches]
        return [msgspec.structs.replace(call, is_retried=False) for call in calls]

    def renewed(self, results: list[Settled], since: float) -> None:
        """What was renewed is held from `since` on, when it was asked; what was not is lost."""
        with self._lock:
            for each in results:
                if not each.ok:
                    self._since.pop(each.lease, None)
                elif each.lease in self._since:
                    self._since[each.lease] = since


def consuming(wanted: Consume, leases: Leases, now: Callable[[], float]) -> Generator[Step, Any, None]:
    """Until it is stopped, or the queue is empty, where that is the end, or a handler raises what is no Exception: whoever raised it leaves.

    `now` in seconds, from any start.
    """
    wait_s = wanted.wait_s if wanted.stop is None else min(wanted.wait_s, STOP_S)
    idle_s, is_over = 0.0, False
    while not (is_over or wanted.is_stopped):
        deliveries = yield pulling.receive(wanted.name, bus=wanted.bus, max=wanted.max, wait_s=wait_s, lease_s=wanted.lease_s)
        leases.take(deliveries, now())
        idle_s = 0.0 if deliveries else idle_s + wait_s
        is_leaving = yield from _work_through(wanted, deliveries, leases, now)
        is_over = is_leaving or (wanted.is_until_empty and not deliveries and idle_s >= wanted.wait_s)


def _work_through(
    wanted: Consume, deliveries: list[Delivery], leases: Leases, now: Callable[[], float]
) -> Generator[Step, Any, bool]:
    """Handle one batch. Whether its handler leaves; then, and when it is stopped, what it did not handle is released."""
    acknowledged_at = now()
    left, done, is_leaving = deque(deliveries), list[Delivery](), False
    while left and not is_leaving and not wanted.is_stopped:
        if not leases.holds(left[0]):
            leases.drop([left.popleft()])
            continue
        failure = yield Handle(left[0])
        if failure is None:
            done.append(left.popleft())
        elif isinstance(failure, Exception):
            yield _refusal(wanted, left[0], failure)
            leases.drop([left.popleft()])
        else:
            is_leaving = True
        if done and now() - acknowledged_at >= ACKNOWLEDGE_EVERY_S:
            yield from _acknowledge(wanted, done, leases)
            done, acknowledged_at = [], now()
    if done:
        yield from _acknowledge(wanted, done, leases)
    if left:
        yield pulling.release(wanted.name, left, bus=wanted.bus)
        leases.drop(left)
    return is_leaving


def _acknowledge(wanted: Consume, done: list[Delivery], leases: Leases) -> Generator[Step, Any, None]:
    results = yield pulling.acknowledge(wanted.name, done, bus=wanted.bus)
    leases.drop(done)
    for each in results:
        if not each.ok:
            log.warning("a delivery was handled, but its lease %s is no longer ours: %s", each.lease, each.reason)


def _refusal(wanted: Consume, delivery: Delivery, failure: Exception) -> Call[Any]:
    if isinstance(failure, Reject):
        return pulling.reject(wanted.name, delivery, reason=failure.reason[:REASON_LENGTH_MAX], bus=wanted.bus)
    if isinstance(failure, Retry):
        return pulling.release(wanted.name, delivery, delay_s=failure.delay_s, bus=wanted.bus)
    wanted.on_failure(delivery, failure)
    delay_s = min(DELAY_S_MAX, wanted.retry_s * 2.0 ** min(delivery.attempt - 1, _DOUBLINGS_MAX))
    return pulling.release(wanted.name, delivery, delay_s=delay_s, bus=wanted.bus)


_DOUBLINGS_MAX = 32
"""The longest delay is reached long before; past a thousand a double could not hold the power."""
