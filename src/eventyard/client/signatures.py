"""Verifying webhooks: whether a request comes from who has the secret, and is as it was sent. Standard Webhooks 1.0.0. Pure functions.

Theory of operation. The sender signs `{webhook-id}.{webhook-timestamp}.{body}` with HMAC-SHA256, once for each of its secrets; one
signature that fits one of ours will do, so both sides change secrets without a gap. The time is part of it, so an old request that was
caught is refused. An id with a dot is refused too: id and time could be read in two ways. In binary mode an event's attributes are
headers, which that does not cover; Eventyard signs them with the same secrets in a header of its own.

Every secret is tried on every signature, and each comparison takes as long as any, so that time tells nothing.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping

from eventyard.client.errors import ClientError

TOLERANCE_S = 300.0
"""How far the sender's clock may be from ours, and how long a caught request is good for: what Standard Webhooks says."""

SIGNATURES_MAX = 16
SIGNATURES_LENGTH_MAX = 4_096
ID_LENGTH_MAX = 256
"""What a sender has reason to send is far below; what a hostile one sends shall cost little."""

_TIMESTAMP_LENGTH_MAX = 15
_SECRET_BYTES = range(24, 65)
_PREFIX = "whsec_"
_VERSION = "v1,"

_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_ATTRIBUTES = "eventyard-attributes-signature"

Headers = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]
"""As a framework has them: names in any case."""

Fields = list[tuple[str, str]]


class InvalidSignature(ClientError):
    """The request is not known to come from who has the secret: answer 401, and do nothing of what it says."""


def verify_webhook(
    headers: Headers,
    body: bytes,
    secrets: str | Iterable[str],
    *,
    now: float | None = None,
    tolerance_s: float = TOLERANCE_S,
) -> str:
    """The `webhook-id` of a request that was signed with one of `secrets` (`whsec_` and base64); else raises InvalidSignature.

    `body` as it came, before anything reads it. `now` in Unix seconds, else the clock is asked. The same id may come twice (at least
    once): keep it, where twice would harm. ValueError for secrets that cannot be any.
    """
    return _verified(fields_of(headers), body, keys_of(secrets), time.time() if now is None else now, tolerance_s)


def verify_event_headers(
    headers: Headers,
    body: bytes,
    secrets: str | Iterable[str],
    *,
    now: float | None = None,
    tolerance_s: float = TOLERANCE_S,
) -> str:
    """As `verify_webhook`, for an event in binary mode: its `ce-` headers and content type are as Eventyard signed them too."""
    fields, keys = fields_of(headers), keys_of(secrets)
    webhook_id = _verified(fields, body, keys, time.time() if now is None else now, tolerance_s)
    lines = sorted(f"{name}:{value}" for name, value in fields if name.startswith("ce-") or name == "content-type")
    text = "\n".join([_ATTRIBUTES, webhook_id, _one(fields, _TIMESTAMP), *lines])
    if not _fits(_signatures(_one(fields, _ATTRIBUTES), _ATTRIBUTES), keys, text.encode("utf-8", "surrogatepass")):
        raise InvalidSignature(f"no signature in {_ATTRIBUTES} fits the event's headers and a secret of ours")
    return webhook_id


def keys_of(secrets: str | Iterable[str]) -> list[bytes]:
    """The bytes of each secret. ValueError, which does not repeat them."""
    listed = [secrets] if isinstance(secrets, str) else list(secrets)
    if not listed:
        raise ValueError("found no secret; wanted at least one")
    return [_key(secret, number) for number, secret in enumerate(listed, 1)]


def fields_of(headers: Headers) -> Fields:
    """Names in lower case. Bytes are read as ISO 8859-1, as HTTP has them."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(_text(name).lower(), _text(value)) for name, value in pairs]


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _key(secret: str, number: int) -> bytes:
    wanted = f"{_PREFIX} and then {_SECRET_BYTES.start} to {_SECRET_BYTES.stop - 1} bytes in base64"
    if not secret.startswith(_PREFIX):
        raise ValueError(f"secret {number} does not begin with {_PREFIX}; wanted {wanted}")
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"secret {number} is no base64 after {_PREFIX}; wanted {wanted}") from None
    if len(key) not in _SECRET_BYTES:
        raise ValueError(f"secret {number} has {len(key)} bytes; wanted {wanted}")
    return key


def _verified(fields: Fields, body: bytes, keys: list[bytes], now: float, tolerance_s: float) -> str:
    webhook_id, timestamp = _one(fields, _ID), _one(fields, _TIMESTAMP)
    if not (webhook_id.isascii() and webhook_id.isprintable() and 0 < len(webhook_id) <= ID_LENGTH_MAX) or "." in webhook_id:
        raise InvalidSignature(f"found a {_ID} that none is; wanted 1 to {ID_LENGTH_MAX} printable characters without a dot")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _TIMESTAMP_LENGTH_MAX):
        raise InvalidSignature(f"found a {_TIMESTAMP} that is no Unix time in seconds")
    signatures = _signatures(_one(fields, _SIGNATURE), _SIGNATURE)
    if not _fits(signatures, keys, f"{webhook_id}.{timestamp}.".encode() + body):
        raise InvalidSignature(f"no signature in {_SIGNATURE} fits the request and a secret of ours")
    # Only now: of a time that nobody signed there is nothing to say.
    if abs(now - int(timestamp)) > tolerance_s:
        raise InvalidSignature(f"found a request signed at {timestamp}; wanted one at most {tolerance_s:g} s from {now:.0f}")
    return webhook_id


def _one(fields: Fields, name: str) -> str:
    """A header that stands once: of two, one would be verified and maybe the other be read."""
    values = [value for each, value in fields if each == name]
    if len(values) != 1:
        raise InvalidSignature(f"found {len(values)} headers {name}; wanted one")
    return values[0]


def _signatures(text: str, name: str) -> list[bytes]:
    """Those of the version that we know; a sender may add others."""
    parts = text.split(" ", SIGNATURES_MAX)
    if len(text) > SIGNATURES_LENGTH_MAX or len(parts) > SIGNATURES_MAX:
        raise InvalidSignature(f"found more in {name} than {SIGNATURES_MAX} signatures and {SIGNATURES_LENGTH_MAX} characters")
    return [
        signature
        for part in parts
        if part.startswith(_VERSION) and (signature := _decoded(part.removeprefix(_VERSION))) is not None
    ]


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _fits(signatures: list[bytes], keys: list[bytes], content: bytes) -> bool:
    is_fitting = False
    for key in keys:
        wanted = hmac.digest(key, content, hashlib.sha256)
        for signature in signatures:
            is_fitting |= hmac.compare_digest(wanted, signature)
    return is_fitting
