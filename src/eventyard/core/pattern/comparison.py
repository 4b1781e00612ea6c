"""Comparisons: what may stand in a field's list, as a closed union, and what each says about one value.

A value is what JSON has at the end of a path: a string, a number, true, false or null. A comparison of strings never
accepts a number, and the other way round. Two places where the reference engine is evidently wrong are put right: an
IPv4 range compares with IPv4 addresses only (there it compares hexadecimal digits and takes some IPv6 text), and a
quote in a value is just a quote (there it can run into the quotes that the engine puts around strings).
"""

import ipaddress
import math
from decimal import Decimal
from typing import Any, Literal

import msgspec

from eventyard.core.pattern import letters, wildcard

Number = int | float | Decimal
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Sign = Literal["=", "<", "<=", ">", ">="]


class Values(msgspec.Struct, frozen=True):
    """Any one of these, exactly. Numbers are equal by value: 300 is 300.0 and 3e2. Literals are true, false and null."""

    strings: frozenset[str] = frozenset()
    numbers: frozenset[Decimal] = frozenset()
    literals: tuple[bool | None, ...] = ()


class Prefix(msgspec.Struct, frozen=True):
    text: str


class Suffix(msgspec.Struct, frozen=True):
    text: str


class EqualsIgnoreCase(msgspec.Struct, frozen=True):
    text: str
    letters: letters.Letters


class PrefixIgnoreCase(msgspec.Struct, frozen=True):
    text: str
    letters: letters.Letters


class SuffixIgnoreCase(msgspec.Struct, frozen=True):
    text: str
    letters: letters.Letters


class Wildcard(msgspec.Struct, frozen=True):
    text: str
    parts: tuple[str, ...]


class Numeric(msgspec.Struct, frozen=True):
    """Every bound holds: one, or a lower and an upper."""

    bounds: tuple[tuple[Sign, Decimal], ...]


class Cidr(msgspec.Struct, frozen=True):
    """An address of the same family between the two, both included."""

    text: str
    first: Address
    last: Address


class Present(msgspec.Struct, frozen=True):
    """`exists: true`: any value is right, null too."""


class Absent(msgspec.Struct, frozen=True):
    """`exists: false`: no value is right; the field must not be there."""


Excluded = Values | Prefix | Suffix | EqualsIgnoreCase | Wildcard


class AnythingBut(msgspec.Struct, frozen=True):
    """A value that is there and that none of these accepts, of whatever type."""

    excluded: tuple[Excluded, ...]


Comparison = (
    Values
    | Prefix
    | Suffix
    | EqualsIgnoreCase
    | PrefixIgnoreCase
    | SuffixIgnoreCase
    | Wildcard
    | Numeric
    | Cidr
    | Present
    | Absent
    | AnythingBut
)


def accepts(comparison: Comparison, value: Any) -> bool:
    """Whether one value is right. `value` is str, bool, None, int, float or Decimal."""
    match comparison:
        case Values():
            return _is_one_of(comparison, value)
        case AnythingBut():
            return not is_any_right(comparison.excluded, value)
        case Numeric():
            return is_number(value) and _is_within(comparison, value)
        case Present():
            return True
        case Absent():
            return False
        case _:
            return isinstance(value, str) and _accepts_text(comparison, value)


def is_any_right(comparisons: tuple[Comparison, ...], value: Any) -> bool:
    """Whether one of them accepts the value. A loop, since this is where matching spends its time."""
    for comparison in comparisons:  # noqa: SIM110 - a generator doubles the cost
        if accepts(comparison, value):
            return True
    return False


def work_of(comparison: Comparison) -> int:
    """Comparisons that one value may take. However many exact values stand in one list, they are one."""
    return len(comparison.excluded) if isinstance(comparison, AnythingBut) else 1


def is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def exact(number: Number) -> int | Decimal:
    """The number as its decimal text says it: 0.1 is one tenth, not the double next to it."""
    return Decimal(repr(number)) if isinstance(number, float) else number


def is_held(number: Number) -> bool:
    """Whether a double stands for the number's decimal text: it reads back as the same decimal.

    Ranges know only such numbers, in patterns and in events, as the reference engine has it. Others equal only themselves.
    """
    if isinstance(number, float) or (isinstance(number, int) and abs(number) <= _EXACT_INTEGER_MAX):
        return True
    value = Decimal(number)
    double = float(value)
    return math.isfinite(double) and Decimal(repr(double)) == value


_NUMBERS = (int, float, Decimal)
_EXACT_INTEGER_MAX = 2**53


def _is_within(numeric: Numeric, number: Number) -> bool:
    if not is_held(number):
        return False
    value = exact(number)
    return all(_holds(sign, value, bound) for sign, bound in numeric.bounds)


def _is_one_of(values: Values, value: Any) -> bool:
    if isinstance(value, str):
        return value in values.strings
    if is_number(value):
        return bool(values.numbers) and exact(value) in values.numbers
    return value in values.literals


def _holds(sign: Sign, number: int | Decimal, bound: Decimal) -> bool:
    match sign:
        case "=":
            return number == bound
        case "<":
            return number < bound
        case "<=":
            return number <= bound
        case ">":
            return number > bound
        case ">=":
            return number >= bound


def _accepts_text(  # noqa: PLR0911 - one return for each member of a closed union
    comparison: Prefix | Suffix | EqualsIgnoreCase | PrefixIgnoreCase | SuffixIgnoreCase | Wildcard | Cidr, text: str
) -> bool:
    match comparison:
        case Prefix():
            return text.startswith(comparison.text)
        case Suffix():
            return text.endswith(comparison.text)
        case EqualsIgnoreCase():
            return letters.equal(comparison.letters, text)
        case PrefixIgnoreCase():
            return letters.open_(comparison.letters, text)
        case SuffixIgnoreCase():
            return letters.close(comparison.letters, text)
        case Wildcard():
            return wildcard.fits(comparison.parts, text)
        case Cidr():
            return _is_between(comparison, address(text))


def address(text: str) -> Address | None:
    """The IP address that `text` spells, without a zone, or None."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_between(cidr: Cidr, found: Address | None) -> bool:
    return found is not None and found.version == cidr.first.version and int(cidr.first) <= int(found) <= int(cidr.last)
