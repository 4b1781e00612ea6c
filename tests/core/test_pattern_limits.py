"""What a pattern may cost: at each limit it is taken, one past it it is refused with the figure, the limit and the place."""

import json
from typing import Any, NamedTuple

import pytest

from eventyard.core import limits
from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import parse


class Bound(NamedTuple):
    """A pattern at the limit and one past it, and what the refusal of that says."""

    taken: dict[str, Any]
    refused: dict[str, Any]
    found: str
    wanted: int
    at: str = ""


def spelled(pattern: dict[str, Any]) -> str:
    """Without white space, which counts."""
    return json.dumps(pattern, separators=(",", ":"))


def sized(count: int) -> dict[str, Any]:
    return {"a": ["x" * (count - len('{"a":[""]}'))]}


def times(*counts: int) -> dict[str, Any]:
    """As many alternatives as the counts multiply to, each of a field for each of them."""
    return {f"k{place}": {"$or": [{"f": [number]} for number in range(count)]} for place, count in enumerate(counts)}


def prefixes(count: int, first: int = 0) -> list[Any]:
    return [{"prefix": f"p{number}"} for number in range(first, first + count)]


def path(steps: int, last: str = "a") -> str:
    return ".".join(["a"] * (steps - 1) + [last])


def joined(ways: int) -> dict[str, Any]:
    """Paths, the longest first, whose steps may be joined in exactly so many ways."""
    pattern: dict[str, Any] = {}
    for steps in range(limits.PATTERN_PATH_STEPS_MAX, 0, -1):
        own = steps * (steps + 1) // 2
        pattern |= {path(steps, f"b{number}"): [1] for number in range(ways // own)}
        ways %= own
    return pattern


BOUNDS = {
    "bytes": Bound(
        sized(limits.PATTERN_BYTES_MAX), sized(limits.PATTERN_BYTES_MAX + 1), "found 65537 bytes", limits.PATTERN_BYTES_MAX
    ),
    "steps of a path": Bound(
        {path(64): [1]}, {path(65): [1]}, "found a path of 65 steps", limits.PATTERN_PATH_STEPS_MAX, "/PATH"
    ),
    "values of a field": Bound(
        {"a": list(range(1_000))},
        {"a": list(range(1_001))},
        "found 1001 values",
        limits.PATTERN_VALUES_PER_FIELD_MAX,
        "/a",
    ),
    "values inside anything-but": Bound(
        {"a": [{"anything-but": list(range(1_000))}]},
        {"a": [{"anything-but": list(range(1_001))}]},
        "found 1001 values",
        limits.PATTERN_VALUES_PER_FIELD_MAX,
        "/a/0/anything-but",
    ),
    "operands inside anything-but": Bound(
        {"a": [{"anything-but": {"suffix": [f"s{number}" for number in range(1_000)]}}]},
        {"a": [{"anything-but": {"suffix": [f"s{number}" for number in range(1_001)]}}]},
        "found 1001 values",
        limits.PATTERN_VALUES_PER_FIELD_MAX,
        "/a/0/anything-but/suffix",
    ),
    "alternatives": Bound(
        times(10, 10, 10),
        times(10, 10, 11),
        "found $or that multiply to 1100 alternatives",
        limits.PATTERN_ALTERNATIVES_MAX,
        "/k2/$or",
    ),
    "alternatives beyond counting": Bound(
        times(1_000),
        {"$or": [{"x": times(*[2] * 60)}, {"y": [1]}]},
        "found $or that multiply to more than 1000000 alternatives",
        limits.PATTERN_ALTERNATIVES_MAX,
        "/$or",
    ),
    "fields": Bound(
        times(1_000) | {f"f{number}": [1] for number in range(9)},
        times(1_000) | {f"f{number}": [1] for number in range(10)},
        "found 11000 fields in 1000 alternatives",
        limits.PATTERN_FIELDS_MAX,
    ),
    "comparisons": Bound(
        times(20) | {"p": prefixes(499)},
        times(20) | {"p": prefixes(500)},
        "found 10020 comparisons in 20 alternatives",
        limits.PATTERN_COMPARISONS_MAX,
    ),
    "comparisons inside anything-but": Bound(
        times(10) | {"p": [{"anything-but": {"prefix": [f"p{number}" for number in range(999)]}}]},
        times(10) | {"p": [{"anything-but": {"prefix": [f"p{number}" for number in range(999)]}}, {"suffix": "x"}]},
        "found 10010 comparisons in 10 alternatives",
        limits.PATTERN_COMPARISONS_MAX,
    ),
    "stars of a wildcard": Bound(
        {"a": [{"wildcard": "*a*b*c*d*"}]},
        {"a": [{"wildcard": "*a*b*c*d*e*"}]},
        'found 6 stars in "*a*b*c*d*e*"',
        limits.WILDCARDS_PER_VALUE_MAX,
        "/a/0/wildcard",
    ),
    "stars of a wildcard inside anything-but": Bound(
        {"a": [{"anything-but": {"wildcard": ["*a*b*c*d*"]}}]},
        {"a": [{"anything-but": {"wildcard": ["a", "*:*:*:*:*:*"]}}]},
        "found 6 stars",
        limits.WILDCARDS_PER_VALUE_MAX,
        "/a/0/anything-but/wildcard/1",
    ),
    "stars": Bound(
        times(10) | {"w": [{"wildcard": f"*a*b*c*d*{number}"} for number in range(20)]},
        times(10) | {"w": [{"wildcard": f"*a*b*c*d*{number}"} for number in range(20)] + [{"wildcard": "x*"}]},
        "found 1010 stars in 10 alternatives",
        limits.WILDCARDS_PER_PATTERN_MAX,
    ),
    "ways to join steps": Bound(
        joined(limits.PATTERN_PATH_JOINS_MAX),
        joined(limits.PATTERN_PATH_JOINS_MAX + 1),
        "found 11 paths whose steps may be joined in 20001 ways",
        limits.PATTERN_PATH_JOINS_MAX,
    ),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_pattern_at_a_limit_is_taken(name: str) -> None:
    assert parse(spelled(BOUNDS[name].taken)).alternatives


@pytest.mark.parametrize("name", BOUNDS)
def test_a_pattern_past_a_limit_is_refused_with_the_figure_the_limit_and_the_place(name: str) -> None:
    bound = BOUNDS[name]
    with pytest.raises(PatternTooCostly) as caught:
        parse(spelled(bound.refused))
    assert caught.value.found.startswith(bound.found)
    assert f"at most {bound.wanted}" in caught.value.wanted
    assert caught.value.at == bound.at.replace("PATH", path(65))


@pytest.mark.parametrize("name", BOUNDS)
def test_a_pattern_at_a_limit_is_indexed_met_and_removed(name: str) -> None:
    pattern = parse(spelled(BOUNDS[name].taken))
    index = Index().with_rule(1, pattern).with_rule(2, parse(spelled(BOUNDS[name].taken)))
    event = {"a": {"a": "x"}, "p": "p5", "f": 1}
    assert index.match(json.dumps(event).encode()) == [key for key in (1, 2) if evaluate(pattern, event)]
    assert len(index.without(1).without(2)) == 0


def test_a_path_at_the_limit_is_compared_hashed_and_shown_at_once() -> None:
    """Its steps may be joined in two to the power of 63 ways."""
    first, second = (parse(spelled({path(64): [1]})) for _ in range(2))
    assert first == second
    assert len({hash(first.alternatives[0].fields[0].steps), hash(second.alternatives[0].fields[0].steps)}) == 1
    assert len(repr(first)) < 1_000


def test_many_fields_for_many_alternatives_are_refused_before_they_are_made() -> None:
    """64 KB of text that ask for five million fields."""
    with pytest.raises(PatternTooCostly, match="11000 fields in 1000 alternatives"):
        parse(spelled(times(1_000) | {f"{number}": [1] for number in range(4_000)}))
