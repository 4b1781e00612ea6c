"""Reading a request's body within bounds: its size, and what all half-read bodies hold together.

Time is bounded where the connection is (`connection`): a body that is late ends as a disconnect here.
"""

import asyncio
import contextlib
from collections.abc import Mapping

from starlette.types import Receive

from eventyard.core import limits
from eventyard.core.errors import EventyardError, Overloaded, TooLarge


class Gone(Exception):
    """The caller hung up before its request was whole. There is nobody to answer and nothing was done."""


class BodyBudget:
    """Bytes that the half-read bodies of all connections hold."""

    def __init__(self, bytes_max: int = limits.HTTP_BODIES_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self.held = 0

    def take(self, count: int) -> None:
        if self.held + count > self._bytes_max:
            raise Overloaded(f"found {self.held} bytes of requests half read", wanted="to try again shortly")
        self.held += count


class Body:
    """One request's body. `is_whole` once all of it was received; `is_refused` when it is not wanted to its end."""

    def __init__(self, receive: Receive, budget: BodyBudget) -> None:
        self._receive = receive
        self._budget = budget
        self.is_whole = False
        self.is_refused = False

    async def read(self, headers: Mapping[bytes, bytes], bytes_max: int) -> bytes:
        """All of it, or TooLarge as soon as that is known, Overloaded, Gone."""
        try:
            return await self._read(headers, bytes_max)
        except EventyardError:
            self.is_refused = not self.is_whole
            raise

    async def _read(self, headers: Mapping[bytes, bytes], bytes_max: int) -> bytes:
        length = headers.get(b"content-length", b"0")
        if len(length) > 18 or int(length) > bytes_max:
            raise TooLarge(f"{length[:18].decode()} bytes", wanted=f"at most {bytes_max}", at="header content-length")
        first = await self._part()
        if not self.is_whole:
            return await self._read_on(first, bytes_max)
        if len(first) > bytes_max:
            raise TooLarge(f"{len(first)} bytes", wanted=f"at most {bytes_max}")
        return first

    async def _read_on(self, first: bytes, bytes_max: int) -> bytes:
        parts, held = [first], 0
        try:
            while True:
                self._budget.take(len(parts[-1]))
                held += len(parts[-1])
                if held > bytes_max:
                    raise TooLarge(f"more than {bytes_max} bytes", wanted=f"at most {bytes_max}")
                if self.is_whole:
                    return b"".join(parts)
                parts.append(await self._part())
        finally:
            self._budget.held -= held

    async def _part(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Gone
        self.is_whole = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    async def gone(self) -> None:
        """Returns when the caller has hung up. To be asked when the body is here, and not by two at once."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def discard(self) -> None:
        """Read on and throw away, within bounds: a caller that is still sending does not read the answer before it is done."""
        left = limits.HTTP_LINGER_BYTES_MAX
        with contextlib.suppress(Gone, TimeoutError):
            async with asyncio.timeout(limits.HTTP_LINGER_S_MAX):
                while left > 0 and not self.is_whole:
                    left -= len(await self._part())
