"""Who may ask what: access keys, what they grant, and how a caller is told by one. Pure.

Theory of operation. A key is `ey_<8 hex digits>_<64 hex digits>`: the first part names its record and is no secret, the rest is 256
bits of chance. Kept is the SHA-256 of the whole. A slow hash, as for passwords, would add nothing: it makes guessing dear where there
is little to guess, and nobody guesses 256 bits; but it would let anybody who sends nonsense burn the server's time.

Nothing here takes longer for a key that is nearly right. What is looked up is the part that is no secret; what is compared is two
digests of one length, by `compare_digest`, also where there is no such key (then with a digest of nothing). How far a guess is right
says nothing about how far its digest is.
"""

import enum
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from functools import cached_property

import msgspec

from eventyard.core import limits
from eventyard.core.errors import Forbidden, InvalidRequest, Unauthenticated
from eventyard.core.event import Event
from eventyard.core.rule import check_name

ID_BYTES = 4
SECRET_BYTES = 32
_FORM = re.compile(rb"ey_([0-9a-f]{8})_[0-9a-f]{64}", re.ASCII)
_NOBODY = hashlib.sha256().digest()


class Scope(enum.StrEnum):
    """PUBLISH: events in. CONSUME: receive and settle. MANAGE: rules, buses, runs, dead letters, keys. READ: see what there is."""

    PUBLISH = "publish"
    CONSUME = "consume"
    MANAGE = "manage"
    READ = "read"


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody may do. `buses`: on these only (None: on all, and what concerns the server as a whole).

    `source` and `types` bound what may be published: a source that begins so, one of these types (`order.*`: all that begin so).
    """

    scopes: tuple[Scope, ...]
    buses: tuple[str, ...] | None = None
    source: str = ""
    types: tuple[str, ...] | None = None

    @property
    def manages_keys(self) -> bool:
        return Scope.MANAGE in self.scopes and self.buses is None

    @property
    def is_bound(self) -> bool:
        return bool(self.source) or self.types is not None

    def allows(self, scope: Scope, bus: str | None, *, is_narrowed: bool = False) -> bool:
        if scope not in self.scopes:
            return False
        return self.buses is None or is_narrowed or (bus is not None and bus in self.buses)

    def takes(self, kind: str) -> bool:
        if self.types is None or kind in self.types:
            return True
        return any(wanted.endswith("*") and kind.startswith(wanted[:-1]) for wanted in self.types)


EVERYTHING = Grant(tuple(Scope))


class AccessKey(msgspec.Struct, frozen=True, dict=True):
    """One key, without its secret. `revoked_ms`, `expires_ms`: 0 where it is not revoked, or never expires.

    A revoked key is kept to be asked about until its room is needed; `is_removed` then takes it away.
    """

    id: str
    digest: bytes
    name: str
    grant: Grant
    expires_ms: int = 0
    created_ms: int = 0
    created_by: str = ""
    revoked_ms: int = 0
    revoked_by: str = ""
    is_removed: bool = False

    @property
    def principal(self) -> str:
        """What the log knows its holder by."""
        return f"key:{self.id}/{self.name}"

    @cached_property
    def holder(self) -> "Caller":
        return Caller(self.principal, (self.grant,), self.expires_ms, self.id)

    def is_over(self, now_ms: int) -> bool:
        return bool(self.revoked_ms) or 0 < self.expires_ms <= now_ms


class Caller(msgspec.Struct, frozen=True):
    """Whoever asks. What one of its grants allows it may do. `ends_ms`: when the permission ends by itself (0: never). `key`: the id of
    the key, empty for others.
    """

    principal: str
    grants: tuple[Grant, ...]
    ends_ms: int = 0
    key: str = ""

    @property
    def is_bound(self) -> bool:
        """Whether it may publish some events only."""
        return any(grant.is_bound for grant in self.grants)

    def check(self, scope: Scope | None, bus: str | None, *, is_narrowed: bool = False) -> None:
        """Pass, or Forbidden. `scope` None: whoever may do anything at all. `bus` None: the server as a whole is meant, unless what is
        answered `is_narrowed` to the caller's buses.
        """
        for grant in self.grants:
            if scope is None or grant.allows(scope, bus, is_narrowed=is_narrowed):
                return
        raise self._forbidden(scope or "any", bus)

    def _forbidden(self, scope: str, bus: str | None) -> Forbidden:
        held = [grant for grant in self.grants if scope in grant.scopes]
        if not held:
            has = ", ".join(dict.fromkeys(one for grant in self.grants for one in grant.scopes)) or "none"
            where = f" on bus {bus[:60]}" if bus is not None else ""
            return Forbidden(scope, f"found {self.principal} with the scopes {has}", wanted=f"the scope {scope}{where}", at=_AT)
        buses = tuple(dict.fromkeys(name for grant in held for name in grant.buses or ()))
        whole = f"one for bus {bus[:60]}" if bus is not None else "one for all buses: this concerns the server as a whole"
        return Forbidden(scope, f"found {self.principal}, for {_listed(buses)} only", wanted=whole, at=_AT)

    def sees(self, bus: str) -> bool:
        return any(grant.allows(Scope.READ, bus) for grant in self.grants)

    def check_forward(self, bus: str) -> None:
        """Pass, or Forbidden: whoever has a rule bring events to a bus publishes there, whatever they are."""
        if not any(grant.allows(Scope.PUBLISH, bus) and not grant.is_bound for grant in self.grants):
            found = f"found {self.principal}, who may not publish every event on bus {bus[:60]}"
            wanted = f"the scope publish on bus {bus[:60]}, for all sources and types"
            raise Forbidden(Scope.PUBLISH, found, wanted=wanted, at="/target/bus/name")

    def refusal(self, event: Event, bus: str) -> Forbidden | None:
        """Why the caller, who may publish on this bus, may not publish this event."""
        for grant in self.grants:
            if grant.allows(Scope.PUBLISH, bus) and event.source.startswith(grant.source) and grant.takes(event.type):
                return None
        return self._refusal(event, [grant for grant in self.grants if grant.allows(Scope.PUBLISH, bus)])

    def _refusal(self, event: Event, able: list[Grant]) -> Forbidden:
        sources = [grant.source for grant in able if event.source.startswith(grant.source)]
        if not sources:
            wanted = " or ".join(f'"{grant.source}"' for grant in able)
            found = f'found the source "{event.source[:100]}"'
            return Forbidden(Scope.PUBLISH, found, wanted=f"one that begins with {wanted}, for {self.principal}", at="/source")
        types = tuple(dict.fromkeys(kind for grant in able if grant.source in sources for kind in grant.types or ()))
        found = f'found the type "{event.type[:100]}"'
        return Forbidden(Scope.PUBLISH, found, wanted=f"one of {_listed(types)}, for {self.principal}", at="/type")


_AT = "header authorization"

EVERYONE = Caller("", (EVERYTHING,))
"""Where no keys are in use."""


def key_text(chance: bytes) -> str:
    """A new key out of `ID_BYTES + SECRET_BYTES` of chance."""
    return f"ey_{chance[:ID_BYTES].hex()}_{chance[ID_BYTES:].hex()}"


def made(text: str, name: str, grant: Grant, expires_ms: int = 0) -> AccessKey:
    """The record of the key that reads `text`; InvalidRequest for one that is none."""
    match = _FORM.fullmatch(text.encode("utf-8", "replace"))
    if match is None:
        raise InvalidRequest("found no key", wanted="ey_, 8 hexadecimal digits, _, and 64 more")
    return AccessKey(match[1].decode(), _digest(text.encode()), name, grant, expires_ms)


def is_key(token: bytes) -> bool:
    """Whether it has the form of a key."""
    return _FORM.fullmatch(token) is not None


def identify(keys: Mapping[str, AccessKey], token: bytes, now_ms: Callable[[], int]) -> Caller:
    """Whoever holds this key, or Unauthenticated. Why a key does not count is told only to who has all of it.

    `now_ms` is asked where the key expires.
    """
    match = _FORM.fullmatch(token)
    record = keys.get(match[1].decode()) if match is not None else None
    is_own = hmac.compare_digest(_digest(token), record.digest if record is not None else _NOBODY)
    if record is None or not is_own:
        raise Unauthenticated("found a key that is none of this server's", wanted="one that it gave out", at=_AT)
    if record.revoked_ms:
        raise Unauthenticated(f"found the key {record.id}, which was revoked", wanted="a key that is in force", at=_AT)
    if record.expires_ms and record.expires_ms <= now_ms():
        raise Unauthenticated(f"found the key {record.id}, which has expired", wanted="a key that is in force", at=_AT)
    return record.holder


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def check_grant(grant: Grant) -> Grant:
    """`grant`, or InvalidRequest that names the place."""
    if not grant.scopes or len(set(grant.scopes)) < len(grant.scopes):
        raise InvalidRequest("found no scope, or one twice", wanted=f"some of {', '.join(Scope)}", at="/scopes")
    for name in _checked_list(grant.buses, "/buses"):
        check_name(name, what="bus")
    for kind in _checked_list(grant.types, "/types"):
        if not 0 < len(kind) <= limits.GRANT_TEXT_MAX or "*" in kind[:-1]:
            wanted = f"1 to {limits.GRANT_TEXT_MAX} characters, a star at most at the end"
            raise InvalidRequest(f'found the type "{kind[:60]}"', wanted=wanted, at="/types")
    if len(grant.source) > limits.GRANT_TEXT_MAX:
        found = f"found a source of {len(grant.source)} characters"
        raise InvalidRequest(found, wanted=f"at most {limits.GRANT_TEXT_MAX}", at="/source")
    if (grant.source or grant.types is not None) and Scope.PUBLISH not in grant.scopes:
        found = "found a source or types without the scope publish"
        raise InvalidRequest(found, wanted="publish among the scopes, or neither", at="/scopes")
    return grant


def _checked_list(names: tuple[str, ...] | None, at: str) -> tuple[str, ...]:
    """An empty list is refused: a program that meant none would else have given all."""
    if names is not None and not 0 < len(names) <= limits.GRANT_NAMES_MAX:
        wanted = f"1 to {limits.GRANT_NAMES_MAX}, or to leave it out for all"
        raise InvalidRequest(f"found {len(names)} of them", wanted=wanted, at=at)
    return names or ()


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
