"""A bus with its stages, stepped by hand: backfills, the keeper and retention beside the writer."""

import itertools

from eventyard.backfill import BackfillStage
from eventyard.core.commands import Lease
from eventyard.core.delivery import Delivery, Note
from eventyard.core.verdict import Delivered
from eventyard.keeper import Keeper
from eventyard.ports import Engine
from eventyard.retaining import RetentionStage
from tests.support.builders import Stepped

STEPS_MAX = 10_000
"""A house that is not at rest after so many rounds never will be."""

DONE = Delivered(Note(status=204))


class House(Stepped):
    """`rest` lets the stages work until none has anything left to do; nothing is settled meanwhile but by `deliver_all`."""

    def __init__(self, engine: Engine | None = None) -> None:
        super().__init__(engine)
        self.furnish()

    def furnish(self) -> None:
        """New stages, as after a start."""
        states, submit = self.writer.states, self.writer.submit_own
        self.backfill = BackfillStage(self.engine, states, submit)
        self.keeper = Keeper(states, submit, self.now)
        self.retention = RetentionStage(self.engine, states, submit, self.now)

    def rest(self) -> None:
        for _ in range(STEPS_MAX):
            is_busy = any([self.backfill.step(), self.keeper.step(), self.retention.step()])
            if not any([self.writer.step(), is_busy]):
                return
        raise AssertionError("the house never comes to rest")

    def take(self) -> list[Lease]:
        """The leases granted since the last time."""
        leases, self.receiver.leases = self.receiver.leases, []
        return leases

    def deliver_all(self, rule: int, count: int = 1_000) -> list[Delivery]:
        """Everything that the rule is given until it is given nothing more, each delivered at once."""
        self.take()
        self.receiver.want(rule, count)
        delivered = []
        for _ in range(STEPS_MAX):
            self.rest()
            leases = self.take()
            if not leases:
                break
            delivered += [lease.delivery for lease in leases]
            for lease in leases:
                assert self.settle(lease, DONE) is None
        self.receiver.wanted.pop(rule)
        return delivered

    def rows(self, rule: int) -> list[Delivery]:
        """Every delivery of the rule that is kept, by run and position."""
        positions = range(1, self.state.head + 1)
        runs = {run for uid, run in itertools.chain(self.state.backfills, self._runs(rule)) if uid == rule}
        found = (self.row(rule, position, run) for run in sorted(runs) for position in positions)
        return [row for row in found if row is not None]

    def _runs(self, rule: int) -> list[tuple[int, int]]:
        return [(rule, run) for run in self.state.queues[rule].runs]
