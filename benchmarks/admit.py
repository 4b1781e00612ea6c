"""What one event costs inside the machine, with 10, 1,000 and 100,000 rules on the bus, and how much of that is matching.

    python benchmarks/admit.py --workload FOLDER

FOLDER as for `many_rules.py`. Batches of 100 events go through the writer on the memory engine, so no disk takes part: the step is admitted
(known ids, the event, its deliveries), its changes applied to memory, and its callers answered. Microseconds of processor time for an
event, the median of rounds in turns:

- `matching`: asking the index about the event, by itself (`machine.foresee`, as who publishes does ahead of the step).
- `step`: one step of the writer with events that were matched ahead.
- `edited`: the same where a rule was edited since, so that the step matches again.

The rules are pulled by nobody, so what they match waits; `deliveries` says how many that is for an event.
"""

import argparse
import gc
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.many_rules import BATCH, Workload
from eventyard.core import machine, rule
from eventyard.core.commands import Publish, PutRule
from eventyard.core.event import Event, from_structured
from eventyard.core.system import DEFAULT_BUS
from eventyard.engines.memory import MemoryEngine
from eventyard.process import GC_THRESHOLDS
from eventyard.serve import SystemClock
from eventyard.writer import Writer

T = TypeVar("T")

COUNTS = (10, 1_000, 100_000)
PUTS_AT_ONCE = 500


class Bus:
    """A writer that is stepped by hand."""

    def __init__(self) -> None:
        self.writer = Writer(MemoryEngine(), SystemClock())
        self.writer.open(lambda: "benchmark")
        self.state = self.writer.states[self.writer.numbers[DEFAULT_BUS]]

    def put(self, rules: Sequence[tuple[str, bytes]]) -> None:
        for start in range(0, len(rules), PUTS_AT_ONCE):
            for name, document in rules[start : start + PUTS_AT_ONCE]:
                self._submit(PutRule(name, *rule.parse(document)))
            self._work()

    def publish(self, command: Publish) -> None:
        self._submit(command)
        self._work()

    def _submit(self, command: Any) -> None:
        self.writer.submit(DEFAULT_BUS, command, _heard)

    def _work(self) -> None:
        while self.writer.step():
            pass


def _heard(answer: Any) -> None:
    if isinstance(answer, Exception):
        raise answer


class Costs(NamedTuple):
    """Microseconds for an event, and its deliveries."""

    matching: float
    step: float
    edited: float
    deliveries: float


def measure(bus: Bus, workload: Workload, batches: int) -> Costs:
    numbers = itertools.count(batches)
    for events in some(workload, range(batches)):  # What is made when it is first asked for is not an event's cost.
        bus.publish(machine.foresee(bus.state.live, events))
    before, matching, step, edited = sum(bus.state.pending.values()), list[float](), list[float](), list[float]()
    for _ in range(batches):
        events, others = some(workload, (next(numbers), next(numbers)))
        took_us, command = taken(partial(machine.foresee, bus.state.live, events))
        matching.append(took_us)
        step.append(taken(partial(bus.publish, command))[0])
        edited.append(taken(partial(bus.publish, Publish(tuple(others))))[0])
    deliveries = (sum(bus.state.pending.values()) - before) / (2 * batches * BATCH)
    return Costs(statistics.median(matching), statistics.median(step), statistics.median(edited), deliveries)


def some(workload: Workload, batches: Sequence[int]) -> Iterator[list[Event]]:
    for number in batches:
        yield [from_structured(workload.event(number * BATCH + index)) for index in range(BATCH)]


def taken(work: Callable[[], T]) -> tuple[float, T]:
    """Microseconds of this thread's processor time for each event of a batch, and what came of it."""
    began_ns = time.thread_time_ns()
    found = work()
    return (time.thread_time_ns() - began_ns) / 1e3 / BATCH, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", type=Path, required=True, help="a folder with rules.jsonl and events.jsonl")
    parser.add_argument("--batches", type=int, default=50, help="rounds, a batch of 100 events each")
    options = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)
    workload, bus, before = Workload(options.workload, {"queue": {}}), Bus(), 0
    print(f"{'rules':>8} {'matching us':>12} {'step us':>8} {'of both':>8} {'edited us':>10} {'deliveries':>11}")
    for count in COUNTS:
        bus.put(workload.rules[before:count])
        before = count
        gc.freeze()
        found = measure(bus, workload, options.batches)
        share = found.matching / (found.matching + found.step)
        print(
            f"{count:>8,} {found.matching:>12.1f} {found.step:>8.1f} {share:>8.0%} {found.edited:>10.1f} {found.deliveries:>11.2f}"
        )


if __name__ == "__main__":
    main()
