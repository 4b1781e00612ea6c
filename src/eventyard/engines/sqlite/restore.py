"""Putting a backup back: into a folder that holds no store, verified, and as a new life of every bus in it.

The backup is copied beside where the store will stand, and the copy is what is verified, brought up to today's schema and given
its new incarnations. Only then does it take its name; a crash before that leaves a part that nobody takes for a store.
"""

import contextlib
import secrets
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import apsw
import msgspec

from eventyard.core import clock, incarnation
from eventyard.core.clock import BusTime
from eventyard.core.errors import Damaged, InvalidBackup, StorageFailed
from eventyard.engines.sqlite import connection as connections
from eventyard.engines.sqlite import files
from eventyard.engines.sqlite.engine import SqliteEngine
from eventyard.engines.sqlite.hold import hold
from eventyard.engines.sqlite.marks import DiskMarks, Marks, Standing, standings, sync_folder
from eventyard.engines.sqlite.migrating import migrate
from eventyard.engines.sqlite.part import Part, disk_failure, part_of, part_path
from eventyard.engines.sqlite.soundness import Contents, Progress, check_version, examine
from eventyard.engines.sqlite.statements import SQL

CHUNK_BYTES = 1024 * 1024

GAP_REASON = "restore"

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_LOGGED = 2
"""What a file's version says when it needs a write-ahead log to be whole (sqlite.org/fileformat.html, offset 18)."""

_layout = struct.Struct(">16sH2B8xI28xI4xI28x")


class _Header(msgspec.Struct, frozen=True):
    """The first 100 bytes of a database, as far as they concern us."""

    magic: bytes
    page_bytes: int
    write_version: int
    read_version: int
    pages: int
    version: int
    application: int


def restore(
    backup: Path,
    folder: Path,
    progress: Progress,
    *,
    now_ms: int,
    is_damage_kept: bool = False,
    new_incarnation: Callable[[], str] = lambda: secrets.token_hex(4),
) -> Contents:
    """Put the backup into the data folder `folder`, which may not hold a store. What the backup held.

    Raises `InvalidBackup`, `InvalidSettings` (the folder is held, or cannot be written), `Damaged` (with `is_damage_kept` only where the
    structure is broken), `StorageFull` and `StorageFailed`; then there is no store in the folder.
    """
    with _opened(backup) as source:
        _check_header(backup, source)
        with hold(folder):
            database = folder / files.DATABASE
            _check_free(database)
            with _clean(database), part_of(database) as part:
                _copy(backup, source, part, progress)
                contents = _verified(backup, part, progress, is_damage_kept=is_damage_kept)
                heads = _bring_up(part.path, files.marks(database), now_ms)
                _begin_lives(part.path, heads, now_ms, new_incarnation)
                part.place()
                _place_marks(part.path, database)
    return contents


# The backup


def _opened(backup: Path) -> BinaryIO:
    try:
        return backup.open("rb")
    except OSError as error:
        raise InvalidBackup(f"cannot read {backup}: {error.strerror}", wanted="a file that eventyard backup wrote") from error


def _check_header(backup: Path, source: BinaryIO) -> None:
    """What can be told from the first bytes is told before anything is copied."""
    start = source.read(_HEADER_BYTES)
    if len(start) < _HEADER_BYTES or not start.startswith(_MAGIC):
        raise InvalidBackup(f"found that {backup} is no database", wanted="a file that eventyard backup wrote")
    header = _Header(*_layout.unpack(start))
    check_version(str(backup), header.version, header.application)
    if _LOGGED in (header.read_version, header.write_version) or files.log(backup).exists():
        raise InvalidBackup(
            f"found that {backup} is the database of a store and no backup: what stood in its log may be missing",
            wanted="a file that eventyard backup wrote",
        )
    size, wanted = backup.stat().st_size, header.pages * (header.page_bytes if header.page_bytes > 1 else 65_536)
    if size != wanted:
        raise Damaged(
            f"found that {backup} is {size} bytes and says it has {wanted}", wanted="the whole file, or another backup"
        )


# The folder


def _check_free(database: Path) -> None:
    for path in (database, files.log(database)):
        if path.exists():
            raise InvalidBackup(
                f"found {path} there already",
                wanted=f"another folder with --data; or, if that store is to go, first: mv {database}* ELSEWHERE",
            )


@contextlib.contextmanager
def _clean(database: Path) -> Iterator[None]:
    """Nothing stands beside the part: neither what a killed restore left, nor what this one leaves when it fails."""
    part = part_path(database)
    try:
        _remove_beside(part)
        yield
    finally:
        _remove_beside(part)


def _remove_beside(part: Path) -> None:
    for path in (files.log(part), files.index(part), files.journal(part), files.marks(part)):
        path.unlink(missing_ok=True)


def _copy(backup: Path, source: BinaryIO, part: Part, progress: Progress) -> None:
    total, done = backup.stat().st_size, 0
    source.seek(0)
    with part.path.open("wb") as copy:
        while chunk := _read(backup, source):
            copy.write(chunk)
            done += len(chunk)
            progress("copying", done, total)


def _read(backup: Path, source: BinaryIO) -> bytes:
    try:
        return source.read(CHUNK_BYTES)
    except OSError as error:
        raise disk_failure(error, backup.parent) from error


def _verified(backup: Path, part: Part, progress: Progress, *, is_damage_kept: bool) -> Contents:
    part.sync()
    contents = examine(str(part.path), progress, called=str(backup))
    if contents.faults and not is_damage_kept:
        raise Damaged(
            f"found {backup} damaged: {'; '.join(contents.faults)}", wanted="another backup, or this one with --keep-damage"
        )
    return contents


# The new lives


def _bring_up(part: Path, old_marks: Path, now_ms: int) -> dict[int, int]:
    """Bring the copy up to today's schema, and its heads above what this folder's marks say was ever reached. The heads before, by bus."""
    connection = connections.open_writer(str(part), vfs=None, synchronous="FULL", is_exclusive=True)
    try:
        migrate(connection, str(part))
        before = standings(connection)
        reached = _reached(old_marks)
        for bus in before:
            if (last := reached.get(bus.number, 0)) > bus.mark.head:
                _leave_gap(connection, bus, last, now_ms)
        marks = Marks(DiskMarks(files.marks(part)))
        marks.adopt(standings(connection))
        marks.close()
    finally:
        connections.close_in_order(connection)
    return {bus.number: bus.mark.head for bus in before}


def _reached(marks: Path) -> dict[int, int]:
    """How far each bus had come in the life that this folder held before; nothing where it held none."""
    if not marks.exists():
        return {}
    file = DiskMarks(marks)
    try:
        return {number: mark.head for number, mark in Marks(file).found.items()}
    finally:
        file.close()


def _leave_gap(connection: apsw.Connection, bus: Standing, last: int, now_ms: int) -> None:
    """Positions that the other life gave to events which are not in the backup: none of them is ever given again."""
    with connection:
        connection.execute(SQL["add_gap"], (bus.number, bus.mark.head + 1, last, GAP_REASON, now_ms))
        connection.execute(SQL["raise_head"], (bus.number, last))


def _begin_lives(database: Path, heads: dict[int, int], now_ms: int, new_incarnation: Callable[[], str]) -> None:
    """One commit gives every bus its new incarnation. Time goes on from the latest that any bus knows."""
    engine = SqliteEngine(str(database))
    try:
        loaded = engine.load()
        last = BusTime(max(bus.time.time_ms for bus in loaded), max(bus.time.work_ms for bus in loaded))
        now = clock.start(last, now_ms)
        lives = [incarnation.restored(bus, engine.view, now, new_incarnation(), heads[bus.record.number]) for bus in loaded]
        engine.commit(lives)
    finally:
        engine.close()
    if files.log(database).exists():
        raise StorageFailed(f"found that the log of {database} could not be taken into it", wanted="a disk that works")


def _place_marks(part: Path, database: Path) -> None:
    """The marks of the new life in place of the old one's. Killed before, the next start makes its own: the store is above both."""
    files.marks(part).rename(files.marks(database))
    sync_folder(database.parent)
