"""Bringing a file up to the schema of this eventyard: numbered files of SQL, applied in order, all in one transaction."""

from pathlib import Path

import apsw

from eventyard import logbook
from eventyard.core.errors import InvalidSettings
from eventyard.engines.sqlite.connection import failures_named

APPLICATION_ID = 0x45767964
"""'Evyd' in the file's header, so that another program's database is never taken for ours."""


def migrations() -> list[str]:
    """The SQL of every migration; the first brings a new file to version 1."""
    folder = Path(__file__).with_name("migrations")
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))]


def migrate(connection: apsw.Connection, path: str) -> None:
    """Apply what is missing, or raise `InvalidSettings` for a file that is not ours or newer than we are.

    A crash leaves the file at the version that it had.
    """
    known = migrations()
    with failures_named(path):
        version = _version(connection, path)
        if version > len(known):
            raise InvalidSettings(
                f"found {path} at version {version}, and this eventyard knows versions up to {len(known)}",
                wanted="a newer eventyard, or a backup from before it was upgraded",
            )
        if version < len(known):
            _apply(connection, known, version)
        _make_shrinkable(connection)


def _version(connection: apsw.Connection, path: str) -> int:
    version: int = connection.pragma("user_version")
    is_empty = not connection.execute("SELECT count(*) FROM sqlite_schema").get
    if not is_empty and connection.pragma("application_id") != APPLICATION_ID:
        raise InvalidSettings(f"found that {path} is another program's database", wanted="a file of eventyard, or a new path")
    return version


def _apply(connection: apsw.Connection, known: list[str], version: int) -> None:
    with connection:
        for text in known[version:]:
            connection.execute(text)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", len(known))


def _make_shrinkable(connection: apsw.Connection) -> None:
    """A file from before 0.1 that could only grow is written anew once, which takes as much room again while it lasts.

    A crash leaves the file as it was, and the next start does it again.
    """
    if connection.pragma("auto_vacuum") == _INCREMENTAL:
        return
    logbook.STORE_REWRITTEN()
    connection.pragma("auto_vacuum", "INCREMENTAL")
    connection.execute("VACUUM")


_INCREMENTAL = 2
