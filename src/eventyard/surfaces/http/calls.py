"""A call and its answer, as values: what a handler gets to see of a request, and what it gives back.

Reading strictly is half of a door's work: an unknown query field is refused by name, never ignored, since whoever wrote it
meant something by it.
"""

import asyncio
import difflib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec

from eventyard.bus import Eventyard
from eventyard.core import limits
from eventyard.core.access import Caller
from eventyard.core.errors import InvalidRequest
from eventyard.surfaces.http.access import Permit, ended
from eventyard.surfaces.http.body import Gone

JSON = b"application/json"
COMMON_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))

Headers = tuple[tuple[bytes, bytes], ...]
Unready = Callable[[], list[str]]
"""What of the process is not ready, each as one short phrase; empty when all is."""

Q = TypeVar("Q")
T = TypeVar("T")


class NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query or a document that has no fields."""


class Call(msgspec.Struct, Generic[Q], frozen=True):
    """One request, its names decoded and its query read. `headers` are as they came, names in lower case."""

    yard: Eventyard
    unready: Unready
    path: Mapping[str, str]
    query: Q
    headers: list[tuple[bytes, bytes]]
    body: bytes
    gone: Callable[[], Awaitable[None]]
    """Returns when the caller has hung up."""
    caller: Caller
    permit: Callable[[], AbstractContextManager[Permit]]
    remarks: Unready = list
    """What is as it was asked for and should be known all the same."""

    @property
    def principal(self) -> str:
        """Who asks, as the log records it; empty where no keys are in use."""
        return self.caller.principal

    async def while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, unless the caller hangs up first, or its key ends: then it is cancelled, and `Gone` or Unauthenticated raised."""
        tasks = working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self.gone())
        with self.permit() as permit:
            permit.on_end(lambda _reason: _cancel(leaving))
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if permit.ended_by:
                    raise ended(permit.ended_by)
                if not leaving.done():
                    return working.result()
                raise Gone
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def _cancel(task: "asyncio.Future[None]") -> None:
    task.cancel()


class Answer(msgspec.Struct, frozen=True):
    """A whole answer. No body has no content type."""

    status: int
    body: bytes = b""
    content_type: bytes = b""
    headers: Headers = ()

    @property
    def all_headers(self) -> list[tuple[bytes, bytes]]:
        described = [(b"content-type", self.content_type)] if self.content_type else []
        length = [] if self.status == 204 else [(b"content-length", str(len(self.body)).encode())]
        return [*described, *length, *COMMON_HEADERS, *self.headers]


class StreamAnswer(Protocol):
    """An answer that goes on, in chunks that are written as they come, each after the one before was taken off our hands.

    Whoever writes it calls `end` when it is over, whatever it was that ended it.
    """

    headers: Headers

    def chunks(self) -> AsyncIterator[bytes]:
        """They end when all is said, or soon after `end`."""
        ...

    def sent(self) -> None:
        """The last chunk has been written."""
        ...

    def heartbeat(self) -> bytes:
        """What is written after a silence."""
        ...

    def farewell(self, reason: str) -> bytes:
        """The last chunk of one that is cut: `reason` in a word."""
        ...

    def end(self, reason: str = "reader") -> None:
        """It is over, in a word: `reader` where nobody reads it any more. Twice is harmless."""
        ...


def json_answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, _ENCODER.encode(document), JSON)


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def read_query(query: bytes, kind: type[Q]) -> Q:
    """The query's fields as a `kind`, or InvalidRequest that names the field."""
    if not query:
        return kind()
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, text in _pairs(query):
        if name not in fields:
            raise _unknown(name, list(fields))
        if fields[name].name in values:
            raise InvalidRequest("found the field twice", wanted="it once", at=f"query {name}")
        values[fields[name].name] = _value(name, text, fields[name].type)
    return kind(**values)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        text = query.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=limits.QUERY_FIELDS_MAX)
    except ValueError:
        wanted = f"at most {limits.QUERY_FIELDS_MAX} fields, UTF-8, percent-encoded"
        raise InvalidRequest("found a query that cannot be read", wanted=wanted, at="query") from None


def _unknown(name: str, known: list[str]) -> InvalidRequest:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f'perhaps "{near[0]}"; known here: ' if near else "one of "
    wanted = hint + ", ".join(known) if known else "no query here"
    return InvalidRequest(f'unknown query field "{name[:60]}"', wanted=wanted, at=f"query {name[:60]}")


def _value(name: str, text: str, kind: Any) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        wanted = _WANTED.match(str(error))
        options = msgspec.json.schema(kind).get("enum")
        said = " or ".join(options) if options else wanted[1].replace("`", "") if wanted else str(error)
        raise InvalidRequest(f'found "{text[:60]}"', wanted=said, at=f"query {name}") from None


_WANTED = re.compile(r"Expected (.*?)(?:, got .*)?$")
