"""Reading dead letters: pages of them, how many are meant, and those that are tried on another target."""

from collections.abc import Sequence
from typing import Any

import msgspec

from eventyard.core import limits
from eventyard.core.bus_state import BusState
from eventyard.core.changes import ALL_DEAD, Filter, StoredEvent
from eventyard.core.delivery import Delivery, Key, State, delivery_id, is_skipped
from eventyard.core.order_key import key_of
from eventyard.core.rule import RuleRecord
from eventyard.core.view import View


class DeadLetter(msgspec.Struct, frozen=True):
    """A dead delivery under its id, with its event (None: the event is damaged).

    `key`: its order key where the rule keeps order (None: no key, or no order); `parked`: deliveries that wait behind it.
    """

    id: str
    delivery: Delivery
    event: StoredEvent | None
    key: Any = None
    parked: int = 0


class DeadLetterPage(msgspec.Struct, frozen=True):
    """`next_after` is the (position, run) to continue after."""

    dead_letters: list[DeadLetter]
    next_after: tuple[int, int] | None


def page(
    view: View, state: BusState, record: RuleRecord, after: tuple[int, int], *, limit: int, meant: Filter = ALL_DEAD
) -> DeadLetterPage:
    """At most `limit` that are meant, of one bounded look through the rule's dead letters."""
    looked_max = limit if meant == ALL_DEAD else limits.SCAN_EVENTS_MAX
    rows = view.dead(state.record.number, record.uid, after, looked_max)
    found = [row for row in rows if meant.matches(row)][:limit]
    last = found[-1] if len(found) == limit else rows[-1] if len(rows) == looked_max else None
    return DeadLetterPage(_with_events(view, state, record, found), None if last is None else (last.position, last.run))


def count(view: View, state: BusState, uid: int, meant: Filter) -> int:
    """How many are meant, all of them looked at."""
    total, after = 0, (0, -1)
    while rows := view.dead(state.record.number, uid, after, limits.SCAN_EVENTS_MAX):
        total += sum(1 for row in rows if meant.matches(row))
        after = (rows[-1].position, rows[-1].run)
    return total


def count_named(
    view: View,
    state: BusState,
    uid: int,
    keys: Sequence[Key],
    *,
    is_skipped_too: bool = False,
    is_parked_too: bool = False,
) -> int:
    """How many of those named are the rule's dead letters, with what was skipped among them or is parked behind them."""
    rows = _named(view, state, uid, keys)
    dead = [row for row in rows if row.state is State.DEAD]
    skipped = [row for row in rows if is_skipped(row)] if is_skipped_too else []
    parked = sum(_parked_behind(state, row) for row in dead) if is_parked_too else 0
    return len(dead) + len(skipped) + parked


def to_try(view: View, state: BusState, record: RuleRecord, keys: Sequence[Key] | None, meant: Filter) -> list[DeadLetter]:
    """The first that are named or meant, as many as are tried at once."""
    limit = limits.TRIAL_LETTERS_MAX
    if keys is None:
        return page(view, state, record, (0, -1), limit=limit, meant=meant).dead_letters
    dead = [row for row in _named(view, state, record.uid, keys) if row.state is State.DEAD]
    return _with_events(view, state, record, sorted(dead, key=lambda row: (row.position, row.run))[:limit])


def _named(view: View, state: BusState, uid: int, keys: Sequence[Key]) -> list[Delivery]:
    return view.deliveries(state.record.number, [key for key in dict.fromkeys(keys) if key[0] == uid])


def _with_events(view: View, state: BusState, record: RuleRecord, rows: Sequence[Delivery]) -> list[DeadLetter]:
    events = view.events_at(state.record.number, [row.position for row in rows])
    return [_with_event(state, record, row, events.get(row.position)) for row in rows]


def _with_event(state: BusState, record: RuleRecord, row: Delivery, event: StoredEvent | None) -> DeadLetter:
    key = key_of(record.rule.delivery, event.json) if event is not None and row.lane else None
    name = delivery_id(state.record.incarnation, row.rule, row.position, row.run)
    return DeadLetter(name, row, event, key, _parked_behind(state, row))


def _parked_behind(state: BusState, row: Delivery) -> int:
    """How many wait behind a dead one. May be asked from any thread."""
    lanes = state.lanes.get(row.rule)
    lane = lanes.lanes.get((row.run, row.lane)) if lanes is not None and row.lane else None
    return len(lane.behind) if lane is not None and lane.head == row.position else 0
