"""Which log a repair goes on with: the one that leaves the store whole in its structure, and with the most commits.

mended     up to a last commit that may be a leftover, which only counts where the store then stands where its marks say;
mended     up to the last commit that is proven;
as it is   which is what SQLite would take of it;
none       what a checkpoint had already moved into the file can be newer than a log that was cut, and the two together make no
           sense to SQLite.
"""

from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec

from eventyard.core.errors import Corrupt
from eventyard.engines.sqlite import examining, files, first_pages
from eventyard.engines.sqlite.connection import PAGE_BYTES
from eventyard.engines.sqlite.marks import Marks, Standing, standings
from eventyard.engines.sqlite.mending import mend
from eventyard.engines.sqlite.soundness import Progress


class Candidate(msgspec.Struct, frozen=True):
    content: bytes
    is_mended: bool = False
    is_proven: bool = True


def choose_log(database: Path, marks: Marks, progress: Progress) -> bool:
    """Give `database`, a copy, its best log. True where that is a mended one. Where none leaves it whole: one that can be opened."""
    log = files.log(database)
    if not log.exists() or not log.stat().st_size:
        return False
    before = log.read_bytes()
    best: tuple[int, Candidate] | None = None
    for candidate in _candidates(before):
        progress("choosing the log", 0, 0)
        _set(database, candidate.content)
        stand = _standings(database, progress)
        if stand is None or not (candidate.is_proven or _is_marked(stand, marks)):
            continue
        commits = sum(bus.mark.commits for bus in stand)
        if best is None or commits > best[0]:
            best = commits, candidate
        if not marks.losses(stand):
            break
    _set(database, before if best is None else best[1].content)
    if best is None and not first_pages.is_readable(database):
        _set(database, b"")
    return best is not None and best[1].is_mended


def _candidates(before: bytes) -> Iterator[Candidate]:
    mended = mend(before, PAGE_BYTES)
    if mended.damaged:
        if mended.hopeful != mended.sure:
            yield Candidate(mended.hopeful, is_mended=True, is_proven=False)
        yield Candidate(mended.sure, is_mended=True)
    yield Candidate(before)
    yield Candidate(b"")


def _set(database: Path, content: bytes) -> None:
    """Its index in shared memory is of the log before."""
    files.log(database).write_bytes(content)
    files.index(database).unlink(missing_ok=True)


def _standings(database: Path, progress: Progress) -> list[Standing] | None:
    """Where the buses stand; None where the structure does not hold."""
    try:
        with examining.opened(database) as connection:
            if examining.structure_faults(connection, progress):
                return None
            return standings(connection)
    except (Corrupt, apsw.Error):
        return None


def _is_marked(stand: list[Standing], marks: Marks) -> bool:
    """Whether the store stands exactly where its marks say."""
    return all(marks.found.get(bus.number) == bus.mark for bus in stand if bus.mark.commits)
