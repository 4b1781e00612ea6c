"""A detector ready to be asked: of an event, whose state it tells, in what order, and what its condition says."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from eventyard.core import detector_document, emitter_key, limits, strict_json
from eventyard.core.changes import StoredEvent
from eventyard.core.detector import Act, Mark, Observation, Signal
from eventyard.core.emitter import EmitterRecord
from eventyard.core.errors import PatternTooCostly
from eventyard.core.origin import Told
from eventyard.core.pattern.evaluator import evaluate, reason, values_at
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import Pattern

_encode = msgspec.json.Encoder(decimal_format="number").encode
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_SEQUENCE_DIGITS_MAX = 18
_WHEN, _UNTIL = 0, 1


class _Told(Told):
    """The attributes of an event that an observation needs."""

    time: str | None = None
    sequence: str | int | bool | None = None


_read_told = msgspec.json.Decoder(_Told).decode


class DetectorPlan:
    """It is asked with events as the log has them, in bytes: of each only what it looks at is read."""

    ears = ("on",)

    def __init__(self, record: EmitterRecord) -> None:
        self.record = record
        self.detector = detector_document.read(bytes(record.document))
        self.terms = detector_document.terms(self.detector)
        self.patterns = detector_document.patterns(self.detector)
        self.listens: Mapping[int, Pattern] = {0: self.patterns.on}
        self.emits = self.detector.emit.types
        self._conditions = Index().with_rule(_WHEN, self.patterns.when)
        if self.patterns.until is not None:
            self._conditions = self._conditions.with_rule(_UNTIL, self.patterns.until)
        self._watched = [(field, _raw_reader(field.name)) for field in self.patterns.watched]
        self._names = [_encode(field.name) + b":" for field in self.patterns.watched]
        self._signals: dict[str, Signal] = {}
        """By values that decide, see `judged`."""
        self._whys: dict[tuple[Act, str], str] = {}
        """As it was told of these values."""

    def emitted_type(self, act: Act) -> str | None:
        """The type of the event that an edge is; None where nobody wants it told."""
        emitted = self.detector.emit.rise if act is Act.RISE else self.detector.emit.fall
        return None if emitted is None else emitted.type

    def key(self, event: bytes) -> str | None:
        """Whose state the event tells. None where it has no key that can be one: none at all, an object, an array, too long a text."""
        return emitter_key.key_of(self.detector.key, event)

    def judged(self, event: bytes) -> tuple[Signal, str]:
        """What the event says, and its `values`. Raises PatternTooCostly.

        Where every field that the conditions look at is a scalar that is reached by objects alone, these values decide, and nothing else of the event:
        so events that say the same are judged once.
        """
        raw = [read(event) for _, read in self._watched]
        if None in raw:
            return self.signal(event), self.values(event)
        values = self._joined(raw)
        signal = self._signals.get(values)
        if signal is None:
            signal = self.signal(event)
            self._remember(values, signal)
        return signal, values

    def _remember(self, values: str, signal: Signal) -> None:
        """Where there are too many, begin anew: what comes again is soon there again."""
        if len(self._signals) >= limits.DETECTOR_SIGNALS_KEPT:
            self._signals.clear()
        if values:
            self._signals[values] = signal

    def signal(self, event: bytes) -> Signal:
        """What the event says. Raises PatternTooCostly."""
        held = self._conditions.match(event)
        if _WHEN in held:
            return Signal.HOLDS
        return Signal.GONE if self.patterns.until is None or _UNTIL in held else Signal.BETWEEN

    def signal_of(self, event: bytes) -> Signal | None:
        """As `signal`, of any event: None where it carries no observation, or costs too much to judge."""
        try:
            return self.signal(event) if evaluate(self.patterns.on, strict_json.decode(event)) else None
        except PatternTooCostly:
            return None

    def observation(self, event: StoredEvent, *, work_ms: int, values: str) -> Observation | None:
        """None where the order of the key cannot be told: the event lacks a sequence."""
        told, accepted_ms = _read_told(event.json), event.accepted_ms
        told_us = _time_us(told.time, accepted_ms * 1000)
        mark = self._mark(told, told_us, event.position)
        if mark is None:
            return None
        at_ms = max(told_us // 1000, accepted_ms - self.terms.late_by_ms)
        began_ms = work_ms - (accepted_ms - at_ms)
        return Observation(told.origin(event.position), mark, at_ms, work_ms, began_ms, values)

    def _mark(self, told: _Told, told_us: int, position: int) -> Mark | None:
        match self.detector.order_by:
            case "time":
                return told_us
            case "position":
                return position
            case "sequence":
                return _sequence(told.sequence)

    def values(self, event: bytes) -> str:
        """What the event says of the fields that the conditions look at, as JSON. Empty where that is too much to keep."""
        said: list[bytes | None] = []
        for field, read in self._watched:
            value = read(event)
            if value is None:
                found = [value for value, _ in values_at(field.steps, strict_json.decode(event))]
                if found:
                    value = _encode(found[0] if len(found) == 1 else found[: limits.DETECTOR_VALUES_LISTED_MAX])
            said.append(value)
        return self._joined(said)

    def _joined(self, said: Sequence[bytes | None]) -> str:
        """As JSON, without those of which the event says nothing."""
        members = [name + value for name, value in zip(self._names, said, strict=True) if value is not None]
        text = b"{" + b",".join(members) + b"}"
        return text.decode() if len(text) <= limits.DETECTOR_VALUES_BYTES_MAX else ""

    def why(self, act: Act, values: str) -> str:
        """Why the condition holds (a rise) or does not (a fall), from what the last observation said of its fields. Empty where that does not tell: it
        was no observation under this version, or said more than is kept.
        """
        told = self._whys.get((act, values))
        if told is None:
            if len(self._whys) >= limits.DETECTOR_SIGNALS_KEPT:
                self._whys.clear()
            told = self._whys[act, values] = self._why(act, values)
        return told

    def _why(self, act: Act, values: str) -> str:
        is_until = act is Act.FALL and self.patterns.until is not None
        pattern = self.patterns.until if is_until else self.patterns.when
        if (
            pattern is None
            or not values
            or evaluate(pattern, strict_json.decode(values.encode())) is not (act is Act.RISE or is_until)
        ):
            return ""
        return _reason(pattern, values)

    def why_now(self, values: str) -> str:
        """Whether `when` holds by the last observation, and why."""
        return _reason(self.patterns.when, values)


def _reason(pattern: Pattern | None, values: str) -> str:
    return "" if pattern is None or not values else reason(pattern, strict_json.decode(values.encode()))


def _raw_reader(path: str) -> Callable[[bytes], bytes | None]:
    """Reads the text of a scalar at a path of objects, as it is spelt. None: it is none, or the event has it by another way."""
    steps = path.split(".")
    inner: Any = msgspec.Raw
    for number, step in enumerate(reversed(steps)):
        field: Any = inner if number == 0 else inner | list[Any] | str | int | float | bool | None
        struct = msgspec.defstruct("Step", [("step", field | msgspec.UnsetType, msgspec.UNSET)], rename={"step": step})
        inner = struct
    decode = msgspec.json.Decoder(inner).decode

    def read(event: bytes) -> bytes | None:
        found: Any = decode(event)
        for _ in steps:
            if not isinstance(found, msgspec.Struct):
                return None
            found = found.step  # type: ignore[attr-defined]
        text = bytes(found) if isinstance(found, msgspec.Raw) else b""
        return text if text[:1] not in _NO_SCALAR else None

    return read


_NO_SCALAR = (b"", b"{", b"[")


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
