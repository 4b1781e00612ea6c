"""Stored events judged by their bytes: always as the evaluator judges the whole event."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard.core import strict_json
from eventyard.core.errors import InvalidJSON, Refused
from eventyard.core.event import from_structured
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.index import Index, judge
from eventyard.core.pattern.language import Pattern, parse
from eventyard.core.pattern.projection import PROJECTED_FIELDS_MAX
from tests.core.test_pattern_conformance import lines, raw_members
from tests.core.test_pattern_laws import patterns, scalars

ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid"}

members = st.dictionaries(
    st.sampled_from(["x", "y"]), st.one_of(st.booleans(), st.integers(-3, 3), st.text("abA*", max_size=3))
)
data = st.recursive(scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("xy."), inner)))


def stored(**event: Any) -> bytes:
    """As the log would hold it: only what strict ingest takes."""
    return from_structured(json.dumps(ATTRIBUTES | event).encode()).json


def both(pattern: Pattern, body: bytes) -> tuple[bool, bool]:
    return judge(pattern)(body), evaluate(pattern, strict_json.decode(body))


@settings(max_examples=100)
@given(patterns, members, data)
def test_the_verdict_is_the_evaluators(pattern: Pattern, attributes: dict[str, Any], value: Any) -> None:
    by_bytes, whole = both(pattern, stored(**attributes, data=value))
    assert by_bytes == whole


def test_every_case_of_the_language_is_judged_in_the_data_of_an_event() -> None:
    judged = 0
    for line in lines("pattern_cases.jsonl"):
        case = raw_members(line)
        text = json.loads(case["pattern_text"]) if "pattern_text" in case else case["pattern"]
        try:
            pattern = parse(f'{{"data": {text}}}')
            event = json.dumps(ATTRIBUTES)[:-1] + f', "data": {case["event"]}}}'
            body = from_structured(event.encode()).json
        except (Refused, InvalidJSON):
            continue  # No rule or no event of ours, as 1e400.
        by_bytes, whole = both(pattern, body)
        assert by_bytes == whole, line
        judged += 1
    assert judged > 1_000


@pytest.mark.parametrize("number", ["1.0000000000000000001", "1.0000000000000000000", "1", "true", '{"x": "a"}', "[1]"])
def test_a_number_is_compared_by_its_text_where_another_rule_looks_for_an_object(number: str) -> None:
    index = Index().with_rule(1, parse('{"n": [{"numeric": ["=", 1]}]}')).with_rule(2, parse('{"n": {"x": ["a"]}}'))
    body = f'{{"n": {number}}}'.encode()
    assert index.match(body) == index.match_document(strict_json.decode(body))


def test_a_number_that_no_double_holds_is_compared_by_its_text() -> None:
    body = stored().replace(b"{", b'{"data": {"n": 12345678901234567890.25}, ', 1)
    assert judge(parse('{"data": {"n": [12345678901234567890.25]}}'))(body)
    assert not judge(parse('{"data": {"n": [12345678901234567890.26]}}'))(body)


def test_an_attribute_that_is_null_is_there_and_one_that_is_not_is_absent() -> None:
    absent = parse('{"subject": [{"exists": false}]}')
    assert both(absent, stored()) == (True, True)
    assert len(set(both(absent, stored(subject=None)))) == 1


def test_several_patterns_must_all_match() -> None:
    paid, shop = parse('{"type": ["order.paid"]}'), parse('{"source": ["/shop"]}')
    assert judge(paid, shop)(stored())
    assert not judge(paid, shop)(stored(source="/other"))
    assert not judge(paid, shop)(stored(type="order.sent"))


def test_a_pattern_may_ask_for_more_members_than_are_singled_out() -> None:
    for count in (PROJECTED_FIELDS_MAX, PROJECTED_FIELDS_MAX + 1):
        names = [f"a{number}" for number in range(count)]
        pattern = parse(json.dumps({name: [{"exists": False}, "x"] for name in names}))
        assert judge(pattern)(stored(a1="x"))
        assert not judge(pattern)(stored(a1="y"))
