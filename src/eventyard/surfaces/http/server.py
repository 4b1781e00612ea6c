"""uvicorn, as this bus runs it: its own connections, swept; its own signals; nothing written by others than ours."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from eventyard.core import limits
from eventyard.surfaces.http.connection import Connection


class Server(uvicorn.Server):
    """`await server.serve([socket])` until `should_exit` is set. Whoever starts it handles the signals.

    `started` is called once it listens, `stopping` when it begins to stop, before it waits for the requests under way.
    """

    def __init__(
        self,
        application: ASGIApp,
        *,
        drain_s: float = 10.0,
        started: Callable[[], None] = lambda: None,
        stopping: Callable[[], None] = lambda: None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(_config(application, drain_s, tls))
        self._tell_started = started
        self._tell_stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with bounds on handshakes, of which the application hears nothing before they are done."""
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        self.servers = [
            await loop.create_server(
                self._connection,
                sock=listener,
                ssl=tls,
                backlog=self.config.backlog,
                ssl_handshake_timeout=limits.HTTP_HEAD_S_MAX if tls else None,
                ssl_shutdown_timeout=limits.HTTP_ENDING_S_MAX if tls else None,
            )
            for listener in sockets or ()
        ]
        self.started = True
        self._tell_started()

    def _connection(self) -> Connection:
        return Connection(config=self.config, server_state=self.server_state, app_state={})

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """What uvicorn does here would end the process by the same signal when all is done, so never with 0."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._tell_stopping()
        await super().shutdown(sockets)
        for connection in self.connections:
            connection.transport.abort()  # Who has not read by now is not waited for.
        await asyncio.sleep(0)

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_SWEEP == 0:
            self.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def leave(self) -> None:
        """Begin to stop: listen no more, and let requests under way end."""
        self.should_exit = True

    def sweep(self, now: float) -> None:
        """End the connections that are late at `now`, the loop's time."""
        for connection in self.connections:
            connection.sweep(now)

    @property
    def connections(self) -> list[Connection]:
        return cast("list[Connection]", list(self.server_state.connections))


_TICKS_PER_SWEEP = 10
"""uvicorn ticks ten times a second."""


def _config(application: ASGIApp, drain_s: float, tls: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=limits.HTTP_IDLE_S_MAX,
        timeout_graceful_shutdown=max(1, round(drain_s)),
        ssl_context_factory=None if tls is None else lambda *_: tls,
    )
