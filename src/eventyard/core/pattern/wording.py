"""What a comparison wants, in words that end a sentence: "data.total 12 is not >= 20"."""

import json
from decimal import Decimal
from typing import Any

from eventyard.core.pattern.comparison import (
    Absent,
    AnythingBut,
    Cidr,
    Comparison,
    EqualsIgnoreCase,
    Numeric,
    Prefix,
    PrefixIgnoreCase,
    Present,
    Suffix,
    SuffixIgnoreCase,
    Values,
    Wildcard,
)

_CHARACTERS_MAX = 60
_LISTED_MAX = 5


def wording(comparison: Comparison) -> str:  # noqa: C901, PLR0911 - one return for each member of a closed union
    match comparison:
        case Values():
            return listing(_exact_values(comparison), "or")
        case Prefix():
            return f"a string that starts with {shown(comparison.text)}"
        case Suffix():
            return f"a string that ends with {shown(comparison.text)}"
        case EqualsIgnoreCase():
            return f"{shown(comparison.text)} in any case"
        case PrefixIgnoreCase():
            return f"a string that starts with {shown(comparison.text)} in any case"
        case SuffixIgnoreCase():
            return f"a string that ends with {shown(comparison.text)} in any case"
        case Wildcard():
            return f"a string like {shown(comparison.text)}"
        case Numeric():
            return " and ".join(f"{sign} {bound}" for sign, bound in comparison.bounds)
        case Cidr():
            return f"an address in {comparison.text}"
        case Present():
            return "present"
        case Absent():
            return "absent"
        case AnythingBut():
            return "anything but " + listing([wording(excluded) for excluded in comparison.excluded], "or")


def shown(value: Any) -> str:
    """A value as JSON spells it, cut short."""
    text = str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _CHARACTERS_MAX else text[: _CHARACTERS_MAX - 3] + "..."


def listing(words: list[str], conjunction: str) -> str:
    """A list as "a, b or c", and past a few the number of those left out."""
    if len(words) > _LISTED_MAX:
        words = [*words[: _LISTED_MAX - 1], f"{len(words) - _LISTED_MAX + 1} more"]
    *most, last = words
    return f"{', '.join(most)} {conjunction} {last}" if most else last


def _exact_values(values: Values) -> list[str]:
    return [shown(value) for value in (*sorted(values.strings), *sorted(values.numbers), *values.literals)]
