"""Writing much without holding up a server on the same disk: a VFS that syncs in small pieces and then lets others go first.

Measured: while a backup wrote 220 MB as fast as it could, publishing beside it fell to 0.4 of its rate and its p99 rose eightfold.
It was not the reading: a commit's fsync waits for whatever else is on its way to the disk, and a plain copy leaves hundreds of
megabytes on that way. With at most 256 KiB of them, a rest as long as each piece took, and no claim to a busy processor, publishing
kept nine tenths of its rate and nearly its p99 (benchmarks/backup.py).
"""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

PIECE_BYTES = 256 * 1024
"""Written before each sync. With 1 MiB the p99 of publishing beside it was half as much again; less only adds syncs."""

IDLE_BYTES = 8 * 1024 * 1024
"""Written before each sync while nobody else writes: as fast as one sync at the end, and who comes then meets no more than this."""

REST_S_MAX = 0.25
"""After one slow sync nobody is helped by a longer rest."""

_SYNC_FLAGS = apsw.SQLITE_SYNC_NORMAL | apsw.SQLITE_SYNC_DATAONLY
_names = itertools.count()


class Traffic:
    """Whether somebody else writes to a database: its log tells, from outside and at the price of one `stat`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._first = self._last = self._look()

    def flows(self) -> bool:
        """Whether anything was written since this was asked last."""
        now = self._look()
        is_new, self._last = now != self._last, now
        return is_new

    def has_flowed(self) -> bool:
        """Whether anything was written since this was made."""
        return self._look() != self._first

    def _look(self) -> tuple[int, int]:
        try:
            found = self._log.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_size, found.st_mtime_ns


class GentleVFS(apsw.VFS):
    """Over the VFS `base`. Rests only while somebody else writes (`flows`); an idle disk is used in full. `unregister` it when done.

    `main` is the database that was opened last, as a file. With `is_sparing` what a file holds already is not written again.
    """

    def __init__(self, flows: Callable[[], bool], base: str = "", *, is_sparing: bool = False) -> None:
        self.name = f"gentle-{next(_names)}"
        self.base = base
        self.is_sparing = is_sparing
        self.main: apsw.VFSFile | None = None
        self._flows = flows
        self._began = time.monotonic()
        super().__init__(self.name, base)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        file = _GentleFile(self, name, flags)
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            self.main = file
        return file

    def is_due(self, unsynced: int) -> bool:
        """Whether so many bytes are to be synced now."""
        return unsynced >= IDLE_BYTES or self._flows()

    def rest(self) -> None:
        """As long as the last piece took, so that at most half of the disk's time goes to this."""
        if self._flows():
            time.sleep(min(REST_S_MAX, time.monotonic() - self._began))
        self._began = time.monotonic()


class _GentleFile(apsw.VFSFile):
    def __init__(self, vfs: GentleVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        self._unsynced = 0
        super().__init__(vfs.base, name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._vfs.is_sparing and super().xRead(len(data), offset) == data:
            return
        super().xWrite(data, offset)
        self._unsynced += len(data)
        if self._unsynced % PIECE_BYTES < len(data) and self._vfs.is_due(self._unsynced):
            self._unsynced = 0
            super().xSync(_SYNC_FLAGS)
            self._vfs.rest()
