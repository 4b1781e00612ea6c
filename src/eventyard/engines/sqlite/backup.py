"""A backup: one whole, verified file with everything that a store held at one moment, made while the store is in use.

Theory of operation. One read transaction of our own is held on the database while its pages are copied, so the copy is of one moment
however long it takes, and the server goes on: in WAL mode readers and the writer do not wait for one another. The pages go by SQLite's
backup interface. That starts over when another process writes, but only where it takes up a new read transaction with each
step; ours stays open. `VACUUM INTO` was the alternative. It holds the same one transaction, took as long, and leaves no free pages in
the copy; but it writes as fast as it can or not at all, while pages can be copied a few at a time, at the pace that leaves the server
its disk (`gentle`), with progress that is exact and an end at any step.

What the open transaction costs: the server's write-ahead log is not reused before it ends, so the log grows by all that is written
meanwhile, and whoever then checkpoints writes all of it into the database at once: 2.3 s of standstill for each GB when the server's writer
does it. So we do it ourselves, before we let go, at the same gentle pace; a checkpoint of another process makes the writer wait for
nothing.

A store that nobody serves is left as it was found, a crash's log included.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw

from eventyard.core.errors import Damaged, InvalidBackup, StorageFailed, StorageFull
from eventyard.engines.sqlite import connection as connections
from eventyard.engines.sqlite import files
from eventyard.engines.sqlite.connection import failure
from eventyard.engines.sqlite.gentle import PIECE_BYTES, GentleVFS, Traffic
from eventyard.engines.sqlite.part import part_of
from eventyard.engines.sqlite.soundness import Contents, Progress, examine

MIB = 1024 * 1024


def back_up(
    database: Path, target: Path, progress: Progress, *, is_replacing: bool = False, is_damage_kept: bool = False, vfs: str = ""
) -> Contents:
    """Copy the store of `database` to the file `target`, which is there whole and verified when this returns, and else as before.

    Raises `InvalidBackup` for places that do not serve, `Damaged` for a store that is not sound (with `is_damage_kept` only where its
    structure is broken), `StorageFull` and `StorageFailed`. `vfs` is what SQLite reaches the disk by; empty is the system's.
    """
    _check_database(database)
    _check_target(target, database, is_replacing=is_replacing)
    with part_of(target) as part:
        _copy(database, part.path, progress, vfs)
        part.sync()
        contents = examine(str(part.path), progress, called="the copy of the store")
        if contents.faults and not is_damage_kept:
            raise Damaged(
                f"found the store damaged: {'; '.join(contents.faults)}",
                wanted="an older backup kept, and this one made with --keep-damage beside it",
            )
        _check_target(target, database, is_replacing=is_replacing)
        part.place()
    return contents


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
    vfs = GentleVFS(traffic.flows, base)
    try:
        with _snapshot(database, vfs) as source:
            _check_room(source, part.parent)
            with _told(part.parent), contextlib.closing(_open_copy(part, vfs)) as copy:
                _copy_pages(source, copy, progress)
                # Without a write-ahead log of its own the copy is one file, which can be read where nothing may be written.
                copy.pragma("journal_mode", "DELETE")
            source.execute("COMMIT")
            if traffic.has_flowed():
                _relieve(source)
    finally:
        vfs.unregister()


@contextlib.contextmanager
def _snapshot(database: Path, vfs: GentleVFS) -> Iterator[apsw.Connection]:
    """A connection that sees one moment. A log that was there stays as it is when this closes, and none is left where none was."""
    log = files.log(database)
    is_logless = not log.exists() or log.stat().st_size == 0
    source = connections.open_reader(str(database), vfs=vfs.name)
    try:
        with connections.failures_named(str(database)):
            source.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0 if is_logless else 1)
            source.execute("BEGIN")
            source.pragma("user_version")
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


def _open_copy(part: Path, vfs: GentleVFS) -> apsw.Connection:
    """Nothing of a copy needs to outlast a crash before it is whole."""
    copy = apsw.Connection(str(part), vfs=vfs.name)
    copy.pragma("locking_mode", "EXCLUSIVE")
    copy.pragma("journal_mode", "OFF")
    copy.pragma("synchronous", "OFF")
    return copy


def _copy_pages(source: apsw.Connection, copy: apsw.Connection, progress: Progress) -> None:
    page_bytes: int = source.pragma("page_size")
    with copy.backup("main", source, "main") as copying:
        while not copying.done:
            copying.step(max(1, PIECE_BYTES // page_bytes))
            done = (copying.page_count - copying.remaining) * page_bytes
            progress("copying", done, copying.page_count * page_bytes)


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
