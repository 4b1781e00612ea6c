"""A table: what rules ask of one field, as sets of rules by value. A set is an int, one bit for each rule.

What a rule's list says is taken apart by kind of value. Values that rules name look up their set; texts ask `Texts`, numbers
`Numbers`. All other values have one set, `base`: the rules that ask nothing of this field, that want it to be there, and that want
anything but something else.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from types import NoneType
from typing import Any

from eventyard.core.pattern.comparison import (
    AnythingBut,
    Cidr,
    EqualsIgnoreCase,
    Numeric,
    Prefix,
    PrefixIgnoreCase,
    Present,
    Suffix,
    SuffixIgnoreCase,
    Values,
    Wildcard,
    is_any_right,
    work_of,
)
from eventyard.core.pattern.language import Field
from eventyard.core.pattern.numbers import Numbers
from eventyard.core.pattern.reading import SCALARS, Reading, flattened
from eventyard.core.pattern.texts import Operator, Texts

_KEPT_TEXTS = 128
"""Texts of which a table with operators remembers what they said: names of streets, of files, of machines come again and again."""

_KEPT_CHARACTERS = 48

_LOOKED_UP_AS_ONE = 16
"""Values of an array that one dictionary looks up in the time of one look at a value."""

_ENDS_MAX = 8
"""Beginnings and ends that are tried one by one: as fast as to cut off and look up."""

TABLES_KEPT = 16_384
"""Tables of single fields, which rules that ask the same share."""


class Table:
    """`fields`: what each rule, named by its bit, asks of the field. `others`: the rules that ask nothing of it."""

    __slots__ = (
        "_by_kind",
        "_ends",
        "_everyone",
        "_excluded",
        "_literals",
        "_named",
        "_numbers",
        "_others",
        "_strings",
        "_tables",
        "_unlike",
        "_wanted",
        "absent",
        "base",
        "is_by_value",
        "texts",
        "unnamed",
    )

    def __init__(self, fields: Iterable[tuple[int, Field]], others: int) -> None:
        asked = _Asked(fields, others)
        self.absent = asked.absent
        """The rules that are content if the field has no value."""
        self.base = asked.base
        self._others = asked.others
        self._everyone = asked.everyone
        self._literals = {value: self.base | asked.literals.get(value, 0) for value in (True, False, None)}
        self._numbers = Numbers(self.base, asked.wanted_numbers, asked.excluded_numbers)
        self._wanted = Texts(asked.wanted_texts) if asked.wanted_texts else None
        self._unlike = Texts(asked.excluded_texts) if asked.excluded_texts else None
        self._tables = 1 + sum(texts.tables for texts in (self._wanted, self._unlike) if texts is not None)
        self._excluded, self._strings = asked.excluded_strings, asked.wanted_strings
        self._ends = _ends(asked)
        self.is_by_value = not (asked.wanted_texts or asked.excluded_texts or asked.others)
        """Whether texts that no rule names all have the set `base`."""
        self.unnamed = self.base if self.is_by_value else None
        self.texts: dict[str, int] = {}
        """Sets by text: of those that rules name, where `is_by_value`; else of those that came lately."""
        if self.is_by_value:
            self.texts.update((text, self._by_value(text)) for text in (*self._strings, *self._excluded))
        self._named = self._all_named()
        self._by_kind: dict[type, Callable[[Any, Reading], int]] = {
            str: self._text,
            int: self._number,
            float: self._double,
            Decimal: self._number,
            bool: self._literal,
            NoneType: self._literal,
            list: self._list,
        }

    def of(self, value: Any, reading: Reading) -> int:
        """The rules that accept one value (UNSET: none), or any of a list."""
        ask = self._by_kind.get(value.__class__)
        return self.absent if ask is None else ask(value, reading)

    def of_many(self, slot: int, value: Any, reading: Reading) -> int:
        """As `of`, of what the reading has at the slot. Where that would cost too much, the slot is `unknown` and every rule may be content."""
        scalars = reading.scalars_at(slot, value)
        if scalars is None or not reading.may_look(self.price(len(scalars))):
            return self._unknown(slot, reading)
        found = self._any(scalars, reading) if scalars else self.absent
        if reading.looks_left < 0:
            return self._unknown(slot, reading)
        return found if value.__class__ is list else found | self.absent

    def price(self, count: int) -> int:
        """Looks that so many values take, beside those that an operator is asked about itself."""
        return count * self._tables // _LOOKED_UP_AS_ONE

    def of_text(self, slot: int, text: str, reading: Reading) -> int:
        """As `of_many`, of one text."""
        before = reading.looks_left
        found = self._text(text, reading)
        return self._unknown(slot, reading) if before != reading.looks_left < 0 else found

    def _unknown(self, slot: int, reading: Reading) -> int:
        reading.give_up_on(slot)
        return self._everyone

    def _text(self, text: str, reading: Reading) -> int:
        found = self.texts.get(text, self.unnamed)
        if found is None:
            found = self._of_new(text, reading)
            if len(text) <= _KEPT_CHARACTERS and reading.looks_left >= 0:
                if len(self.texts) >= _KEPT_TEXTS:
                    self.texts.clear()
                self.texts[text] = found
        return found

    def _by_value(self, text: str) -> int:
        return (self.base & ~self._excluded.get(text, 0)) | self._strings.get(text, 0)

    def _of_new(self, text: str, reading: Reading) -> int:
        if self._ends is not None:
            heads, tails = self._ends
            return 1 if text.startswith(heads) or text.endswith(tails) else self._by_value(text)
        wrong = self._excluded.get(text, 0) | (self._unlike.of(text, reading) if self._unlike is not None else 0)
        right = self._strings.get(text, 0) | (self._wanted.of(text, reading) if self._wanted is not None else 0)
        return (self.base & ~wrong) | right | self._asked_one_by_one(text, reading)

    def _number(self, number: Any, reading: Reading) -> int:
        found = self._numbers.of(number)
        return found | self._asked_one_by_one(number, reading) if self._others else found

    def _double(self, number: float, reading: Reading) -> int:
        found = self._numbers.of(number)
        if self._numbers.is_telling(number, found):
            reading.is_doubtful = True
        if self._others:
            reading.is_doubtful = True
            return found | self._asked_one_by_one(number, reading)
        return found

    def _literal(self, literal: bool | None, reading: Reading) -> int:
        found = self._literals[literal]
        return found | self._asked_one_by_one(literal, reading) if self._others else found

    def _asked_one_by_one(self, value: Any, reading: Reading) -> int:
        found = 0
        for bit, comparisons in self._others:
            if not reading.may_look(sum(map(work_of, comparisons))):
                break
            if is_any_right(comparisons, value):
                found |= bit
        return found

    def _list(self, array: list[Any], reading: Reading) -> int:
        """Any value may be right."""
        values = array if {*map(type, array)} <= SCALARS else flattened(array)[0]
        return self._any(values, reading) if values else self.absent

    def _any(self, values: list[Any], reading: Reading) -> int:
        if self._named is not None and self._named.isdisjoint(values):
            return self.base
        kinds = {*map(type, values)}
        if kinds == _DOUBLES and not self._others:
            found, is_telling = self._numbers.of_doubles(values)
            reading.is_doubtful = reading.is_doubtful or is_telling
            return found
        found = 0
        for value in set(values) if kinds == _TEXTS else values:
            found |= self._by_kind[value.__class__](value, reading)
            if found == self._everyone:
                break
        return found

    def _all_named(self) -> frozenset[Any] | None:
        """Values other than which all have the set `base`. None: there are operators, and no such list."""
        if not self.is_by_value or self._numbers.named is None:
            return None
        literals = (value for value, found in self._literals.items() if found != self.base)
        return frozenset((*self.texts, *self._numbers.named, *literals))


def _ends(asked: "_Asked") -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """How the texts that one rule wants begin or end, where that is all that it says of texts: asked without a `Texts`."""
    wanted = [operator for _, operator in asked.wanted_texts]
    if asked.everyone != 1 or not 0 < len(wanted) <= _ENDS_MAX or asked.excluded_texts or asked.others:
        return None
    if not all(isinstance(operator, Prefix | Suffix) for operator in wanted):
        return None
    heads = tuple([operator.text for operator in wanted if isinstance(operator, Prefix)])
    return heads, tuple([operator.text for operator in wanted if isinstance(operator, Suffix)])


_TEXTS = frozenset((str,))
_DOUBLES = frozenset((float,))


class _Asked:
    """Rules' lists taken apart by kind of value and by what they do: want it, or want anything but it."""

    def __init__(self, fields: Iterable[tuple[int, Field]], others: int) -> None:
        self.absent = others
        self.base = others
        self.everyone = others
        self.wanted_strings: dict[str, int] = {}
        self.excluded_strings: dict[str, int] = {}
        self.wanted_numbers: list[tuple[int, Values | Numeric]] = []
        self.excluded_numbers: list[tuple[int, Values]] = []
        self.wanted_texts: list[tuple[int, Operator]] = []
        self.excluded_texts: list[tuple[int, Operator]] = []
        self.literals: dict[bool | None, int] = {}
        self.others: tuple[tuple[int, tuple[Any, ...]], ...] = ()
        for bit, field in fields:
            self._add(bit, field)

    def _add(self, bit: int, field: Field) -> None:
        self.everyone |= bit
        if field.may_be_absent:
            self.absent |= bit
        unlike = [comparison for comparison in field.comparisons if isinstance(comparison, AnythingBut)]
        if any(isinstance(comparison, Present) for comparison in field.comparisons):
            self.base |= bit
            return
        if len(unlike) > 1:  # A value is right that one of them takes: nobody writes such a thing.
            self.others = (*self.others, (bit, field.comparisons))
            return
        for comparison in field.comparisons:
            self._add_comparison(bit, comparison)

    def _add_comparison(self, bit: int, comparison: Any) -> None:
        match comparison:
            case Values():
                self._add_values(bit, comparison)
            case Numeric():
                self.wanted_numbers.append((bit, comparison))
            case AnythingBut():
                self.base |= bit
                self._add_excluded(bit, comparison)
            case Prefix() | Suffix() | EqualsIgnoreCase() | PrefixIgnoreCase() | SuffixIgnoreCase() | Wildcard() | Cidr():
                self.wanted_texts.append((bit, comparison))

    def _add_values(self, bit: int, values: Values) -> None:
        for text in values.strings:
            self.wanted_strings[text] = self.wanted_strings.get(text, 0) | bit
        if values.numbers:
            self.wanted_numbers.append((bit, values))
        for literal in values.literals:
            self.literals[literal] = self.literals.get(literal, 0) | bit

    def _add_excluded(self, bit: int, comparison: AnythingBut) -> None:
        for excluded in comparison.excluded:
            if not isinstance(excluded, Values):
                self.excluded_texts.append((bit, excluded))
                continue
            for text in excluded.strings:
                self.excluded_strings[text] = self.excluded_strings.get(text, 0) | bit
            if excluded.numbers:
                self.excluded_numbers.append((bit, excluded))


@lru_cache(TABLES_KEPT)
def table_of(field: Field) -> Table:
    """Of one field of one rule, whose bit is 1. Rules that ask the same of fields of the same name share it."""
    return Table(((1, field),), 0)
