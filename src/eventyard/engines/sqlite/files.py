"""The files of one store: what they are called, and what repairs them."""

import contextlib
import os
from pathlib import Path

from eventyard.ports import Footprint

DATABASE = "eventyard.db"
"""The database of a data folder. A program that embeds a bus names its own."""


def database(data: str | Path) -> Path:
    """The database that `--data` means: that of a data folder, or the file itself where a program embeds a bus."""
    path = Path(data)
    return path if path.is_file() else path / DATABASE


def log(path: str | Path) -> Path:
    """SQLite's write-ahead log."""
    return Path(f"{path}-wal")


def index(path: str | Path) -> Path:
    """The index of that log in shared memory, which SQLite makes anew whenever it is not there."""
    return Path(f"{path}-shm")


def journal(path: str | Path) -> Path:
    """SQLite's rollback journal, which stands beside a file without a write-ahead log while it is written."""
    return Path(f"{path}-journal")


def marks(path: str | Path) -> Path:
    return Path(path).with_suffix(".marks")


def repairing(path: str | Path) -> Path:
    """The folder in which a repaired copy is made. It means nothing until it is called `repaired`."""
    return Path(path).with_suffix(".repairing")


def repaired(path: str | Path) -> Path:
    """The folder of a repaired copy that is whole and is to take the store's place."""
    return Path(path).with_suffix(".repaired")


def damaged(path: str | Path, stamp: str) -> Path:
    """The folder in which a repair leaves the files as it found them."""
    return Path(path).with_suffix(f".damaged-{stamp}")


def footprint(path: str | Path) -> Footprint:
    """What the store at `path` takes of its disk."""
    sizes: dict[str, int] = {}
    for name, file in (("database", Path(path)), ("log", log(path)), ("index", index(path)), ("marks", marks(path))):
        with contextlib.suppress(OSError):
            sizes[name] = file.stat().st_size
    try:
        disk = os.statvfs(Path(path).parent)
    except OSError:
        return Footprint(sizes)
    return Footprint(sizes, disk.f_bavail * disk.f_frsize)


def repair_command(path: str | Path) -> str:
    """The command line that repairs the store at `path`. Its `--data` takes a data folder, or the database of an embedded bus."""
    where = Path(path)
    return f"eventyard doctor --repair --data {where.parent if where.name == DATABASE else where}"
