"""The embedded engine: everything in one SQLite file beside its write-ahead log.

Theory of operation. One connection writes, on the writer's thread, one transaction per batch with `synchronous=FULL`: when
COMMIT returns, the frames of the log are fsynced. The same thread checkpoints, after a commit, once the log has grown by
`WAL_BYTES`; so the log stays about that long and no commit of another thread ever meets a checkpoint. Readers have
connections of their own and read whole answers at once, so none of them holds the log back for longer than one statement.

A failed commit is rolled back, and what it had planned in memory is dropped. Where COMMIT itself failed, its frames may
stand whole in the log although SQLite and we have disowned them, and a crash now would bring them back; the next
commit overwrites them, so one that changes nothing follows at once (`_bury`). If that fails too the disk is gone, and the
publishers that were told to come back find, at worst, their events already accepted.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import apsw
import msgspec

from eventyard import logbook
from eventyard.core.access import AccessKey
from eventyard.core.bus_state import Loaded, Queue
from eventyard.core.changes import Backfill, BusRecord, Changes, Intent, QueueKey
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, State
from eventyard.core.emitter import EmitterRecord, EmitterTally
from eventyard.core.errors import Damaged, InvalidSettings
from eventyard.core.health import Health
from eventyard.core.loss import Loss, Losses, Verified
from eventyard.core.record import Stand
from eventyard.core.rule import Alike, RuleRecord, Tombstone
from eventyard.core.schedule import ScheduleRecord
from eventyard.core.system import SYSTEM_BUS
from eventyard.core.view import View
from eventyard.engines.sqlite import connection as connections
from eventyard.engines.sqlite import files, log_tail, record_rows, writing
from eventyard.engines.sqlite.connection import Synchronous, failure, rows
from eventyard.engines.sqlite.damage import DamageLog
from eventyard.engines.sqlite.ids import LAYOUT, IdIndex, Layout, Staged
from eventyard.engines.sqlite.marks import DiskMarks, MarkFile, Marks, NoMarks, standings
from eventyard.engines.sqlite.migrating import migrate, migrations
from eventyard.engines.sqlite.record_rows import decode
from eventyard.engines.sqlite.verifying import Verification, load_gaps
from eventyard.engines.sqlite.view import SqliteView
from eventyard.ports import Footprint

WAL_BYTES = 16 * 1024 * 1024
"""A checkpoint follows the commit that takes the log past this. Larger ones wait longer each (a pause for who publishes
meanwhile), smaller ones write the same pages more often."""

FREE_PAGES_KEPT = 2_048
"""16 MiB of free pages stay in the file: growing it again costs more than keeping them."""

PAGES_GIVEN_BACK = 512
"""Pages that one removal gives back: a few times what it can free, and a few milliseconds."""

IDLE_READERS_MAX = 4
"""Reader connections kept open between uses, each with up to 2 MiB of cache."""


_Record = TypeVar("_Record", RuleRecord, Backfill, Intent, Tombstone, Health, ScheduleRecord)


class SqliteEngine:
    """`ports.Engine` on one file. `is_exclusive` needs no shared memory of its VFS and serves one thread only (simulation).

    `marks` is where the marks are kept: in a file beside the database, or, with a `vfs`, nowhere unless it is given.
    `on_damage(bus, position)` is told once of every damaged event that is met; `damage` keeps count. Raises
    `InvalidSettings` for a file that cannot be used and `Damaged` for one that is no database.
    """

    def __init__(
        self,
        path: str,
        *,
        vfs: str | None = None,
        synchronous: Synchronous = "FULL",
        is_exclusive: bool = False,
        on_damage: Callable[[int, int], None] | None = None,
        layout: Layout = LAYOUT,
        marks: MarkFile | None = None,
    ) -> None:
        if vfs is None:
            _check_repaired(path)
        self.damage = DamageLog(on_damage)
        self._path, self._vfs, self._is_exclusive = path, vfs, is_exclusive
        self._layout = layout
        self._ids = IdIndex(self.damage, layout)
        self._verification = Verification(self.damage)
        self._idle: deque[apsw.Connection] = deque()
        self._is_closed = self._is_stuck = False
        with contextlib.ExitStack() as undo:
            self._connection = connections.open_writer(path, vfs=vfs, synchronous=synchronous, is_exclusive=is_exclusive)
            undo.callback(self._connection.close)
            self._watch_log()
            self._cut = self._broken_log()
            self._bring_up()
            file = marks or (DiskMarks(files.marks(path)) if vfs is None else NoMarks())
            undo.callback(file.close)
            self._marks = Marks(file)
            self._view = SqliteView(self._connection, self.damage, lambda: self._ids)
            self._losses = self._begin()
            undo.pop_all()

    @property
    def losses(self) -> Losses | None:
        """What was committed and is not there any more: then the store is only read, so that a repair finds it as it is."""
        return self._losses

    def verify(self, bus: int, first: int, last: int) -> Verified:
        with self._reading() as connection:
            return self._verification.look(connection, bus, first, last)

    def verified(self, bus: int) -> int:
        return self._verification.reached(bus)

    def damaged(self, bus: int) -> int:
        return self.damage.count_of(bus)

    def is_damaged(self, bus: int, position: int) -> bool:
        return self.damage.has(bus, position)

    @property
    def is_joint(self) -> bool:
        return True

    def stands(self) -> dict[int, Stand]:
        return {bus: Stand(*said) for bus, *said in rows(self._connection, "stands")}

    def footprint(self) -> Footprint:
        return files.footprint(self._path) if self._vfs is None else Footprint()

    @property
    def view(self) -> View:
        return self._view

    @contextlib.contextmanager
    def reader(self) -> Iterator[View]:
        if self._is_exclusive:
            yield self._view
            return
        with self._reading() as connection:
            yield SqliteView(connection, self.damage, lambda: IdIndex(self.damage, self._layout))

    def load(self) -> list[Loaded]:
        found = rows(self._connection, "buses")
        records = [(decode(record, BusRecord, self._path), *progress) for record, *progress in found]
        if not any(record.number == SYSTEM_BUS for record, *_ in records):
            return []
        others = tuple(record for record, *_ in records if record.number != SYSTEM_BUS)
        return [
            self._load(record, progress, others if record.number == SYSTEM_BUS else ())
            for record, *progress in records
            if not record.is_deleted
        ]

    def commit(self, batch: Sequence[Changes]) -> None:
        """Keep the batch, all or nothing. A crash before this returns leaves all of it or nothing of it."""
        if self._losses is not None:
            raise self._losses.refusal()
        staged = self._ids.stage(self._connection, batch)
        try:
            self._transact_around(batch, staged)
        except apsw.Error as error:
            raise failure(error, self._path) from error
        self._ids.apply(staged)
        self._marks.keep(batch)
        for changes in batch:
            if changes.emptied_bus:
                self._ids.forget(changes.emptied_bus)
        if any(changes.forgotten or changes.emptied_bus for changes in batch):
            self._give_room_back()
        self._checkpoint_when_due()

    def give_up(self) -> None:
        """Nothing here waits for anybody."""

    def close(self) -> None:
        """Move the log into the file and close. Twice is harmless; without it the next start reads the log instead.

        A store that has lost something is left exactly as it was found.
        """
        if self._is_closed:
            return
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()
        if self._losses is None:
            self._verification.finish(self._connection, self._heads())
            self._marks.close()
            connections.close_in_order(self._connection)
        else:
            self._marks.abandon()
            self._connection.close()

    # Losses and damage

    def _bring_up(self) -> None:
        """To today's schema; but nothing is written behind a log that is cut, where a repair may find more."""
        if self._cut and self._connection.pragma("user_version") != len(migrations()):
            raise Losses(tuple(self._cut), files.repair_command(self._path)).refusal()
        migrate(self._connection, self._path)

    def _begin(self) -> Losses | None:
        """Compare with the marks and with the log's own end; where all is there, go on from it. Look at what is new."""
        stand = standings(self._connection)
        found = [*self._cut, *self._marks.losses(stand)]
        self._verification.begin(self._connection, stand)
        if not found:
            self._marks.begin(stand)
            return None
        self._connection.pragma("query_only", 1)
        return Losses(tuple(found), files.repair_command(self._path))

    def _heads(self) -> list[tuple[int, int]]:
        return [(bus.number, bus.mark.head) for bus in standings(self._connection) if not bus.is_deleted]

    def _broken_log(self) -> list[Loss]:
        """A log of which SQLite took only the part before its damage. Told before anything is written behind that part."""
        log = files.log(self._path)
        if self._vfs is not None or not log.exists():
            return []
        whole, _ = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        with log_tail.content_of(log) as content:
            lost = log_tail.lost_commits(content, self._page_bytes, whole)
        return [Loss("", 1, 0, lost)] if lost else []

    # Committing

    def _transact_around(self, batch: Sequence[Changes], staged: Sequence[Staged]) -> None:
        """Where a page that cannot be read is in the way of a removal, all else of the batch is kept without it.

        Else whoever publishes in the same commit would be refused, each time that retention tries it. What was to be removed stays below
        the floor until a repair. SQLite lets a transaction that met such a page commit nothing, so it is done again.
        """
        try:
            self._transact(batch, staged)
        except (apsw.CorruptError, Damaged) as error:
            if not any(changes.forgotten or changes.emptied_bus for changes in batch):
                raise
            self._tell_stuck(error)
            kept = [msgspec.structs.replace(changes, forgotten=[], emptied_bus=0) for changes in batch]
            self._transact(kept, staged)

    def _tell_stuck(self, error: Exception) -> None:
        """Once: it is tried again and again."""
        if not self._is_stuck:
            self._is_stuck = True
            logbook.REMOVAL_STUCK(error=error)

    def _transact(self, batch: Sequence[Changes], staged: Sequence[Staged]) -> None:
        connection = self._connection
        is_committing = False
        try:
            connection.execute("BEGIN IMMEDIATE")
            for changes in batch:
                writing.write(connection, changes)
            self._ids.write(connection, staged)
            is_committing = True
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            if is_committing:
                self._bury()
            raise

    def _roll_back(self) -> None:
        """SQLite rolls back by itself on some errors; then there is nothing left to end."""
        if self._connection.in_transaction:
            with contextlib.suppress(apsw.Error):
                self._connection.execute("ROLLBACK")

    def _bury(self) -> None:
        """Overwrite the frames of a COMMIT that failed, with a commit that changes nothing."""
        with contextlib.suppress(apsw.Error):
            self._connection.pragma("user_version", self._connection.pragma("user_version"))

    def _give_room_back(self) -> None:
        """After a removal: pages that nothing uses leave the file, but for those that the next events will want.

        The commit stands whatever happens here; what stays is given back with the next removal.
        """
        with contextlib.suppress(apsw.Error):
            surplus = self._connection.pragma("freelist_count") - FREE_PAGES_KEPT
            if surplus > 0:
                self._connection.execute(f"PRAGMA incremental_vacuum({min(surplus, PAGES_GIVEN_BACK)})").fetchall()

    # The write-ahead log

    def _watch_log(self) -> None:
        self._log_bytes = 0
        self._checkpointed_bytes = 0
        self._page_bytes: int = self._connection.pragma("page_size")
        self._connection.wal_autocheckpoint(0)
        # A log that a long read, as of a backup, let grow gives its room back when it begins anew.
        self._connection.pragma("journal_size_limit", 2 * WAL_BYTES)
        self._connection.set_wal_hook(self._note_log)

    def _note_log(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._log_bytes = pages * self._page_bytes
        return apsw.SQLITE_OK

    def _checkpoint_when_due(self) -> None:
        """Move the log into the file, as far as readers let it; what is left goes with the next one.

        The commit stands whatever happens here: a checkpoint that fails is tried again once the log has grown further.
        """
        self._checkpointed_bytes = min(self._checkpointed_bytes, self._log_bytes)
        if self._log_bytes - self._checkpointed_bytes < WAL_BYTES:
            return
        self._checkpointed_bytes = self._log_bytes
        self._verification.store(self._connection)
        with contextlib.suppress(apsw.Error):
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._marks.sync()

    # Loading

    def _load(self, record: BusRecord, progress: list[int], buses: tuple[BusRecord, ...]) -> Loaded:
        bus = record.number
        head, time_ms, work_ms, floor, log_bytes = progress
        found = rows(self._connection, "tallies", bus)
        queues = {(rule, run): Queue(list(counts), due_ms) for rule, run, *counts, due_ms in found}
        rules = tuple(map(Alike().kept, self._records("rules", bus, RuleRecord)))
        return Loaded(
            record=record,
            head=head,
            time=BusTime(time_ms, work_ms),
            rules=rules,
            backfills=tuple(self._records("backfills", bus, Backfill)),
            intents=tuple(self._records("intents", bus, Intent)),
            queues=queues,
            leased=tuple(self._leased(bus, queues)),
            buses=buses,
            keys=self._keys() if bus == SYSTEM_BUS else (),
            floor=floor,
            log_bytes=log_bytes,
            tombstones=tuple(self._records("tombstones", bus, Tombstone)),
            ordered=tuple(row for rule in rules if rule.is_ordered for row in self._view.ordered(bus, rule.uid)),
            gaps=load_gaps(self._connection, bus),
            health=tuple(self._records("healths", bus, Health)),
            **self._emitters(bus),
            schedules=tuple(self._records("schedules", bus, ScheduleRecord)),
        )

    def _emitters(self, bus: int) -> dict[str, Any]:
        found = rows(self._connection, "emitters", bus)
        return {
            "emitters": tuple(decode(record, EmitterRecord, self._path) for record, *_ in found),
            "emitter_tallies": tuple(
                EmitterTally(uid, counts) for _, uid, text in found if (counts := record_rows.counts(text))
            ),
            "kept_due_ms": rows(self._connection, "kept_due_first", bus)[0][0],
        }

    def _leased(self, bus: int, queues: dict[QueueKey, Queue]) -> Iterator[Delivery]:
        for rule in sorted({rule for (rule, _), queue in queues.items() if queue.counts[State.LEASED]}):
            yield from self._view.leased(bus, rule)

    def _keys(self) -> tuple[AccessKey, ...]:
        return tuple(decode(record, AccessKey, self._path) for (record,) in rows(self._connection, "keys"))

    def _records(self, name: str, bus: int, kind: type[_Record]) -> Iterator[_Record]:
        for (record,) in rows(self._connection, name, bus):
            yield decode(record, kind, self._path)

    # Readers

    @contextlib.contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        if self._is_exclusive:
            yield self._connection
            return
        connection = self._borrow()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _borrow(self) -> apsw.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return connections.open_reader(self._path, vfs=self._vfs)

    def _give_back(self, connection: apsw.Connection) -> None:
        if self._is_closed or len(self._idle) >= IDLE_READERS_MAX:
            connection.close()
        else:
            self._idle.append(connection)


def _check_repaired(path: str) -> None:
    """A repair that was decided has yet to put its files in place: what is there now is the store as it was before."""
    if files.repaired(path).is_dir():
        raise InvalidSettings(
            f"found that a repair of {path} was decided and not carried out",
            wanted=f"to complete it: {files.repair_command(path)}",
        )
