"""What a bus holds in memory of its emitters. Their keys are in the store: of those only the last ones seen are at hand.

As with `BusState`, only `apply` changes it, with changes that are committed.
"""

import bisect
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from eventyard.core import emitter_plan, limits
from eventyard.core.changes import Changes
from eventyard.core.emitter import EmitterRecord, EmitterTally, Kept, Kind
from eventyard.core.listening import Listening

if TYPE_CHECKING:
    from eventyard.core.emitter_plan import Plan


class Cache:
    """Rows as they are committed, the last ones that changed. A miss says nothing."""

    def __init__(self) -> None:
        self._rows: OrderedDict[tuple[int, str], Kept] = OrderedDict()

    def get(self, owner: int, key: str) -> Kept | None:
        return self._rows.get((owner, key))

    def put(self, row: Kept) -> None:
        at = (row.owner, row.key)
        self._rows[at] = row
        self._rows.move_to_end(at)
        if len(self._rows) > limits.KEPT_CACHED_MAX:
            self._rows.popitem(last=False)

    def drop(self, row: Kept) -> None:
        self._rows.pop((row.owner, row.key), None)


class EmitterState:
    def __init__(
        self,
        records: Iterable[EmitterRecord] = (),
        tallies: Iterable[EmitterTally] = (),
        due_ms: int | None = None,
    ) -> None:
        """`due_ms`: no key is due before."""
        self.by_uid: dict[int, EmitterRecord] = {}
        """Those whose keys are still being forgotten included."""
        self.by_name: dict[tuple[Kind, str], EmitterRecord] = {}
        self.names: list[tuple[Kind, str]] = []
        """Those of `by_name`, sorted."""
        self.plans: dict[int, Plan] = {}
        self.listening = Listening()
        """By `emitter_plan.ear`: which emitters an event concerns."""
        self.tallies: dict[int, Mapping[str, int]] = {tally.owner: tally.counts for tally in tallies}
        self.cache = Cache()
        self.due_ms = due_ms
        """A bound: no key is due before, and it may be too early."""
        self.rest_until_ms = 0
        """No hold ends before this work time, but those that have to wait for nothing."""
        for record in sorted(records, key=lambda record: record.uid):
            self._place(record)
            self.listening = emitter_plan.with_record(self.listening, None, self.plans.get(record.uid))

    def rest(self, work_ms: int) -> None:
        """The bus starts at this work time (of the whole store: this bus may have slept for long): for a while no hold ends (`HOLDS_REST_MS`)."""
        if self.by_uid:
            self.rest_until_ms = work_ms + limits.HOLDS_REST_MS

    @property
    def sweeping(self) -> list[int]:
        """Those with keys yet to look through. From any thread."""
        return [record.uid for record in self.by_uid.copy().values() if record.is_sweeping]

    def counts(self, uid: int) -> Mapping[str, int]:
        return self.tallies.get(uid, {})

    def apply(self, changes: Changes) -> None:
        for record in changes.emitters:
            before = self.plans.get(record.uid)
            self._place(record)
            self.listening = emitter_plan.with_record(self.listening, before, self.plans.get(record.uid))
        for tally in changes.emitter_tallies:
            if tally.owner in self.by_uid:
                self.tallies[tally.owner] = tally.counts
        if changes.looked is not None:
            self.due_ms = changes.looked.due_ms
        for row in changes.kept:
            self._keep(row)

    def _keep(self, row: Kept) -> None:
        if not row.record:
            self.cache.drop(row)
            return
        self.cache.put(row)
        if row.due_ms is not None and (self.due_ms is None or row.due_ms < self.due_ms):
            self.due_ms = row.due_ms

    def _place(self, record: EmitterRecord) -> None:
        uid, at = record.uid, (record.kind, record.name)
        holder = self.by_name.get(at)
        if record.is_removed:
            self.by_uid.pop(uid, None)
            self.tallies.pop(uid, None)
        else:
            self.by_uid[uid] = record
        if record.is_deleted:
            self.plans.pop(uid, None)
            if holder is not None and holder.uid == uid:
                del self.by_name[at]
                del self.names[bisect.bisect_left(self.names, at)]
            return
        before = self.plans.get(uid)
        if before is None or before.record.version != record.version:
            self.plans[uid] = emitter_plan.plan_of(record)
        self.by_name[at] = record
        if holder is None:
            bisect.insort(self.names, at)
