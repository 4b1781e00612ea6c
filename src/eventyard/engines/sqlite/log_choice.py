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
from eventyard.engines.sqlite import examining, files, first_pages, log_tail, mending
from eventyard.engines.sqlite.connection import PAGE_BYTES
from eventyard.engines.sqlite.log_tail import Content
from eventyard.engines.sqlite.marks import Marks, Standing, standings
from eventyard.engines.sqlite.soundness import Progress


class Candidate(msgspec.Struct, frozen=True):
    """A log of the first `frames` with new checksums; -1: as it was found."""

    frames: int
    is_proven: bool = True

    @property
    def is_mended(self) -> bool:
        return self.frames > 0


AS_IT_IS = Candidate(-1)
NONE = Candidate(0)


def choose_log(database: Path, marks: Marks, progress: Progress) -> bool:
    """Give `database`, a copy, its best log. True where that is a mended one. Where none leaves it whole: one that can be opened."""
    log = files.log(database)
    if not log.exists() or not log.stat().st_size:
        return False
    found = log.rename(log.with_suffix(".found"))
    try:
        with log_tail.content_of(found) as content:
            return _choose(database, content, marks, progress)
    finally:
        found.unlink()


def _choose(database: Path, content: Content, marks: Marks, progress: Progress) -> bool:
    best: tuple[int, Candidate] | None = None
    for candidate in _candidates(content):
        progress("choosing the log", 0, 0)
        _set(database, content, candidate)
        stand = _standings(database, progress)
        if stand is None or not (candidate.is_proven or _is_marked(stand, marks)):
            continue
        commits = sum(bus.mark.commits for bus in stand)
        if best is None or commits > best[0]:
            best = commits, candidate
        if not marks.losses(stand):
            break
    _set(database, content, AS_IT_IS if best is None else best[1])
    if best is None and not first_pages.is_readable(database):
        _set(database, content, NONE)
    return best is not None and best[1].is_mended


def _candidates(content: Content) -> Iterator[Candidate]:
    mendable = mending.look(content, PAGE_BYTES)
    if mendable.damaged:
        if mendable.hopeful != mendable.sure:
            yield Candidate(mendable.hopeful, is_proven=False)
        yield Candidate(mendable.sure)
    yield AS_IT_IS
    yield NONE


def _set(database: Path, content: Content, candidate: Candidate) -> None:
    """Its index in shared memory is of the log before."""
    files.index(database).unlink(missing_ok=True)
    with files.log(database).open("wb") as log:
        if candidate == AS_IT_IS:
            log.write(content)
        else:
            mending.write(content, PAGE_BYTES, candidate.frames, log)


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
