"""The data of a CloudEvent: what bytes it stands for, in a JSON document and in the body of a binary-mode request.

Data is bytes, and `data bytes` means what a binary-mode body holds: for JSON the value's text as it was spelled, without white
space around it; for text its UTF-8; for anything else what `data_base64` encodes. No data and empty data are the same, since
no HTTP body can tell them apart.
"""

import binascii
from typing import Any, NamedTuple

import msgspec

from eventyard.core import strict_json
from eventyard.core.attributes import JSON_TYPE, media_type, show
from eventyard.core.errors import InvalidEvent, InvalidJSON
from eventyard.core.limits import JSON_DEPTH_MAX


class Data(NamedTuple):
    """Data as it stands in a structured event: the member (empty: no data), its JSON text and value; and its bytes."""

    member: str
    text: bytes
    value: Any
    bytes: bytes


def data_bytes(body: bytes, document: dict[str, Any], content_type: str | None) -> bytes:
    """The data bytes of a structured event. A null `data_base64`, or a null `data` beside it, is not set."""
    if document.get("data_base64") is not None:
        return _decoded_base64(document, content_type)
    if "data" not in document:
        return b""
    media = media_type(content_type or JSON_TYPE)
    if media is None or media.is_json:
        return bytes(_RAW_DATA.decode(body).data)
    return _text_bytes(document["data"], content_type, is_utf8=media.is_utf8)


def _decoded_base64(document: dict[str, Any], content_type: str | None) -> bytes:
    if document.get("data") is not None:
        raise InvalidEvent("both data and data_base64", wanted="one of them", at="/data_base64")
    try:
        data = binascii.a2b_base64(document["data_base64"], strict_mode=True)
    except (TypeError, ValueError):
        found = show(document["data_base64"])
        raise InvalidEvent(found, wanted="a string of padded base64", at="/data_base64") from None
    media = media_type(content_type) if content_type else None
    return _json_text(data) if data and media is not None and media.is_json else data


def _json_text(data: bytes) -> bytes:
    """Data in base64 that its type calls JSON must be JSON: a binary-mode consumer will read it as that."""
    try:
        strict_json.decode(data)
    except InvalidJSON as error:
        found = f"base64 of what is not JSON ({error})"
        raise InvalidEvent(found, wanted="JSON, as datacontenttype says", at="/data_base64") from None
    return data.strip(_SPACE)


def _text_bytes(value: Any, content_type: str | None, *, is_utf8: bool) -> bytes:
    """A JSON string can spell any text, but not the bytes of another charset."""
    if value is None:
        return b""
    if type(value) is not str:
        wanted = f"a string (datacontenttype is {content_type}), or a JSON datacontenttype, or data_base64"
        raise InvalidEvent(show(value), wanted=wanted, at="/data")
    if not is_utf8:
        raise InvalidEvent(f"text for {content_type}", wanted="its bytes as data_base64, or UTF-8", at="/data")
    return value.encode()


def data_of_body(content_type: str | None, body: bytes) -> Data:
    """A binary-mode body: JSON stays JSON, text becomes a string, all else base64."""
    if not body:
        return Data("", b"", None, b"")
    if content_type is None:
        return _data_of_untyped(body)
    media = media_type(content_type)
    if media is not None and media.is_json:
        return _json_data(body)
    if media is not None and media.is_text and (text := _as_utf8(body)) is not None:
        return Data("data", msgspec.json.encode(text), text, body)
    return _base64_data(body)


def _data_of_untyped(body: bytes) -> Data:
    """Without a type: JSON if it is that to the byte, since that is what a structured event without type holds."""
    if body.strip(_SPACE) != body:
        return _base64_data(body)
    try:
        return _json_data(body)
    except InvalidJSON:
        return _base64_data(body)


def _json_data(body: bytes) -> Data:
    value = strict_json.decode(body, depth_max=JSON_DEPTH_MAX - 1)
    text = body.strip(_SPACE)
    return Data("data", text, value, text)


def _as_utf8(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _base64_data(body: bytes) -> Data:
    value = binascii.b2a_base64(body, newline=False).decode()
    return Data("data_base64", msgspec.json.encode(value), value, body)


class _RawData(msgspec.Struct):
    data: msgspec.Raw


_SPACE = b" \t\n\r"
_RAW_DATA = msgspec.json.Decoder(_RawData)
