"""Holding a data folder: one process owns it, for as long as it lives."""

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from eventyard.core.errors import InvalidSettings


class Hold:
    """A folder held by this process. The kernel lets go when the process ends, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def hold(folder: str | Path) -> Hold:
    """Make the folder (its owner's only) and hold it, or `InvalidSettings` that names who does, or why it cannot be used.

    The lock is an flock on `<folder>/lock`; the file stays behind and means nothing by itself.
    """
    folder = Path(folder)
    descriptor = _open(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise InvalidSettings(
            f"found {folder} held by another eventyard ({holder})",
            wanted="to stop that process first, or another folder with --data",
        ) from error
    _write_holder(descriptor)
    return Hold(descriptor)


def _open(folder: Path) -> int:
    try:
        _make(folder)
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidSettings(
            f"found that {folder} cannot be written ({error.strerror})",
            wanted="a folder that this user may write: change its owner, or name another with --data",
        ) from error


def _make(folder: Path) -> None:
    """A new folder is made durable in its parent's list, or a power cut could take the whole bus with it."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent = os.open(folder.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return f"process {text}" if text.isdigit() else "process unknown"


def _write_holder(descriptor: int) -> None:
    """The process id is for people; on a full disk the lock holds without it."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
