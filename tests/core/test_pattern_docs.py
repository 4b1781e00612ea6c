"""The examples of docs/reference/patterns.md are true, and its limits are the real ones."""

import pathlib
import re

import pytest

from eventyard.core import limits, strict_json
from eventyard.core.errors import InvalidPattern, PatternTooCostly
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import parse

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "reference" / "patterns.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```json (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def examples(kind: str) -> list[tuple[str, str]]:
    """Each event of that kind with the pattern above it."""
    found, pattern = [], ""
    for mark, body in BLOCKS:
        pattern = body if mark == "pattern" else pattern
        found += [(pattern, line) for line in body.splitlines() if mark == kind]
    return found


def is_match(pattern: str, event: str) -> bool:
    return evaluate(parse(pattern), strict_json.decode(event.encode(), any_number=True))


def test_every_block_has_a_known_mark_and_there_are_many() -> None:
    assert {mark for mark, _ in BLOCKS} == {"pattern", "match", "no-match", "invalid"}
    assert PAGE.count("```json") == len(BLOCKS) > 40


@pytest.mark.parametrize(("pattern", "event"), examples("match"))
def test_an_event_marked_match_matches(pattern: str, event: str) -> None:
    assert is_match(pattern, event)


@pytest.mark.parametrize(("pattern", "event"), examples("no-match"))
def test_an_event_marked_no_match_does_not(pattern: str, event: str) -> None:
    assert not is_match(pattern, event)


@pytest.mark.parametrize("pattern", [line for _, line in examples("invalid")])
def test_a_pattern_marked_invalid_is_refused(pattern: str) -> None:
    with pytest.raises((InvalidPattern, PatternTooCostly)):
        parse(pattern)


def test_the_table_of_limits_says_the_limits() -> None:
    stated = [int(number.replace(",", "")) for number in re.findall(r"^\| .* \| ([\d,]+) \|", PAGE, re.MULTILINE)]
    assert stated == [
        limits.PATTERN_BYTES_MAX,
        limits.PATTERN_PATH_STEPS_MAX,
        limits.PATTERN_PATH_JOINS_MAX,
        limits.PATTERN_VALUES_PER_FIELD_MAX,
        limits.PATTERN_ALTERNATIVES_MAX,
        limits.PATTERN_FIELDS_MAX,
        limits.PATTERN_COMPARISONS_MAX,
        limits.WILDCARDS_PER_VALUE_MAX,
        limits.WILDCARDS_PER_PATTERN_MAX,
    ]
    assert f"{limits.ARRAY_CHOICES_MAX:,}" in PAGE
    assert f"{limits.ARRAY_PLACES_MAX:,}" in PAGE
