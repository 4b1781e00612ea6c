"""The plain evaluator: one pattern, one document, yes or no, and why. Any faster way must agree with it.

A document is a decoded JSON value (`strict_json.decode`). Each field of an alternative is looked up in it; what stands at
the end of its path, in arrays too, are its values. The field is right if a value is accepted, or if it may be absent and
has none. When fields have values inside arrays, `arrays` decides whether they are right together.
"""

import bisect
from typing import Any

import msgspec

from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.arrays import OUTSIDE, Budget, Demand, Membership, Places, can_stand_together
from eventyard.core.pattern.comparison import Numeric, is_any_right, is_held, is_number
from eventyard.core.pattern.language import Alternative, Field, Pattern, Steps
from eventyard.core.pattern.wording import listing, shown, wording

Value = tuple[Any, Membership]
"""A string, number, boolean or null at the end of a path, and the array elements that it stands in."""


class Failure(msgspec.Struct, frozen=True):
    """The first thing wrong with one alternative. `fields` are several only when they are not right together."""

    fields: tuple[str, ...]
    sentence: str


class Why(msgspec.Struct, frozen=True):
    """The verdict in words. A pattern that does not match has one failure for each of its alternatives."""

    matches: bool
    sentence: str
    failures: tuple[Failure, ...] = ()


def evaluate(pattern: Pattern, document: Any, budget: Budget | None = None) -> bool:
    """Whether `document` matches. Raises PatternTooCostly on arrays made to be costly (see `arrays`), where no alternative tells.

    `budget`: what may be looked at in arrays for several patterns together.
    """
    costly: PatternTooCostly | None = None
    for alternative in pattern.alternatives:
        try:
            if _holds(alternative, document, budget):
                return True
        except PatternTooCostly as error:
            costly = error
    if costly is not None:
        raise costly
    return False


def why(pattern: Pattern, document: Any) -> Why:
    """As `evaluate`, with what is wrong named. On a match the sentence says that it matches."""
    if evaluate(pattern, document):
        return Why(matches=True, sentence="the event matches the pattern")
    failures = tuple(_failure(alternative, document) for alternative in pattern.alternatives)
    return Why(matches=False, sentence=_summary(failures), failures=failures)


def reason(pattern: Pattern, document: Any) -> str:
    """Why it matches, field by field, or why not: `data.total 25 is >= 20`."""
    for alternative in pattern.alternatives:
        if _holds(alternative, document):
            return listing([_right(field, document) for field in alternative.fields], "and")
    return why(pattern, document).sentence


def _right(field: Field, document: Any) -> str:
    values = [value for value, _ in values_at(field.steps, document) if is_any_right(field.comparisons, value)]
    return f"{field.name} {shown(values[0])} is {_wanted(field)}" if values else f"{field.name} is absent"


def _holds(alternative: Alternative, document: Any, budget: Budget | None = None) -> bool:
    demands: list[Demand] = []
    for field in alternative.fields:
        values = values_at(field.steps, document)
        right = _right_places(field, values)
        if not right and not field.may_be_absent:
            return False
        if right != OUTSIDE and values:
            demands.append(Demand(right, _all_places(values), field.may_be_absent))
    return not demands or can_stand_together(demands, budget)


class Found(list[Value]):
    """`elements`: of arrays that were passed on the way."""

    elements = 0


def values_at(steps: Steps, document: Any) -> Found:
    """Every value at the end of a field's path, in the order of the document."""
    found = Found()
    _collect(document, steps, (), found)
    return found


def _collect(node: Any, steps: Steps, membership: Membership, found: Found) -> None:
    if isinstance(node, dict):
        for key, rest in steps.choices:
            if key in node:
                _collect(node[key], rest, membership, found)
    elif isinstance(node, list):
        _collect_elements(node, steps, membership, found)
    elif not steps.choices:
        found.append((node, membership))


def _collect_elements(array: list[Any], steps: Steps, membership: Membership, found: Found) -> None:
    found.elements += len(array)
    for index, element in enumerate(array):
        inner = (*membership, (id(array), index)) if isinstance(element, (dict, list)) else membership
        _collect(element, steps, inner, found)


def _right_places(field: Field, values: list[Value]) -> Places:
    return frozenset([place for value, place in values if is_any_right(field.comparisons, value)])


def _all_places(values: list[Value]) -> Places:
    return frozenset([place for _, place in values])


def _failure(alternative: Alternative, document: Any) -> Failure:
    """What is wrong, in the order in which it is easiest to understand.

    A field that is wrong whatever the others are; fields that are right only apart; and last those that may be absent, since
    whether they are can depend on the array element that the others stand in.
    """
    required = tuple(field for field in alternative.fields if not field.may_be_absent)
    for field in required:
        if not _right_places(field, values_at(field.steps, document)):
            return Failure((field.name,), _wrong_alone(field, document))
    if not _holds(Alternative(required), document):
        count = _first_failing(required, (), document)
        return _wrong_together(required[: count - 1], required[count - 1], document)
    return _wrong_beside(required, [field for field in alternative.fields if field.may_be_absent], document)


def _wrong_alone(field: Field, document: Any) -> str:
    values = [value for value, _ in values_at(field.steps, document)]
    if not values:
        return f"{field.name} is absent, wanted {_wanted(field)}"
    found = listing([shown(value) for value in values], "and")
    if len(values) == 1:
        return f"{field.name} {found} is not {_wanted(field)}{_hint(field, values)}"
    return f"none of {field.name} {found} is {_wanted(field)}{_hint(field, values)}"


def _hint(field: Field, values: list[Any]) -> str:
    """Why a number that looks right is not: see `is_held`."""
    has_range = any(isinstance(comparison, Numeric) for comparison in field.comparisons)
    if has_range and any(is_number(value) and not is_held(value) for value in values):
        return " (a range takes only numbers that a double holds)"
    return ""


def _wrong_beside(required: tuple[Field, ...], optional: list[Field], document: Any) -> Failure:
    """Of the fields that may be absent the first that is wrong beside the others."""
    count = _first_failing(tuple(optional), required, document)
    *before, last = optional[:count]
    if _right_places(last, values_at(last.steps, document)):
        return _wrong_together((*required, *before), last, document)
    return Failure((last.name,), _wrong_alone(last, document))


def _first_failing(fields: tuple[Field, ...], beside: tuple[Field, ...], document: Any) -> int:
    """How many of the fields, beside the others, it takes to be wrong. By halves: what is wrong is wrong with more fields too."""
    counts = range(1, len(fields) + 1)
    fails = bisect.bisect_left(counts, True, key=lambda count: not _holds(Alternative((*beside, *fields[:count])), document))
    return counts[fails]


def _wrong_together(before: tuple[Field, ...], last: Field, document: Any) -> Failure:
    """Each is right alone. Names those that `last` cannot stand with."""
    opposed = [field for field in before if not _holds(Alternative((field, last)), document)] or before
    names = [field.name for field in (*opposed, last)]
    return Failure(tuple(names), f"{listing(names, 'and')} are not right together in one element of the same array")


def _wanted(field: Field) -> str:
    wanted = [wording(comparison) for comparison in field.comparisons]
    return listing([*wanted, "absent"] if field.may_be_absent else wanted, "or")


def _summary(failures: tuple[Failure, ...]) -> str:
    if len(failures) == 1:
        return failures[0].sentence
    sentences = list(dict.fromkeys(failure.sentence for failure in failures))
    return f"none of the {len(failures)} alternatives matches: {listing(sentences, 'and')}"
