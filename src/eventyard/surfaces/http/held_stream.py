"""A stream while its connection looks after it: what is written beside its chunks, and how it is cut."""

import asyncio

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from eventyard.core import limits
from eventyard.surfaces.http.calls import StreamAnswer


class HeldStream:
    """`answer` as it goes out by `cycle`, whose transport takes it for full while any byte waits in it.

    Chunks go out by `cycle.send`, whole and one at a time, so what is written here stands between two of them.
    """

    def __init__(self, cycle: RequestResponseCycle, answer: StreamAnswer, loop: asyncio.AbstractEventLoop) -> None:
        self._cycle = cycle
        self.answer = answer
        self._loop = loop
        self._spoke_at = loop.time()

    async def taken(self) -> None:
        """When the reader has taken the last chunk off our hands."""
        self._spoke_at = self._loop.time()
        await self._cycle.flow.drain()

    @property
    def is_over(self) -> bool:
        return self._cycle.response_complete or self._cycle.disconnected

    def beat(self, now: float) -> None:
        """Say where the stream is, if it has said nothing for long."""
        if now - self._spoke_at >= limits.STREAM_SILENCE_S and not self.is_over:
            self._spoke_at = now
            self._write(self.answer.heartbeat())

    def cut(self, reason: str) -> None:
        """End it here. What waits for its reader is still its own, with a last word behind it."""
        self._write(self.answer.farewell(reason))
        self._cycle.transport.write(b"0\r\n\r\n")
        self._cycle.disconnected = True
        self._cycle.transport.close()
        self._cycle.flow.resume_writing()
        self.answer.end()

    def _write(self, chunk: bytes) -> None:
        self._cycle.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
