"""A pattern: its parsed form, and how a text becomes one.

Theory of operation. A pattern is an object whose leaves are lists. A leaf is named by the keys that lead to it, joined
with dots, and `{"a": {"b": [1]}}` is the same as `{"a.b": [1]}`; so in events. Every field must have a value that one of its
list accepts. `$or` lists objects of which one must hold, at any level; it is multiplied out, so that a pattern is a
flat list of alternatives and each alternative a flat list of fields. A field that stands twice in one alternative, be it
inside `$or` and beside it, counts as it stands last. AWS does the same with a key that stands twice
(`complex_multi_key_event` in the conformance data), so a text with equal keys is read so and not refused.
"""

import json
import math
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from eventyard.core import limits, strict_json
from eventyard.core.errors import InvalidJSON, InvalidPattern, PatternTooCostly
from eventyard.core.pattern.comparison import Absent, AnythingBut, Comparison, Values, Wildcard, work_of
from eventyard.core.pattern.operators import Place, read_list, refusal, show

__all__ = ["Alternative", "Field", "InvalidPattern", "Pattern", "PatternTooCostly", "Steps", "build", "parse", "parse_accepted"]

OR = "$or"

RESERVED_INSIDE_OR = frozenset(
    (
        *("exactly", "prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "cidr", "exists"),
        *("=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after"),
        *("date-on-or-after", "date-before", "date-on-or-before", "in-date-range", "ip-address-in-range"),
        "ip-address-not-in-range",
    )
)
"""No field inside `$or` may have such a name: the engine keeps them, so that an operator in a wrong place is seen."""


class Steps(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The rest of a path: the keys that may come next, each with what remains after it. `is_end`: nothing remains.

    For `a.b` the keys are "a", after which "b" remains, and "a.b", after which nothing does. What remains is shared, so whoever goes
    through all of it by all ways goes through it two to the power of its length times: equality, hash and text ask for `path`.
    """

    choices: tuple[tuple[str, "Steps"], ...] = ()

    @property
    def is_end(self) -> bool:
        return not self.choices

    @property
    def path(self) -> str | None:
        """All that remains as one key, which says all of it."""
        return self.choices[-1][0] if self.choices else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Steps) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Steps({self.path!r})"


class Field(msgspec.Struct, frozen=True, gc=False):
    """One field and its list: a value is right if any comparison accepts it."""

    name: str
    steps: Steps
    comparisons: tuple[Comparison, ...]
    may_be_absent: bool


class Alternative(msgspec.Struct, frozen=True, gc=False):
    """Fields that must all be right, in the order of their names."""

    fields: tuple[Field, ...]


class Pattern(msgspec.Struct, frozen=True, gc=False):
    """It matches if any alternative does. Without `$or` there is one."""

    alternatives: tuple[Alternative, ...]


Fields = dict[str, tuple[Comparison, ...]]


def parse(text: bytes | str) -> Pattern:
    """The pattern that `text` spells, or InvalidPattern or PatternTooCostly with a JSON pointer into it."""
    return build(_flat(text.encode(errors="surrogatepass") if isinstance(text, str) else text))


def parse_accepted(text: bytes) -> Pattern:
    """As `parse`, of one that was accepted before, perhaps by a version that took more: what it costs is not counted again."""
    return _built(_flat(text))


def _flat(body: bytes) -> list[Fields]:
    if len(body) > limits.PATTERN_BYTES_MAX:
        raise PatternTooCostly(f"found {len(body)} bytes", wanted=f"at most {limits.PATTERN_BYTES_MAX}")
    document = _decode(body)
    if not isinstance(document, dict):
        raise refusal(f"found {show(document)}", "a JSON object", ())
    return _multiply_out(document)


def build(alternatives: list[Fields]) -> Pattern:
    """A pattern of flat alternatives."""
    _check_cost(alternatives)
    return _built(alternatives)


def _built(alternatives: list[Fields]) -> Pattern:
    """A path is worked out once however many alternatives share it."""
    steps = {name: _steps(name) for fields in alternatives for name in fields}
    return Pattern(tuple(_alternative(fields, steps) for fields in alternatives))


def _decode(body: bytes) -> Any:
    try:
        return strict_json.decode(body, any_number=True)
    except InvalidJSON as error:
        return _decode_with_equal_keys(body, error)


def _decode_with_equal_keys(body: bytes, error: InvalidJSON) -> Any:
    """Of keys that stand twice the last counts. Where something else is wrong too, the text is refused as it was."""
    try:
        document = json.loads(body.decode(), parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal)
        return strict_json.decode(_ENCODER.encode(document), any_number=True)
    except (InvalidJSON, ValueError, ArithmeticError, RecursionError, msgspec.MsgspecError):
        raise InvalidPattern(f"found {error.found}", wanted=error.wanted or "JSON", at=error.at) from error


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def _multiply_out(document: dict[str, Any]) -> list[Fields]:
    return _add_object(document, (), "", [{}], is_inside_or=False)


def _add_object(
    document: dict[str, Any], at: Place, prefix: str, alternatives: list[Fields], *, is_inside_or: bool
) -> list[Fields]:
    """`alternatives`, which are changed, with what `document` asks for on top of each."""
    if not document:
        raise refusal("found an empty object", "at least one field", at)
    for key, value in document.items():
        place = (*at, key)
        if key == OR:
            alternatives = _add_or(value, place, prefix, alternatives)
            continue
        if is_inside_or and key in RESERVED_INSIDE_OR:
            raise refusal(f'found the field "{key}" inside $or', "another name: this one is kept for operators", place)
        alternatives = _add_member(prefix + key, value, place, alternatives, is_inside_or=is_inside_or)
    return alternatives


def _add_member(name: str, value: Any, at: Place, alternatives: list[Fields], *, is_inside_or: bool) -> list[Fields]:
    if isinstance(value, dict):
        return _add_object(value, at, name + ".", alternatives, is_inside_or=is_inside_or)
    if not isinstance(value, list):
        raise refusal(f"found {show(value)}", f"an array or an object, as [{show(value)}]", at)
    _check_steps(name, at)
    comparisons = read_list(value, at)
    for fields in alternatives:
        fields[name] = comparisons
    _check_fields(alternatives)
    return alternatives


def _add_or(options: Any, at: Place, prefix: str, alternatives: list[Fields]) -> list[Fields]:
    if not isinstance(options, list):
        raise refusal(f"found {show(options)}", "an array of objects for $or", at)
    if len(options) < 2:
        raise refusal(f"found {len(options)} alternatives", "at least 2 objects in $or", at)
    _check_product(len(alternatives) * sum(map(_count_alternatives, options)), at)
    multiplied: list[Fields] = []
    for index, option in enumerate(options):
        place = (*at, index)
        if not isinstance(option, dict):
            raise refusal(f"found {show(option)}", "an object: $or lists only objects", place)
        multiplied += _add_object(option, place, prefix, list(map(dict, alternatives)), is_inside_or=True)
        _check_fields(multiplied)
    return multiplied


def _count_alternatives(document: Any) -> int:
    """What the `$or` of an object multiply to. Where it is none, or one of them is wrong, that is refused later."""
    if not isinstance(document, dict):
        return 1
    factors = (
        sum(map(_count_alternatives, value)) if key == OR and isinstance(value, list) else _count_alternatives(value)
        for key, value in document.items()
    )
    return math.prod(factors)


def _check_product(count: int, at: Place) -> None:
    if count > limits.PATTERN_ALTERNATIVES_MAX:
        counted = count if count < _TOLD_MAX else f"more than {_TOLD_MAX}"
        found = f"found $or that multiply to {counted} alternatives"
        wanted = f"at most {limits.PATTERN_ALTERNATIVES_MAX}, or several rules"
        raise PatternTooCostly(found, wanted=wanted, at=strict_json.pointer(at))


_TOLD_MAX = 1_000_000
"""A product can have hundreds of digits, which tell nobody more."""


def _check_steps(name: str, at: Place) -> None:
    steps = name.count(".") + 1
    if steps > limits.PATTERN_PATH_STEPS_MAX:
        wanted = f"at most {limits.PATTERN_PATH_STEPS_MAX}"
        raise PatternTooCostly(f"found a path of {steps} steps", wanted=wanted, at=strict_json.pointer(at))


def _check_fields(alternatives: list[Fields]) -> None:
    """Asked while they are multiplied out, so that a short text cannot make them many before they are counted."""
    fields = sum(map(len, alternatives))
    if fields > limits.PATTERN_FIELDS_MAX:
        found = f"found {fields} fields in {len(alternatives)} alternatives, and perhaps more"
        raise PatternTooCostly(found, wanted=f"at most {limits.PATTERN_FIELDS_MAX}")


def _check_cost(alternatives: list[Fields]) -> None:
    lists = [comparisons for fields in alternatives for comparisons in fields.values()]
    costs = {id(comparisons): (sum(map(work_of, comparisons)), sum(map(_stars, comparisons))) for comparisons in lists}
    work, stars = (sum(column) for column in zip(*(costs[id(comparisons)] for comparisons in lists), strict=True))
    _check_total(work, "comparisons", limits.PATTERN_COMPARISONS_MAX, alternatives)
    _check_total(stars, "stars", limits.WILDCARDS_PER_PATTERN_MAX, alternatives)
    names = {name for fields in alternatives for name in fields}
    joins = sum((steps := name.count(".") + 1) * (steps + 1) // 2 for name in names)
    if joins > limits.PATTERN_PATH_JOINS_MAX:
        found = f"found {len(names)} paths whose steps may be joined in {joins} ways"
        raise PatternTooCostly(found, wanted=f"at most {limits.PATTERN_PATH_JOINS_MAX}: fewer, or shorter ones")


def _check_total(found: int, what: str, limit: int, alternatives: list[Fields]) -> None:
    if found > limit:
        raise PatternTooCostly(f"found {found} {what} in {len(alternatives)} alternatives", wanted=f"at most {limit}")


def _stars(comparison: Comparison) -> int:
    match comparison:
        case Wildcard():
            return len(comparison.parts) - 1
        case AnythingBut():
            return sum(map(_stars, comparison.excluded))
        case _:
            return 0


def _alternative(fields: Fields, steps: dict[str, Steps]) -> Alternative:
    return Alternative(tuple(_field(name, fields[name], steps[name]) for name in sorted(fields)))


def _field(name: str, comparisons: tuple[Comparison, ...], steps: Steps) -> Field:
    present = tuple([comparison for comparison in comparisons if type(comparison) is not Absent])
    may_be_absent = len(present) < len(comparisons)
    if _is_common(name) and len(present) == 1 and _is_short(present[0]):
        return _common_field(name, present, may_be_absent)
    return Field(name, steps, present, may_be_absent)


def _steps(name: str) -> Steps:
    return _common_steps(name) if _is_common(name) else steps_of(name)


def steps_of(name: str) -> Steps:
    """The ways along which a field of this name may be found."""
    keys = name.split(".")
    rests = [Steps()]
    for start in reversed(range(len(keys))):
        choices = ((".".join(keys[start : start + 1 + count]), rest) for count, rest in enumerate(reversed(rests)))
        rests.append(Steps(tuple(choices)))
    return rests[-1]


# What many patterns have in common. Rules by the hundred thousand name few fields, and many ask for the same of one: what is alike is
# one object in all of them, as long as the tables below remember it. They forget what was not asked for lately and take nothing large.


def _is_common(name: str) -> bool:
    return len(name) <= _COMMON_NAME_CHARACTERS and name.count(".") < _COMMON_NAME_STEPS


def _is_short(comparison: Comparison) -> bool:
    """A few strings. Not numbers: those that are equal may be spelled otherwise, and each pattern is told as it was written."""
    return (
        type(comparison) is Values
        and not comparison.numbers
        and len(comparison.strings) <= _COMMON_VALUES
        and all(len(text) <= _COMMON_NAME_CHARACTERS for text in comparison.strings)
    )


_COMMON_NAME_CHARACTERS = 128
_COMMON_NAME_STEPS = 8
_COMMON_VALUES = 4

_common_steps = lru_cache(4_096)(steps_of)


@lru_cache(16_384)
def _common_field(name: str, comparisons: tuple[Comparison, ...], may_be_absent: bool) -> Field:
    return Field(name, _common_steps(name), comparisons, may_be_absent)
