"""A real server for a test: a process of its own, on a free port of this machine, with an empty store that is thrown away.

For services that cannot be called in the test's process, as those in other languages. Time is the machine's, and what comes is waited for.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from eventyard.client import Client

STOPPED_S = 30.0
"""A server that stops ends its pushes within ten."""


class NotServing(Exception):
    """The server did not start, or did not end as it should."""


class Server:
    """`url` is what services are told; `client` speaks to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = Client(url)


@contextlib.contextmanager
def server(data: Path | None = None, *arguments: str) -> Iterator[Server]:
    """A server from its start to its end, on the store in `data` (else a folder of its own, which goes with it).

    `arguments` are more of `eventyard serve`; variables `EVENTYARD_...` of the environment do not count. Raises NotServing.
    """
    with contextlib.ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eventyard-")))
        process = stack.enter_context(_process(folder, arguments))
        serving = Server(_address(process))
        stack.callback(serving.client.close)
        try:
            yield serving
        finally:
            _stop(process)


def _process(folder: Path, arguments: tuple[str, ...]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "eventyard", "serve", "--port", "0", "--data", str(folder), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENTYARD_")}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603 - our own command


def _address(process: "subprocess.Popen[str]") -> str:
    """Read from what it prints first, when it listens."""
    greeting = process.stdout.readline() if process.stdout else ""
    if not greeting:
        raise NotServing(f"the server ended with {process.wait(STOPPED_S)} before it listened; it says why above")
    return greeting.rsplit(maxsplit=1)[-1]


def _stop(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)
    if process.stdout:
        process.stdout.read()
    if (code := process.wait(STOPPED_S)) != 0:
        raise NotServing(f"the server ended with {code}; wanted 0")
