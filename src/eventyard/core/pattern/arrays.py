"""Array consistency: two fields of one rule may not be satisfied by different elements of the same array.

A value inside arrays stands in one element of each array around it: its *membership*, outermost first, as pairs of an
array and an index. A scalar that is itself an element has no membership in that array, since no other field can be
there. Values can stand together if no array appears in their memberships with two indexes.

Theory of operation. A *required* field brings the places of its right values, an *absent* field those of all its values,
an *optional* field both: it may be right or absent. We look for one right value per required field, and per optional
field that is not absent, such that they can stand together and no value of an absent field can stand with them.

A value outside all arrays stands with anything. For the rest: fields that meet in no outermost array do not concern each
other and are settled apart. Those that meet in one array must stand in one element of it. The places are taken apart by element
once, with this array taken off, and each element is tried with its own: so the work is about what the event holds. Where only
optional fields meet, one of them must be right, or nothing would choose an element and they would all be there. Only keys with dots in
an event (`a.b` beside `a`) let one field stand in several outermost arrays; then each array may also be left to others, optional fields are
tried as required one by one, every choice carries along what it does not decide, and the choices are bounded by
`ARRAY_CHOICES_MAX`. What all of it together looks at is bounded by `ARRAY_PLACES_MAX`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from eventyard.core.errors import PatternTooCostly
from eventyard.core.limits import ARRAY_CHOICES_MAX, ARRAY_PLACES_MAX

Pair = tuple[int, int]
"""An array, by any number that no other array of the document has, and an index in it."""

Membership = tuple[Pair, ...]
"""Outermost first."""

Places = frozenset[Membership]
"""Where the values of one field stand."""

NOWHERE: Places = frozenset()

OUTSIDE: Places = frozenset(((),))
"""Outside all arrays."""


class Demand(msgspec.Struct, frozen=True):
    """What one field demands: to be right at one of `right`, or, if it may be absent, to have no place `everywhere`."""

    right: Places
    everywhere: Places
    may_be_absent: bool


class Budget(Protocol):
    """What may be looked at for one event, by several searches together."""

    def look(self, count: int) -> None:
        """Raises PatternTooCostly where that is too much."""


def can_stand_together(demands: Sequence[Demand], budget: Budget | None = None) -> bool:
    """Whether all demands can be met at once. Raises PatternTooCostly past `ARRAY_CHOICES_MAX` choices or `ARRAY_PLACES_MAX` places."""
    return _Search(budget).holds(demands)


class _Search:
    """One search with its count of choices and of places looked at."""

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget
        self._choices = 0
        self._places = 0

    def holds(self, demands: Sequence[Demand]) -> bool:
        """First what is plain: demands that cannot fail or cannot be met any more."""
        undecided = [_decided(demand) for demand in demands if demand.everywhere or not demand.may_be_absent]
        if not all(demand.right or demand.may_be_absent for demand in undecided):
            return False
        inside = [demand for demand in undecided if () not in demand.right]
        open_ = [index for index, demand in enumerate(undecided) if _is_open(demand)]
        if open_ and any(demand.may_be_absent for demand in inside):
            return self._holds_outside_or_inside(undecided, open_[0])
        return all(self._group_holds(members) for members in _groups(inside))

    def _holds_outside_or_inside(self, demands: list[Demand], index: int) -> bool:
        """A value outside arrays is the easier choice, but one in an element may be what makes a field absent."""
        return any(
            self._holds_with(demands, index, msgspec.structs.replace(demands[index], right=right))
            for right in (OUTSIDE, demands[index].right - OUTSIDE)
        )

    def _group_holds(self, members: list[Demand]) -> bool:
        self._look_at(members)
        required = [demand for demand in members if not demand.may_be_absent]
        arrays = frozenset().union(*(_outermost(demand.everywhere) for demand in required or members))
        if len(arrays) == 1:
            return self._element_holds(members, min(arrays), len(required))
        if not required:
            return self._one_is_right(members)
        return self._element_of_several_holds(members, required, min(arrays))

    def _element_holds(self, members: list[Demand], array: int, required: int) -> bool:
        """In one element all required fields must be right. Without such, one that is there must be: `holds` sees to that."""
        return any(
            self.holds(left)
            for left in self._left_by_element(members, array)
            if sum(not demand.may_be_absent for demand in left) == required
        )

    def _one_is_right(self, members: list[Demand]) -> bool:
        return any(self._holds_with(members, at, _required(demand)) for at, demand in enumerate(members) if demand.right)

    def _left_by_element(self, members: list[Demand], array: int) -> Iterator[list[Demand]]:
        """What each element of an array leaves. Fields that stand in other arrays too carry those places along."""
        elements: dict[int, list[Demand]] = {}
        carrying: list[Demand] = []
        for demand in members:
            if _outermost(demand.everywhere) != {array}:
                carrying.append(demand)
                continue
            right = _by_index(demand.right)
            for index, everywhere in _by_index(demand.everywhere).items():
                left = Demand(frozenset(right.get(index, ())), frozenset(everywhere), demand.may_be_absent)
                elements.setdefault(index, []).append(left)
        for index, confined in elements.items():
            self._look_at(carrying)
            yield confined + [_given(demand, (array, index)) for demand in carrying]

    def _element_of_several_holds(self, members: list[Demand], required: list[Demand], array: int) -> bool:
        """The required fields may stand in other arrays too: in an element of this one stands one of them, or none at all."""
        indexes = sorted({place[0][1] for demand in required for place in demand.right if place[0][0] == array})
        return any(self._held_in(members, (array, index)) for index in indexes) or self._holds_without(members, array)

    def _held_in(self, members: list[Demand], chosen: Pair) -> bool:
        self._look_at(members)
        return any(
            self._given_holds([*members[:index], _held(demand, chosen), *members[index + 1 :]], chosen)
            for index, demand in enumerate(members)
            if not demand.may_be_absent and _held(demand, chosen).right
        )

    def _given_holds(self, members: list[Demand], chosen: Pair) -> bool:
        self._choose(members)
        return self.holds([_given(demand, chosen) for demand in members])

    def _holds_without(self, members: list[Demand], array: int) -> bool:
        """The required fields stand in other arrays than this."""
        self._choose(members)
        return self.holds([demand if demand.may_be_absent else _without(demand, array) for demand in members])

    def _holds_with(self, demands: list[Demand], index: int, instead: Demand) -> bool:
        self._choose(demands)
        return self.holds([*demands[:index], instead, *demands[index + 1 :]])

    def _choose(self, demands: Iterable[Demand]) -> None:
        """What is chosen is taken off every place."""
        if self._budget is not None:
            self._budget.look(sum(len(demand.right) + len(demand.everywhere) for demand in demands))
        self._choices += 1
        if self._choices > ARRAY_CHOICES_MAX:
            raise _too_costly(f"more than {ARRAY_CHOICES_MAX} choices of elements")

    def _look_at(self, demands: Iterable[Demand]) -> None:
        count = sum(len(place) for demand in demands for place in demand.everywhere)
        if self._budget is not None:
            self._budget.look(count)
        self._places += count
        if self._places > ARRAY_PLACES_MAX:
            raise _too_costly(f"more than {ARRAY_PLACES_MAX} places to look at")


def _too_costly(found: str) -> PatternTooCostly:
    return PatternTooCostly(f"found arrays with {found}", wanted="smaller arrays")


def _decided(demand: Demand) -> Demand:
    """A field that has a value outside arrays cannot be absent any more. Of a required one only right places count."""
    return demand if demand.may_be_absent and () not in demand.everywhere else _required(demand)


def _required(demand: Demand) -> Demand:
    return Demand(demand.right, demand.right, may_be_absent=False)


def _is_open(demand: Demand) -> bool:
    return () in demand.right and len(demand.right) > 1


def _groups(inside: list[Demand]) -> Iterable[list[Demand]]:
    """The fields that meet, directly or through others, in outermost arrays."""
    group_of: dict[int, list[Demand]] = {}
    arrays_of: dict[int, set[int]] = {}
    for demand in inside:
        group, arrays = [demand], set(_outermost(demand.everywhere))
        for met in {id(other): other for array in arrays if (other := group_of.get(array)) is not None}.values():
            group, arrays = [*met, *group], arrays | arrays_of.pop(id(met))
        arrays_of[id(group)] = arrays
        group_of |= dict.fromkeys(arrays, group)
    return {id(group): group for group in group_of.values()}.values()


def _by_index(places: Places) -> dict[int, set[Membership]]:
    """Places in one array by the element that they stand in, this array taken off."""
    elements: dict[int, set[Membership]] = {}
    for place in places:
        elements.setdefault(place[0][1], set()).add(place[1:])
    return elements


def _outermost(places: Places) -> frozenset[int]:
    return frozenset(place[0][0] for place in places)


def _held(demand: Demand, chosen: Pair) -> Demand:
    right = frozenset(place for place in demand.right if place[0] == chosen)
    return msgspec.structs.replace(demand, right=right)


def _without(demand: Demand, array: int) -> Demand:
    right = frozenset(place for place in demand.right if place[0][0] != array)
    return msgspec.structs.replace(demand, right=right)


def _given(demand: Demand, chosen: Pair) -> Demand:
    return Demand(_left(demand.right, chosen), _left(demand.everywhere, chosen), demand.may_be_absent)


def _left(places: Places, chosen: Pair) -> Places:
    """What one chosen element leaves: its own places without it, and those in other arrays."""
    inner = {place[1:] for place in places if place[0] == chosen}
    return frozenset(inner | {place for place in places if place[0][0] != chosen[0]})
