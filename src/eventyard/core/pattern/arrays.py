"""Array consistency: two fields of one rule may not be satisfied by different elements of the same array.

A value inside arrays stands in one element of each array around it: its *membership*, outermost first, as pairs of an
array and an index. A scalar that is itself an element has no membership in that array, since no other field can be
there. Values can stand together if no array appears in their memberships with two indexes.

Theory of operation. Each required field brings the memberships of its right values, each absent field those of all its
values, and we look for one right value per required field such that they can stand together and no value of an absent field
can stand with them. A value outside all arrays can stand with anything. For the rest: fields that meet in no outermost array do not
concern each other and are settled apart. Those that meet in one array must all stand in one element of it: try each,
with the memberships of that element alone and this array taken off. So the work is about what the event holds. Only keys
with dots in an event (`a.b` beside `a`) let one field stand in two outermost arrays; then each array may also be left
unused, and the work is bounded by `ARRAY_CHOICES_MAX`.
"""

from collections.abc import Iterable, Sequence

from eventyard.core.errors import PatternTooCostly
from eventyard.core.limits import ARRAY_CHOICES_MAX

Pair = tuple[int, int]
"""An array, by any number that no other array of the document has, and an index in it."""

Membership = tuple[Pair, ...]
"""Outermost first."""

Places = frozenset[Membership]
"""Where the values of one field stand."""

OUTSIDE: Places = frozenset(((),))
"""Outside all arrays."""


Either = tuple[Places, Places]
"""Of a field that may be absent and has values: where the right ones stand, and where all stand."""


def can_stand_together(required: Sequence[Places], absent: Sequence[Places], either: Sequence[Either] = ()) -> bool:
    """Whether the fields can be right together.

    That is, whether one place of each of `required` can be chosen so that no place of `absent` can stand with them. A
    field of `either` may be counted to the one or the other. None of `required` is empty. Raises PatternTooCostly past
    `ARRAY_CHOICES_MAX` choices.
    """
    return _Search().settles(required, absent, either)


class _Search:
    """One search with its count of choices."""

    def __init__(self) -> None:
        self._choices = 0

    def settles(self, required: Sequence[Places], absent: Sequence[Places], either: Sequence[Either]) -> bool:
        if not either:
            return self.holds(required, absent)
        self._count()
        (right, everywhere), *rest = either
        return self.settles([*required, right], absent, rest) or self.settles(required, [*absent, everywhere], rest)

    def holds(self, required: Sequence[Places], absent: Iterable[Places]) -> bool:
        standing = [places for places in absent if places]
        if any(() in places for places in standing):
            return False
        open_ = [index for index, places in enumerate(required) if () in places and len(places) > 1]
        if standing and open_:
            return self._holds_outside_or_inside(open_[0], required, standing)
        inside = [places for places in required if () not in places]
        groups = _groups(inside)
        reached = frozenset().union(*(arrays for arrays, _ in groups))
        if any(_outermost(places) - reached for places in standing):
            return False
        return all(self._group_holds(arrays, members, standing) for arrays, members in groups)

    def _holds_outside_or_inside(self, index: int, required: Sequence[Places], standing: list[Places]) -> bool:
        """A value outside arrays is the easier choice, but one in an element may be what a field must be absent from."""
        self._count()
        before, places, after = required[:index], required[index], required[index + 1 :]
        return self.holds([*before, OUTSIDE, *after], standing) or self.holds([*before, places - OUTSIDE, *after], standing)

    def _group_holds(self, arrays: frozenset[int], members: list[Places], standing: list[Places]) -> bool:
        near = [within for places in standing if (within := _in_arrays(places, arrays))]
        array = min(arrays)
        indexes = sorted({place[0][1] for places in members for place in places if place[0][0] == array})
        is_only = len(arrays) == 1
        if any(self._element_holds((array, index), members, near, is_only=is_only) for index in indexes):
            return True
        return not is_only and self._holds_without(array, members, near)

    def _element_holds(self, chosen: Pair, members: list[Places], near: list[Places], *, is_only: bool) -> bool:
        """An element is chosen only if a member stands in it. Where they may stand in other arrays too, one is held to it."""
        if is_only or not near:
            return self._given_holds(chosen, members, near)
        held = [frozenset(place for place in places if place[0] == chosen) for places in members]
        return any(
            self._given_holds(chosen, [*members[:index], places, *members[index + 1 :]], near)
            for index, places in enumerate(held)
            if places
        )

    def _given_holds(self, chosen: Pair, members: list[Places], near: list[Places]) -> bool:
        self._count()
        required = [_given(places, chosen) for places in members]
        return all(required) and self.holds(required, [_given(places, chosen) for places in near])

    def _holds_without(self, array: int, members: list[Places], near: list[Places]) -> bool:
        self._count()
        required = [frozenset(place for place in places if place[0][0] != array) for places in members]
        return all(required) and self.holds(required, near)

    def _count(self) -> None:
        self._choices += 1
        if self._choices > ARRAY_CHOICES_MAX:
            raise PatternTooCostly(
                f"found arrays with more than {ARRAY_CHOICES_MAX} choices of elements", wanted="smaller arrays"
            )


def _groups(inside: list[Places]) -> list[tuple[frozenset[int], list[Places]]]:
    """The fields that meet, directly or through others, in outermost arrays; with those arrays."""
    groups: list[tuple[frozenset[int], list[Places]]] = []
    for places in inside:
        arrays, members = _outermost(places), [places]
        apart = []
        for group in groups:
            if group[0] & arrays:
                arrays, members = arrays | group[0], group[1] + members
            else:
                apart.append(group)
        groups = [*apart, (arrays, members)]
    return groups


def _outermost(places: Places) -> frozenset[int]:
    return frozenset(place[0][0] for place in places)


def _in_arrays(places: Places, arrays: frozenset[int]) -> Places:
    return frozenset(place for place in places if place[0][0] in arrays)


def _given(places: Places, chosen: Pair) -> Places:
    """What remains possible with one element chosen: its own places without it, and those in other arrays."""
    inner = {place[1:] for place in places if place[0] == chosen}
    return frozenset(inner | {place for place in places if place[0][0] != chosen[0]})
