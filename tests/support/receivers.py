"""A receiver of the client behind a server of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
import uvloop

from eventyard.client import Receiver

STOPPED_S = 30.0


@contextmanager
def serving(receiver: Receiver, listener: socket.socket) -> Iterator[None]:
    """The receiver from its start to its end.

    On uvloop, whose end closes what was accepted while the server stopped; asyncio's own loop leaves such connections to the garbage collector,
    and whichever test that runs in fails.
    """
    server = uvicorn.Server(uvicorn.Config(receiver, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=lambda: uvloop.run(server.serve([listener])), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(STOPPED_S)
        assert not thread.is_alive()
