"""Laws of the language, each against a second, slower way to say the same."""

import itertools
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard.core import strict_json
from eventyard.core.pattern import wildcard
from eventyard.core.pattern.arrays import Demand, Membership, can_stand_together
from eventyard.core.pattern.evaluator import evaluate, why
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import Pattern, parse

texts = st.text("abA*\\é.", max_size=4)
numbers = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.5, 2**60]))
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
names = st.sampled_from(["type", "source", "data", "x", "y", "x.y"])


def objects(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(names, leaves, min_size=1, max_size=3)


documents = objects(st.recursive(scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), objects(inner)), max_leaves=8))

letters = st.text("abA", min_size=1, max_size=2)
stars = st.lists(letters, min_size=1, max_size=3).map("*".join)
excluded = st.one_of(
    texts,
    st.integers(-3, 3),
    st.lists(texts, min_size=1, max_size=3),
    st.lists(st.integers(-3, 3), min_size=1, max_size=3),
    st.builds(lambda text: {"prefix": text}, letters),
    st.builds(lambda listed: {"suffix": listed}, st.lists(letters, min_size=1, max_size=2)),
    st.builds(lambda text: {"equals-ignore-case": text}, letters),
    st.builds(lambda text: {"wildcard": text}, stars),
)
operators = st.one_of(
    st.builds(lambda text: {"prefix": text}, letters),
    st.builds(lambda text: {"suffix": {"equals-ignore-case": text}}, letters),
    st.builds(lambda text: {"wildcard": text}, stars),
    st.builds(
        lambda sign, number: {"numeric": [sign, number]}, st.sampled_from(["=", "<", "<=", ">", ">="]), st.integers(-3, 3)
    ),
    st.builds(lambda flag: {"exists": flag}, st.booleans()),
    st.builds(lambda operand: {"anything-but": operand}, excluded),
)
fields = st.lists(st.one_of(scalars, texts, operators), min_size=1, max_size=3)
plain = objects(st.one_of(fields, objects(fields)))
patterns = st.one_of(
    plain,
    st.builds(lambda outer, options: outer | {"$or": options}, plain, st.lists(plain, min_size=2, max_size=3)),
).map(lambda pattern: parse(json.dumps(pattern)))


def through_json(document: Any) -> Any:
    return strict_json.decode(json.dumps(document).encode())


@given(
    st.lists(st.one_of(st.just("*"), st.sampled_from(["a", "b", "ab", "\\*", "\\\\"])), max_size=6),
    st.text("ab*\\", max_size=8),
)
def test_a_wildcard_is_the_regular_expression_that_it_looks_like(pieces: list[str], text: str) -> None:
    once = [piece for piece, _ in itertools.groupby(pieces)]
    expression = "".join(".*" if piece == "*" else re.escape(piece[-1] if piece[0] == "\\" else piece) for piece in once)
    assert wildcard.fits(wildcard.split("".join(once)), text) == bool(re.fullmatch(expression, text, re.DOTALL))


@given(scalars, excluded)
def test_anything_but_is_the_complement_for_a_scalar_that_is_there(value: Any, operand: Any) -> None:
    if isinstance(operand, dict):
        ((operator, inner),) = operand.items()
        listed = [{operator: text} for text in (inner if isinstance(inner, list) else [inner])]
    else:
        listed = operand if isinstance(operand, list) else [operand]
    document = through_json({"a": value})
    is_excluded = evaluate(parse(json.dumps({"a": listed})), document)
    assert evaluate(parse(json.dumps({"a": [{"anything-but": operand}]})), document) != is_excluded


@given(st.decimals(-(10**6), 10**6, places=3), st.decimals(-(10**6), 10**6, places=3))
def test_numbers_compare_as_their_decimal_texts(value: Decimal, bound: Decimal) -> None:
    document = strict_json.decode(f'{{"a": {value}}}'.encode())
    verdicts = [evaluate(parse(f'{{"a": [{{"numeric": ["{sign}", {bound}]}}]}}'), document) for sign in ("<", "=", ">")]
    assert verdicts == [value < bound, value == bound, value > bound]


@given(patterns, documents)
def test_the_reason_agrees_with_the_verdict(pattern: Pattern, document: Any) -> None:
    document = through_json(document)
    reason = why(pattern, document)
    assert reason.matches == evaluate(pattern, document)
    assert len(reason.failures) == (0 if reason.matches else len(pattern.alternatives))


@given(st.lists(st.one_of(plain.map(lambda pattern: parse(json.dumps(pattern))), patterns), max_size=6), documents)
def test_a_rule_set_matches_exactly_what_the_evaluator_does(rules: list[Pattern], document: Any) -> None:
    document = through_json(document)
    rule_set = Index()
    for key, pattern in reversed(list(enumerate(rules))):
        rule_set = rule_set.with_rule(key, pattern)
    assert rule_set.match_document(document) == [key for key, pattern in enumerate(rules) if evaluate(pattern, document)]


edits = st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), patterns)), max_size=8)


@given(edits, documents)
def test_edits_of_a_rule_set_leave_what_the_last_of_each_says(changes: list[tuple[int, Pattern | None]], document: Any) -> None:
    document = through_json(document)
    rule_set, kept = Index(), dict[int, Pattern]()
    for key, pattern in changes:
        rule_set = rule_set.without(key) if pattern is None else rule_set.with_rule(key, pattern)
        kept = {other: each for other, each in kept.items() if other != key}
        kept |= {} if pattern is None else {key: pattern}
    assert dict(rule_set.items()) == kept
    assert rule_set.match_document(document) == sorted(key for key, each in kept.items() if evaluate(each, document))


def by_trying_every_choice(demands: Sequence[Demand]) -> bool:
    """Each field stands at one of its right places, or (None) is absent."""
    options = [[*demand.right, *([None] if demand.may_be_absent else [])] for demand in demands]
    return any(is_met(demands, choice) for choice in itertools.product(*options))


def is_met(demands: Sequence[Demand], choice: Sequence[Membership | None]) -> bool:
    chosen = [place for place in choice if place is not None]
    absent = [demand.everywhere for demand, place in zip(demands, choice, strict=True) if place is None]
    return can_stand(chosen) and not any(can_stand([*chosen, place]) for places in absent for place in places)


def can_stand(chosen: Sequence[Membership]) -> bool:
    pairs = {pair for place in chosen for pair in place}
    return len(pairs) == len({array for array, _ in pairs})


INNER = {0: (2, 3), 1: (4,), 2: (), 3: (), 4: ()}
"""Arrays of the law below: which arrays stand inside an element of which, so that memberships are those of some document."""


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    array: int | None = draw(st.sampled_from([0, 1]))
    place: list[tuple[int, int]] = []
    while array is not None:
        index = draw(st.integers(0, 1))
        place.append((array * 10 + (place[-1][1] if place else 0), index))
        array = draw(st.sampled_from([None, *INNER[array]]))
    return tuple(place)


sets_of_places = st.frozensets(memberships(), max_size=3)
required = sets_of_places.filter(bool).map(lambda right: Demand(right, right, may_be_absent=False))
optional = st.builds(lambda right, wrong: Demand(right, right | wrong, may_be_absent=True), sets_of_places, sets_of_places)


@settings(max_examples=200)
@given(st.lists(st.one_of(required, optional), max_size=4))
def test_the_search_for_elements_finds_what_trying_every_choice_finds(demands: list[Demand]) -> None:
    assert can_stand_together(demands) == by_trying_every_choice(demands)
