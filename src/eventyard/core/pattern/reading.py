"""What one event has at the fields that rules ask for.

Most fields have one value, or none and are not in the reading. A plain array gives a list: any of its values may be right, and none
depends on what stands elsewhere. An array of objects gives a `Column` for each field inside: one entry for each object, in
step with the other columns of the array, since two fields of one rule may not be right in different objects. An event for
which that is too simple, with keys that hold dots or with arrays of objects inside one another, is read by the evaluator's own way:
every field is `Loose`, and who seems to match is judged by the evaluator.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET

from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import Alternative, Field, Pattern


class Column(list[Any]):
    """What each object of one array has at one field: a value, a list of values that do not depend on each other, or UNSET.

    At least one has something. `array` is the same for all columns of one array, and no other's.
    """

    array: object


class Loose(list[Any]):
    """Values at one field, of which nothing is said about what depends on what. At least one."""


class Reading(dict[str, Any]):
    """By field: a value, a list, a `Column` or a `Loose`. A field without a value is not there."""

    is_simple = True
    """No `Column` and no `Loose`."""

    is_doubtful = False
    """A number that was read as a double told something that its text may not tell."""

    document: Any = None
    """The whole event, where the evaluator has to judge."""

    failed: tuple[int, ...] = ()
    """Rules about which it could not: PatternTooCostly."""

    def column(self, field: str, entries: Sequence[Any], array: object) -> None:
        column = Column(entries)
        column.array = array
        self[field] = column
        self.is_simple = False


def holds(alternative: Alternative, reading: Reading, accepts: Callable[[Field, Any], bool]) -> bool:
    """Whether fields that are each right, or may be absent, are right together. `accepts`: a field, and an entry of a column."""
    if reading.document is not None:
        return evaluate(Pattern((alternative,)), reading.document)
    arrays: dict[int, list[Field]] = {}
    for field in alternative.fields:
        column = reading.get(field.name)
        if column.__class__ is Column:
            arrays.setdefault(id(column.array), []).append(field)
    return all(_is_in_one_object(fields, reading, accepts) for fields in arrays.values())


def _is_in_one_object(fields: list[Field], reading: Reading, accepts: Callable[[Field, Any], bool]) -> bool:
    """Where no field has to be there, one must be right all the same: nothing else chooses an object (see `arrays`)."""
    is_chosen = any(not field.may_be_absent for field in fields)
    for row in zip(*(reading[field.name] for field in fields), strict=True):
        if (is_chosen or any(entry is not UNSET for entry in row)) and all(map(accepts, fields, row)):
            return True
    return False
