"""One request on its way through the door, and the ways in which it is answered."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.types import Scope, Send

from eventyard.core.errors import EventyardError, InvalidRequest
from eventyard.surfaces.http import problems
from eventyard.surfaces.http.body import Body
from eventyard.surfaces.http.calls import Answer, Headers, StreamAnswer

WRITE_WHOLE = "eventyard.write_whole"
"""Where a scope offers to write a whole answer at once: one system call instead of two, and no check of headers that are
ours. Whoever runs the application without our connections gets the same answer in ASGI's two messages."""

WriteWhole = Callable[[int, list[tuple[bytes, bytes]], bytes], bool]
"""Status, headers and body. False: it cannot now, and nothing was written."""

HOLD_STREAM = "eventyard.hold_stream"
"""Where a scope offers to look after a stream: heartbeats, a reader that takes nothing, one that has gone, the server's stop.
Elsewhere its chunks go out all the same, as long as the reader takes them."""

HoldStream = Callable[[StreamAnswer], Callable[[], Awaitable[None]]]
"""Begins to look after it. What it gives waits until the last chunk was taken off our hands."""

_CLOSE: Headers = ((b"connection", b"close"),)


class Exchange(msgspec.Struct):
    scope: Scope
    send: Send
    headers: Mapping[bytes, bytes]
    body: Body

    async def answer(self, answer: Answer) -> None:
        is_head = self.scope["method"] == "HEAD"
        write_whole: WriteWhole | None = self.scope.get(WRITE_WHOLE)
        if write_whole and not is_head and write_whole(answer.status, answer.all_headers, answer.body):
            return
        await self._start(answer, ())
        await self.send({"type": "http.response.body", "body": b"" if is_head else answer.body})

    async def stream(self, answer: StreamAnswer) -> None:
        """Write it to its end, which is also the connection's."""
        try:
            if self.scope["http_version"] == "1.0":
                raise InvalidRequest("found HTTP/1.0", wanted="HTTP/1.1, whose chunks tell where an answer ends")
            await self._begin(200, [*answer.headers, *_CLOSE])
            if self.scope["method"] != "HEAD":
                await self._write_chunks(answer)
            await self.send({"type": "http.response.body", "body": b""})
        finally:
            answer.end()

    async def _write_chunks(self, answer: StreamAnswer) -> None:
        hold: HoldStream | None = self.scope.get(HOLD_STREAM)
        taken = hold(answer) if hold else _at_once
        async for chunk in answer.chunks():
            await self.send({"type": "http.response.body", "body": chunk, "more_body": True})
            answer.sent()
            await taken()

    async def refuse(self, error: EventyardError) -> None:
        """After a body that is not wanted to its end the connection ends too, but not before the caller could read why."""
        answer = problems.answer(error)
        if not self.body.is_refused:
            await self.answer(answer)
            return
        await self._start(answer, _CLOSE)
        await self.send({"type": "http.response.body", "body": answer.body, "more_body": True})
        await self.body.discard()
        await self.send({"type": "http.response.body", "body": b""})

    async def _start(self, answer: Answer, more: Headers) -> None:
        await self._begin(answer.status, [*answer.all_headers, *more])

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": headers})


async def _at_once() -> None:
    """Nobody says when a chunk was taken."""
