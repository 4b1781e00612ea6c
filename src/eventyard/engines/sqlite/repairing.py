"""Repairing a store that lost something or is damaged: offline, on a copy, and told before it counts.

Theory of operation. Everything is done to a copy of the files in a folder of its own, and the originals are only read:

    mend     a log that is cut off by damage, so that what stands behind it is read again (`mending`, `log_choice`)
    salvage  where the structure is broken, row by row into a new file (`salvaging`)
    settle   what is still missing becomes a known gap; heads go above the marks; counts are made those of the rows
    begin    a new incarnation of each bus that lost something, which says so in its log
    prove    the copy is examined as a backup would be

What the repaired store lacks is then known exactly, for it is there. Only when somebody agreed is it put in place: the old files get
second names in a folder beside the store, the copy's folder is renamed (from here on the repair is decided, and a start refuses until it is
carried out, by this process or the next repair), and its files replace the old ones.

Deliveries of lost events stay as they are: the machine ends each as a dead letter when its turn comes, as it does with any damaged
event. A crash before the renaming leaves a folder that means nothing; one after it is made good by the next `repair`.
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec

from eventyard.core import clock, incarnation
from eventyard.core.bus_state import Loaded
from eventyard.core.changes import BusRecord
from eventyard.core.clock import BusTime
from eventyard.core.errors import Corrupt, Damaged, StorageFailed
from eventyard.core.loss import outside
from eventyard.core.system import DEFAULT_BUS, SYSTEM_BUS
from eventyard.engines.sqlite import connection as connections
from eventyard.engines.sqlite import examining, files, log_tail, replacement, salvaging
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.damage import Stretch
from eventyard.engines.sqlite.engine import SqliteEngine
from eventyard.engines.sqlite.log_choice import choose_log
from eventyard.engines.sqlite.marks import DiskMarks, Mark, Marks, Standing, boot_id, standings, sync_folder
from eventyard.engines.sqlite.migrating import migrate
from eventyard.engines.sqlite.part import disk_failures_named
from eventyard.engines.sqlite.salvaging import Salvaged, salvage
from eventyard.engines.sqlite.soundness import Progress
from eventyard.engines.sqlite.soundness import examine as check_sound
from eventyard.engines.sqlite.statements import SQL
from eventyard.engines.sqlite.verifying import load_gaps

MARKS_BEHIND_MAX = 1_000_000
"""How far the marks of an earlier run of the machine may be behind the truth: they are synced with every 16 MiB of log, which
is some 100,000 events of the smallest kind. Positions are left out that far, so that none is given twice."""

REASON = "repair"


class BusLoss(msgspec.Struct, frozen=True):
    """What a bus lacks after the repair: stretches of positions, commits, deliveries by rule that end as dead letters."""

    bus: str
    lost: tuple[Stretch, ...] = ()
    commits: int = 0
    owed: dict[str, int] = {}

    @property
    def positions(self) -> int:
        return sum(last - first + 1 for first, last in self.lost)


class Repair(msgspec.Struct, frozen=True):
    """A repaired copy that waits for somebody to agree. `kept_in`: where the files as they were will be found."""

    database: Path
    kept_in: Path
    losses: tuple[BusLoss, ...]
    events: int
    is_log_mended: bool
    salvaged: Salvaged | None
    remaining: tuple[str, ...]

    def apply(self) -> None:
        """Put the copy in the store's place."""
        with disk_failures_named(self.database.parent):
            replacement.keep_old(self.database, self.kept_in)
            files.repairing(self.database).rename(files.repaired(self.database))
            sync_folder(self.database.parent)
            replacement.finish(self.database)

    def drop(self) -> None:
        """Where nobody agreed nothing was changed; after `apply` there is nothing left to drop."""
        shutil.rmtree(files.repairing(self.database), ignore_errors=True)


def repair(
    database: Path,
    progress: Progress,
    *,
    now_ms: int,
    new_incarnation: Callable[[], str] = lambda: secrets.token_hex(4),
) -> Repair:
    """A repaired copy of the store, which is left as it is. The caller holds its folder.

    Raises `StorageFull`, `StorageFailed`, and `Damaged` where too little can be read for anything to be saved.
    """
    work = files.repairing(database)
    shutil.rmtree(work, ignore_errors=True)
    replacement.check_room(database)
    with disk_failures_named(database.parent):
        work.mkdir(mode=0o700)
        copy = replacement.copied(database, work, progress)
    try:
        return _Repairing(database, copy, progress, now_ms, new_incarnation).run()
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


class _Repairing:
    def __init__(self, database: Path, copy: Path, progress: Progress, now_ms: int, new_incarnation: Callable[[], str]) -> None:
        self._database = database
        self._copy = copy
        self._progress = progress
        self._now_ms = now_ms
        self._new_incarnation = new_incarnation
        self._is_uncertain = False
        with contextlib.closing(examining.marks_of(database)) as file:
            self._marks = Marks(file)

    def run(self) -> Repair:
        is_mended = choose_log(self._copy, self._marks, self._progress)
        self._is_uncertain = self._is_cut()
        salvaged = self._salvage()
        losses = self._settle(salvaged)
        self._begin_lives(losses)
        self._sync()
        contents = check_sound(str(self._copy), self._progress)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now_ms / 1000))
        return Repair(
            self._database,
            files.damaged(self._database, stamp),
            tuple(losses.values()),
            contents.events,
            is_mended,
            salvaged,
            contents.faults,
        )

    # The log

    def _is_cut(self) -> bool:
        """Whether commits stand in the log behind what SQLite takes of it."""
        log = files.log(self._copy)
        if not log.exists():
            return False
        with contextlib.suppress(Corrupt, apsw.Error), examining.opened(self._copy) as connection:
            connection.pragma("user_version")
            whole, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
            with log_tail.content_of(log) as content:
                return log_tail.lost_commits(content, connections.PAGE_BYTES, whole) > 0
        return False

    # The structure

    def _salvage(self) -> Salvaged | None:
        """None where the structure holds."""
        if self._is_readable():
            return None
        target = self._copy.with_name("saved.db")
        salvaged = salvage(self._copy, target, self._progress, now_ms=self._now_ms)
        for old in (self._copy, files.log(self._copy), files.index(self._copy)):
            old.unlink(missing_ok=True)
        target.rename(self._copy)
        return salvaged

    def _is_readable(self) -> bool:
        if not self._copy.exists():
            return True
        try:
            with examining.opened(self._copy) as connection:
                standings(connection)
                return not examining.structure_faults(connection, self._progress)
        except (Corrupt, apsw.CorruptError, apsw.NotADBError):
            return False

    # What is lost

    def _settle(self, salvaged: Salvaged | None) -> dict[int, BusLoss]:
        """Make what is missing a known gap. By bus, what it lacks; buses that lack nothing are left out."""
        connection = connections.open_writer(str(self._copy), vfs=None, synchronous="FULL", is_exclusive=True)
        try:
            migrate(connection, str(self._copy))
            with connections.failures_named(str(self._copy)):
                self._found_always_there(connection)
                stand = standings(connection)
                damage = {of.number: of.stretches for of in examining.damage(connection, stand, self._progress)}
                with connection:
                    losses = [self._settle_bus(connection, bus, damage.get(bus.number, ()), salvaged) for bus in stand]
                    salvaging.recount(connection)
                self._make_marks(connection)
        finally:
            connections.close_in_order(connection)
        gone = {number: BusLoss(f"number {number}", ((1, mark.head),)) for number, mark in self._gone(stand)}
        return gone | {bus.number: loss for bus, loss in zip(stand, losses, strict=True) if loss is not None}

    def _gone(self, stand: list[Standing]) -> list[tuple[int, Mark]]:
        """Buses of which nothing is left but their marks: they were created in what was lost."""
        there = {bus.number for bus in stand}
        system = next((bus for bus in stand if bus.number == SYSTEM_BUS), None)
        is_known = system is not None and self._behind(system) == system.mark.head
        return [] if is_known else [(number, mark) for number, mark in self._marks.found.items() if number not in there]

    def _make_marks(self, connection: apsw.Connection) -> None:
        """Of the copy, as it stands now."""
        marks = Marks(DiskMarks(files.marks(self._copy)))
        marks.adopt(standings(connection))
        marks.close()

    def _found_always_there(self, connection: apsw.Connection) -> None:
        """Two buses are in every store: where nothing is left of them they begin anew, above what their marks say."""
        there = {bus.number for bus in standings(connection)}
        for number, name in ((SYSTEM_BUS, "system"), (1, DEFAULT_BUS)):
            if number not in there:
                record = msgspec.json.encode(BusRecord(number, name, "", self._now_ms))
                connection.execute(SQL["set_bus_record"], (number, record))

    def _settle_bus(
        self, connection: apsw.Connection, bus: Standing, damaged: tuple[Stretch, ...], salvaged: Salvaged | None
    ) -> BusLoss | None:
        """A deleted bus owes nobody anything. Where rows had to be saved nobody knows of every one that was there."""
        if bus.is_deleted:
            return None
        behind = self._behind(bus)
        lost = [*damaged, *([(bus.mark.head + 1, behind)] if behind > bus.mark.head else [])]
        owed = self._owed(connection, bus.number, lost)
        for first, last in lost:
            self._give_up(connection, bus.number, first, last)
        connection.execute(SQL["raise_head"], (bus.number, max(behind, bus.mark.head)))
        loss = BusLoss(bus.name, tuple(lost), self._lacking_commits(bus), owed)
        return loss if loss.lost or loss.commits or salvaged is not None else None

    def _behind(self, bus: Standing) -> int:
        """How far the bus may have come: its mark; further where power may have gone between a commit and the mark's sync, or
        where commits stand in the log that nobody can read.
        """
        mark = self._marks.found.get(bus.number)
        marked = bus.mark.head if mark is None else max(mark.head, bus.mark.head)
        is_behind = marked > bus.mark.head or self._lacking_commits(bus) > 0
        is_exact = self._marks.boot == boot_id() and any(self._marks.boot)
        return marked + (MARKS_BEHIND_MAX if self._is_uncertain or (is_behind and not is_exact) else 0)

    def _lacking_commits(self, bus: Standing) -> int:
        mark: Mark | None = self._marks.found.get(bus.number)
        if mark is None or mark.life != bus.mark.life:
            return 0
        return max(0, mark.commits - bus.mark.commits)

    def _owed(self, connection: apsw.Connection, bus: int, lost: list[Stretch]) -> dict[str, int]:
        """By rule, the deliveries that are still owed of what is lost."""
        owed: dict[str, int] = {}
        for first, last in lost:
            rows: list[Any] = connection.execute(salvaging.SQL["owed_in"], (bus, first, last)).fetchall()
            for rule, name, count in rows:
                told = name or f"number {rule}"
                owed[told] = owed.get(told, 0) + count
        return owed

    def _give_up(self, connection: apsw.Connection, bus: int, first: int, last: int) -> None:
        """The rows that are left of it go, and the stretch is known from now on."""
        connection.execute(SQL["remove_events"], places.span(bus, first, last))
        known = [(gap.first, gap.last) for gap in load_gaps(connection, bus)]
        for begin, end in outside(known, first, last):
            connection.execute(SQL["add_gap"], (bus, begin, end, REASON, self._now_ms))

    # The new lives

    def _begin_lives(self, losses: dict[int, BusLoss]) -> None:
        """One commit gives each bus that lost something its new incarnation."""
        engine = SqliteEngine(str(self._copy))
        try:
            loaded = engine.load()
            now = clock.start(_latest(loaded), self._now_ms)
            hit = [bus for bus in loaded if bus.record.number in losses or not bus.record.incarnation]
            lost = {number: list(loss.lost) for number, loss in losses.items()}
            lives = [
                incarnation.repaired(bus, engine.view, now, self._new_incarnation(), lost.get(bus.record.number, []))
                for bus in hit
            ]
            if lives:
                engine.commit(lives)
        finally:
            engine.close()
        if files.log(self._copy).exists():
            raise StorageFailed(f"found that the log of {self._copy} could not be taken into it", wanted="a disk that works")

    def _sync(self) -> None:
        """The copy and its marks have to outlast a power cut before they take anything's place."""
        for path in (self._copy, files.marks(self._copy)):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(self._copy.parent)


def _latest(loaded: list[Loaded]) -> BusTime:
    if not loaded:
        raise Damaged("found no bus in what could be saved", wanted="a backup")
    return BusTime(max(bus.time.time_ms for bus in loaded), max(bus.time.work_ms for bus in loaded))
