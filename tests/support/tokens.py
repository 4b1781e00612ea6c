"""An issuer for tests: private keys, the JWKS that tells of them, and tokens, right and wrong."""

import base64
import json
import time
import warnings
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://issuer.example"
AUDIENCE = "eventyard"

_MADE: dict[str, Any] = {}


def private_key(kind: str, number: int = 0) -> Any:
    """RSA takes a moment to make, so each is made once."""
    name = f"{kind}{number}"
    if name not in _MADE:
        _MADE[name] = {
            "RS256": lambda: rsa.generate_private_key(65_537, 2048),
            "short": lambda: rsa.generate_private_key(65_537, 1024),  # noqa: S505 - refused is the point
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[kind]()
    return _MADE[name]


def public(kind: str, number: int = 0, *, key_id: str | None = "k", **changes: Any) -> dict[str, Any]:
    """One entry of a JWKS. A change to None leaves the member out."""
    algorithm = "RS256" if kind == "short" else kind
    told = jwt.get_algorithm_by_name(algorithm).to_jwk(private_key(kind, number).public_key(), as_dict=True)
    told.pop("key_ops", None)
    entry = told | {"kid": key_id, "alg": algorithm, "use": "sig"} | changes
    return {name: value for name, value in entry.items() if value is not None}


def jwks(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(entries or (public("RS256"),))}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """A change to None leaves the claim out."""
    now = int(time.time())
    told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "me", "iat": now, "exp": now + 600, "scope": "events:read"} | changes
    return {name: value for name, value in told.items() if value is not None}


def token(kind: str = "RS256", number: int = 0, *, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    algorithm = "RS256" if kind == "short" else kind
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
        return jwt.encode(
            claims(**changes), private_key(kind, number), algorithm=algorithm, headers={"kid": "k"} | (headers or {})
        )


def forged(header: dict[str, Any], told: dict[str, Any] | None = None, signature: bytes = b"") -> str:
    """A token put together by hand."""
    parts = (json.dumps(header).encode(), json.dumps(told or claims()).encode(), signature)
    return ".".join(encoded(part) for part in parts)


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
