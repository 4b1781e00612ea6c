"""The audit: holds what is in the store against the books, rule by rule and event by event.

It knows the promises and not the machine. Which pattern was in force where it learns from the log itself, since every edit is
an event at the position where it takes effect; patterns it evaluates by its own few lines.
"""

import datetime
import json
from typing import Any

import msgspec

from eventyard.core import bus_events, limits
from eventyard.core.bus_state import Loaded
from eventyard.core.changes import StoredEvent
from eventyard.core.delivery import Delivery, Reason, State, decode_note, delivery_id, parse_delivery_id
from eventyard.core.view import View
from tests.simulation.books import Acknowledged, Books, BrokenPromise, Push

NEVER: Any = None
"""The pattern of a rule that was deleted before its backfill was done: nothing more is put for it."""


class RuleLife(msgspec.Struct):
    """A rule as the log tells it. `versions`: from which position on which pattern; `first`: where the rule begins."""

    uid: int
    name: str
    first: int
    is_late: bool
    versions: list[tuple[int, Any]]
    deleted_at: int | None = None


def audit(loaded: list[Loaded], view: View, books: Books, *, is_at_rest: bool) -> None:
    """Raise `BrokenPromise` where store and books disagree. `is_at_rest`: everything owed has had its chance."""
    found = {bus.record.incarnation for bus in loaded}
    _check_buses(found, books)
    for bus in loaded:
        if bus.record.number != 0:
            BusAudit(bus, view, books).check(is_at_rest=is_at_rest)


def _check_buses(found: set[str], books: Books) -> None:
    if lost := books.buses - books.buses_deleting - found:
        raise BrokenPromise(f"buses that were acknowledged are gone: {lost}")
    if back := books.buses_deleted & found:
        raise BrokenPromise(f"buses whose deletion was acknowledged are there: {back}")


class BusAudit:
    def __init__(self, bus: Loaded, view: View, books: Books) -> None:
        self._number = bus.record.number
        self._incarnation = bus.record.incarnation
        self._head = bus.head
        self._view = view
        self._books = books
        self._log = view.events(self._number, 1, bus.head, bus.head)
        self._documents = [json.loads(event.json) for event in self._log]
        self._rules = self._read_rules()

    def check(self, *, is_at_rest: bool) -> None:
        self._check_log()
        self._check_ids()
        for acknowledged in self._books.acknowledged:
            if acknowledged.incarnation == self._incarnation:
                self._check_acknowledged(acknowledged)
        self._check_edits()
        for rule in self._rules.values():
            self._check_rule(rule, is_at_rest=is_at_rest)
        self._check_pushes()

    def _fail(self, text: str) -> None:
        raise BrokenPromise(f"bus {self._incarnation}: {text}")

    # The log

    def _check_log(self) -> None:
        if [event.position for event in self._log] != list(range(1, self._head + 1)):
            self._fail(f"positions are not dense up to {self._head}: {[event.position for event in self._log]}")
        times = [event.accepted_ms for event in self._log]
        if times != sorted(times):
            self._fail(f"accepted time runs backwards: {times}")

    def _check_ids(self) -> None:
        """The same source and id twice only where the dedup window lay between."""
        last: dict[tuple[str, str], StoredEvent] = {}
        for event in self._log:
            before = last.get((event.source, event.id))
            if before is not None and not _is_window_over(before, event):
                self._fail(f"{event.source} {event.id} is in the log at {before.position} and {event.position}")
            last[event.source, event.id] = event

    def _check_acknowledged(self, promised: Acknowledged) -> None:
        if promised.position > self._head:
            self._fail(f"acknowledged and not in the log, which ends at {self._head}: {promised}")
        event = self._log[promised.position - 1]
        if (event.source, event.id, event.digest) != (promised.source, promised.id, promised.digest):
            self._fail(f"position {promised.position} has {event.source} {event.id}, and was acknowledged for {promised}")

    def _check_edits(self) -> None:
        for edit in self._books.edits:
            if edit.incarnation != self._incarnation:
                continue
            found = self._documents[edit.position - 1] if edit.position <= self._head else {}
            if found.get("type") != edit.kind or found["data"]["name"] != edit.name:
                self._fail(f"an acknowledged edit is not in the log: {edit}, found {found}")

    def _read_rules(self) -> dict[int, RuleLife]:
        rules: dict[int, RuleLife] = {}
        for event, document in zip(self._log, self._documents, strict=True):
            data = document.get("data", {})
            match document["type"]:
                case bus_events.RULE_CREATED:
                    self._check_name_free(rules, data["name"], event.position)
                    rules[event.position] = self._created(event.position, data)
                case bus_events.RULE_CHANGED:
                    rules[data["uid"]].versions.append((event.position, data["rule"]["pattern"]))
                case bus_events.RULE_DELETED:
                    rules[data["uid"]].deleted_at = event.position
        return rules

    def _check_name_free(self, rules: dict[int, RuleLife], name: str, position: int) -> None:
        if any(rule.name == name and rule.deleted_at is None for rule in rules.values()):
            self._fail(f"rule {name} was created at {position} while another of that name was there")

    def _created(self, position: int, data: dict[str, Any]) -> RuleLife:
        if data["uid"] != position:
            self._fail(f"the rule created at {position} has the uid {data['uid']}")
        start = data["rule"]["start"]
        first = self._first(position, start)
        return RuleLife(position, data["name"], first, start != "latest", [(position, data["rule"]["pattern"])])

    def _first(self, uid: int, start: Any) -> int:
        if start == "latest":
            return uid + 1
        if start == "earliest":
            return 1
        if start.get("position") is not None:
            return int(start["position"])
        from_ms = datetime.datetime.fromisoformat(start["time"]).timestamp() * 1000
        return next((event.position for event in self._log[: uid - 1] if event.accepted_ms >= int(from_ms)), uid)

    # Rules and their deliveries

    def _check_rule(self, rule: RuleLife, *, is_at_rest: bool) -> None:
        """Walk the log with every version of the pattern that may have judged each event.

        A live rule judges an event by the pattern in force at its position. While a rule is backfilled an edit governs what is
        not yet put, so an old event may have been judged by any later version; but once one event was, so were all after it.
        """
        patterns = [pattern for _, pattern in rule.versions] + ([NEVER] if rule.deleted_at and rule.is_late else [])
        possible = {0}
        for event, document in zip(self._log, self._documents, strict=True):
            row = self._view.delivery(self._number, (rule.uid, 0, event.position))
            if row is not None:
                self._check_row(rule, row, is_at_rest=is_at_rest)
            if not self._is_owed_from(rule, event.position):
                self._check_none(rule, row)
                continue
            if not is_at_rest and row is None and not self._is_live(rule, event.position):
                break
            allowed = self._versions_allowed(rule, event.position, len(patterns))
            possible = {
                index
                for index in allowed
                if index >= min(possible) and (row is not None) == _matches(patterns[index], document)
            }
            if not possible:
                self._fail(f"rule {rule.name} ({rule.uid}) {'has' if row else 'lacks'} a delivery of {event.position}: {rule}")

    def _is_owed_from(self, rule: RuleLife, position: int) -> bool:
        return rule.first <= position and (rule.deleted_at is None or position <= rule.deleted_at)

    def _check_none(self, rule: RuleLife, row: Delivery | None) -> None:
        if row is not None:
            self._fail(f"rule {rule.name} ({rule.uid}) got {row.position}, which is not its own: {rule}")

    def _is_live(self, rule: RuleLife, position: int) -> bool:
        return position > (self._books.live_from.get((self._incarnation, rule.uid), self._head) if rule.is_late else rule.uid)

    def _versions_allowed(self, rule: RuleLife, position: int, count: int) -> list[int]:
        in_force = max((index for index, (version, _) in enumerate(rule.versions) if version < position), default=0)
        return [in_force] if self._is_live(rule, position) else list(range(in_force, count))

    def _check_row(self, rule: RuleLife, row: Delivery, *, is_at_rest: bool) -> None:
        pushes = self._books.pushes.get(delivery_id(self._incarnation, row.rule, row.position, row.run), [])
        if row.leases < len(pushes):
            self._fail(f"delivery {row.key} was pushed {len(pushes)} times on {row.leases} leases")
        match row.state:
            case State.WAITING | State.LEASED:
                if is_at_rest:
                    self._fail(f"delivery {row} of {rule.name} is still pending at rest")
            case State.DELIVERED:
                if not any(push.is_delivered for push in pushes):
                    self._fail(f"delivery {row.key} is delivered and no target took it: {pushes}")
            case State.DEAD:
                self._check_dead(row, pushes)
            case State.DISCARDED:
                if rule.deleted_at is None or decode_note(row.note).reason != Reason.RULE_DELETED:
                    self._fail(f"delivery {row} of {rule.name} was discarded without a reason")

    def _check_dead(self, row: Delivery, pushes: list[Push]) -> None:
        reason = decode_note(row.note).reason
        is_legal = {
            Reason.ANSWER: any(push.status in {400, 413, 415, 422} for push in pushes),
            Reason.ATTEMPTS: bool(pushes),
            Reason.AGE: bool(pushes),
        }
        if not is_legal.get(Reason(reason), False):
            self._fail(f"delivery {row} is dead without a reason that its pushes show: {pushes}")

    # Pushes

    def _check_pushes(self) -> None:
        for delivery, pushes in self._books.pushes.items():
            parsed = parse_delivery_id(delivery)
            if parsed is not None and parsed[0] == self._incarnation:
                self._check_push(parsed[1], pushes[0])

    def _check_push(self, key: tuple[int, int, int], push: Push) -> None:
        uid, _, position = key
        if position > self._head or self._log[position - 1].json != push.event:
            self._fail(f"a target was sent what is not in the log: {push}")
        if uid not in self._rules or push.url.split("/")[3] != self._rules[uid].name:
            self._fail(f"a target was sent what another rule owns: {push}")
        if self._view.delivery(self._number, key) is None:
            self._fail(f"a target was sent what is not owed: {push}")


def _is_window_over(before: StoredEvent, event: StoredEvent) -> bool:
    return (
        before.position <= event.position - 1 - limits.DEDUP_WINDOW_IDS
        or before.accepted_ms <= event.accepted_ms - limits.DEDUP_WINDOW_MS
    )


def _matches(pattern: Any, document: Any) -> bool:
    """The few kinds of patterns that the operators of the simulation write."""
    if pattern is NEVER or not isinstance(document, dict):
        return False
    return all(
        _matches(wanted, document.get(field))
        if isinstance(wanted, dict)
        else any(_is_met(one, document.get(field)) for one in wanted)
        for field, wanted in pattern.items()
    )


def _is_met(wanted: Any, value: Any) -> bool:
    match wanted:
        case {"prefix": str(prefix)}:
            return isinstance(value, str) and value.startswith(prefix)
        case {"anything-but": list(others)}:
            return value is not None and value not in others
        case {"numeric": [">=", bound]}:
            return isinstance(value, int) and value >= bound
    return bool(value == wanted)
