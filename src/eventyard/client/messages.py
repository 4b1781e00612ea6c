"""Server-sent events out of the bytes of an answer, however they are cut. No I/O here.

Source: HTML, 9.2.6 Interpreting an event stream.
"""

from collections.abc import Iterator

import msgspec

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""One message: the largest event of a bus is 1 MiB. Past this it is no stream of Eventyard's."""


class Message(msgspec.Struct, frozen=True):
    """`name` is empty where the stream gave none. `id` is the last that was given, be it with an earlier message."""

    name: str
    data: bytes
    id: str


class TooLong(Exception):
    """A line or message past any bound."""


class Messages:
    """Takes bytes, gives messages. A message that is not whole when the stream ends never was."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = b""
        self._data: list[bytes] = []
        self._id = b""

    def read(self, received: bytes) -> Iterator[Message]:
        """The messages that these bytes complete."""
        for line in self._lines(received):
            if line:
                self._take(line)
            elif self._data:
                yield Message(self._name.decode(), b"\n".join(self._data), self._id.decode())
                self._name, self._data = b"", []
            else:
                self._name = b""

    def _lines(self, received: bytes) -> list[bytes]:
        """Whole lines, which end in LF, CR LF or CR. A CR at the end stays: the next bytes tell which it is."""
        text = self._rest + received if self._rest else received
        held = text[-1:] if text.endswith(b"\r") else b""
        whole = text[: len(text) - len(held)]
        if b"\r" in whole:
            whole = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = whole.split(b"\n")
        self._rest = rest + held
        if len(self._rest) + sum(map(len, self._data)) > MESSAGE_BYTES_MAX:
            raise TooLong
        return lines

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value
        elif name == b"id" and b"\0" not in value:
            self._id = value
