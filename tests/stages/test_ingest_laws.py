"""The same event has one digest, however it travels."""

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventyard.core.errors import Refused
from eventyard.core.event import BATCHED, STRUCTURED, Event, make, to_binary
from eventyard.core.strict_json import decode
from eventyard.ingest import accept
from tests.support.builders import document_of

texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=12)
written = texts.filter(bool)
optional = {
    "subject": written,
    "time": st.sampled_from(["2024-05-01T12:00:00Z", "2024-02-29t23:59:60.5+01:00"]),
    "dataschema": st.just("https://shop.example/schema"),
    "partitionkey": texts,
    "attempt": st.integers(-(2**31), 2**31 - 1),
    "urgent": st.booleans(),
    "gone": st.none(),
}
attributes = st.fixed_dictionaries(
    {
        "specversion": st.just("1.0"),
        "id": written,
        "source": st.sampled_from(["/a", "https://shop.example/ž?q=%41#x", "urn:x:1"]),
        "type": written.map("t.".__add__),
    },
    optional=optional,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_texts = st.builds(
    lambda value, indent, ascii_only: json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(),
    json_values,
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
json_types = st.sampled_from([None, "application/json", "application/vnd.x+json; charset=utf-8"])
other_types = st.sampled_from(["text/plain", "text/xml; charset=utf-8", "image/png", "application/xml"])


IMPLIED_TYPE = {"content-type": "application/json"}
"""Bytes without a type that happen to be JSON are kept as JSON, and say so when they leave."""


def only(content_type: str | None, headers: Any, body: bytes) -> Event:
    [event] = accept(content_type, headers, body).events
    assert not isinstance(event, Refused), event
    return event


def structured(members: dict[str, Any], data: bytes | None = None) -> bytes:
    head = json.dumps(members).encode()
    return head if data is None else head[:-1] + b', "data" : ' + data + b" }"


def check_every_way(body: bytes) -> Event:
    """Structured, batched, out in binary mode and in again: one digest; and what is kept is what a pattern sees."""
    event = only(STRUCTURED, (), body)
    assert only(BATCHED, (), b" [\n" + body + b" ]").digest == event.digest
    headers, data = to_binary(body)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    again = only(headers.get("content-type"), headers.items(), data)
    assert again.digest == event.digest
    assert (again.source, again.id, again.type) == (event.source, event.id, event.type)
    assert decode(again.json) == document_of(again)
    assert only(STRUCTURED, (), again.json) == again
    assert to_binary(again.json) == (IMPLIED_TYPE | headers if "data" in document_of(again) else headers, data)
    return event


@given(attributes, json_types, json_texts)
def test_json_data_has_one_digest_in_every_mode(members: dict[str, Any], content_type: str | None, data: bytes) -> None:
    check_every_way(structured(members | {"datacontenttype": content_type}, data))


@given(attributes, other_types, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_text_has_one_digest_in_every_mode(members: dict[str, Any], content_type: str, text: str) -> None:
    typed = members | {"datacontenttype": content_type}
    as_text = check_every_way(structured(typed | {"data": text}))
    as_bytes = check_every_way(structured(typed | {"data_base64": base64.b64encode(text.encode()).decode()}))
    assert as_text.digest == as_bytes.digest


@given(attributes, st.none() | other_types, st.binary(max_size=20))
def test_bytes_have_one_digest_in_every_mode(members: dict[str, Any], content_type: str | None, data: bytes) -> None:
    encoded = base64.b64encode(data).decode()
    check_every_way(structured(members | {"datacontenttype": content_type, "data_base64": encoded}))


@given(attributes)
def test_no_data_has_one_digest_in_every_mode(members: dict[str, Any]) -> None:
    check_every_way(structured(members))


@given(attributes, st.none() | json_types | other_types, st.binary(max_size=20) | json_texts)
def test_a_binary_body_that_is_accepted_comes_out_as_it_went_in(
    members: dict[str, Any], content_type: str | None, body: bytes
) -> None:
    headers, _ = to_binary(structured(members))
    try:
        event = only(content_type, headers.items(), body)
    except Refused:
        return
    is_json = content_type is not None and "json" in content_type
    assert to_binary(event.json)[1] == (body.strip(b" \t\n\r") if is_json else body)
    assert check_every_way(event.json).digest == event.digest


@given(attributes, json_values)
def test_what_the_bus_composes_it_also_accepts(members: dict[str, Any], data: Any) -> None:
    composed = make({name: value for name, value in members.items() if value is not None}, data)
    assert check_every_way(composed.json) == composed
