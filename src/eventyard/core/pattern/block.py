"""A block: some hundred alternatives of rules that are asked together, field by field, as bits of one int.

Each field has a table that says which of the alternatives accept its value; anding them field by field leaves those that match, and
as soon as none is left, nothing more is asked. Where there are few, each is asked by itself with tables that all rules share, which costs as
little and takes less memory. Tables are made when a block is first asked, so editing rules costs no more than a copied tuple.
"""

from typing import Any

import msgspec
from msgspec import UNSET

from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.language import Alternative, Field
from eventyard.core.pattern.reading import Reading, holds
from eventyard.core.pattern.table import Table, accepts, table_of

ALTERNATIVES_MAX = 512
"""More make ints longer and their making slower; fewer make more blocks. Flat between 256 and 1,024."""

_FEW = 4


class Member(msgspec.Struct, frozen=True):
    """One alternative of the rule `key`."""

    key: int
    alternative: Alternative


class Block:
    """Members that no edit changes. `decided`: fields that an event has right that comes here, so nobody asks."""

    __slots__ = ("_few", "_keys", "_many", "decided", "members")

    def __init__(self, members: tuple[Member, ...], decided: frozenset[str]) -> None:
        self.members = members
        self.decided = decided
        self._keys: frozenset[int] | None = None
        self._few: tuple[tuple[Member, tuple[tuple[str, Table], ...]], ...] | None = None
        self._many: tuple[tuple[str, Table], ...] | None = None

    @property
    def keys(self) -> frozenset[int]:
        """Of the rules of its members."""
        if self._keys is None:
            self._keys = frozenset([member.key for member in self.members])
        return self._keys

    def collect(self, reading: Reading, found: list[int]) -> None:
        """Add the keys of those that match."""
        if len(self.members) <= _FEW:
            self._collect_from_few(reading, found)
        else:
            self._collect_from_many(reading, found)

    def _collect_from_few(self, reading: Reading, found: list[int]) -> None:
        if self._few is None:
            self._few = tuple((member, self._single_tables(member)) for member in self.members)
        for member, tables in self._few:
            for name, table in tables:
                if not table.of(reading.get(name, UNSET), reading):
                    break
            else:
                self._take(member, reading, found)

    def _collect_from_many(self, reading: Reading, found: list[int]) -> None:
        if self._many is None:
            self._many = self._tables()
        left = (1 << len(self.members)) - 1
        for name, table in self._many:
            left &= table.of(reading.get(name, UNSET), reading)
            if not left:
                return
        while left:
            last = left.bit_length() - 1
            left ^= 1 << last
            self._take(self.members[last], reading, found)

    def _take(self, member: Member, reading: Reading, found: list[int]) -> None:
        try:
            if reading.is_simple or holds(member.alternative, reading, accepts):
                found.append(member.key)
        except PatternTooCostly:
            reading.failed = (*reading.failed, member.key)

    def _single_tables(self, member: Member) -> tuple[tuple[str, Table], ...]:
        return tuple((field.name, table_of(field)) for field in member.alternative.fields if field.name not in self.decided)

    def _tables(self) -> tuple[tuple[str, Table], ...]:
        """Those first that leave the fewest."""
        asked: dict[str, list[tuple[int, Field]]] = {}
        for at, member in enumerate(self.members):
            for field in member.alternative.fields:
                if field.name not in self.decided:
                    asked.setdefault(field.name, []).append((1 << at, field))
        everyone = (1 << len(self.members)) - 1
        tables = [(name, Table(fields, everyone ^ sum(bit for bit, _ in fields))) for name, fields in asked.items()]
        return tuple(sorted(tables, key=_left_by))


def _left_by(named: tuple[str, Any]) -> int:
    return named[1].base.bit_count()  # type: ignore[no-any-return]
