"""Gathering: deliveries that are leased and wait for others of their rule, to go with them in one request.

A batch is full at the rule's count or bytes, or goes as it is when its first has waited for `wait_s`. Full ones wait for one of the rule's requests to end
where there are as many as its concurrency allows; whatever has waited for so long that its lease would not cover a push any more is given back unsent. A
crash leaves leases behind, as of any push. All but `learn` belongs to the thread that leases.
"""

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

from eventyard import pushing
from eventyard.core import batch, limits
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Lease
from eventyard.core.rule import RuleRecord

RuleKey = tuple[int, int]
"""Bus number and rule uid."""


class Push(Protocol):
    """One delivery on its way."""

    @property
    def bus(self) -> BusRecord: ...
    @property
    def lease(self) -> Lease: ...


PushT = TypeVar("PushT", bound=Push)


class Gathered(msgspec.Struct, Generic[PushT], eq=False):
    """Of one version of a rule; those of a marked replay for themselves. `due_ms`: the work time at which it goes, full or not."""

    record: RuleRecord
    due_ms: int
    pushes: list[PushT] = []
    bytes: int = 1

    @property
    def rule(self) -> RuleKey:
        return self.pushes[0].bus.number, self.record.uid

    @property
    def ends_ms(self) -> int:
        """When the first lease of them ends."""
        return min(push.lease.delivery.at_ms for push in self.pushes)


class Gathering(Generic[PushT]):
    """`requests`: how many batches of a rule are under way."""

    def __init__(self, work_ms: Callable[[], int]) -> None:
        self._work_ms = work_ms
        self._open: dict[RuleKey, dict[int, Gathered[PushT]]] = {}
        self._full: dict[RuleKey, list[Gathered[PushT]]] = {}
        self._learnt: dict[RuleKey, tuple[int, int]] = {}
        self.requests: dict[RuleKey, int] = {}

    def add(self, push: PushT) -> None:
        """It goes with the next batch of its rule."""
        lease, policy = push.lease, push.lease.record.batch
        assert policy is not None  # noqa: S101 - asked for by whoever adds
        rule, size = (push.bus.number, lease.delivery.rule), batch.size_in(lease.event)
        bytes_max = min(policy.max_bytes, self._bytes_max(rule))
        run = lease.delivery.run if pushing.is_marked(lease) else 0
        found = self._open.get(rule, {}).get(run)
        if found is not None and (found.record is not lease.record or found.bytes + size > bytes_max):
            self._fill(rule, run)
            found = None
        if found is None:
            found = Gathered(lease.record, self._work_ms() + policy.wait_ms, [])
            self._open.setdefault(rule, {})[run] = found
        found.pushes.append(push)
        found.bytes += size
        if len(found.pushes) >= policy.max_events or found.bytes >= bytes_max:
            self._fill(rule, run)

    def _bytes_max(self, rule: RuleKey) -> int:
        """What its target has refused before as too large is not tried again soon."""
        bytes_max, until_ms = self._learnt.get(rule, (limits.BATCH_BYTES_MAX, 0))
        if until_ms and until_ms <= self._work_ms():
            self._learnt.pop(rule, None)
            return limits.BATCH_BYTES_MAX
        return bytes_max

    def _fill(self, rule: RuleKey, run: int) -> None:
        self._full.setdefault(rule, []).append(self._open[rule].pop(run))
        if not self._open[rule]:
            del self._open[rule]

    def due(self, *, is_last: bool) -> Iterator[Gathered[PushT]]:
        """Batches that go now, counted among the `requests`. `is_last`: nothing more comes, so none waits for more."""
        now_ms = self._work_ms()
        for rule, opened in list(self._open.items()):
            for run in [run for run, found in opened.items() if is_last or found.due_ms <= now_ms]:
                self._fill(rule, run)
        for rule, full in list(self._full.items()):
            while full and self._is_free(full[0]) and not _is_late(full[0], now_ms):
                self.requests[rule] = self.requests.get(rule, 0) + 1
                yield full.pop(0)
            if not full:
                del self._full[rule]

    def _is_free(self, found: Gathered[PushT]) -> bool:
        return self.requests.get(found.rule, 0) < found.record.rule.delivery.concurrency

    def late(self) -> Iterator[PushT]:
        """What has waited for too long to be sent under its lease."""
        now_ms = self._work_ms()
        for rule, full in list(self._full.items()):
            for found in [found for found in full if _is_late(found, now_ms)]:
                full.remove(found)
                yield from found.pushes
            if not full:
                del self._full[rule]

    def withdraw(self, rule: RuleKey) -> list[PushT]:
        """All that is unsent of a rule, because it is another one from now on."""
        gathered = [*self._open.pop(rule, {}).values(), *self._full.pop(rule, [])]
        self._learnt.pop(rule, None)
        return [push for found in gathered for push in found.pushes]

    def withdraw_all(self, bus: int) -> list[PushT]:
        """The same of all rules of a bus."""
        return [push for rule in {*self._open, *self._full} if rule[0] == bus for push in self.withdraw(rule)]

    def ended(self, rule: RuleKey) -> None:
        """One of its requests was answered."""
        self.requests[rule] -= 1
        if not self.requests[rule]:
            del self.requests[rule]

    def room(self, record: RuleRecord, rule: RuleKey) -> int:
        """How many deliveries more may gather: as many as go into the requests that are free."""
        policy = record.batch
        full, opened = self._full.get(rule, ()), self._open.get(rule, {})
        free = record.rule.delivery.concurrency - self.requests.get(rule, 0) - len(full)
        most = free * (1 if policy is None else policy.max_events)
        return most - sum(len(found.pushes) for found in opened.values())

    @property
    def next_ms(self) -> int | None:
        """The work time at which something of it goes by time alone, or is given back."""
        opened = [found.due_ms for of_rule in self._open.values() for found in of_rule.values()]
        full = [found.ends_ms - found.record.sent_lease_ms + 1 for of_rule in self._full.values() for found in of_rule]
        return min([*opened, *full], default=None)

    # From any thread

    def learn(self, rule: RuleKey, size: int) -> None:
        """A batch of so many bytes was too large for the target."""
        self._learnt[rule] = (size // 2 + 1, self._work_ms() + limits.BATCH_LEARNT_MS)


def _is_late(found: Gathered[PushT], now_ms: int) -> bool:
    return found.ends_ms - now_ms < found.record.sent_lease_ms
