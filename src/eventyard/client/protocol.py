"""Everything that can be asked of a server, as pure functions: arguments in, a `Call` or a `Walk` out. No I/O here.

A door's path, query and body are written once, here; both shells get their methods from these functions (see `shells`).
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from eventyard.client.answers import (
    Bus,
    BusPage,
    EventPage,
    Page,
    PatternVerdict,
    Published,
    Rotated,
    Rule,
    RulePage,
    RuleStatus,
    StatusPage,
    StoredEvent,
    TransformTested,
    Verdict,
)
from eventyard.client.building import Document, Moment, pages_of, text_of, time_text
from eventyard.client.call import JSON, Call, Request, Walk, address, answer, condition, decode, nothing, problem_error
from eventyard.client.event import Event, encode, encode_json, given
from eventyard.client.following import Follow, OnContact
from eventyard.client.patience import UNAVAILABLE, Response

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"

BATCH_EVENTS = 1_000
BATCH_BYTES = 4 * 1024 * 1024
"""One batch: what a server takes at once (its limit in events, half of its limit in bytes)."""

TOO_LARGE = 413


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
    event = given(event, type=type, source=source, id=id, subject=subject, data=data, **attributes)
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
    for batch in batches(encode(event) for event in events):
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
    wanted = None if pattern is None else text_of(pattern)
    query = {"from": time_text(from_), "until": time_text(until), "pattern": wanted, "order": order}
    return pages_of(address("buses", bus, "events"), EventPage, query=query, after=after, limit=limit)


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
    query = {} if pattern is None else {"pattern": text_of(pattern)}
    return Follow(Request("GET", address("buses", bus, "stream"), query), after, on_contact)


# Rules


def put_rule(name: str, document: Document, *, bus: str = "default", version: int | None = None) -> Call[Rule]:
    """Create the rule `name`, or change it to `document` (pattern, target, delivery, start, ...).

    `version`: only where it is still in this one (`Rule.state.version`), 0 where there must be none; else a ProblemError `version-conflict`.
    """
    path, body = address("buses", bus, "rules", name), text_of(document).encode()
    return Call(Request("PUT", path, body=body, content_type=JSON, headers=condition(version)), answer(Rule))


def rule(name: str, *, bus: str = "default") -> Call[Rule]:
    return Call(Request("GET", address("buses", bus, "rules", name)), answer(Rule))


def rules(*, bus: str = "default", after: str | None = None) -> Walk[Rule]:
    """Every rule of the bus, by name; those whose names come after `after`."""
    return pages_of(address("buses", bus, "rules"), RulePage, after=after)


def delete_rule(name: str, *, bus: str = "default", version: int | None = None) -> Call[None]:
    """Delete the rule and discard what its queue still holds. `version` as in `put_rule`."""
    return Call(Request("DELETE", address("buses", bus, "rules", name), headers=condition(version)), nothing)


def pause(name: str, *, bus: str = "default") -> Call[Rule]:
    """Deliver no more until `resume`; what matches meanwhile waits."""
    return Call(Request("POST", address("buses", bus, "rules", name, "pause")), answer(Rule))


def resume(name: str, *, bus: str = "default") -> Call[Rule]:
    return Call(Request("POST", address("buses", bus, "rules", name, "resume")), answer(Rule))


def status(name: str, *, bus: str = "default") -> Call[RuleStatus]:
    """How many of the rule's deliveries wait, are under way, and ended how."""
    return Call(Request("GET", address("buses", bus, "rules", name, "status")), answer(RuleStatus))


def statuses(*, bus: str = "default") -> Walk[RuleStatus]:
    """The same of every rule of the bus, by name: a request for 500 of them."""
    return pages_of(address("buses", bus, "statuses"), StatusPage)


# Buses


def buses() -> Walk[Bus]:
    """Every bus, by name."""
    yield Call(Request("GET", address("buses")), answer(BusPage))


def bus(name: str) -> Call[Bus]:
    return Call(Request("GET", address("buses", name)), answer(Bus))


def create_bus(name: str) -> Call[Bus]:
    """Create the bus `name`. That it exists already is no error."""
    return Call(Request("PUT", address("buses", name), body=b"{}", content_type=JSON), answer(Bus))


def set_retention(
    name: str, *, max_age_s: float | None = None, max_bytes: int | None = None, dead_letters_s: float | None = None
) -> Call[Bus]:
    """What the bus keeps of its log, by age and by bytes of events, and how long dead letters live. What is left out stays as it is.

    Where the bus is not there it is created.
    """
    asked = {"max_age_s": max_age_s, "max_bytes": max_bytes, "dead_letters_s": dead_letters_s}
    body = encode_json({"retention": {field: value for field, value in asked.items() if value is not None}})
    return Call(Request("PUT", address("buses", name), body=body, content_type=JSON), answer(Bus))


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
    body = f'{{"pattern":{text_of(pattern)},"event":{text_of(event)},"eventbridge":{flag}}}'
    return Call(Request("POST", address("patterns", "test"), body=body.encode(), content_type=JSON), answer(PatternVerdict))


def test_transform(target: Document, event: Document) -> Call[TransformTested]:
    """What request `target`, as a rule has it, would get of `event` (any JSON object). Nothing is sent."""
    body = f'{{"target":{text_of(target)},"event":{text_of(event)}}}'
    return Call(Request("POST", address("transforms", "test"), body=body.encode(), content_type=JSON), answer(TransformTested))


def rotate_secrets(*, forget_old: bool = False) -> Call[Rotated]:
    """Seal what is secret in rules with a new key. `forget_old` throws the old keys away, by which older backups could be read."""
    body = encode_json({"forget_old": forget_old})
    return Call(Request("POST", address("secrets", "rotate"), body=body, content_type=JSON), answer(Rotated), is_retried=False)


def ready() -> Call[bool]:
    """Whether the server takes events now. Asked once: a server that is not ready is an answer, not a trouble."""
    return Call(Request("GET", "/readyz"), _read_ready, is_retried=False)


def server_version() -> Call[str]:
    """The version that the server states in its OpenAPI document."""
    return Call(Request("GET", "/v1/openapi.json"), _read_version, is_retried=False)


# Batches


def batches(events: Iterable[bytes]) -> Iterator[list[bytes]]:
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
