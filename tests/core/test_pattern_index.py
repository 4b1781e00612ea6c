"""Many rules and one event."""

import json

from eventyard.core.limits import MATCH_LOOKS_MAX
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import parse
from tests.support.pattern_index import assert_lawful, index_of

PAID = parse('{"type": ["order.paid"]}')
SHIPPED = parse('{"type": ["order.shipped", "order.sent"]}')
FROM_SHOP = parse('{"source": ["/shop"]}')
ANY_ORDER = parse('{"type": [{"prefix": "order."}]}')


def test_matches_come_by_ascending_key() -> None:
    rules = Index().with_rule(7, PAID).with_rule(3, ANY_ORDER).with_rule(5, FROM_SHOP).with_rule(4, SHIPPED)
    assert rules.match_document({"type": "order.paid", "source": "/shop"}) == [3, 5, 7]


def test_an_edit_leaves_the_old_set_as_it_was() -> None:
    before = Index().with_rule(1, PAID)
    after = before.with_rule(1, SHIPPED).with_rule(2, PAID).without(2)
    assert before.match_document({"type": "order.paid"}) == [1]
    assert after.match_document({"type": "order.paid"}) == []
    assert after.match_document({"type": "order.sent"}) == [1]


def test_a_list_of_types_meets_every_rule_filed_by_type() -> None:
    rules = Index().with_rule(1, PAID).with_rule(2, SHIPPED)
    assert rules.match_document({"type": [["x"], "order.sent", "order.paid"]}) == [1, 2]


def test_a_rule_that_takes_more_than_strings_is_not_missed() -> None:
    for text in ('{"type": ["x", {"exists": false}]}', '{"type": ["x", 1]}', '{"$or": [{"type": ["x"]}, {"source": ["y"]}]}'):
        rules = Index().with_rule(1, parse(text))
        assert [rules.match_document(event) for event in ({"type": "x"}, {"type": "z"})] == [[1], []]
    assert Index().with_rule(1, parse('{"type": ["x", 1]}')).match_document({"type": 1}) == [1]


def test_a_field_of_objects_of_an_array_that_holds_no_value_in_any_is_absent() -> None:
    texts = (
        '{"x": {"y": [{"exists": false}]}}',
        '{"x": {"y": [{"exists": false}], "z": ["a", {"exists": false}]}}',
        '{"x": {"y": ["a"]}}',
    )
    rules = dict(enumerate(map(parse, texts)))
    for empty in ("[]", "[[]]", "[{}]", "{}"):
        body = f'{{"x": [{{"y": {empty}}}, {{"y": []}}]}}'.encode()
        assert_lawful(index_of(rules), rules, body)
        assert index_of(rules).match(body) == [0, 1]


def test_a_removed_rule_leaves_nothing_behind() -> None:
    emptied = Index().with_rule(1, SHIPPED).with_rule(2, ANY_ORDER).without(1).without(2)
    assert (len(emptied), len(emptied.fields.slots), emptied.root.is_empty) == (0, 0, True)
    assert Index().without(1).root.is_empty


def test_a_set_knows_its_rules() -> None:
    rules = Index().with_rule(2, PAID).with_rule(1, SHIPPED)
    assert list(rules.items()) == [(1, SHIPPED), (2, PAID)]
    assert len(rules) == 2
    assert 2 in rules
    assert 3 not in rules


def test_an_event_of_which_too_much_would_be_looked_at_fails_the_rules_that_ask_and_no_others() -> None:
    searching = parse('{"data": {"tags": [{"wildcard": "*needle*"}]}}')
    together = parse('{"data": {"items": {"sku": [{"prefix": "a"}], "quantity": [{"numeric": [">", 5]}]}}}')
    rules = Index().with_rule(1, searching).with_rule(2, PAID).with_rule(3, together)
    few = {"type": "order.paid", "data": {"tags": ["a needle"], "items": [{"sku": "a1", "quantity": 6}]}}
    many = {"type": "order.paid", "data": {"tags": [f"hay{number}" for number in range(MATCH_LOOKS_MAX // 2 + 1)], "items": []}}
    objects = {
        "type": "order.paid",
        "data": {"items": [{"sku": "a1", "quantity": 1}] * (MATCH_LOOKS_MAX // 2 + 1) + [{"quantity": 6}]},
    }
    assert rules.match_and_fail(few) == ([1, 2, 3], [])
    assert rules.match_and_fail(many) == ([2], [1])
    assert rules.match_and_fail(objects) == ([2], [3])


def test_of_two_rules_with_one_pattern_object_only_the_removed_one_goes() -> None:
    both = Index().with_rule(1, ANY_ORDER).with_rule(2, ANY_ORDER)
    assert both.without(1).match_document({"type": "order.paid"}) == [2]
    assert both.without(1).without(2).root.is_empty


def test_a_field_in_objects_of_an_array_is_taken_when_a_rule_asks_and_counts_if_it_is_there() -> None:
    objects = [{f"there{number}": 0 for number in range(20)}] * (MATCH_LOOKS_MAX // 2)
    event = {"type": "order.paid", "data": {"items": objects}}
    there = {number: parse(f'{{"data": {{"items": {{"there{number}": [1]}}}}}}') for number in range(20)}
    absent = {number: parse(f'{{"data": {{"items": {{"absent{number}": [{{"exists": false}}]}}}}}}') for number in range(30)}
    unasked = {number: parse(f'{{"type": ["x"], "data": {{"items": {{"there{number}": [1]}}}}}}') for number in range(20)}
    assert index_of({99: PAID} | unasked).match_and_fail(event) == ([99], [])
    assert index_of({99: PAID} | absent).match_and_fail(event) == ([*range(30), 99], [])
    matched, failed = index_of({99: PAID} | there).match_and_fail(event)
    assert matched == [99]
    assert 1 < len(failed) < 20


def test_what_operators_are_asked_one_by_one_counts_by_how_long_it_takes() -> None:
    searches = {number: parse(f'{{"text": [{{"wildcard": "*{number}*b*"}}]}}') for number in range(60)}
    addresses = {number: parse(f'{{"hosts": [{{"cidr": "10.0.{number}.0/24"}}]}}') for number in range(60)}
    index = index_of(searches | {number + 100: pattern for number, pattern in addresses.items()} | {999: PAID})
    assert index.match_and_fail({"type": "order.paid", "text": "9b", "hosts": ["10.0.3.9"]}) == ([9, 103, 999], [])
    long = {"type": "order.paid", "text": "9" * 20_000_000}
    assert index.match_and_fail(long) == ([999], list(range(60)))
    many = {"type": "order.paid", "hosts": [f"10.1.{n % 250}.9" for n in range(400_000)]}
    assert index.match_and_fail(many) == ([999], list(range(100, 160)))


def test_of_rules_filed_under_what_cannot_be_looked_at_nothing_is_said() -> None:
    rules = {number: parse(f'{{"tags": ["t{number}"], "type": [{{"prefix": "order."}}]}}') for number in range(20)}
    index = index_of(rules | {99: PAID})
    assert index.match_and_fail({"type": "order.paid", "tags": ["t3", "t4"]}) == ([3, 4, 99], [])
    assert index.match_and_fail({"type": "order.paid", "tags": ["t3"] * (9 * MATCH_LOOKS_MAX)}) == ([99], list(range(20)))


def test_the_evaluator_is_not_asked_about_many_values_by_many_ranges() -> None:
    """It would go through all ranges for each value: here 40 million times."""
    ranges = [{"numeric": [">=", number, "<", number + 0.5]} for number in range(1_000)]
    index = Index().with_rule(1, parse(json.dumps({"x": {"a": ranges, "b": [1]}})))
    few = {"x.a": 7.25, "x": [{"a": number, "b": 1} for number in range(3)]}
    many = few | {"x": [{"a": number} for number in range(40_000)] + [{"b": 1}]}
    assert index.match_and_fail(few) == ([1], [])
    assert index.match_and_fail(many) == ([], [1])
