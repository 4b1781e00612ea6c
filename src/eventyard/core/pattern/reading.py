"""What one event has at the fields that rules ask for.

Most fields have one value, or none. Each has its slot. A plain array is a list: any of its values may be right, and none
depends on what stands elsewhere. An array of objects is an `Array` at each field inside, with a column for it: one entry for each object, in
step with the other columns of the array, since two fields of one rule may not be right in different objects. An event for
which that is too simple, with keys that hold dots or with arrays of objects inside one another, is read by the evaluator's own way:
every field is `Loose`, and who seems to match is judged by the evaluator.

Columns and what is loose are taken from the event when a rule first asks, and like all that goes value by value that
counts towards what one event may cost (`MATCH_LOOKS_MAX`).
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Protocol

from msgspec import UNSET, UnsetType

from eventyard.core.errors import PatternTooCostly
from eventyard.core.limits import MATCH_LOOKS_MAX
from eventyard.core.pattern.comparison import work_of
from eventyard.core.pattern.evaluator import evaluate, values_at
from eventyard.core.pattern.language import Alternative, Field, Pattern, steps_of

SCALARS = frozenset((str, int, float, bool, type(None), Decimal))

_TAKEN_AS_ONE = 6
"""Entries of a column that are taken in the time of one look at a value."""

_EVALUATED_AS = 3
"""Looks at a value in the time that the evaluator takes for one in an array."""


class Array:
    """The objects of one array, in their order, and for each field in them a column: what each object has there, as it stands, or UNSET.

    It stands in a reading at the slots of all these fields. `takes`: by slot what gives the column, which may raise Unforeseen, and in how many
    steps of a path. An empty list may be a column where no object has the field.
    """

    __slots__ = ("_columns", "_keys", "_scalars", "_takes", "objects")

    def __init__(self, objects: list[Any], takes: "Takes") -> None:
        self.objects = objects
        self._takes = takes
        self._keys: frozenset[str] | None = None
        self._columns: dict[int, list[Any]] = {}
        self._scalars: dict[int, list[Any]] = {}

    def every_key(self) -> frozenset[str]:
        """Of objects that are dictionaries, all together."""
        if self._keys is None:
            self._keys = frozenset().union(*self.objects)
        return self._keys

    def column(self, slot: int) -> list[Any]:
        column = self._columns.get(slot)
        if column is None:
            column = self._columns[slot] = self._takes[slot][0](self)
        return column

    def has(self, slot: int) -> bool:
        """Whether any object has the field."""
        column = self.column(slot)
        return column.count(UNSET) < len(column)

    def scalars(self, slot: int, reading: "Reading") -> list[Any] | None:
        """All values at a field. None: more than may still be looked at. What it takes is counted after it, since often there is nothing."""
        scalars = self._scalars.get(slot)
        if scalars is None:
            if not reading.may_look(1):
                return None
            column = self.column(slot)
            reading.may_look(len(column) * self._takes[slot][1] // _TAKEN_AS_ONE)
            scalars = self._scalars[slot] = _scalars(column)
        return scalars


Takes = dict[int, tuple[Callable[[Array], list[Any]], int]]


def _scalars(entries: list[Any]) -> list[Any]:
    kinds = {*map(type, entries)}
    if kinds <= SCALARS:
        return entries
    if kinds <= _SCALARS_OR_UNSET:
        return [entry for entry in entries if entry is not UNSET]
    return flattened(entries)[0]


_SCALARS_OR_UNSET = SCALARS | {UnsetType}


class Loose:
    """Values at one field, of which nothing is said about what depends on what. `visited`: elements of arrays on the way to them, once taken."""

    __slots__ = ("_document", "_name", "_scalars", "visited")

    def __init__(self, name: str, document: Any) -> None:
        self._name = name
        self._document = document
        self._scalars: list[Any] | None = None
        self.visited = 0

    def scalars(self, reading: "Reading") -> list[Any] | None:
        """None: more than may still be looked at. What there is to pass shows on the way, and is counted after it."""
        if self._scalars is None:
            if not reading.may_look(1):
                return None
            found = values_at(steps_of(self._name), self._document)
            self.visited = found.elements + len(found)
            reading.may_look(self.visited)
            self._scalars = [value for value, _ in found]
        return self._scalars


MANY = frozenset((list, Array, Loose))


class Unforeseen(Exception):
    """The event is not as simple as a reading."""


class Reading:
    """`values`, by slot: a value, a list as it stands in the event, an `Array`, a `Loose`, or UNSET; an object is no value."""

    is_simple: bool = True
    """No `Array` and no `Loose`."""
    is_doubtful: bool = False
    """A number that was read as a double told something that its text may not tell."""
    document: Any = None
    """The whole event, where the evaluator has to judge."""
    looks_left: int = MATCH_LOOKS_MAX

    failed: list[int] | None = None
    """Rules about which the evaluator could say nothing, or which came after `MATCH_LOOKS_MAX`."""
    unknown: set[int] | None = None
    """Slots of fields of which it would have cost too much to say what they match."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def fail(self, keys: Iterable[int]) -> None:
        """Nothing can be said about these rules."""
        if self.failed is None:
            self.failed = []
        self.failed += keys

    def give_up_on(self, slot: int) -> None:
        if self.unknown is None:
            self.unknown = set()
        self.unknown.add(slot)

    def may_look(self, count: int) -> bool:
        """Whether so much more may be looked at one by one."""
        self.looks_left -= count
        return self.looks_left >= 0

    def look(self, count: int) -> None:
        """As `may_look`, where PatternTooCostly says no."""
        if not self.may_look(count):
            found = f"found an event of which more than {MATCH_LOOKS_MAX} values would have to be looked at one by one"
            raise PatternTooCostly(found, wanted="smaller arrays")

    def scalars_at(self, slot: int, value: Any) -> list[Any] | None:
        """Of what stands at a slot and is one of `MANY` all values. None: more than may still be looked at."""
        if value.__class__ is Array:
            return value.scalars(slot, self)
        if value.__class__ is Loose:
            return value.scalars(self)
        if {*map(type, value)} <= SCALARS:
            return value  # type: ignore[no-any-return]
        self.values[slot] = scalars = flattened(value)[0]
        return scalars


def flattened(array: list[Any]) -> tuple[list[Any], list[Any], bool]:
    """The scalars and the objects of an array and of arrays inside it; and whether there are such."""
    scalars: list[Any] = []
    objects: list[Any] = []
    has_inner = False
    for element in array:
        kind = element.__class__
        if kind in SCALARS:
            scalars.append(element)
        elif kind is list:
            has_inner = True
            inner_scalars, inner_objects, _ = flattened(element)
            scalars += inner_scalars
            objects += inner_objects
        else:
            objects.append(element)
    return scalars, objects, has_inner


class Asked(Protocol):
    """What one field asks for."""

    def of(self, value: Any, reading: Reading) -> int: ...

    def price(self, count: int) -> int:
        """Looks that so many values take."""


def holds(alternative: Alternative, slots: tuple[int, ...], ask: Callable[[], Sequence[Asked]], reading: Reading) -> bool:
    """Whether fields that are each right, or may be absent, are right together. `slots`, `ask`: of the alternative's fields."""
    if reading.document is not None:
        judged = zip(alternative.fields, slots, strict=True)
        reading.look(sum([_evaluated(field, reading.values[slot]) for field, slot in judged]))
        return evaluate(Pattern((alternative,)), reading.document, reading)
    inside: list[int] = []
    values = reading.values
    for at, slot in enumerate(slots):  # A comprehension is a call more.
        if values[slot].__class__ is Array:
            inside.append(at)
    if not inside or (len(inside) == 1 and not alternative.fields[inside[0]].may_be_absent):
        return True
    arrays: dict[int, list[int]] = {}
    for at in inside:
        array = reading.values[slots[at]]
        if array.has(slots[at]):
            arrays.setdefault(id(array), []).append(at)
    for places in arrays.values():
        fields = [alternative.fields[at] for at in places]
        if len(fields) > 1 or fields[0].may_be_absent:
            asked = ask()
            columns = [_column(slots[at], asked[at], reading) for at in places]
            if not _is_in_one_object(fields, columns, [asked[at] for at in places], reading):
                return False
    return True


def _evaluated(field: Field, value: Any) -> int:
    """Looks that the evaluator takes for one field: each comparison beside the first is asked about each value."""
    visited = value.visited if value.__class__ is Loose else 1
    return int(visited) * (_EVALUATED_AS + 2 * (sum(map(work_of, field.comparisons)) - 1))


def _column(slot: int, asked: Asked, reading: Reading) -> list[Any]:
    """Counted, since each of its entries may be asked about."""
    array = reading.values[slot]
    column: list[Any] = array.column(slot)
    count = max(len(column), len(array.scalars(slot, reading) or ()))
    reading.look(count + asked.price(count))
    return column


def _is_in_one_object(fields: list[Field], columns: list[list[Any]], asked: list[Asked], reading: Reading) -> bool:
    """Where no field has to be there, one that is must be right all the same: nothing else chooses an object (see `arrays`)."""
    is_chosen = not all(field.may_be_absent for field in fields)
    is_any_there = is_chosen
    for row in zip(*columns, strict=True):
        if is_chosen or any(map(_is_there, row)):
            is_any_there = True
            for entry, each in zip(row, asked, strict=True):
                if not each.of(entry, reading):
                    break
            else:
                reading.look(0)
                return True
    reading.look(0)
    return not is_any_there


def _is_there(entry: Any) -> bool:
    return entry.__class__ in SCALARS or (entry.__class__ is list and bool(flattened(entry)[0]))
