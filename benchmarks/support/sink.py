"""A receiver that does nothing, as fast as Python can: what a push benchmark measures is then the sender.

`python benchmarks/support/sink.py --port 0` prints its port and serves on loopback until it is ended. Every POST is
answered and the connection kept; `GET /count` answers how many POSTs there were, of batches how many events.
"""

import argparse
import asyncio
import re
from typing import cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)

_BATCHED = b"application/cloudevents-batch+json"


class Sink(asyncio.Protocol):
    count = 0

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._waiting = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (length := _request_length(self._waiting)) and len(self._waiting) >= length:
            request, self._waiting = self._waiting[:length], self._waiting[length:]
            self._reply(request)

    def _reply(self, request: bytes) -> None:
        if self._transport is None:
            return
        if request.startswith(b"GET"):
            count = str(Sink.count).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(count), count))
            return
        Sink.count += request.count(b'"specversion"') if _BATCHED in request else 1
        self._transport.write(self._answer)


def _request_length(data: bytes) -> int:
    """Bytes of the first request in `data`, 0 while its head is not there."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    found = _LENGTH.search(data, 0, end)
    return end + 4 + (int(found[1]) if found else 0)


def build_answer(status: int, body_bytes: int) -> bytes:
    length = b"" if status == 204 else b"content-length: %d\r\n" % body_bytes
    return b"HTTP/1.1 %d Done\r\nserver: sink\r\n%s\r\n%s" % (status, length, b"x" * (0 if status == 204 else body_bytes))


async def serve(port: int, answer: bytes) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(answer), "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--status", type=int, default=204, choices=(200, 202, 204))
    parser.add_argument("--answer-bytes", type=int, default=0, help="body of a 200 or 202")
    options = parser.parse_args()
    try:
        uvloop.run(serve(options.port, build_answer(options.status, options.answer_bytes)))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
