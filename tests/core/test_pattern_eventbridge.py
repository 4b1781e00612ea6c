"""Files written for EventBridge mean the same in Eventyard's names."""

import json
import pathlib

import pytest

from eventyard.core import strict_json
from eventyard.core.errors import InvalidPattern, InvalidRequest, PatternTooCostly
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.eventbridge import from_eventbridge
from eventyard.core.pattern.language import parse

CASES = pathlib.Path(__file__).parent.parent / "data" / "eventbridge_pattern_cases.jsonl"


def test_the_names_at_the_top_are_exchanged() -> None:
    event = {"source": "s", "detail-type": "t", "detail": {"detail": 1}, "detail.state": 2}
    assert from_eventbridge(event) == {"source": "s", "type": "t", "data": {"detail": 1}, "data.state": 2}


def test_the_names_inside_or_are_exchanged_at_every_depth_of_or() -> None:
    pattern = {"$or": [{"detail": {"a": [1]}}, {"$or": [{"detail-type": ["t"]}, {"source": ["s"]}]}]}
    assert from_eventbridge(pattern) == {"$or": [{"data": {"a": [1]}}, {"$or": [{"type": ["t"]}, {"source": ["s"]}]}]}


def test_what_is_wrong_with_a_pattern_stays_for_the_parser() -> None:
    assert from_eventbridge({"$or": "x"}) == {"$or": "x"}
    assert from_eventbridge({"$or": [1]}) == {"$or": [1]}


def test_both_names_of_one_field_are_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_eventbridge({"detail": {}, "data": {}})
    assert caught.value.at == "/detail"


def test_aws_decides_the_same_through_the_names() -> None:
    different = []
    for line in CASES.read_text(encoding="utf-8").split("\n"):
        case = json.loads(line) if line else {}
        if not isinstance(case.get("pattern"), dict) or case.get("error_code") == "ValidationException":
            continue
        try:
            pattern = parse(json.dumps(from_eventbridge(case["pattern"])))
        except (InvalidPattern, PatternTooCostly):
            same = bool(case.get("invalid"))
        else:
            event = strict_json.decode(json.dumps(case["event"]).encode(), any_number=True)
            same = evaluate(pattern, from_eventbridge(event)) == case.get("match")
        different += [] if same else [case["name"]]
    assert different == []
