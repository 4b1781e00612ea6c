"""A disk in memory that forgets what was not synced, as a VFS for the real SQLite.

Theory of operation. A file has three layers: `content` is what the process reads back (the page cache), `durable` is what
the platters hold for certain, and `pending` lists the writes between the two, in order. A sync empties `pending` into `durable`.
`power_cut` decides the fate of every pending write: lost, landed, or torn at 512-byte sectors, each sector by itself; so a later write
may land where an earlier one did not (reordering), and old and new sectors stand side by side. No byte outside a
write is harmed, which is what SQLite's POWERSAFE_OVERWRITE promises of disks and what the operating system's VFS claims.

A process that dies without a power cut leaves the page cache alone: `unplug` only makes its open files useless, so
that SQLite's tidy close, which a dead process never runs, cannot write anything.
"""

import random
from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

SECTOR = 512

Write = tuple[int, bytes]
"""Offset and data; an offset below 0 is a truncation to `-1 - offset` bytes."""


class DiskFile:
    def __init__(self) -> None:
        self.content = bytearray()
        self.durable = bytearray()
        self.pending: list[Write] = []

    def write(self, offset: int, data: bytes) -> None:
        self.pending.append((offset, data))
        _land(self.content, (offset, data))

    def truncate(self, size: int) -> None:
        self.pending.append((-1 - size, b""))
        _land(self.content, (-1 - size, b""))

    def sync(self) -> None:
        for write in self.pending:
            _land(self.durable, write)
        self.pending = []

    def lose_power(self, rng: random.Random) -> None:
        """What is left of the pending writes is durable now; the page cache is gone."""
        chance = rng.choice((0.0, 0.5, 0.9))
        is_prefix = rng.random() < 0.3
        kept = rng.randint(0, len(self.pending)) if is_prefix else len(self.pending)
        for write in self.pending[:kept]:
            for part in _sectors(write):
                if is_prefix or rng.random() < chance:
                    _land(self.durable, part)
        self.pending = []
        self.content = bytearray(self.durable)


class Fault(msgspec.Struct):
    """Fails the operations named in `operations`, after `after` of them, `count` times."""

    operations: frozenset[str]
    error: type[apsw.Error]
    after: int
    count: int


class Disk:
    """Files by name. `durable_names` are those that a power cut cannot take away."""

    def __init__(self) -> None:
        self.files: dict[str, DiskFile] = {}
        self.durable_names: dict[str, DiskFile] = {}
        self.fault: Fault | None = None
        self.counts: dict[str, int] = {}

    def open(self, name: str) -> DiskFile:
        if name not in self.files:
            self.files[name] = DiskFile()
        return self.files[name]

    def sync(self, name: str, file: DiskFile) -> None:
        """The file; and the folder with it where the file is new, as SQLite does for a new log."""
        file.sync()
        if self.durable_names.get(name) is not file:
            self.durable_names = dict(self.files)

    def delete(self, name: str, *, is_synced: bool) -> None:
        del self.files[name]
        if is_synced:
            self.durable_names.pop(name, None)

    def power_cut(self, rng: random.Random) -> None:
        names = sorted(self.files.keys() | self.durable_names.keys())
        self.files = {name: file for name in names if (file := self._survivor(name, rng)) is not None}
        for file in self.files.values():
            file.lose_power(rng)
        self.durable_names = dict(self.files)

    def _survivor(self, name: str, rng: random.Random) -> DiskFile | None:
        """A name made or removed without a sync of its folder may be there or not."""
        now, durable = self.files.get(name), self.durable_names.get(name)
        if now is durable:
            return now
        return now if rng.random() < 0.5 else durable

    def meet(self, operation: str) -> None:
        """Count an operation, and fail it where a fault says so."""
        self.counts[operation] = self.counts.get(operation, 0) + 1
        fault = self.fault
        if fault is None or operation not in fault.operations:
            return
        if fault.after > 0:
            fault.after -= 1
            return
        fault.count -= 1
        if fault.count <= 0:
            self.fault = None
        raise fault.error("injected by the simulation")


class DiskVFS(apsw.VFS):
    """One process's access to a disk. Names and time come from the operating system's VFS, files from the disk."""

    def __init__(self, name: str, disk: Disk) -> None:
        super().__init__(name, base="")
        self.vfs_name = name
        self.disk = disk
        self.is_unplugged = False

    def unplug(self) -> None:
        """The process is dead: what SQLite still does, closing its files, goes nowhere and never fails."""
        self.is_unplugged = True

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - apsw's name
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802, ARG002
        return pathname in self.disk.files

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        if self.is_unplugged:
            return
        if filename not in self.disk.files:
            raise apsw.exception_for(apsw.SQLITE_IOERR_DELETE_NOENT)
        self.disk.delete(filename, is_synced=syncdir)

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        flags[1] = flags[0]
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary"
        return OpenFile(self, path, self.disk.open(path))


class DiskMarks:
    """`MarkFile` on the disk, for the process that `vfs` stands for."""

    def __init__(self, vfs: DiskVFS, name: str) -> None:
        self._vfs = vfs
        self._name = name
        self._file = vfs.disk.open(name)

    def _meet(self, operation: str) -> bool:
        if self._vfs.is_unplugged:
            return False
        try:
            self._vfs.disk.meet(operation)
        except apsw.Error as error:
            raise OSError(5, str(error)) from error
        return True

    def read(self) -> bytes:
        self._meet("read")
        return bytes(self._file.content)

    def write(self, offset: int, data: bytes) -> None:
        if self._meet("write"):
            self._file.write(offset, data)

    def sync(self) -> None:
        if self._meet("sync"):
            self._vfs.disk.sync(self._name, self._file)

    def close(self) -> None:
        """Nothing to give back."""


class OpenFile:
    """One open file. One connection at a time uses a disk, so locks are always free."""

    def __init__(self, vfs: DiskVFS, name: str, file: DiskFile) -> None:
        self._vfs = vfs
        self._name = name
        self._file = file

    def _meet(self, operation: str) -> bool:
        """Whether the disk is there for this operation; raises where it fails it."""
        if self._vfs.is_unplugged:
            return False
        self._vfs.disk.meet(operation)
        return True

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._meet("read")
        return bytes(self._file.content[offset : offset + amount])

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        if self._meet("write"):
            self._file.write(offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        if self._meet("truncate"):
            self._file.truncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802, ARG002
        if self._meet("sync"):
            self._vfs.disk.sync(self._name, self._file)

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._file.content)

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xSectorSize(self) -> int:  # noqa: N802
        return 4096

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802, ARG002
        return False

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xLock(self, level: int) -> None:  # noqa: N802
        """Always free."""

    def xUnlock(self, level: int) -> None:  # noqa: N802
        """Always free."""

    def xClose(self) -> None:  # noqa: N802
        """Nothing to give back."""


def _land(content: bytearray, write: Write) -> None:
    offset, data = write
    if offset < 0:
        del content[-1 - offset :]
        return
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _sectors(write: Write) -> Iterator[Write]:
    """A write cut at sector boundaries; a truncation is one piece."""
    offset, data = write
    if offset < 0:
        yield write
        return
    start = 0
    while start < len(data):
        end = min(len(data), start + SECTOR - (offset + start) % SECTOR)
        yield offset + start, data[start:end]
        start = end
