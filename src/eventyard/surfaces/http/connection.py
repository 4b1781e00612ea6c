"""A connection with bounds that uvicorn's lacks: time for the head and the body, the head's size, and how many there are.

Theory of operation. uvicorn times out only a connection that is kept and idle. A caller that sends nothing, or one byte of a
header now and then, holds a connection for ever (measured on uvicorn 0.54 with httptools). Here each connection knows which
phase it is in and since when, and the server's `sweep`, about once a second, ends those that are late. That costs a request
two readings of the loop's clock and no timer of its own.

A stream has no end that could be late. It is swept too: after a silence it gets a heartbeat, and it is cut when its reader takes
nothing of what waits for it. What waits is one chunk at most, for the next is not asked for before the transport is empty.

What is refused here never reached the application: it is answered as a problem and the connection ends. A body that is late
reaches the application as a disconnect, so nothing of it is accepted.
"""

import enum
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from eventyard.core import limits
from eventyard.core.errors import EventyardError, InvalidRequest, Overloaded
from eventyard.surfaces.http import problems
from eventyard.surfaces.http.calls import StreamAnswer
from eventyard.surfaces.http.exchange import HOLD_STREAM, WRITE_WHOLE
from eventyard.surfaces.http.held_stream import HeldStream
from eventyard.surfaces.http.problems import HeadTooLarge, TooSlow


class Phase(enum.Enum):
    """HEAD: a request's head is awaited. BODY: its body. REST: the whole request is here, or the last one was answered.

    ENDING: refused; our side is closed, and what still comes is dropped for a moment. Closing at once with bytes unread would
    reset the connection, and the caller might never read why.
    """

    HEAD = "head"
    BODY = "body"
    REST = "rest"
    ENDING = "ending"


_LATE = {Phase.HEAD: limits.HTTP_HEAD_S_MAX, Phase.BODY: limits.HTTP_BODY_S_MAX, Phase.ENDING: limits.HTTP_ENDING_S_MAX}
_AWAITED = {Phase.HEAD: "headers", Phase.BODY: "body"}


class Connection(HttpToolsProtocol):
    phase = Phase.REST
    _since = 0.0
    _head_bytes = 0
    _fed_bytes = 0
    _unread_bytes = 0
    _unread_since = 0.0
    _stream: HeldStream | None = None

    # What uvicorn and its parser call

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._enter(Phase.HEAD)
        if len(self.connections) > 2 * limits.HTTP_CONNECTIONS_MAX:
            transport.abort()
        elif len(self.connections) > limits.HTTP_CONNECTIONS_MAX:
            self._refuse_all(Overloaded(f"found {len(self.connections)} connections", wanted="to try again shortly"))

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.ENDING:
            return
        self._fed_bytes = len(data)
        if self.phase is Phase.HEAD:
            self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if self.phase is Phase.HEAD:
            if self._head_bytes > limits.HTTP_HEAD_BYTES_MAX:
                self._refuse(_too_large(self._head_bytes))
        elif self.phase is Phase.REST and self.cycle is not None and self.cycle.response_complete:
            self._enter(Phase.HEAD)  # Bytes that begin no request, as empty lines, are not a way to stay.

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._pass_over(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._refuse(InvalidRequest("found what is not HTTP/1.1", wanted="a request as RFC 9112 has it"))

    def _pass_over(self, rest: bytes) -> None:
        """Read a request that offers another protocol as if it did not (RFC 9110, 7.8: a server may pass an offer over).

        The parser has left the body out and waits for that protocol, so the request goes to a new one, without the offer. Java's
        HttpClient offers HTTP/2 with the first request of a connection, be it a POST.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(InvalidRequest("found CONNECT", wanted="a request for this bus: it is no proxy"))
            return
        kept = [(name, value) for name, value in self.headers if name != b"upgrade"]
        lines = [method + b" " + self.url + b" HTTP/1.1", *(name + b": " + value for name, value in kept)]
        self.parser = httptools.HttpRequestParser(self)
        self._feed(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._enter(Phase.HEAD)
        self._head_bytes = self._fed_bytes

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._enter(Phase.BODY)
        if self._head_bytes > limits.HTTP_HEAD_BYTES_MAX:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > limits.HTTP_HEAD_BYTES_MAX:
                self._refuse_all(_too_large(size))
        self._head_bytes = 0
        super().on_headers_complete()
        self.headers = _Dropped()
        self.scope[WRITE_WHOLE] = partial(_write_whole, self.cycle)  # type: ignore[literal-required]
        self.scope[HOLD_STREAM] = partial(self._hold, self.cycle)  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._enter(Phase.REST)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._stream is not None:
            self._stream.answer.end()

    # What the server calls

    def shutdown(self) -> None:
        super().shutdown()
        if self._stream is not None and not self._stream.is_over:
            self._stream.cut("stopping")
            self.loop.call_later(limits.HTTP_ENDING_S_MAX, self.transport.abort)

    def sweep(self, now: float) -> None:
        """End what is late, and keep up what is to go on. `now` is the loop's time."""
        if self.phase is Phase.ENDING and now - self._since > _LATE[self.phase]:
            self.transport.close()
        elif self.phase is not Phase.REST and now - self._since > _LATE[self.phase]:
            wanted = f"them within {_LATE[self.phase]:.0f} s"
            self._refuse(TooSlow(f"found the {_AWAITED[self.phase]} not complete", wanted=wanted))
        self._sweep_unread(now)

    def _sweep_unread(self, now: float) -> None:
        """End a connection whose peer reads nothing of what waits for it."""
        unread = self.transport.get_write_buffer_size()
        if not unread or unread != self._unread_bytes:
            self._unread_bytes, self._unread_since = unread, now
        elif now - self._unread_since > limits.HTTP_UNREAD_S_MAX:
            self._end_unread()
        if self._stream is not None and not unread:
            self._stream.beat(now)

    def _end_unread(self) -> None:
        """A stream is told why, behind what it has not read; from then on it is an answer like others."""
        if self._stream is not None and not self._stream.is_over:
            self._stream.cut("unread")
        else:
            self.transport.abort()

    def _hold(self, cycle: RequestResponseCycle, answer: StreamAnswer) -> Callable[[], Awaitable[None]]:
        """`exchange.HOLD_STREAM`."""
        # Full is what holds more than this; a transport of TLS is full when it holds as much, so with 0 it always would be.
        is_tls = self.transport.get_extra_info("ssl_object") is not None
        self.transport.set_write_buffer_limits(high=1 if is_tls else 0)
        self._stream = HeldStream(cycle, answer, self.loop)
        return self._stream.taken

    # How a connection ends

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._since = self.loop.time()

    def _refuse(self, error: EventyardError) -> None:
        """Answer now and end. Where an answer is under way, or another is owed first, only end."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        is_own = self.phase is Phase.BODY
        is_owed = cycle is not None and not cycle.response_complete and (not is_own or cycle.response_started)
        if not is_owed and not self.pipeline:
            self.transport.write(problems.raw_answer(error))
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self._enter(Phase.ENDING)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS closes both sides at once, after what was written and the peer's goodbye.
            self.transport.close()

    def _refuse_all(self, error: EventyardError) -> None:
        """Whatever this connection asks is answered by `error`, and then it ends."""
        told = problems.answer(error)

        async def refuse(_scope: Any, _receive: Any, send: Any) -> None:
            headers = [*told.all_headers, (b"connection", b"close")]
            await send({"type": "http.response.start", "status": told.status, "headers": headers})
            await send({"type": "http.response.body", "body": told.body})

        self.app = refuse


class _Dropped(list[tuple[bytes, bytes]]):
    """Where the trailers of a chunked body go. They were no part of the head that others have judged (RFC 9110, 6.5.1), so none of them is
    added to it, as uvicorn would.
    """

    def append(self, _field: tuple[bytes, bytes]) -> None:
        """Forget it."""


def _too_large(size: int) -> HeadTooLarge:
    return HeadTooLarge(f"{size} bytes", wanted=f"at most {limits.HTTP_HEAD_BYTES_MAX}")


def _write_whole(cycle: RequestResponseCycle, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
    """`RequestResponseCycle.send` for both messages of a whole answer at once. `exchange.WRITE_WHOLE` says why."""
    if cycle.response_started or cycle.flow.write_paused:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    if not cycle.disconnected:
        cycle.transport.write(_whole(cycle, status, headers, body))
        if not cycle.keep_alive:
            cycle.transport.close()
    cycle.message_event.set()
    cycle.on_response()
    return True


def _whole(cycle: RequestResponseCycle, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    parts = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        parts += (name, b": ", value, b"\r\n")
    if not cycle.keep_alive:
        parts.append(b"connection: close\r\n")
    parts += (b"\r\n", body)
    return b"".join(parts)
