"""The vault: seals what is secret in rules, under keys that stand in a file beside the store and never in it.

Theory of operation. A value is sealed by AES-256-GCM with a nonce of its own, and what it belongs to (bus, rule, header) as associated data: a
sealed value that somebody copies to another rule, whose target he owns, does not open there. 2^32 values may be sealed with one key
before random nonces become a risk; a rule's headers come nowhere near.

The key file has a line for each key, its name and 32 bytes in base64, the one in use first. It is made at the first start, readable by its owner
only, and replaced whole. Whoever has file and store has the secrets; a backup is the store alone, so keep the two apart.
"""

import base64
import errno
import os
import secrets
import stat
import threading
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from eventyard.core import limits
from eventyard.core.errors import InvalidRequest, InvalidSettings, SecretLost, StorageFull
from eventyard.core.secret import SEALED

SECRETS_KEY_FILE = "secrets.key"
"""Where it stands if nobody says otherwise: beside the store."""

_NONCE_BYTES = 12
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_HEAD = """\
# Keys for what is secret in the rules of an Eventyard store. The first is in use; the others open what older backups hold.
# Without this file those secrets are lost. Keep a copy, and not beside the backups.
"""


class KeyFile:
    """`ports.Vault` on a file at `path`, made where there is none.

    Raises `InvalidSettings` where it cannot be read or made, others than its owner may read it, or it holds no keys.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._keys = _read(path) if path.exists() else _make(path)

    def seal(self, text: str, context: str) -> str:
        name, key = next(iter(self._keys.items()))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + key.encrypt(nonce, text.encode(), context.encode())
        return f"{SEALED}{name}:{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        name = _key_name(sealed)
        key = self._keys.get(name)
        if key is None:
            raise SecretLost(f"it is sealed with the key {name}, which the key file does not have")
        try:
            data = base64.urlsafe_b64decode(sealed.removeprefix(f"{SEALED}{name}:"))
            return key.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context.encode()).decode()
        except (ValueError, InvalidTag):
            raise SecretLost("it was changed, or sealed for something else") from None

    def is_current(self, sealed: str) -> bool:
        return _key_name(sealed) == next(iter(self._keys))

    def rotate(self) -> str:
        with self._lock:
            if len(self._keys) >= limits.SECRET_KEYS_MAX:
                found = f"found {len(self._keys)} keys in the key file"
                raise InvalidRequest(found, wanted="to forget the old ones first")
            name, text = _new_key()
            lines = _lines(self._path)
            _write(self._path, [f"{name} {text}", *lines])
            self._keys = {name: _cipher(text), **self._keys}
            return name

    def forget(self) -> int:
        with self._lock:
            name, *old = self._keys
            _write(self._path, _lines(self._path)[:1])
            self._keys = {name: self._keys[name]}
            return len(old)


def _key_name(sealed: str) -> str:
    return sealed.removeprefix(SEALED).partition(":")[0]


def _new_key() -> tuple[str, str]:
    return secrets.token_hex(4), base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _cipher(text: str) -> AESGCM:
    return AESGCM(base64.urlsafe_b64decode(text))


def _make(path: Path) -> dict[str, AESGCM]:
    name, text = _new_key()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, [f"{name} {text}"])
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(f"cannot make the key file {path}: {error.strerror}") from error
        raise _refused(path, f"cannot make it: {error.strerror}", "a folder that can be written") from error
    return {name: _cipher(text)}


def _read(path: Path) -> dict[str, AESGCM]:
    try:
        mode = path.stat().st_mode
        lines = _lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, f"cannot read it: {getattr(error, 'strerror', None) or 'it is no text'}", "a key file") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _refused(path, f"found that others may read it (mode {stat.S_IMODE(mode):04o})", f"mode 0600: chmod 600 {path}")
    try:
        keys = {name: _cipher(text) for name, text in (line.split() for line in lines)}
    except ValueError:
        keys = {}
    if not keys:
        raise _refused(path, "found no keys in it", "the key file of this store, or none: then a new one is made")
    return keys


def _lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _write(path: Path, lines: list[str]) -> None:
    """Whole or not at all, and on the disk: what is sealed next rests on it."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_HEAD + "".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _refused(path: Path, found: str, wanted: str) -> InvalidSettings:
    return InvalidSettings(found, wanted=wanted, at=str(path))
