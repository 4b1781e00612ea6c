"""A page of the documentation, walked as it stands: every block of it is run, or compared with what the one before it printed."""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
WAIT_S = 30.0
LOOKS_AGAIN_S = 0.2
"""A reader who looks too early looks again, and not as fast as a machine can: a look is a process, beside which others work."""


class Block(NamedTuple):
    language: str
    text: str


@contextmanager
def walking(page: str, folder: Path) -> Iterator["Walk"]:
    """A page that begins with its server, from its first block to its last: at the end none may be left."""
    walk = Walk(page, folder)
    try:
        walk.start()
        walk.wait_for_server("8410")
        yield walk
        assert walk.left == 0
    finally:
        walk.stop_all()


class Running:
    """A command in a terminal of its own."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self.lines: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", f"exec {command}"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.lines.put(line.rstrip("\n"))

    def stop(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        if self._process.stdout:
            self._process.stdout.close()


class Walk:
    """The reader: goes through the blocks in order, with ports that are free on this machine."""

    def __init__(self, page: str, folder: Path) -> None:
        self._folder = folder
        self._ports = {port: free_port() for port in ("8410", "9005", "9006")}
        self.known = dict(self._ports)
        """What the page has for an example, and what it is here."""
        self._blocks = blocks((DOCS / page).read_text())
        self._running: list[Running] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("EVENTYARD_")},
            "PATH": f"{commands(folder)}:{os.environ['PATH']}",
            "EVENTYARD_PORT": self._ports["8410"],
            "EVENTYARD_URL": f"http://127.0.0.1:{self._ports['8410']}",
            "NO_PROXY": "127.0.0.1",
        }

    @property
    def left(self) -> int:
        return len(self._blocks)

    def take(self, language: str) -> str:
        block = self._blocks.pop(0)
        assert block.language == language, f"the page goes on with {block}"
        # In one pass: a free port may well hold the digits of the other, as 39005 does.
        return re.sub("|".join(self.known), lambda match: self.known[match[0]], block.text)

    def run(self) -> str:
        return self._run(self.take("sh"))

    def after(self, command: str) -> str:
        """What the page says in words, or shows the effect of."""
        return self._run(command)

    def _run(self, command: str, *, may_fail: bool = False) -> str:
        """What a command exports holds from then on, as in the reader's terminal."""
        done = subprocess.run(
            ["/bin/bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=not may_fail,
        )
        self._environment.update(re.findall(r"^export (\w+)=(\S+)$", command, re.MULTILINE))
        return done.stdout

    def run_and_compare(self) -> None:
        printed = self.run()
        assert json.loads(printed) == json.loads(self.take("json"))

    def run_and_read(self, language: str = "text") -> None:
        """The very text of the page."""
        printed = self.run()
        assert printed == self.take(language)

    def run_until_read(self, alike: Callable[[str], str] = str) -> None:
        """For what takes a moment to come to: until then a grep, say, finds nothing. `alike` makes texts equal that differ only in what no page can know."""
        command, wanted = self.take("sh"), self.take("text")
        deadline = time.monotonic() + WAIT_S
        while (printed := alike(self._run(command, may_fail=True))) != wanted:
            assert time.monotonic() < deadline, printed
            time.sleep(LOOKS_AGAIN_S)

    def run_until_as_printed(self) -> None:
        """For what settles after a moment."""
        command, wanted = self.take("sh"), _timeless(self.take("json"))
        deadline = time.monotonic() + WAIT_S
        while (printed := _timeless(self._run(command))) != wanted:
            assert time.monotonic() < deadline, printed
            time.sleep(LOOKS_AGAIN_S)

    def start(self) -> Running:
        running = Running(self.take("sh").strip(), self._folder, self._environment)
        self._running.append(running)
        return running

    def save(self, name: str) -> None:
        (self._folder / name).write_text(self.take("python"))

    def wait_for_server(self, port: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(self._ports[port]))) == 0:
                    return
            time.sleep(0.05)
        pytest.fail(f"nothing listens on {port}")

    def wait_for_delivery(self) -> None:
        """The receiver tells what it got before it answers; a reader who stops it then is slower than we are."""
        status = f"http://127.0.0.1:{self._ports['8410']}/v1/buses/default/rules/rewards/status"
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if json.loads(self._run(f"curl -s {status}"))["delivered"] == 1:
                return
            time.sleep(LOOKS_AGAIN_S)
        pytest.fail("the receiver's answer was not taken")

    def expect(self, running: Running) -> None:
        """The lines of the page, in any order, and no other."""
        wanted = self.take("text").splitlines()
        printed = sorted(running.lines.get(timeout=WAIT_S) for _ in wanted)
        assert printed == sorted(wanted), printed

    def stop_all(self) -> None:
        for running in reversed(self._running):
            running.stop()


def timeless(printed: str) -> str:
    """With the time and the day that all pages have for every time and day."""
    return re.sub(r"20\d\d-\d\d-\d\d", "2026-01-31", re.sub(r"20\d\d-\d\d-\d\dT[\d:.]+Z", "2026-01-31T08:00:00.000Z", printed))


def _timeless(text: str) -> Any:
    """A JSON document without what depends on when it was asked for."""
    document = json.loads(text)
    if document.get("oldest_age_s") is not None:
        document["oldest_age_s"] = 1.5
    if document.get("failing_since") is not None:
        document["failing_since"] = "2026-01-31T08:00:00.000Z"
    return document


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)]


def commands(folder: Path) -> Path:
    """`eventyard` and `python` as an installed environment has them."""
    made = folder / "bin"
    made.mkdir()
    for name, arguments in (("eventyard", "-m eventyard"), ("python", "")):
        (made / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (made / name).chmod(0o755)
    return made


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
