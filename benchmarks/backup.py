"""What a backup costs those who publish meanwhile: their rate and p99 with one beside them, as a ratio to without.

A store of 200,000 events and full speed on every side: 64 publishers in a closed loop, backups one after another for as long as they
publish, client and bus and backup on the same cores. In turns within one run: alone, beside `eventyard backup`, and beside the plainest
copy of a store in use, `VACUUM INTO`, which is the yardstick.

    python benchmarks/backup.py --seconds 60 --events 200000
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.history import fill
from benchmarks.publish_single import BUS, event, server
from benchmarks.support import load

ROUNDS = 3
CONCURRENCY = 64
OURS = (sys.executable, "-m", "eventyard", "backup", "--force")
VACUUM = """
import sys, apsw
from pathlib import Path
Path(sys.argv[1]).unlink(missing_ok=True)
apsw.Connection(sys.argv[3] + "/eventyard.db").execute("VACUUM INTO ?", (sys.argv[1],))
"""
PLAIN = (sys.executable, "-c", VACUUM)


class Copying:
    """Copies of the store, one after another, from a thread of its own until it is stopped."""

    def __init__(self, command: tuple[str, ...], store: Path, target: Path) -> None:
        self._command = [*command, str(target), "--data", str(store)]
        self.took: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.took.append(timed(self._command))


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the whole run")
    parser.add_argument("--events", type=int, default=200_000, help="in the store at the beginning")
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        measure(Path(folder), options.events, options.seconds / ROUNDS / 3)


def measure(folder: Path, events: int, share: float) -> None:
    store, target = folder / "bus", folder / "copy.db"
    store.mkdir()
    fill(store / "eventyard.db", events)
    idle_s = timed([*OURS, str(target), "--data", str(store)])
    rounds: dict[str, list[dict[str, Any]]] = {"alone": [], "backup": [], "vacuum": []}
    took: dict[str, list[float]] = {"backup": [], "vacuum": []}
    log_bytes = 0
    with server(BUS, str(store)) as url:
        for _ in range(ROUNDS):
            for name, command in (("alone", None), ("backup", OURS), ("vacuum", PLAIN)):
                with ExitStack() as stack:
                    copying = stack.enter_context(Copying(command, store, target)) if command else None
                    rounds[name].append(
                        load.run(f"{url}/v1/buses/default/events", event(880), concurrency=CONCURRENCY, seconds=share)
                    )
                if copying:
                    took[name] += copying.took
                if name == "backup":
                    log_bytes = max(log_bytes, (store / "eventyard.db-wal").stat().st_size)
    show(rounds)
    print(
        f"backup {statistics.mean(took['backup']):9.1f} s each, verified; {idle_s:.1f} s with nobody beside it;"
        f" VACUUM INTO alone {statistics.mean(took['vacuum']):.1f} s, not verified; log at most {log_bytes / 1e6:.0f} MB"
    )


def show(rounds: dict[str, list[dict[str, Any]]]) -> None:
    alone = rounds["alone"]
    for name, measured in rounds.items():
        rate = statistics.median(each["per_second"] for each in measured)
        latency = {point: statistics.median(each["latency_ms"][point] for each in measured) for point in ("p50", "p99", "max")}
        pairs = list(zip(measured, alone, strict=True))
        slower = statistics.median(ours["per_second"] / bare["per_second"] for ours, bare in pairs)
        later = statistics.median(ours["latency_ms"]["p99"] / bare["latency_ms"]["p99"] for ours, bare in pairs)
        print(
            f"{name:6} {rate:9,.0f} events/s   p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms, max {latency['max']:.0f} ms"
            f"   ratio {slower:.2f} of the rate, {later:.2f} of the p99"
        )


if __name__ == "__main__":
    main()
