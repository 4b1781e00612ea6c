"""Many rules and one event: which of them match. However many rules there are, an event meets few of them.

Theory of operation, from the outside in:

1. `projection` reads of the event only what any rule asks for, once: a `Reading`.
2. `tree` files rules under the exact values that they want, so the event meets those filed under its own.
3. `block` asks what is left of them together, a bit for each rule, field by field, by each field's `table` (`texts`, `numbers`).
4. Where fields depend on each other, inside arrays of objects, `reading` looks at them object by object; where that is too simple the
   evaluator decides about those that are left. It is the law: the index gives what it would give, rule by rule.

An index never changes: an edit gives a new one that shares nearly all of the old, so a reader keeps what it has while an edit is
under way, and a failed commit leaves nothing to undo. What takes time to make (a decoder, tables) is made when it is first asked for.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import immutables
import msgspec

from eventyard.core import strict_json
from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.language import Alternative, Pattern
from eventyard.core.pattern.member import Member
from eventyard.core.pattern.projection import Projection
from eventyard.core.pattern.reading import Reading, Unforeseen
from eventyard.core.pattern.tree import Node


class Fields(msgspec.Struct, frozen=True):
    """The slots of the fields that rules ask for, and how many alternatives ask for each. A slot that comes free is used again."""

    slots: immutables.Map[str, int] = immutables.Map()
    counts: immutables.Map[str, int] = immutables.Map()
    free: tuple[int, ...] = ()

    def with_pattern(self, pattern: Pattern) -> "Fields":
        slots, counts, free = self.slots, self.counts, self.free
        for name, more in _asked(pattern).items():
            count = counts.get(name, 0)
            counts = counts.set(name, count + more)
            if not count:
                slots = slots.set(name, free[0] if free else len(slots))
                free = free[1:]
        return Fields(slots, counts, free)

    def without_pattern(self, pattern: Pattern) -> "Fields":
        slots, counts, free = self.slots, self.counts, self.free
        for name, fewer in _asked(pattern).items():
            count = counts[name] - fewer
            if count:
                counts = counts.set(name, count)
            else:
                counts, slots, free = counts.delete(name), slots.delete(name), (*free, slots[name])
        return Fields(slots, counts, free)


def _asked(pattern: Pattern) -> Counter[str]:
    return Counter([field.name for alternative in pattern.alternatives for field in alternative.fields])


class Index(msgspec.Struct, frozen=True, eq=False):
    """`Index()` is empty."""

    patterns: immutables.Map[int, Pattern] = immutables.Map()
    fields: Fields = Fields()
    root: Node = Node()
    projection: Projection = Projection(immutables.Map())
    """Of these fields at least; of a few more while fields that nobody asks for any more are left in it."""

    def with_rule(self, key: int, pattern: Pattern) -> "Index":
        """An index that also has the rule `key`, in place of the one that it may have had before."""
        others = self.without(key)
        root, fields = others.root, others.fields.with_pattern(pattern)
        for alternative in pattern.alternatives:
            root = root.with_member(_member(key, alternative, fields))
        projection = self.projection if self.projection.reads(fields.slots) else Projection(fields.slots)
        return Index(others.patterns.set(key, pattern), fields, root, projection)

    def without(self, key: int) -> "Index":
        """An index that has no rule `key`; itself where there is none."""
        pattern = self.patterns.get(key)
        if pattern is None:
            return self
        root = self.root
        for alternative in pattern.alternatives:
            root = root.without_member(_member(key, alternative, self.fields))
        return Index(self.patterns.delete(key), self.fields.without_pattern(pattern), root, self.projection)

    def match(self, body: bytes) -> list[int]:
        """The keys of the rules that an event matches, ascending. `body`: bytes that strict ingest has taken.

        Raises PatternTooCostly where the evaluator does of one of the rules.
        """
        try:
            reading = self.projection.read(body)
            found = self._collect(reading)
            if reading.is_doubtful and not strict_json.holds_only_doubles(body):
                reading = self.projection.read_exactly(body)
                found = self._collect(reading)
        except Unforeseen:
            reading, found = self._collect_as_the_evaluator(strict_json.decode(body))
        return _told(reading, found)

    def match_document(self, document: Any) -> list[int]:
        """As `match`, of a document that `strict_json.decode` gave."""
        reading, found = self._collect_from_document(document)
        return _told(reading, found)

    def match_and_fail(self, document: Any) -> tuple[list[int], list[int]]:
        """As `match_document`; and the keys of the rules, ascending, about which the evaluator raises PatternTooCostly."""
        reading, found = self._collect_from_document(document)
        return found, sorted(_failed(reading, found))

    def items(self) -> Iterator[tuple[int, Pattern]]:
        """Every rule's key and pattern, by ascending key."""
        return iter(sorted(self.patterns.items(), key=_key))

    def __len__(self) -> int:
        return len(self.patterns)

    def __contains__(self, key: int) -> bool:
        return key in self.patterns

    def _collect_from_document(self, document: Any) -> tuple[Reading, list[int]]:
        try:
            reading = self.projection.read_document(document)
            return reading, self._collect(reading)
        except Unforeseen:
            return self._collect_as_the_evaluator(document)

    def _collect_as_the_evaluator(self, document: Any) -> tuple[Reading, list[int]]:
        reading = self.projection.read_as_the_evaluator(document)
        return reading, self._collect(reading)

    def _collect(self, reading: Reading) -> list[int]:
        found: list[int] = []
        self.root.collect(reading, found)
        return sorted(set(found)) if len(found) > 1 else found


def judge(*patterns: Pattern) -> Callable[[bytes], bool]:
    """Whether an event of the log matches all of the patterns. What it gives raises what `evaluate` raises."""
    index = Index()
    for key, pattern in enumerate(patterns):
        index = index.with_rule(key, pattern)

    def matches(body: bytes) -> bool:
        return len(index.match(body)) == len(patterns)

    return matches


def _told(reading: Reading, found: list[int]) -> list[int]:
    failed = _failed(reading, found) if reading.failed else ()
    if failed:
        raise PatternTooCostly(
            f"found arrays that cost too much to search for {len(failed)} of the rules", wanted="smaller arrays"
        )
    return found


def _failed(reading: Reading, found: list[int]) -> set[int]:
    """Of a rule that matches by one of its alternatives the others do not matter."""
    return set(reading.failed or ()).difference(found)


def _member(key: int, alternative: Alternative, fields: Fields) -> Member:
    return Member(key, alternative, tuple([fields.slots[field.name] for field in alternative.fields]))


def _key(item: tuple[int, Pattern]) -> int:
    return item[0]
