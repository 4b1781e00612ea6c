"""What one event has at the fields that rules ask for.

Most fields have one value, or none. Each has its slot. A plain array is a list: any of its values may be right, and none
depends on what stands elsewhere. An array of objects gives a `Column` for each field inside: one entry for each object, in
step with the other columns of the array, since two fields of one rule may not be right in different objects. An event for
which that is too simple, with keys that hold dots or with arrays of objects inside one another, is read by the evaluator's own way:
every field is `Loose`, and who seems to match is judged by the evaluator.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

from msgspec import UNSET

from eventyard.core.errors import PatternTooCostly
from eventyard.core.limits import MATCH_LOOKS_MAX
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import Alternative, Field, Pattern

SCALARS = frozenset((str, int, float, bool, type(None), Decimal))


class Column:
    """What each object of one array has at one field, as it stands there, or UNSET. Not all are UNSET.

    `array` is the same for all columns of one array, and no other's.
    """

    __slots__ = ("array", "entries")

    def __init__(self, entries: list[Any], array: object) -> None:
        self.entries = entries
        self.array = array


class Loose:
    """Values at one field, of which nothing is said about what depends on what. At least one."""

    __slots__ = ("values",)

    def __init__(self, values: list[Any]) -> None:
        self.values = values


MANY = frozenset((list, Column, Loose))


class Unforeseen(Exception):
    """The event is not as simple as a reading."""


class Reading:
    """`values`, by slot: a value, a list as it stands in the event, a `Column`, a `Loose`, or UNSET; an object is no value."""

    is_simple: bool = True
    """No `Column` and no `Loose`."""
    is_doubtful: bool = False
    """A number that was read as a double told something that its text may not tell."""
    document: Any = None
    """The whole event, where the evaluator has to judge."""
    failed: tuple[int, ...] = ()
    """Rules about which it could not, or which came after `MATCH_LOOKS_MAX`."""
    looks_left: int = MATCH_LOOKS_MAX
    unknown: frozenset[int] = frozenset()
    """Slots of fields of which it would have cost too much to say what they match."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def may_look(self, count: int) -> bool:
        """Whether so much more may be looked at one by one."""
        self.looks_left -= count
        return self.looks_left >= 0

    def put_column(self, slot: int, entries: list[Any], array: object) -> None:
        """What each object of an array has at one field."""
        if entries.count(UNSET) < len(entries):
            self.values[slot] = Column(entries, array)
            self.is_simple = False
        else:
            self.values[slot] = UNSET


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


def holds(alternative: Alternative, slots: tuple[int, ...], asked: Sequence[Asked], reading: Reading) -> bool:
    """Whether fields that are each right, or may be absent, are right together. `slots`, `asked`: of the alternative's fields."""
    if reading.document is not None:
        _look(reading, sum([_size(reading.values[slot]) for slot in slots]))
        return evaluate(Pattern((alternative,)), reading.document)
    arrays: dict[int, list[int]] = {}
    for at, slot in enumerate(slots):
        column = reading.values[slot]
        if column.__class__ is Column:
            arrays.setdefault(id(column.array), []).append(at)
    for places in arrays.values():
        fields = [alternative.fields[at] for at in places]
        if len(fields) > 1 or fields[0].may_be_absent:
            columns = [reading.values[slots[at]].entries for at in places]
            _look(reading, len(columns) * len(columns[0]))
            if not _is_in_one_object(fields, columns, [asked[at] for at in places], reading):
                return False
    return True


def _look(reading: Reading, count: int) -> None:
    if not reading.may_look(count):
        found = f"found an event of which more than {MATCH_LOOKS_MAX} values would have to be looked at one by one"
        raise PatternTooCostly(found, wanted="smaller arrays")


def _size(values: Any) -> int:
    return len(values.values) if values.__class__ is Loose else 1


def _is_in_one_object(fields: list[Field], columns: list[list[Any]], asked: list[Asked], reading: Reading) -> bool:
    """Where no field has to be there, one must be right all the same: nothing else chooses an object (see `arrays`)."""
    is_chosen = not all(field.may_be_absent for field in fields)
    for row in zip(*columns, strict=True):
        if is_chosen or any(map(_is_there, row)):
            for entry, each in zip(row, asked, strict=True):
                if not each.of(entry, reading):
                    break
            else:
                return True
    return False


def _is_there(entry: Any) -> bool:
    return entry.__class__ in SCALARS or (entry.__class__ is list and bool(flattened(entry)[0]))
