"""An expectation ready to be asked: of an event, whether it opens one or is what is waited for, and of which key."""

from typing import TYPE_CHECKING

from eventyard.core import emitter_key, expectation_document, origin, strict_json
from eventyard.core.changes import StoredEvent
from eventyard.core.emitter import EmitterRecord
from eventyard.core.errors import PatternTooCostly
from eventyard.core.expectation import Heard, Signal
from eventyard.core.pattern.evaluator import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventyard.core.pattern.language import Pattern

SIGNALS = (Signal.EXPECT, Signal.AFTER)
"""By ear. An event is taken by the first ear first: what opens anew meets what is open."""


class ExpectationPlan:
    ears = tuple(str(signal) for signal in SIGNALS)

    def __init__(self, record: EmitterRecord) -> None:
        self.record = record
        self.expectation = expectation_document.read(bytes(record.document))
        self.terms = expectation_document.terms(self.expectation)
        self.patterns = expectation_document.patterns(self.expectation)
        self.listens: Mapping[int, Pattern] = {0: self.patterns.expect, 1: self.patterns.after}
        self.emits = self.expectation.emit.types

    def key(self, event: bytes) -> str | None:
        """Of what the event is."""
        return emitter_key.key_of(self.expectation.key, event)

    def heard(self, event: StoredEvent, work_ms: int) -> Heard:
        return Heard(origin.read(event.json).origin(event.position), event.accepted_ms, work_ms)

    def opens(self, event: bytes) -> bool | None:
        """Whether an event opens one; None where that costs too much to judge."""
        try:
            return evaluate(self.patterns.after, strict_json.decode(event))
        except PatternTooCostly:
            return None
