"""HTTP targets that behave badly on purpose, each on a free loopback port in a thread of its own.

    with Target(hang_before_headers) as target:
        transport.send(request_to(target.url), answers.put)
        target.wait_for_requests(1)

A behaviour is a coroutine that owns one connection from its start to its end. `target.requests` holds what came in, so a
test waits on a signal and never on the clock. Leaving the block ends every connection.
"""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, repeat
from types import TracebackType
from typing import Self

import msgspec

WAIT_S = 20.0
_HEAD_BYTES_MAX = 1024 * 1024


class Request(msgspec.Struct, frozen=True):
    """`headers` by lower-case name."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """One accepted connection, as a behaviour sees it."""

    def __init__(self, target: "Target", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._target = target
        self._reader = reader
        self._writer = writer

    async def request(self) -> Request | None:
        """The next whole request, noted in `target.requests`; None when the client is gone."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            request = _parse(head)
            body = await self._reader.readexactly(int(request.headers.get("content-length", "0")))
        except asyncio.IncompleteReadError:
            return None
        request = msgspec.structs.replace(request, body=body)
        self._target.note(request)
        return request

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        self._target.bytes_written += len(data)

    async def until_closed(self) -> None:
        """Says nothing until the client gives up."""
        while await self._reader.read(65536):
            pass


_TURNS = 10

Behaviour = Callable[[Connection], Awaitable[None]]


class Target:
    """A server with one behaviour. `requests` and `connections` may be read from the test's thread at any time."""

    def __init__(self, behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.bytes_written = 0
        self.port = 0
        self._behaviour = behaviour
        self._tls = tls
        self._is_stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="target", daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/events"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(WAIT_S)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def wait_for_requests(self, count: int) -> None:
        self._wait_for(lambda: len(self.requests) >= count)

    def wait_for_connections(self, count: int) -> None:
        self._wait_for(lambda: self.connections >= count)

    def note(self, request: Request) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def _wait_for(self, is_so: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(is_so, WAIT_S), "the target was not reached"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> asyncio.Server:
        limit = _HEAD_BYTES_MAX
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=limit, backlog=4096, ssl=self._tls)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with self._changed:
            self.connections += 1
            self._changed.notify_all()
        with suppress(OSError, asyncio.CancelledError):
            await self._behaviour(Connection(self, reader, writer))
        self._tasks.discard(task)
        if self._is_stopping:
            writer.transport.abort()  # Closing would wait for what nobody reads any more.
        else:
            writer.close()

    async def _stop(self) -> None:
        self._is_stopping = True
        self._server.close()
        for _ in range(_TURNS):  # in which connections just accepted begin and are ended, and closed sockets are let go
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)


def _parse(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return Request(method, path, {name.lower(): value.strip() for name, _, value in pairs}, b"")


def answer(status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """A whole answer with its length."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"HTTP/1.1 {status} Status\r\n{lines}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body


def answers(status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Behaviour:
    """The good one (or a plain error): answers every request alike and keeps the connection."""
    return answers_in_turn(repeat(answer(status, headers, body)))


def answers_in_turn(replies: Iterator[bytes]) -> Behaviour:
    """One reply after the other, over all connections; `b""` closes the connection instead."""

    async def behave(connection: Connection) -> None:
        while await connection.request():
            reply = next(replies)
            if not reply:
                return
            await connection.write(reply)

    return behave


def flaps(*statuses: int) -> Behaviour:
    """Each status once, then 200 for ever."""
    return answers_in_turn(chain((answer(status) for status in statuses), repeat(answer(200))))


def redirects(location: str, status: int = 307) -> Behaviour:
    return answers(status, {"location": location})


def says(data: bytes) -> Behaviour:
    """Those very bytes for every request, and then the connection ends."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.write(data)

    return behave


def hangs_after(data: bytes) -> Behaviour:
    """Those bytes, and then nothing more."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.write(data)
        await connection.until_closed()

    return behave


def repeats(start: bytes, piece: bytes, pause_s: float = 0.0) -> Behaviour:
    """`start`, and then `piece` again and again until the client gives up."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.write(start)
        while True:
            await connection.write(piece)
            await asyncio.sleep(pause_s)

    return behave


hang_before_headers = hangs_after(b"")
hang_within_headers = hangs_after(b"HTTP/1.1 200 OK\r\ncontent-le")
hang_after_headers = hangs_after(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
drip = repeats(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"x", pause_s=0.01)
drip_headers = repeats(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", pause_s=0.01)
endless = repeats(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n", b"x" * 65536)
endless_chunks = repeats(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n")
endless_interim = repeats(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 100)
giant_headers = repeats(b"HTTP/1.1 200 OK\r\n", b"a: " + b"x" * 1000 + b"\r\n")
giant_header = repeats(b"HTTP/1.1 200 OK\r\na: ", b"x" * 65536)
close_mid_headers = says(b"HTTP/1.1 200 OK\r\ncontent-le")
close_mid_body = says(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
close_after_request = says(b"")
garbage = says(b"\x00\xff SSH-2.0-OpenSSH_9.2\r\n\r\n")
odd_status = says(b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n")


async def close_at_once(_connection: Connection) -> None:
    """Closes before anything was read."""
