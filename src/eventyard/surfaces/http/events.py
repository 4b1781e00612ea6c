"""GET /v1/buses/{bus}/events and one of them: history, in pages that `next` continues."""

from typing import Literal

import msgspec

from eventyard.core.changes import StoredEvent
from eventyard.core.errors import InvalidPattern, InvalidRequest, PatternTooCostly
from eventyard.core.pattern import language
from eventyard.core.pattern.language import Pattern
from eventyard.history import Query
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer
from eventyard.surfaces.http.schemas import POSITION_MAX, CloudEvent, Limit, MaybeTime, Position, Time
from eventyard.surfaces.http.times import read_time_ms, rfc3339


class EventsQuery(msgspec.Struct, frozen=True):
    """Events after position `after` (before it when descending), accepted in [`from`, `until`), that match `pattern`."""

    after: Position = 0
    from_: MaybeTime = msgspec.field(default="", name="from")
    until: MaybeTime = ""
    pattern: str = ""
    limit: Limit = 100
    order: Literal["asc", "desc"] = "asc"


class EventAnswer(msgspec.Struct, frozen=True):
    """One event of the log. `accepted` is when the bus took it."""

    position: int
    accepted: Time
    event: CloudEvent


class EventsAnswer(msgspec.Struct, frozen=True):
    """`next` given as `after` continues; null when the end is reached. A page may be short, even empty, before the end."""

    events: list[EventAnswer]
    next: str | None


async def events(call: Call[EventsQuery]) -> Answer:
    asked = call.query
    query = Query(
        after=asked.after,
        limit=asked.limit,
        from_ms=read_time_ms(asked.from_, at="query from"),
        until_ms=read_time_ms(asked.until, at="query until"),
        pattern=read_pattern(asked.pattern),
        is_descending=asked.order == "desc",
    )
    page = await call.yard.events(call.path["bus"], query)
    return json_answer(
        EventsAnswer([_shown(event) for event in page.events], str(page.next_after) if page.next_after else None)
    )


async def event(call: Call[NoFields]) -> Answer:
    return json_answer(
        _shown(await call.yard.event(call.path["bus"], read_position(call.path["position"], at="path position")))
    )


def _shown(stored: StoredEvent) -> EventAnswer:
    return EventAnswer(stored.position, rfc3339(stored.accepted_ms), msgspec.Raw(stored.json))


def read_pattern(text: str) -> Pattern | None:
    if not text:
        return None
    try:
        return language.parse(text)
    except (InvalidPattern, PatternTooCostly) as error:
        at = f"query pattern, {error.at}" if error.at else "query pattern"
        raise type(error)(error.found, wanted=error.wanted, at=at) from error


def read_position(text: str, *, at: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and 1 <= int(text) <= POSITION_MAX):
        raise InvalidRequest(f'found the position "{text[:60]}"', wanted=f"1 to {POSITION_MAX}", at=at)
    return int(text)
