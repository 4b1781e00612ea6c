"""Everything that can be asked of a server, as pure functions: arguments in, a `Call` or a `Walk` out. No I/O here.

A door's path, query and body are written once, here; both shells get their methods from these functions (see `shells`).
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from eventyard.client.answers import (
    Bus,
    BusPage,
    DeadLetter,
    DeadLetterPage,
    EventPage,
    Page,
    PatternVerdict,
    Published,
    Redriven,
    Rule,
    RulePage,
    RuleStatus,
    StoredEvent,
    Verdict,
)
from eventyard.client.call import JSON, Call, Request, Walk, address, answer, decode, nothing, problem_error
from eventyard.client.event import Event, encode, encode_json, new_event
from eventyard.client.following import Follow, OnContact
from eventyard.client.patience import UNAVAILABLE, Response

T = TypeVar("T")

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"

BATCH_EVENTS = 1_000
BATCH_BYTES = 4 * 1024 * 1024
"""One batch: what a server takes at once (its limit in events, half of its limit in bytes)."""

PAGE = 500
"""Items asked for at once when a list is walked."""

Document = Mapping[str, Any] | bytes | str
"""A JSON object, or its text, which is sent as it stands."""

Moment = datetime.datetime | str
"""A time with its zone, or its RFC 3339 text."""

TOO_LARGE = 413

_NO_QUERY: Mapping[str, str | None] = {}


# Events


def publish(
    event: Event | None = None,
    *,
    bus: str = "default",
    type: str = "",  # noqa: A002 - CloudEvents' own name
    source: str = "",
    id: str = "",  # noqa: A002 - CloudEvents' own name
    subject: str = "",
    data: Any = msgspec.UNSET,
    **attributes: Any,
) -> Call[Published]:
    """Publish one event: `event`, or one made of `type`, `source` and so on. Durable when this returns.

    The id is settled before the first attempt, so a retry after a lost answer is accepted once. The same `source` and `id` with
    other content is a ProblemError `event-conflict`.
    """
    if event is None:
        event = new_event(type=type, source=source, id=id, subject=subject, data=data, **attributes)
    elif type or source or id or subject or data is not msgspec.UNSET or attributes:
        raise TypeError("found an event and attributes beside it; wanted one or the other")
    return Call(
        Request("POST", address("buses", bus, "events"), body=encode(event), content_type=STRUCTURED), answer(Published)
    )


def publish_batch(events: Iterable[Event], *, bus: str = "default") -> Call[list[Verdict]]:
    """Publish events in one request, at most 1,000 and 8 MiB: one verdict each, in their order.

    A refused event does not keep the others out. Raises ProblemError where the request as a whole is refused.
    """
    return _batch_call([encode(event) for event in events], bus)


def publish_many(events: Iterable[Event], *, bus: str = "default") -> Walk[Verdict]:
    """Publish any number of events in batches; one verdict each, in their order, batch by batch as they are consumed.

    `events` is read lazily: nothing is published that the caller has not asked a verdict of, a batch at most aside.
    """
    for batch in _batches(encode(event) for event in events):
        yield _page_of(_batch_call(batch, bus))


def event(position: int, *, bus: str = "default") -> Call[StoredEvent]:
    """The event at `position`. ProblemError `not-found` where there is none."""
    return Call(Request("GET", address("buses", bus, "events", str(position))), answer(StoredEvent))


def events(
    *,
    bus: str = "default",
    after: int | None = None,
    from_: Moment | None = None,
    until: Moment | None = None,
    pattern: Document | None = None,
    order: Literal["asc", "desc"] = "asc",
    limit: int | None = None,
) -> Walk[StoredEvent]:
    """Events of the log, oldest first or (`desc`) newest first, up to `limit` of them.

    After position `after` (before it when descending), accepted from `from_` to before `until`, that match `pattern`. Pages are
    fetched as they are consumed.
    """
    wanted = None if pattern is None else _text(pattern)
    query = {"from": _moment(from_), "until": _moment(until), "pattern": wanted, "order": order}
    return _pages(address("buses", bus, "events"), EventPage, query=query, after=after, limit=limit)


def follow(
    *,
    bus: str = "default",
    after: int | None = None,
    pattern: Document | None = None,
    on_contact: OnContact | None = None,
) -> Follow:
    """Events as they are accepted, from behind position `after` on (0: all; left out: from now on), that match `pattern`.

    It goes on until you leave it. A connection that ends is followed by another that begins where it ended: no event is missed, none
    comes twice. `on_contact` is told of each trouble that is waited out (its error) and of each connection (None). Raises
    Unreachable or ProblemError when patience ends, and Gap where the bus cannot give events.
    """
    query = {} if pattern is None else {"pattern": _text(pattern)}
    return Follow(Request("GET", address("buses", bus, "stream"), query), after, on_contact)


# Rules


def put_rule(name: str, document: Document, *, bus: str = "default") -> Call[Rule]:
    """Create the rule `name`, or change it to `document` (pattern, target, delivery, start, ...)."""
    return Call(
        Request("PUT", address("buses", bus, "rules", name), body=_text(document).encode(), content_type=JSON), answer(Rule)
    )


def rule(name: str, *, bus: str = "default") -> Call[Rule]:
    return Call(Request("GET", address("buses", bus, "rules", name)), answer(Rule))


def rules(*, bus: str = "default") -> Walk[Rule]:
    """Every rule of the bus, by name."""
    return _pages(address("buses", bus, "rules"), RulePage)


def delete_rule(name: str, *, bus: str = "default") -> Call[None]:
    """Delete the rule and discard what its queue still holds."""
    return Call(Request("DELETE", address("buses", bus, "rules", name)), nothing)


def pause(name: str, *, bus: str = "default") -> Call[Rule]:
    """Deliver no more until `resume`; what matches meanwhile waits."""
    return Call(Request("POST", address("buses", bus, "rules", name, "pause")), answer(Rule))


def resume(name: str, *, bus: str = "default") -> Call[Rule]:
    return Call(Request("POST", address("buses", bus, "rules", name, "resume")), answer(Rule))


def status(name: str, *, bus: str = "default") -> Call[RuleStatus]:
    """How many of the rule's deliveries wait, are under way, and ended how."""
    return Call(Request("GET", address("buses", bus, "rules", name, "status")), answer(RuleStatus))


# Dead letters


def dead_letters(name: str, *, bus: str = "default", limit: int | None = None) -> Walk[DeadLetter]:
    """The dead letters of the rule `name` by position, up to `limit` of them."""
    return _pages(address("buses", bus, "rules", name, "dead-letters"), DeadLetterPage, limit=limit)


def redrive(name: str, ids: Iterable[str] | Literal["all"], *, bus: str = "default") -> Call[Redriven]:
    """Put dead letters of the rule back into its queue: those with these ids, or all that are dead now."""
    body = {"all": True} if ids == "all" else {"ids": list(ids)}
    path = address("buses", bus, "rules", name, "dead-letters", "redrive")
    return Call(Request("POST", path, body=encode_json(body), content_type=JSON), answer(Redriven))


# Buses


def buses() -> Walk[Bus]:
    """Every bus, by name."""
    yield Call(Request("GET", address("buses")), answer(BusPage))


def bus(name: str) -> Call[Bus]:
    return Call(Request("GET", address("buses", name)), answer(Bus))


def create_bus(name: str) -> Call[Bus]:
    """Create the bus `name`. That it exists already is no error."""
    return Call(Request("PUT", address("buses", name), body=b"{}", content_type=JSON), answer(Bus))


def delete_bus(name: str) -> Call[None]:
    """Delete the bus with its events, rules and dead letters."""
    return Call(Request("DELETE", address("buses", name)), nothing)


# The server


def test_pattern(
    pattern: Document,
    event: Document,
    *,
    eventbridge: bool = False,  # noqa: PT028 - a method's name, no test
) -> Call[PatternVerdict]:
    """Whether `pattern` matches `event` (any JSON object), and why. `eventbridge`: both in EventBridge's names."""
    flag = "true" if eventbridge else "false"
    body = f'{{"pattern":{_text(pattern)},"event":{_text(event)},"eventbridge":{flag}}}'
    return Call(Request("POST", address("patterns", "test"), body=body.encode(), content_type=JSON), answer(PatternVerdict))


def ready() -> Call[bool]:
    """Whether the server takes events now. Asked once: a server that is not ready is an answer, not a trouble."""
    return Call(Request("GET", "/readyz"), _read_ready, is_retried=False)


def server_version() -> Call[str]:
    """The version that the server states in its OpenAPI document."""
    return Call(Request("GET", "/v1/openapi.json"), _read_version, is_retried=False)


# Building requests


def _text(document: Document) -> str:
    if isinstance(document, str):
        return document
    return (document if isinstance(document, bytes) else encode_json(document)).decode()


def _moment(moment: Moment | None) -> str | None:
    if isinstance(moment, datetime.datetime):
        if moment.tzinfo is None:
            raise ValueError(f"found the time {moment} without a zone; wanted one with it, as datetime.now(UTC)")
        return moment.isoformat()
    return moment


def _batches(events: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Cut at the number or the bytes of a batch, whichever comes first. An event too large for any stands alone."""
    batch: list[bytes] = []
    size = 0
    for text in events:
        if batch and (len(batch) == BATCH_EVENTS or size + len(text) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _batch_call(batch: list[bytes], bus: str) -> Call[list[Verdict]]:
    def read(response: Response) -> list[Verdict]:
        return _read_verdicts(response, len(batch))

    return Call(
        Request("POST", address("buses", bus, "events"), body=b"[" + b",".join(batch) + b"]", content_type=BATCHED), read
    )


# Reading answers


class _Verdicts(msgspec.Struct, frozen=True):
    events: list[Verdict]


def _read_verdicts(response: Response, count: int) -> list[Verdict]:
    """The verdicts, of a batch that was refused event by event (400) too. One event too large for a request has one too."""
    if response.status in (202, 400) and (verdicts := _verdicts(response)):
        return [_in_its_event(verdict, index) for index, verdict in enumerate(verdicts)]
    error = problem_error(response)
    if response.status == TOO_LARGE and count == 1:
        return [Verdict(error=error.problem)]
    raise error


def _verdicts(response: Response) -> list[Verdict]:
    try:
        return msgspec.json.decode(response.body, type=_Verdicts).events
    except msgspec.MsgspecError:
        return []


def _in_its_event(verdict: Verdict, index: int) -> Verdict:
    """An error points into its own event (`/time`): where that stood in a batch (`/3/time`) is no concern of the caller."""
    error = verdict.error
    if error is None:
        return verdict
    at = error.at.removeprefix(f"/{index}").removeprefix(", ")
    rest = error.detail.removeprefix(f"at {error.at}: ")
    told = msgspec.structs.replace(error, at=at, detail=f"at {at}: {rest}" if at else rest)
    return msgspec.structs.replace(verdict, error=told)


def _page_of(call: Call[list[Verdict]]) -> Call[Page[Verdict]]:
    return Call(call.request, lambda response: Page(call.read(response)))


def _pages(
    path: str,
    kind: type[Page[T]],
    *,
    query: Mapping[str, str | None] = _NO_QUERY,
    after: int | None = None,
    limit: int | None = None,
) -> Walk[T]:
    """Every item of a list, page by page. A page may be empty and the list still go on."""
    left = limit
    following: str | int | None = after
    while left is None or left > 0:
        page = yield Call(_page_request(path, query, following, PAGE if left is None else min(PAGE, left)), answer(kind))
        left = None if left is None else left - len(page.items)
        following = page.next
        if following is None:
            return


def _page_request(path: str, query: Mapping[str, str | None], after: str | int | None, limit: int) -> Request:
    asked = {**query, "after": None if after is None else str(after), "limit": str(limit)}
    return Request("GET", path, {name: value for name, value in asked.items() if value is not None})


def _read_ready(response: Response) -> bool:
    if response.status == UNAVAILABLE:
        return False
    nothing(response)
    return True


class _Info(msgspec.Struct, frozen=True):
    version: str


class _OpenAPI(msgspec.Struct, frozen=True):
    info: _Info


def _read_version(response: Response) -> str:
    nothing(response)
    return decode(response, _OpenAPI).info.version
