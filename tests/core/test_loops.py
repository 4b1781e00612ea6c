"""What is said of rules that may feed themselves."""

from typing import Any

import pytest

from eventyard.core import loops
from tests.support.builders import put_rule

REPLIES: dict[str, Any] = {"target": {"http": {"url": "http://127.0.0.1:9/", "reply": True}}}
WAYS = {"a": [("r", "b")], "b": [("r", "c"), ("s", "a")], "c": [("r", "a")], "d": []}


def warned(ways: Any = WAYS, bus: str = "a", **changes: Any) -> list[str]:
    put = put_rule("r", **changes)
    return loops.warnings(bus, put.rule, put.pattern, ways, hops_max=16)


@pytest.mark.parametrize(
    ("pattern", "is_warned"),
    [
        ({"type": ["order.paid"]}, False),
        ({"source": [{"prefix": "/shop"}]}, False),
        ({"data": {"total": [{"numeric": [">", 1]}]}}, True),
        ({"$or": [{"type": ["t"]}, {"subject": ["s"]}]}, True),
        ({"$or": [{"type": ["t"]}, {"source": ["s"]}]}, False),
    ],
)
def test_a_rule_that_takes_replies_and_asks_for_nobody_is_warned_of(pattern: Any, is_warned: bool) -> None:
    found = warned(pattern=pattern, **REPLIES)
    assert len(found) == is_warned
    assert all("ends after 16 hops" in sentence for sentence in found)


def test_without_replies_nothing_comes_back() -> None:
    assert warned(pattern={"subject": ["s"]}) == []


@pytest.mark.parametrize(
    ("bus", "target", "circle"),
    [
        ("a", "b", "a -> b -> a"),
        ("a", "c", "a -> c -> a"),
        ("b", "c", "b -> c -> a -> b"),
        ("a", "d", ""),
        ("d", "a", ""),
        ("d", "c", ""),
    ],
)
def test_a_circle_of_buses_is_named_by_its_shortest_way(bus: str, target: str, circle: str) -> None:
    found = warned(bus=bus, target={"bus": {"name": target}})
    assert [sentence.partition(": ")[2].partition(".")[0] for sentence in found] == ([circle] if circle else [])


def test_a_bus_that_is_not_there_is_named() -> None:
    [sentence] = warned(target={"bus": {"name": "later"}})
    assert sentence.startswith("there is no bus later")
