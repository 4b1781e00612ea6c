"""Array consistency: two fields of one rule may not be satisfied by different elements of the same array.

A value inside arrays stands in one element of each array around it: its *membership*, outermost first, as pairs of an
array and an index. A scalar that is itself an element has no membership in that array, since no other field can be
there. Values can stand together if no array appears in their memberships with two indexes.

Theory of operation. A *required* field brings the places of its right values, an *absent* field those of all its values,
an *optional* field both: it may be right or absent. We look for one right value per required field, and per optional
field that is not absent, such that they can stand together and no value of an absent field can stand with them.

A value outside all arrays stands with anything. For the rest: fields that meet in no outermost array do not concern each
other and are settled apart. Those that meet in one array must stand in one element of it: try each, with the places
that it leaves, this array taken off. Where only optional fields meet, one of them must be right, or nothing would choose an
element and they would all be there: try each as required. So the work is about what the event holds. Only keys with
dots in an event (`a.b` beside `a`) let one field stand in several outermost arrays; then each array may also be left to
others, and the work is bounded by `ARRAY_CHOICES_MAX`.
"""

from collections.abc import Sequence

import msgspec

from eventyard.core.errors import PatternTooCostly
from eventyard.core.limits import ARRAY_CHOICES_MAX

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


def can_stand_together(demands: Sequence[Demand]) -> bool:
    """Whether all demands can be met at once. Raises PatternTooCostly past `ARRAY_CHOICES_MAX` choices."""
    return _Search().holds(demands)


class _Search:
    """One search with its count of choices."""

    def __init__(self) -> None:
        self._choices = 0

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
        required = [demand for demand in members if not demand.may_be_absent]
        if not required:
            return any(
                self._holds_with(members, index, _required(demand)) for index, demand in enumerate(members) if demand.right
            )
        arrays = frozenset().union(*(_outermost(demand.right) for demand in required))
        array = min(arrays)
        indexes = sorted({place[0][1] for demand in required for place in demand.right if place[0][0] == array})
        is_only = len(arrays) == 1
        if any(self._element_holds(members, (array, index), is_only=is_only) for index in indexes):
            return True
        return not is_only and self._holds_without(members, array)

    def _element_holds(self, members: list[Demand], chosen: Pair, *, is_only: bool) -> bool:
        """An element is chosen if a required field stands in it. If they may stand elsewhere too, one is held to it."""
        if is_only:
            return self._given_holds(members, chosen)
        return any(
            self._given_holds([*members[:index], _held(demand, chosen), *members[index + 1 :]], chosen)
            for index, demand in enumerate(members)
            if not demand.may_be_absent and _held(demand, chosen).right
        )

    def _given_holds(self, members: list[Demand], chosen: Pair) -> bool:
        self._count()
        return self.holds([_given(demand, chosen) for demand in members])

    def _holds_without(self, members: list[Demand], array: int) -> bool:
        """The required fields stand in other arrays than this."""
        self._count()
        return self.holds([demand if demand.may_be_absent else _without(demand, array) for demand in members])

    def _holds_with(self, demands: list[Demand], index: int, instead: Demand) -> bool:
        self._count()
        return self.holds([*demands[:index], instead, *demands[index + 1 :]])

    def _count(self) -> None:
        self._choices += 1
        if self._choices > ARRAY_CHOICES_MAX:
            raise PatternTooCostly(
                f"found arrays with more than {ARRAY_CHOICES_MAX} choices of elements", wanted="smaller arrays"
            )


def _decided(demand: Demand) -> Demand:
    """A field that has a value outside arrays cannot be absent any more. Of a required one only right places count."""
    return demand if demand.may_be_absent and () not in demand.everywhere else _required(demand)


def _required(demand: Demand) -> Demand:
    return Demand(demand.right, demand.right, may_be_absent=False)


def _is_open(demand: Demand) -> bool:
    return () in demand.right and len(demand.right) > 1


def _groups(inside: list[Demand]) -> list[list[Demand]]:
    """The fields that meet, directly or through others, in outermost arrays."""
    groups: list[tuple[frozenset[int], list[Demand]]] = []
    for demand in inside:
        arrays, members = _outermost(demand.everywhere), [demand]
        apart = []
        for group in groups:
            if group[0] & arrays:
                arrays, members = arrays | group[0], group[1] + members
            else:
                apart.append(group)
        groups = [*apart, (arrays, members)]
    return [members for _, members in groups]


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
