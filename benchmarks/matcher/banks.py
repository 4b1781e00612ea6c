"""The banks: five rules of one kind each, shaped as in the published benchmark of event-ruler, with the values of our own lots.

What a bank reads decides the shapes of event that it can meet: properties and `geometry.type` stand in every shape,
`firstCoordinates` and the `x` of a coordinate only in `Shape.OBJECTS`. `goal` is what is wanted, in multiples of the speed of
`orjson.loads` on the same lines.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from benchmarks.matcher.lots import Shape, corner
from eventyard.core.pattern.language import Pattern, parse

EVERY_SHAPE = (Shape.ARRAYS, Shape.OBJECTS)


class Bank(msgspec.Struct, frozen=True):
    name: str
    goal: float | None
    patterns: tuple[dict[str, Any], ...]
    shapes: tuple[Shape, ...] = EVERY_SHAPE

    def rules(self) -> dict[int, Pattern]:
        return {number: parse(msgspec.json.encode(pattern)) for number, pattern in enumerate(self.patterns, 1)}


def properties(*fields: tuple[str, Any]) -> tuple[dict[str, Any], ...]:
    return tuple({"properties": {name: [comparison]}} for name, comparison in fields)


def anything_but(*places: tuple[str, Any]) -> tuple[dict[str, Any], ...]:
    """One pattern for each; the place `type` is the geometry's."""
    return tuple(
        {"geometry" if name == "type" else "properties": {name: [{"anything-but": excluded}]}} for name, excluded in places
    )


WEST, MIDDLE, EAST = corner(624, 0)[0], corner(87, 0)[0], corner(542, 0)[0]
"""West of MIDDLE are two lots of three, between WEST and EAST four of ten."""
BUSY_X = corner(462, 38)[0]
"""Of all corners the one that most lots have, 18 of 20,000; three begin there."""
PARTED_Y = corner(294, 2)[1]
"""A corner of a lot in several parts."""

RANGES = ({"numeric": ["<", MIDDLE]}, {"numeric": [">", MIDDLE]}, {"numeric": [">", WEST, "<", EAST]})

EXACT = Bank(
    "exact",
    4,
    properties(
        ("MAPBLKLOT", "0028012"),
        ("MAPBLKLOT", "0478218"),
        ("MAPBLKLOT", "2278218"),
        ("MAPBLKLOT", "5698A050T"),
        ("MAPBLKLOT", "3853088T"),
    ),
)
PREFIX = Bank(
    "prefix",
    4,
    properties(*(("STREET", {"prefix": text}) for text in ("HYDA", "PALL", "BLAIW", "01", "GRAB"))),
)
PREFIX_IGNORE_CASE = Bank(
    "prefix, equals-ignore-case",
    4,
    properties(*(("STREET", {"prefix": {"equals-ignore-case": text}}) for text in ("hydA", "pALL", "bLaIw", "FuLt", "Grab"))),
)
SUFFIX = Bank(
    "suffix",
    4,
    properties(*(("STREET", {"suffix": text}) for text in ("ON", "ILAKE", "1ST", "LLING", "GO"))),
)
SUFFIX_IGNORE_CASE = Bank(
    "suffix, equals-ignore-case",
    4,
    properties(*(("STREET", {"suffix": {"equals-ignore-case": text}}) for text in ("on", "iLAKE", "1st", "LLing", "Go"))),
)
EQUALS_IGNORE_CASE = Bank(
    "equals-ignore-case",
    4,
    properties(
        *(("STREET", {"equals-ignore-case": text}) for text in ("jefferson", "aCbEaCh", "TurTon", "GRABEACH")),
        ("ST_TYPE", {"equals-ignore-case": "st"}),
    ),
)
WILDCARD = Bank(
    "wildcard",
    3,
    properties(*(("MAPBLKLOT", {"wildcard": text}) for text in ("143*", "2*0*1*7", "*218", "3*5*2", "56*0T"))),
)
ANYTHING_BUT = Bank(
    "anything-but",
    3,
    anything_but(
        ("STREET", ["GRABEACH"]),
        ("STREET", ["MAVIEW", "TURTON"]),
        ("ST_TYPE", ["ST"]),
        ("type", ["Polygon"]),
        ("FROM_ST", ["441"]),
    ),
)
ANYTHING_BUT_IGNORE_CASE = Bank(
    "anything-but, equals-ignore-case",
    3,
    anything_but(
        ("STREET", {"equals-ignore-case": ["GraBeach"]}),
        ("STREET", {"equals-ignore-case": ["MaView", "turton"]}),
        ("ST_TYPE", {"equals-ignore-case": ["st"]}),
        ("type", {"equals-ignore-case": ["polygon"]}),
        ("FROM_ST", {"equals-ignore-case": ["441"]}),
    ),
)
ANYTHING_BUT_PREFIX = Bank(
    "anything-but, prefix",
    3,
    anything_but(
        ("STREET", {"prefix": "GRABEA"}),
        ("STREET", {"prefix": ["MAVI", "TURT"]}),
        ("ST_TYPE", {"prefix": "S"}),
        ("type", {"prefix": "Poly"}),
        ("FROM_ST", {"prefix": "44"}),
    ),
)
ANYTHING_BUT_SUFFIX = Bank(
    "anything-but, suffix",
    3,
    anything_but(
        ("STREET", {"suffix": "ABEACH"}),
        ("STREET", {"suffix": ["AVIEW", "URTON"]}),
        ("ST_TYPE", {"suffix": "T"}),
        ("type", {"suffix": "iPolygon"}),
        ("FROM_ST", {"suffix": "41"}),
    ),
)
ANYTHING_BUT_WILDCARD = Bank(
    "anything-but, wildcard",
    3,
    anything_but(
        ("STREET", {"wildcard": "GRA*CH"}),
        ("STREET", {"wildcard": ["*AVIE*", "TU*TO*N"]}),
        ("ST_TYPE", {"wildcard": "S*"}),
        ("type", {"wildcard": "P*ol*"}),
        ("FROM_ST", {"wildcard": "4*1"}),
    ),
)
NUMERIC = Bank(
    "numeric",
    2.5,
    (
        {"geometry": {"type": ["Polygon"], "firstCoordinates": {"x": [{"numeric": ["=", BUSY_X]}]}}},
        {"geometry": {"type": ["MultiPolygon"], "firstCoordinates": {"z": [{"numeric": ["=", 0]}]}}},
        *({"geometry": {"firstCoordinates": {"x": [bounds]}}} for bounds in RANGES),
    ),
    (Shape.OBJECTS,),
)
COMPLEX_ARRAYS = Bank(
    "complex arrays",
    0.6,
    (
        {"geometry": {"type": ["Polygon"], "coordinates": {"x": [{"numeric": ["=", BUSY_X]}]}}},
        {"geometry": {"type": ["MultiPolygon"], "coordinates": {"y": [{"numeric": ["=", PARTED_Y]}]}}},
        *({"geometry": {"coordinates": {"x": [bounds]}}} for bounds in RANGES),
    ),
    (Shape.OBJECTS,),
)
NESTED_ARRAYS = Bank(
    "numeric in nested arrays",
    0.6,
    (
        {"geometry": {"type": ["Polygon"], "coordinates": [{"numeric": ["=", BUSY_X]}]}},
        {"geometry": {"type": ["MultiPolygon"], "coordinates": [{"numeric": ["=", 0]}]}},
        {"geometry": {"coordinates": [{"numeric": ["<", MIDDLE]}]}},
        {"geometry": {"coordinates": [{"numeric": [">", MIDDLE, "<", -1]}]}},
        {"geometry": {"coordinates": [{"numeric": [">", WEST, "<", EAST]}]}},
    ),
    (Shape.ARRAYS,),
)
WITHOUT_ARRAYS = (
    NUMERIC,
    EXACT,
    PREFIX,
    ANYTHING_BUT,
    ANYTHING_BUT_IGNORE_CASE,
    ANYTHING_BUT_PREFIX,
    ANYTHING_BUT_SUFFIX,
    ANYTHING_BUT_WILDCARD,
)


def _together(name: str, goal: float | None, banks: tuple[Bank, ...]) -> Bank:
    return Bank(name, goal, tuple(pattern for bank in banks for pattern in bank.patterns), (Shape.OBJECTS,))


BANKS = (
    EXACT,
    PREFIX,
    PREFIX_IGNORE_CASE,
    SUFFIX,
    SUFFIX_IGNORE_CASE,
    EQUALS_IGNORE_CASE,
    WILDCARD,
    ANYTHING_BUT,
    ANYTHING_BUT_IGNORE_CASE,
    ANYTHING_BUT_PREFIX,
    ANYTHING_BUT_SUFFIX,
    ANYTHING_BUT_WILDCARD,
    NUMERIC,
    COMPLEX_ARRAYS,
    NESTED_ARRAYS,
    _together("all but arrays (40 rules)", None, WITHOUT_ARRAYS),
    _together("all together (45 rules)", 0.4, (*WITHOUT_ARRAYS, COMPLEX_ARRAYS)),
)


def chosen(names: list[str]) -> Iterator[Bank]:
    """The banks whose name contains one of these; all, if there are none."""
    return (bank for bank in BANKS if not names or any(name in bank.name for name in names))
