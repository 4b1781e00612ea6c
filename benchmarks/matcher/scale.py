"""Rule scale: the first 1,000, 10,000 or 100,000 rules of a workload, beside `orjson.loads` on its events."""

from benchmarks.matcher.checking import check_by_evaluator, check_by_table, count
from benchmarks.matcher.figures import Ratio
from benchmarks.matcher.subject import built
from benchmarks.matcher.turns import in_turns
from benchmarks.matcher.workload import Workload, read_rules
from benchmarks.support.progress import announce

GOALS = {1_000: 0.5, 10_000: 0.4, 100_000: 0.25}
JUDGED = 20
"""Events on which every rule is asked by the evaluator: at 100,000 rules a third of a second each."""


def measure(load: Workload, rules: int, events: int | None, rounds: int) -> Ratio:
    """Timed on the first `events`, or all, if None; all are checked before."""
    told = f"{rules:,} rules"
    announce(f"{told}: building")
    numbered = list(enumerate(read_rules(load.rules, rules), 1))
    names = {key: name for key, (name, _) in numbered}
    patterns = {key: pattern for key, (_, pattern) in numbered}
    match = built(patterns).match
    lines = load.events.read_bytes().splitlines()
    announce(f"{told}: checking")
    check_by_evaluator(match, patterns, lines[:: len(lines) // JUDGED])
    table = load.tables / f"expected_{rules}.tsv"
    if table.exists():
        check_by_table(match, names, lines, table)
    lines = lines[:events]
    ours, loads, nothing = in_turns(match, lines, rounds, told)
    return Ratio(
        told, "scale", len(lines), len(patterns), GOALS.get(rules), ours, loads, nothing, (count(match, lines).total(),)
    )
