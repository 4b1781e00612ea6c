"""The operators: one entry of a field's list as it stands in the pattern, read into a comparison.

Every refusal names what was found, what was wanted, and the JSON pointer of the place.
"""

import difflib
import ipaddress
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from eventyard.core.errors import InvalidPattern, PatternTooCostly
from eventyard.core.limits import PATTERN_VALUES_PER_FIELD_MAX, WILDCARDS_PER_VALUE_MAX
from eventyard.core.pattern import letters, wildcard
from eventyard.core.pattern.comparison import (
    Absent,
    AnythingBut,
    Cidr,
    Comparison,
    EqualsIgnoreCase,
    Excluded,
    Number,
    Numeric,
    Prefix,
    PrefixIgnoreCase,
    Present,
    Sign,
    Suffix,
    SuffixIgnoreCase,
    Values,
    Wildcard,
    address,
    exact,
    is_held,
    is_number,
)
from eventyard.core.strict_json import pointer

Place = tuple[str | int, ...]


def read_list(entries: list[Any], at: Place) -> tuple[Comparison, ...]:
    """A field's list. All exact values become one comparison, first, since they are asked most."""
    if not entries:
        raise refusal("found an empty array", 'at least one value, as ["a"]', at)
    _check_number_of_values(entries, at)
    exacts = [entry for entry in entries if not isinstance(entry, dict | list)]
    comparisons = [_operator(entry, (*at, index)) for index, entry in enumerate(entries) if isinstance(entry, dict | list)]
    return (_values(exacts), *comparisons) if exacts else tuple(comparisons)


def refusal(found: str, wanted: str, at: Place) -> InvalidPattern:
    return InvalidPattern(found, wanted=wanted, at=pointer(at))


def show(value: Any) -> str:
    """A value as a person wrote it, cut short."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    text = str(value) if isinstance(value, Decimal | int) and is_number(value) else msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(word: str, known: tuple[str, ...]) -> str:
    """What was wanted in place of an unknown word: the nearest known one if one is near, and the known ones."""
    listed = "one of " + ", ".join(known)
    near = difflib.get_close_matches(word.lower().strip(), known, 1, 0.6)
    return f'did you mean "{near[0]}"? {listed}' if near else listed


def _check_number_of_values(entries: list[Any], at: Place) -> None:
    if len(entries) > PATTERN_VALUES_PER_FIELD_MAX:
        wanted = f"at most {PATTERN_VALUES_PER_FIELD_MAX}"
        raise PatternTooCostly(f"found {len(entries)} values", wanted=wanted, at=pointer(at))


def _values(entries: list[Any]) -> Values:
    return Values(
        strings=frozenset(entry for entry in entries if isinstance(entry, str)),
        numbers=frozenset(Decimal(exact(entry)) for entry in entries if is_number(entry)),
        literals=tuple(entry for entry in entries if entry is None or isinstance(entry, bool)),
    )


def _operator(entry: Any, at: Place) -> Comparison:
    if isinstance(entry, list):
        raise refusal("found an array", "a string, a number, true, false, null or an operator as an object", at)
    name, operand = _only_member(entry, tuple(_READERS), at)
    if name not in _READERS:
        raise refusal(f'found the unknown operator "{name}"', nearest(name, tuple(_READERS)), (*at, name))
    return _READERS[name](operand, (*at, name))


def _only_member(entry: dict[str, Any], known: tuple[str, ...], at: Place) -> tuple[str, Any]:
    if len(entry) != 1:
        found = "an empty object" if not entry else "the keys " + ", ".join(f'"{name}"' for name in entry)
        raise refusal(f"found {found}", "exactly one operator of " + ", ".join(known), at)
    return next(iter(entry.items()))


def _string(operand: Any, what: str, at: Place) -> str:
    if not isinstance(operand, str):
        raise refusal(f"found {show(operand)}", f"a string for {what}", at)
    return operand


def _exactly(operand: Any, at: Place) -> Comparison:
    return Values(strings=frozenset((_string(operand, "exactly", at),)))


def _prefix(operand: Any, at: Place) -> Comparison:
    if isinstance(operand, dict):
        text = _ignoring_case(operand, "prefix", at)
        return PrefixIgnoreCase(text, letters.forms(text))
    return Prefix(_string(operand, "prefix", at))


def _suffix(operand: Any, at: Place) -> Comparison:
    if isinstance(operand, dict):
        text = _ignoring_case(operand, "suffix", at)
        return SuffixIgnoreCase(text, letters.forms(text))
    return Suffix(_string(operand, "suffix", at))


def _ignoring_case(operand: dict[str, Any], what: str, at: Place) -> str:
    known = ("equals-ignore-case",)
    name, inner = _only_member(operand, known, at)
    if name not in known:
        raise refusal(f'found "{name}" inside {what}', 'a string, or {"equals-ignore-case": "..."}', (*at, name))
    return _string(inner, name, (*at, name))


def _equals_ignore_case(operand: Any, at: Place) -> EqualsIgnoreCase:
    text = _string(operand, "equals-ignore-case", at)
    return EqualsIgnoreCase(text, letters.forms(text))


def _wildcard(operand: Any, at: Place) -> Wildcard:
    text = _string(operand, "wildcard", at)
    try:
        parts = wildcard.split(text)
    except wildcard.InvalidWildcard as error:
        raise refusal(f"{error.found} of {show(text)}", error.wanted, at) from error
    if len(parts) > WILDCARDS_PER_VALUE_MAX + 1:
        found = f"found {len(parts) - 1} stars in {show(text)}"
        raise PatternTooCostly(found, wanted=f"at most {WILDCARDS_PER_VALUE_MAX}", at=pointer(at))
    return Wildcard(text, parts)


def _exists(operand: Any, at: Place) -> Comparison:
    if not isinstance(operand, bool):
        raise refusal(f"found {show(operand)}", "true or false for exists", at)
    return Present() if operand else Absent()


def _cidr(operand: Any, at: Place) -> Cidr:
    """From the address as written to the end of its range, as the engine has it: 10.0.0.5/24 begins at 10.0.0.5."""
    text = _string(operand, "cidr", at)
    base, slash, bits = text.partition("/")
    first = address(base)
    if first is None or not slash:
        raise refusal(f"found {show(text)}", "an IP address, a slash and a number of bits, as 10.0.0.0/24", at)
    longest = first.max_prefixlen - 1
    if not (bits.isascii() and bits.isdecimal() and len(bits) <= 3 and int(bits) <= longest):
        raise refusal(f"found {show(bits)} bits in {show(text)}", f"a number of bits from 0 to {longest}", at)
    return Cidr(text, first, ipaddress.ip_network(f"{first}/{int(bits)}", strict=False)[-1])


def _anything_but(operand: Any, at: Place) -> AnythingBut:
    if isinstance(operand, dict):
        return AnythingBut(_excluded_by_operator(operand, at))
    return AnythingBut((_excluded_values(operand, at),))


def _excluded_by_operator(operand: dict[str, Any], at: Place) -> tuple[Excluded, ...]:
    known = tuple(_EXCLUDERS)
    name, inner = _only_member(operand, known, at)
    if name not in _EXCLUDERS:
        raise refusal(f'found "{name}" inside anything-but', nearest(name, known), (*at, name))
    return tuple(_EXCLUDERS[name](text, place) for text, place in _each(inner, (*at, name)))


def _each(operand: Any, at: Place) -> list[tuple[Any, Place]]:
    """A single operand, or each of a list, with its place."""
    if not isinstance(operand, list):
        return [(operand, at)]
    if not operand:
        raise refusal("found an empty array", "at least one string", at)
    _check_number_of_values(operand, at)
    return [(entry, (*at, index)) for index, entry in enumerate(operand)]


def _excluded_prefix(operand: Any, at: Place) -> Excluded:
    return Prefix(_not_empty(_string(operand, "prefix inside anything-but", at), at))


def _excluded_suffix(operand: Any, at: Place) -> Excluded:
    return Suffix(_not_empty(_string(operand, "suffix inside anything-but", at), at))


def _not_empty(text: str, at: Place) -> str:
    if not text:
        raise refusal("found an empty string", "a string of one or more characters: every string has the empty one", at)
    return text


def _excluded_values(operand: Any, at: Place) -> Values:
    entries = _each(operand, at)
    for entry, place in entries:
        _check_excluded(entry, place)
    if len({isinstance(entry, str) for entry, _ in entries}) > 1:
        raise refusal("found strings and numbers in one anything-but", "only strings or only numbers", at)
    return _values([entry for entry, _ in entries])


def _check_excluded(entry: Any, at: Place) -> None:
    if is_number(entry):
        _comparable(entry, at)
    elif not isinstance(entry, str):
        wanted = "a string, a number, a list of either, or an object with one of " + ", ".join(_EXCLUDERS)
        raise refusal(f"found {show(entry)}", f"{wanted} for anything-but", at)


def _numeric(operand: Any, at: Place) -> Numeric:
    if not isinstance(operand, list):
        raise refusal(f"found {show(operand)}", 'an array for numeric, as [">=", 20]', at)
    if len(operand) not in {2, 4}:
        raise refusal(f"found {len(operand)} elements", 'a sign and a number, or a range as [">", 0, "<=", 5]', at)
    bounds = tuple(_bound(operand, index, at) for index in range(0, len(operand), 2))
    if len(bounds) == 2:
        _check_range(bounds, at)
    return Numeric(bounds)


def _bound(operand: list[Any], index: int, at: Place) -> tuple[Sign, Decimal]:
    sign, number = operand[index], operand[index + 1]
    if not isinstance(sign, str) or sign not in _SIGNS:
        raise refusal(f"found {show(sign)}", "one of " + " ".join(_SIGNS), (*at, index))
    if not is_number(number):
        raise refusal(f"found {show(number)}", f"a number after {sign}", (*at, index + 1))
    return _SIGNS[sign], _comparable(number, (*at, index + 1))


def _check_range(bounds: tuple[tuple[Sign, Decimal], ...], at: Place) -> None:
    (low_sign, low), (high_sign, high) = bounds
    if low_sign not in {">", ">="}:
        raise refusal(f"found {low_sign} at the beginning of a range", "> or >=", (*at, 0))
    if high_sign not in {"<", "<="}:
        raise refusal(f"found {high_sign} at the end of a range", "< or <=", (*at, 2))
    if low >= high:
        raise refusal(f"found a range from {low} to {high}", "a lower bound below the upper", at)


def _comparable(number: Number, at: Place) -> Decimal:
    """A number that ranges may use: one that a double holds, as the engine wants it. Exact values may be any number."""
    if not is_held(number):
        raise refusal(f"found {show(number)}, which a double does not hold", "a number of 15 digits or fewer", at)
    return Decimal(exact(number))


_SIGNS: dict[str, Sign] = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

_EXCLUDERS: dict[str, Callable[[Any, Place], Excluded]] = {
    "prefix": _excluded_prefix,
    "suffix": _excluded_suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
}

_READERS: dict[str, Callable[[Any, Place], Comparison]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
    "exists": _exists,
    "exactly": _exactly,
}
