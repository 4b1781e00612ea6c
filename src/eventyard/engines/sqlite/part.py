"""A file that comes to be whole or not at all: it is written under a name of its own and takes its place when it is done.

A crash leaves at most the part behind, which the next attempt takes over; nobody ever sees half a file under the real name.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from eventyard.core.errors import EventyardError, InvalidBackup, StorageFailed, StorageFull
from eventyard.engines.sqlite.marks import sync_folder


class Part:
    """The part of `target`, held by this process. `path` is where to write."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = part_path(target)
        self._descriptor = _claim(self.path)

    def sync(self) -> None:
        """What was written is on the disk when this returns, and the next to read it reads it from there."""
        os.fsync(self._descriptor)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def place(self) -> None:
        """Take the target's place, durably: old or new, never neither."""
        os.fsync(self._descriptor)
        self.path.rename(self.target)
        sync_folder(self.target.parent)

    def close(self) -> None:
        os.close(self._descriptor)


def part_path(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


@contextlib.contextmanager
def part_of(target: Path) -> Iterator[Part]:
    """The part of `target`, gone again unless it was placed."""
    with disk_failures_named(target.parent):
        part = Part(target)
        try:
            yield part
        finally:
            part.path.unlink(missing_ok=True)
            part.close()


@contextlib.contextmanager
def disk_failures_named(folder: Path) -> Iterator[None]:
    """Raise what the operating system says of a file in `folder` as what to do about it."""
    try:
        yield
    except OSError as error:
        raise disk_failure(error, folder) from error


def disk_failure(error: OSError, folder: Path) -> EventyardError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"found no room in {folder}", wanted="space there, or a folder on another disk")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR):
        return InvalidBackup(
            f"found that {folder} cannot be written ({os.strerror(error.errno).lower()})",
            wanted="a folder that this user may write",
        )
    return StorageFailed(f"found that the disk of {folder} fails ({error.strerror})", wanted="a disk that works")


def _claim(path: Path) -> int:
    """An empty file at `path` that this process alone writes, taken over from one that died."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise InvalidBackup(f"found that another process writes {path}", wanted="to let it end first") from error
        if _is_at(descriptor, path):
            os.ftruncate(descriptor, 0)
            os.fchmod(descriptor, 0o600)
            return descriptor
        os.close(descriptor)  # It was placed or removed between our opening it and holding it.


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
