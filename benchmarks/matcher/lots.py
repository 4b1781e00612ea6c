"""Events shaped like the lots of a city: GeoJSON features of about 880 bytes, nine properties and a ring of coordinates.

The published benchmark of event-ruler runs on the lots of San Francisco. These are made up, from a seed, and keep what a matcher
minds there: how long the strings are and how often each comes, doubles of 17 digits, rings of five points and sometimes
of sixty, corners that neighbours share, lots without a street (whose `ST_TYPE` is null), a few polygons in several parts.

Only `random()` is drawn, the one method that Python promises to keep as it is: a seed gives the same bytes on every version.
"""

import bisect
import enum
import functools
import itertools
import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Generic, TypeVar

SEED = 11

Point = tuple[float, float]


class Shape(enum.Enum):
    """How a geometry says its coordinates."""

    ARRAYS = "arrays"
    """`[[[x, y, z], ...]]`, as GeoJSON has it."""
    OBJECTS = "objects"
    """`[[{"x": x, "y": y, "z": z}, ...]]`, and the first point once more as `firstCoordinates`."""


def lots(count: int, shape: Shape, seed: int = SEED) -> list[bytes]:
    """As many events, compact JSON. A lot has the same properties in every shape."""
    return [json.dumps(lot, separators=(",", ":")).encode() for lot in itertools.islice(_lots(shape, seed), count)]


def corner(block: int, number: int) -> Point:
    """One of the points that the lots of a block share."""
    return _corners(block)[number % CORNERS_PER_BLOCK]


BLOCKS = 800
CORNERS_PER_BLOCK = 48
PARTS_ONE_IN = 1_000
_MEAN_POINTS_MORE = {Shape.ARRAYS: 9.6, Shape.OBJECTS: 5.5}
"""Points beyond the five of a rectangle, so that an event has 880 bytes in either shape."""

_Item = TypeVar("_Item")


class _Weighted(Generic[_Item]):
    """Items of which the first come most: the n-th as often as one of n + `flatness`."""

    def __init__(self, items: Sequence[_Item], flatness: float) -> None:
        self._items = items
        self._bounds = list(itertools.accumulate(1 / (rank + flatness) for rank in range(1, len(items) + 1)))

    def draw(self, chance: Random) -> _Item:
        return self._items[bisect.bisect(self._bounds, chance.random() * self._bounds[-1])]


_FIRSTS = "FUL MA HAR BEL JEFFER WASH CHEST DRU BLAI AC RHO KIRK GLEN LIN MORA ELLI STAN VAL POOL GRA PAL OR BRO HY CO TUR"
_SECONDS = (
    "TON SON LING DALE LAKE HAM DIEGO NUT BEACH WOOD FORD MONT LAND ING WAY HURST DEN RIDGE VIEW PORT NEZ LO TI TERN SIDE"
)


def _street_names() -> list[str]:
    """Some 700: numbered ones, and compounds. Mixed, so that neither kind has all the long streets."""
    names = [f"{number:02}{_ordinal(number)}" for number in range(1, 49)]
    names += [first + second for first in _FIRSTS.split() for second in _SECONDS.split()]
    chance = Random(1)
    return sorted(names, key=lambda _: chance.random())


def _ordinal(number: int) -> str:
    return "TH" if number // 10 == 1 else {1: "ST", 2: "ND", 3: "RD"}.get(number % 10, "TH")


STREETS = _street_names()
_TYPES = ("ST", "AVE", "WAY", "DR", "BLVD", "TER", "CT", "LN", "PL", "ALY", "RD", "CIR", "PLZ", "HWY")
_TYPE_BOUNDS = (0.55, 0.83, 0.87, 0.905, 0.93, 0.945, 0.957, 0.967, 0.976, 0.984, 0.991, 0.996, 0.999, 1.0)
_STREET_TYPES = {name: _TYPES[bisect.bisect(_TYPE_BOUNDS, Random(name).random())] for name in STREETS}
_streets = _Weighted(STREETS, flatness=12)
TOWERS = [f"{9 * block + 1:04}{number:03}" for block, number in zip(range(3, BLOCKS, 5), itertools.cycle((12, 117, 218, 35)))]
"""Lots on which many condominiums stand, each a lot of its own on the same lot of the map."""
_towers = _Weighted(TOWERS, flatness=4)


def _lots(shape: Shape, seed: int) -> Iterator[dict[str, Any]]:
    properties, geometry = Random(seed), Random(seed + 1)
    while True:
        block = int(properties.random() * BLOCKS)
        yield {
            "type": "Feature",
            "properties": _properties(properties, block),
            "geometry": _geometry(geometry, block, shape),
        }


def _properties(chance: Random, block: int) -> dict[str, str | None]:
    block_number = f"{9 * block + 1:04}{_letter(chance, 0.02)}"
    lot_number = f"{1 + int(chance.random() ** 2 * 240):03}{_letter(chance, 0.03)}"
    own = block_number + lot_number
    return {
        "MAPBLKLOT": _towers.draw(chance) if chance.random() < 0.12 else own,
        "BLKLOT": own,
        "BLOCK_NUM": block_number,
        "LOT_NUM": lot_number,
        **_address(chance),
    }


def _letter(chance: Random, share: float) -> str:
    return "ABCDT"[int(chance.random() * 5)] if chance.random() < share else ""


def _address(chance: Random) -> dict[str, str | None]:
    if chance.random() < 0.03:
        return {"FROM_ST": "0", "TO_ST": "0", "STREET": "UNKNOWN", "ST_TYPE": None, "ODD_EVEN": "E"}
    street = _streets.draw(chance)
    first = 1 + int(chance.random() ** 1.5 * 3_000)
    last = first + 2 * int(chance.random() ** 4 * 8)
    parity = "O" if first % 2 else "E"
    return {"FROM_ST": str(first), "TO_ST": str(last), "STREET": street, "ST_TYPE": _STREET_TYPES[street], "ODD_EVEN": parity}


def _geometry(chance: Random, block: int, shape: Shape) -> dict[str, Any]:
    if chance.random() < 1 / PARTS_ONE_IN:
        rings = [_ring(chance, block, shape), _ring(chance, block, shape)]
        kind, coordinates, first = "MultiPolygon", [[_said(ring, shape)] for ring in rings], rings[0][0]
    else:
        ring = _ring(chance, block, shape)
        kind, coordinates, first = "Polygon", [_said(ring, shape)], ring[0]
    said: dict[str, Any] = {"type": kind, "coordinates": coordinates}
    return said if shape is Shape.ARRAYS else {**said, "firstCoordinates": _object(first)}


def _ring(chance: Random, block: int, shape: Shape) -> list[Point]:
    """Corners that follow one another, the first once more at the end."""
    again = 1 - 1 / (1 + _MEAN_POINTS_MORE[shape])
    more = 0
    while chance.random() < again and more < CORNERS_PER_BLOCK:
        more += 1
    start = int(chance.random() * CORNERS_PER_BLOCK)
    return [corner(block, start + number) for number in (*range(4 + more), 0)]


def _said(ring: list[Point], shape: Shape) -> list[Any]:
    return [[x, y, 0.0] if shape is Shape.ARRAYS else _object((x, y)) for x, y in ring]


def _object(point: Point) -> dict[str, float]:
    return {"x": point[0], "y": point[1], "z": 0}


@functools.cache
def _corners(block: int) -> list[Point]:
    chance = Random(f"block {block}")
    west, south = -122.515 + 0.15 * chance.random(), 37.708 + 0.103 * chance.random()
    return [(west + 0.001 * chance.random(), south + 0.001 * chance.random()) for _ in range(CORNERS_PER_BLOCK)]
