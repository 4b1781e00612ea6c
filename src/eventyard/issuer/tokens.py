"""Reading a token: who sent it, until when that holds, and what the settings make of its claims.

What is pinned is ours to say and never the token's: the algorithms, the keys, the issuer, the audience. A token's header chooses among our keys
by an id, and that is all it does: keys and addresses inside a token (`jwk`, `jku`, `x5u`) are not looked at. Source: RFC 8725.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import msgspec

from eventyard.core import limits
from eventyard.core.access import Caller, Grant
from eventyard.core.errors import Unauthenticated
from eventyard.issuer.key_set import Keys
from eventyard.issuer.sources import KeySource

_AT = "header authorization"


class Policy(msgspec.Struct, frozen=True):
    """What a token has to be. `claim`: where it says what its sender is, a path with dots; `grants`: what that means here, by its words."""

    issuer: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    claim: str
    grants: Mapping[str, Grant]
    leeway_s: float = 30.0


class Issuer:
    """`now_ms`: until when a token holds is judged by it, also where the library has looked at its own clock before."""

    def __init__(self, policy: Policy, source: KeySource, now_ms: Callable[[], int]) -> None:
        self._policy = policy
        self._source = source
        self._now_ms = now_ms
        self._known: dict[bytes, Caller] = {}
        self._version = 0

    def reload(self) -> None:
        self._source.reload()

    async def identify(self, token: bytes) -> Caller:
        """Whoever sent this token. Raises Unauthenticated, or IssuerAway where there are no keys to check it by."""
        keys = await self._source.keys()
        if self._version != self._source.version:
            self._known.clear()
            self._version = self._source.version
        mark = hashlib.sha256(token).digest()
        caller = self._known.get(mark)
        if caller is None:
            caller = await self._verified(token, keys)
            self._remember(mark, caller)
        if caller.ends_ms <= self._now_ms():
            raise _refused("found a token that has expired", "one that is in force")
        return caller

    def _remember(self, mark: bytes, caller: Caller) -> None:
        """So that a signature is verified once, not with each request."""
        if len(self._known) >= limits.TOKENS_KNOWN_MAX:
            del self._known[next(iter(self._known))]
        self._known[mark] = caller

    async def _verified(self, token: bytes, keys: Keys) -> Caller:
        key_id, algorithm = self._header(token)
        key = _key(keys, key_id, algorithm) or _key(await self._source.newer_keys(), key_id, algorithm)
        if key is None:
            raise _refused("found a token that no key of the issuer signed", f"one of {self._policy.issuer}")
        return self._caller(self._claims(token, key))

    def _header(self, token: bytes) -> tuple[str | None, str]:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise _refused("found neither a key nor a token", "an access key, or a signed JWT") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._policy.algorithms:
            wanted = " or ".join(self._policy.algorithms)
            raise _refused("found a token that is signed by another algorithm, or by none", f"one signed by {wanted}")
        return key_id, algorithm

    def _claims(self, token: bytes, key: jwt.PyJWK) -> dict[str, Any]:
        policy = self._policy
        try:
            return jwt.decode(
                token,
                key,
                algorithms=list(policy.algorithms),
                issuer=policy.issuer,
                audience=policy.audiences,
                leeway=policy.leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as error:
            raise _refused(
                f"found a token that does not count: {_why(error)}", f"one of {policy.issuer} for this bus"
            ) from None

    def _caller(self, claims: dict[str, Any]) -> Caller:
        subject = claims["sub"]
        if not subject or len(subject) > limits.SUBJECT_MAX or not subject.isprintable():
            raise _refused("found a token without a subject that could be recorded", f"1 to {limits.SUBJECT_MAX} characters")
        words = _words(claims, self._policy.claim)
        grants = tuple(grant for word, grant in self._policy.grants.items() if word in words)
        return Caller(f"jwt:{subject}", grants, int((float(claims["exp"]) + self._policy.leeway_s) * 1000))


def _key(keys: Keys, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
    """A token that names no key was signed by the only one there is."""
    if key_id is not None:
        return keys.get((key_id, algorithm))
    fitting = [key for (_, of), key in keys.items() if of == algorithm]
    return fitting[0] if len(fitting) == 1 else None


def _words(claims: dict[str, Any], path: str) -> frozenset[str]:
    """What stands in the claim: a list of texts, or a text of words (RFC 8693, 4.2). A name with dots in it is found whole first."""
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()


def _why(error: jwt.PyJWTError) -> str:
    for kind, why in _REASONS:
        if isinstance(error, kind):
            return why
    return "it cannot be read"


_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "it has expired"),
    (jwt.ImmatureSignatureError, "its time has yet to come"),
    (jwt.InvalidAudienceError, "it is for another audience"),
    (jwt.InvalidIssuerError, "it is of another issuer"),
    (jwt.MissingRequiredClaimError, "it lacks one of exp, iss, aud and sub"),
    (jwt.InvalidSignatureError, "its signature is not the issuer's"),
    (jwt.InvalidAlgorithmError, "its algorithm is not the key's"),
    (jwt.InvalidKeyError, "the issuer's key is too short"),
)


def _refused(found: str, wanted: str) -> Unauthenticated:
    return Unauthenticated(found, wanted=wanted, at=_AT)
