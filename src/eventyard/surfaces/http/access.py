"""Who asks: the header Authorization of a request becomes a caller, before anything else of it is looked at.

What a caller began while its key was in force ends with the key: streams, and receives that wait. So each of these holds a `Permit`,
which is told when its key is revoked, and keeps an eye on the time where it ends by itself.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from eventyard.bus import Eventyard
from eventyard.core import limits
from eventyard.core.access import EVERYONE, Caller
from eventyard.core.errors import Unauthenticated

_AT = "header authorization"
_KEY_PREFIX = b"ey_"
_WANTED = "Authorization: Bearer KEY, with a key of this server (eventyard keys create)"

NOBODY = Caller("", ())
"""Of a request for what is open to all: it may ask for nothing else."""


class TokenReader(Protocol):
    """An issuer, as the door asks it."""

    async def identify(self, token: bytes) -> Caller:
        """Whoever sent this token. Raises Unauthenticated, or Unavailable."""
        ...


class Access:
    """The door's keeper. `is_open`: whoever comes may do everything, as long as there are no keys."""

    def __init__(self, yard: Eventyard, issuer: TokenReader | None = None) -> None:
        self._yard = yard
        self._issuer = issuer
        self._permits: dict[str, set[Permit]] = {}
        yard.on_revoked = self._revoked

    @property
    def is_required(self) -> bool:
        """Whether a key is asked for."""
        return self._issuer is not None or self._yard.has_keys

    def token(self, headers: Mapping[bytes, bytes]) -> bytes:
        """What these headers show; empty where nothing is asked for. Else Unauthenticated."""
        if not self.is_required:
            return b""
        given = headers.get(b"authorization")
        if given is None:
            raise Unauthenticated("found no key", wanted=_WANTED, at=_AT)
        return _token(given)

    def holder(self, token: bytes) -> Caller | None:
        """Whoever holds this key, or Unauthenticated; None for what may be a token of the issuer instead."""
        if not token:
            return EVERYONE
        if self._issuer is not None and not token.startswith(_KEY_PREFIX):
            return None
        return self._yard.identify(token)

    async def sender(self, token: bytes) -> Caller:
        """Whoever sent this token of the issuer. Raises Unauthenticated, or Unavailable where it cannot be checked."""
        if self._issuer is None:
            return self._yard.identify(token)
        return await self._issuer.identify(token)

    def check_still(self, caller: Caller) -> None:
        """Unauthenticated where the key was revoked since: what is done next would be done after it."""
        if caller.key and self._yard.is_revoked(caller.key):
            raise ended("revoked")

    @contextmanager
    def permit(self, caller: Caller) -> Iterator["Permit"]:
        """For as long as something goes on that the caller began."""
        permit = Permit()
        held = self._permits.setdefault(caller.key, set()) if caller.key else set()
        held.add(permit)
        if caller.key and self._yard.is_revoked(caller.key):
            permit.end("revoked")
        self._watch(caller, permit)
        try:
            yield permit
        finally:
            permit.forget()
            held.discard(permit)
            if caller.key and not held:
                self._permits.pop(caller.key, None)

    def _watch(self, caller: Caller, permit: "Permit") -> None:
        """Look at the clock again and again, since it may be set."""
        if not caller.ends_ms:
            return
        left_s = (caller.ends_ms - self._yard.access_ms()) / 1000
        if left_s <= 0:
            permit.end("expired")
        else:
            look_s = min(left_s, limits.PERMIT_LOOK_S)
            permit.timer = asyncio.get_running_loop().call_later(look_s, self._watch, caller, permit)

    def _revoked(self, key: str) -> None:
        for permit in list(self._permits.get(key, ())):
            permit.end("revoked")


class Permit:
    """What a caller began goes on until `end`."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[str], None]] = []
        self.ended_by = ""
        self.timer: asyncio.TimerHandle | None = None

    def on_end(self, listener: Callable[[str], None]) -> None:
        """Called once, with `revoked` or `expired`."""
        if self.ended_by:
            listener(self.ended_by)
        else:
            self._listeners.append(listener)

    def end(self, reason: str) -> None:
        self.ended_by = self.ended_by or reason
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener(self.ended_by)

    def forget(self) -> None:
        """Nothing goes on any more."""
        self._listeners = []
        if self.timer is not None:
            self.timer.cancel()


def ended(reason: str) -> Unauthenticated:
    return Unauthenticated(f"found a key that was in force and is not now: {reason}", wanted="a key that is in force", at=_AT)


def _token(given: bytes) -> bytes:
    """What stands behind `Bearer` (RFC 6750, 2.1)."""
    if len(given) > limits.AUTHORIZATION_BYTES_MAX:
        found = f"found {len(given)} bytes"
        raise Unauthenticated(found, wanted=f"at most {limits.AUTHORIZATION_BYTES_MAX}", at=_AT)
    scheme, _, token = given.partition(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise Unauthenticated("found another scheme than Bearer", wanted=_WANTED, at=_AT)
    return token
