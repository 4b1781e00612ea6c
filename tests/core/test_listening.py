"""Who listens to what: told as one pattern after the other tells it, however many ask for types alone."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventyard.core.listening import Listening, types_alone
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import Pattern, parse

patterns = st.sampled_from(
    [
        {"type": ["a"]},
        {"type": ["a", "b"]},
        {"type": ["b", {"prefix": "c"}]},
        {"type": ["b"], "subject": ["s"]},
        {"subject": ["s"]},
        {"$or": [{"type": ["a"]}, {"type": ["c"]}]},
        {"$or": [{"type": ["a"]}, {"subject": ["t"]}]},
        {"type": ["a", None]},
        {"data": {"type": ["a"]}},
    ]
)
edits = st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), patterns)), max_size=12)
events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["a", "b", "c", "cd"]),
        "subject": st.sampled_from(["s", "t"]),
        "data": st.sampled_from([1, {"type": "a"}]),
    }
)


@given(edits, st.lists(events, min_size=1, max_size=5), st.booleans())
def test_whom_an_event_concerns_is_what_each_pattern_says(edits: list[Any], some: list[Any], is_type_known: bool) -> None:
    listening, there = Listening(), dict[int, Pattern]()
    for ear, pattern in edits:
        if pattern is None:
            listening = listening.without(ear)
            there.pop(ear, None)
        else:
            there[ear] = parse(json.dumps(pattern).encode())
            listening = listening.with_rule(ear, there[ear])
    assert (len(listening), dict(listening.items())) == (len(there), there)
    for event in some:
        told = listening.match(json.dumps(event).encode(), event["type"] if is_type_known else None)
        assert told == sorted(ear for ear, pattern in there.items() if evaluate(pattern, event))
    for ear in there:
        listening = listening.without(ear)
    assert (dict(listening.by_type), len(listening.index)) == ({}, 0)


def test_types_alone_are_told_from_what_asks_for_more() -> None:
    assert types_alone(parse(b'{"type": ["a", "b"]}')) == frozenset("ab")
    assert types_alone(parse(b'{"$or": [{"type": ["a"]}, {"type": ["b"]}]}')) == frozenset("ab")
    for text in (
        b'{"type": [{"prefix": "a"}]}',
        b'{"type": ["a"], "subject": ["b"]}',
        b'{"subject": ["a"]}',
        b'{"type": ["a", 1]}',
    ):
        assert types_alone(parse(text)) is None
