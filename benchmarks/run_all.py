"""Every benchmark, each in a short run, and one table of what they found: ours, its yardstick of the same run, and the ratio.

    make bench

A short run tells the order of things; for figures to quote run each by itself, on a machine that does nothing else
(docs/internals/measurements.md).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.fill_window import fill

ROOT = Path(__file__).parents[1]
NUMBER = r"\s*([\d,.]+)"


class Line(NamedTuple):
    """A line of the table, and where its three figures stand in what the benchmark prints."""

    name: str
    wanted: str
    ours: str
    yardstick: str
    ratio: str


class Benchmark(NamedTuple):
    module: str
    arguments: tuple[str, ...]
    lines: tuple[Line, ...]
    needs_window: bool = False


def bank(name: str, wanted: str, begins: str) -> Line:
    """A line of the matcher's."""
    figures = (rf"^{begins} .*?{said}{NUMBER}" for said in ("ours", "loads", "ratio"))
    return Line(f"events/s matched, {name}; orjson.loads", wanted, *figures)


MATCHED = ("--bank", "exact", "--bank", "wildcard", "--bank", "all together")
PULLED = r"^eventyard$|^eventyard, overlapped|^jetstream$|^redis always$"
SINGLE = Line("", "ratio 0.5", rf"bus{NUMBER} req/s", rf"empty{NUMBER} req/s", rf"ratio{NUMBER}")
BENCHMARKS = (
    Benchmark(
        "matcher",
        ("--part", "banks", *MATCHED, "--part", "scale", "--scales", "1000,10000", "--lines", "10000", "--rounds", "5"),
        (
            bank("five exact rules, lots", "ratio 4", "exact  .*arrays"),
            bank("five wildcard rules, lots", "ratio 3", "wildcard  .*arrays"),
            bank("45 rules of nine kinds, lots", "ratio 0.4", r"all together \(45 rules\)"),
            bank("10,000 rules, where their generator is", "ratio 0.4", "10,000 rules"),
        ),
    ),
    Benchmark(
        "publish_single",
        ("--seconds", "16", "--held"),
        (SINGLE._replace(name="single events/s, deliveries held; an empty 202"),),
        needs_window=True,
    ),
    Benchmark(
        "publish_single",
        ("--seconds", "16"),
        (SINGLE._replace(name="single events/s, pushed meanwhile; an empty 202"),),
        needs_window=True,
    ),
    Benchmark(
        "publish_batches",
        ("--seconds", "18"),
        (
            Line(
                "events/s in batches, held; the door alone",
                "25,000/s",
                rf"held{NUMBER} events",
                rf"door{NUMBER} events",
                rf"ratio{NUMBER} held / door",
            ),
            Line(
                "events/s in batches, pushed meanwhile; the door alone",
                "",
                rf"pushed{NUMBER} events",
                rf"door{NUMBER} events",
                rf"{NUMBER} pushed / door",
            ),
            Line(
                "events/s in batches, held; a bare insert",
                "",
                rf"held{NUMBER} events",
                rf"bare{NUMBER} events",
                rf"{NUMBER} held / bare",
            ),
        ),
        needs_window=True,
    ),
    Benchmark(
        "latency",
        ("--seconds", "12"),
        (
            Line(
                "ms to the webhook at 500/s, p50; one fsync",
                "p50 < 8",
                rf"webhook\s+p50{NUMBER}",
                rf"fsync\s+p50{NUMBER}",
                rf"ratio{NUMBER}",
            ),
            Line(
                "ms to the webhook at 500/s, p99; a bare request",
                "p99 < 40",
                rf"webhook.*?p99{NUMBER}",
                rf"bare .*?p99{NUMBER}",
                "",
            ),
        ),
    ),
    Benchmark(
        "end_to_end",
        ("--seconds", "12"),
        (
            Line(
                "deliveries/s end to end, fan-out 1; bare requests",
                "",
                rf"fan-out 1{NUMBER}",
                rf"bare{NUMBER}",
                rf"fan-out 1.*?ratio{NUMBER}",
            ),
            Line(
                "deliveries/s end to end, fan-out 3; bare requests",
                "",
                rf"fan-out 3{NUMBER}",
                rf"bare{NUMBER}",
                rf"fan-out 3.*?ratio{NUMBER}",
            ),
        ),
    ),
    Benchmark(
        "pull",
        ("--events", "20000", "--rounds", "3", "--only", PULLED),
        (
            Line(
                "deliveries/s pulled and acknowledged; nats-py on JetStream",
                "40,000/s",
                rf"^eventyard{NUMBER} deliveries",
                rf"^jetstream{NUMBER} deliveries",
                rf"^jetstream .*?ours / this{NUMBER}",
            ),
            Line(
                "deliveries/s pulled, acknowledging while receiving; Redis, fsynced",
                "",
                rf"^eventyard, overlapped{NUMBER} deliveries",
                rf"^redis always{NUMBER} deliveries",
                rf"^redis always .*?ours / this{NUMBER}",
            ),
        ),
    ),
    Benchmark(
        "outbox",
        ("--events", "20000", "--rounds", "3"),
        tuple(
            Line(
                f"events/s relayed from an outbox in {name}; publishing as many in batches",
                "5,000/s",
                rf"^{kind}{NUMBER} events",
                rf"^plain{NUMBER} events",
                rf"ratio{NUMBER} {kind}",
            )
            for name, kind in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
        ),
    ),
    Benchmark(
        "order",
        ("--events", "40000", "--rounds", "2"),
        (
            Line(
                "events/s published and pulled in order, 100,000 keys; without order",
                "ratio 0.7",
                rf"order key{NUMBER}",
                rf"order none{NUMBER}",
                rf"ratio{NUMBER}",
            ),
        ),
    ),
    Benchmark(
        "workers",
        ("--events", "10000", "--rounds", "2"),
        (
            Line(
                "deliveries/s pushed by two workers; by the server itself",
                "ratio 1.5",
                rf"2 workers{NUMBER} deliveries",
                rf"in-process{NUMBER} deliveries",
                rf"ratio{NUMBER}",
            ),
        ),
    ),
    Benchmark(
        "backlog",
        ("--events", "100000", "--seconds", "4"),
        (
            Line("MB with 100,000 undelivered; an empty bus", "300 MB", rf"undelivered:{NUMBER} MB", rf"{NUMBER} MB empty", ""),
            Line("s until ready with them; an empty bus", "2 s", rf"ready{NUMBER} s", rf"{NUMBER} s empty", ""),
            Line(
                "ms to a webhook, p99, while a rule catches up; while none does",
                "ratio < 2",
                rf"catching up.*?p50 .*?p99{NUMBER}",
                rf"quiet.*?p50 .*?p99{NUMBER}",
                rf"{NUMBER} arrived p99",
            ),
        ),
    ),
    Benchmark(
        "retention",
        ("--events", "100000", "--rounds", "2"),
        (
            Line(
                "MB after retention left a tenth; a new store",
                "",
                rf"full,{NUMBER} MB after",
                rf"{NUMBER} MB a new store",
                rf"came back{NUMBER}",
            ),
            Line(
                "events/s published while retention removes as many; while it rests",
                "",
                rf"cost{NUMBER} events/s",
                rf"{NUMBER} events/s without",
                rf"without.*?ratio{NUMBER}",
            ),
        ),
    ),
    Benchmark(
        "dead_targets",
        ("--seconds", "8", "--rounds", "2"),
        (
            Line(
                "ms to healthy webhooks, p99, 10 of 1,000 rules dead; none dead",
                "ratio < 1.5",
                rf"10 dead .*?p99{NUMBER}",
                rf"all healthy.*?p99{NUMBER}",
                rf"ratio{NUMBER}",
            ),
        ),
    ),
    Benchmark(
        "push_alone",
        ("--seconds", "8"),
        (Line("pushes/s, transport alone; bare libcurl", "", rf"ours{NUMBER}", rf"bare{NUMBER}", rf"ratio{NUMBER}"),),
    ),
    Benchmark(
        "history",
        ("--events", "100000"),
        (
            Line(
                "events/s read from the log; bare rows",
                "300,000/s",
                rf"{NUMBER} events/s   bare rows",
                rf"bare rows{NUMBER}",
                rf"ratio{NUMBER}",
            ),
        ),
    ),
    Benchmark(
        "damage_watch",
        ("--events", "100000"),
        (
            Line(
                "us for a commit of 30 events, with marks; without",
                "",
                rf"commits of  30:{NUMBER} us",
                rf"of  30:.*?with marks,{NUMBER} us",
                rf"of  30:.*?ratio{NUMBER}",
            ),
        ),
    ),
    Benchmark(
        "history_http",
        ("--events", "100000"),
        (
            Line(
                "events/s of history in pages over HTTP; the same bytes ready made",
                "60,000/s",
                rf"pages{NUMBER} events/s",
                rf"bare{NUMBER} events/s",
                rf"ratio{NUMBER}",
            ),
            Line(
                "events/s of history as a stream; the same bytes ready made",
                "",
                rf"stream{NUMBER} events/s",
                rf"bare{NUMBER} events/s",
                rf"{NUMBER} stream / bare",
            ),
        ),
    ),
    Benchmark(
        "backtest",
        ("--events", "100000", "--seconds", "8"),
        (
            Line(
                "events/s of a backtest over HTTP; history filtered by the same pattern",
                "",
                rf"one{NUMBER} events/s",
                rf"filtered{NUMBER} events/s",
                rf"ratio{NUMBER} one",
            ),
            Line(
                "ms until 202 at 100/s, p99, during backtests; without",
                "",
                rf"meanwhile.*?p99{NUMBER}",
                rf"alone.*?p99{NUMBER}",
                "",
            ),
        ),
    ),
    Benchmark(
        "streams",
        ("--seconds", "12"),
        (
            Line(
                "ms until 202 at 100/s, p99, with 200 streams; with none",
                "",
                rf"200 streams.*?p99{NUMBER}",
                rf"nobody.*?p99{NUMBER}",
                rf"ratio{NUMBER}",
            ),
            Line("ms until one of 200 streams heard, p99", "", rf"heard.*?p99{NUMBER}", "", ""),
        ),
    ),
    Benchmark(
        "backup",
        ("--seconds", "36", "--events", "50000"),
        (
            Line("events/s beside a backup; alone", "", rf"backup{NUMBER} events", rf"alone{NUMBER} events", ""),
            Line("ms until 202 beside a backup, p99; alone", "", rf"backup.*?p99{NUMBER}", rf"alone.*?p99{NUMBER}", ""),
        ),
    ),
    Benchmark(
        "idle",
        ("--seconds", "8"),
        (
            Line(
                "MB idle; a bare Python", "100 MB", rf"new bus{NUMBER} MB", rf"bare Python{NUMBER} MB", rf"ratio{NUMBER} times"
            ),
            Line("% of a core idle", "1 %", rf"new bus.*?MB{NUMBER}%", "", ""),
            Line(
                "MB idle, window full; a bare Python",
                "100 MB",
                rf"window full{NUMBER} MB",
                rf"bare Python{NUMBER} MB",
                rf"memory,{NUMBER} with",
            ),
        ),
        needs_window=True,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    parser.add_argument("--only", help="run only the benchmarks whose name contains this")
    options = parser.parse_args()
    chosen = [benchmark for benchmark in BENCHMARKS if (options.only or "") in benchmark.module]
    print(f"{len(chosen)} benchmarks; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        os.environ["TMPDIR"] = folder
        filled = Path(folder) / "filled.db"
        if any(benchmark.needs_window for benchmark in chosen):
            announce("filling a dedup window")
            fill(str(filled))
        table = [row for number, benchmark in enumerate(chosen, 1) for row in run(benchmark, f"{number}/{len(chosen)}", filled)]
    announce("")
    show([("", "ours", "yardstick", "ratio", "wanted"), *table])


def announce(text: str) -> None:
    """What is under way, in one line that the next one replaces on a terminal."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)
    elif text:
        print(text, flush=True)


def run(benchmark: Benchmark, progress: str, filled: Path) -> list[tuple[str, ...]]:
    arguments = [*benchmark.arguments, *(["--filled", str(filled)] if benchmark.needs_window else [])]
    announce(f"{progress} {benchmark.module} {' '.join(benchmark.arguments)}")
    began = time.perf_counter()
    command = [sys.executable, "-m", f"benchmarks.{benchmark.module}", *arguments]
    errors = None if sys.stderr.isatty() else subprocess.STDOUT  # On a terminal each shows its own progress there.
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
    if done.returncode:
        announce("")
        print(f"{benchmark.module} failed after {time.perf_counter() - began:.0f} s:\n{done.stdout}", flush=True)
        return [(line.name, "failed", "", "", line.wanted) for line in benchmark.lines]
    return [row(line, done.stdout) for line in benchmark.lines]


def row(line: Line, told: str) -> tuple[str, ...]:
    return line.name, *(find(pattern, told) for pattern in (line.ours, line.yardstick, line.ratio)), line.wanted


def find(pattern: str, told: str) -> str:
    """The last figure that fits: the one of the last round, where a benchmark tells each."""
    found = re.findall(pattern, told, re.MULTILINE) if pattern else []
    return found[-1] if found else ""


def show(table: list[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for cells in table:
        first, *others = (
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        print("   ".join((first, *others)))


if __name__ == "__main__":
    main()
