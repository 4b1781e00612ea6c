"""The marks: how far each bus was committed, in a small file beside the database.

Theory of operation. After a crash SQLite takes its log up to the first frame that is wrong and drops the rest without a word:
one flipped bit took 252 of 500 committed rows away while `integrity_check` said ok, and a log that is gone is no error at all.
Only somebody who knows how far the bus had come can tell. So each commit is followed, before anybody is answered, by an
overwrite of one slot per bus that it changed:

    offset 64 + 32 * number of the bus:   bus number, CRC-32 of the rest, life (of the bus: a hash of its incarnation), head, commits

`commits` counts the commits of the bus, so that a loss shows which took no event, only what became of deliveries. The write goes to the
page cache, about a microsecond: it survives the process, which is when a log gets lost or cut; and it is synced with every checkpoint
and at the end, so after a power cut a mark may be older than the truth and never newer. At the start a bus that ends below its mark
has lost something (`losses`).

A slot lies inside one sector, so a power cut leaves it old or new. One that cannot be read counts as unknown and is told: it proves
neither loss nor its absence. Nor does a file that is not there, as when a store is opened that an older eventyard wrote.

A mark that cannot be written fails no commit, for the commit stands. It is tried again with the next ones and with every checkpoint;
until then a loss of what came after the last mark would go unseen, and `failure` says so. The first 126 slots are on the disk from the start, so that a
full disk does not matter to them.
"""

import errno
import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from zlib import crc32

import apsw
import msgspec

from eventyard import logbook
from eventyard.core.changes import BusRecord, Changes
from eventyard.core.errors import InvalidSettings
from eventyard.core.loss import Loss
from eventyard.core.system import SYSTEM_BUS
from eventyard.engines.sqlite.connection import rows
from eventyard.engines.sqlite.record_rows import decode

HEADER_BYTES = 64
SLOT_BYTES = 32
FILE_BYTES_MIN = 4096
"""What a new file holds, as zeros, before any mark: a block of the disk."""

_HEADER = struct.Struct("<16s16sI")
_MAGIC = b"eventyard marks\n"
_slot = struct.Struct("<II8sQQ")
_body = struct.Struct("<I8sQQ")
_EMPTY = bytes(SLOT_BYTES)
_NO_LIFE = bytes(8)
_WHOLE_FILE, _HEADER_ALONE = -2, -1
"""What is to be written beside slots, which go by the number of their bus."""


class MarkFile(Protocol):
    """Where the marks are kept. Failures are `OSError`."""

    def read(self) -> bytes:
        """All of it; nothing where it is new."""
        ...

    def write(self, offset: int, data: bytes) -> None: ...

    def sync(self) -> None:
        """What was written is durable when this returns, and so is the file's name."""
        ...

    def close(self) -> None: ...


class Mark(msgspec.Struct, frozen=True):
    """How far a bus had come: its last position and the number of its commits, in the life that `life` stands for."""

    life: bytes
    head: int
    commits: int


class Standing(msgspec.Struct, frozen=True):
    """Where a bus stands in the database. A deleted bus owes nobody its positions. `verified`: see `verifying`."""

    number: int
    name: str
    is_deleted: bool
    mark: Mark
    verified: int = 0


def standings(connection: apsw.Connection) -> list[Standing]:
    """Where every bus stands in the database."""
    found = []
    for number, text, head, commits, verified in rows(connection, "standings"):
        record = _record(number, text, connection.filename)
        mark = Mark(life_of(record.incarnation) if text else _NO_LIFE, head, commits)
        found.append(Standing(number, record.name, record.is_deleted, mark, verified))
    return found


def _record(number: int, text: bytes | None, path: str) -> BusRecord:
    """A bus that wrote before it was recorded has no record yet."""
    if text is None:
        return BusRecord(number, _name(number), "", 0)
    return decode(text, BusRecord, path)


class Marks:
    """The marks of one store. One thread, the writer's, uses them."""

    def __init__(self, file: MarkFile) -> None:
        self._file = file
        content = _read(file)
        self.is_new = not content
        self.boot = _boot_of(content)
        self.found: Mapping[int, Mark]
        self.unreadable: tuple[int, ...]
        self.found, self.unreadable = _slots(content)
        self.failure = ""
        self._now: dict[int, Mark] = {}
        self._lives: dict[int, bytes] = {}
        self._unwritten: dict[int, bytes] = {}

    def losses(self, standings: Sequence[Standing]) -> list[Loss]:
        """Where the database ends below its marks. A mark for a bus that is not there counts where the list of buses itself lost something."""
        found = [loss for bus in standings if not bus.is_deleted and (loss := self._loss(bus))]
        there = {bus.number for bus in standings}
        if SYSTEM_BUS not in there or any(loss.bus == _name(SYSTEM_BUS) for loss in found):
            found += [Loss(_name(number), 1, mark.head) for number, mark in self.found.items() if number not in there]
        return found

    def _loss(self, bus: Standing) -> Loss | None:
        """Commits are compared within one life only; positions always, for no position is issued twice in a file's name."""
        mark = self.found.get(bus.number)
        if mark is None:
            return None
        lacking = mark.commits - bus.mark.commits if mark.life == bus.mark.life else 0
        if mark.head <= bus.mark.head and lacking <= 0:
            return None
        return Loss(bus.name, bus.mark.head + 1, mark.head, max(0, lacking))

    def begin(self, standings: Sequence[Standing]) -> None:
        """Follow the database from here on: nothing was lost, or somebody has repaired it."""
        self._tell_unknown(standings)
        self.adopt(standings)

    def adopt(self, standings: Sequence[Standing]) -> None:
        """Take the database's word for where it stands, as that of a restored one. Marks of buses that are gone are cleared."""
        self._now = {bus.number: bus.mark for bus in standings}
        self._lives = {bus.number: bus.mark.life for bus in standings}
        gone = [number for number in (*self.found, *self.unreadable) if number not in self._now]
        if self.is_new:
            self._unwritten[_WHOLE_FILE] = _header(boot_id()).ljust(FILE_BYTES_MIN, b"\0")
        elif self.boot != boot_id():
            self._unwritten[_HEADER_ALONE] = _header(boot_id())
        self._unwritten |= dict.fromkeys(gone, _EMPTY)
        self._unwritten |= {number: _pack(number, mark) for number, mark in self._now.items() if self.found.get(number) != mark}
        self.sync()

    def _tell_unknown(self, standings: Sequence[Standing]) -> None:
        """A bus that was committed since there are marks, and has none. Where none are kept none are missed."""
        if isinstance(self._file, NoMarks):
            return
        unknown = [bus.name for bus in standings if bus.mark.commits and bus.number not in self.found]
        if unknown and self.is_new:
            logbook.MARKS_MISSING()
        elif unknown:
            logbook.MARKS_UNKNOWN(buses=", ".join(unknown[:20]))

    def keep(self, batch: Iterable[Changes]) -> None:
        """Mark what has just been committed. Never fails: the commit stands."""
        for changes in batch:
            for record in changes.buses:
                self._follow(record)
            before = self._now.get(changes.bus)
            commits = 1 if before is None else before.commits + 1
            now = Mark(self._lives.get(changes.bus, _NO_LIFE), changes.head, commits)
            self._now[changes.bus] = now
            self._unwritten[changes.bus] = _pack(changes.bus, now)
        self._write()

    def _follow(self, record: BusRecord) -> None:
        if record.is_removed:
            self._now.pop(record.number, None)
            self._lives.pop(record.number, None)
            self._unwritten[record.number] = _EMPTY
        else:
            self._lives[record.number] = life_of(record.incarnation)

    def sync(self) -> None:
        """Have the marks outlast a power cut. After a failed sync nobody knows what lasts, so all are written again."""
        self._write()
        try:
            self._file.sync()
        except OSError as error:
            self._unwritten |= {number: _pack(number, mark) for number, mark in self._now.items()}
            self._fail(error)

    def close(self) -> None:
        self.sync()
        self._file.close()

    def abandon(self) -> None:
        """Close without a word: what the marks say is not to be touched."""
        self._file.close()

    def _write(self) -> None:
        try:
            while self._unwritten:
                number, data = next(iter(self._unwritten.items()))
                self._file.write(_offset(number), data)
                del self._unwritten[number]
        except OSError as error:
            self._fail(error)
        else:
            self.failure = ""

    def _fail(self, error: OSError) -> None:
        if not self.failure:
            logbook.MARKS_UNWRITABLE(error=error)
        self.failure = str(error)


class DiskMarks:
    """`MarkFile` on a real disk, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        is_new = not path.exists()
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InvalidSettings(
                f"found that {path} cannot be opened ({error.strerror})", wanted="a file that this user may read and write"
            ) from error
        self._is_name_durable = not is_new

    def read(self) -> bytes:
        size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, size, 0)

    def write(self, offset: int, data: bytes) -> None:
        if os.pwrite(self._descriptor, data, offset) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        os.fdatasync(self._descriptor)
        if not self._is_name_durable:
            sync_folder(self._path.parent)
            self._is_name_durable = True

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class NoMarks:
    """`MarkFile` that forgets: for a store whose disk is not the operating system's and that was given no place for marks."""

    def read(self) -> bytes:
        return b""

    def write(self, offset: int, data: bytes) -> None:
        """Kept nowhere."""

    def sync(self) -> None:
        """As above."""

    def close(self) -> None:
        """As above."""


def life_of(incarnation: str) -> bytes:
    return hashlib.blake2b(incarnation.encode(), digest_size=8).digest()


def boot_id() -> bytes:
    """What names this run of the machine; nothing where the system does not tell."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return bytes.fromhex(text.strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(number: int) -> str:
    """What a bus is called of which nothing but its number is known."""
    return "system" if number == SYSTEM_BUS else f"number {number}"


def _offset(number: int) -> int:
    return 0 if number in (_WHOLE_FILE, _HEADER_ALONE) else HEADER_BYTES + number * SLOT_BYTES


def _header(boot: bytes) -> bytes:
    """In which run of the machine the marks are written: within it they lack nothing."""
    return _HEADER.pack(_MAGIC, boot, crc32(boot)).ljust(HEADER_BYTES, b"\0")


def _pack(number: int, mark: Mark) -> bytes:
    checksum = crc32(_body.pack(number, mark.life, mark.head, mark.commits))
    return _slot.pack(number, checksum, mark.life, mark.head, mark.commits)


def _read(file: MarkFile) -> bytes:
    """A file that cannot be read says nothing, as one that is not there."""
    try:
        return file.read()
    except OSError as error:
        logbook.MARKS_UNREADABLE(error=error)
        return b""


def _boot_of(content: bytes) -> bytes:
    if len(content) < HEADER_BYTES:
        return b""
    magic, boot, checksum = _HEADER.unpack_from(content)
    return boot if magic == _MAGIC and checksum == crc32(boot) else b""


def _slots(content: bytes) -> tuple[dict[int, Mark], tuple[int, ...]]:
    """The marks by bus number, and the numbers of slots that hold something else than a mark."""
    found, unreadable = {}, []
    for number, data in _written(content):
        bus, checksum, life, head, commits = _slot.unpack(data)
        if bus == number and checksum == crc32(_body.pack(bus, life, head, commits)):
            found[number] = Mark(life, head, commits)
        else:
            unreadable.append(number)
    return found, tuple(unreadable)


def _written(content: bytes) -> Iterator[tuple[int, bytes]]:
    for number, offset in enumerate(range(HEADER_BYTES, len(content), SLOT_BYTES)):
        data = content[offset : offset + SLOT_BYTES]
        if data != _EMPTY[: len(data)]:
            yield number, data.ljust(SLOT_BYTES, b"\0")
