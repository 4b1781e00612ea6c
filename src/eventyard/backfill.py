"""Backfill: reads an old stretch of the log for a rule that starts in the past, or for a replay, and has its matches put.

One stretch at a time per run, and never more than `BACKFILL_UNSETTLED_MAX` ahead of the rule's consumer. The cursor moves in
the step that puts the deliveries, so a crash repeats nothing and skips nothing. The last stretch and the switch to live are one
step of the writer (`core.backfilling.finish_if_near`), so order holds and no event falls between.
"""

from collections.abc import Callable, Mapping
from typing import Any

from eventyard import logbook
from eventyard.core import limits
from eventyard.core.backfilling import was_settled
from eventyard.core.bus_state import BusState
from eventyard.core.changes import Backfill, StoredEvent
from eventyard.core.commands import AdvanceBackfill, Command, Put
from eventyard.core.errors import Unavailable
from eventyard.core.loss import Gap, damaged_in
from eventyard.core.order_key import lane_of
from eventyard.core.pattern.index import judge
from eventyard.core.pattern.language import parse
from eventyard.core.rule import RuleRecord, parse_pattern
from eventyard.core.view import View
from eventyard.ports import Engine

PACED_AHEAD_S = 5
"""How far ahead of its pace a throttled replay is put."""

Submit = Callable[[int, Command, Callable[[Any], None]], None]


class BackfillStage:
    """Called from one thread, the keeper's; the answers to what it submits come on the writer's."""

    def __init__(self, engine: Engine, states: Mapping[int, BusState], submit: Submit) -> None:
        self._engine = engine
        self._states = states
        self._submit = submit
        self._under_way: set[tuple[int, int, int]] = set()

    def step(self) -> bool:
        """Read one stretch for each rule that wants one. False when none did, or the disk could not be read: then later."""
        wanting = [(state, backfill) for state in list(self._states.values()) for backfill in self._wanting(state)]
        try:
            self._step_all(wanting)
        except Unavailable as error:
            logbook.BACKFILL_WAITS(error=error.detail)
            return False
        return bool(wanting)

    def _step_all(self, wanting: list[tuple[BusState, Backfill]]) -> None:
        if wanting:
            with self._engine.reader() as view:
                for state, backfill in wanting:
                    self._step(view, state, backfill)

    def _wanting(self, state: BusState) -> list[Backfill]:
        return [backfill for backfill in list(state.reading.values()) if self._is_wanting(state, backfill)]

    def _is_wanting(self, state: BusState, backfill: Backfill) -> bool:
        record = state.by_uid.get(backfill.rule)
        if record is None or record.is_deleted or record.is_paused:
            return False
        has_room = state.unparked(*backfill.key) < _ahead_max(backfill)
        return has_room and (state.record.number, *backfill.key) not in self._under_way

    def _step(self, view: View, state: BusState, backfill: Backfill) -> None:
        record = state.by_uid.get(backfill.rule)
        if record is None:
            return
        number = state.record.number
        last = min(backfill.last or state.head, backfill.next_position + limits.BACKFILL_EVENTS_PER_STEP - 1)
        stored = view.events(number, backfill.next_position, last, limits.BACKFILL_EVENTS_PER_STEP)
        puts, unevaluated = _match(
            record, backfill, stored, range(max(backfill.next_position, state.floor), last + 1), state.gaps
        )
        kept = tuple(put for put in puts if not was_settled(view, number, record, backfill.run, put.position))
        key = (number, *backfill.key)
        self._under_way.add(key)
        first = backfill.next_position
        command = AdvanceBackfill(record.uid, backfill.run, record.version, first, last, kept, unevaluated)
        self._submit(number, command, lambda _: self._under_way.discard(key))


def _ahead_max(backfill: Backfill) -> int:
    """How many deliveries are put ahead of the consumer: of a slow replay only some seconds' worth."""
    per_s = backfill.pace.per_s
    ahead = max(limits.BACKFILL_EVENTS_PER_STEP, int(per_s * PACED_AHEAD_S)) if per_s else limits.BACKFILL_UNSETTLED_MAX
    return min(ahead, limits.BACKFILL_UNSETTLED_MAX)


def _match(
    record: RuleRecord, backfill: Backfill, stored: list[StoredEvent], stretch: range, gaps: tuple[Gap, ...]
) -> tuple[list[Put], tuple[int, ...]]:
    """What matches, and the positions that could not be judged: the rule fails on them, or the event is damaged.

    Positions that a repair has given up belong to neither: what stood there nobody can say.
    """
    matches = judge(parse_pattern(record), *([parse(backfill.pattern)] if backfill.pattern else []))
    puts, there = [], {event.position for event in stored}
    unevaluated = set(damaged_in(gaps, stretch, there))
    for event in stored:
        try:
            if matches(event.json):
                puts.append(Put(event.position, lane_of(record.rule.delivery, event.json), event.accepted_ms))
        except Exception:  # noqa: BLE001 - a rule that fails on an event costs that rule a dead letter, nobody else anything
            unevaluated.add(event.position)
    return puts, tuple(sorted(unevaluated))
