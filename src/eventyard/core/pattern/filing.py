"""Filing: the keys under which a rule is filed by one field, so that an event whose value has another key need not meet it.

Best is the exact value: who comes to a rule by it has the field right. Where rules ask for texts that begin or end in some way, a head or a
tail of one length is the key; where they ask for letters of any case, the text folded. Those keys only spare the event other rules; the
field is still to be asked.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any

from eventyard.core.pattern import letters
from eventyard.core.pattern.comparison import (
    Comparison,
    EqualsIgnoreCase,
    Prefix,
    Suffix,
    Values,
    Wildcard,
    is_held,
    is_number,
)
from eventyard.core.pattern.language import Field
from eventyard.core.pattern.member import Member

FILED_VALUES_MAX = 16
"""Keys under which one rule is filed. One that lists more is left in a block, or a thousand rules could take a million places."""

Key = str | float | tuple[bool] | None
"""A text; a number as a double, since 300 is 300.0; true in a tuple, since it is not 1; null."""


class Way(IntEnum):
    EXACT = 0
    FOLDED = 1
    HEAD = 2
    TAIL = 3


class By:
    """A field's slot, and what of its values is the key. `length`: of heads and tails."""

    __slots__ = ("cut", "is_exact", "length", "slot", "way")

    def __init__(self, slot: int, way: Way, length: int = 0) -> None:
        self.slot = slot
        self.way = way
        self.length = length
        self.is_exact = way is Way.EXACT
        self.cut = {Way.HEAD: slice(length), Way.TAIL: slice(-length, None)}.get(way)

    def key_of_text(self, text: str) -> str:
        if self.is_exact:
            return text
        return text.casefold() if self.cut is None else text[self.cut]

    def keys_of_value(self, value: Any) -> Iterable[Key]:
        """The keys of a value; of each scalar of a list."""
        kind = value.__class__
        if kind is str:
            return (self.key_of_text(value),)
        if kind is list:
            return self._keys_of_many(value)
        return _keys_of_scalar(value) if self.is_exact else ()

    def keys_of_rule(self, member: Member) -> tuple[Key, ...]:
        """Where the member is filed: nowhere if it does not ask for the field, or for more than has such keys."""
        if self.slot not in member.slots:
            return ()
        return self.keys_of_field(member.alternative.fields[member.slots.index(self.slot)])

    def keys_of_field(self, field: Field) -> tuple[Key, ...]:
        if field.may_be_absent:
            return ()
        if self.is_exact:
            return _exact_keys(field)
        keys: set[str] = set()
        for comparison in field.comparisons:
            texts = _texts(comparison, self.way)
            if texts is None or any(len(text) < self.length for text in texts):
                return ()
            keys.update(map(self.key_of_text, texts))
        return tuple(keys) if len(keys) <= FILED_VALUES_MAX else ()

    def _keys_of_many(self, values: list[Any]) -> Iterable[Key]:
        if not self.is_exact:
            return {self.key_of_text(value) for value in values if value.__class__ is str}
        return {key for value in values for key in ((value,) if value.__class__ is str else _keys_of_scalar(value))}


def _keys_of_scalar(value: Any) -> Iterable[Key]:
    kind = value.__class__
    if value is None or kind is float:
        return (value,)
    if kind is bool:
        return ((value,),)
    return (float(value),) if is_number(value) and is_held(value) else ()


def _exact_keys(field: Field) -> tuple[Key, ...]:
    match field.comparisons:
        case (Values(strings=strings, numbers=numbers, literals=literals),):
            if len(strings) + len(numbers) + len(literals) <= FILED_VALUES_MAX and all(map(is_held, numbers)):
                named = (None if literal is None else (literal,) for literal in set(literals))
                return (*strings, *{float(number) for number in numbers}, *named)
    return ()


def _texts(comparison: Comparison, way: Way) -> Iterable[str] | None:
    """The texts, or heads or tails of texts, that it accepts; None if it also accepts others."""
    match comparison:
        case Values(strings=strings, numbers=numbers, literals=()) if not numbers:
            return strings
        case EqualsIgnoreCase() if way is Way.FOLDED and not letters.fold_apart(comparison.letters):
            return (comparison.text,)
        case Prefix() if way is Way.HEAD:
            return (comparison.text,)
        case Suffix() if way is Way.TAIL:
            return (comparison.text,)
        case Wildcard(parts=parts) if way is not Way.FOLDED:
            return (parts[0] if way is Way.HEAD else parts[-1],)
        case _:
            return None


# Which way to file.


def best(members: list[Member], decided: frozenset[int]) -> By | None:
    """By which an event meets the fewest of the members, if those are less than half of them that can be filed so.

    Exact values before all else; and where no key tells members apart, a value that nearly all of them want, since there are other
    events.
    """
    exact = [By(slot, Way.EXACT) for slot in {slot for member in members for slot in member.slots} - decided]
    return (
        _best(members, exact, _is_telling)
        or _best(members, _inexact(members), _is_telling)
        or _best(members, exact, _is_common)
    )


def _inexact(members: list[Member]) -> list[By]:
    """By folded text; by heads and tails of a few of the lengths that rules have."""
    lengths: dict[tuple[int, Way], set[int]] = {}
    for member in members:
        for field, slot in zip(member.alternative.fields, member.slots, strict=True):
            for comparison in field.comparisons:
                for way in _INEXACT:
                    texts = _texts(comparison, way)
                    if texts and not isinstance(comparison, Values):
                        lengths.setdefault((slot, way), set()).update(map(len, texts))
    return [
        By(slot, way, length)
        for (slot, way), found in sorted(lengths.items())
        for length in ({0} if way is Way.FOLDED else _few(sorted(found - {0})))
    ]


_INEXACT = (Way.FOLDED, Way.HEAD, Way.TAIL)


def _few(lengths: list[int]) -> set[int]:
    return {lengths[0], lengths[len(lengths) // 4], lengths[len(lengths) // 2]} if lengths else set()


def _best(members: list[Member], ways: list[By], is_good: Callable[[float, int, int], bool]) -> By | None:
    found: By | None = None
    spared_most = -1.0
    for by in ways:
        keys = [filed for member in members if (filed := by.keys_of_rule(member))]
        if not keys:
            continue
        met = _met(Counter(key for filed in keys for key in filed))
        if len(keys) - met > spared_most and is_good(met, len(keys), len(members)):
            found, spared_most = by, len(keys) - met
    return found


def _is_telling(met: float, filed: int, members: int) -> bool:
    return met * 2 <= filed and filed * 4 >= members


def _is_common(_: float, filed: int, members: int) -> bool:
    return filed * 8 >= members * 7


def _met(counts: Counter[Key]) -> float:
    """How many members an event meets whose values come as often as the members ask for them."""
    return sum(count * count for count in counts.values()) / counts.total()
