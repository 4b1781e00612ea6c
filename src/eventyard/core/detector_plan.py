"""A detector ready to be asked: of an event, whose state it tells, in what order, and what its condition says."""

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from eventyard.core import detector_document, limits, order_key, strict_json
from eventyard.core.attributes import HOPS, is_value, spelling
from eventyard.core.cause import CORRELATION_ID
from eventyard.core.detector import Act, Mark, Observation, Origin, Signal
from eventyard.core.emitter import EmitterRecord
from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.evaluator import evaluate, reason, values_at
from eventyard.core.pattern.language import Pattern

_encode = msgspec.json.Encoder(decimal_format="number").encode
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_SEQUENCE_DIGITS_MAX = 18


class DetectorPlan:
    def __init__(self, record: EmitterRecord) -> None:
        self.record = record
        self.detector = detector_document.read(bytes(record.document))
        self.terms = detector_document.terms(self.detector)
        self.patterns = detector_document.patterns(self.detector)
        self.listens: Mapping[int, Pattern] = {0: self.patterns.on}
        self.emits = self.detector.emit.types
        self._steps = self.detector.key.split(".")
        self._watched = self.patterns.watched

    def emitted_type(self, act: Act) -> str | None:
        """The type of the event that an edge is; None where nobody wants it told."""
        emitted = self.detector.emit.rise if act is Act.RISE else self.detector.emit.fall
        return None if emitted is None else emitted.type

    def key(self, document: Mapping[str, Any]) -> str | None:
        """Whose state the event tells. None where it has no key that can be one: none at all, an object, an array, too long a text."""
        found: Any = document
        for step in self._steps:
            if not isinstance(found, dict):
                return None
            found = found.get(step)
        text = order_key.scalar_text(found)
        if text is None or not is_value(text) or len(text.encode()) > limits.DETECTOR_KEY_BYTES_MAX:
            return None
        return text

    def signal(self, document: Any) -> Signal:
        """What the event says. Raises PatternTooCostly."""
        if evaluate(self.patterns.when, document):
            return Signal.HOLDS
        if self.patterns.until is None or evaluate(self.patterns.until, document):
            return Signal.GONE
        return Signal.BETWEEN

    def signal_of(self, document: Any) -> Signal | None:
        """As `signal`, of any event: None where it carries no observation, or costs too much to judge."""
        try:
            return self.signal(document) if evaluate(self.patterns.on, document) else None
        except PatternTooCostly:
            return None

    def observation(self, document: Mapping[str, Any], *, position: int, accepted_ms: int, work_ms: int) -> Observation | None:
        """None where the order of the key cannot be told: the event lacks a sequence."""
        told_us = _time_us(document.get("time"), accepted_ms * 1000)
        mark = self._mark(document, told_us, position)
        if mark is None:
            return None
        at_ms = max(told_us // 1000, accepted_ms - self.terms.late_by_ms)
        began_ms = work_ms - (accepted_ms - at_ms)
        return Observation(_origin(document, position), mark, at_ms, work_ms, began_ms, self.values(document))

    def _mark(self, document: Mapping[str, Any], told_us: int, position: int) -> Mark | None:
        match self.detector.order_by:
            case "time":
                return told_us
            case "position":
                return position
            case "sequence":
                return _sequence(document.get("sequence"))

    def values(self, document: Any) -> str:
        """What the event says of the fields that the conditions look at, as JSON. Empty where that is too much to keep."""
        said: dict[str, Any] = {}
        for field in self._watched:
            found = [value for value, _ in values_at(field.steps, document)]
            if len(found) == 1:
                said[field.name] = found[0]
            elif found:
                said[field.name] = found[: limits.DETECTOR_VALUES_LISTED_MAX]
        text = _encode(said)
        return text.decode() if len(text) <= limits.DETECTOR_VALUES_BYTES_MAX else ""

    def why(self, act: Act, values: str) -> str:
        """Why the condition holds (a rise) or does not (a fall), from what the last observation said of its fields."""
        is_until = act is Act.FALL and self.patterns.until is not None
        return _reason(self.patterns.until if is_until else self.patterns.when, values)

    def why_now(self, values: str) -> str:
        """Whether `when` holds by the last observation, and why."""
        return _reason(self.patterns.when, values)


def _reason(pattern: Pattern | None, values: str) -> str:
    return "" if pattern is None or not values else reason(pattern, strict_json.decode(values.encode()))


def _origin(document: Mapping[str, Any], position: int) -> Origin:
    correlation = document.get(CORRELATION_ID)
    if correlation is None:
        correlation = document["id"]
    told = correlation if isinstance(correlation, str) else spelling(correlation)
    hops = int(document.get(HOPS) or 0)
    return Origin(position, document["source"], document["id"], document["type"], told, hops)


def _time_us(text: Any, accepted_us: int) -> int:
    """When the event says it happened, in microseconds; when it was accepted where it says nothing, or something later."""
    if not isinstance(text, str):
        return accepted_us
    try:
        moment = datetime.datetime.fromisoformat(text.upper())
    except ValueError:
        return accepted_us  # A leap second.
    return min(accepted_us, (moment - _EPOCH) // _MICROSECOND)


_MICROSECOND = datetime.timedelta(microseconds=1)


def _sequence(value: Any) -> Mark | None:
    """CloudEvents' extension `sequence`: a text in whose order events are, or a number. Numbers of any length come before texts."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _SEQUENCE_DIGITS_MAX:
        return int(value)
    return value
