"""The first page of a database and its size: without them SQLite reads nothing of a file that may be whole everywhere else.

A file that was cut is filled up with empty pages to the size that its header tells: those are then the only ones that cannot be read.
A first page that is gone is lent from a new file. It tells where each table begins, and a store that was never upgraded
keeps its tables where a new one has them; whether that fits, the rows show, each event by its checksum.
"""

import contextlib
import struct
import tempfile
from pathlib import Path

import apsw

from eventyard.core.errors import Corrupt
from eventyard.engines.sqlite import connection as connections
from eventyard.engines.sqlite.connection import PAGE_BYTES
from eventyard.engines.sqlite.migrating import migrate

_PAGES_AT = 28
"""Where the header tells how many pages there are (sqlite.org/fileformat.html#the_database_header)."""

_pages = struct.Struct(">I")
_FREE_AT = 32
_free = struct.Struct(">II")


def is_readable(path: Path) -> bool:
    """Whether SQLite takes the file for a database and can read where its tables begin."""
    try:
        with contextlib.closing(connections.open_reader(str(path), vfs=None)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except (Corrupt, apsw.CorruptError, apsw.NotADBError):
        return False
    return True


def fill_up(path: Path) -> None:
    """Give a file that was cut the size that its header tells, and whole pages in any case."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_PAGES_AT + _pages.size)
    if len(header) < _PAGES_AT + _pages.size:
        return
    (pages,) = _pages.unpack_from(header, _PAGES_AT)
    wanted = max(pages * PAGE_BYTES, -(-size // PAGE_BYTES) * PAGE_BYTES)
    if header.startswith(b"SQLite format 3") and size < wanted <= size + PAGES_CUT_MAX * PAGE_BYTES:
        with path.open("r+b") as file:
            file.truncate(wanted)


PAGES_CUT_MAX = 1 << 27
"""A terabyte: a header that tells of more is damaged itself."""


def lend(path: Path) -> None:
    """Write the first page of a new store over the file's own."""
    page = bytearray(_new_page())
    pages = -(-path.stat().st_size // PAGE_BYTES)
    _pages.pack_into(page, _PAGES_AT, pages)
    _free.pack_into(page, _FREE_AT, 0, 0)
    with path.open("r+b") as file:
        file.write(page)
        file.truncate(max(1, pages) * PAGE_BYTES)


def _new_page() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new.db"
        connection = connections.open_writer(str(path), vfs=None, synchronous="OFF", is_exclusive=True)
        migrate(connection, str(path))
        connections.close_in_order(connection)
        return path.read_bytes()[:PAGE_BYTES]
