"""A command on a terminal of its own."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

COLUMNS = 80


@contextmanager
def on_a_terminal(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command in a terminal of 80 columns, and what reads it."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": str(COLUMNS), "LINES": "24", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "eventyard", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | size | environment,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(reader: int, text: str) -> str:
    found = ""
    while text not in found:
        found += os.read(reader, 65_536).decode()
    return found


def read_rest(reader: int) -> str:
    found = b""
    try:
        while some := os.read(reader, 65_536):
            found += some
    except OSError:  # The other end of a terminal closed.
        pass
    return found.decode()
