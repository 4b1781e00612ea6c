"""When the queues of a bus fall due, by rule, and of those whose time has come in which order they take their turns.

Theory of operation. Each step of a bus asks which queues have something for somebody who waits. With a hundred thousand rules that may
all have a backlog, none of them may be looked at for that but those that are given something. So what falls due later stands in a
heap, by its time; `reach` takes out of it what has become ready since the step before. What is ready stands by itself, pushed and
pulled apart, because the ones are nearly all waited for and the others nearly none. A rule that gives nothing out, being paused, deleted or without its target's consent,
is in neither place; whoever edits it says so (`refile`). One that may give nothing out before some time (`protection`) is filed by that time.

An entry of the heap that is no longer so is left there and passed over when it comes up.
"""

import heapq
import itertools
from collections.abc import Mapping

from eventyard.core.rule import RuleRecord

_STALE_MAX = 1_000
"""Entries that are no longer so and may stand in the heap, beside as many as there are rules in it."""

Ready = Mapping[int, int]
"""By rule uid, when its turn is. Who was given something stands last for the next step."""


class Due:
    """A time is a bound, not a fact: nothing of the rule is due before it, and it may be too early. `records`: the rules as they are."""

    def __init__(self, records: Mapping[int, RuleRecord]) -> None:
        self._records = records
        self._times: dict[int, int] = {}
        self._held: dict[int, int] = {}
        self._later: list[tuple[int, int]] = []
        self._pushed: dict[int, int] = {}
        self._pulled: dict[int, int] = {}
        self._turns = itertools.count()
        self._reached_ms = -1

    def __len__(self) -> int:
        return len(self._times)

    def __contains__(self, uid: int) -> bool:
        return uid in self._times

    def get(self, uid: int) -> int | None:
        """A work time before which nothing of the rule is due; None where it has nothing."""
        return self._times.get(uid)

    def set(self, uid: int, at_ms: int) -> None:
        if self._times.get(uid) != at_ms:
            self._times[uid] = at_ms
            self._file(uid)

    def forget(self, uid: int) -> None:
        self._times.pop(uid, None)
        self._put_back(uid)

    def hold(self, uid: int, until_ms: int) -> None:
        """The rule gives nothing out before `until_ms`, whatever is due."""
        if until_ms <= self._reached_ms:
            self.release(uid)
        elif self._held.get(uid) != until_ms:
            self._held[uid] = until_ms
            self._put_back(uid)
            self._file(uid)

    def release(self, uid: int) -> None:
        """What is due of the rule may be given out again."""
        if self._held.pop(uid, None) is not None:
            self._file(uid)

    def is_ready(self, uid: int) -> bool:
        return uid in self._pushed or uid in self._pulled

    def refile(self, uid: int) -> None:
        """The rule was edited. What held it is asked anew."""
        self._held.pop(uid, None)
        self._put_back(uid)
        self._file(uid)

    def serve(self, uid: int) -> None:
        """The rule was given something."""
        for ready in (self._pushed, self._pulled):
            if ready.pop(uid, None) is not None:
                ready[uid] = next(self._turns)

    def reach(self, work_ms: int) -> tuple[Ready, Ready]:
        """What is ready at this time, which never goes back: rules that push, and rules that are pulled."""
        self._reached_ms = max(self._reached_ms, work_ms)
        while self._later and self._later[0][0] <= self._reached_ms:
            at_ms, uid = heapq.heappop(self._later)
            if self._time(uid) == at_ms:
                self._held.pop(uid, None)
                self._make_ready(uid)
        return self._pushed, self._pulled

    @property
    def next_ms(self) -> int | None:
        """When something becomes ready next that is not ready yet."""
        while self._later and self._time(self._later[0][1]) != self._later[0][0]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def _time(self, uid: int) -> int | None:
        """When the rule is ready."""
        at_ms = self._times.get(uid)
        return at_ms if at_ms is None or uid not in self._held else max(at_ms, self._held[uid])

    def _file(self, uid: int) -> None:
        at_ms = self._time(uid)
        if at_ms is None:
            return
        if at_ms <= self._reached_ms:
            self._make_ready(uid)
            return
        self._put_back(uid)
        heapq.heappush(self._later, (at_ms, uid))
        if len(self._later) > 2 * len(self._times) + _STALE_MAX:
            times = ((self._time(uid), uid) for uid in self._times)
            self._later = [(at_ms, uid) for at_ms, uid in times if at_ms is not None and at_ms > self._reached_ms]
            heapq.heapify(self._later)

    def _make_ready(self, uid: int) -> None:
        record = self._records.get(uid)
        if record is None or not record.gives_out:
            return
        ready = self._pulled if record.is_pulled else self._pushed
        if uid not in ready:
            ready[uid] = next(self._turns)

    def _put_back(self, uid: int) -> None:
        self._pushed.pop(uid, None)
        self._pulled.pop(uid, None)
