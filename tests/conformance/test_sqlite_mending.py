"""A log that is damaged in one place is mended: what stands behind the damage is not lost with it."""

import io
import random
from pathlib import Path

import apsw
import pytest

from eventyard.engines.sqlite import SqliteEngine, files, log_tail
from eventyard.engines.sqlite.mending import look, write
from tests.conformance.engines import BUS, SMALL, changes, event, founding
from tests.support.harm import crashed, flip

COMMITS, EACH = 30, 3
HEAD = COMMITS * EACH
PAGE = 8192
FRAME = PAGE + log_tail.FRAME_HEADER_BYTES


def opened(path: Path) -> SqliteEngine:
    return SqliteEngine(str(path), layout=SMALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose process ended without a word, in the second round of its log: behind its end stand frames of the first."""
    path = tmp_path_factory.mktemp("written") / "eventyard.db"
    engine = opened(path)
    engine.commit([founding(BUS)])
    _commit_all(engine, 1, COMMITS * 2 // 3)
    engine._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    _commit_all(engine, COMMITS * 2 // 3 + 1, COMMITS)
    copy = crashed(path)
    engine.close()
    return copy


def _commit_all(engine: SqliteEngine, first: int, last: int) -> None:
    for number in range(first, last + 1):
        stop = number * EACH + 1
        engine.commit([changes(*(event(n, note="x" * 1_500) for n in range(stop - EACH, stop)))])


def log_of(written: Path) -> bytes:
    return files.log(written).read_bytes()


def whole_frames(content: bytes) -> int:
    header = log_tail.read_header(content, PAGE)
    return max(number + 1 for number, frame in log_tail.frames(content, header) if frame.database_pages)


class Mended:
    """A log with its candidates, as bytes."""

    def __init__(self, content: bytes) -> None:
        found = look(content, PAGE)
        self.damaged = found.damaged
        self.sure, self.hopeful = (self._of(content, frames) for frames in (found.sure, found.hopeful))

    def _of(self, content: bytes, frames: int) -> bytes:
        target = io.BytesIO()
        write(content, PAGE, frames, target)
        return target.getvalue()


def opened_with(written: Path, log: bytes) -> SqliteEngine:
    copy = crashed(written, f"mended{random.Random().getrandbits(40)}")
    files.log(copy).write_bytes(log)
    files.marks(copy).unlink()
    return opened(copy)


def test_a_whole_log_is_mended_into_what_it_was(written: Path) -> None:
    content = log_of(written)
    mended = Mended(content)

    assert len(content) > log_tail.HEADER_BYTES + whole_frames(content) * FRAME
    assert mended.damaged == 0
    assert mended.sure == mended.hopeful
    assert mended.sure[32:] == content[32 : log_tail.HEADER_BYTES + whole_frames(content) * FRAME] or len(mended.sure) == (
        log_tail.HEADER_BYTES + whole_frames(content) * FRAME
    )


@pytest.mark.parametrize("seed", range(80))
def test_a_flipped_bit_costs_no_more_than_the_events_that_it_hit(written: Path, tmp_path: Path, seed: int) -> None:
    content = log_of(written)
    path = tmp_path / "log"
    path.write_bytes(content)
    at = flip(path, random.Random(seed), within=range(log_tail.HEADER_BYTES + whole_frames(content) * FRAME))
    mended = Mended(path.read_bytes())
    if (at - log_tail.HEADER_BYTES) % FRAME < 8:
        return  # A frame's page number: which page it was, its own content has to tell (`test_sqlite_repair`).
    number = (at - log_tail.HEADER_BYTES) // FRAME
    if [frame.page for _, frame in log_tail.frames(content, log_tail.read_header(content, PAGE))][number] == 1:
        return  # The first page says what tables there are, and belongs to all events (`first_pages`).
    engine = opened_with(written, mended.hopeful)

    assert engine.load()[1].head == HEAD
    found = engine.view.events(BUS, 1, HEAD, HEAD)
    assert all(stored == event(stored.position, note="x" * 1_500) for stored in found)
    assert len(found) >= HEAD - 6
    engine.close()


def test_the_header_may_be_what_is_damaged(written: Path) -> None:
    content = bytearray(log_of(written))
    content[:32] = bytes(32)
    engine = opened_with(written, Mended(bytes(content)).sure)

    assert len(engine.view.events(BUS, 1, HEAD, HEAD)) == HEAD
    engine.close()


def test_a_single_commit_behind_the_damage_is_hoped_for_and_not_sure(written: Path) -> None:
    content = bytearray(log_of(written))
    ends = [
        number
        for number, frame in log_tail.frames(bytes(content), log_tail.read_header(bytes(content), PAGE))
        if frame.database_pages
    ]
    content[log_tail.HEADER_BYTES + (ends[-2] + 1) * FRAME + 5_000] ^= 1
    mended = Mended(bytes(content))

    assert len(mended.sure) == log_tail.HEADER_BYTES + (ends[-2] + 1) * FRAME
    assert len(mended.hopeful) == log_tail.HEADER_BYTES + (ends[-1] + 1) * FRAME


def test_two_bad_places_are_two_bad_places(written: Path) -> None:
    content = bytearray(log_of(written))
    for frame in (5, 40):
        content[log_tail.HEADER_BYTES + frame * FRAME + 4_000] ^= 255
    mended = Mended(bytes(content))
    engine = opened_with(written, mended.sure)

    assert mended.damaged == 2
    assert engine.load()[1].head == HEAD
    engine.close()


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 5_000])
def test_a_log_without_a_commit_is_mended_into_none(written: Path, length: int) -> None:
    assert Mended(log_of(written)[:length]).hopeful == b""
