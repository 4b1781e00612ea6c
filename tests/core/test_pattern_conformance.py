"""Facts of the language, case by case: the reference engine's, and AWS's own."""

import json
import pathlib
import re
from typing import Any

import pytest

from eventyard.core import strict_json
from eventyard.core.errors import InvalidPattern, PatternTooCostly
from eventyard.core.pattern.evaluator import evaluate, why
from eventyard.core.pattern.language import parse

DATA = pathlib.Path(__file__).parent.parent / "data"


def lines(name: str) -> list[str]:
    return [line for line in (DATA / name).read_text(encoding="utf-8").split("\n") if line]


def raw_members(line: str) -> dict[str, str]:
    """The members of one line's object, each as the text that stands there: spelling is part of the case."""
    decoder = json.JSONDecoder()
    members, at = {}, 1
    while line[at] != "}":
        key, at = decoder.raw_decode(line, re.compile(r"[\s,]*").match(line, at).end())  # type: ignore[union-attr]
        start = re.compile(r"\s*:\s*").match(line, at).end()  # type: ignore[union-attr]
        _, at = decoder.raw_decode(line, start)
        members[key] = line[start:at]
    return members


def refused(text: str) -> bool:
    try:
        parse(text)
    except (InvalidPattern, PatternTooCostly):
        return True
    return False


def verdict(pattern: str, event: str) -> bool:
    document = strict_json.decode(event.encode(), any_number=True)
    parsed = parse(pattern)
    answer = evaluate(parsed, document)
    assert why(parsed, document).matches == answer
    return answer


def reference_differences() -> list[str]:
    wrong = []
    for line in lines("pattern_cases.jsonl"):
        case = raw_members(line)
        pattern = json.loads(case["pattern_text"]) if "pattern_text" in case else case["pattern"]
        right = refused(pattern) if "invalid" in case else verdict(pattern, case["event"]) == json.loads(case["match"])
        if not right:
            wrong.append(line)
    return wrong


def aws_cases() -> list[dict[str, Any]]:
    cases = []
    for line in lines("eventbridge_pattern_cases.jsonl"):
        raw, case = raw_members(line), json.loads(line)
        case["pattern_raw"] = case.get("pattern_raw", raw["pattern"])
        case["event_raw"] = case.get("event_raw", raw["event"])
        cases.append(case)
    return cases


def test_every_case_of_the_reference_engine_is_decided_as_it_decides() -> None:
    assert len(lines("pattern_cases.jsonl")) == 3020
    assert reference_differences() == []


@pytest.mark.parametrize("case", aws_cases(), ids=lambda case: case["name"])
def test_aws_decided_so(case: dict[str, Any]) -> None:
    if case.get("error_code") == "InvalidEventPatternException":
        assert refused(case["pattern_raw"])
    elif "invalid" not in case:
        assert verdict(case["pattern_raw"], case["event_raw"]) == case["match"]
