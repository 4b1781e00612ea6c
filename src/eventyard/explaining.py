"""Explaining, as a reading: gathers of one event what every rule had to do with it, a page of rules at a time, and has it put in words.

A page is bounded by rules, by rows, and by the bytes of the patterns that it is judged by. What the bus holds in memory is taken first, so
that the store is never older: a delivery may have been put since, but none that was is missed.
"""

import bisect
from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec

from eventyard.core import limits, strict_json
from eventyard.core.backfilling import settled_by
from eventyard.core.bus_state import BusState
from eventyard.core.changes import Backfill, Intent, IntentKind, StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, State
from eventyard.core.explain import rules
from eventyard.core.explain.facts import Ahead, Explanation, Facts
from eventyard.core.rule import RuleRecord
from eventyard.core.rule_history import Look, Reach, RuleVersion, looks
from eventyard.core.view import View


class ExplainedPage(msgspec.Struct, frozen=True):
    """The rules by uid, which is the order in which they were created. `next_after` is the uid to continue after (None: that was all)."""

    rules: list[Explanation]
    next_after: int | None


class _Held(msgspec.Struct, frozen=True):
    """What the bus held in memory of these rules before anything was read."""

    records: Mapping[int, RuleRecord]
    backfills: Mapping[tuple[int, int], Backfill]
    intents: tuple[Intent, ...]


class _Rows(msgspec.Struct, frozen=True):
    """Of a page's rules, by uid. `is_all`: there are no rules behind them."""

    uids: list[int]
    versions: Mapping[int, list[RuleVersion]]
    deliveries: Mapping[int, list[Delivery]]
    is_all: bool = True


def page(view: View, state: BusState, event: StoredEvent, time: BusTime, *, after: int = 0, limit: int = 100) -> ExplainedPage:
    """At most `limit` rules above the uid `after` that are there, or that edits or deliveries of the event tell of."""
    uids = list(state.by_uid)
    first = bisect.bisect_right(uids, after)
    held = _held(state, uids[first : first + limit + 1])  # One more than are shown tells that there are more.
    return _Page(view, state, held, event, time).explain(_read(view, state, held, event.position, after=after, limit=limit))


def of_rule(view: View, state: BusState, event: StoredEvent, time: BusTime, name: str) -> ExplainedPage:
    """Every rule that has or had that name, the last ones of them; none where nobody knows the name."""
    record = state.by_name.get(name)
    held = _held(state, [*state.deleting.copy(), *([record.uid] if record is not None else [])])
    return _Page(view, state, held, event, time).explain(_read_named(view, state, held, event.position, name))


def _held(state: BusState, uids: Sequence[int]) -> _Held:
    records = {uid: record for uid in uids if (record := state.by_uid.get(uid)) is not None}
    backfills = {backfill.key: backfill for uid in uids for backfill in state.backfills_of(uid)}
    intents = tuple(intent for intent in state.intents.copy().values() if intent.kind is IntentKind.DISCARD)
    return _Held(records, backfills, intents)


# Reading


def _read(view: View, state: BusState, held: _Held, position: int, *, after: int, limit: int) -> _Rows:
    number, rows_max = state.record.number, limits.EXPLAINED_ROWS_PER_RULE * limit + limits.RULE_VERSIONS_MAX
    versions, versions_max = _versions(view, number, after, limit, rows_max)
    deliveries = view.deliveries_of(number, position, after, rows_max)
    ends = [rows[-1].uid for rows in (versions,) if len(rows) == versions_max]
    ends += [rows[-1].rule for rows in (deliveries,) if len(rows) == rows_max]
    known = {version.uid for version in versions} | {row.rule for row in deliveries}
    uids = sorted(known | held.records.keys())
    whole = [uid for uid in uids if uid < min(ends)] or uids[:1] if ends else uids
    shown = whole[:limit]
    return _Rows(shown, _by_uid(versions), _by_rule(deliveries), is_all=len(shown) == len(uids))


def _versions(view: View, number: int, after: int, limit: int, rows_max: int) -> tuple[list[RuleVersion], int]:
    """With how many were asked for. Few rules are edited often: nearly always twice as many rows as rules are enough for a page."""
    few = view.versions(number, after, 2 * limit)
    if len(few) < 2 * limit or len({version.uid for version in few}) > limit:
        return few, 2 * limit
    return view.versions(number, after, rows_max), rows_max


def _read_named(view: View, state: BusState, held: _Held, position: int, name: str) -> _Rows:
    number = state.record.number
    named = view.rules_named(number, name, limits.EXPLAINED_NAMESAKES_MAX)
    uids = sorted({*named, *(uid for uid, record in held.records.items() if record.name == name)})
    versions = [one for uid in uids for one in view.versions(number, uid - 1, limits.RULE_VERSIONS_MAX) if one.uid == uid]
    rows_max = limits.EXPLAINED_RUNS_MAX * limits.EXPLAINED_ROWS_PER_RULE
    deliveries = [row for uid in uids for row in view.deliveries_of(number, position, uid - 1, rows_max) if row.rule == uid]
    return _Rows(uids, _by_uid(versions), _by_rule(deliveries))


def _by_uid(versions: Sequence[RuleVersion]) -> dict[int, list[RuleVersion]]:
    return {uid: list(of_uid) for uid, of_uid in groupby(versions, lambda version: version.uid)}


def _by_rule(deliveries: Sequence[Delivery]) -> dict[int, list[Delivery]]:
    return {uid: list(of_rule) for uid, of_rule in groupby(deliveries, lambda row: row.rule)}


# Explaining


class _Page:
    """One event, explained to rule after rule."""

    def __init__(self, view: View, state: BusState, held: _Held, event: StoredEvent, time: BusTime) -> None:
        self._view = view
        self._state = state
        self._held = held
        self._position = event.position
        self._document = strict_json.decode(event.json)
        self._time = time
        self._bytes = 0

    def explain(self, rows: _Rows) -> ExplainedPage:
        """As many of the rules as their patterns let in, at least one."""
        found: list[Explanation] = []
        for uid in rows.uids:
            if self._bytes > limits.EXPLAINED_PATTERN_BYTES:
                return ExplainedPage(found, found[-1].uid)
            facts = self._facts(uid, rows.versions.get(uid, []), rows.deliveries.get(uid, []))
            found.append(rules.explain(facts))
        return ExplainedPage(found, None if rows.is_all or not found else found[-1].uid)

    def _facts(self, uid: int, versions: list[RuleVersion], deliveries: list[Delivery]) -> Facts:
        record = self._held.records.get(uid)
        unread = self._unread(record)
        seen = looks(versions, self._position, unread)
        patterns = self._view.patterns_of(self._bus, [version.key for version in rules.needed(seen)])
        self._bytes += sum(map(len, patterns.values())) + (len(bytes(record.rule.pattern)) if record is not None else 0)
        return Facts(
            uid=uid,
            position=self._position,
            document=self._document,
            time=self._time,
            incarnation=self._state.record.incarnation,
            record=record,
            versions=versions,
            looks=seen,
            patterns=patterns,
            deliveries=deliveries,
            ahead={row.run: ahead for row in deliveries if (ahead := self._ahead(row)) is not None},
            closing={row.run: intent.reason for row in deliveries for intent in self._held.intents if _discards(intent, row)},
            unread=unread,
            settled_by=self._settled_by(seen),
            held=self._state.held(record, self._time.work_ms) if record is not None else None,
        )

    @property
    def _bus(self) -> int:
        return self._state.record.number

    def _unread(self, record: RuleRecord | None) -> int | None:
        backfill = self._held.backfills.get((record.uid, record.run)) if record is not None else None
        return backfill.next_position if backfill is not None and not backfill.is_done else None

    def _ahead(self, row: Delivery) -> Ahead | None:
        """What a blocked one waits behind, where it is not just moving up."""
        lanes = self._state.lanes.get(row.rule) if row.state is State.BLOCKED else None
        lane = lanes.lanes.get((row.run, row.lane)) if lanes is not None else None
        return Ahead(lane.head, lane.is_parked) if lane is not None and lane.head not in {0, row.position} else None

    def _settled_by(self, seen: Sequence[Look]) -> int | None:
        judging = [look.version for look in seen if look.reach is Reach.JUDGED and not look.run]
        return settled_by(self._view, self._bus, judging[0].resumed, self._position) if judging else None


def _discards(intent: Intent, row: Delivery) -> bool:
    return intent.rule == row.rule and intent.run in {None, row.run} and (not intent.below or row.position < intent.below)
