"""The fate of every delivery: that it is where its pushes, its consumers and the log say that it has to be."""

from typing import Any

from eventyard.core.delivery import Delivery, Reason, State, decode_note, delivery_id
from tests.simulation.books import Books, Handed
from tests.simulation.chronicle import RuleLife
from tests.simulation.ledger import BusLedger
from tests.simulation.reading import key_of
from tests.simulation.shapes import made, shape_of


class Fates:
    def __init__(self, bus: BusLedger, books: Books) -> None:
        self._bus = bus
        self._books = books

    def check(self, rule: RuleLife, *, is_at_rest: bool) -> None:
        for row in self._bus.rows.values():
            if row.rule == rule.uid:
                self._check_row(rule, row, is_at_rest=is_at_rest)

    def _check_row(self, rule: RuleLife, row: Delivery, *, is_at_rest: bool) -> None:
        handed = self._books.handed.get((self._bus.record.incarnation, row.key), [])
        if handed and handed[-1].is_settled and row.state is not State.DELIVERED:
            self._bus.fail(f"{row} was acknowledged and answered so: {handed}")
        match row.state:
            case State.DELIVERED:
                if not any(one.is_taken for one in handed):
                    self._bus.fail(f"{row} is delivered, and nobody took it: {handed}")
            case State.DEAD:
                if is_at_rest and rule.deleted_at is not None:
                    self._bus.fail(f"{row} is a dead letter of {rule.name}, which is gone: nobody can name it")
                self._check_dead(rule, row, handed)
            case State.DISCARDED:
                self._check_discarded(rule, row, handed)
            case _ if is_at_rest and not self._is_parked(rule, row):
                self._bus.fail(f"{row} of {rule.name} is still pending at rest")

    # Pending

    def _is_parked(self, rule: RuleLife, row: Delivery) -> bool:
        """Whether it waits behind a dead one of its key."""
        return row.state is State.BLOCKED and any(
            other.state is State.DEAD and self._is_same_lane(rule, row, other) for other in self._bus.rows.values()
        )

    def _is_same_lane(self, rule: RuleLife, row: Delivery, other: Delivery) -> bool:
        key = self._key(rule, row)
        return (other.rule, other.run) == (row.rule, row.run) and key is not None and self._key(rule, other) == key

    def _key(self, rule: RuleLife, row: Delivery) -> Any:
        return key_of(self._bus.rules[rule.uid].rule.delivery, self._bus.documents[row.position])

    # Dead

    def _check_dead(self, rule: RuleLife, row: Delivery, handed: list[Handed]) -> None:
        reason = decode_note(row.note).reason
        is_shown = {
            Reason.ANSWER: any(one.meaning == "dead" for one in handed),
            Reason.REJECTED: any(one.rejected_ms is not None for one in handed),
            Reason.ATTEMPTS: (bool(handed) or _wants_token(rule)) and row.attempts >= min(_policies(rule, "max_attempts")),
            Reason.AGE: bool(handed) or _wants_token(rule),
            Reason.TRANSFORM: self._is_unshaped(rule, row),
        }
        if not is_shown.get(Reason(reason), False):
            self._bus.fail(f"{row} is dead without a reason that shows: {handed}")

    def _is_unshaped(self, rule: RuleLife, row: Delivery) -> bool:
        """Whether there is a transform of the rule that makes nothing of the event, or of which that was said."""
        event, incarnation = self._bus.log[row.position], self._bus.record.incarnation
        identity = delivery_id(incarnation, row.rule, row.position, row.run)
        shapes = {shape_of(document["target"].get("http", {}).get("url", "")) for _, document in rule.versions} - {""}
        is_said = ((self._bus.record.number, row.rule), event.json) in self._books.unshaped
        return is_said or any(made(shape, self._bus.documents[row.position], identity) is None for shape in shapes)

    # Discarded

    def _check_discarded(self, rule: RuleLife, row: Delivery, handed: list[Handed]) -> None:
        reason = decode_note(row.note).reason
        if not self._is_told(rule, row, reason):
            self._bus.fail(f"{row} of {rule} was discarded, and the log does not tell why")
        if reason == Reason.EXPIRED and not self._is_expired(row, handed):
            self._bus.fail(f"{row} expired before its time: {self._bus.kept}, {handed}")

    def _is_told(self, rule: RuleLife, row: Delivery, reason: str) -> bool:
        """Whether the log has the event that discards it."""
        run = rule.runs[row.run]
        is_told = {
            Reason.RULE_DELETED: rule.deleted_at is not None,
            Reason.SEEK: not run.is_replay and run.closed_at is not None,
            Reason.CANCELLED: run.is_replay and run.closed_at is not None,
            Reason.SKIPPED: any(row.position < at for at in rule.skipped),
            Reason.PURGED: any(row.position < at and why == reason for at, why in rule.purged),
            Reason.EXPIRED: row.position in self._bus.told.unspoken
            or any(row.position < at and why == reason for at, why in rule.purged),
            Reason.CAP: self._is_capped(rule, row),
        }
        return is_told.get(Reason(reason), False)

    def _is_capped(self, rule: RuleLife, row: Delivery) -> bool:
        """Past the rule's cap when that was told; or one of those parked behind dead ones, when there were too many."""
        return any(self._is_capped_by(rule, row, cap.position) for cap in rule.caps if _covers(cap, row)) or (
            rule.is_ordered and any(cap.last is None and cap.first <= row.position < cap.position for cap in rule.caps)
        )

    def _is_capped_by(self, rule: RuleLife, row: Delivery, position: int) -> bool:
        told, event = self._bus.log[position], self._bus.log[row.position]
        backlogs = [version["delivery"]["backlog"] for _, version in rule.versions]
        age_ms = min(int(backlog["max_age_s"] * 1000) for backlog in backlogs)
        size = min(backlog["max_bytes"] for backlog in backlogs)
        return event.accepted_ms < self._bus.clocks[position] - age_ms or event.offset < told.offset - size

    def _is_expired(self, row: Delivery, handed: list[Handed]) -> bool:
        """It died after it was last handed out, so it was dead for no longer than since then."""
        least_ms = min(int(keep.dead_letters_s * 1000) for keep in self._bus.kept)
        return not handed or row.at_ms - handed[-1].bus_ms > least_ms


def _wants_token(rule: RuleLife) -> bool:
    """Whether its attempts may fail before anything is sent."""
    return any("oauth2" in str(document["target"]) for _, document in rule.versions)


def _policies(rule: RuleLife, name: str) -> list[Any]:
    return [version["delivery"][name] for _, version in rule.versions]


def _covers(cap: Any, row: Delivery) -> bool:
    return cap.last is not None and cap.first <= row.position <= cap.last and cap.run in {None, row.run}
