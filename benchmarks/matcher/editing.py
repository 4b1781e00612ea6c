"""A fresh process that builds an index of many rules, says what that took, and edits it while it stands. Prints JSON.

    python -m benchmarks.matcher.editing RULES NEWCOMERS EVENTS --rules 100000 --edits 1000

Memory is the growth of what the process has resident, from before the first pattern. The texts of the rules are read one by one
and not kept. An edit is timed with the release of the index that it replaces.
"""

import argparse
import gc
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import msgspec

from benchmarks.matcher.collector import AsInLife
from benchmarks.matcher.figures import Building, Edits, Spread
from benchmarks.matcher.subject import Subject, built
from benchmarks.matcher.workload import Workload, read_rules
from benchmarks.support.progress import announce
from eventyard.core.pattern.language import Pattern, parse

MB = 1e6
NEW_PATHS = 50
"""Edits that bring a path that no rule has: each may cost many times what another does."""


class Told(msgspec.Struct, frozen=True):
    building: Building
    edits: tuple[Edits, ...]


def asked(load: Workload, rules: int, edits: int) -> Told:
    """What such a process found."""
    announce(f"{rules:,} rules: built and edited in a process of their own")
    files = [str(path) for path in (load.rules, load.newcomers, load.events)]
    command = [sys.executable, "-m", "benchmarks.matcher.editing", *files, "--rules", str(rules), "--edits", str(edits)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    return msgspec.json.decode(done.stdout, type=Told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs=3, type=Path)
    parser.add_argument("--rules", type=int, default=100_000)
    parser.add_argument("--edits", type=int, default=1_000)
    options = parser.parse_args()
    rules, newcomers, events = options.files
    standing, building = build(rules, options.rules)
    lines = events.read_bytes().splitlines()
    with AsInLife():
        known = edit(standing, list(_newcomers(newcomers, options.edits)), lines, is_new_path=False)
        new = edit(standing, list(_on_new_paths(newcomers, min(options.edits, NEW_PATHS))), lines, is_new_path=True)
    sys.stdout.buffer.write(msgspec.json.encode(Told(building, (known, new))))


class Standing:
    """The only one to hold the index, so that an edit releases the one before."""

    def __init__(self, patterns: dict[int, Pattern], subject: Subject) -> None:
        self.patterns = patterns
        self.subject = subject

    def add(self, key: int, pattern: Pattern) -> None:
        self.subject = self.subject.with_rule(key, pattern)

    def remove(self, key: int) -> None:
        self.subject = self.subject.without(key)


def build(path: Path, rules: int) -> tuple[Standing, Building]:
    """What took how long and how much. The collector is as in a process that has just started."""
    list(read_rules(path, 10))  # Whatever the first of them brings into memory is no rule's.
    gc.collect()
    before = resident_mb("VmRSS")
    began = time.thread_time()
    patterns = dict(enumerate((pattern for _, pattern in read_rules(path, rules)), 1))
    parsed, with_patterns = time.thread_time(), resident_mb("VmRSS")
    subject = built(patterns)
    done = time.thread_time()
    gc.collect()
    after, peak = resident_mb("VmRSS"), resident_mb("VmHWM")
    building = Building(
        len(patterns), parsed - began, done - parsed, with_patterns - before, after - with_patterns, peak - before
    )
    return Standing(patterns, subject), building


def resident_mb(which: str) -> float:
    """`VmRSS`, or `VmHWM` for the most that it ever was, of this process. Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith(which + ":"))
    return int(kilobytes) * 1024 / MB


def edit(standing: Standing, newcomers: list[Pattern], lines: list[bytes], *, is_new_path: bool) -> Edits:
    """Each newcomer is added and a rule taken away, with an event after both; then all is put back as it was.

    What is taken away is any of the rules that stood there; with new paths the newcomer itself, and its path with it.
    """
    took: dict[str, list[float]] = {name: [] for name in ("add", "match_after_add", "usual", "remove", "match_after_remove")}
    chance = Random(3)
    newest = max(standing.patterns) + 1
    for pattern in newcomers:
        line = chance.choice(lines)
        leaving = newest if is_new_path else 1 + int(chance.random() * len(standing.patterns))
        took["add"].append(_microseconds(partial(standing.add, newest, pattern)))
        took["match_after_add"].append(_microseconds(partial(standing.subject.match, line)))
        took["usual"].append(_microseconds(partial(standing.subject.match, line)))
        took["remove"].append(_microseconds(partial(standing.remove, leaving)))
        took["match_after_remove"].append(_microseconds(partial(standing.subject.match, line)))
        standing.remove(newest)
        if leaving in standing.patterns:
            standing.add(leaving, standing.patterns[leaving])
    spreads = {name: spread(each) for name, each in took.items()}
    return Edits(len(standing.patterns), "new" if is_new_path else "known", **spreads)


def _microseconds(work: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began) / 1e3


def spread(took: list[float]) -> Spread:
    return Spread(len(took), statistics.median(took), statistics.quantiles(took, n=100, method="inclusive")[98], max(took))


def _newcomers(path: Path, count: int) -> Iterator[Pattern]:
    return (pattern for _, pattern in read_rules(path, count))


def _on_new_paths(path: Path, count: int) -> Iterator[Pattern]:
    """Patterns that also want a field which no rule before them had."""
    with path.open("rb") as lines:
        for number, line in enumerate(itertools.islice(lines, count)):
            pattern = msgspec.json.decode(line)["pattern"]
            yield parse(msgspec.json.encode({**pattern, f"added{number}": {"deep": {"down": [number]}}}))


if __name__ == "__main__":
    main()
