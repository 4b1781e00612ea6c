"""One bus with ever more rules, up to 100,000: what creating them, publishing, editing, reading, restarting and memory come to.

    python benchmarks/many_rules.py --workload FOLDER --seconds 5

FOLDER holds `rules.jsonl` and `events.jsonl` as the generator of rule scale writes them (see `benchmarks/matcher/workload.py`): with
EventBridge's names, a document a line, a rule being `{"name": ..., "pattern": ...}`. The
rules come first as they stand in the file; with so many of them on the bus as `--counts` says, the same events are published as before, of
which each matches a handful. `pull`: deliveries are written and wait. `--push`: they go to one sink meanwhile.

`edited`: single events, one at a time, while another connection changes, deletes and creates rules as fast as it is answered. `quiet`:
the same without. So what the one waits for the other shows at their p99.
"""

import argparse
import http.client
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_single import sink
from benchmarks.support.processes import BUS, START_S, Running, server, wait_until
from eventyard.core.pattern.eventbridge import from_eventbridge

CONNECTIONS = 4
BATCH = 100
PAGES = 5
"""Pages of a list that are read: enough to tell what one costs."""
SCRAPED_ANEW_S = 1.1
"""A scrape within a second is answered from the one before."""


class Caller:
    """One connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, bytes]:
        self._connection.request(method, path, body, {"content-type": kind})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def want(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        status, told = self.ask(method, path, body, kind)
        if status >= 300:
            raise SystemExit(f"{method} {path}: found status {status}: {told[:300].decode()}")
        return told


class Workload:
    """The rules and events of a folder, in our names."""

    def __init__(self, folder: Path, target: dict[str, Any]) -> None:
        self.rules = [self._rule(line, target) for line in (folder / "rules.jsonl").open(encoding="utf-8")]
        self.events = [self._event(line) for line in (folder / "events.jsonl").open(encoding="utf-8")]
        self._numbers = itertools.count(time.time_ns() // 1000)

    @staticmethod
    def _rule(line: str, target: dict[str, Any]) -> tuple[str, bytes]:
        rule = json.loads(line)
        return rule["name"], json.dumps({"pattern": from_eventbridge(rule["pattern"]), "target": target}).encode()

    @staticmethod
    def _event(line: str) -> bytes:
        """All of an event but the beginning of its id."""
        event = from_eventbridge(json.loads(line))
        members = {name: event[name] for name in ("source", "type", "time", "account", "region", "data")}
        text = json.dumps({"specversion": "1.0", **members}, separators=(",", ":"), ensure_ascii=False)
        return text[1:].encode()

    def event(self, number: int) -> bytes:
        return b'{"id":"%d",%b' % (next(self._numbers), self.events[number % len(self.events)])

    def batch(self, number: int) -> bytes:
        return b"[" + b",".join(self.event(number * BATCH + index) for index in range(BATCH)) + b"]"


def rule_path(name: str) -> str:
    return f"/v1/buses/default/rules/{name}"


EVENTS = "/v1/buses/default/events"


# Creating


def create(running: Running, rules: Sequence[tuple[str, bytes]]) -> None:
    """All of them, over several connections at once."""
    began, cpu_s = time.perf_counter(), running.cpu_s()
    parts = [rules[start::CONNECTIONS] for start in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(lambda part: _create(Caller(running.url), part), parts))
    took_s, cpu_us = time.perf_counter() - began, (running.cpu_s() - cpu_s) / len(rules) * 1e6
    print(
        f"  {len(rules):,} rules created in {took_s:.1f} s: {len(rules) / took_s:,.0f}/s, {cpu_us:,.0f} us of processor each,"
        f" {running.resident_mb():.0f} MB resident",
        flush=True,
    )


def _create(caller: Caller, rules: Sequence[tuple[str, bytes]]) -> None:
    for name, document in rules:
        caller.want("PUT", rule_path(name), document)


# Publishing


def publish(running: Running, workload: Workload, seconds: float) -> None:
    before, cpu_s = put(running), running.cpu_s()
    ends_at = time.perf_counter() + seconds
    began = time.perf_counter()

    def run(first: int) -> int:
        caller, count = Caller(running.url), 0
        while time.perf_counter() < ends_at:
            caller.want("POST", EVENTS, workload.batch(first + count * CONNECTIONS), "application/cloudevents-batch+json")
            count += 1
        return count

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        events = sum(pool.map(run, range(CONNECTIONS))) * BATCH
    took_s, cpu_us = time.perf_counter() - began, (running.cpu_s() - cpu_s) / events * 1e6
    matched = (put(running) - before) / events
    print(
        f"  {events / took_s:,.0f} events/s in batches, {cpu_us:.0f} us of processor each, {matched:.2f} rules matched",
        flush=True,
    )


def put(running: Running) -> float:
    """Deliveries ever put, as the metrics have it."""
    time.sleep(SCRAPED_ANEW_S)
    kinds = ("", "_delivered_total", "_discarded_total")
    names = tuple(f"eventyard_deliveries{kind}{{" for kind in kinds)
    told = Caller(running.url).want("GET", "/metrics").decode()
    return sum(float(line.rpartition(" ")[2]) for line in told.splitlines() if line.startswith(names))


def publish_while_edited(running: Running, workload: Workload, count: int, seconds: float) -> None:
    quiet = _singles(running, workload, seconds)
    is_over, edits = threading.Event(), list[float]()
    editor = threading.Thread(target=_edit, args=(running, workload, count, is_over, edits))
    editor.start()
    edited = _singles(running, workload, seconds)
    is_over.set()
    editor.join()
    print(
        f"  single events until 202, {told(quiet)}; while {len(edits) / seconds:,.0f} rules a second are edited, {told(edited)};"
        f" an edit, {told(edits)}",
        flush=True,
    )


def _singles(running: Running, workload: Workload, seconds: float) -> list[float]:
    caller, took, ends_at = Caller(running.url), list[float](), time.perf_counter() + seconds
    for number in itertools.count():
        body, began = workload.event(number), time.perf_counter()
        if began > ends_at:
            break
        caller.want("POST", EVENTS, body, "application/cloudevents+json")
        took.append(time.perf_counter() - began)
        time.sleep(0.002)
    return took


def _edit(running: Running, workload: Workload, count: int, is_over: threading.Event, took: list[float]) -> None:
    """In turns: a rule gets another's pattern and its own again; it is deleted and created again."""
    caller = Caller(running.url)
    for name, document, other in _edits(workload.rules[:count]):
        for body in (other, document, None, document):
            if is_over.is_set() and body == other:
                return
            began = time.perf_counter()
            caller.want("DELETE" if body is None else "PUT", rule_path(name), body)
            took.append(time.perf_counter() - began)


def _edits(rules: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, bytes, bytes]]:
    for number in itertools.count(step := 7919, step):
        name, document = rules[number % len(rules)]
        yield name, document, rules[(number + 1) % len(rules)][1]


def told(took: Sequence[float]) -> str:
    ordered = sorted(took)
    return f"p50 {statistics.median(ordered) * 1e3:.2f} ms, p99 {ordered[int(len(ordered) * 0.99)] * 1e3:.2f} ms"


# Reading


def read(running: Running, count: int) -> None:
    """What a page of each list takes, and a scrape."""
    caller = Caller(running.url)
    head = json.loads(caller.want("GET", "/v1/buses/default"))["head"]
    after = f"r{count // 2:06}"
    reads: dict[str, Callable[[], object]] = {
        "1,000 rules": lambda: caller.want("GET", f"/v1/buses/default/rules?limit=1000&after={after}"),
        "1,000 statuses": lambda: caller.want("GET", f"/v1/buses/default/statuses?limit=1000&after={after}"),
        "explaining to 100": lambda: caller.want("GET", f"/v1/buses/default/events/{head}/explain?limit=100"),
        "one status": lambda: caller.want("GET", rule_path(after) + "/status"),
        "readiness": lambda: caller.want("GET", "/readyz"),
    }
    found = []
    for name, ask in reads.items():
        found.append(f"{name} {statistics.median(timed(ask) for _ in range(PAGES)) * 1e3:.1f} ms")
    time.sleep(SCRAPED_ANEW_S)
    cpu_s = running.cpu_s()
    scraped = timed(lambda: caller.want("GET", "/metrics"))
    found.append(f"a scrape {scraped * 1e3:.0f} ms, {(running.cpu_s() - cpu_s) * 1e3:.0f} ms of processor")
    print(f"  {', '.join(found)}", flush=True)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rest(running: Running, seconds: float) -> None:
    cpu_s = running.cpu_s()
    time.sleep(seconds)
    print(f"  idle: {(running.cpu_s() - cpu_s) / seconds:.1%} of a core, {running.resident_mb():.0f} MB resident", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", type=Path, required=True, help="a folder with rules.jsonl and events.jsonl")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--counts", default="10,1000,10000,100000", help="rules on the bus, ascending")
    parser.add_argument("--push", action="store_true", help="rules push to one sink, rather than be pulled by nobody")
    parser.add_argument("--data", help="a folder on the disk to measure, which is kept; default: a temporary one")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.data or stack.enter_context(tempfile.TemporaryDirectory())
        target = {"http": {"url": stack.enter_context(sink())}} if options.push else {"queue": {}}
        workload = Workload(options.workload, target)
        measure(folder, workload, [int(count) for count in options.counts.split(",")], options.seconds)


def measure(folder: str, workload: Workload, counts: Sequence[int], seconds: float) -> None:
    before = 0
    with server(*BUS, folder) as running:
        for count in counts:
            print(f"{count:,} rules", flush=True)
            create(running, workload.rules[before:count])
            before = count
            publish(running, workload, seconds)
            publish_while_edited(running, workload, count, seconds)
            read(running, count)
            rest(running, seconds)
    began = time.perf_counter()
    with server(*BUS, folder) as running:
        wait_until(lambda: Caller(running.url).ask("GET", "/readyz")[0] == 200, "ready", patience_s=START_S * 10)
        print(
            f"restarted with {before:,} rules in {time.perf_counter() - began:.2f} s, {running.resident_mb():.0f} MB resident"
        )


if __name__ == "__main__":
    main()
