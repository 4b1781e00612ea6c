"""A route as a value: what one of `routes` says."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from eventyard.core import limits
from eventyard.core.access import Scope
from eventyard.core.errors import EventyardError
from eventyard.surfaces.http.calls import JSON, Answer, Call, NoFields, StreamAnswer

Handler = Callable[[Call[Any]], Awaitable[Answer | StreamAnswer]]
BytesMax = Callable[[Mapping[bytes, bytes]], int]

BUS = "/v1/buses/{bus}"
RULE = BUS + "/rules/{rule}"


class Body(msgspec.Struct, frozen=True):
    """What a route reads. `media` gives the schema of each content type (None: any bytes). `is_json_only`: others are refused."""

    media: tuple[tuple[str, Any], ...]
    bytes_max: BytesMax
    is_required: bool = True
    is_json_only: bool = True


def json_body(kind: Any, bytes_max: int = limits.REQUEST_BYTES_MAX, *, is_required: bool = True) -> Body:
    return Body(((JSON.decode(), kind),), lambda _: bytes_max, is_required=is_required)


NO_FIELDS = json_body(NoFields, is_required=False)
"""For what is asked for by its address alone: nothing, or an empty object."""


class Route(msgspec.Struct, frozen=True):
    """`answers` are the good ones: status, schema (None: no body), and what it says. `refusals` are those of the route's own.

    `media` is what the good ones are written in. `headers` are those that the route reads, by name. `scope` is what a caller needs (None:
    any key will do), for the bus in the path or else for all; where the answer `is_narrowed` to the buses of the caller, for any.
    `is_open`: nobody is asked for a key.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answers: tuple[tuple[int, Any, str], ...]
    refusals: tuple[type[EventyardError], ...] = ()
    query: type[Any] = NoFields
    body: Body | None = None
    media: str = "application/json"
    headers: Mapping[str, Any] = {}
    scope: Scope | None = None
    is_narrowed: bool = False
    is_open: bool = False

    @property
    def is_in_bus(self) -> bool:
        """Whether it concerns something in a bus, which must exist then."""
        return self.path.startswith(BUS + "/")
