"""GET /v1/buses/{bus}/stream: the log as it grows, as server-sent events.

What a browser's `EventSource` makes of it decides the form. An event of the log is a message without a name, so `onmessage` gets it;
what the bus says about the stream itself has one: `heartbeat`, `gap`, `cut`. Each message's id is a position, the last that needs no
more be read, so whoever comes back with it as `Last-Event-ID` (a browser does so by itself) misses nothing and gets nothing twice.
The first message says where the stream begins: without it a reader that is cut off before the first event would not know.

Source: HTML, 9.2 Server-sent events.
"""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec

from eventyard import logbook
from eventyard.core.changes import StoredEvent
from eventyard.core.errors import EventyardError, InvalidRequest
from eventyard.stream import Gap, Stream
from eventyard.surfaces.http.calls import COMMON_HEADERS, Call, Headers, StreamAnswer
from eventyard.surfaces.http.events import read_pattern
from eventyard.surfaces.http.schemas import POSITION_MAX
from eventyard.surfaces.http.times import rfc3339

CONTENT_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
RETRY = b"retry: 1000\n"
"""A browser comes back after a second: a restart of the bus takes about that."""

PositionText = Annotated[
    str, msgspec.Meta(extra_json_schema={"type": "integer", "minimum": 0, "maximum": POSITION_MAX, "format": "int64"})
]
Messages = Annotated[
    str, msgspec.Meta(description="Server-sent events: those of the log without a name, `heartbeat`, `gap` and `cut`.")
]


class StreamQuery(msgspec.Struct, frozen=True):
    """Events after position `after` (left out: from now on) that match `pattern`."""

    after: PositionText = ""
    pattern: str = ""


async def stream(call: Call[StreamQuery]) -> StreamAnswer:
    pattern = read_pattern(call.query.pattern)
    after, at = _after(call)
    try:
        return EventStream(call.yard.stream(call.path["bus"], after=after, pattern=pattern))
    except InvalidRequest as error:
        raise InvalidRequest(error.found, wanted=error.wanted, at=at) from error


def _after(call: Call[StreamQuery]) -> tuple[int | None, str]:
    """After which position it begins, and where that was said."""
    for name, value in call.headers:
        if name == b"last-event-id":
            return _position(value.decode("latin-1"), f"header {LAST_EVENT_ID}"), f"header {LAST_EVENT_ID}"
    return _position(call.query.after, "query after") if call.query.after else None, "query after"


def _position(text: str, at: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= POSITION_MAX):
        raise InvalidRequest(f'found "{text[:60]}"', wanted=f"a position, 0 to {POSITION_MAX}", at=at)
    return int(text)


class EventStream:
    """`calls.StreamAnswer` over one `Stream`. What was written tells the reader all up to position `_told`."""

    headers: Headers = ((b"content-type", CONTENT_TYPE.encode()), *COMMON_HEADERS, (b"x-accel-buffering", b"no"))

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._told = stream.position

    async def chunks(self) -> AsyncIterator[bytes]:
        yield RETRY + self.heartbeat()
        try:
            async for part in self._stream:
                chunk = _gap(part) if isinstance(part, Gap) else b"".join([_event(event) for event in part.events])
                if chunk:
                    yield chunk
                self.sent()
        except EventyardError as error:
            yield self.farewell(error.code)
        except Exception:  # noqa: BLE001 - whatever it is, the log has it and the reader a last word
            logbook.STREAM_FAILED()
            yield self.farewell("internal-error")
        else:
            yield self.farewell(self._stream.ended_by)

    def sent(self) -> None:
        self._told = self._stream.position

    def heartbeat(self) -> bytes:
        return _named("heartbeat", self._told, {"position": self._told})

    def farewell(self, reason: str) -> bytes:
        return _named("cut", self._told, {"position": self._told, "reason": reason})

    def end(self, reason: str = "reader") -> None:
        self._stream.end(reason)


def _event(stored: StoredEvent) -> bytes:
    """One line, though an event may have come over several: in JSON a line's end is only white space."""
    json = stored.json
    if b"\n" in json or b"\r" in json:
        json = json.replace(b"\r", b" ").replace(b"\n", b" ")
    position, accepted = stored.position, rfc3339(stored.accepted_ms).encode()
    return b'id: %d\ndata: {"position":%d,"accepted":"%b","event":%b}\n\n' % (position, position, accepted, json)


def _gap(gap: Gap) -> bytes:
    return _named("gap", gap.last, {"from": gap.first, "to": gap.last, "reason": gap.reason})


def _named(name: str, position: int, document: dict[str, str | int]) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (position, name.encode(), msgspec.json.encode(document))
