"""A block: some hundred alternatives of rules that are asked together, field by field, as bits of one int.

Each field has a table that says which of the alternatives accept its value; anding them field by field leaves those that match, and
as soon as none is left, nothing more is asked. Where there are few, each is asked by itself with tables that all rules share, which costs as
little and takes less memory. Tables are made when a block is first asked, so editing rules costs no more than a copied tuple.
"""

from functools import partial

from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.language import Field
from eventyard.core.pattern.member import Member
from eventyard.core.pattern.reading import MANY, Reading, holds
from eventyard.core.pattern.table import Table, table_of

ALTERNATIVES_MAX = 512
"""More make ints longer and their making slower; fewer make more blocks. Flat between 256 and 1,024."""

_FEW = 4

_FEW_GATED = 16
"""Members that are asked one by one if most of them want an exact text first, and not all at one field: an event without it is done with them."""

_KEPT_SETS = 64


_Asked = tuple[int, Table, dict[str, int], int | None]
"""A field's slot, its table, the table's sets by text, and that of other texts, if they have one: most questions end there."""


_Gated = tuple[int, tuple[str, ...], tuple[_Asked, ...]]
"""What one member asks. First a slot, and texts, if there are any, other than which no text there will do: most members are done with that, and it
lies close together in memory, where a table does not."""

_GATE_MAX = 8


class Block:
    """Members that no edit changes. `decided`: fields that an event has right that comes here, so nobody asks."""

    __slots__ = ("_all_tables", "_few", "_keys", "_keys_by_bits", "_many", "decided", "members")

    def __init__(self, members: tuple[Member, ...], decided: frozenset[int]) -> None:
        self.members = members
        self.decided = decided
        self._keys: frozenset[int] | None = None
        self._all_tables: dict[int, tuple[Table, ...]] = {}
        self._keys_by_bits: dict[int, tuple[int, ...]] = {}
        self._few: tuple[_Gated, ...] | None = None
        self._many: tuple[_Asked, ...] = ()

    @property
    def keys(self) -> frozenset[int]:
        """Of the rules of its members."""
        if self._keys is None:
            self._keys = frozenset([member.key for member in self.members])
        return self._keys

    def collect(self, reading: Reading, found: list[int]) -> None:
        """Add the keys of those that match. Where nothing may be looked at any more, tables are not made either."""
        few = self._few
        if few is None:
            if reading.looks_left < 0:
                self.fail(reading)
                return
            few = self._made(reading)
        if not few:
            self._collect_from_many(reading, found)
            return
        values = reading.values
        for at, (gate, texts_let, tables) in enumerate(few):
            value = values[gate]
            if value.__class__ is str and texts_let and value not in texts_let:
                continue
            for slot, table, texts, unnamed in tables:
                value = values[slot]
                if value.__class__ is str:
                    right = texts.get(value, unnamed)
                    if right is None:
                        right = table.of_text(slot, value, reading)
                else:
                    right = table.of_many(slot, value, reading) if value.__class__ in MANY else table.of(value, reading)
                if not right:
                    break
            else:
                self._take(at, reading, found)

    def _made(self, reading: Reading) -> tuple[_Gated, ...]:
        few: tuple[_Gated, ...] = ()
        if len(self.members) <= _FEW_GATED:
            few = tuple([_gated(self._single_tables(member, reading)) for member in self.members])
        gates = [gate for gate, texts, _ in few if texts]
        if len(self.members) > _FEW and (2 * len(gates) <= len(self.members) or len(set(gates)) == 1):
            self._many, few = self._tables(), ()
        self._few = few
        return few

    def _collect_from_many(self, reading: Reading, found: list[int]) -> None:
        left = (1 << len(self.members)) - 1
        values = reading.values
        for slot, table, texts, unnamed in self._many:
            value = values[slot]
            if value.__class__ is str:
                right = texts.get(value, unnamed)
                left &= table.of_text(slot, value, reading) if right is None else right
            else:
                left &= table.of_many(slot, value, reading) if value.__class__ in MANY else table.of(value, reading)
            if not left:
                return
        if reading.is_simple and not reading.unknown:
            found += self._keys_by_bits.get(left) or self._remembered(left)
        else:
            for at in _bits(left):
                self._take(at, reading, found)

    def _remembered(self, left: int) -> tuple[int, ...]:
        """The keys of these members. The same come again and again, above all where nearly all match."""
        if len(self._keys_by_bits) >= _KEPT_SETS:
            self._keys_by_bits.clear()
        keys = self._keys_by_bits[left] = tuple([self.members[at].key for at in _bits(left)])
        return keys

    def fail(self, reading: Reading) -> None:
        """Nothing can be said about them."""
        reading.fail([member.key for member in self.members])

    def _take(self, at: int, reading: Reading, found: list[int]) -> None:
        member = self.members[at]
        if reading.unknown and not reading.unknown.isdisjoint(member.slots):
            reading.fail((member.key,))
            return
        try:
            if reading.is_simple or holds(member.alternative, member.slots, partial(self._tables_of, at), reading):
                found.append(member.key)
        except PatternTooCostly:
            reading.fail((member.key,))

    def _tables_of(self, at: int) -> tuple[Table, ...]:
        tables = self._all_tables.get(at)
        if tables is None:
            tables = self._all_tables[at] = tuple([table_of(field) for field in self.members[at].alternative.fields])
        return tables

    def _single_tables(self, member: Member, reading: Reading) -> tuple[_Asked, ...]:
        """Those first that cost the least, to judge by the first event: most members fail by one."""
        tables = [_asked(slot, table_of(field)) for field, slot in self._undecided(member)]
        return tuple(sorted(tables, key=lambda asked: _cost(asked, reading)))

    def _undecided(self, member: Member) -> list[tuple[Field, int]]:
        fields = zip(member.alternative.fields, member.slots, strict=True)
        return [(field, slot) for field, slot in fields if slot not in self.decided]

    def _tables(self) -> tuple[_Asked, ...]:
        """Those first that leave the fewest."""
        asked: dict[int, list[tuple[int, Field]]] = {}
        for at, member in enumerate(self.members):
            for field, slot in self._undecided(member):
                asked.setdefault(slot, []).append((1 << at, field))
        everyone = (1 << len(self.members)) - 1
        tables = [(slot, Table(fields, everyone ^ sum(bit for bit, _ in fields))) for slot, fields in asked.items()]
        return tuple([_asked(slot, table) for slot, table in sorted(tables, key=_left_by)])


def _gated(tables: tuple[_Asked, ...]) -> _Gated:
    if not tables:
        return 0, (), tables
    slot, _, texts, unnamed = tables[0]
    return slot, tuple(texts) if unnamed == 0 and len(texts) <= _GATE_MAX else (), tables


def _cost(asked: _Asked, reading: Reading) -> tuple[bool, bool, bool]:
    slot, table, texts, _ = asked
    return reading.values[slot].__class__ in MANY, not table.is_by_value, not texts


def _bits(left: int) -> list[int]:
    places: list[int] = []
    while left:
        places.append(left.bit_length() - 1)
        left ^= 1 << places[-1]
    return places


def _asked(slot: int, table: Table) -> _Asked:
    return slot, table, table.texts, table.unnamed


def _left_by(named: tuple[int, Table]) -> int:
    return named[1].base.bit_count()
