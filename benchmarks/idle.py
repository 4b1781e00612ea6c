"""What a bus costs that nobody talks to: memory and processor time, with ten rules, and again with its dedup window full.

    python benchmarks/idle.py --seconds 20

The yardstick is a bare Python process of the same version that waits, for its memory. Memory is what is resident (RSS), shared
pages of the interpreter and libraries included; processor time is that of all threads, as a share of one core.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.publish_single import copy_filled, put_rules
from benchmarks.support.processes import BUS, Running, server

BARE = "import time; print('waits on nothing', flush=True); time.sleep(3600)"
SETTLE_S = 3.0
"""After the start and the rules, before anything is counted."""


def wakes(pid: int) -> int:
    """How often its threads went to sleep of their own will so far: each time, something woke them."""
    told = (task.read_text(encoding="ascii") for task in Path(f"/proc/{pid}/task").glob("*/status"))
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in told)


def measure(name: str, running: Running, seconds: float) -> float:
    """One line; the resident megabytes."""
    time.sleep(SETTLE_S)
    cpu_s, woken = running.cpu_s(), wakes(running.pid)
    time.sleep(seconds)
    core = (running.cpu_s() - cpu_s) / seconds
    often = (wakes(running.pid) - woken) / seconds
    resident = running.resident_mb()
    print(f"{name:12} {resident:6.1f} MB   {core:6.2%} of a core   {often:5.1f} wakes/s")
    return resident


def measure_bus(name: str, folder: Path, seconds: float) -> float:
    with server(*BUS, str(folder)) as bus:
        put_rules(bus.url, "http://127.0.0.1:9/never")
        return measure(name, bus, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the three")
    parser.add_argument("--data", help="a folder on the disk to use; default: the system's temporary folder")
    parser.add_argument("--filled", help="a store whose window is full, to be copied; default: fill one (some 10 s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        copy_filled(Path(folder) / "filled", options.filled)
        with server("-c", BARE) as bare:
            least = measure("bare Python", bare, options.seconds)
        new = measure_bus("new bus", Path(folder) / "new", options.seconds)
        full = measure_bus("window full", Path(folder) / "filled", options.seconds)
    print(f"ratio        {new / least:6.1f} times a bare Python's memory, {full / least:.1f} with the window full")


if __name__ == "__main__":
    main()
