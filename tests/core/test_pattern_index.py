"""Many rules and one event."""

from eventyard.core.limits import MATCH_LOOKS_MAX
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import parse

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
    many = {"type": "order.paid", "data": {"tags": ["hay"] * (MATCH_LOOKS_MAX + 1), "items": []}}
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
