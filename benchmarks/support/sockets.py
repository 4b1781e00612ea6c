"""Ports of loopback that are no good targets, held for as long as a benchmark needs them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port where every connection is refused: it is bound, so nobody else takes it, and nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        yield port


@contextmanager
def hanging_port() -> Iterator[int]:
    """A port where a connection is opened by the system and nobody ever reads what is sent."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(4096)
        port: int = listening.getsockname()[1]
        yield port
