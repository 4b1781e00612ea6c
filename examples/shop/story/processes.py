"""The processes of the demo: started as anyone would start them, heard line by line, and all ended at the end.

Each stands in a process group of its own, so that Ctrl-C in the terminal reaches the demo alone, which then ends the others
in their order: services first, the bus last.
"""

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_URL = re.compile(r"http://127\.0\.0\.1:\d+")
_LINES_KEPT = 30
_END_S = 15.0


class ProcessEnded(Exception):
    """A process of the demo ended by itself. The message has its last lines."""


@dataclass
class Child:
    """A process. `url` is the first one that it printed: where it listens."""

    name: str
    process: subprocess.Popen[str]
    url: str = ""
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES_KEPT))
    reader: threading.Thread | None = None


class Processes:
    """`lines` holds what they print, as (name, line), until somebody takes it; `said` all that they ever printed."""

    def __init__(self) -> None:
        self.lines: queue.Queue[tuple[str, str]] = queue.Queue()
        self.said: list[tuple[str, str]] = []
        self._children: dict[str, Child] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
            env=_environment(environment or {}),
        )
        child = self._children[name] = Child(name, process)
        child.reader = threading.Thread(target=self._read, args=(child,), daemon=True)
        child.reader.start()
        return child

    def _read(self, child: Child) -> None:
        for raw in child.process.stdout or ():
            line = raw.rstrip()
            child.last_lines.append(line)
            if not child.url and (found := _URL.search(line)):
                child.url = found.group()
            self.said.append((child.name, line))
            self.lines.put((child.name, line))

    def kill(self, name: str) -> None:
        """SIGKILL: it gets no chance to save or to say anything."""
        child = self._children.pop(name)
        child.process.kill()
        _close(child)

    def end(self, name: str) -> None:
        """SIGTERM, as an operator or a new release would."""
        child = self._children.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGTERM)  # with what it has started in its turn, as a shell script its curl
        _close(child)

    def check(self) -> None:
        """ProcessEnded where one has ended that nobody asked to."""
        for child in self._children.values():
            if child.process.poll() is not None:
                _close(child)
                raise ProcessEnded(f"{child.name} ended with exit code {child.process.returncode}{_tail(child)}")

    def end_all(self) -> None:
        """Services first, then the bus. Whoever takes too long is killed, and everybody is where this is interrupted."""
        try:
            for name in reversed(list(self._children)):
                self.end(name)
        finally:
            for child in self._children.values():
                child.process.kill()


def _close(child: Child) -> None:
    """Wait for the end of a process that was told to end, and for its last line."""
    try:
        child.process.wait(_END_S)
    except subprocess.TimeoutExpired:
        child.process.kill()
        child.process.wait()
    if child.reader:
        child.reader.join(_END_S)
    if child.process.stdout:
        child.process.stdout.close()


def _tail(child: Child) -> str:
    return "; its last lines:" + "".join(f"\n    {line}" for line in child.last_lines) if child.last_lines else ""


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours, without settings of another bus, and without a proxy between the processes of this machine."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("EVENTYARD_")}
    return own | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | dict(more)
