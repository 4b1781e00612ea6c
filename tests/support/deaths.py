"""Something done again and again, each time by a process that kills itself at a chosen call to the disk."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RUNNER = Path(__file__).with_name("run_deaths.py")
ROOT = RUNNER.parents[2]

KilledAt = Callable[..., bool]
"""`killed_at(moment, operation, count, *arguments)`: whether SIGKILL ended it there; false when it was done before."""


@contextmanager
def deaths(function: str, *modules: str) -> Iterator[KilledAt]:
    """`function`: `module:name`, which takes a list of arguments and gives an exit code. `modules`: what it loads on its way."""
    command = [sys.executable, str(RUNNER), function, *modules]
    environment = {"PYTHONPATH": ":".join([str(ROOT), *filter(None, sys.path)])}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as runner:
        assert runner.stdin
        assert runner.stdout

        def killed_at(moment: str, operation: str, count: int, *arguments: str | Path) -> bool:
            assert runner.stdin
            assert runner.stdout
            print(json.dumps([moment, operation, count, *map(str, arguments)]), file=runner.stdin, flush=True)
            code = int(runner.stdout.readline())
            assert code in (0, -signal.SIGKILL)
            return code != 0

        yield killed_at
