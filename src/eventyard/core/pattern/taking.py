"""Takes the values of fields out of a decoded event, nearly all of them in one call of C.

An `attrgetter` for all fields together is ten times as fast as a walk, but it cannot pass what is no object: an array, null. Where that
stands in the way of fields, the place is remembered, and from then on it is what stands at the place that is taken, once for each field
below it, and looked at: an object is taken from as the event was, objects of an array become columns, which are taken when asked for. So what the events of
a bus look like is learnt from the first of each kind; what comes out is the same whatever was learnt.
"""

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

from msgspec import UNSET

from eventyard.core.pattern.reading import SCALARS, Array, Reading, Takes, Unforeseen, flattened

Attributes = tuple[str, ...]


class Taker:
    """Of `size` slots, by slot the way from the top to its field."""

    __slots__ = ("_plan", "_size", "_ways")

    def __init__(self, size: int, ways: dict[int, Attributes]) -> None:
        self._size = size
        self._ways = ways
        self._plan = Plan(size, ways, frozenset())

    def take(self, struct: Any) -> Reading:
        plan = self._plan
        try:
            got = plan.get(struct)
        except AttributeError:
            obstacles = frozenset([obstacle for way in self._ways.values() if (obstacle := _obstacle(struct, way))])
            self._plan = plan = Plan(self._size, self._ways, plan.obstacles | obstacles)
            got = plan.get(struct)
        values = list(got) if plan.slots is None else self._spread(plan.slots, got)
        reading = Reading(values)
        for place in plan.places:
            value = values[place.first]
            kind = value.__class__
            if kind is list:
                place.put_columns(value, reading)
            elif kind in SCALARS:
                place.clear(reading)
            elif value is not kind.blank:
                place.put_fields(value, reading)
        return reading

    def _spread(self, slots: tuple[int, ...], got: tuple[Any, ...]) -> list[Any]:
        values: list[Any] = [UNSET] * self._size
        for slot, value in zip(slots, got, strict=False):
            values[slot] = value
        return values


class Plan:
    """What one call gets: for each slot its value, or what stands at the obstacle on its way."""

    __slots__ = ("get", "obstacles", "places", "slots")

    def __init__(self, size: int, ways: dict[int, Attributes], obstacles: frozenset[Attributes]) -> None:
        self.obstacles = obstacles
        taken: dict[int, Attributes] = {}
        below: dict[Attributes, dict[int, Attributes]] = {}
        for slot, way in ways.items():
            end = next((end for end in range(1, len(way)) if way[:end] in obstacles), len(way))
            taken[slot] = way[:end]
            if end < len(way):
                below.setdefault(way[:end], {})[slot] = way[end:]
        anything = next(iter(taken.values()))
        self.slots = None if 2 * len(ways) >= size else tuple(ways)
        """Which are got, where those are few of them."""
        got = range(max(size, 2)) if self.slots is None else (*self.slots, self.slots[0])
        names = [".".join(taken.get(slot, anything)) for slot in got]
        self.get: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)
        self.places = tuple([Place(size, inside) for inside in below.values()])


class Place:
    """Where something else than an object was seen. `ways`: of the fields below it, from there."""

    __slots__ = ("_size", "_taker", "_takes", "_ways", "first")

    def __init__(self, size: int, ways: dict[int, Attributes]) -> None:
        self._size = size
        self.first = next(iter(ways))
        self._ways = ways
        self._takes: Takes = {slot: (partial(_column, attrgetter(".".join(way)), way), len(way)) for slot, way in ways.items()}
        self._taker: Taker | None = None

    def clear(self, reading: Reading) -> None:
        for slot in self._ways:
            reading.values[slot] = UNSET

    def put_fields(self, struct: Any, reading: Reading) -> None:
        """Of an object after all. It may have obstacles of its own."""
        if self._taker is None:
            self._taker = Taker(self._size, self._ways)
        inside = self._taker.take(struct)
        for slot in self._ways:
            reading.values[slot] = inside.values[slot]
        reading.is_simple = reading.is_simple and inside.is_simple

    def put_columns(self, array: list[Any], reading: Reading) -> None:
        objects = array
        kinds = set(map(type, array))
        if len(kinds) != 1 or list in kinds or not kinds.isdisjoint(SCALARS):
            objects = flattened(array)[1]
        if not objects:
            self.clear(reading)
            return
        together = Array(objects, self._takes)
        for slot in self._ways:
            reading.values[slot] = together
        reading.is_simple = False


def _obstacle(struct: Any, way: Attributes) -> Attributes | None:
    """What on the way is no object."""
    node = struct
    for at, attribute in enumerate(way):
        if node.__class__ in SCALARS or node.__class__ is list:
            return way[:at]
        node = getattr(node, attribute)
    return None


def _column(get: Callable[[Any], Any], way: Attributes, array: Array) -> list[Any]:
    try:
        return list(map(get, array.objects))
    except AttributeError:
        return [_inside(each, way) for each in array.objects]


def _inside(each: Any, way: Attributes) -> Any:
    """What an object of an array has at the end of the way. An array on the way is one too many."""
    node = each
    for attribute in way:
        if node.__class__ is list:
            raise Unforeseen
        if node.__class__ in SCALARS:
            return UNSET
        node = getattr(node, attribute)
    return node
