"""Connections to one file: how they are opened, and what SQLite's errors mean to the bus.

APSW carries its own SQLite, so the version is ours to choose and not the operating system's. One connection writes and
checkpoints; readers have their own, which cannot write.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import apsw

from eventyard.core.errors import Damaged, EventyardError, InvalidSettings, StorageFailed, StorageFull
from eventyard.engines.sqlite import files
from eventyard.engines.sqlite.statements import SQL

Synchronous = Literal["FULL", "NORMAL", "OFF"]

SQLITE_VERSION_MIN = (3, 51, 3)
"""Before it, a write and two checkpoints at the wrong moment corrupt the file (sqlite.org/wal.html#walresetbug)."""

PAGE_BYTES = 8192
"""Measured: 4096 reads and checkpoints a third slower, 16384 writes a fifth more per single-event commit."""

WRITER_CACHE_KIB = 16 * 1024
"""The writer works at the ends of a few trees; this also holds the queues of rules that lag by 100,000 deliveries."""

WRITER_STATEMENTS = 384
"""Prepared statements kept: every named one, and each INSERT for every number of rows up to `ROWS_PER_STATEMENT_MAX`."""

READER_CACHE_KIB = 2 * 1024

BUSY_MS = 5_000
"""Readers wait this long while the writer recovers the file after a crash; nothing else makes anyone wait."""


def open_writer(path: str, *, vfs: str | None, synchronous: Synchronous, is_exclusive: bool) -> apsw.Connection:
    """The one connection that writes. Makes the file, readable by its owner only."""
    _check_version()
    if vfs is None:
        _make_private(path)
    with failures_named(path):
        connection = apsw.Connection(path, vfs=vfs, statementcachesize=WRITER_STATEMENTS)
        if is_exclusive:
            # Before anything reads the file: the index of its log then stands in our memory, and a VFS needs no shared memory.
            connection.pragma("locking_mode", "EXCLUSIVE")
        _tune(connection, WRITER_CACHE_KIB)
        connection.pragma("page_size", PAGE_BYTES)
        if connection.pragma("page_count") == 0:
            # Of a new file only: on another it would be a write, and the file may be one that must be left as it was found.
            connection.pragma("auto_vacuum", "INCREMENTAL")
        mode = connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", synchronous)
    if mode != "wal":
        raise InvalidSettings(f"found that {path} cannot keep a write-ahead log (mode {mode})", wanted="a local file system")
    return connection


def open_reader(path: str, *, vfs: str | None) -> apsw.Connection:
    """A connection that sees what is committed and can change nothing."""
    with failures_named(path):
        connection = apsw.Connection(path, vfs=vfs, flags=apsw.SQLITE_OPEN_READWRITE)
        _tune(connection, READER_CACHE_KIB)
        connection.pragma("query_only", 1)
    return connection


def close_in_order(connection: apsw.Connection) -> None:
    """Close the writer of a store that is whole: the log goes into the file and away."""
    with contextlib.suppress(apsw.Error):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    connection.close()


def rows(connection: apsw.Connection, name: str, *bindings: Any) -> list[Any]:
    """All rows of a named statement at once, so that no read stays open and holds the log back."""
    try:
        return connection.execute(SQL[name], bindings).fetchall()
    except apsw.Error as error:
        raise failure(error, connection.filename) from error


@contextlib.contextmanager
def failures_named(path: str) -> Iterator[None]:
    """Raise what SQLite says as what it means to the bus."""
    try:
        yield
    except apsw.Error as error:
        raise failure(error, path) from error


def failure(error: apsw.Error, path: str) -> EventyardError:
    """What an error of SQLite means: no room, a sick disk, or a file that is not what we wrote."""
    if isinstance(error, apsw.FullError):
        return StorageFull(
            f"found no room for {path}", wanted="space on its disk; the bus goes on by itself when there is some"
        )
    if isinstance(error, apsw.NotADBError):
        return Damaged(f"found that {path} is not a database", wanted=f"the file that eventyard wrote; {_doctor(path)}")
    if isinstance(error, apsw.CorruptError):
        return Damaged(f"found {path} damaged ({error})", wanted=f"the file as eventyard wrote it; {_doctor(path)}")
    return StorageFailed(f"found that {path} cannot be read or written ({error})", wanted="a disk that works")


def _doctor(path: str) -> str:
    return f"with the server stopped, {files.repair_command(path)} saves what can be read"


def _check_version() -> None:
    found = apsw.sqlite_lib_version()
    if tuple(int(part) for part in found.split(".")[:3]) < SQLITE_VERSION_MIN:
        wanted = ".".join(map(str, SQLITE_VERSION_MIN))
        raise InvalidSettings(f"found SQLite {found}", wanted=f"at least {wanted}: pip install --upgrade apsw")


def _make_private(path: str) -> None:
    """The log and the queues are nobody else's to read; SQLite gives its other files the mode of this one."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise InvalidSettings(
            f"found that {path} cannot be opened ({error.strerror})",
            wanted=f"a file that this user may read and write in {Path(path).parent}",
        ) from error


def _tune(connection: apsw.Connection, cache_kib: int) -> None:
    connection.set_busy_timeout(BUSY_MS)
    # A connection that is dropped on an error leaves the log as it is, which a repair may need (`close_in_order`).
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("temp_store", "MEMORY")
    connection.pragma("mmap_size", 0)
