"""The server as a process that can be killed and started again on the same data."""

import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

RUNNER = Path(__file__).with_name("run_server.py")
END_S = 30.0


class Death(msgspec.Struct, frozen=True):
    """How a life is to end: at the `count`-th call of `operation`, or (`never`) from outside."""

    moment: str = "never"
    operation: str = "-"
    count: int = 0

    def __str__(self) -> str:
        return f"{self.moment} {self.operation} {self.count}" if self.count else "from outside"


class Server:
    def __init__(self, folder: Path, engine: str = "sqlite") -> None:
        self._folder = folder
        self._engine = engine
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self, death: Death) -> bool:
        """Start a life, and wait until it listens. False where it died before."""
        runner = [sys.executable, str(RUNNER), death.moment, death.operation, str(death.count)]
        kept = ["--data", str(self._folder), "--engine", self._engine]
        command = [*runner, "serve", "--port", "0", *kept, "--drain-s", "0", "--log-level", "error"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline() if self._process.stdout else ""
        self.url = line.rsplit(" ", 1)[-1].strip()
        return self.url.startswith("http") and self._listens()

    def _listens(self) -> bool:
        """The greeting comes a moment before the socket listens, so ask until one of them is certain."""
        parts = urlsplit(self.url)
        while self._live().poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((parts.hostname, parts.port), timeout=END_S):
                return True
        return False

    def wait(self, timeout_s: float) -> bool:
        """Whether the process has died by itself within this time."""
        try:
            self._live().wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> int:
        """SIGKILL, and what the process ended with."""
        return self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As an operator stops it. The exit code."""
        return self._end(signal.SIGTERM)

    def end_surely(self) -> None:
        """Leave nothing running behind, whatever went wrong."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _end(self, number: signal.Signals) -> int:
        process = self._live()
        process.send_signal(number)
        code = process.wait(END_S)
        if process.stdout:
            process.stdout.close()
        return code

    def _live(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("found no process")
        return self._process
