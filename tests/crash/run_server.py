"""`python run_server.py MOMENT OPERATION COUNT serve ...`: the real server, which kills itself at a chosen call to the disk.

SQLite reaches the disk through a VFS. This one hands everything on to the operating system's and counts; at call COUNT of
OPERATION (write, sync, truncate) the process dies by SIGKILL: `before` it, `after` it, or `torn` in the middle of a
write. No tracer, no compiler and no privilege is needed. `never - 0` starts the server as it is.
"""

import os
import signal
import sys
from typing import Any

import apsw

from eventyard import retaining
from eventyard.cli import main

SYSTEM_VFS = apsw.vfs_names()[0]
"""The operating system's: the default until ours takes its place."""


class Reaper:
    """Counts calls, and dies at the chosen one."""

    def __init__(self, moment: str, operation: str, count: int) -> None:
        self.moment = moment
        self._operation = operation
        self._left = count

    def is_due(self, operation: str) -> bool:
        if self.moment == "never" or operation != self._operation:
            return False
        self._left -= 1
        return self._left == 0

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class DeadlyVFS(apsw.VFS):
    def __init__(self, reaper: Reaper) -> None:
        super().__init__("deadly", base=SYSTEM_VFS, makedefault=True)
        self._reaper = reaper

    def xOpen(self, name: Any, flags: list[int]) -> "DeadlyFile":  # noqa: N802 - apsw's name
        return DeadlyFile(self._reaper, name, flags)


class DeadlyFile(apsw.VFSFile):
    def __init__(self, reaper: Reaper, name: Any, flags: list[int]) -> None:
        super().__init__(SYSTEM_VFS, name, flags)
        self._reaper = reaper

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        is_due = self._reaper.is_due("write")
        if is_due and self._reaper.moment == "before":
            self._reaper.die()
        if is_due and self._reaper.moment == "torn":
            super().xWrite(bytes(data)[: len(data) // 2], offset)
            self._reaper.die()
        super().xWrite(data, offset)
        if is_due:
            self._reaper.die()

    def xSync(self, flags: int) -> None:  # noqa: N802
        is_due = self._reaper.is_due("sync")
        if is_due and self._reaper.moment == "before":
            self._reaper.die()
        super().xSync(flags)
        if is_due:
            self._reaper.die()

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        is_due = self._reaper.is_due("truncate")
        if is_due and self._reaper.moment == "before":
            self._reaper.die()
        super().xTruncate(newsize)
        if is_due:
            self._reaper.die()


FLOOR_EVERY_MS = 20
"""Lives are short here: the old end of the log is looked at as often."""

if __name__ == "__main__":
    retaining.FLOOR_EVERY_MS = FLOOR_EVERY_MS
    moment, operation, count = sys.argv[1:4]
    vfs = DeadlyVFS(Reaper(moment, operation, int(count)))
    sys.argv[1:] = sys.argv[4:]
    main()
