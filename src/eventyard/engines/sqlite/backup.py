"""A backup: one whole, verified file with everything that a store held at one moment, made while the store is in use.

Theory of operation. In WAL mode a reader and the writer do not wait for one another, so a copy of one moment is a copy under one
read transaction. What that costs is the server's write-ahead log: it is not begun anew before the transaction ends, so it grows by whole
pages for each commit, and whoever then checkpoints writes all of it into the database at once. Measured: 44 KB of log for an event that is
committed alone, and publishing stood still for 2.3 s for each GB of log. So the transaction is to be short, and the copying slow
enough to leave the server its disk (`gentle`); therefore two passes:

1. The database's bytes are copied as they come, at a gentle pace, with no transaction open. Pages of different moments stand side by side
   in what comes out.
2. Under one read transaction SQLite's backup interface gives every page as it is at that moment. A page that the copy holds already is
   not written again, so this goes at the speed of reading: 3.4 s for a store of 950 MB on a busy machine, of which the copying took 40.

Then the log that gathered meanwhile is moved into the database by us, gently, before the server's writer does it.

What else was considered. The backup interface starts over whenever another process has written between two steps; not so here, for our own
transaction stays open over all of them. `VACUUM INTO` holds one transaction too, leaves no free pages in the copy and is one line; but
it writes as fast as it can: publishing beside it fell to a third of its rate and its p99 rose twentyfold (benchmarks/backup.py).

A store that nobody serves is left as it was found, a crash's log included.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw

from eventyard.core.errors import Damaged, Failed, InvalidBackup, StorageFailed, StorageFull
from eventyard.engines.sqlite import connection as connections
from eventyard.engines.sqlite import files
from eventyard.engines.sqlite.connection import failure
from eventyard.engines.sqlite.gentle import PIECE_BYTES, GentleVFS, Traffic
from eventyard.engines.sqlite.part import part_of
from eventyard.engines.sqlite.soundness import Contents, Progress, examine

MIB = 1024 * 1024

GROWTH_FOLLOWED = 2
"""A store that grows half as fast as it is copied is twice as long at the end; one that grows faster is not caught this way."""

READ_BYTES = 64 * 1024
"""Read and written at once by the bytes: SQLite's own files take less than 128 KiB."""


def back_up(
    database: Path, target: Path, progress: Progress, *, is_replacing: bool = False, is_damage_kept: bool = False, vfs: str = ""
) -> Contents:
    """Copy the store of `database` to the file `target`, which is there whole and verified when this returns, and else as before.

    Raises `InvalidBackup` for places that do not serve, `Damaged` for a store that is not sound (with `is_damage_kept` only where its
    structure is broken), `StorageFull` and `StorageFailed`. `vfs` is what SQLite reaches the disk by; empty is the system's.
    """
    _check_database(database)
    _check_target(target, database, is_replacing=is_replacing)
    # Read first, so that each mark is of a commit that the copy must hold.
    marks = _content(files.marks(database))
    with part_of(target) as part:
        _copy(database, part.path, progress, vfs)
        part.sync()
        contents = examine(str(part.path), progress, called="the copy of the store", marks=marks)
        if contents.faults and not is_damage_kept:
            raise Damaged(
                f"found the store damaged: {'; '.join(contents.faults)}",
                wanted="an older backup kept, and this one made with --keep-damage beside it",
            )
        _check_target(target, database, is_replacing=is_replacing)
        part.place()
    return contents


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _check_database(database: Path) -> None:
    if not database.is_file():
        raise InvalidBackup(f"found no store at {database}", wanted="the data folder of a bus: --data FOLDER")


def _check_target(target: Path, database: Path, *, is_replacing: bool) -> None:
    if not target.parent.is_dir():
        raise InvalidBackup(f"found no folder {target.parent}", wanted=f"to make it first: mkdir -p {target.parent}")
    if target.is_dir():
        raise InvalidBackup(f"found that {target} is a folder", wanted=f"the name of a file, as {target / 'eventyard.backup'}")
    if target.resolve().parent == database.resolve().parent and target.name in _own_names(database):
        raise InvalidBackup(f"found that {target} belongs to the store itself", wanted="another name, best on another disk")
    if target.exists() and not is_replacing:
        raise InvalidBackup(f"found {target} there already", wanted="another name, or --force to replace it by a whole new one")


def _own_names(database: Path) -> set[str]:
    kept = (database, files.log(database), files.index(database), files.journal(database), files.marks(database))
    return {path.name for path in kept} | {"lock"}


# Copying


def _copy(database: Path, part: Path, progress: Progress, base: str) -> None:
    traffic = Traffic(files.log(database))
    vfs, copy_vfs = GentleVFS(traffic.flows, base), GentleVFS(traffic.flows, base, is_sparing=True)
    try:
        with _opened(database, vfs) as source, _told(part.parent):
            _check_room(source, part.parent)
            _copy_ahead(vfs, copy_vfs, part, progress)
            _copy_moment(source, part, copy_vfs, progress)
            if traffic.has_flowed():
                _relieve(source)
    finally:
        vfs.unregister()
        copy_vfs.unregister()


@contextlib.contextmanager
def _opened(database: Path, vfs: GentleVFS) -> Iterator[apsw.Connection]:
    """A reader. A log that was there stays as it is when this closes, and none is left where none was."""
    log = files.log(database)
    is_logless = not log.exists() or log.stat().st_size == 0
    source = connections.open_reader(str(database), vfs=vfs.name)
    try:
        with connections.failures_named(str(database)):
            source.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0 if is_logless else 1)
            source.pragma("schema_version")
        yield source
    finally:
        source.close()


def _check_room(source: apsw.Connection, folder: Path) -> None:
    needed: int = source.pragma("page_count") * source.pragma("page_size")
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageFull(
            f"found {free / MIB:,.0f} MiB free in {folder}, and the store is {needed / MIB:,.0f} MiB",
            wanted="more room there, or a folder on another disk",
        )


def _copy_ahead(vfs: GentleVFS, copy_vfs: GentleVFS, part: Path, progress: Progress) -> None:
    """The database's bytes as they come, while it is written and with no transaction open: nearly the copy, and not yet sound."""
    source = vfs.main
    if source is None:
        raise Failed("found no file behind the connection")
    copy = apsw.VFSFile(copy_vfs.name, str(part), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE, 0])
    try:
        # What comes in meanwhile is followed, but not for ever: the rest is caught up with.
        done, most = 0, GROWTH_FOLLOWED * source.xFileSize()
        while done < (total := min(most, source.xFileSize())):
            copy.xWrite(source.xRead(min(READ_BYTES, total - done), done), done)
            done = min(total, done + READ_BYTES)
            progress("copying", done, total)
    finally:
        copy.xClose()


def _copy_moment(source: apsw.Connection, part: Path, copy_vfs: GentleVFS, progress: Progress) -> None:
    """Make of it the copy of one moment: every page as one transaction sees it, of which those that differ are written."""
    source.execute("BEGIN")
    source.pragma("user_version")  # The transaction opens with its first read.
    with contextlib.closing(apsw.Connection(str(part), vfs=copy_vfs.name)) as copy:
        # What stands in the copy is to be read as bytes to compare with, and not as a database.
        copy.config(apsw.SQLITE_DBCONFIG_RESET_DATABASE, 1)
        copy.pragma("locking_mode", "EXCLUSIVE")
        copy.pragma("journal_mode", "OFF")
        copy.pragma("synchronous", "OFF")
        _copy_pages(source, copy, progress)
        copy.config(apsw.SQLITE_DBCONFIG_RESET_DATABASE, 0)
        # Without a write-ahead log of its own the copy is one file, which can be read where nothing may be written.
        copy.pragma("journal_mode", "DELETE")
    source.execute("COMMIT")


def _copy_pages(source: apsw.Connection, copy: apsw.Connection, progress: Progress) -> None:
    page_bytes: int = source.pragma("page_size")
    with copy.backup("main", source, "main") as copying:
        while not copying.done:
            copying.step(max(1, PIECE_BYTES // page_bytes))
            done = (copying.page_count - copying.remaining) * page_bytes
            progress("catching up", done, copying.page_count * page_bytes)


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What goes wrong while copying: a full disk is the copy's, the rest may be either's."""
    try:
        yield
    except apsw.FullError as error:
        raise StorageFull(f"found no room in {folder}", wanted="space there, or a folder on another disk") from error
    except apsw.CorruptError as error:
        raise failure(error, "the store") from error
    except apsw.Error as error:
        raise StorageFailed(
            f"found that the store or {folder} cannot be read or written ({error})", wanted="disks that work"
        ) from error


def _relieve(source: apsw.Connection) -> None:
    """Move into the database what gathered in the log meanwhile, unless the server's writer is at it already."""
    source.set_busy_timeout(0)
    with contextlib.suppress(apsw.Error):
        source.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
