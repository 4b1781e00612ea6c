"""What a caller PUTs as an expectation: read, and checked whole, so that one that was taken can always be asked."""

from typing import Annotated

import msgspec

from eventyard.core import document, emitter_document, limits
from eventyard.core.emitter import Kind
from eventyard.core.emitter_document import Description, Emitted, KeyPath, KeysMax, Owner, PerSecond, Wait, ms
from eventyard.core.errors import InvalidExpectation
from eventyard.core.expectation import Act, Terms
from eventyard.core.pattern import language
from eventyard.core.pattern.language import Pattern


class Emit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each outcome is told by; one that is left out is told by nothing. One of them at least."""

    missed: Emitted | None = None
    met: Emitted | None = None
    late: Emitted | None = None

    @property
    def types(self) -> tuple[str, ...]:
        return emitter_document.types(self)

    def type_of(self, act: Act) -> str | None:
        emitted: Emitted | None = getattr(self, act)
        return None if emitted is None else emitted.type


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after`: which events open one, for their key. `expect`: which events it waits for. `within_s`: for how long.

    `key`: the path, in events of both, of what they are of, as `data.order_id`. `late_for_s`: for how long after it was missed what was expected is
    told as late; left out, as long as `within_s`. `max_keys` and `max_missed_per_s` bound what one expectation costs. The patterns keep their
    text, because the spelling of numbers counts.
    """

    after: msgspec.Raw
    expect: msgspec.Raw
    within_s: Annotated[float, msgspec.Meta(gt=0, le=limits.HOLD_S_MAX)]
    emit: Emit
    key: KeyPath = "subject"
    late_for_s: Wait | None = None
    max_keys: KeysMax = limits.DETECTOR_KEYS_DEFAULT
    max_missed_per_s: PerSecond = limits.DETECTOR_EDGES_PER_S_DEFAULT
    description: Description = ""
    owner: Owner = ""


class Patterns(msgspec.Struct, frozen=True):
    after: Pattern
    expect: Pattern


def parse(body: bytes) -> Expectation:
    """A caller's document, or `InvalidExpectation`, `InvalidPattern`, `PatternTooCostly`, with where."""
    emitter_document.check_size(Kind.EXPECTATION, body)
    expectation = document.read(body, Expectation, InvalidExpectation)
    for name in ("after", "expect"):
        emitter_document.check_pattern(bytes(getattr(expectation, name)), name)
    emitter_document.check_key(Kind.EXPECTATION, expectation.key)
    if not expectation.emit.types:
        wanted = '{"missed": {"type": "order.not-shipped"}}, and met and late where they are wanted'
        raise InvalidExpectation("found neither missed, met nor late", wanted=wanted, at="/emit")
    emitter_document.check_emit(Kind.EXPECTATION, expectation.emit)
    return _own(expectation)


def _own(expectation: Expectation) -> Expectation:
    """Without the text that it was read from."""
    return msgspec.structs.replace(expectation, after=expectation.after.copy(), expect=expectation.expect.copy())


def read(text: bytes) -> Expectation:
    """One that was accepted before."""
    return _own(msgspec.json.decode(text, type=Expectation))


def patterns(expectation: Expectation) -> Patterns:
    """Of one that was accepted."""
    return Patterns(language.parse_accepted(bytes(expectation.after)), language.parse_accepted(bytes(expectation.expect)))


def terms(expectation: Expectation) -> Terms:
    within_ms = ms(expectation.within_s)
    return Terms(within_ms, within_ms if expectation.late_for_s is None else ms(expectation.late_for_s))
