"""Which emitters an event concerns: an index of what they listen by, in which those that ask for the type alone cost nothing.

Nearly every emitter listens by `{"type": [...]}`. What such a pattern says of an event is known without reading it, since the type stands beside: so on
a bus with a thousand of them an event that concerns nobody costs a look into a dictionary, and one that concerns somebody hardly more.
"""

from collections.abc import Iterator, Mapping

import msgspec

from eventyard.core.pattern.comparison import Values
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import Pattern


class Listening(msgspec.Struct, frozen=True, eq=False):
    """`Listening()` is empty. `by_type`: ears (`emitter_plan.ear`), ascending, of patterns that ask for types alone; `index` has the others."""

    patterns: Mapping[int, Pattern] = {}
    by_type: Mapping[str, tuple[int, ...]] = {}
    index: Index = Index()

    def with_rule(self, ear: int, pattern: Pattern) -> "Listening":
        """With that ear, in place of the one that it may have had before."""
        others = self.without(ear)
        patterns, types = {**others.patterns, ear: pattern}, types_alone(pattern)
        if types is None:
            return Listening(patterns, others.by_type, others.index.with_rule(ear, pattern))
        more = {kind: tuple(sorted((*others.by_type.get(kind, ()), ear))) for kind in types}
        return Listening(patterns, {**others.by_type, **more}, others.index)

    def without(self, ear: int) -> "Listening":
        """Without that ear; itself where there is none."""
        if ear not in self.patterns:
            return self
        patterns = {other: pattern for other, pattern in self.patterns.items() if other != ear}
        left = ((kind, tuple(other for other in ears if other != ear)) for kind, ears in self.by_type.items())
        return Listening(patterns, {kind: ears for kind, ears in left if ears}, self.index.without(ear))

    def match(self, event: bytes, kind: str | None = None) -> list[int]:
        """The ears, ascending, that hear an event of the log; `kind`: its type, where somebody knows it. Raises PatternTooCostly."""
        known = self.by_type.get(_read_type(event).type if kind is None else kind, ()) if self.by_type else ()
        if not self.index:
            return list(known)
        found = self.index.match(event)
        return sorted((*known, *found)) if known else found

    def items(self) -> Iterator[tuple[int, Pattern]]:
        """Every ear and its pattern, ascending."""
        return iter(sorted(self.patterns.items(), key=lambda item: item[0]))

    def __len__(self) -> int:
        return len(self.patterns)


def types_alone(pattern: Pattern) -> frozenset[str] | None:
    """The types that a pattern asks for, where it asks for nothing else; None: it does."""
    types = set[str]()
    for alternative in pattern.alternatives:
        for field in alternative.fields:
            if field.name != "type" or len(alternative.fields) > 1:
                return None
            for values in field.comparisons:
                if not isinstance(values, Values) or values.numbers or values.literals:
                    return None
                types |= values.strings
    return frozenset(types)


class _Typed(msgspec.Struct):
    type: str


_read_type = msgspec.json.Decoder(_Typed).decode
