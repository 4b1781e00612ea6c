"""The first key of a bus that others can reach: taken from a file that nobody else can read, or made and written there.

A bus that listens publicly starts only with a key, and a key is made by asking a bus; so one has to come from outside. The file is written
before the key is let in: a start that is cut off between the two finds the file, and lets in the key that stands there. It is never printed.
"""

import os
import secrets
import stat
from pathlib import Path

from eventyard.core import access
from eventyard.core.errors import InvalidSettings

NAME = "first"
_BYTES_MAX = 200
"""A key has 76."""


def read_or_make(path: Path) -> str:
    """The key in the file, which is made where it is not there. InvalidSettings for one that others can read, or that holds no key."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return _make(path)
    except OSError as error:
        raise _unusable(path, f"cannot read it: {error.strerror}") from error
    try:
        _check(path, os.fstat(descriptor))
        text = os.read(descriptor, _BYTES_MAX).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)
    if not access.is_key(text.encode("utf-8", "replace")):
        raise _unusable(path, "found no key in it")
    return text


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, "found what is no plain file")
    if found.st_mode & 0o077:
        raise _unusable(path, f"found the mode {stat.S_IMODE(found.st_mode):04o}, by which others can use it")
    if found.st_uid not in (0, os.geteuid()):
        raise _unusable(path, f"found that it belongs to the user {found.st_uid}")


def _make(path: Path) -> str:
    text = access.key_text(secrets.token_bytes(access.ID_BYTES + access.SECRET_BYTES))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(descriptor)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unusable(path, f"cannot write it: {error.strerror}") from error
    return text


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: Path, found: str) -> InvalidSettings:
    wanted = f"at {path} a key in a file of the server's own with the mode 0600, or no file: then one is made"
    return InvalidSettings(found, wanted=wanted, at="first-key")
