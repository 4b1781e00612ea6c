"""The event that something goes back to which an emitter will publish later, and what is read of an event for that."""

import msgspec

from eventyard.core.attributes import spelling
from eventyard.core.cause import Cause


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Kept as long as what it is for is under way: the log may be shorter than that."""

    position: int
    source: str
    id: str
    type: str
    correlation: str = ""
    hops: int = 0

    @property
    def cause(self) -> Cause:
        """As what it is published of."""
        return Cause(self.position, self.source, self.id, self.correlation, self.hops)


class Told(msgspec.Struct):
    """The attributes of an event that its origin needs."""

    source: str
    id: str
    type: str
    correlationid: str | int | bool | None = None
    eventyardhops: str | int | None = None

    def origin(self, position: int) -> Origin:
        given = self.id if self.correlationid is None else self.correlationid
        correlation = given if isinstance(given, str) else spelling(given)
        return Origin(position, self.source, self.id, self.type, correlation, int(self.eventyardhops or 0))


read = msgspec.json.Decoder(Told).decode
