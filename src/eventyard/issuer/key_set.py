"""An issuer's public keys (RFC 7517), by their id and the one algorithm that each is for.

Only public keys of pinned asymmetric algorithms are taken. A set may hold others, as for encryption or of newer kinds: they are passed over. A
symmetric key never is one: whoever knows a "public" key of that kind could sign with it.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import jwt
import msgspec

from eventyard.core import limits

Keys = Mapping[tuple[str, str], jwt.PyJWK]
"""By id (empty where a key has none) and algorithm."""

KINDS: Final = MappingProxyType(
    {
        **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", "")),
        "ES256": ("EC", "P-256"),
        "ES384": ("EC", "P-384"),
        "ES512": ("EC", "P-521"),
        "EdDSA": ("OKP", "Ed25519"),
    }
)
"""The algorithms that may be pinned, each with the kind and the curve of its keys."""


class _Set(msgspec.Struct):
    keys: list[dict[str, Any]]


def read(text: bytes, algorithms: Sequence[str]) -> Keys:
    """The keys of a JWKS that may verify by one of the algorithms. ValueError for what is no set, or has none."""
    if len(text) > limits.JWKS_BYTES_MAX:
        raise ValueError(f"found more than {limits.JWKS_BYTES_MAX} bytes")
    try:
        found = msgspec.json.decode(text, type=_Set).keys
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"found no JWKS: {error}") from None
    if len(found) > limits.JWKS_KEYS_MAX:
        raise ValueError(f"found {len(found)} keys; wanted at most {limits.JWKS_KEYS_MAX}")
    keys: dict[tuple[str, str], jwt.PyJWK] = {}
    for entry in found:
        for algorithm in algorithms:
            if _is_for(entry, algorithm) and (key := _key(entry, algorithm)) is not None:
                keys.setdefault((str(entry.get("kid", "")), algorithm), key)
    if not keys:
        raise ValueError(f"found no key in it for {', '.join(algorithms)}")
    return keys


def _is_for(entry: dict[str, Any], algorithm: str) -> bool:
    kind, curve = KINDS[algorithm]
    return (
        entry.get("kty") == kind
        and (not curve or entry.get("crv") == curve)
        and entry.get("alg", algorithm) == algorithm
        and entry.get("use", "sig") == "sig"
        and "d" not in entry
    )


def _key(entry: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """None for one that is malformed: the others of its set are as good as before."""
    try:
        return jwt.PyJWK(entry, algorithm)
    except jwt.PyJWTError:
        return None
