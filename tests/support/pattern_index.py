"""The index under law: what it says by bytes and by document, and what the evaluator, which is the law, says."""

from collections.abc import Callable, Mapping
from typing import Any

from eventyard.core import strict_json
from eventyard.core.errors import PatternTooCostly
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.index import Index
from eventyard.core.pattern.language import Pattern

Verdict = tuple[list[int], list[int]]
"""The keys of the rules that match, and of those that cost too much to tell, each ascending."""


def index_of(rules: Mapping[int, Pattern]) -> Index:
    index = Index()
    for key, pattern in rules.items():
        index = index.with_rule(key, pattern)
    return index


def by_evaluator(rules: Mapping[int, Pattern], body: bytes) -> Verdict:
    document = strict_json.decode(body)
    matched, failed = [], []
    for key, pattern in sorted(rules.items(), key=lambda item: item[0]):
        try:
            matched += [key] if evaluate(pattern, document) else []
        except PatternTooCostly:
            failed.append(key)
    return matched, failed


def assert_lawful(index: Index, rules: Mapping[int, Pattern], body: bytes) -> None:
    """Every way says what the evaluator says. By bytes twice: an index may learn from what it is asked."""
    matched, failed = by_evaluator(rules, body)
    document = strict_json.decode(body)
    wanted = "too costly" if failed else matched
    assert _matched(index.match, body) == wanted
    assert _matched(index.match_document, document) == wanted
    assert _matched(index.match, body) == wanted
    assert index.match_and_fail(document) == (matched, failed)


def _matched(match: Callable[[Any], list[int]], event: Any) -> list[int] | str:
    try:
        return match(event)
    except PatternTooCostly:
        return "too costly"
