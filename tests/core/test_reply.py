"""Replies: what a target's answer has to be to be one, and what a step makes of it."""

import json
from typing import Any

import msgspec
import pytest

from eventyard.core import cause as causes
from eventyard.core import event as events
from eventyard.core import handout, limits, reply
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Lease, Publish, Settle, Settlement, TellTrouble
from eventyard.core.delivery import Note, State
from eventyard.core.errors import Stale, StaleLease
from eventyard.core.event import STRUCTURED, Event
from eventyard.core.reply import RefusedReply, Reply, ReplyOutcome
from eventyard.core.verdict import Delivered
from tests.support.builders import an_event
from tests.support.houses import House

ORDER = events.make({"id": "e1", "source": "/shop", "type": "order.paid", "correlationid": "o-1"}, {"n": 1})
CAUSE = causes.of(7, ORDER.json)
PACKED: dict[str, Any] = {"specversion": "1.0", "id": "p1", "source": "/packing", "type": "order.packed", "data": {"boxes": 2}}
JSON_HEADERS = {"content-type": STRUCTURED}
OK = Note(status=200)


def body(**more: Any) -> bytes:
    return json.dumps(PACKED | more).encode()


def read(given: bytes, headers: dict[str, str] | None = None, status: int = 200) -> Reply | RefusedReply | None:
    return reply.read(status, JSON_HEADERS if headers is None else headers, given, cause=CAUSE, delivery="life-3-7-0")


def taken(found: Reply | RefusedReply | None) -> dict[str, Any]:
    assert isinstance(found, Reply), found
    document: dict[str, Any] = json.loads(found.event.json)
    return document


def refused(found: Reply | RefusedReply | None) -> str:
    assert isinstance(found, RefusedReply), found
    return found.code


# What is a reply


def test_a_structured_event_is_a_reply_with_what_it_came_of() -> None:
    assert taken(read(body())) == PACKED | {
        "causationid": "e1",
        "causationsource": "/shop",
        "correlationid": "o-1",
        "eventyardhops": 1,
    }


def test_a_binary_event_is_a_reply() -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "p%201",
        "ce-source": "/packing",
        "ce-type": "t",
        "content-type": "application/json",
    }
    document = taken(read(b'{"boxes": 2.50}', headers))
    assert (document["id"], document["data"], document["causationid"]) == ("p 1", {"boxes": 2.5}, "e1")


def test_numbers_and_names_of_a_reply_stay_as_they_are_spelled() -> None:
    spelled = body(data="HERE").replace(b'"HERE"', b'{"n": 1.50, "\\u0061": 1e2}')
    found = read(spelled)
    assert isinstance(found, Reply)
    assert b'{"n": 1.50, "\\u0061": 1e2}' in found.event.json


def test_what_is_kept_reads_as_the_event_that_it_is() -> None:
    found = read(body())
    assert isinstance(found, Reply)
    again = events.from_structured(found.event.json)
    assert msgspec.structs.replace(again, document=None) == found.event


@pytest.mark.parametrize("status", [201, 202, 204, 206, 299])
def test_only_200_is_a_reply(status: int) -> None:
    assert read(body(), status=status) is None


def test_an_answer_without_a_body_is_none() -> None:
    assert read(b"") is None
    assert read(b"", {"content-type": "text/plain"}) is None


def test_a_reply_without_an_id_gets_one_of_its_delivery() -> None:
    nameless = {name: value for name, value in PACKED.items() if name != "id"}
    headers = {"ce-specversion": "1.0", "ce-source": "/packing", "ce-type": "order.packed"}
    assert taken(read(json.dumps(nameless).encode()))["id"] == "life-3-7-0-reply"
    assert taken(read(json.dumps(nameless | {"data": {"id": 1}}).encode()))["id"] == "life-3-7-0-reply"
    assert taken(read(b"", headers))["id"] == "life-3-7-0-reply"


def test_what_it_came_of_is_not_the_targets_to_say_and_its_correlation_is() -> None:
    document = taken(read(body(causationid="x", causationsource="/y", correlationid="own", eventyardhops=9)))
    assert [document[name] for name in ("causationid", "causationsource", "correlationid", "eventyardhops")] == [
        "e1",
        "/shop",
        "own",
        9,
    ]


@pytest.mark.parametrize(
    ("given", "headers", "code"),
    [
        (b"OK", {"content-type": "text/plain"}, "unsupported-content-type"),
        (b'{"done": true}', {"content-type": "application/json"}, "unsupported-content-type"),
        (body(), {}, "unsupported-content-type"),
        (b"[" + body() + b"]", {"content-type": events.BATCHED}, "unsupported-content-type"),
        (body(), {"content-type": STRUCTURED + "; charset=latin-1"}, "unsupported-content-type"),
        (b'{"done": true}', JSON_HEADERS, "invalid-event"),
        (b"[]", JSON_HEADERS, "invalid-event"),
        (body()[:-1], JSON_HEADERS, "invalid-json"),
        (body()[:-1] + b', "id": "twice"}', JSON_HEADERS, "invalid-json"),
        (body(id=""), JSON_HEADERS, "invalid-event"),
        (body(type="io.eventyard.rule.deleted"), JSON_HEADERS, "reserved-type"),
        (body(data="x" * limits.REPLY_BYTES_MAX), JSON_HEADERS, "too-large"),
        (b"\xff", JSON_HEADERS, "invalid-json"),
        (b"", {"ce-id": "1", "ce-type": "t"}, "invalid-event"),
        (b"", {"ce-id": "%zz", "ce-type": "t"}, "invalid-event"),
    ],
)
def test_an_answer_that_is_no_event_is_refused_with_its_reason(given: bytes, headers: dict[str, str], code: str) -> None:
    assert refused(read(given, headers)) == code


def test_a_reply_at_the_limit_is_taken() -> None:
    size = limits.REPLY_BYTES_MAX - len(body(data=""))
    assert taken(read(body(data="x" * size)))["id"] == "p1"


# From a worker


def report(verdict: Delivered) -> Any:
    settlement = Settlement((3, 0, 7), 1, verdict)
    read_back = handout.read_report(handout.encode_report(0, [(BusRecord(1, "default", "life", 0), [settlement])]))
    return read_back.by_bus[0].settled[0].verdict


def test_a_reply_passes_through_a_report() -> None:
    found = read(body())
    assert isinstance(found, Reply)
    assert report(Delivered(OK, found)) == Delivered(OK, found)
    assert report(Delivered(OK, RefusedReply("too-large", "it is"))) == Delivered(OK, RefusedReply("too-large", "it is"))
    assert report(Delivered(OK)) == Delivered(OK)


def test_what_a_worker_says_is_an_event_is_proven_again() -> None:
    found = read(body())
    assert isinstance(found, Reply)
    forged = msgspec.structs.replace(found.event, json=b'{"a": 1, "a": 2}')
    assert refused(report(Delivered(OK, Reply(forged))).reply) == "invalid-json"
    lying = msgspec.structs.replace(found.event, id="other", digest=b"")
    assert report(Delivered(OK, Reply(lying))).reply == found
    reserved = msgspec.structs.replace(found.event, json=body(type="io.eventyard.x"))
    assert refused(report(Delivered(OK, Reply(reserved))).reply) == "reserved-type"


# In a step


@pytest.fixture
def bus() -> House:
    return House()


def leased(bus: House, *published: Event, **rule: Any) -> list[Lease]:
    """The events published to a rule `packing`, which is leased all of them."""
    target = {"http": {"url": "http://127.0.0.1:9/", "reply": True}}
    uid = bus.put("packing", **{"target": target, **rule}).uid
    bus.receiver.want(uid, 100)
    bus.do(Publish(published))
    return bus.take()


def replied(bus: House, lease: Lease, found: Reply | RefusedReply, number: int = 0) -> Any:
    """As `settle`, with the reply, by the lease `number` (0: the last)."""
    verdict = Delivered(OK, found)
    return bus.do(Settle((Settlement(lease.delivery.key, number or lease.delivery.leases, verdict),)))[0]


def a_reply(lease: Lease, **more: Any) -> Reply:
    cause = causes.of(lease.delivery.position, lease.event)
    found = reply.read(200, JSON_HEADERS, body(**more), cause=cause, delivery="d")
    assert isinstance(found, Reply), found
    return found


def documents(bus: House, kind: str) -> list[dict[str, Any]]:
    stored = bus.engine.view.events(1, 1, bus.state.head, 1_000)
    return [document for event in stored if (document := json.loads(event.json))["type"] == kind]


def outcomes(bus: House) -> dict[ReplyOutcome, int]:
    return dict(bus.writer.meter.rules["default", "packing"].replies)


def test_a_reply_is_in_the_log_under_its_cause_once_its_delivery_is_delivered(bus: House) -> None:
    [lease] = leased(bus, ORDER)
    uid = bus.put("downstream", pattern={"type": ["order.packed"]}).uid

    assert replied(bus, lease, a_reply(lease)) is None

    position = lease.delivery.position
    [packed] = bus.engine.view.derived(1, position, 0, 10)
    assert bus.row(lease.delivery.rule, position).state is State.DELIVERED
    assert bus.row(uid, packed).state is State.WAITING
    assert documents(bus, "order.packed")[0]["correlationid"] == "o-1"
    assert outcomes(bus) == {ReplyOutcome.ACCEPTED: 1}


def test_an_answer_told_again_brings_no_second_reply(bus: House) -> None:
    [lease] = leased(bus, ORDER)

    assert replied(bus, lease, a_reply(lease)) is None
    assert replied(bus, lease, a_reply(lease)) is None
    assert replied(bus, lease, a_reply(lease, id="another")) is None

    assert len(documents(bus, "order.packed")) == 1


def test_of_two_attempts_the_reply_of_the_later_lease_counts(bus: House) -> None:
    [first] = leased(bus, ORDER)
    bus.clock.advance(1_000_000)
    bus.expire()
    bus.writer.step()
    [second] = bus.take()

    late = replied(bus, first, a_reply(first, id="late"), number=1)
    assert isinstance(late, StaleLease)
    assert late.reason is Stale.SUPERSEDED
    assert replied(bus, second, a_reply(second, id="good")) is None

    assert [document["id"] for document in documents(bus, "order.packed")] == ["good"]


def test_a_reply_that_is_known_is_dropped_and_counted(bus: House) -> None:
    [lease] = leased(bus, ORDER)
    found = a_reply(lease)
    bus.do(Publish((found.event,)))

    assert replied(bus, lease, found) is None

    assert len(documents(bus, "order.packed")) == 1
    assert outcomes(bus) == {ReplyOutcome.DUPLICATE: 1}


def test_a_reply_of_a_known_id_with_other_content_is_refused_in_the_log(bus: House) -> None:
    first, second = leased(bus, ORDER, an_event(2))
    replied(bus, first, a_reply(first))

    assert replied(bus, second, a_reply(second, data="other")) is None

    [told] = documents(bus, "io.eventyard.reply.refused")
    assert (told["subject"], told["causationid"], told["data"]["reason"]) == ("packing", "e2", "event-conflict")
    assert told["data"]["event"] == {"position": 3, "source": "/shop", "id": "e2", "type": "order.paid"}
    assert bus.row(second.delivery.rule, 3).state is State.DELIVERED
    assert outcomes(bus) == {ReplyOutcome.ACCEPTED: 1, ReplyOutcome.REFUSED: 1}


def test_a_flood_of_refused_replies_is_ten_events_and_one_a_minute(bus: House) -> None:
    each, minute = limits.REPLIES_REFUSED_TOLD_EACH, limits.REPLIES_REFUSED_TOLD_EVERY_MS
    leases = leased(bus, *(an_event(number) for number in range(16)))
    uid, refused = leases[0].delivery.rule, RefusedReply("invalid-event", "it is none")
    for lease in leases[:14]:
        replied(bus, lease, refused)
    bus.clock.advance(minute - 1)
    bus.do(TellTrouble((uid,)))
    told = documents(bus, "io.eventyard.reply.refused")
    assert [one["data"]["count"] for one in told] == [1] * each

    bus.clock.advance(1)
    bus.do(TellTrouble((uid,)))
    *_, summed = documents(bus, "io.eventyard.reply.refused")
    first, last = leases[each].delivery.position, leases[13].delivery.position
    assert (summed["data"]["count"], summed["data"]["first"], summed["data"]["last"]) == (14 - each, first, last)

    for lease in leases[14:]:
        replied(bus, lease, refused)
    for _ in range(3):
        bus.clock.advance(minute)
        bus.do(TellTrouble((uid,)))
    assert sum(one["data"]["count"] for one in documents(bus, "io.eventyard.reply.refused")) == 16
    assert bus.state.health == {}


def test_nothing_is_told_of_a_refused_reply_to_an_event_of_the_bus(bus: House) -> None:
    assert leased(bus, pattern={"type": ["io.eventyard.rule.created"]}) == []
    bus.put("other")
    [lease] = bus.take()

    assert replied(bus, lease, RefusedReply("too-large", "it is")) is None

    assert documents(bus, "io.eventyard.reply.refused") == []
    assert outcomes(bus) == {ReplyOutcome.REFUSED: 1}


def test_a_chain_ends_at_the_limit_of_hops_and_the_log_says_so(bus: House) -> None:
    far = events.make({"id": "e1", "source": "/shop", "type": "order.paid", "eventyardhops": limits.HOPS_MAX_DEFAULT})
    [lease] = leased(bus, far)

    assert replied(bus, lease, a_reply(lease)) is None

    assert documents(bus, "order.packed") == []
    [told] = documents(bus, "io.eventyard.loop.stopped")
    assert (told["data"]["made"], told["data"]["hops"], told["data"]["hops_max"]) == (
        "reply",
        limits.HOPS_MAX_DEFAULT + 1,
        limits.HOPS_MAX_DEFAULT,
    )
    assert bus.row(lease.delivery.rule, lease.delivery.position).state is State.DELIVERED
    assert outcomes(bus) == {ReplyOutcome.STOPPED: 1}


def test_a_step_full_of_replies_leaves_the_rest_to_the_next_one(bus: House) -> None:
    count = 80
    leases = leased(bus, *(an_event(number) for number in range(count)), delivery={"concurrency": count})
    replies = [a_reply(lease, id=f"p{n}", data="x" * (limits.REPLY_BYTES_MAX - 400)) for n, lease in enumerate(leases)]
    pairs = zip(leases, replies, strict=True)
    each = tuple(Settlement(lease.delivery.key, 1, Delivered(OK, found)) for lease, found in pairs)

    answers: list[Any] = []
    bus.writer.submit("default", Settle(each), answers.append)
    bus.writer.step()
    assert answers == []
    while not answers:
        bus.writer.step()

    assert answers[0] == [None] * count
    assert [document["id"] for document in documents(bus, "order.packed")] == [f"p{n}" for n in range(count)]


def test_replies_of_one_step_are_deduplicated_among_themselves(bus: House) -> None:
    leases = leased(bus, ORDER, an_event(2))
    each = tuple(Settlement(lease.delivery.key, 1, Delivered(OK, a_reply(leases[0]))) for lease in leases)

    assert bus.do(Settle(each)) == [None, None]

    assert len(documents(bus, "order.packed")) == 1
    assert outcomes(bus) == {ReplyOutcome.ACCEPTED: 1, ReplyOutcome.DUPLICATE: 1}
