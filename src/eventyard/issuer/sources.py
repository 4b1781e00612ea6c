"""Where an issuer's public keys come from: a file, read again when it is asked for, or one address, fetched within bounds.

Fetched keys are used for a while and then fetched again beside the requests; an issuer that is away changes nothing for as long as its keys
are not too old. A token of a key that is not known has them fetched at once, but not again and again: who sends nonsense must not make us
send requests.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

import httpx

from eventyard import logbook
from eventyard.core import limits
from eventyard.core.errors import InvalidSettings, IssuerAway
from eventyard.issuer import key_set
from eventyard.issuer.key_set import Keys


class KeySource(Protocol):
    version: int
    """Changes whenever the keys do."""

    async def keys(self) -> Keys:
        """Those in force. Raises IssuerAway."""
        ...

    async def newer_keys(self) -> Keys:
        """The same, after a look whether there are new ones."""
        ...

    def reload(self) -> None:
        """Read them again where they come from a file. InvalidSettings where that cannot be; then all stays as it was."""
        ...


class FileKeys:
    def __init__(self, path: Path, algorithms: Sequence[str]) -> None:
        self._path = path
        self._algorithms = algorithms
        self.version = 0
        self._keys: Keys = {}
        self.reload()

    async def keys(self) -> Keys:
        return self._keys

    async def newer_keys(self) -> Keys:
        return self._keys

    def reload(self) -> None:
        try:
            with self._path.open("rb") as file:
                text = file.read(limits.JWKS_BYTES_MAX + 1)
            self._keys = key_set.read(text, self._algorithms)
        except OSError as error:
            raise self._unusable(f"cannot read {self._path}: {error.strerror}") from error
        except ValueError as error:
            raise self._unusable(f"in {self._path}: {error}") from error
        self.version += 1

    def _unusable(self, found: str) -> InvalidSettings:
        return InvalidSettings(found, wanted="a JWKS with the issuer's public keys", at="jwt-keys")


class FetchedKeys:
    """`transport` and `now_s` (monotonic) are there for tests."""

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = _checked(url)
        self._algorithms = algorithms
        self._transport = transport
        self._now_s = now_s
        self.version = 0
        self._keys: Keys = {}
        self._fetched_s = self._asked_s = float("-inf")
        self._fetch: asyncio.Task[None] | None = None

    async def keys(self) -> Keys:
        age_s = self._now_s() - self._fetched_s
        if age_s > limits.JWKS_STALE_S:
            await self._ask()
        elif age_s > limits.JWKS_FRESH_S:
            self._begin()
        if self._now_s() - self._fetched_s > limits.JWKS_STALE_S:
            raise IssuerAway(
                "found no keys of the issuer to check the token by", wanted="to try again shortly, or an access key"
            )
        return self._keys

    async def newer_keys(self) -> Keys:
        await self._ask()
        return await self.keys()

    def reload(self) -> None:
        """The next token has them fetched."""
        self._fetched_s = min(self._fetched_s, self._now_s() - limits.JWKS_FRESH_S - 1)

    async def _ask(self) -> None:
        """Whoever asks meanwhile waits for the same answer; a caller that leaves does not end it."""
        self._begin()
        if self._fetch is not None:
            await asyncio.shield(self._fetch)

    def _begin(self) -> None:
        """Nothing where the last try was just now."""
        if self._fetch is None and self._now_s() - self._asked_s > limits.JWKS_RETRY_S:
            self._asked_s = self._now_s()
            self._fetch = asyncio.get_running_loop().create_task(self._fetch_keys())

    async def _fetch_keys(self) -> None:
        try:
            keys = key_set.read(await self._fetched(), self._algorithms)
        except (httpx.HTTPError, TimeoutError, ValueError, OSError) as error:
            logbook.ISSUER_AWAY(error=f"{error or type(error).__name__}"[:300])
        else:
            self._keys, self._fetched_s = keys, self._now_s()
            self.version += 1
        finally:
            self._fetch = None

    async def _fetched(self) -> bytes:
        """One GET of the pinned address: no redirect, no proxy, no more than its bounds in bytes and time."""
        async with (
            asyncio.timeout(limits.JWKS_S_MAX),
            httpx.AsyncClient(trust_env=False, timeout=limits.JWKS_S_MAX, transport=self._transport) as http,
            http.stream("GET", self._url, headers={"accept": "application/json", "accept-encoding": "identity"}) as answer,
        ):
            if answer.status_code != 200:
                raise ValueError(f"found the status {answer.status_code}; wanted 200")
            text = b""
            async for part in answer.aiter_raw():
                text += part
                if len(text) > limits.JWKS_BYTES_MAX:
                    break
            return text


def _checked(url: str) -> str:
    """Whoever could change what this address answers could let himself in: so it is TLS, or this very machine."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if not parsed.host or not (parsed.scheme == "https" or (parsed.scheme == "http" and _is_loopback(parsed.host))):
        raise InvalidSettings(f'found "{url[:200]}"', wanted="an https address of the issuer's JWKS, or a file", at="jwt-keys")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
