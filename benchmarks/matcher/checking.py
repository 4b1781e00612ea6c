"""What is measured is also right: against the evaluator, and against the results that another engine gave."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from eventyard.core import strict_json
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.pattern.language import Pattern

Match = Callable[[bytes], list[int]]


class Wrong(Exception):
    """What was measured gave another answer than it had to."""


def check_by_evaluator(match: Match, rules: Mapping[int, Pattern], lines: Iterable[bytes]) -> None:
    """Raises Wrong on the first line on which the plain evaluator says otherwise."""
    for line in lines:
        document = strict_json.decode(line)
        wanted = [key for key, pattern in rules.items() if evaluate(pattern, document)]
        found = match(line)
        if found != wanted:
            extra, missing = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
            raise Wrong(f"found the rules {found[:20]}: {extra[:20]} too many, {missing[:20]} missing, on {line[:2000]!r}")


def check_by_table(match: Match, names: Mapping[int, str], lines: Sequence[bytes], table: Path) -> None:
    """Raises Wrong on the first event that a line of `table` has otherwise (see `table_line`)."""
    wanted = table.read_text().splitlines()
    if len(wanted) != len(lines):
        raise Wrong(f"found {len(lines):,} events, wanted {len(wanted):,} as {table.name} has")
    for index, line in enumerate(lines):
        found = table_line(index, [names[key] for key in match(line)])
        if found != wanted[index]:
            raise Wrong(f"found {found!r}, wanted {wanted[index]!r} as {table.name} has")


def table_line(index: int, names: Iterable[str]) -> str:
    """An event's number, how many rules match it, and the first 8 bytes of SHA-1 over their sorted names, joined by line feeds."""
    ordered = sorted(names)
    digest = hashlib.sha1("\n".join(ordered).encode(), usedforsecurity=False).digest()[:8]
    return f"{index}\t{len(ordered)}\t{digest.hex()}"


def count(match: Match, lines: Iterable[bytes]) -> Counter[int]:
    """How many lines each rule matches."""
    return Counter(key for line in lines for key in match(line))
