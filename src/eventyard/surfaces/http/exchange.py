"""One request on its way through the door, and the ways in which it is answered."""

from collections.abc import Callable, Mapping

import msgspec
from starlette.types import Scope, Send

from eventyard.core.errors import EventyardError
from eventyard.surfaces.http import problems
from eventyard.surfaces.http.body import Body
from eventyard.surfaces.http.calls import Answer, Headers

WRITE_WHOLE = "eventyard.write_whole"
"""Where a scope offers to write a whole answer at once: one system call instead of two, and no check of headers that are
ours. Whoever runs the application without our connections gets the same answer in ASGI's two messages."""

WriteWhole = Callable[[int, list[tuple[bytes, bytes]], bytes], bool]
"""Status, headers and body. False: it cannot now, and nothing was written."""


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

    async def refuse(self, error: EventyardError) -> None:
        """After a body that is not wanted to its end the connection ends too, but not before the caller could read why."""
        answer = problems.answer(error)
        if not self.body.is_refused:
            await self.answer(answer)
            return
        await self._start(answer, ((b"connection", b"close"),))
        await self.send({"type": "http.response.body", "body": answer.body, "more_body": True})
        await self.body.discard()
        await self.send({"type": "http.response.body", "body": b""})

    async def _start(self, answer: Answer, more: Headers) -> None:
        headers = [*answer.all_headers, *more]
        await self.send({"type": "http.response.start", "status": answer.status, "headers": headers})
