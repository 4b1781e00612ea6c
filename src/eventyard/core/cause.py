"""What an event came of: the attributes that name its cause, and how many hops lie behind it.

Theory of operation. An event that comes of another says so by four attributes, whoever makes it: the bus (a reply, an event of the bus about a
delivery), or a service that publishes what it did about an event.

| attribute         | what                                                                                              |
| ----------------- | ------------------------------------------------------------------------------------------------- |
| `causationid`     | the id of the event that it came of                                                               |
| `causationsource` | that event's source, since an id alone names no event                                             |
| `correlationid`   | what the whole chain goes by: the cause's own, else the cause's id                                |
| `eventyardhops`   | how many events came of one another before it; a cause's and one more. Left out it is 0           |

Where source and id name an event of the bus that the dedup window still knows, the bus keeps the pair of positions (`Derivation`), so what
came of an event is found without a search. A cause always stands before what came of it, so these pairs are a forest: no walk can go round.

Hops are no part of what an event says, as its way through buses is none. So the digest leaves them out, and the same event that comes by two
ways is one event.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from eventyard.core.attributes import HOPS, spelling

CAUSATION_ID = "causationid"
CAUSATION_SOURCE = "causationsource"
CORRELATION_ID = "correlationid"


class Cited(NamedTuple):
    """The event that another says it came of."""

    source: str
    id: str


class Cause(msgspec.Struct, frozen=True):
    """An event of this bus of which another comes. `correlation` and `hops` are what it passes on."""

    position: int
    source: str
    id: str
    correlation: str
    hops: int

    @property
    def attributes(self) -> dict[str, str | int]:
        """Of whatever comes of it."""
        return {
            CAUSATION_ID: self.id,
            CAUSATION_SOURCE: self.source,
            CORRELATION_ID: self.correlation,
            HOPS: self.hops + 1,
        }


class Derivation(msgspec.Struct, frozen=True):
    """That the event at `position` came of the one at `cause`, on one bus."""

    position: int
    cause: int


def cited(attributes: Mapping[str, str]) -> Cited | None:
    """What an event says it came of, where it says so in full."""
    id_ = attributes.get(CAUSATION_ID)
    source = attributes.get(CAUSATION_SOURCE) if id_ is not None else None
    return None if id_ is None or source is None else Cited(source, id_)


def of(position: int, json: bytes) -> Cause:
    """The stored event at `position` as a cause."""
    read = _decode(json)
    given = read.id if read.correlationid is None else read.correlationid
    correlation = given if isinstance(given, str) else spelling(given)
    return Cause(position, read.source, read.id, correlation, int(read.eventyardhops or 0))


def hops(json: bytes) -> int:
    """How many lie behind a stored event. Looked for in the bytes first: nearly every event has none."""
    return int(_decode(json).eventyardhops or 0) if _HOPS_BYTES in json else 0


class _Read(msgspec.Struct):
    source: str
    id: str
    correlationid: str | int | bool | None = None
    eventyardhops: str | int | None = None


_decode = msgspec.json.Decoder(_Read).decode
_HOPS_BYTES = HOPS.encode()
