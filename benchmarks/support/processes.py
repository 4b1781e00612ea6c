"""Processes that a benchmark starts and ends: the bus, and whatever stands beside it. What they cost is read from /proc."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

BUS = ("-m", "eventyard", "serve", "--port", "0", "--data")
"""Arguments of `server` for a bus; the folder of its data follows."""

START_S = 20.0


class Running(NamedTuple):
    """A server that we started."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Processor time that it has used, all threads together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """Memory that is resident (RSS), shared pages of libraries included."""
        return self._memory_mb("VmRSS")

    def peak_mb(self) -> float:
        """The most that was ever resident."""
        return self._memory_mb("VmHWM")

    def _memory_mb(self, name: str) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.partition(f"{name}:")[2].split()[0]) / 1024


@contextmanager
def server(*arguments: str) -> Iterator[Running]:
    """A Python process whose first line ends in its URL."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe, for mypy
        said = process.stdout.readline()
        if not said:
            raise SystemExit("the server did not start; its error stands above")
        try:
            yield Running(said.split()[-1], process.pid)
        finally:
            process.terminate()
            process.communicate()


@contextmanager
def program(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Any other process; what it says stands in `log`."""
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            yield process
        finally:
            process.terminate()


def wait_until(is_so: Callable[[], bool], what: str, *, patience_s: float = START_S) -> None:
    """Look again every few milliseconds until it is so."""
    ends_at = time.perf_counter() + patience_s
    while not is_so():
        if time.perf_counter() > ends_at:
            raise SystemExit(f"waited {patience_s:.0f} s in vain for this: {what}")
        time.sleep(0.005)
