"""Many rules and one event: which of them match.

A rule whose pattern asks for exact strings in `type` (or else `source`) is filed under each of them, so an event
meets only the rules filed under its own values and those that could not be filed; the evaluator decides about each. A pattern
with `$or` is not filed. This is the plain set that a real index has to agree with and will replace.

A set never changes: an edit gives a new one, at the price of copying the files that it touches (about a millisecond at
100,000 rules). So a reader keeps what it has while an edit is under way, and a failed commit leaves nothing to undo.
"""

import bisect
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from eventyard.core.pattern.comparison import Values
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import Pattern

_FILED_BY = ("type", "source")

Keys = tuple[int, ...]
"""Keys of rules, ascending."""

Place = tuple[str, str]
"""A top-level field and the exact string that it must have."""


class RuleSet(msgspec.Struct, frozen=True):
    """`RuleSet()` is empty."""

    patterns: Mapping[int, Pattern] = {}
    filed: Mapping[Place, Keys] = {}
    unfiled: Keys = ()

    def with_rule(self, key: int, pattern: Pattern) -> "RuleSet":
        """A set that also has the rule `key`, in place of the one that it may have had before."""
        others = self.without(key)
        patterns = {**others.patterns, key: pattern}
        places = _places(pattern)
        if not places:
            return RuleSet(patterns, others.filed, _inserted(others.unfiled, key))
        refiled = {place: _inserted(others.filed.get(place, ()), key) for place in places}
        return RuleSet(patterns, {**others.filed, **refiled}, others.unfiled)

    def without(self, key: int) -> "RuleSet":
        """A set that has no rule `key`; itself where there is none."""
        pattern = self.patterns.get(key)
        if pattern is None:
            return self
        patterns = {other: kept for other, kept in self.patterns.items() if other != key}
        places = _places(pattern)
        if not places:
            return RuleSet(patterns, self.filed, _removed(self.unfiled, key))
        refiled = {**self.filed, **{place: _removed(self.filed[place], key) for place in places}}
        return RuleSet(patterns, {place: keys for place, keys in refiled.items() if keys}, self.unfiled)

    def match(self, document: Any) -> list[int]:
        """The keys of the rules that `document` matches, ascending. Raises what `evaluate` raises."""
        return [key for key in self._candidates(document) if evaluate(self.patterns[key], document)]

    def items(self) -> Iterator[tuple[int, Pattern]]:
        """Every rule's key and pattern, by ascending key."""
        return iter(sorted(self.patterns.items()))

    def __len__(self) -> int:
        return len(self.patterns)

    def __contains__(self, key: int) -> bool:
        return key in self.patterns

    def _candidates(self, document: Any) -> list[int]:
        found = list(self.unfiled)
        if isinstance(document, dict):
            for field in _FILED_BY:
                found += self._filed_under(field, document.get(field))
        return sorted(found)

    def _filed_under(self, field: str, value: Any) -> Keys:
        match value:
            case str():
                return self.filed.get((field, value), ())
            case list():  # any element may match: rare enough to meet all that are filed by this field
                return tuple({key for place, keys in self.filed.items() if place[0] == field for key in keys})
            case _:
                return ()


def _places(pattern: Pattern) -> list[Place]:
    """Where a rule is filed: nowhere, or under each exact string of the first field that has only such."""
    if len(pattern.alternatives) > 1:
        return []
    fields = {field.name: field for field in pattern.alternatives[0].fields}
    for name in _FILED_BY:
        field = fields.get(name)
        if field is not None and not field.may_be_absent:
            strings = _only_strings(field.comparisons)
            if strings:
                return [(name, string) for string in sorted(strings)]
    return []


def _only_strings(comparisons: tuple[Any, ...]) -> frozenset[str]:
    match comparisons:
        case (Values(strings=strings, numbers=numbers, literals=()),) if not numbers:
            return strings
        case _:
            return frozenset()


def _inserted(keys: Keys, key: int) -> Keys:
    at = bisect.bisect_left(keys, key)
    return (*keys[:at], key, *keys[at:])


def _removed(keys: Keys, key: int) -> Keys:
    return tuple(other for other in keys if other != key)
