"""Harm done to files, as disks, crashes and people do it; and what a new process finds after a crash."""

import random
import shutil
from pathlib import Path

from eventyard.engines.sqlite import files


def crashed(path: Path, name: str = "crashed") -> Path:
    """The store at `path` as a new process finds it if the one that has it open ends now. In a folder of its own."""
    folder = path.parent / name
    folder.mkdir()
    copy = folder / path.name
    for file, to in ((path, copy), (files.log(path), files.log(copy)), (files.marks(path), files.marks(copy))):
        if file.exists():
            shutil.copy(file, to)
    return copy


def flip(path: Path, rng: random.Random, *, within: range | None = None) -> int:
    """One bit of a file, of any byte or of those `within`. Which byte."""
    data = bytearray(path.read_bytes())
    at = rng.choice(within or range(len(data)))
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return at


def cut(path: Path, rng: random.Random) -> int:
    """Everything behind some byte is gone. Where it ends now."""
    at = rng.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.truncate(at)
    return at
