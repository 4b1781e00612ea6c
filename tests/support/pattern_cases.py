"""The cases of the reference engine and of AWS as the index can take them: valid patterns, and events that strict ingest takes.

    python -m tests.support.pattern_cases > tests/data/pattern_cases_together.tsv

writes anew, as the evaluator says it, which patterns of the file each event of the file matches (nine million verdicts, half a
minute): line number of the event, how many, and the first 8 bytes of SHA-1 over their line numbers. Both count from 0.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from typing import NamedTuple

from eventyard.core import strict_json
from eventyard.core.errors import InvalidJSON, InvalidPattern, PatternTooCostly
from eventyard.core.pattern.language import Pattern, parse
from tests.core.test_pattern_conformance import aws_cases, lines, raw_members
from tests.support.pattern_index import by_evaluator


class Cases(NamedTuple):
    """By line number. A line whose pattern is refused, or whose event is, is missing from one of them."""

    patterns: dict[int, Pattern]
    events: dict[int, bytes]
    verdicts: dict[int, bool]


def reference_cases() -> Cases:
    found = Cases({}, {}, {})
    for number, line in enumerate(lines("pattern_cases.jsonl")):
        case = raw_members(line)
        text = json.loads(case["pattern_text"]) if "pattern_text" in case else case["pattern"]
        _add(found, number, text, case.get("event"), json.loads(case.get("match", "null")))
    return found


def eventbridge_cases() -> Cases:
    found = Cases({}, {}, {})
    for number, case in enumerate(aws_cases()):
        _add(found, number, case["pattern_raw"], case["event_raw"], case.get("match"))
    return found


def digest(numbers: Iterable[int]) -> str:
    return hashlib.sha1("\n".join(map(str, numbers)).encode(), usedforsecurity=False).hexdigest()[:16]


def row(event: int, matches: list[int]) -> str:
    return f"{event}\t{len(matches)}\t{digest(matches)}"


def _add(found: Cases, number: int, pattern: str, event: str | None, verdict: bool | None) -> None:
    parsed, body = _parsed(pattern), _taken(event)
    if parsed is not None:
        found.patterns[number] = parsed
    if body is not None:
        found.events[number] = body
    if verdict is not None:
        found.verdicts[number] = verdict


def _parsed(text: str) -> Pattern | None:
    try:
        return parse(text)
    except (InvalidPattern, PatternTooCostly):
        return None


def _taken(event: str | None) -> bytes | None:
    try:
        strict_json.decode((event or "").encode())
    except InvalidJSON:
        return None
    return (event or "").encode()


def main() -> None:
    cases = reference_cases()
    for number, body in cases.events.items():
        sys.stdout.write(row(number, by_evaluator(cases.patterns, body)[0]) + "\n")


if __name__ == "__main__":
    main()
