"""Order keys: which events share a lane."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import strict_json
from eventyard.core.errors import InvalidRule
from eventyard.core.order_key import key_of, lane_of, lane_of_key
from eventyard.core.rule import DeliveryPolicy, parse
from tests.support.builders import a_rule_document

BY_ORDER = DeliveryPolicy(order="key", key="data.order")


def event_with(data: str, **attributes: Any) -> bytes:
    """The text of an event whose `data` is spelt like this."""
    return json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"} | attributes)[:-1].encode() + (
        f',"data":{data}}}'.encode()
    )


def lane(spelling: str) -> int:
    return lane_of(BY_ORDER, event_with(f'{{"order":{spelling}}}'))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1", "10e-1"),
        ("1000", "1e3"),
        ("0", "-0.0"),
        ("0.5", "0.50"),
        ("0.1234567890123456789", "1.2345678901234567890e-1"),
        ("12345678901234567", "12345678901234567.0"),
        ("1e300", "1" + "0" * 300),
        ("[1, 2]", "[1.0,2.00]"),
        ('{"a": 1, "b": [2]}', '{"b":[2.0],"a":1}'),
        ('"caf\\u00e9"', '"café"'),
    ],
)
def test_two_spellings_of_a_key_are_one_key(one: str, other: str) -> None:
    assert lane(one) == lane(other) != 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", '"1"'),
        ("1", "true"),
        ("0", "false"),
        ('""', "0"),
        ("0.12345678901234567", "0.12345678901234568"),
        ("12345678901234567", "12345678901234568"),
        ("[1]", "1"),
        ("[1]", '["1"]'),
        ("[]", "{}"),
        ('{"a": 1}', '{"a": true}'),
        ('"[1]"', "[1]"),
    ],
)
def test_other_keys_are_other_keys(one: str, other: str) -> None:
    assert lane(one) != lane(other)
    assert 0 not in (lane(one), lane(other))


@pytest.mark.parametrize(
    "data",
    ["{}", '{"order":null}', '"order"', "7", "true", "null", "[]", '[{"order":"a"}]', '{"Order":"a"}', '{"data":{"order":1}}'],
)
def test_an_event_without_the_key_is_in_no_order(data: str) -> None:
    assert lane_of(BY_ORDER, event_with(data)) == 0


@pytest.mark.parametrize("data", ['{"a":7}', '{"a":[{"b":"x"}]}', '{"a":"b"}', '{"a":null}', '{"a":1.5}'])
def test_a_path_leads_through_objects_only(data: str) -> None:
    assert lane_of(DeliveryPolicy(order="key", key="data.a.b"), event_with(data)) == 0


def test_an_event_whose_data_is_bytes_or_none_has_no_key_in_its_data() -> None:
    for event in (b'{"id":"1","data_base64":"eyJvcmRlciI6MX0="}', b'{"id":"1"}'):
        assert lane_of(BY_ORDER, event) == 0


@pytest.mark.parametrize(
    ("attributes", "key"),
    [
        ({"partitionkey": "p", "subject": "s"}, "p"),
        ({"partitionkey": 7, "subject": "s"}, 7),
        ({"partitionkey": False}, False),
        ({"partitionkey": 0, "subject": "s"}, 0),
        ({"subject": "s"}, "s"),
        ({}, None),
    ],
)
def test_the_key_is_the_partition_key_or_else_the_subject(attributes: dict[str, Any], key: Any) -> None:
    policy = DeliveryPolicy(order="key")
    event = event_with("{}", **attributes)
    assert (key_of(policy, event), lane_of(policy, event)) == (key, lane_of_key(key))


def test_a_rule_without_order_has_no_lanes() -> None:
    assert lane_of(DeliveryPolicy(), event_with('{"order":1}', subject="s")) == 0


def test_a_key_may_be_an_attribute() -> None:
    event = event_with('{"order":1}', subject="s")
    for path, key in (("subject", "s"), ("type", "t"), ("data", {"order": 1})):
        assert key_of(DeliveryPolicy(order="key", key=path), event) == key


@pytest.mark.parametrize("path", [".", "a.", ".a", "a..b", 'a"b', "a\\b", "a\x00b", "a\nb"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(InvalidRule, match="at /delivery/key"):
        parse(a_rule_document(delivery={"order": "key", "key": path}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(json_values)
def test_any_json_is_a_key_and_the_same_one_however_it_is_read(value: Any) -> None:
    spelt = json.dumps(value)
    assert lane(spelt) == lane_of_key(strict_json.decode(spelt.encode()))
    assert (lane(spelt) == 0) == (value is None)
    assert 0 <= lane(spelt) < 2**63


@given(json_values, json_values)
def test_two_keys_share_a_lane_exactly_if_they_are_equal(one: Any, other: Any) -> None:
    assert (lane_of_key(one) == lane_of_key(other)) == same(one, other)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: a number is no boolean."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return bool(one == other)
