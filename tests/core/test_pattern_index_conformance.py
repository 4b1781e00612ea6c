"""The index on facts: every case of the language's reference engine and of AWS, alone and all rules in one index; the workload of
many rules; real payloads; and what a match may cost.
"""

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from eventyard.core import strict_json
from eventyard.core.pattern import arrays
from eventyard.core.pattern.language import Pattern, parse
from tests.core.test_pattern_conformance import lines
from tests.core.test_pattern_evaluator import pigeons
from tests.support.pattern_cases import Cases, eventbridge_cases, reference_cases, row
from tests.support.pattern_index import assert_lawful, by_evaluator, index_of

SCALE = Path(__file__).resolve().parents[3] / "shared" / "bench"
SCALE_EVENTS = 2_000
STRIDE = 24 if settings().max_examples <= 100 else 2
"""Of the events that a file of rules is asked about together, one in so many is asked about in a short run. Alone each is asked about in any."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs too much does so soon."""
    monkeypatch.setattr(arrays, "ARRAY_CHOICES_MAX", 300)


@pytest.fixture(scope="module")
def reference() -> Cases:
    return reference_cases()


def alone(cases: Cases) -> dict[int, bool]:
    """What an index of the case's rule alone says about its event, both ways."""
    verdicts = {}
    for number in cases.patterns.keys() & cases.events.keys() & cases.verdicts.keys():
        index = index_of({7: cases.patterns[number]})
        body = cases.events[number]
        assert index.match(body) == index.match_document(strict_json.decode(body))
        verdicts[number] = index.match(body) == [7]
    return verdicts


def test_every_case_of_the_reference_engine_is_decided_so_by_an_index_of_one(reference: Cases) -> None:
    """2,500 patterns are valid; of their events 86 hold what strict ingest refuses, as 1e400."""
    verdicts = alone(reference)
    assert (len(reference.patterns), len(verdicts)) == (2_500, 2_414)
    assert {number for number, verdict in verdicts.items() if verdict != reference.verdicts[number]} == set()


def test_aws_decided_so_by_an_index_of_one() -> None:
    cases = eventbridge_cases()
    verdicts = alone(cases)
    assert (len(cases.patterns), len(verdicts)) == (124, 121)
    assert {number for number, verdict in verdicts.items() if verdict != cases.verdicts[number]} == set()


def test_all_rules_of_aws_in_one_index_match_what_the_evaluator_says() -> None:
    cases = eventbridge_cases()
    index = index_of(cases.patterns)
    for body in cases.events.values():
        assert_lawful(index, cases.patterns, body)


def test_all_rules_of_the_reference_engine_in_one_index_match_what_the_evaluator_said(reference: Cases) -> None:
    index = index_of(reference.patterns)
    expected = lines("pattern_cases_together.tsv")
    for at, (number, body) in enumerate(reference.events.items()):
        if not at % STRIDE:
            assert row(number, index.match(body)) == expected[at], body
        elif at % STRIDE == 1:
            assert row(number, index.match_document(strict_json.decode(body))) == expected[at], body


def test_the_evaluator_still_says_what_it_said(reference: Cases) -> None:
    """The file takes half a minute to make; a slice of it shows whether it is still true."""
    expected = dict(zip(reference.events, lines("pattern_cases_together.tsv"), strict=True))
    for number in list(reference.events)[::60]:
        assert row(number, by_evaluator(reference.patterns, reference.events[number])[0]) == expected[number]


def test_a_slice_of_the_workload_of_many_rules_matches_what_the_evaluator_says() -> None:
    rules = dict(enumerate(map(parse, lines("scale_rules.jsonl"))))
    index = index_of(rules)
    matched = set[int]()
    for line in lines("scale_events.jsonl"):
        assert_lawful(index, rules, line.encode())
        matched |= set(index.match(line.encode()))
    assert len(matched) > 90


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """Patterns by name (the number of their line) and events of the whole workload."""
    if not (SCALE / "gen_scale.py").exists():
        pytest.skip("the workload of 10,000 rules is not beside this checkout: ../shared/bench/gen_scale.py")
    folder = tmp_path_factory.mktemp("scale")
    command = [sys.executable, str(SCALE / "gen_scale.py"), str(folder), "100000", str(SCALE_EVENTS)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rules = (folder / "rules.jsonl").read_text(encoding="utf-8").splitlines()[:10_000]
    return rules, (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_the_workload_of_many_rules_matches_what_the_reference_engine_found(
    scale: tuple[list[str], list[str]], count: int
) -> None:
    rules, events = scale
    index = index_of({number: parse(json.dumps(json.loads(line)["pattern"])) for number, line in enumerate(rules[:count])})
    expected = (SCALE / f"expected_{count}.tsv").read_text().splitlines()[:SCALE_EVENTS]
    assert [scale_row(number, index.match(line.encode())) for number, line in enumerate(events)] == expected


def scale_row(event: int, matches: list[int]) -> str:
    names = "\n".join(f"r{number:06}" for number in matches)
    return f"{event}\t{len(matches)}\t{hashlib.sha1(names.encode(), usedforsecurity=False).hexdigest()[:16]}"


def test_rules_drawn_from_real_payloads_match_exactly_what_the_evaluator_says() -> None:
    """Thousands of rules over some hundred different paths, in arrays of objects too."""
    rng = random.Random(11)
    bodies = lines("github_webhooks.jsonl")
    drawn = [pattern for body in bodies for pattern in patterns_from(json.loads(body), rng)]
    rules = dict(enumerate(drawn))
    index = index_of(rules)
    for body in bodies:
        assert_lawful(index, rules, body.encode())
    assert len({field.name for rule in drawn for each in rule.alternatives for field in each.fields}) > 300


def patterns_from(event: dict[str, Any], rng: random.Random) -> Iterator[Pattern]:
    """Each asks for two of the event's values, a quarter of them for what is nearly there."""
    found = list(leaves(event, ""))
    for _ in range(60):
        chosen = rng.sample(found, 2)
        yield parse(json.dumps({path: [asked(value, rng)] for path, value in chosen}))


def leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list):
        for element in node:
            yield from leaves(element, path)
    else:
        yield path, node


def asked(value: Any, rng: random.Random) -> Any:
    if isinstance(value, str):
        half = len(value) // 2
        part = rng.choice([{"prefix": value[:half]}, {"suffix": value[half:]}, {"wildcard": f"{starless(value[:half])}*"}])
        return rng.choice([value, part, part, {"equals-ignore-case": value.upper()}, {"anything-but": value}, value + "x"])
    if isinstance(value, int) and not isinstance(value, bool):
        return rng.choice(
            [value, value + 0.0, {"numeric": [">=", value]}, {"numeric": ["<", value]}, {"anything-but": [value]}]
        )
    return rng.choice([value, {"exists": True}, {"anything-but": "x"}, "x"])


def starless(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*")


@pytest.mark.usefixtures("impatient")
def test_a_rule_that_would_cost_too_much_is_told_so_whatever_rules_stand_beside_it() -> None:
    pattern, event = pigeons(12)
    body = json.dumps(event).encode()
    costly, plain = parse(pattern), parse('{"a": {"x": [1]}}')
    rules = {1: plain, 2: costly, 3: parse('{"type": ["order.paid"]}')}
    index = index_of(rules)
    assert by_evaluator({2: costly}, body) == ([], [2])
    assert_lawful(index, rules, body)
    assert_lawful(index, rules, b'{"a": {"x": 1}, "type": "order.paid"}')
    assert_lawful(index.without(2), {1: rules[1], 3: rules[3]}, body)


@pytest.mark.usefixtures("impatient")
def test_a_rule_is_not_too_costly_where_something_plain_is_wrong_with_it() -> None:
    pattern, event = pigeons(12)
    rules = {1: parse(json.dumps({**json.loads(pattern), "z": [1]})), 2: parse('{"z": [2]}')}
    assert_lawful(index_of(rules), rules, json.dumps({**event, "z": 2}).encode())


@pytest.mark.usefixtures("impatient")
def test_a_rule_that_matches_by_one_alternative_is_not_too_costly_by_another() -> None:
    pattern, event = pigeons(12)
    plain, costly = '{"z": [2]}', pattern
    rules = {1: parse(f'{{"$or": [{plain}, {costly}]}}'), 2: parse(f'{{"$or": [{costly}, {plain}]}}')}
    matching, other = (json.dumps({**event, "z": number}).encode() for number in (2, 3))
    assert by_evaluator(rules, matching) == ([1, 2], [])
    assert by_evaluator(rules, other) == ([], [1, 2])
    for body in (matching, other):
        assert_lawful(index_of(rules), rules, body)
