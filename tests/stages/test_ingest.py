import json
from typing import Any

import pytest

from eventyard.core.errors import InvalidEvent, InvalidJSON, Refused, ReservedType, TooLarge, UnsupportedContentType
from eventyard.core.event import BATCHED, STRUCTURED, Event
from eventyard.core.limits import BATCH_EVENTS_MAX, EVENT_BYTES_MAX
from eventyard.ingest import accept
from tests.support.builders import document_of

LEAST = {"specversion": "1.0", "id": "1", "source": "/orders", "type": "order.paid"}
HEADERS = [(f"ce-{name}", value) for name, value in LEAST.items()]


def structured(**members: Any) -> bytes:
    return json.dumps(LEAST | members).encode()


def alone(content_type: str | None, headers: list[tuple[str, str]], body: bytes) -> Event:
    batch = accept(content_type, headers, body)
    assert not batch.is_batch
    [event] = batch.events
    assert isinstance(event, Event)
    return event


def test_the_same_event_is_the_same_in_every_mode() -> None:
    one = structured(datacontenttype="application/json", data={"total": 49.9})
    batch = accept(BATCHED, [], b"[" + one + b"]")
    assert batch.is_batch
    [in_batch] = batch.events
    assert isinstance(in_batch, Event)
    digests = {
        alone(STRUCTURED, [], one).digest,
        alone("application/json", HEADERS, b'{"total": 49.9}').digest,
        alone(None, HEADERS, b'{"total": 49.9}').digest,
        in_batch.digest,
    }
    assert len(digests) == 1


@pytest.mark.parametrize("content_type", [STRUCTURED.upper(), STRUCTURED + "; charset=UTF-8", STRUCTURED + ';charset="utf8"'])
def test_structured_mode_goes_by_the_content_type(content_type: str) -> None:
    assert alone(content_type, [("ce-id", "ignored")], structured()).id == "1"


@pytest.mark.parametrize("content_type", [STRUCTURED, BATCHED])
def test_another_charset_is_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedContentType, match="latin-1") as refusal:
        accept(content_type + "; charset=latin-1", [], structured())
    assert refusal.value.at == "header content-type"


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "application/cloudevents+avro"])
def test_what_is_no_event_is_told_what_to_send(content_type: str | None) -> None:
    headers = HEADERS if content_type == "application/cloudevents+avro" else [("content-length", "2")]
    with pytest.raises(UnsupportedContentType) as refusal:
        accept(content_type, headers, b"{}")
    assert content_type is None or content_type in refusal.value.found
    for word in (STRUCTURED, BATCHED, "ce-specversion", "ce-id"):
        assert word in refusal.value.wanted


def test_binary_mode_without_all_headers_names_the_missing_one() -> None:
    with pytest.raises(InvalidEvent, match="at header ce-type: no type"):
        accept("application/json", HEADERS[:3], b"{}")


def test_a_header_twice_is_refused() -> None:
    with pytest.raises(InvalidEvent) as refusal:
        accept(None, [*HEADERS, ("ce-id", "1")], b"")
    assert refusal.value.at == "header ce-id"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%f0%9f%98%80", "Euro € \N{GRINNING FACE}"),
        ("%41%2525", "A%25"),
        ('"a b"', "a b"),
        ('"a \\"b\\\\\\c\\" %22"', 'a "b\\c" "'),
        ('a "b" c', 'a "b" c'),
        ("žluť".encode().decode("latin-1"), "žluť"),
        ("žluť", "žluť"),
    ],
)
def test_a_header_is_unquoted_then_percent_decoded_once(value: str, text: str) -> None:
    assert document_of(alone(None, [*HEADERS, ("ce-subject", value)], b""))["subject"] == text


@pytest.mark.parametrize("value", ["100%", "%zz", "%C0%A0", "%ED%A0%80", "\xff", "\ud800", "%00", "%0A"])
def test_a_header_that_cannot_be_decoded_is_refused(value: str) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        accept(None, [*HEADERS, ("ce-subject", value)], b"")
    assert refusal.value.at == "header ce-subject"
    assert refusal.value.wanted


def test_each_event_of_a_batch_has_its_own_verdict() -> None:
    body = b",".join(
        [
            structured(id="a"),
            structured(id="b", time="now"),
            b'"text"',
            structured(id="d", type="io.eventyard.x"),
            structured(id="e")[:-1] + b',"id":"e"}',
            structured(id="f", data="x" * EVENT_BYTES_MAX),
            b'{"\xff":1}',
            structured(id="h"),
        ]
    )
    events = accept(BATCHED, [], b"[" + body + b"]").events
    assert [type(event) for event in events] == [
        Event,
        InvalidEvent,
        InvalidEvent,
        ReservedType,
        InvalidJSON,
        TooLarge,
        InvalidJSON,
        Event,
    ]
    places = [event.at for event in events if isinstance(event, Refused)]
    assert places == ["/1/time", "/2", "/3/type", "/4/id", "/5", "/6, byte 2"]


def test_a_batch_may_be_empty() -> None:
    assert accept(BATCHED, [], b"[]").events == ()


def test_a_batch_that_cannot_be_told_apart_is_refused_whole() -> None:
    with pytest.raises(InvalidJSON):
        accept(BATCHED, [], b"[" + structured())
    with pytest.raises(InvalidEvent):
        accept(BATCHED, [], structured())
    with pytest.raises(TooLarge):
        accept(BATCHED, [], b"[" + b"{}," * BATCH_EVENTS_MAX + b"{}]")


@pytest.mark.parametrize(("content_type", "headers"), [(STRUCTURED, []), (None, [*HEADERS[:3], ("ce-type", "io.eventyard.x")])])
def test_reserved_types_are_refused(content_type: str | None, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(ReservedType):
        accept(content_type, headers, structured(type="io.eventyard.x") if content_type else b"")
