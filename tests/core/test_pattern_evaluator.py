"""One pattern, one document: the story of the language, and the reasons it gives."""

import json

import pytest

from eventyard.core import limits, strict_json
from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.evaluator import evaluate, why
from eventyard.core.pattern.language import parse


def matches(pattern: str, event: str) -> bool:
    return evaluate(parse(pattern), strict_json.decode(event.encode(), any_number=True))


def reason(pattern: str, event: str) -> str:
    return why(parse(pattern), strict_json.decode(event.encode(), any_number=True)).sentence


def test_a_boolean_is_no_number() -> None:
    assert not matches('{"a": [1]}', '{"a": true}')
    assert not matches('{"a": [true]}', '{"a": 1}')
    assert not matches('{"a": [{"numeric": [">=", 0]}]}', '{"a": true}')


def test_a_number_is_no_string() -> None:
    assert not matches('{"a": [5]}', '{"a": "5"}')
    assert not matches('{"a": [{"prefix": "5"}]}', '{"a": 5}')


@pytest.mark.parametrize("spelling", ["300", "300.0", "3e2", "3.00E+2"])
def test_numbers_are_equal_by_value_however_spelled(spelling: str) -> None:
    assert matches('{"a": [300]}', f'{{"a": {spelling}}}')
    assert matches(f'{{"a": [{spelling}]}}', '{"a": 300}')


def test_numbers_that_a_double_would_confuse_are_told_apart() -> None:
    assert matches('{"a": [9007199254740993]}', '{"a": 9007199254740993}')
    assert not matches('{"a": [9007199254740993]}', '{"a": 9007199254740992}')
    assert matches('{"a": [0.12345678901234567891]}', '{"a": 0.12345678901234567891}')
    assert not matches('{"a": [0.12345678901234567891]}', '{"a": 0.12345678901234567892}')
    assert matches('{"a": [1e400]}', '{"a": 10e399}')
    assert not matches('{"a": [1e400]}', '{"a": 1e401}')


def test_a_tenth_is_a_tenth() -> None:
    assert not matches('{"a": [{"numeric": [">", 0.1]}]}', '{"a": 0.1}')
    assert matches('{"a": [{"numeric": [">=", 1e23]}]}', '{"a": 100000000000000000000000}')


def test_a_range_takes_no_number_that_a_double_does_not_hold() -> None:
    assert not matches('{"a": [{"numeric": [">", 5]}]}', '{"a": 9007199254740993}')
    assert not matches('{"a": [{"numeric": [">", 5]}]}', '{"a": 1e400}')
    assert matches('{"a": [{"numeric": [">", 5]}]}', '{"a": 1e308}')


def test_an_ipv4_range_takes_no_ipv6_address() -> None:
    assert not matches('{"a": [{"cidr": "32.1.13.0/24"}]}', '{"a": "2001:db8::1"}')
    assert not matches('{"a": [{"cidr": "0.0.0.0/0"}]}', '{"a": "::ffff:1.2.3.4"}')
    assert not matches('{"a": [{"cidr": "::/0"}]}', '{"a": "1.2.3.4"}')


def test_a_range_of_addresses_begins_at_the_address_written() -> None:
    assert matches('{"a": [{"cidr": "10.0.0.5/24"}]}', '{"a": "10.0.0.255"}')
    assert not matches('{"a": [{"cidr": "10.0.0.5/24"}]}', '{"a": "10.0.0.4"}')


def test_a_quote_is_just_a_character() -> None:
    assert not matches('{"a": [{"prefix": "ab\\""}]}', '{"a": "ab"}')
    assert not matches('{"a": [{"suffix": "\\"ab"}]}', '{"a": "ab"}')


def test_letters_of_any_case_follow_the_pattern() -> None:
    assert matches('{"a": [{"equals-ignore-case": "straße"}]}', '{"a": "STRASSE"}')
    assert not matches('{"a": [{"equals-ignore-case": "strasse"}]}', '{"a": "straße"}')
    assert matches('{"a": [{"suffix": {"equals-ignore-case": "ße"}}]}', '{"a": "STRASSE"}')
    assert matches('{"a": [{"equals-ignore-case": "a🚗"}]}', '{"a": "A🚗"}')


def test_dots_in_names_are_steps() -> None:
    assert matches('{"a.b": [1]}', '{"a": {"b": 1}}')
    assert matches('{"a": {"b": [1]}}', '{"a.b": 1}')


def test_nothing_stands_at_an_object_or_an_empty_array() -> None:
    for event in ('{"a": {"b": 1}}', '{"a": []}', '{"a": {}}', "{}"):
        assert matches('{"a": [{"exists": false}]}', event)
        assert not matches('{"a": [{"exists": true}]}', event)


def test_null_stands_there() -> None:
    assert matches('{"a": [{"exists": true}]}', '{"a": null}')
    assert matches('{"a": [{"anything-but": "x"}]}', '{"a": null}')


def test_anything_but_wants_some_value() -> None:
    assert not matches('{"a": [{"anything-but": "x"}]}', "{}")


def test_any_element_may_match() -> None:
    assert matches('{"a": ["y"]}', '{"a": ["x", "y"]}')
    assert matches('{"a": ["y"]}', '{"a": [["x"], [["y"]]]}')
    assert matches('{"a": [{"anything-but": "x"}]}', '{"a": ["x", "y"]}')


ITEMS = '{"items": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": 2}]}'


def test_two_fields_are_not_satisfied_by_different_elements() -> None:
    assert matches('{"items": {"sku": ["b"], "qty": [2]}}', ITEMS)
    assert not matches('{"items": {"sku": ["a"], "qty": [2]}}', ITEMS)


def test_an_absent_field_is_looked_for_in_the_chosen_element() -> None:
    event = '{"items": [{"sku": "a", "qty": 1}, {"sku": "b"}]}'
    assert matches('{"items": {"sku": ["b"], "qty": [{"exists": false}]}}', event)
    assert not matches('{"items": {"sku": ["a"], "qty": [{"exists": false}]}}', event)
    assert not matches('{"items": {"qty": [{"exists": false}]}}', event)


def test_a_field_that_may_be_absent_is_absent_or_right_in_the_chosen_element() -> None:
    event = '{"items": [{"sku": "a", "qty": 1}, {"sku": "b"}, {"sku": "c", "qty": 9}]}'
    pattern = '{"items": {"sku": ["%s"], "qty": [{"exists": false}, 9]}}'
    assert [matches(pattern % sku, event) for sku in "abc"] == [False, True, True]


def test_a_value_in_an_element_is_chosen_over_one_outside_where_that_makes_a_field_absent() -> None:
    assert matches('{"a": [{"exists": true}], "a.x": [{"exists": false}]}', '{"a": [5, [6], {"x": 1}]}')
    assert not matches('{"a": [5], "a.x": [{"exists": false}]}', '{"a": [5, [6], {"x": 1}]}')


def test_arrays_beside_each_other_are_chosen_apart() -> None:
    event = '{"a": [{"x": 1}, {"x": 2}], "b": [{"y": 1}, {"y": 2}]}'
    assert matches('{"a": {"x": [1]}, "b": {"y": [2]}}', event)


def test_many_independent_arrays_cost_no_product() -> None:
    names = [f"a{number}" for number in range(20)]
    event = {name: [{"x": 1, "y": 2} for _ in range(50)] for name in names} | {"z": [{"x": 1}, {"y": 2}]}
    pattern = {name: {"x": [1], "y": [2]} for name in [*names, "z"]}
    assert not matches(json.dumps(pattern), json.dumps(event))


def test_many_fields_that_may_be_absent_cost_no_product() -> None:
    names = [f"x{number}" for number in range(30)]
    pattern = {"a": {name: [1, {"exists": False}] for name in names} | {"y": [{"exists": False}]}}
    event = {"a": [dict.fromkeys(names, 1) | {"y": 1} for _ in range(30)]}
    assert not evaluate(parse(json.dumps(pattern)), event)


def apart(count: int) -> dict[str, object]:
    """Objects in an array inside an array, half of which have the one right and half the other."""
    return {"a": [{"b": [{"x": 1, "y": 0}] * count + [{"x": 0, "y": 1}] * count}]}


def test_an_event_whose_keys_have_no_dots_may_have_as_many_elements_as_it_likes() -> None:
    half = limits.ARRAY_CHOICES_MAX
    assert not evaluate(parse('{"a": {"b": {"x": [1], "y": [1]}}}'), apart(half))
    assert not evaluate(parse('{"a": {"b": {"x": [1], "y": [{"exists": false}]}}}'), apart(half))
    assert evaluate(parse('{"a": {"b": {"x": [1], "y": [0, {"exists": false}]}}}'), apart(half))


def test_many_optional_fields_of_many_elements_cost_no_product() -> None:
    names = [f"x{number}" for number in range(200)]
    pattern = {"a": {"b": {name: [2, {"exists": False}] for name in names}}}
    elements = [dict.fromkeys(names, 2) | {names[-1]: 3}] * 100
    assert not evaluate(parse(json.dumps(pattern)), {"a": [{"b": elements}]})
    assert evaluate(parse(json.dumps(pattern)), {"a": [{"b": [*elements, {"x0": 2}]}]})


def test_places_in_arrays_are_looked_at_up_to_a_limit() -> None:
    levels = 50
    event: object = [{"x": 1, "y": 0}, {"x": 0, "y": 1}] * (limits.ARRAY_PLACES_MAX // levels**2)
    for _ in range(levels):
        event = [event]
    with pytest.raises(PatternTooCostly, match=str(limits.ARRAY_PLACES_MAX)):
        evaluate(parse('{"a": {"x": [1], "y": [1]}}'), {"a": event})


def pigeons(holes: int) -> tuple[str, dict[str, object]]:
    """One array per hole, one element per pigeon, and one pigeon too many. Keys with dots let a pigeon be in any hole."""
    steps, names = ["a"] * holes, [f"pigeon{number}" for number in range(holes + 1)]
    event: dict[str, object] = {
        ".".join(steps[: hole + 1]): [{".".join([*steps[hole + 1 :], name]): 1} for name in names] for hole in range(holes)
    }
    return json.dumps({".".join([*steps, name]): [1] for name in names}), event


def test_fields_that_may_stand_in_several_arrays_are_tried_in_each() -> None:
    pattern, event = pigeons(3)
    assert not evaluate(parse(pattern), event)
    one_more_hole = {"a.a.a.pigeon3": 1}
    assert evaluate(parse(pattern), event | one_more_hole)


def test_an_element_in_which_nothing_stands_excuses_no_field() -> None:
    event = '{"a": [{"b.x": 1}, {"b.y": 1}], "a.b": [{"x": 1}, {"y": 1}]}'
    assert not matches('{"a.b.x": [1], "a.b.y": [{"exists": false}]}', event)


def test_an_event_made_to_ask_for_every_combination_is_refused() -> None:
    pattern, event = pigeons(12)
    with pytest.raises(PatternTooCostly, match=str(limits.ARRAY_CHOICES_MAX)):
        evaluate(parse(pattern), event)


@pytest.mark.parametrize(
    ("pattern", "event", "sentence"),
    [
        ('{"data": {"total": [{"numeric": [">=", 20]}]}}', '{"data": {"total": 12}}', "data.total 12 is not >= 20"),
        ('{"a": [{"numeric": [">", 0, "<=", 5]}]}', '{"a": 5.5}', "a 5.5 is not > 0 and <= 5"),
        ('{"a": ["x"]}', '{"a": "y"}', 'a "y" is not "x"'),
        ('{"a": ["x", 1, null]}', '{"a": false}', 'a false is not "x", 1 or null'),
        ('{"a": ["x"]}', "{}", 'a is absent, wanted "x"'),
        ('{"a": ["x", {"exists": false}]}', '{"a": 1}', 'a 1 is not "x" or absent'),
        ('{"a": [{"exists": true}]}', "{}", "a is absent, wanted present"),
        ('{"a": [{"exists": false}]}', '{"a": 1}', "a 1 is not absent"),
        ('{"a": [{"prefix": "x"}]}', '{"a": "y"}', 'a "y" is not a string that starts with "x"'),
        ('{"a": [{"suffix": "x"}]}', '{"a": "y"}', 'a "y" is not a string that ends with "x"'),
        ('{"a": [{"wildcard": "x*"}]}', '{"a": "y"}', 'a "y" is not a string like "x*"'),
        ('{"a": [{"equals-ignore-case": "x"}]}', '{"a": "y"}', 'a "y" is not "x" in any case'),
        (
            '{"a": [{"prefix": {"equals-ignore-case": "x"}}, {"suffix": {"equals-ignore-case": "z"}}]}',
            '{"a": "y"}',
            'a "y" is not a string that starts with "x" in any case or a string that ends with "z" in any case',
        ),
        ('{"a": [{"cidr": "10.0.0.0/8"}]}', '{"a": "11.0.0.1"}', 'a "11.0.0.1" is not an address in 10.0.0.0/8'),
        ('{"a": [{"anything-but": ["x", "y"]}]}', '{"a": "y"}', 'a "y" is not anything but "x" or "y"'),
        ('{"a": ["x"]}', '{"a": ["y", "z"]}', 'none of a "y" and "z" is "x"'),
        ('{"a": [9]}', '{"a": [1, 2, 3, 4, 5, 6, 7]}', "none of a 1, 2, 3, 4 and 3 more is 9"),
        (
            '{"a": [{"numeric": [">", 5]}]}',
            '{"a": 9007199254740993}',
            "a 9007199254740993 is not > 5 (a range takes only numbers that a double holds)",
        ),
        (
            '{"items": {"sku": ["a"], "qty": [2]}}',
            ITEMS,
            "items.qty and items.sku are not right together in one element of the same array",
        ),
        (
            '{"items": {"sku": ["a"], "qty": [2, {"exists": false}]}}',
            ITEMS,
            "items.sku and items.qty are not right together in one element of the same array",
        ),
        (
            '{"$or": [{"a": [1]}, {"b": [2]}]}',
            '{"a": 3}',
            "none of the 2 alternatives matches: a 3 is not 1 and b is absent, wanted 2",
        ),
        ('{"a": ["x"]}', '{"a": "x"}', "the event matches the pattern"),
    ],
)
def test_the_reason_is_a_sentence_that_names_the_failing_part(pattern: str, event: str, sentence: str) -> None:
    assert reason(pattern, event) == sentence


def test_a_field_that_others_excuse_is_not_blamed() -> None:
    event = '{"a": [{"x": 1}, {"y": 1}], "z": "no"}'
    assert reason('{"a": {"x": [{"exists": false}], "y": [1]}, "z": ["yes"]}', event) == 'z "no" is not "yes"'


def test_the_failures_name_their_fields() -> None:
    verdict = why(parse('{"$or": [{"a": [1]}, {"b": [2]}]}'), {"a": 3})
    assert not verdict.matches
    assert [failure.fields for failure in verdict.failures] == [("a",), ("b",)]


def test_of_thousands_of_fields_the_first_that_is_not_right_beside_those_before_it_is_named() -> None:
    """Looked for by halves: one after the other this took minutes."""
    names = sorted(f"f{number:04}" for number in range(2_000))
    pattern = parse(json.dumps({"items": {name: [1] for name in names}}).encode())
    document = {"items": [dict.fromkeys(names[:-1], 1), {names[-1]: 1}]}
    found = why(pattern, document)
    assert found.failures[0].fields == tuple(f"items.{name}" for name in names)
