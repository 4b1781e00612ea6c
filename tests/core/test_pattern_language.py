"""What a pattern may say, and how each wrong one is refused: what was found, what was wanted, where."""

import json

import pytest

from eventyard.core import limits
from eventyard.core.errors import InvalidPattern, PatternTooCostly
from eventyard.core.pattern.language import parse, parse_accepted


def refusal(pattern: str) -> InvalidPattern:
    with pytest.raises(InvalidPattern) as caught:
        parse(pattern)
    return caught.value


def test_a_pattern_without_or_has_one_alternative() -> None:
    pattern = parse('{"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 20]}]}}')
    assert [[field.name for field in each.fields] for each in pattern.alternatives] == [["data.total", "type"]]


def test_a_pattern_may_be_text_or_bytes() -> None:
    assert parse('{"type": ["é"]}') == parse('{"type": ["é"]}'.encode())


def test_or_is_multiplied_out() -> None:
    pattern = parse('{"$or": [{"a": [1]}, {"b": [2]}], "c": {"$or": [{"d": [3]}, {"e": [4]}]}}')
    names = [[field.name for field in each.fields] for each in pattern.alternatives]
    assert names == [["a", "c.d"], ["b", "c.d"], ["a", "c.e"], ["b", "c.e"]]


def test_a_key_that_stands_twice_counts_as_it_stands_last() -> None:
    assert parse('{"a": [1], "a": [2]}') == parse('{"a": [2]}')


def test_a_text_with_equal_keys_that_is_wrong_elsewhere_is_refused() -> None:
    refusal('{"a": [1], "a": [NaN]}')
    refusal('{"a": [1], "a": ["\\ud800"]}')


@pytest.mark.parametrize(
    ("pattern", "found", "wanted", "at"),
    [
        ('["a"]', "found an array", "a JSON object", ""),
        ('{"a": [1}', "'}'", "a comma or ]", "byte 8"),
        ('{"a": [NaN]}', "'N'", "a JSON value", "byte 7"),
        ("{}", "empty object", "at least one field", ""),
        ('{"a": {}}', "empty object", "at least one field", "/a"),
        ('{"a": []}', "empty array", "at least one value", "/a"),
        ('{"a": 5}', "found 5", "an array or an object", "/a"),
        ('{"a": {"b/c": "x"}}', 'found "x"', 'as ["x"]', "/a/b~1c"),
        ('{"a": ["x", ["y"]]}', "found an array", "a string, a number", "/a/1"),
        ('{"a": [{}]}', "empty object", "exactly one operator", "/a/0"),
        ('{"a": [{"prefix": "a", "suffix": "b"}]}', '"prefix", "suffix"', "exactly one operator", "/a/0"),
        ('{"a": [{"prefix": 5}]}', "found 5", "a string for prefix", "/a/0/prefix"),
        ('{"a": [{"prefix": {"suffix": "a"}}]}', '"suffix" inside prefix', "equals-ignore-case", "/a/0/prefix/suffix"),
        ('{"a": [{"prefix": {}}]}', "empty object", "equals-ignore-case", "/a/0/prefix"),
        ('{"a": [{"suffix": null}]}', "found null", "a string for suffix", "/a/0/suffix"),
        ('{"a": [{"suffix": {"equals-ignore-case": 1}}]}', "found 1", "a string", "/a/0/suffix/equals-ignore-case"),
        ('{"a": [{"equals-ignore-case": ["a"]}]}', "found an array", "a string", "/a/0/equals-ignore-case"),
        ('{"a": [{"exactly": 1}]}', "found 1", "a string for exactly", "/a/0/exactly"),
        ('{"a": [{"wildcard": 5}]}', "found 5", "a string for wildcard", "/a/0/wildcard"),
        ('{"a": [{"wildcard": "ab**c"}]}', "2 stars at character 2", "one star", "/a/0/wildcard"),
        (r'{"a": [{"wildcard": "a\\n"}]}', "backslash at character 1", r"\* or \\", "/a/0/wildcard"),
        ('{"a": [{"exists": 1}]}', "found 1", "true or false", "/a/0/exists"),
        ('{"a": [{"numeric": 5}]}', "found 5", "an array for numeric", "/a/0/numeric"),
        ('{"a": [{"numeric": [">"]}]}', "1 elements", "a sign and a number", "/a/0/numeric"),
        ('{"a": [{"numeric": ["==", 5]}]}', 'found "=="', "one of = < <= > >=", "/a/0/numeric/0"),
        ('{"a": [{"numeric": [">", "5"]}]}', 'found "5"', "a number after >", "/a/0/numeric/1"),
        ('{"a": [{"numeric": [">", true]}]}', "found true", "a number after >", "/a/0/numeric/1"),
        ('{"a": [{"numeric": [">", 1e400]}]}', "found 1E+400", "15 digits", "/a/0/numeric/1"),
        ('{"a": [{"numeric": ["<", 1, ">", 5]}]}', "< at the beginning", "> or >=", "/a/0/numeric/0"),
        ('{"a": [{"numeric": [">", 1, "=", 5]}]}', "= at the end", "< or <=", "/a/0/numeric/2"),
        ('{"a": [{"numeric": [">", 5, "<", 1]}]}', "from 5 to 1", "lower bound below", "/a/0/numeric"),
        ('{"a": [{"cidr": 5}]}', "found 5", "a string for cidr", "/a/0/cidr"),
        ('{"a": [{"cidr": "10.0.0.0"}]}', 'found "10.0.0.0"', "a slash", "/a/0/cidr"),
        ('{"a": [{"cidr": "fe80::1%eth0/64"}]}', "found", "an IP address", "/a/0/cidr"),
        ('{"a": [{"cidr": "10.0.0.0/32"}]}', 'found "32" bits', "from 0 to 31", "/a/0/cidr"),
        ('{"a": [{"cidr": "2001:db8::/128"}]}', 'found "128" bits', "from 0 to 127", "/a/0/cidr"),
        ('{"a": [{"anything-but": null}]}', "found null", "a string, a number", "/a/0/anything-but"),
        ('{"a": [{"anything-but": []}]}', "empty array", "at least one", "/a/0/anything-but"),
        ('{"a": [{"anything-but": ["a", 1]}]}', "strings and numbers", "only strings", "/a/0/anything-but"),
        ('{"a": [{"anything-but": ["a", null]}]}', "found null", "a string, a number", "/a/0/anything-but/1"),
        ('{"a": [{"anything-but": {}}]}', "empty object", "one operator", "/a/0/anything-but"),
        ('{"a": [{"anything-but": {"cidr": "x"}}]}', '"cidr" inside', "one of prefix", "/a/0/anything-but/cidr"),
        ('{"a": [{"anything-but": {"prefix": ""}}]}', "empty string", "one or more", "/a/0/anything-but/prefix"),
        ('{"a": [{"anything-but": {"suffix": ["a", 1]}}]}', "found 1", "a string", "/a/0/anything-but/suffix/1"),
        ('{"a": [{"anything-but": {"wildcard": []}}]}', "empty array", "one string", "/a/0/anything-but/wildcard"),
        ('{"$or": {"a": [1]}}', "found an object", "an array of objects", "/$or"),
        ('{"$or": [{"a": [1]}]}', "1 alternatives", "at least 2", "/$or"),
        ('{"d": {"$or": [{"a": [1]}, 5]}}', "found 5", "an object", "/d/$or/1"),
        ('{"$or": [{"a": [1]}, {}]}', "empty object", "at least one field", "/$or/1"),
        ('{"$or": [{"a": [1]}, {"x": {"prefix": ["b"]}}]}', '"prefix" inside $or', "another", "/$or/1/x/prefix"),
    ],
)
def test_a_refusal_names_what_was_found_and_wanted_and_where(pattern: str, found: str, wanted: str, at: str) -> None:
    error = refusal(pattern)
    assert found in error.found
    assert wanted in error.wanted
    assert error.at == at


@pytest.mark.parametrize(
    ("written", "near"),
    [("prefx", "prefix"), ("PREFIX", "prefix"), ("anything_but", "anything-but"), ("wild-card", "wildcard")],
)
def test_an_unknown_operator_is_answered_with_the_nearest_known_one(written: str, near: str) -> None:
    error = refusal(json.dumps({"a": [{written: "x"}]}))
    assert error.found == f'found the unknown operator "{written}"'
    assert f'did you mean "{near}"?' in error.wanted
    assert error.at == f"/a/0/{written}"


def test_an_operator_like_no_other_is_answered_with_all() -> None:
    assert refusal('{"a": [{"zzz": 1}]}').wanted.startswith("one of prefix, suffix")


def test_an_unknown_operator_inside_anything_but_is_answered_too() -> None:
    assert 'did you mean "suffix"?' in refusal('{"a": [{"anything-but": {"sufix": "x"}}]}').wanted


def test_what_many_patterns_have_in_common_is_one_object() -> None:
    one = parse('{"type": ["order.paid"], "data": {"customer": {"id": ["c-1"]}}}').alternatives[0].fields
    other = parse('{"type": ["order.paid"], "data": {"customer": {"id": ["c-2"]}}}').alternatives[0].fields
    assert one[1] is other[1]
    assert one[0].steps is other[0].steps


def test_numbers_that_are_equal_stay_as_each_pattern_spells_them() -> None:
    first = parse('{"a": [1.0], "b": [{"numeric": ["=", 1.0]}]}')
    second = parse('{"a": [1], "b": [{"numeric": ["=", 1]}]}')
    assert first == second
    assert repr(first) != repr(second)


def test_what_was_accepted_before_is_read_again_whatever_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that takes less than the one before it must still open its stores."""
    text = b'{"a": [{"wildcard": "*x*"}]}'
    accepted = parse(text)
    monkeypatch.setattr(limits, "WILDCARDS_PER_PATTERN_MAX", 1)
    with pytest.raises(PatternTooCostly):
        parse(text)
    assert parse_accepted(text) == accepted
