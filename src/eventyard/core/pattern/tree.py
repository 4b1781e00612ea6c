"""The tree: rules filed by exact values, so that an event meets only those filed under its own.

Theory of operation. A node holds its rules in blocks until there are many. Then it looks which field, among those of which rules want
exact values, tells them apart best, and files the rules that ask for it under each of their values, in nodes of their own, which
split in turn: by type, say, and below each type by customer. Rules that no field tells apart stay in the node's blocks, and every event that
comes to the node asks them. A rule is filed by the first of its node's fields that it has, always, so it is found again to be removed.

Nodes never change: an edit gives new ones along one path, and all else is shared. Nothing is ever rebuilt.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import immutables

from eventyard.core.pattern.block import ALTERNATIVES_MAX, Block, Member
from eventyard.core.pattern.comparison import Values, is_held, is_number
from eventyard.core.pattern.language import Field
from eventyard.core.pattern.reading import Column, Loose, Reading

SPLIT_FROM = 8
"""Alternatives in the blocks of a node from which it looks for a field to file them by; again whenever they have doubled."""

FILED_VALUES_MAX = 16
"""Values under which one rule is filed. One that lists more is left in a block, or a thousand rules could take a million places."""

Key = str | float | tuple[bool] | None
"""An exact value as rules are filed under it: a number as a double, since 300 is 300.0; true in a tuple, since it is not 1."""


class Node:
    """`Node()` is empty. `decided`: the fields by which its rules were filed on the way here."""

    __slots__ = ("blocks", "decided", "files")

    def __init__(
        self, files: tuple["File", ...] = (), blocks: tuple[Block, ...] = (), decided: frozenset[int] = frozenset()
    ) -> None:
        self.files = files
        self.blocks = blocks
        self.decided = decided

    def with_member(self, member: Member) -> "Node":
        for at, file in enumerate(self.files):
            keys = _keys(member, file.slot)
            if keys:
                return self._with_file(at, file.with_member(member, keys, self.decided))
        return _split_if_due(self._with_rest(member))

    def without_member(self, member: Member) -> "Node":
        """Without a member that it has, the very one."""
        for at, file in enumerate(self.files):
            keys = _keys(member, file.slot)
            if keys:
                return self._with_file(at, file.without_member(member, keys))
        return self._without_rest(member)

    @property
    def is_empty(self) -> bool:
        return not self.files and not self.blocks

    def collect(self, reading: Reading, found: list[int]) -> None:
        """Add the keys of the rules that match; a key more than once if several alternatives do, or one is filed under several values."""
        for file in self.files:
            value = reading.values[file.slot]
            if value.__class__ is str:
                node = file.nodes.get(value)
                if node is not None:
                    node.collect(reading, found)
            else:
                for node in file.nodes_for(value, reading):
                    node.collect(reading, found)
        for block in self.blocks:
            block.collect(reading, found)

    def _with_file(self, at: int, file: "File") -> "Node":
        kept = (file,) if file.nodes else ()
        return Node((*self.files[:at], *kept, *self.files[at + 1 :]), self.blocks, self.decided)

    def _with_rest(self, member: Member) -> "Node":
        for at, block in enumerate(self.blocks):
            if len(block.members) < ALTERNATIVES_MAX:
                return self._with_block(at, (*block.members, member))
        return Node(self.files, (*self.blocks, Block((member,), self.decided)), self.decided)

    def _without_rest(self, member: Member) -> "Node":
        for at, block in enumerate(self.blocks):
            if member.key in block.keys:
                left = tuple(other for other in block.members if other.alternative is not member.alternative)
                if len(left) < len(block.members):
                    return self._with_block(at, left)
        raise KeyError(member.key)

    def _with_block(self, at: int, members: tuple[Member, ...]) -> "Node":
        kept = (Block(members, self.decided),) if members else ()
        return Node(self.files, (*self.blocks[:at], *kept, *self.blocks[at + 1 :]), self.decided)


class File:
    """Nodes by exact value of a field."""

    __slots__ = ("nodes", "slot")

    def __init__(self, slot: int, nodes: immutables.Map[Key, Node]) -> None:
        self.slot = slot
        self.nodes = nodes

    def with_member(self, member: Member, keys: tuple[Key, ...], decided: frozenset[int]) -> "File":
        nodes = self.nodes
        for key in keys:
            node = nodes.get(key)
            if node is None:
                node = Node(decided=decided | {self.slot})
            nodes = nodes.set(key, node.with_member(member))
        return File(self.slot, nodes)

    def without_member(self, member: Member, keys: tuple[Key, ...]) -> "File":
        nodes = self.nodes
        for key in keys:
            node = nodes[key].without_member(member)
            nodes = nodes.delete(key) if node.is_empty else nodes.set(key, node)
        return File(self.slot, nodes)

    def nodes_for(self, value: Any, reading: Reading) -> Iterator[Node]:
        """The nodes of each key that the value, or an element of it, is."""
        for key in _keys_of(value):
            node = self.nodes.get(key)
            if node is not None:
                if key.__class__ is float and value.__class__ is not int:
                    reading.is_doubtful = True
                yield node


def _keys_of(value: Any) -> Iterable[Key]:
    """The keys under which rules that want the value, or an element of it, are filed."""
    kind = value.__class__
    if kind is list:
        return {key for entry in _distinct(value) for key in _keys_of(entry)}
    if kind is Column:
        return _keys_of(value.entries)
    if kind is Loose:
        return _keys_of(value.values)
    if kind is str or value is None or kind is float:
        return (value,)
    if kind is bool:
        return ((value,),)
    return (float(value),) if is_number(value) and is_held(value) else ()


def _distinct(values: list[Any]) -> Iterable[Any]:
    """Each once, where entries are no lists; true and 1 are not the same."""
    try:
        return {(entry.__class__, entry): entry for entry in values}.values()
    except TypeError:
        return values


def _split_if_due(node: Node) -> Node:
    rest = sum(len(block.members) for block in node.blocks)
    if rest < SPLIT_FROM or rest & (rest - 1):
        return node
    members = [member for block in node.blocks for member in block.members]
    slot = _telling_field(members, node.decided)
    if slot is None:
        return node
    split = Node((*node.files, File(slot, immutables.Map())), (), node.decided)
    for member in members:
        split = split.with_member(member)
    return split


def _keys(member: Member, slot: int) -> tuple[Key, ...]:
    """Where the member is filed by the field: nowhere if it does not ask for it, or for more than exact values."""
    return _exact_keys(member.alternative.fields[member.slots.index(slot)]) if slot in member.slots else ()


def _exact_keys(field: Field) -> tuple[Key, ...]:
    match field:
        case Field(comparisons=(Values(strings=strings, numbers=numbers, literals=literals),), may_be_absent=False):
            if len(strings) + len(numbers) + len(literals) <= FILED_VALUES_MAX and all(map(is_held, numbers)):
                named = (None if literal is None else (literal,) for literal in set(literals))
                return (*strings, *{float(number) for number in numbers}, *named)
    return ()


def _telling_field(members: list[Member], decided: frozenset[int]) -> int | None:
    """The slot of the field by which an event meets the fewest of the members, if those are less than half of them that ask for it."""
    counts: dict[int, Counter[Key]] = {}
    asking: Counter[int] = Counter()
    for member in members:
        for field, slot in zip(member.alternative.fields, member.slots, strict=True):
            keys = () if slot in decided else _exact_keys(field)
            if keys:
                counts.setdefault(slot, Counter()).update(keys)
                asking[slot] += 1
    spared = {slot: asking[slot] - _met(counts[slot]) for slot in counts}
    best = max(spared, key=lambda slot: spared[slot], default=None)
    return best if best is not None and spared[best] * 2 >= asking[best] and asking[best] * 4 >= len(members) else None


def _met(counts: Counter[Key]) -> float:
    """How many members an event meets whose values come as often as the members ask for them."""
    return sum(count * count for count in counts.values()) / counts.total()
