"""Evaluators of JSONata: real processes, and expressions that loop, explode or need what is not there."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.expressions import Evaluators
from eventyard.ports import ExpressionFailed, Outcome, PutOff, Values

EVENT = b'{"id":"e1","data":{"total":1.5,"big":12345678901234567890,"items":[{"sku":"a"},{"sku":"b"}],"none":null}}'
LIMIT_S = 60.0

LOOPS = {
    "a call in the last place": "($f := function($x){ $f($x + 1) }; $f(1))",
    "a regular expression": '$match("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", /(a+)+$/)',
    "a product of ranges": "$count([1..1000].([1..1000].([1..1000].(1))))",
}
EXPLODES = {
    "a text that doubles itself": '($d := function($s, $n){ $n = 0 ? $s : $d($s & $s, $n - 1) }; $length($d("ab", 40)))',
    "a text filled up": '$pad("x", 2000000000)',
}


class Answers:
    def __init__(self, evaluators: Evaluators) -> None:
        self._evaluators = evaluators
        self._arrived: queue.Queue[tuple[str, Outcome]] = queue.Queue()

    def ask(self, *expressions: str, who: str = "r", event: bytes = EVENT, facts: Any = None) -> None:
        self._evaluators.evaluate(who, expressions, event, facts or {}, lambda outcome: self._arrived.put((who, outcome)))

    def next(self) -> tuple[str, Outcome]:
        return self._arrived.get(timeout=LIMIT_S)

    def of(self, *expressions: str, **more: Any) -> Outcome:
        self.ask(*expressions, **more)
        return self.next()[1]


@pytest.fixture
def answers() -> Iterator[Answers]:
    evaluators = Evaluators()
    yield Answers(evaluators)
    evaluators.close()


def failure(outcome: Outcome) -> ExpressionFailed:
    assert isinstance(outcome, ExpressionFailed)
    return outcome


def test_expressions_of_one_event_are_evaluated_together(answers: Answers) -> None:
    found = answers.of('{"id": id, "total": data.total}', "data.items.sku", "data.missing", "data.none", "data.big", '"é" & id')
    assert found == Values((b'{"id":"e1","total":1.5}', b'["a","b"]', None, None, b"12345678901234567890", '"ée1"'.encode()))


def test_what_is_known_of_the_delivery_is_bound_by_name(answers: Answers) -> None:
    found = answers.of("$delivery & $string($attempt)", facts={"delivery": b'"d-1"', "attempt": b"2"})
    assert found == Values((b'"d-12"',))


def test_one_event_leaves_nothing_behind_for_the_next(answers: Answers) -> None:
    assert answers.of("($x := id; $x)") == Values((b'"e1"',))
    assert answers.of("$x") == Values((None,))


@pytest.mark.parametrize("text", ["data.total +", '{"a": ', "$f(", "1 ]", '"open'])
def test_without_an_event_an_expression_is_read_and_its_place_told(answers: Answers, text: str) -> None:
    assert answers.of("id", event=b"") == Values((None,))
    refused = failure(answers.of("id", text, event=b""))
    assert (refused.number, bool(refused.reason)) == (1, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data.total.$foo()", "non-function"),
        ('"a" + 1', "number"),
        ('$error("no plan")', "no plan"),
        ("function($x){ $x }", ""),
        ("1 / 0", ""),
        ("($f := function($x){ 1 + $f($x) }; $f(1))", ""),
        ("(" * 3_000 + "1" + ")" * 3_000, ""),
        ('$pad("x", 1500000)', "bytes"),
    ],
)
def test_what_cannot_be_evaluated_says_why(answers: Answers, text: str, reason: str) -> None:
    told = failure(answers.of("id", text))
    assert told.number in {-1, 1}
    assert reason in told.reason
    assert len(told.reason) <= limits.TRANSFORM_FAILURE_CHARACTERS
    assert answers.of("id") == Values((b'"e1"',))


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_what_loops_is_ended_and_the_next_is_evaluated(answers: Answers, text: str) -> None:
    told = failure(answers.of(text))
    assert "processor time" in told.reason
    assert answers.of("id") == Values((b'"e1"',))


@pytest.mark.parametrize("text", EXPLODES.values(), ids=EXPLODES)
def test_what_explodes_is_ended_and_the_next_is_evaluated(answers: Answers, text: str) -> None:
    told = failure(answers.of(text))
    assert "of memory" in told.reason or "processor time" in told.reason
    assert answers.of("id") == Values((b'"e1"',))


def test_a_rule_that_loops_leaves_a_process_to_the_others(answers: Answers) -> None:
    for _ in range(3):
        answers.ask(LOOPS["a regular expression"], who="loops")
    for _ in range(20):
        answers.ask("id", who="good")
    first = [answers.next()[0] for _ in range(20)]
    assert first.count("good") >= 17


def test_what_waits_is_put_off_at_the_end_and_afterwards(answers: Answers) -> None:
    for _ in range(3):
        answers.ask(LOOPS["a regular expression"])
    answers._evaluators.close()
    assert [answers.next()[1] for _ in range(3)] == [PutOff()] * 3
    assert answers.of("id") == PutOff()


def test_what_waited_too_long_is_put_off(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPRESSION_WAIT_S", -1.0)
    assert answers.of("id") == PutOff()


def test_the_environment_of_the_process_has_no_key(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTYARD_KEY", "ey_secret")
    answers.of("id")
    (process,) = answers._evaluators._processes
    assert b"ey_secret" not in Path(f"/proc/{process._child.pid}/environ").read_bytes()
