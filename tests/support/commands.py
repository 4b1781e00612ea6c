"""Command lines in this process, and a server process for them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Ended(NamedTuple):
    """How one ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Ended]


@contextmanager
def served(data: Path) -> Iterator[str]:
    """A server process of its own; gives its address, read from what it prints."""
    command = [sys.executable, "-m", "eventyard", "serve", "--port", "0", "--data", str(data)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENTYARD_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        greeting: str = process.stdout.readline()
        yield greeting.rsplit(maxsplit=1)[-1]
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(30) == 0


def lines(*events: object) -> str:
    """Events as JSON lines; text stays as it is."""
    return "".join(f"{event if isinstance(event, str) else json.dumps(event)}\n" for event in events)
