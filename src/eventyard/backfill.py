"""Backfill: reads an old stretch of the log for a rule that starts in the past and has its matches put.

One stretch at a time per rule, and never more than `BACKFILL_UNSETTLED_MAX` ahead of the rule's consumer. The cursor moves in
the step that puts the deliveries, so a crash repeats nothing and skips nothing. The last stretch and the switch to live are one
step of the writer (`core.backlog.finish_backfill_if_near`), so order holds and no event falls between.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from eventyard.core import limits
from eventyard.core.bus_state import BusState
from eventyard.core.changes import Backfill, StoredEvent
from eventyard.core.commands import AdvanceBackfill, Command
from eventyard.core.errors import Unavailable
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import Pattern
from eventyard.core.rule import parse_pattern
from eventyard.core.strict_json import decode
from eventyard.core.view import View
from eventyard.ports import Engine

log = logging.getLogger("eventyard.backfill")

Submit = Callable[[int, Command, Callable[[Any], None]], None]


class BackfillStage:
    """Called from one thread, the keeper's; the answers to what it submits come on the writer's."""

    def __init__(self, engine: Engine, states: Mapping[int, BusState], submit: Submit) -> None:
        self._engine = engine
        self._states = states
        self._submit = submit
        self._under_way: set[tuple[int, int]] = set()

    def step(self) -> bool:
        """Read one stretch for each rule that wants one. False when none did, or the disk could not be read: then later."""
        wanting = [(state, backfill) for state in list(self._states.values()) for backfill in self._wanting(state)]
        try:
            self._step_all(wanting)
        except Unavailable as error:
            log.warning("a backfill waits for the disk: %s", error.detail)
            return False
        return bool(wanting)

    def _step_all(self, wanting: list[tuple[BusState, Backfill]]) -> None:
        if wanting:
            with self._engine.reader() as view:
                for state, backfill in wanting:
                    self._step(view, state, backfill)

    def _wanting(self, state: BusState) -> list[Backfill]:
        return [backfill for backfill in list(state.backfills.values()) if self._is_wanting(state, backfill)]

    def _is_wanting(self, state: BusState, backfill: Backfill) -> bool:
        record, queue = state.by_uid.get(backfill.rule), state.queues.get(backfill.rule)
        if record is None or queue is None or record.is_deleted or record.is_paused:
            return False
        has_room = queue.pending < limits.BACKFILL_UNSETTLED_MAX
        return has_room and (state.record.number, backfill.rule) not in self._under_way

    def _step(self, view: View, state: BusState, backfill: Backfill) -> None:
        record = state.by_uid.get(backfill.rule)
        if record is None:
            return
        number = state.record.number
        last = min(state.head, backfill.next_position + limits.BACKFILL_EVENTS_PER_STEP - 1)
        stored = view.events(number, backfill.next_position, last, limits.BACKFILL_EVENTS_PER_STEP)
        matched, unevaluated = _match(parse_pattern(record), stored, range(backfill.next_position, last + 1))
        command = AdvanceBackfill(record.uid, record.version, backfill.next_position, last, matched, unevaluated)
        self._under_way.add((number, record.uid))
        self._submit(number, command, lambda _: self._under_way.discard((number, record.uid)))


def _match(pattern: Pattern, stored: list[StoredEvent], stretch: range) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The positions that match, and those that could not be judged: the rule fails on them, or the event is damaged."""
    matched, unevaluated = [], set(stretch) - {event.position for event in stored}
    for event in stored:
        try:
            if evaluate(pattern, decode(event.json)):
                matched.append(event.position)
        except Exception:  # noqa: BLE001 - a rule that fails on an event costs that rule a dead letter, nobody else anything
            unevaluated.add(event.position)
    return tuple(matched), tuple(sorted(unevaluated))
