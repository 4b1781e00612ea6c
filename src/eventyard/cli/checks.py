"""The checks of `eventyard doctor`, each a function that gives one finding."""

import enum
import platform
import shutil
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from os import fsync
from pathlib import Path
from urllib.parse import urlsplit

import apsw
import msgspec

from eventyard import __version__
from eventyard.cli import repairing
from eventyard.cli.options import connect
from eventyard.cli.progress import Advance
from eventyard.client import ClientError, ProblemError, Unreachable
from eventyard.core.errors import InvalidSettings, Refused, Unavailable
from eventyard.engines.sqlite import examining, files, hold

PYTHON_MIN = (3, 11)
WAL_RESET_FIXED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""The WAL-reset bug (sqlite.org/wal.html#walresetbug) can corrupt a database that two connections write and checkpoint. It is in
3.7.0 to 3.51.2, and fixed in 3.51.3 and in these two older lines."""

FSYNCS = 20
FSYNC_BYTES = 4_096
FSYNC_SLOW_MS = 20.0
"""Each commit waits for one: above this a single publisher gets fewer than 50 events a second."""
FSYNC_UNREAL_MS = 0.02
"""No disk is as fast as this; the folder is in memory, or something on the way only pretends."""

FREE_BYTES_LOW = 10 * 1024**3
"""What the default retention may come to use."""
FREE_BYTES_MIN = 1024**3

GIB = 1024**3


class Grade(enum.StrEnum):
    WELL = "well"
    DOUBTFUL = "doubtful"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """What one check found. `advice` says what to do; empty when all is well."""

    check: str
    grade: Grade
    found: str
    advice: str = ""


def examine(data: str, url: str, advance: Advance) -> Iterator[Finding]:
    """Every check in turn."""
    folder = _nearest(Path(data))
    yield python(sys.version_info[:3])
    yield sqlite(apsw.sqlite_lib_version())
    yield stdlib_sqlite(sqlite3.sqlite_version)
    yield fsync_speed(folder)
    yield free_disk(folder)
    yield store(files.database(data), advance)
    yield server(url)


def _nearest(folder: Path) -> Path:
    """The folder, or the one that it would be made in."""
    return next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), Path.cwd())


def python(version: tuple[int, ...]) -> Finding:
    told = ".".join(map(str, version))
    if version < PYTHON_MIN:
        return Finding("python", Grade.WRONG, f"Python {told}", "install Python 3.11 or newer")
    return Finding("python", Grade.WELL, f"Python {told} on {platform.system()} {platform.machine()}")


def sqlite(version: str) -> Finding:
    """The SQLite that the server writes with."""
    if is_affected(version):
        return Finding("sqlite", Grade.WRONG, f"{version} in apsw, which has the WAL-reset bug", "pip install --upgrade apsw")
    return Finding("sqlite", Grade.WELL, f"{version} in apsw, without the WAL-reset bug")


def stdlib_sqlite(version: str) -> Finding:
    """Python's own. The server does not use it, but whoever opens the store with it does."""
    if is_affected(version):
        advice = "harmless for the server; do not open its store with Python's sqlite3 or an old sqlite3 shell while it runs"
        return Finding("sqlite3", Grade.DOUBTFUL, f"{version} in Python, which has the WAL-reset bug", advice)
    return Finding("sqlite3", Grade.WELL, f"{version} in Python, without the WAL-reset bug")


def is_affected(version: str) -> bool:
    """Whether this SQLite has the WAL-reset bug."""
    parts = tuple(int(part) for part in version.split(".")[:3])
    if parts < (3, 7, 0) or parts >= WAL_RESET_FIXED[-1]:
        return False
    return not any(parts[:2] == fixed[:2] and parts >= fixed for fixed in WAL_RESET_FIXED)


def fsync_speed(folder: Path) -> Finding:
    try:
        took_ms = statistics.median(_fsyncs_ms(folder))
    except OSError as error:
        advice = "let the user that runs the server write there, or choose another folder with --data"
        return Finding("fsync", Grade.WRONG, f"cannot write to {folder}: {error.strerror}", advice)
    return grade_fsync(folder, took_ms)


def _fsyncs_ms(folder: Path) -> Iterator[float]:
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".eventyard-doctor-", buffering=0) as file:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            file.write(bytes(FSYNC_BYTES))
            fsync(file.fileno())
            yield (time.perf_counter() - began) * 1000


def grade_fsync(folder: Path, took_ms: float) -> Finding:
    found = f"{took_ms:.2f} ms in {folder}"
    if took_ms > FSYNC_SLOW_MS:
        return Finding("fsync", Grade.DOUBTFUL, found, "every commit waits for it: use a faster disk, or publish in batches")
    if took_ms < FSYNC_UNREAL_MS:
        advice = (
            "too fast to reach a disk: is this memory (tmpfs), or a disk told to ignore flushes? A power cut would lose events"
        )
        return Finding("fsync", Grade.DOUBTFUL, found, advice)
    return Finding("fsync", Grade.WELL, found)


def free_disk(folder: Path) -> Finding:
    return grade_free(folder, shutil.disk_usage(folder).free)


def grade_free(folder: Path, free: int) -> Finding:
    found = f"{free / GIB:.1f} GiB free in {folder}"
    if free < FREE_BYTES_MIN:
        return Finding("disk", Grade.WRONG, found, "free some: a full disk makes the server refuse events")
    if free < FREE_BYTES_LOW:
        return Finding(
            "disk", Grade.DOUBTFUL, found, "the default retention keeps up to 10 GiB; watch it, or give it a larger disk"
        )
    return Finding("disk", Grade.WELL, found)


def store(database: Path, advance: Advance) -> Finding:
    """The whole store, from end to end, where no process holds it."""
    if files.repaired(database).is_dir():
        return Finding("store", Grade.WRONG, "a repair was decided and not carried out", files.repair_command(database))
    if not (database.exists() or files.marks(database).exists()):
        return Finding("store", Grade.WELL, f"none yet at {database}")
    try:
        with hold(database.parent):
            return grade_store(database, examining.examine(database, advance))
    except InvalidSettings as error:
        return Finding("store", Grade.WELL, f"{error.found}: its own scrubber looks at it, and /readyz says what it finds")
    except (Refused, Unavailable) as error:
        return Finding("store", Grade.WRONG, error.found, error.wanted)


def grade_store(database: Path, found: examining.Examined) -> Finding:
    wrong = repairing.faults(found)
    if wrong:
        more = f"; and {len(wrong) - FAULTS_TOLD} more" if len(wrong) > FAULTS_TOLD else ""
        return Finding("store", Grade.WRONG, "; ".join(wrong[:FAULTS_TOLD]) + more, files.repair_command(database))
    told = f"{found.events} events, {found.bytes / 1024**2:.1f} MiB, sound"
    if found.remarks:
        return Finding("store", Grade.DOUBTFUL, f"{told}; {'; '.join(found.remarks)}", "start the server once")
    return Finding("store", Grade.WELL, told)


FAULTS_TOLD = 5


def server(url: str) -> Finding:
    """Whether one answers, is ready and speaks this version; else whether its port is free."""
    try:
        with connect(url, attempts_max=1) as client:
            return _grade_server(url, is_ready=client.ready(), version=client.server_version())
    except Unreachable as error:
        return _silent(url, error)
    except ProblemError as error:
        if error.code in {"unauthenticated", "forbidden"}:
            advice = "set EVENTYARD_KEY, or --key-file, to a key with the scope read for all buses"
            return Finding("server", Grade.DOUBTFUL, f"one answers at {url} and wants another key: {error.found}", advice)
        advice = "something else holds this address: choose another with eventyard serve --port, and --url here"
        return Finding("server", Grade.WRONG, f"what answers at {url} is not Eventyard ({error.status})", advice)
    except ClientError as error:
        return Finding("server", Grade.WRONG, str(error), "look into the server's log")


def _grade_server(url: str, *, is_ready: bool, version: str) -> Finding:
    found = f"{version} at {url}"
    if not is_ready:
        return Finding("server", Grade.WRONG, f"{found}, not ready", "wait a moment, then look into its log")
    if version != __version__:
        advice = f"this command line is {__version__}: bring both to the same version"
        return Finding("server", Grade.DOUBTFUL, f"{found}, ready", advice)
    return Finding("server", Grade.WELL, f"{found}, ready")


def _silent(url: str, error: Unreachable) -> Finding:
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 80
    if _is_local(host) and not _is_free(host, port):
        advice = f"another program holds port {port}: choose another with eventyard serve --port, and --url here"
        return Finding("server", Grade.WRONG, f"no answer from {url}, but its port is taken", advice)
    return Finding("server", Grade.WRONG, f"no answer from {url} ({error.reason})", "start it: eventyard serve")


def _is_local(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server itself listens: a port that only waits out old connections counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
