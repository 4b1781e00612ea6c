"""`python run_deaths.py MODULE:FUNCTION [MODULE ...]`: calls the function again and again, each time in a process that kills itself.

A line on the standard input is JSON, `[MOMENT, OPERATION, COUNT, ARGUMENT, ...]`: the process dies at that call to the disk (see `tests/crash/run_server.py`)
while the function is called with the arguments. The answer is a line with how it ended. All is loaded once, the further modules too, so that a death costs a fork.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from tests.crash.run_server import DeadlyVFS, Reaper


def ended(call: Callable[[list[str]], Any], moment: str, operation: str, count: int, arguments: list[str]) -> int:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        vfs = DeadlyVFS(Reaper(moment, operation, count))
        code = call(arguments)
        del vfs
        sys.exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    module, function = sys.argv[1].split(":")
    to_call = getattr(importlib.import_module(module), function)
    for name in sys.argv[2:]:
        importlib.import_module(name)
    for line in sys.stdin:
        moment, operation, count, *arguments = json.loads(line)
        print(ended(to_call, moment, operation, count, arguments), flush=True)  # noqa: T201 - the answer
