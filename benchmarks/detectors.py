"""State becomes events: observations through ten detectors, a detector of ever more keys, and many holds that end at once beside publishing.

    python benchmarks/detectors.py --observations 100000 --keys 1000000 --holds 100000

`expected`: likewise, of ten expectations; each pair of events opens and meets one, and that is told or not.
`observed`: batches of 100, published in process to the embedded engine with its fsyncs, of which each event feeds one of ten detectors; beside
the same without a detector. `keys`: one detector that knows so many, the process's memory, and how long a new process takes to be ready. `holds`: so many
holds that end within one second, while single events are published one after the other; beside the same without.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import msgspec

from eventyard.core import event as events
from eventyard.core import limits, machine
from eventyard.core.changes import Changes
from eventyard.core.commands import Publish, RunTimers
from eventyard.core.detector import KeyState, Phase
from eventyard.core.emitter import EmitterTally, Kept
from eventyard.core.event import Event
from eventyard.core.origin import Origin
from eventyard.engines.sqlite import SqliteEngine
from tests.support.builders import Stepped, put_detector, put_expectation

DETECTORS = 10
BATCH = 100


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--observations", type=int, default=50_000)
    asked.add_argument("--keys", type=int, default=1_000_000)
    asked.add_argument("--holds", type=int, default=100_000)
    asked.add_argument("--ready", metavar="FOLDER", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.ready:
        tell(ready(Path(given.ready)))
        return
    for count in (0, DETECTORS):
        with tempfile.TemporaryDirectory() as folder:
            tell({"case": "observed", "detectors": count} | observed(Path(folder), count, given.observations))
    for outcomes in ((), ("missed",), ("missed", "met")):
        with tempfile.TemporaryDirectory() as folder:
            tell({"case": "expected", "told": outcomes} | expected(Path(folder), outcomes, given.observations))
    with tempfile.TemporaryDirectory() as folder:
        tell({"case": "keys"} | known_keys(Path(folder), given.keys))
    with tempfile.TemporaryDirectory() as folder:
        tell({"case": "holds"} | held(Path(folder), given.holds))


def opened(folder: Path) -> Stepped:
    return Stepped(SqliteEngine(str(folder / "eventyard.db")))


def observation(number: int, kind: int, key: int, value: int) -> Event:
    attributes = {"id": f"e{number}", "source": "/sensors", "type": f"measured.{kind}", "subject": f"k{key}"}
    return events.make(attributes, {"value": value, "unit": "celsius", "place": {"floor": 3, "room": "attic"}})


def published(bus: Stepped, batch: Sequence[Event]) -> None:
    """As the facade does it: matched ahead, and answered when it is durable."""
    answers = bus.do(machine.foresee(bus.state.live, batch))
    if refused := [answer for answer in answers if isinstance(answer, Exception)]:
        raise refused[0]


def batches(some: Iterator[Event]) -> Iterator[list[Event]]:
    batch: list[Event] = []
    for event in some:
        batch.append(event)
        if len(batch) == BATCH:
            yield batch
            batch = []


def observed(folder: Path, detectors: int, count: int) -> dict[str, Any]:
    bus = opened(folder)
    for number in range(detectors):
        on, emit = {"type": [f"measured.{number}"]}, {"rise": {"type": "high"}, "fall": {"type": "low"}}
        bus.do(put_detector(f"d{number}", on=on, when={"data": {"value": [{"numeric": [">", 90]}]}}, emit=emit))
    # 1,000 keys of each detector; one reading in fifty turns its key.
    # One key in fifty turns with each of its readings.
    some = (
        observation(n, n % 10, (key := n // 10 % 1_000), 95 if not key % 50 and n // 10_000 % 2 else 20) for n in range(count)
    )
    made = list(batches(some))
    began_s, used_s = time.perf_counter(), time.process_time()
    for batch in made:
        published(bus, batch)
    took_s, used_s = time.perf_counter() - began_s, time.process_time() - used_s
    edges = sum(counts.get("rises", 0) + counts.get("falls", 0) for counts in bus.state.emitters.tallies.values())
    bus.engine.close()
    return {"per_s": round(count / took_s), "cpu_us": round(used_s / count * 1e6, 1), "edges": edges}


def expected(folder: Path, outcomes: Sequence[str], count: int) -> dict[str, Any]:
    """Events by twos: what opens an expectation of a key of its own, and what it waits for, which every fiftieth time does not come. Ten
    expectations that tell these outcomes; none of them: no expectation.
    """
    bus, emit = opened(folder), {outcome: {"type": outcome} for outcome in outcomes}
    for number in range(DETECTORS if outcomes else 0):
        after, expect = {"type": [f"measured.{number}"]}, {"type": [f"answered.{number}"]}
        bus.do(put_expectation(f"x{number}", after=after, expect=expect, within_s=60, emit=emit))
    made = list(batches(_by_twos(count)))
    began_s, used_s = time.perf_counter(), time.process_time()
    for batch in made:
        published(bus, batch)
    took_s, used_s = time.perf_counter() - began_s, time.process_time() - used_s
    met = sum(counts.get("met", 0) for counts in bus.state.emitters.tallies.values())
    bus.engine.close()
    return {"per_s": round(count / took_s), "cpu_us": round(used_s / count * 1e6, 1), "met": met}


def _by_twos(count: int) -> Iterator[Event]:
    for number in range(count):
        key = number // 2
        event = observation(number, key % 10, key, 20)
        is_answer = number % 2 and key % 50
        attributes = {"id": f"e{number}", "source": "/sensors", "type": f"answered.{key % 10}", "subject": f"k{key}"}
        yield events.make(attributes, {"value": 20, "unit": "celsius"}) if is_answer else event


def known_keys(folder: Path, count: int) -> dict[str, Any]:
    """A store of so many keys, written as rows; then 20,000 of them, which memory does not have, are observed."""
    bus = opened(folder)
    bus.do(
        put_detector("d", on={"type": ["measured.0"]}, when={"data": {"value": [{"numeric": [">", 90]}]}}, max_keys=2 * count)
    )
    keep(bus, count, KeyState(1, Phase.FALSE, 1, values='{"data.value":20}', since_ms=bus.now().time_ms), None)
    bus.engine.close()
    bus = opened(folder)
    began_s, used_s = time.perf_counter(), time.process_time()
    for batch in batches(observation(number, 0, number * 7919 % count, 20) for number in range(20_000)):
        published(bus, batch)
    took_s, used_s = time.perf_counter() - began_s, time.process_time() - used_s
    bus.engine.close()
    command = [sys.executable, __file__, "--ready", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    bytes_ = sum(path.stat().st_size for path in folder.iterdir())
    told: dict[str, Any] = json.loads(done.stdout)
    return {
        "keys": count,
        "per_s": round(20_000 / took_s),
        "cpu_us": round(used_s / 20_000 * 1e6),
        "mib_on_disk": bytes_ >> 20,
    } | told


def keep(bus: Stepped, count: int, state: KeyState, due_ms: Callable[[int], int] | None) -> None:
    """So many keys `k0`, `k1` and so on, as if they had been observed."""
    record, at = msgspec.json.encode(state), bus.state
    for first in range(0, count, 5_000):
        numbers = range(first, min(count, first + 5_000))
        rows = [Kept(1, f"k{number}", None if due_ms is None else due_ms(number), record) for number in numbers]
        tally = EmitterTally(1, {"keys": numbers[-1] + 1, "pending": numbers[-1] + 1 if due_ms else 0})
        changes = Changes(1, bus.now(), at.head, at.floor, at.log_bytes, kept=rows, emitter_tallies=[tally])
        bus.engine.commit([changes])
        at.apply(changes)


def ready(folder: Path) -> dict[str, Any]:
    """In a process of its own, which then observes 5,000 keys."""
    began_s = time.perf_counter()
    bus = opened(folder)
    took_s = time.perf_counter() - began_s
    keys = sum(counts.get("keys", 0) for counts in bus.state.emitters.tallies.values())
    for batch in batches(observation(-1 - number, 0, number * 104_729 % keys, 95) for number in range(5_000)):
        published(bus, batch)
    told = {"ready_s": round(took_s, 3), "resident_mib": resident_mib(), "keys_found": keys}
    bus.engine.close()
    return told


def resident_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 >> 20


def held(folder: Path, count: int) -> dict[str, Any]:
    """The steps of the writer, one after the other, as the keeper and one publisher ask for them."""
    bus = opened(folder)
    bus.do(
        put_detector(
            "d", on={"type": ["measured.0"]}, when={"data": {"value": [{"numeric": [">", 90]}]}}, for_s=5, first="fire"
        )
    )
    quiet = publishing(bus, 500, is_ticked=False)
    now = bus.now()
    origin = Origin(2, "/sensors", "e1", "measured.0", "e1")
    state = KeyState(1, Phase.PENDING, 2, values='{"data.value":95}', hold_ms=now.time_ms, cause=origin)
    keep(bus, count, state, lambda number: now.work_ms + 5_000 + number * 1_000 // count)
    bus.clock.advance(6_000)
    busy = publishing(bus, 500, is_ticked=True)
    began_s, rises = time.perf_counter(), told(bus)
    while told(bus) < count and bus.do(RunTimers(limits.TIMERS_PER_STEP)):
        bus.clock.advance(20)
    rate = (told(bus) - rises) / (time.perf_counter() - began_s)
    counts = dict(bus.state.emitters.tallies[1])
    bus.engine.close()
    return {
        "holds": count,
        "p99_ms_quiet": quiet,
        "p99_ms_beside": busy,
        "ended_per_s": round(rate),
        "put_off": counts.get("put_off", 0),
    }


def told(bus: Stepped) -> int:
    rises: int = bus.state.emitters.counts(1).get("rises", 0)
    return rises


def publishing(bus: Stepped, count: int, *, is_ticked: bool) -> float:
    """The 99th percentile of single publishes; with `is_ticked` each finds a step of ending holds under way before it."""
    waits: list[float] = []
    for number in range(count):
        began_s = time.perf_counter()
        if is_ticked:
            bus.do(RunTimers(limits.TIMERS_PER_STEP))
        bus.do(Publish((events.make({"id": f"p{is_ticked}{number}", "source": "/s", "type": "other"}, {"n": number}),)))
        waits.append(time.perf_counter() - began_s)
        bus.clock.advance(1)
    return round(sorted(waits)[int(count * 0.99)] * 1000, 2)


def tell(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
