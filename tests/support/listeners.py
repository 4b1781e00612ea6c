"""A reader of server-sent events for tests, independent of our client: http.client reads the chunks, a few lines the messages.

with listening(door, "/v1/buses/shop/stream?after=0") as stream:
    assert stream.next().data["position"] == 1
"""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec

from tests.support.buses import WAIT_S, ServedBus


class Message(msgspec.Struct, frozen=True):
    """`name` is empty for what a browser's `onmessage` gets."""

    id: int
    name: str
    data: Any


class Listener:
    """One stream. `status` and `headers` are known; it is read as it is asked."""

    def __init__(self, connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> None:
        connection.request("GET", path, headers=headers)
        self._answer = connection.getresponse()
        self.status = self._answer.status
        self.headers = dict(self._answer.getheaders())

    def next(self) -> Message:
        """The next message. EOFError where the stream ended as it should, and IncompleteRead where it broke off."""
        fields: dict[str, str] = {}
        while line := self._answer.readline().decode():
            if line == "\n":
                return Message(int(fields["id"]), fields.get("event", ""), json.loads(fields["data"]))
            name, _, value = line.rstrip("\n").partition(": ")
            assert name not in fields
            fields[name] = value
        assert not fields
        raise EOFError

    def next_named(self, name: str) -> Message:
        """The next message of that name; what comes before it is passed over."""
        while (message := self.next()).name != name:
            pass
        return message

    def events(self, count: int) -> list[Message]:
        return [self.next_named("") for _ in range(count)]

    def rest(self) -> Iterator[Message]:
        """What comes until the stream ends as it should."""
        while True:
            try:
                yield self.next()
            except EOFError:
                return

    def close(self) -> None:
        self._answer.close()

    def problem(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._answer.read())
        return document


@contextmanager
def listening(door: ServedBus, path: str, *, buffer_bytes: int = 0, **headers: str) -> Iterator[Listener]:
    """`buffer_bytes` is how much the system keeps for a reader that does not read; `headers` with _ for -."""
    connection = http.client.HTTPConnection(door.host, door.port, timeout=WAIT_S)
    connection.sock = socket.socket()
    connection.sock.settimeout(WAIT_S)
    if buffer_bytes:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.sock.connect((door.host, door.port))
    with (
        closing(connection),
        closing(Listener(connection, path, {name.replace("_", "-"): headers[name] for name in headers})) as it,
    ):
        yield it
