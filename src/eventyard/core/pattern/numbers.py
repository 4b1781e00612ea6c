"""Numbers at one field: which of many rules accept one.

Every number that a rule names, as a value or as a bound, is a point; points and the gaps between them are cells
(`cells`), and one bisection finds the cell. Points are doubles: of numbers that a double holds, order and equality are those of their
doubles (both are the nearest to their decimal texts). A number that no double holds is in no range and equals only itself, so such
values of rules stand apart, by decimal text.

A number read from an event as a double may have lost digits, and then its cell says too much or too little. It says the same as for
any other number unless the cell is a special one, or a value of a rule that no double holds lies near: `is_telling` is that
question, and who gets a yes has to look at the text.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from decimal import Decimal

from eventyard.core.pattern.cells import Range, cells
from eventyard.core.pattern.comparison import Number, Numeric, Values, exact, is_held

_EXACT_MAX = 2**53
"""Every integer up to here is a double."""


class Numbers:
    """`base`: the rules that accept a number which none of them names. `wanted` and `excluded`: by rule's bit, what it names."""

    __slots__ = ("_apart", "_cells", "_near", "_points", "base", "named")

    def __init__(
        self, base: int, wanted: Iterable[tuple[int, Values | Numeric]], excluded: Iterable[tuple[int, Values]]
    ) -> None:
        wanted, excluded = list(wanted), list(excluded)
        self.base = base
        self._points = sorted(
            {float(number) for _, named in (*wanted, *excluded) for number in _named(named) if is_held(number)}
        )
        count = 2 * len(self._points) + 1
        right = cells((range_ for bit, named in wanted for range_ in self._ranges(bit, named)), count)
        wrong = cells((range_ for bit, values in excluded for range_ in self._ranges(bit, values)), count)
        self._cells = [(base & ~wrong_here) | right_here for right_here, wrong_here in zip(right, wrong, strict=True)]
        self._apart = _apart(base, wanted, excluded)
        self._near = frozenset(map(float, self._apart))
        self.named = self._named_if_discrete()
        """Numbers other than which all have the set `base`, as doubles and, where none holds them, as decimals. None: there are ranges."""

    def of(self, number: Number) -> int:
        """The rules that accept it."""
        if number.__class__ is float or (number.__class__ is int and -_EXACT_MAX <= number <= _EXACT_MAX):
            return self._cells[self._cell(number)]
        if is_held(number):
            return self._cells[self._cell(float(number))]
        return self._apart.get(exact(number), self.base)

    def is_telling(self, double: float, found: int) -> bool:
        """Whether what was `found` for a double may differ from what its text would have given."""
        return found != self.base or double in self._near

    def of_doubles(self, doubles: list[float]) -> tuple[int, bool]:
        """The rules that accept any of these; and whether one is telling."""
        found, is_telling = 0, not self._near.isdisjoint(doubles)
        for cell in self._cells_of(doubles):
            found |= self._cells[cell]
            is_telling = is_telling or self._cells[cell] != self.base
        return found, is_telling

    def _cells_of(self, doubles: list[float]) -> Iterable[int]:
        """The cells of all: each number is looked for among the points, or each point among the numbers, whichever is less."""
        if len(doubles) < len(self._points):
            return {*map(self._cell, doubles)}
        ordered = sorted(doubles)
        found, before = [], 0
        for at, point in enumerate(self._points):
            first = bisect_left(ordered, point, before)
            if first > before:
                found.append(2 * at)
            before = bisect_right(ordered, point, first)
            if before > first:
                found.append(2 * at + 1)
            if before == len(ordered):
                return found
        return [*found, 2 * len(self._points)]

    def _cell(self, number: float) -> int:
        points = self._points
        at = bisect_left(points, number)
        return 2 * at + 1 if at < len(points) and points[at] == number else 2 * at

    def _ranges(self, bit: int, named: Values | Numeric) -> list[Range]:
        if isinstance(named, Values):
            return [(bit, cell, cell) for cell in (self._cell(float(number)) for number in named.numbers if is_held(number))]
        first, last = 0, 2 * len(self._points)
        for sign, bound in named.bounds:
            cell = self._cell(float(bound))
            first = max(first, {">": cell + 1, ">=": cell, "=": cell}.get(sign, first))
            last = min(last, {"<": cell - 1, "<=": cell, "=": cell}.get(sign, last))
        return [(bit, first, last)]

    def _named_if_discrete(self) -> frozenset[float | Decimal] | None:
        if any(found != self.base for found in self._cells[::2]):
            return None
        return frozenset((*self._points, *map(exact, self._points), *self._apart, *self._near))


def _named(named: Values | Numeric) -> Iterable[Decimal]:
    return named.numbers if isinstance(named, Values) else (bound for _, bound in named.bounds)


def _apart(
    base: int, wanted: list[tuple[int, Values | Numeric]], excluded: list[tuple[int, Values]]
) -> dict[Decimal | int, int]:
    """What no double holds."""
    apart: dict[Decimal | int, int] = {}
    for bit, values in excluded:
        for number in values.numbers:
            if not is_held(number):
                apart[number] = apart.get(number, base) & ~bit
    for bit, named in wanted:
        for number in named.numbers if isinstance(named, Values) else ():
            if not is_held(number):
                apart[number] = apart.get(number, base) | bit
    return apart
