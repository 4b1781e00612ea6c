"""Copying a store to be repaired, and putting the repaired copy in its place.

The old files get second names in a folder of their own, so that nothing of them is lost; then the copy's files replace them one by one. A
crash in between leaves the folder of the copy, by whose name every start knows that there is something to complete (`finish`).
"""

import os
import shutil
from pathlib import Path

from eventyard.core.errors import StorageFull
from eventyard.engines.sqlite import files
from eventyard.engines.sqlite.marks import sync_folder
from eventyard.engines.sqlite.soundness import Progress

CHUNK_BYTES = 1024 * 1024


def room_needed(database: Path) -> int:
    """Bytes of disk that a repair needs beside the store, at the most: a copy, and a second one where rows have to be saved."""
    return 2 * sum(path.stat().st_size for path in (database, files.log(database)) if path.exists())


def check_room(database: Path) -> None:
    needed, free = room_needed(database), shutil.disk_usage(database.parent).free
    if free < needed:
        raise StorageFull(
            f"found {free // 2**20} MiB free in {database.parent}", wanted=f"{needed // 2**20 + 1} MiB for the repaired copy"
        )


def copied(database: Path, work: Path, progress: Progress) -> Path:
    copy = work / database.name
    for source, target in ((database, copy), (files.log(database), files.log(copy))):
        if source.exists():
            _copy(source, target, progress)
    return copy


def _copy(source: Path, target: Path, progress: Progress) -> None:
    total, done = source.stat().st_size, 0
    with source.open("rb") as old, open(target, "xb", opener=_private) as new:
        while chunk := old.read(CHUNK_BYTES):
            new.write(chunk)
            done += len(chunk)
            progress("copying", done, total)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def keep_old(database: Path, kept_in: Path) -> None:
    """Second names for the files as they were, which take no room until the first ones go on to other content."""
    kept_in.mkdir(mode=0o700, exist_ok=True)
    for path in (database, files.log(database), files.marks(database)):
        if path.exists() and not (kept_in / path.name).exists():
            _link(path, kept_in / path.name)
    sync_folder(kept_in)


def _link(path: Path, second: Path) -> None:
    """Where a file system knows no second names, a copy."""
    try:
        os.link(path, second)
    except OSError:
        shutil.copy2(path, second)


def finish(database: Path) -> bool:
    """Carry out a repair that was decided. True where there was one. Doing it twice is harmless."""
    done = files.repaired(database)
    if not done.is_dir():
        return False
    for old in (files.log(database), files.index(database)):
        old.unlink(missing_ok=True)
    for new, to in ((done / database.name, database), (files.marks(done / database.name), files.marks(database))):
        if new.exists():
            new.replace(to)
    sync_folder(database.parent)
    shutil.rmtree(done)
    sync_folder(database.parent)
    return True
