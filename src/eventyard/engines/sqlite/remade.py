"""A store that can be made again from elsewhere, as from a journal: written without fsync, and thrown away where a crash may have harmed it.

Theory of operation. What a process wrote survives it in the page cache, so a store whose process was killed is whole. A machine that stops takes
with it whatever was not synced, in any order, and what is left may look whole and not be. So while the store is open a note beside it says
in which run of the machine; a store in whose note another one stands is thrown away. A clean close syncs the file and takes the note away.
"""

import contextlib
import os
from pathlib import Path

from eventyard import logbook
from eventyard.core.errors import Damaged, StoreBehind
from eventyard.engines.sqlite import files
from eventyard.engines.sqlite.engine import SqliteEngine
from eventyard.engines.sqlite.ids import LAYOUT, Layout
from eventyard.engines.sqlite.marks import NoMarks, boot_id, sync_folder

REMADE = "replica.db"
"""The database in the data folder of a node of a cluster. It has another name than that of a bus on one machine: neither is the other."""


def open_remade(path: str, *, layout: Layout = LAYOUT) -> SqliteEngine:
    """The store at `path`: as it was left where that is certain, else a new one."""
    if _is_doubtful(path):
        discard(path)
    try:
        store = RemadeEngine(path, layout=layout)
    except (Damaged, StoreBehind):
        discard(path)
        return RemadeEngine(path, layout=layout)
    if store.losses is None:
        return store
    store.close()
    discard(path)
    return RemadeEngine(path, layout=layout)


def discard(path: str) -> None:
    logbook.STORE_DISCARDED(path=path)
    for file in (Path(path), files.log(path), files.index(path), note(path)):
        file.unlink(missing_ok=True)


def note(path: str) -> Path:
    return Path(path).with_suffix(".open")


def _is_doubtful(path: str) -> bool:
    """Where the system does not tell its runs apart, only a clean close is certain."""
    try:
        opened_in = note(path).read_bytes()
    except FileNotFoundError:
        return False
    return not opened_in or opened_in != boot_id()


class RemadeEngine(SqliteEngine):
    def __init__(self, path: str, *, layout: Layout) -> None:
        self._file = Path(path)
        self._note = note(path)
        _write(self._note, boot_id())
        super().__init__(path, synchronous="OFF", layout=layout, marks=NoMarks())

    def close(self) -> None:
        if self._is_closed:
            return
        super().close()
        if self.losses is None:
            _sync(self._file)
            self._note.unlink(missing_ok=True)
            sync_folder(self._file.parent)


def _write(file: Path, content: bytes) -> None:
    """On the disk when this returns: before anything is written that a crash may harm."""
    with contextlib.closing(_Opened(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC)) as opened:
        os.write(opened.descriptor, content)
        os.fsync(opened.descriptor)
    sync_folder(file.parent)


def _sync(file: Path) -> None:
    with contextlib.closing(_Opened(file, os.O_RDWR)) as opened:
        os.fsync(opened.descriptor)


class _Opened:
    def __init__(self, file: Path, flags: int) -> None:
        self.descriptor = os.open(file, flags | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        os.close(self.descriptor)
