"""What a rule is owed: for every run of it and every event, whether there has to be a delivery, and whether there is.

A live run judges an event by the pattern in force at its position, as it comes. What it reads later, in a backfill, may have been judged
by any version since, for an edit governs what is not yet put; but once one event was judged by a version, so were all after it.
So the audit follows every version that may have judged an event, and demands one consistent story.
"""

from eventyard.core.delivery import Delivery, Reason, State, decode_note
from tests.simulation.chronicle import RuleLife, Run
from tests.simulation.ledger import BusLedger
from tests.simulation.reading import matches


def check_rule(bus: BusLedger, rule: RuleLife, *, is_at_rest: bool) -> None:
    """Every run of the rule has the deliveries that it is owed, and there are no others."""
    for row in bus.rows.values():
        if row.rule == rule.uid and not _is_in(rule, row):
            bus.fail(f"rule {rule.name} ({rule.uid}) got {row}, which is not its own: {rule}")
    for run in rule.runs.values():
        RunCheck(bus, rule, run).walk(is_at_rest=is_at_rest)


def _is_in(rule: RuleLife, row: Delivery) -> bool:
    run = rule.runs.get(row.run)
    return run is not None and run.first <= row.position <= end_of(rule, run)


def end_of(rule: RuleLife, run: Run) -> int:
    """The last position that the run may be owed."""
    ends = [end for end in (run.last, run.closed_at, rule.deleted_at) if end is not None]
    return min(ends, default=2**62)


class RunCheck:
    def __init__(self, bus: BusLedger, rule: RuleLife, run: Run) -> None:
        self._bus = bus
        self._rule = rule
        self._run = run
        self._end = min(end_of(rule, run), bus.head)
        self._is_cut = run.closed_at is not None or rule.deleted_at is not None
        self._cursor = self._unread()

    def _unread(self) -> int | None:
        """What the run says that it reads next; None where it has read all."""
        backfill = self._bus.backfills.get((self._rule.uid, self._run.number))
        is_reading = backfill is not None and not backfill.is_done and not self._is_cut
        return backfill.next_position if backfill is not None and is_reading else None

    def walk(self, *, is_at_rest: bool) -> None:
        never = len(self._rule.versions)
        possible = {0}
        for position in range(self._run.first, self._end + 1):
            row = self._bus.rows.get((self._rule.uid, self._run.number, position))
            is_live = self._bus.is_live_at(self._rule.uid, self._run.number, position)
            if self._cursor is not None and position >= self._cursor and not is_live:
                self._check_unread(row, is_at_rest=is_at_rest)
                continue
            allowed = self._allowed(position, never, is_live=is_live)
            possible = {
                index
                for index in allowed
                if index >= min(possible) and self.wants(index, position, is_live=is_live) in {None, row is not None}
            }
            if not possible:
                has = "has" if row else "lacks"
                self._bus.fail(f"rule {self._rule.name} {has} a delivery of {position} in {self._run}: {self._rule}")

    def _check_unread(self, row: Delivery | None, *, is_at_rest: bool) -> None:
        if row is not None or is_at_rest:
            self._bus.fail(f"{self._run} of {self._rule.name} says that it has read up to {self._cursor}, and there is {row}")

    def _allowed(self, position: int, never: int, *, is_live: bool) -> list[int]:
        """The versions that may have judged the event; `never`: the run ended before it was read."""
        if is_live:
            return [self._rule.in_force(position)]
        since = self._rule.in_force(max(position, self._run.opened_at))
        return [*range(since, never), *([never] if self._is_cut else [])]

    def wants(self, version: int, position: int, *, is_live: bool) -> bool | None:
        """Whether there is a delivery if this version judged the event. None: there may be."""
        if version == len(self._rule.versions) or not self._is_match(version, position):
            return False
        follows = self._rule.follows
        is_old = follows is not None and not self._run.number and position <= (follows.deleted_at or 0)
        is_left = _is_left(self._bus, follows, position) if follows is not None and is_old else True
        is_open = position < self._run.sure_from or (is_capped(self._rule, self._run, position) and not is_live)
        return None if is_open and is_left else is_left

    def _is_match(self, version: int, position: int) -> bool:
        document = self._bus.documents[position]
        if self._run.pattern is not None and not matches(self._run.pattern, document):
            return False
        return matches(self._rule.versions[version][1]["pattern"], document)


def is_capped(rule: RuleLife, run: Run, position: int) -> bool:
    """Whether a cap was told that passes over the event, where it was not read yet."""
    return any(
        cap.last is not None and cap.first <= position <= cap.last and cap.run in {None, run.number} for cap in rule.caps
    )


def _is_left(bus: BusLedger, rule: RuleLife, position: int) -> bool | None:
    """Whether a deleted rule left the event to the one that goes on for it: what it still owed, and not what had ended. None: it may.

    What it had no delivery of it left if it wanted it: then it had not read it, or an earlier one had had it.
    """
    row = bus.rows.get((rule.uid, rule.live.number, position))
    if row is not None:
        return row.state is not State.DELIVERED and (row.state is not State.DISCARDED or _is_left_over(row))
    if position < rule.live.first or is_capped(rule, rule.live, position):
        return None
    judged = rule.versions[rule.in_force(max(position, rule.live.opened_at)) :]
    if not all(matches(one["pattern"], bus.documents[position]) for _, one in judged):
        return None
    is_earlier = rule.follows is not None and not rule.live.number and position <= (rule.follows.deleted_at or 0)
    return _is_left(bus, rule.follows, position) if rule.follows is not None and is_earlier else True


def _is_left_over(row: Delivery) -> bool:
    return decode_note(row.note).reason == Reason.RULE_DELETED
