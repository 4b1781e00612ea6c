"""Deliveries as a test looks at them: the event, and what became of it for a rule."""

from collections.abc import Callable, Iterable

import msgspec

from eventyard.client import AttemptAnswer, ExplainedDelivery
from eventyard.testing.pushes import Event

SHOWN_CHARACTERS = 230
"""What pytest shows of a value in an assertion that failed, about."""


class Fate(msgspec.Struct, frozen=True):
    """One delivery. `outcome`: delivered, waiting, retrying, leased, blocked, parked, paused, dead or discarded; `why` says it in a sentence.

    `attempts` counts those that were made; `answers` holds what came of them, those that came to the same counted together. What was
    delivered at its first attempt has none.
    """

    rule: str
    position: int
    event: Event
    outcome: str
    why: str
    attempts: int
    reason: str = ""
    answers: list[AttemptAnswer] = []
    run: int = 0

    def __str__(self) -> str:
        event = self.event
        return f"event {self.position}, {event['type']} id {event['id']}: {self.outcome}, {self.why}"


class Fates(list[Fate]):
    """Deliveries of one rule, in the order of their events. Without any, its text says why there are none."""

    def __init__(self, fates: Iterable[Fate], why_none: Callable[[], str]) -> None:
        super().__init__(fates)
        self._why_none = why_none

    def __repr__(self) -> str:
        if not self:
            return _cut(f"<none: {self._why_none()}>")
        listed = ", ".join(f"{fate.position} {fate.event['type']} {fate.outcome}" for fate in self)
        return _cut(f"[{listed}]")


def fate_of(rule: str, position: int, event: Event, delivery: ExplainedDelivery) -> Fate:
    return Fate(
        rule=rule,
        position=position,
        event=event,
        outcome=delivery.outcome,
        why=delivery.why,
        attempts=delivery.attempts,
        reason=delivery.reason,
        answers=delivery.answers,
        run=delivery.run,
    )


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."
