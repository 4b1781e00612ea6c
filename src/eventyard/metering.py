"""The meter: what a process has counted since it started, for whoever watches it.

Theory of operation. Counting must not cost, so nothing is counted event by event where a step knows a sum, and nothing is locked: each
number has one thread that adds to it, named below, and any other reads it, a moment old. What stands in the buses' own counts already
(what waits, what is dead) is not counted again; it is read when somebody asks.

Each rule counts under a pair of labels, bus and rule. How many pairs there are is bounded, or a bus of a hundred thousand rules would
cost whoever watches it more than the bus itself: the first rules to come have pairs of their own, all later ones count together as
`_other` of their bus. Which of the two a rule is stays so for its life, because a sum that loses one of its parts runs backwards.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec

from eventyard.core import limits
from eventyard.core.changes import BusRecord, Changes
from eventyard.core.commands import Publish, Published
from eventyard.core.delivery import DELIVERED, LEASED, State
from eventyard.core.errors import Refused
from eventyard.core.reply import ReplyOutcome
from eventyard.core.rule import RuleRecord, Status
from eventyard.inbox import Ticket

OTHER = "_other"
"""The label of all that has none of its own. No bus or rule can have this name."""

RETRYING, DEAD, DISCARDED = State.RETRYING, State.DEAD, State.DISCARDED
"""As in `core.delivery`: looking up a member of an enum costs too much for what is asked of every delivery."""

BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""From a commit to memory to the longest push that anybody waits for."""

ANSWERS = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
"""What came of a push, by the first digit of its status; none: no answer. 1xx ends no exchange, so nothing counts there."""


class Histogram:
    """Durations, counted by the bounds that they stay within. One thread observes."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        """One more than there are bounds: what is above the last."""
        self.sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        self.counts[bisect_left(BOUNDS_S, duration_s)] += 1
        self.sum_s += duration_s


class BusMeter(msgspec.Struct, eq=False):
    """Events of one bus. `refused` is by the code of the error: what a step refused, and what was turned away before one."""

    name: str
    accepted: int = 0
    duplicate: int = 0
    refused: dict[str, int] = msgspec.field(default_factory=lambda: defaultdict(int))
    turned_away: dict[str, int] = msgspec.field(default_factory=lambda: defaultdict(int))


class RuleMeter(msgspec.Struct, eq=False):
    """Deliveries of one rule. `failed`: attempts after which another follows. `replies`: by what became of them."""

    bus: str
    name: str
    delivered: int = 0
    failed: int = 0
    dead: int = 0
    discarded: int = 0
    replies: dict[ReplyOutcome, int] = msgspec.field(default_factory=lambda: defaultdict(int))

    @property
    def labels(self) -> tuple[str, str]:
        return self.bus, self.name


class _Rules(dict[int, RuleMeter]):
    """By uid. A rule that nobody told of counts for nothing: a figure is no reason for a step to fail."""

    def __missing__(self, uid: int) -> RuleMeter:
        return RuleMeter("", "")


class Meter:
    def __init__(self, seconds: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = seconds
        """A clock finer than `ports.Clock`. Nothing is decided by it."""
        self.admits = Histogram()
        self.commits = Histogram()
        self.failed_commits = 0
        self.pushes = [Histogram() for _ in ANSWERS]
        self.answers: dict[int, int] = defaultdict(int)
        """Answers of the HTTP door by status."""
        self.buses: dict[str, BusMeter] = {}
        self.rules: dict[tuple[str, str], RuleMeter] = {}
        """By bus and rule, those that have labels of their own."""
        self.others: dict[str, RuleMeter] = {}
        """By bus, what the rest of its rules count together."""
        self._buses: dict[int, BusMeter] = {}
        self._rules: dict[int, _Rules] = {}
        self._own: dict[int, dict[int, RuleMeter]] = {}
        """Of `_rules`, those that have labels of their own: few."""

    @property
    def all_rules(self) -> list[RuleMeter]:
        """From any thread."""
        return [*self.rules.values(), *self.others.values()]

    # On the writer's thread

    def follow(self, bus: BusRecord, records: Iterable[RuleRecord]) -> None:
        """A bus that counts from now on, and rules of it that do. Those that it knows already stay what they are."""
        if bus.number not in self._buses:
            self._buses[bus.number] = self._of_bus(bus.name)
        rules = self._rules.setdefault(bus.number, _Rules())
        for record in records:
            if record.uid not in rules:
                meter = rules[record.uid] = self._of_rule(self._buses[bus.number].name, record.name)
                if meter.name != OTHER:
                    self._own.setdefault(bus.number, {})[record.uid] = meter

    def _of_bus(self, name: str) -> BusMeter:
        is_own = name in self.buses or len(self.buses.keys() - {OTHER}) < limits.METRICS_BUSES_MAX
        label = name if is_own else OTHER
        return self.buses.setdefault(label, BusMeter(label))

    def _of_rule(self, bus: str, name: str) -> RuleMeter:
        """A rule that was created again goes on counting as the one before it of its name."""
        if bus != OTHER and ((bus, name) in self.rules or len(self.rules) < limits.METRICS_RULES_MAX):
            return self.rules.setdefault((bus, name), RuleMeter(bus, name))
        return self.others.setdefault(bus, RuleMeter(bus, OTHER))

    def bus_label(self, number: int) -> str | None:
        """What a bus counts as; None for one that does not. From any thread."""
        meter = self._buses.get(number)
        return meter.name if meter is not None else None

    def own(self, number: int) -> dict[int, RuleMeter]:
        """The rules of a bus that have labels of their own, by uid. From any thread."""
        return self._own.get(number, {}).copy()

    def forget(self, bus: BusRecord) -> None:
        """It is deleted. What it has added to `_other` stays."""
        meter = self._buses.pop(bus.number, None)
        self._rules.pop(bus.number, None)
        self._own.pop(bus.number, None)
        if meter is None or meter.name == OTHER:
            return
        self.buses.pop(meter.name, None)
        self.others.pop(meter.name, None)
        for labels in [labels for labels in self.rules if labels[0] == meter.name]:
            del self.rules[labels]

    def _forget_rule(self, bus: BusRecord, uid: int) -> None:
        self._rules[bus.number].pop(uid, None)
        own = self._own.get(bus.number, {})
        meter = own.pop(uid, None)
        if meter is not None and meter not in own.values():
            self.rules.pop(meter.labels, None)

    def count(self, bus: BusRecord, changes: Changes) -> None:
        """What a step has changed, once it is committed."""
        if bus.number not in self._rules:
            return
        if changes.rules:
            self.follow(bus, changes.rules)
        self._count_deliveries(self._rules[bus.number], changes)
        for uid, outcome in changes.replies:
            self._rules[bus.number][uid].replies[outcome] += 1
        for record in changes.rules:
            if record.status is Status.DELETED:
                self._forget_rule(bus, record.uid)

    def _count_deliveries(self, rules: _Rules, changes: Changes) -> None:
        """Spelled out: it is asked of every delivery, most of which are leased or delivered."""
        for move in changes.moves:
            now = move.now
            state = now.state
            if state is DELIVERED:
                rules[now.rule].delivered += 1
            elif state is LEASED or state is move.was:
                continue
            elif state is RETRYING:
                rules[now.rule].failed += move.was is LEASED
            elif state is DEAD:
                rules[now.rule].dead += 1
            elif state is DISCARDED:
                rules[now.rule].discarded += 1
        if any(delta[DEAD] > 0 for delta in changes.tally.values()):
            for put in changes.puts:
                if put.state is DEAD:
                    rules[put.rule].dead += 1

    def count_answers(self, number: int, tickets: Iterable[Ticket]) -> None:
        """What publishers are told of their events. What the world refused, as a full disk, is no list, and they will send it again."""
        meter = self._buses.get(number)
        if meter is None:
            return
        for ticket in tickets:
            is_published = isinstance(ticket.command, Publish) and ticket.answer is ticket.answers
            for answer in ticket.answers if is_published else ():
                if type(answer) is not Published:
                    meter.refused[answer.code] += 1
                elif answer.is_duplicate:
                    meter.duplicate += 1
                else:
                    meter.accepted += 1

    # On the transport's thread

    def pushed(self, status: int, elapsed_s: float) -> None:
        pushes = self.pushes[status // 100]
        pushes.counts[bisect_left(BOUNDS_S, elapsed_s)] += 1
        pushes.sum_s += elapsed_s

    # On the door's event loop

    def turn_away(self, bus: str, refused: Refused) -> None:
        """An event that reached no step, for it is none."""
        meter = self.buses.get(bus) or self.buses.get(OTHER)
        if meter is not None:
            meter.turned_away[refused.code] += 1

    def answered(self, status: int) -> None:
        self.answers[status] += 1
