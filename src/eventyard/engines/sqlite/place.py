"""Places: a bus and a position (or another number of that bus) as one 64-bit integer, which is a rowid.

Rows of one bus stand together, in the order of their numbers, and are appended at the end: the cheapest tree there is.
"""

POSITION_BITS = 44
"""1.7e13 positions on one bus: five years at 100,000 events a second. What is left of a signed 64-bit rowid is 2^19 buses."""

POSITION_MAX = (1 << POSITION_BITS) - 1
BUS_MAX = (1 << (63 - POSITION_BITS)) - 1


def place(bus: int, number: int) -> int:
    return bus << POSITION_BITS | number


def position(at: int) -> int:
    """The number within its bus."""
    return at & POSITION_MAX


def bus(at: int) -> int:
    return at >> POSITION_BITS


def span(number: int, first: int = 0, last: int = POSITION_MAX) -> tuple[int, int]:
    """The lowest and highest place of `first` to `last` on one bus, never reaching into another's."""
    return place(number, min(max(first, 0), POSITION_MAX)), place(number, min(max(last, 0), POSITION_MAX))
