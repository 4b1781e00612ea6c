import json
from decimal import Decimal
from typing import Any

import pytest

from eventyard.core.errors import InvalidEvent, InvalidJSON, ReservedType, TooLarge
from eventyard.core.event import from_binary, from_structured, make, refuse_reserved, split_batch, to_binary
from eventyard.core.limits import (
    ATTRIBUTE_NAME_CHARACTERS_MAX,
    ATTRIBUTE_VALUE_BYTES_MAX,
    ATTRIBUTES_MAX,
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    EVENT_BYTES_MAX,
    JSON_DEPTH_MAX,
)
from eventyard.core.strict_json import decode
from tests.support.builders import document_of

LEAST = {"specversion": "1.0", "id": "1", "source": "/orders", "type": "order.paid"}


def body(**members: Any) -> bytes:
    return json.dumps(LEAST | members).encode()


def raw(members: str) -> bytes:
    return json.dumps(LEAST).encode()[:-1] + f",{members}}}".encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in LEAST.items() if key != name}).encode()


def test_a_structured_event_is_kept_as_the_bytes_that_arrived() -> None:
    sent = b' {"type":"order.paid", "id":"1",\n"source":"/orders","specversion":"1.0","data":{"total":1.50}}\n'
    event = from_structured(sent)
    assert event.json is sent
    assert (event.source, event.id, event.type) == ("/orders", "1", "order.paid")
    assert document_of(event)["data"] == {"total": 1.5}
    assert len(event.digest) == 16


@pytest.mark.parametrize(
    ("sent", "at", "found", "wanted"),
    [
        (b"[]", "", "an array", "a JSON object"),
        (b'"text"', "", "'text'", "a JSON object"),
        (without("specversion"), "/specversion", "no specversion", '"1.0"'),
        (without("id"), "/id", "no id", "not empty"),
        (without("source"), "/source", "no source", "URI reference"),
        (without("type"), "/type", "no type", "not empty"),
        (body(id=None), "/id", "no id", "not empty"),
        (body(specversion="0.3"), "/specversion", "'0.3'", '"1.0"'),
        (body(specversion=1.0), "/specversion", "1.0", '"1.0"'),
        (body(id=""), "/id", "''", "not empty"),
        (body(id=25), "/id", "25", "a string"),
        (body(id={"a": 1}), "/id", "an object", "a string"),
        (body(type=["a"]), "/type", "an array", "a string"),
        (body(type=True), "/type", "true", "a string"),
        (body(subject=""), "/subject", "''", "not empty"),
        (body(source="my shop"), "/source", "'my shop'", "URI reference"),
        (body(source="/a\u00a0b"), "/source", r"'/a\xa0b'", "URI reference"),
        (body(source="/a\nb"), "/source", "U+000A", "no control characters"),
        (body(dataschema="/schema"), "/dataschema", "'/schema'", "a URI"),
        (body(dataschema=""), "/dataschema", "''", "a URI"),
        (body(datacontenttype="xyz"), "/datacontenttype", "'xyz'", "a media type"),
        (body(datacontenttype="text/"), "/datacontenttype", "'text/'", "a media type"),
        (body(datacontenttype="a/b; c"), "/datacontenttype", "'a/b; c'", "a media type"),
        (body(time="lunchtime"), "/time", "'lunchtime'", "RFC 3339"),
        (body(time="2024-05-01"), "/time", "'2024-05-01'", "RFC 3339"),
        (body(time="2024-05-01T12:00:00"), "/time", "'2024-05-01T12:00:00'", "RFC 3339"),
        (body(time="2024-02-30T12:00:00Z"), "/time", "'2024-02-30T12:00:00Z'", "RFC 3339"),
        (body(time="2023-02-29T12:00:00Z"), "/time", "'2023-02-29T12:00:00Z'", "RFC 3339"),
        (body(time="2024-05-01T24:00:00Z"), "/time", "'2024-05-01T24:00:00Z'", "RFC 3339"),
        (body(time="2024-05-01T12:00:00\u0660Z"), "/time", r"'2024-05-01T12:00:00\u0660Z'", "RFC 3339"),
        (body(time=1714564800), "/time", "1714564800", "RFC 3339"),
        (body(MyExtension="x"), "/MyExtension", "'MyExtension'", "a-z and 0-9"),
        (body(**{"a.b": None}), "/a.b", "'a.b'", "a-z and 0-9"),
        (body(**{"a/b": "x"}), "/a~1b", "'a/b'", "a-z and 0-9"),
        (body(**{"": "x"}), "/", "''", "a-z and 0-9"),
        (body(žluť="x"), "/žluť", r"'\u017elu\u0165'", "a-z and 0-9"),
        (body(rate=1.5), "/rate", "1.5", "a boolean or an integer of 32 bits"),
        (body(rate=1.0), "/rate", "1.0", "a boolean or an integer of 32 bits"),
        (body(rate=2**31), "/rate", "2147483648", "an integer of 32 bits"),
        (body(rate=-(2**31) - 1), "/rate", "-2147483649", "an integer of 32 bits"),
        (body(labels={"a": "b"}), "/labels", "an object", "a string"),
        (body(labels=["a"]), "/labels", "an array", "a string"),
        (body(note="a\x85b"), "/note", "U+0085", "no control characters"),
        (body(note="a\ufffe"), "/note", "U+FFFE", "noncharacters"),
        (body(note="a\U0010ffff"), "/note", "U+10FFFF", "noncharacters"),
        (body(data="x", data_base64="eA=="), "/data_base64", "both", "one of them"),
        (body(data_base64="eA"), "/data_base64", "'eA'", "base64"),
        (body(data_base64="e A=="), "/data_base64", "'e A=='", "base64"),
        (body(data_base64="žž=="), "/data_base64", r"'\u017e\u017e=='", "base64"),
        (body(data_base64=["eA=="]), "/data_base64", "an array", "base64"),
        (body(datacontenttype="application/json", data_base64="e30gew=="), "/data_base64", "byte 3", "JSON"),
        (body(datacontenttype="text/plain", data={"a": 1}), "/data", "an object", "a string"),
        (body(datacontenttype="text/xml; charset=utf-16", data="<a/>"), "/data", "utf-16", "data_base64"),
    ],
)
def test_a_malformed_event_gets_one_clear_error(sent: bytes, at: str, found: str, wanted: str) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        from_structured(sent)
    assert refusal.value.at == at
    assert found in refusal.value.found
    assert wanted in refusal.value.wanted


@pytest.mark.parametrize("sent", [b"", b"{", raw('"id":"2"'), raw('"data":{"a":1,"a":2}'), raw('"data":NaN')])
def test_a_structured_event_is_strict_json(sent: bytes) -> None:
    with pytest.raises(InvalidJSON):
        from_structured(sent)


@pytest.mark.parametrize(
    "sent",
    [
        body(time="2024-02-29t23:59:60.123456789z"),
        body(time="0000-01-31T00:00:00-23:59"),
        body(source="#fragment", subject="žluťoučký\u00a0kůň \N{GRINNING FACE}"),
        body(datacontenttype='text/plain ; charset="utf-8";x=1'),
        body(dataschema="urn:schema:1", subject=None, time=None),
        body(extension1="", extension2=-(2**31), extension3=2**31 - 1, extension4=False, extension5=None),
        body(data=None, data_base64="eA=="),
        body(datacontenttype="text/plain", data=None),
        body(data_base64=""),
    ],
)
def test_an_unusual_event_is_still_an_event(sent: bytes) -> None:
    assert from_structured(sent).json is sent


def test_attributes_are_bounded() -> None:
    from_structured(body(**{"a" * ATTRIBUTE_NAME_CHARACTERS_MAX: "é" * (ATTRIBUTE_VALUE_BYTES_MAX // 2)}))
    from_structured(body(**{f"extension{number}": 1 for number in range(ATTRIBUTES_MAX - len(LEAST))}))
    for too_much in (
        body(**{"a" * (ATTRIBUTE_NAME_CHARACTERS_MAX + 1): "x"}),
        body(subject="é" * (ATTRIBUTE_VALUE_BYTES_MAX // 2) + "x"),
        body(**{f"extension{number}": 1 for number in range(ATTRIBUTES_MAX - len(LEAST) + 1)}),
    ):
        with pytest.raises(InvalidEvent, match=r"at most|1 to"):
            from_structured(too_much)


def test_the_size_of_an_event_is_bounded() -> None:
    room = EVENT_BYTES_MAX - len(body(data=""))
    assert len(from_structured(body(data="x" * room)).json) == EVENT_BYTES_MAX
    with pytest.raises(TooLarge):
        from_structured(body(data="x" * (room + 1)))
    for sent in (b"\xff" * (EVENT_BYTES_MAX * 3 // 4), b"x" * (EVENT_BYTES_MAX + 1)):
        with pytest.raises(TooLarge):
            from_binary(LEAST, "application/octet-stream", sent)


def test_the_depth_of_an_event_is_bounded_alike_in_every_mode() -> None:
    data = b"[" * (JSON_DEPTH_MAX - 1) + b"]" * (JSON_DEPTH_MAX - 1)
    assert from_structured(from_binary(LEAST, "application/json", data).json)
    with pytest.raises(InvalidJSON, match="deeper nesting"):
        from_binary(LEAST, "application/json", b"[" + data + b"]")
    with pytest.raises(InvalidJSON, match="deeper nesting"):
        from_structured(raw(f'"data":[{data.decode()}]'))


@pytest.mark.parametrize(
    ("content_type", "sent", "member", "value"),
    [
        ("application/json", b' {"total": 1.50}\n', "data", {"total": 1.5}),
        ("application/vnd.shop+json; charset=latin-1", b'"x"', "data", "x"),
        ("text/json", b"null", "data", None),
        ("text/plain", "žluť\x00\n\ufeff".encode(), "data", "žluť\x00\n\ufeff"),
        ("text/csv; charset=UTF-8", b"{}", "data", "{}"),
        ("text/plain", b"\xff", "data_base64", "/w=="),
        ("text/plain; charset=utf-16", b"a\0", "data_base64", "YQA="),
        ("application/xml", b"<a/>", "data_base64", "PGEvPg=="),
        ("application/x-www-form-urlencoded", b"a=1", "data_base64", "YT0x"),
        (None, b'{"a":1}', "data", {"a": 1}),
        (None, b'{"a":1} ', "data_base64", "eyJhIjoxfSA="),
        (None, b"a=1", "data_base64", "YT0x"),
    ],
)
def test_a_binary_body_becomes_json_text_or_base64(content_type: str | None, sent: bytes, member: str, value: Any) -> None:
    event = from_binary(LEAST, content_type, sent)
    assert document_of(event)[member] == value
    assert document_of(event) == decode(event.json)
    assert document_of(event).get("datacontenttype") == content_type
    assert to_binary(event.json)[1] == (sent.strip() if content_type != "text/plain" and member == "data" else sent)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "image/png", None])
def test_an_empty_body_is_no_data(content_type: str | None) -> None:
    event = from_binary(LEAST, content_type, b"")
    assert not document_of(event).keys() & {"data", "data_base64"}
    assert to_binary(event.json)[1] == b""


def test_json_data_keeps_its_spelling_on_the_way_through() -> None:
    spelled = b'{ "total": 1.50, "big": 12345678901234567890123, "exact": 0.1234567890123456789, "text": "\\u0041" }'
    event = from_binary(LEAST, "application/json", b"\n" + spelled + b" ")
    assert spelled in event.json
    assert to_binary(event.json)[1] == spelled
    assert document_of(event)["data"]["exact"] == Decimal("0.1234567890123456789")


@pytest.mark.parametrize("injected", [b'1,"subject":"x"', b'1,"data":2', b"1}", b'1},{"a":1'])
def test_a_binary_body_cannot_reach_past_the_data(injected: bytes) -> None:
    with pytest.raises(InvalidJSON):
        from_binary(LEAST, "application/json", injected)


@pytest.mark.parametrize(
    ("attributes", "content_type", "at"),
    [
        ({"data": "x"}, None, "header ce-data"),
        ({"data_base64": "x"}, None, "header ce-data_base64"),
        ({"datacontenttype": "text/plain"}, None, "header ce-datacontenttype"),
        ({"time": "now"}, None, "header ce-time"),
        ({"my-extension": "x"}, None, "header ce-my-extension"),
        ({"subject": ""}, None, "header ce-subject"),
        ({}, "json", "header content-type"),
        ({"specversion": "2.0"}, None, "header ce-specversion"),
    ],
)
def test_a_malformed_binary_event_names_the_header(attributes: dict[str, str], content_type: str | None, at: str) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        from_binary(LEAST | attributes, content_type, b"")
    assert refusal.value.at == at
    assert refusal.value.wanted


def test_a_missing_header_is_named() -> None:
    with pytest.raises(InvalidEvent, match="at header ce-id: no id"):
        from_binary({"specversion": "1.0", "source": "/orders", "type": "order.paid"}, None, b"")


def test_an_event_leaves_in_binary_mode_with_its_values_percent_encoded() -> None:
    headers, data = to_binary(body(subject='Euro € \N{GRINNING FACE} "5%"', urgent=True, attempt=3, gone=None, data={"a": 1}))
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/orders",
        "ce-type": "order.paid",
        "ce-subject": "Euro%20%E2%82%AC%20%F0%9F%98%80%20%225%25%22",
        "ce-urgent": "true",
        "ce-attempt": "3",
        "content-type": "application/json",
    }
    assert data == b'{"a": 1}'


def test_bytes_without_a_type_leave_without_a_type() -> None:
    headers, data = to_binary(body(data_base64="AAE="))
    assert "content-type" not in headers
    assert data == b"\0\1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (body(data=1), body(datacontenttype="application/json", data=1)),
        (body(attempt=3, urgent=True), body(urgent="true", attempt="3")),
        (body(subject=None), body()),
        (raw('"data": [1, 2]'), raw('"data" :[1, 2]\n')),
        (body(datacontenttype="text/plain", data="é"), body(datacontenttype="text/plain", data_base64="w6k=")),
        (body(datacontenttype="text/plain", data=""), body(datacontenttype="text/plain")),
        (body(datacontenttype="application/json", data_base64="IFtd"), raw('"data":[]')),
    ],
)
def test_the_same_event_spelled_twice_has_one_digest(one: bytes, other: bytes) -> None:
    assert from_structured(one).digest == from_structured(other).digest


@pytest.mark.parametrize(
    "other",
    [
        body(id="2", data=[1, 2]),
        body(data=[1, 3]),
        body(data=None),
        raw('"data": [1,2]'),
        body(datacontenttype="text/plain", data="[1, 2]"),
        body(extension="x", data=[1, 2]),
        body(time="2024-05-01T12:00:00Z", data=[1, 2]),
    ],
)
def test_other_content_has_another_digest(other: bytes) -> None:
    assert from_structured(other).digest != from_structured(body(data=[1, 2])).digest


def test_a_digest_does_not_change_from_one_version_to_the_next() -> None:
    """It is stored: the duplicates of yesterday's events must still be known."""
    event = from_structured(body(subject='é"', attempt=3, time="2024-05-01T12:00:00Z", data={"a": [1, 2.50]}))
    assert event.digest.hex() == "f19cd3419296e9978d74279061f6e1b5"


def test_the_bus_composes_its_events_deterministically() -> None:
    event = make({"type": "io.eventyard.rule.created", "source": "/b", "id": "1", "zebra": True, "ape": 1}, {"b": 1, "a": "é"})
    assert event == make({"ape": 1, "zebra": True, "id": "1", "source": "/b", "type": event.type}, {"a": "é", "b": 1})
    assert event.json == (
        b'{"specversion":"1.0","id":"1","source":"/b","type":"io.eventyard.rule.created","ape":1,"zebra":true,'
        b'"data":{"a":"\xc3\xa9","b":1}}'
    )


def test_the_bus_composes_events_without_data_and_with_null_data() -> None:
    attributes = {"type": "t", "source": "/b", "id": "1"}
    assert "data" not in document_of(make(attributes))
    assert make(attributes, None).json.endswith(b',"data":null}')
    with pytest.raises(InvalidEvent, match="no type"):
        make({"source": "/b", "id": "1"})


def test_reserved_types_are_refused_at_the_publish_door_only() -> None:
    with pytest.raises(ReservedType) as refusal:
        refuse_reserved(from_structured(body(type="io.eventyard.rule.created")))
    assert refusal.value.at == "/type"
    refuse_reserved(from_structured(body(type="io.eventyardage.x")))


def test_a_batch_falls_into_its_elements_as_they_were_spelled() -> None:
    assert split_batch(b' [ {"a": 1.50 } ,\n3, "x,]" ] ') == [b'{"a": 1.50 }', b"3", b'"x,]"']
    assert split_batch(b"[]") == []


def test_a_batch_is_bounded() -> None:
    assert len(split_batch(b"[" + b"1," * (BATCH_EVENTS_MAX - 1) + b"1]")) == BATCH_EVENTS_MAX
    for too_much in (b"[" + b"1," * BATCH_EVENTS_MAX + b"1]", b"[" + b"1," * 10_000 + b"1]", b" " * (BATCH_BYTES_MAX + 1)):
        with pytest.raises(TooLarge):
            split_batch(too_much)


@pytest.mark.parametrize(("sent", "found"), [(b"{}", "an object"), (b"null", "null"), (b'"x"', "'x'")])
def test_what_is_no_array_is_no_batch(sent: bytes, found: str) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        split_batch(sent)
    assert refusal.value.found == found


@pytest.mark.parametrize(("sent", "at"), [(b"[{},]", "byte 4"), (b"[{}", "byte 3"), (b"[{}] x", "byte 5"), (b"", "byte 0")])
def test_a_batch_that_is_no_json_is_refused_whole(sent: bytes, at: str) -> None:
    with pytest.raises(InvalidJSON) as refusal:
        split_batch(sent)
    assert refusal.value.at == at
