"""What a caller PUTs as a detector: read, and checked whole, so that one that was taken can always be asked."""

from typing import Annotated, Literal

import msgspec

from eventyard.core import document, emitter_document, limits
from eventyard.core.detector import Signal, Terms
from eventyard.core.emitter import Kind
from eventyard.core.emitter_document import Description, Emitted, KeyPath, KeysMax, Owner, PerSecond, Wait, ms
from eventyard.core.errors import InvalidDetector
from eventyard.core.pattern import language
from eventyard.core.pattern.language import Pattern

NULL = msgspec.Raw(b"null")


class Emit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each edge is told by; one that is left out is told by nothing. One of them at least."""

    rise: Emitted | None = None
    fall: Emitted | None = None

    @property
    def types(self) -> tuple[str, ...]:
        return emitter_document.types(self)


class Detector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`on`: which events are observations. `key`: the path of what they are of, as `data.car.id`. `when`: the condition.

    `until`: what ends it; left out, that `when` does not hold. `for_s`: how long it has to hold, `keep_for_s`: to be gone. `first`: what the
    first observation of a key is that finds it so. `order_by`: what tells that an observation is older than another; `late_by_s`: by how much one
    may come late. `forget_after_s`: after so long without an observation nothing is known of a key. `max_keys` and `max_edges_per_s` bound
    what one detector costs. The patterns keep their text, because the spelling of numbers counts.
    """

    on: msgspec.Raw
    when: msgspec.Raw
    emit: Emit
    key: KeyPath = "subject"
    until: msgspec.Raw = NULL
    for_s: Wait = 0.0
    keep_for_s: Wait = 0.0
    first: Literal["arm", "fire", "suppress"] = "arm"
    order_by: Literal["time", "sequence", "position"] = "time"
    late_by_s: Annotated[float, msgspec.Meta(ge=0, le=limits.LATE_BY_S_MAX)] = 0.0
    forget_after_s: Annotated[float, msgspec.Meta(ge=1, le=limits.HOLD_S_MAX)] | None = None
    max_keys: KeysMax = limits.DETECTOR_KEYS_DEFAULT
    max_edges_per_s: PerSecond = limits.DETECTOR_EDGES_PER_S_DEFAULT
    description: Description = ""
    owner: Owner = ""

    @property
    def has_until(self) -> bool:
        return bytes(self.until) != b"null"


class Patterns(msgspec.Struct, frozen=True):
    on: Pattern
    when: Pattern
    until: Pattern | None

    @property
    def watched(self) -> tuple[language.Field, ...]:
        """The fields that the conditions look at, each once."""
        conditions = [self.when] if self.until is None else [self.when, self.until]
        fields = [field for pattern in conditions for alternative in pattern.alternatives for field in alternative.fields]
        return tuple({field.name: field for field in fields}.values())


def parse(body: bytes) -> Detector:
    """A caller's document, or `InvalidDetector`, `InvalidPattern`, `PatternTooCostly`, with where."""
    emitter_document.check_size(Kind.DETECTOR, body)
    detector = document.read(body, Detector, InvalidDetector)
    for name in ("on", "when", *(["until"] if detector.has_until else [])):
        emitter_document.check_pattern(bytes(getattr(detector, name)), name)
    emitter_document.check_key(Kind.DETECTOR, detector.key)
    _check_emit(detector.emit)
    return _own(detector)


def _own(detector: Detector) -> Detector:
    """Without the text that it was read from, and with `until` as `null` where it is left out."""
    until = detector.until.copy() if detector.has_until else NULL
    return msgspec.structs.replace(detector, on=detector.on.copy(), when=detector.when.copy(), until=until)


def read(text: bytes) -> Detector:
    """One that was accepted before."""
    return _own(msgspec.json.decode(text, type=Detector))


def patterns(detector: Detector) -> Patterns:
    """Of one that was accepted."""
    until = language.parse_accepted(bytes(detector.until)) if detector.has_until else None
    return Patterns(language.parse_accepted(bytes(detector.on)), language.parse_accepted(bytes(detector.when)), until)


def terms(detector: Detector) -> Terms:
    return Terms(
        first=Signal[detector.first.upper()],
        for_ms=ms(detector.for_s),
        keep_for_ms=ms(detector.keep_for_s),
        late_by_ms=ms(detector.late_by_s),
        forget_after_ms=None if detector.forget_after_s is None else ms(detector.forget_after_s),
    )


def _check_emit(emit: Emit) -> None:
    if not emit.types:
        wanted = '{"rise": {"type": "car.sold"}}, a fall, or both'
        raise InvalidDetector("found neither a rise nor a fall", wanted=wanted, at="/emit")
    emitter_document.check_emit(Kind.DETECTOR, emit)
