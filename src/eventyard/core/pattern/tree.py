"""The tree: rules filed by values that they want, so that an event meets only those filed under its own.

Theory of operation. A node holds its rules in blocks until there are several. Then it looks which field tells them apart best
(`filing`), and files the rules that ask for it under each of their keys, in nodes of their own, which
split in turn: by type, say, and below each type by customer. Rules that nothing tells apart stay in the node's blocks, and every event that
comes to the node asks them. A rule is filed by the first of its node's ways that files it, always, so it is found again to be removed.

Nodes never change: an edit gives new ones along one path, and all else is shared. Nothing is ever rebuilt.
"""

from collections.abc import Iterator
from typing import Any

import immutables
from msgspec import UnsetType

from eventyard.core.pattern import filing
from eventyard.core.pattern.block import ALTERNATIVES_MAX, Block
from eventyard.core.pattern.filing import By, Key
from eventyard.core.pattern.member import Member
from eventyard.core.pattern.reading import MANY, Reading

_TEXTS = frozenset((str,))

_KEYS_AS_ONE = 8
"""Values of an array that are made keys and looked for in the time of one look at a value."""

SPLIT_FROM = 8
"""Alternatives in the blocks of a node from which it looks for a way to file them; again whenever they have doubled."""


class Node:
    """`Node()` is empty. `decided`: the fields by whose exact values its rules were filed on the way here."""

    __slots__ = ("blocks", "decided", "files", "leaf")

    def __init__(
        self, files: tuple["File", ...] = (), blocks: tuple[Block, ...] = (), decided: frozenset[int] = frozenset()
    ) -> None:
        self.files = files
        self.blocks = blocks
        self.decided = decided
        self.leaf = blocks[0] if not files and len(blocks) == 1 else None
        """All that there is, where it is one block: most nodes, and one step less to their rules."""

    def with_member(self, member: Member) -> "Node":
        for at, file in enumerate(self.files):
            keys = file.by.keys_of_rule(member)
            if keys:
                return self._with_file(at, file.with_member(member, keys, self.decided))
        return _split_if_due(self._with_rest(member))

    def without_member(self, member: Member) -> "Node":
        """Without a member that it has, the very one."""
        for at, file in enumerate(self.files):
            keys = file.by.keys_of_rule(member)
            if keys:
                return self._with_file(at, file.without_member(member, keys))
        return self._without_rest(member)

    @property
    def is_empty(self) -> bool:
        return not self.files and not self.blocks

    def collect(self, reading: Reading, found: list[int]) -> None:
        """Add the keys of the rules that match; a key more than once if several alternatives do, or one is filed under several values."""
        values = reading.values
        for file in self.files:
            value = values[file.slot]
            kind = value.__class__
            if kind is str:
                if file.is_exact:
                    node = file.nodes.get(value)
                else:
                    node = file.nodes.get(value.casefold() if file.cut is None else value[file.cut])
                if node is None:
                    continue
                if node.leaf is not None:
                    node.leaf.collect(reading, found)
                else:
                    node.collect(reading, found)
            elif kind is UnsetType:
                continue
            elif kind in MANY:
                file.collect_many(value, reading, found)
            else:
                for node in file.nodes_for(value, reading):
                    node.collect(reading, found)
        for block in self.blocks:
            block.collect(reading, found)

    def fail(self, reading: Reading) -> None:
        """Nothing can be said about any of its rules."""
        for file in self.files:
            file.fail(reading)
        for block in self.blocks:
            block.fail(reading)

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
                left = tuple(
                    other for other in block.members if other.key != member.key or other.alternative is not member.alternative
                )
                if len(left) < len(block.members):
                    return self._with_block(at, left)
        raise KeyError(member.key)

    def _with_block(self, at: int, members: tuple[Member, ...]) -> "Node":
        kept = (Block(members, self.decided),) if members else ()
        return Node(self.files, (*self.blocks[:at], *kept, *self.blocks[at + 1 :]), self.decided)


class File:
    """Nodes by keys."""

    __slots__ = ("by", "cut", "is_exact", "nodes", "slot")

    def __init__(self, by: By, nodes: immutables.Map[Key, Node]) -> None:
        self.by = by
        self.nodes = nodes
        self.slot, self.is_exact, self.cut = by.slot, by.is_exact, by.cut  # At hand, since they are asked of every event.

    def with_member(self, member: Member, keys: tuple[Key, ...], decided: frozenset[int]) -> "File":
        nodes = self.nodes
        for key in keys:
            node = nodes.get(key)
            if node is None:
                node = Node(decided=decided | {self.by.slot} if self.by.is_exact else decided)
            nodes = nodes.set(key, node.with_member(member))
        return File(self.by, nodes)

    def without_member(self, member: Member, keys: tuple[Key, ...]) -> "File":
        nodes = self.nodes
        for key in keys:
            node = nodes[key].without_member(member)
            nodes = nodes.delete(key) if node.is_empty else nodes.set(key, node)
        return File(self.by, nodes)

    def collect_many(self, value: Any, reading: Reading, found: list[int]) -> None:
        """As `Node.collect`, of an array. Where it would cost too much, nothing can be said about any rule that is filed."""
        scalars = reading.scalars_at(self.by.slot, value)
        if scalars is None or not reading.may_look(len(scalars) // _KEYS_AS_ONE):
            self.fail(reading)
            return
        if self.is_exact and {*map(type, scalars)} == _TEXTS:
            for text in scalars if len(scalars) == 1 else set(scalars):
                node = self.nodes.get(text)
                if node is not None:
                    node.collect(reading, found)
            return
        for node in self.nodes_for(scalars, reading):
            node.collect(reading, found)

    def fail(self, reading: Reading) -> None:
        """Nothing can be said about any rule that is filed here."""
        for node in self.nodes.values():
            node.fail(reading)

    def nodes_for(self, value: Any, reading: Reading) -> Iterator[Node]:
        """The nodes of each key that the value, or an element of it, is."""
        for key in self.by.keys_of_value(value):
            node = self.nodes.get(key)
            if node is not None:
                if key.__class__ is float and value.__class__ is not int:
                    reading.is_doubtful = True
                yield node


def _split_if_due(node: Node) -> Node:
    rest = sum(len(block.members) for block in node.blocks)
    if rest < SPLIT_FROM or rest & (rest - 1):
        return node
    members = [member for block in node.blocks for member in block.members]
    by = filing.best(members, node.decided)
    if by is None:
        return node
    split = Node((*node.files, File(by, immutables.Map())), (), node.decided)
    for member in members:
        split = split.with_member(member)
    return split
