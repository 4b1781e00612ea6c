"""Examining a whole store that nobody serves: what it lost, what of it is damaged, and whether its structure holds. Nothing is changed.

It tells more than `soundness`, which only says whether a file may be relied on: losses by the marks and by the log's end, and every
damaged stretch of every bus, around pages that cannot be read.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec

from eventyard.core.errors import Corrupt
from eventyard.core.loss import Loss
from eventyard.engines.sqlite import connection as connections
from eventyard.engines.sqlite import files, log_tail, record_rows
from eventyard.engines.sqlite.damage import DamageLog, Stretch
from eventyard.engines.sqlite.marks import DiskMarks, MarkFile, Marks, NoMarks, Standing, standings
from eventyard.engines.sqlite.migrating import migrations
from eventyard.engines.sqlite.soundness import INTERRUPT_STEPS, SQL, Progress, check_version, count_faults
from eventyard.engines.sqlite.verifying import Bounds, verify

FAULTS_TOLD = 20
"""Lines of SQLite's own check that are kept."""

ONE_LOOK = Bounds(events=5_000, bytes=32 * 1024 * 1024)


class BusDamage(msgspec.Struct, frozen=True):
    """Positions of one bus at which no whole event stands, although there should be one."""

    bus: str
    number: int
    stretches: tuple[Stretch, ...]

    @property
    def count(self) -> int:
        return sum(last - first + 1 for first, last in self.stretches)


class Examined(msgspec.Struct, frozen=True):
    """What was found. `broken` is why the file cannot be read as a database at all; then nothing else is known."""

    bytes: int
    events: int = 0
    broken: str = ""
    losses: tuple[Loss, ...] = ()
    structure: tuple[str, ...] = ()
    damage: tuple[BusDamage, ...] = ()
    counts: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        return not (self.broken or self.losses or self.structure or self.damage or self.counts)


def examine(database: Path, progress: Progress) -> Examined:
    """Look at everything. Raises `StorageFailed` where the disk does not let it."""
    size = sum(path.stat().st_size for path in (database, files.log(database)) if path.exists())
    try:
        with contextlib.closing(marks_of(database)) as file, opened(database) as connection:
            return _examine(connection, database, Marks(file), size, progress)
    except (Corrupt, apsw.CorruptError, apsw.NotADBError) as error:
        return Examined(size, broken=error.found if isinstance(error, Corrupt) else str(error))


def _examine(connection: apsw.Connection, database: Path, marks: Marks, size: int, progress: Progress) -> Examined:
    cut = _broken_log(connection, database)
    found: Any = connection.execute(SQL["file_version"]).fetchall()[0]
    if found == (0, 0) and (cut or marks.found):
        return Examined(size, broken="the database is empty as far as it can be read", losses=(*cut, *marks.losses([])))
    version = check_version(str(database), *found)
    if version < len(migrations()):
        return _of_older(connection, size, version, progress)
    stand = standings(connection)
    losses = [*cut, *marks.losses(stand)]
    structure = structure_faults(connection, progress)
    return Examined(
        bytes=size,
        events=sum(bus.mark.head for bus in stand),
        losses=tuple(losses),
        structure=tuple(structure),
        damage=tuple(damage(connection, stand, progress)),
        counts=() if structure else tuple(count_faults(connection, version)),
        remarks=tuple(_remarks(marks, stand)),
    )


def _of_older(connection: apsw.Connection, size: int, version: int, progress: Progress) -> Examined:
    """A store that today's eventyard has not opened yet has no marks, and its tables are others."""
    remark = (
        f"an older eventyard wrote it (version {version}): the next start brings it up to date; only its structure was examined"
    )
    return Examined(size, structure=tuple(structure_faults(connection, progress)), remarks=(remark,))


@contextlib.contextmanager
def opened(database: Path) -> Iterator[apsw.Connection]:
    """A connection that leaves the files as they are: a log stays, and where there was none there is none afterwards."""
    log = files.log(database)
    is_logless = not log.exists() or log.stat().st_size == 0
    connection = connections.open_reader(str(database), vfs=None)
    try:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0 if is_logless else 1)
        connection.set_progress_handler(lambda: False, INTERRUPT_STEPS)
        yield connection
    finally:
        connection.close()


def marks_of(database: Path) -> MarkFile:
    """The marks beside a database, which are not made where there are none."""
    path = files.marks(database)
    return DiskMarks(path) if path.exists() else NoMarks()


def structure_faults(connection: apsw.Connection, progress: Progress) -> list[str]:
    """What SQLite says of its own structure, and which records say nothing; nothing where all holds."""
    progress("checking the structure", 0, 0)
    try:
        found = [str(text) for (text,) in connection.execute(f"PRAGMA integrity_check({FAULTS_TOLD})")]
    except apsw.CorruptError as error:
        return [str(error)]
    if found == ["ok"]:
        return list(record_rows.faults(connection))
    return [line for text in found for line in text.splitlines()][:FAULTS_TOLD]


def damage(connection: apsw.Connection, stand: list[Standing], progress: Progress) -> Iterator[BusDamage]:
    """Every bus's log from its oldest event to its newest."""
    total, before = sum(bus.mark.head for bus in stand), 0
    for bus in stand:
        found = DamageLog(is_told=False)
        at = 0
        while at < bus.mark.head and not bus.is_deleted:
            progress("checking events", before + at, total)
            try:
                at = verify(connection, bus.number, (at + 1, bus.mark.head), ONE_LOOK, found).last
            except Corrupt:
                break  # Not even its gaps can be read: the check of the structure has said so.
        before += bus.mark.head
        if stretches := found.stretches(bus.number):
            yield BusDamage(bus.name, bus.number, tuple(stretches))


def _broken_log(connection: apsw.Connection, database: Path) -> list[Loss]:
    log = files.log(database)
    if not log.exists():
        return []
    whole, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    with log_tail.content_of(log) as content:
        lost = log_tail.lost_commits(content, connection.pragma("page_size"), whole)
    return [Loss("", 1, 0, lost)] if lost else []


def _remarks(marks: Marks, stand: list[Standing]) -> Iterator[str]:
    """What keeps a loss from being seen, and is none."""
    unknown = [bus.name for bus in stand if bus.mark.commits and bus.number not in marks.found]
    if unknown and marks.is_new:
        yield "there are no marks beside it: whether it lost its newest commits cannot be told"
    elif unknown:
        yield f"no mark can be read of {', '.join(unknown[:FAULTS_TOLD])}: whether they lost their newest commits cannot be told"
