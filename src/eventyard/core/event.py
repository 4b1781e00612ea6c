"""An event: a CloudEvent 1.0 as the bus keeps it, and the three ways in which it travels.

Structured, an event is one JSON object. Batched, several stand in an array. Binary, its attributes are headers
and its data is the body. The bus keeps the structured form, so the other two become it at the door, and
`to_binary` undoes that for targets that want it. One law binds the ways: the same event has the same digest in
each of them.

Data is bytes, and `data bytes` below means what a binary-mode body holds: for JSON the value's text as it was
spelled, without white space around it; for text its UTF-8; for anything else what `data_base64` encodes. No data
and empty data are the same, since no HTTP body can tell them apart.

Sources: CloudEvents 1.0.2, its JSON format and its HTTP binding.
"""

import binascii
import calendar
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from eventyard.core import strict_json
from eventyard.core.errors import InvalidEvent, InvalidJSON, ReservedType, TooLarge
from eventyard.core.limits import (
    ATTRIBUTE_NAME_CHARACTERS_MAX,
    ATTRIBUTE_VALUE_BYTES_MAX,
    ATTRIBUTES_MAX,
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    EVENT_BYTES_MAX,
    JSON_DEPTH_MAX,
)

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
RESERVED_TYPES = "io.eventyard."
"""Types that begin so are the bus's own."""


class Event(msgspec.Struct, frozen=True):
    """One accepted CloudEvent.

    `json` is the structured form: the very bytes that arrived where they arrived so, else composed once at the
    door. It is matched, stored and sent as it is. `digest` (16 bytes) covers the normalised attributes and the
    data bytes, whatever the content mode, so the same event in two modes has one digest. `document` is `json`
    decoded (what a pattern sees); it is never stored.
    """

    source: str
    id: str
    type: str
    digest: bytes
    json: bytes
    document: dict[str, Any]


# The ways in.


def from_structured(body: bytes) -> Event:
    """The event that one JSON object spells. Raises InvalidJSON, InvalidEvent or TooLarge."""
    _check_size(body, EVENT_BYTES_MAX)
    document = strict_json.decode(body)
    if type(document) is not dict:
        raise InvalidEvent(_show(document), wanted="a JSON object")
    attributes = _attributes(document, _in_document)
    data = _data_bytes(body, document, attributes.get("datacontenttype"))
    return _sealed(attributes, data, body, document)


def from_binary(attributes: Mapping[str, str], content_type: str | None, body: bytes) -> Event:
    """The event of a binary-mode request: `attributes` are those of its `ce-` headers, already percent-decoded.

    Raises InvalidJSON (places in the body), InvalidEvent (places are headers) or TooLarge.
    """
    _check_size(body, EVENT_BYTES_MAX)
    for name in _ELSEWHERE & attributes.keys():
        wanted = "the data as the body, and its type as the header content-type"
        raise InvalidEvent(f"the header ce-{name}", wanted=wanted, at=f"header ce-{name}")
    typed = {} if content_type is None else {"datacontenttype": content_type}
    canonical = _attributes({**attributes, **typed}, _in_headers)
    data = _data_of_body(content_type, body)
    json = _composed(canonical, data)
    _check_size(json, EVENT_BYTES_MAX)
    document = {**_ordered(canonical), **({data.member: data.value} if data.member else {})}
    return _sealed(canonical, data.bytes, json, document)


def make(attributes: Mapping[str, str | int | bool], data: Any = UNSET) -> Event:
    """An event composed here, with JSON data if any: equal arguments give equal bytes."""
    raw = b"" if data is UNSET else _DETERMINISTIC.encode(data)
    member = "" if data is UNSET else "data"
    return from_structured(_composed({"specversion": "1.0", **attributes}, _Data(member, raw, data, raw)))


def split_batch(body: bytes) -> list[bytes]:
    """The elements of a batch, each as it was spelled, for `from_structured` to judge by itself.

    Raises InvalidJSON, InvalidEvent or TooLarge where there are no elements to judge.
    """
    _check_size(body, BATCH_BYTES_MAX)
    try:
        elements = msgspec.structs.astuple(_ELEMENTS.decode(body))
    except (msgspec.MsgspecError, RecursionError):
        found = _show(strict_json.decode(body))
        raise InvalidEvent(found, wanted="a JSON array of events") from None
    if elements[BATCH_EVENTS_MAX] is not UNSET:
        raise TooLarge(f"more than {BATCH_EVENTS_MAX} events", wanted="the rest in another batch")
    return [bytes(element) for element in elements if element is not UNSET]


def refuse_reserved(event: Event) -> None:
    """The publish door's check; the bus makes such events itself. Raises ReservedType."""
    if event.type.startswith(RESERVED_TYPES):
        wanted = f"a type that does not begin with {RESERVED_TYPES}"
        raise ReservedType(_show(event.type), wanted=wanted, at="/type")


def _sealed(attributes: dict[str, str], data: bytes, json: bytes, document: dict[str, Any]) -> Event:
    digest = _digest(attributes, data)
    return Event(attributes["source"], attributes["id"], attributes["type"], digest, json, document)


def _digest(attributes: dict[str, str], data: bytes) -> bytes:
    """Over the attributes as sorted JSON pairs, then the data.

    JSON's content type is what an absent one means (JSON format, 3.1.1), so it counts as absent.
    """
    pairs = sorted(attributes.items())
    if attributes.get("datacontenttype") == _JSON:
        pairs.remove(("datacontenttype", _JSON))
    return blake2b(msgspec.json.encode(pairs) + data, digest_size=16).digest()


def _check_size(body: bytes, bytes_max: int) -> None:
    if len(body) > bytes_max:
        raise TooLarge(f"{len(body)} bytes", wanted=f"at most {bytes_max}")


# The way out.


def to_binary(json: bytes) -> tuple[dict[str, str], bytes]:
    """An accepted event's `json` as headers (lower-case names, percent-encoded values) and body.

    Where `content-type` is not among the headers the event names none, and none may be sent.
    """
    document = msgspec.json.decode(json)
    attributes = {
        name: value if type(value) is str else _spelling(value)
        for name, value in document.items()
        if name not in _DATA_MEMBERS and value is not None
    }
    content_type = attributes.pop("datacontenttype", None)
    data = _data_bytes(json, document, content_type)
    headers = {f"ce-{name}": quote(text, safe=_HEADER_SAFE) for name, text in attributes.items()}
    if content_type is None and data and document.get("data_base64") is None:
        content_type = _JSON  # implied so far; another mode has to say it (JSON format, 3.1.2)
    return headers | ({} if content_type is None else {"content-type": content_type}), data


# Attributes.


def _attributes(members: Mapping[str, Any], place: Callable[[str], str]) -> dict[str, str]:
    """Every attribute that is set, checked, in its canonical spelling. `place` names where one stands."""
    if len(members) > ATTRIBUTES_MAX:
        raise InvalidEvent(f"{len(members)} attributes", wanted=f"at most {ATTRIBUTES_MAX}")
    canonical = {}
    for name, value in members.items():
        if name in _DATA_MEMBERS:
            continue
        known = _KNOWN.get(name)
        if known is None and not _NAME.fullmatch(name):
            raise InvalidEvent(f"an attribute named {_show(name)}", wanted=_NAME_WANTED, at=place(name))
        if value is not None:
            canonical[name] = _canonical(value, known, name, place)
    for name in _REQUIRED:
        if name not in canonical:
            raise InvalidEvent(f"no {name}", wanted=_KNOWN[name].wanted, at=place(name))
    return canonical


def _canonical(value: Any, known: "_Known | None", name: str, place: Callable[[str], str]) -> str:
    """The value's canonical string representation (CloudEvents, 3.1), if the value may stand there."""
    if type(value) is str:
        text = value
    elif known is None and (type(value) is bool or (type(value) is int and -_INTEGERS <= value < _INTEGERS)):
        return _spelling(value)
    else:
        wanted = known.wanted if known else "a string, a boolean or an integer of 32 bits"
        raise InvalidEvent(_show(value), wanted=wanted, at=place(name))
    if len(text) > _SHORT_CHARACTERS or not text.isprintable():
        _check_text(text, name, place)
    if known is not None and not known.is_valid(text):
        raise InvalidEvent(_show(text), wanted=known.wanted, at=place(name))
    return text


def _spelling(value: bool | int) -> str:
    return str(value).lower()


def _check_text(text: str, name: str, place: Callable[[str], str]) -> None:
    if forbidden := _FORBIDDEN.search(text):
        found = f"the character U+{ord(forbidden[0]):04X}"
        raise InvalidEvent(found, wanted="no control characters, surrogates or noncharacters", at=place(name))
    if len(text.encode()) > ATTRIBUTE_VALUE_BYTES_MAX:
        wanted = f"at most {ATTRIBUTE_VALUE_BYTES_MAX}; what is larger belongs in the data"
        raise InvalidEvent(f"{len(text.encode())} bytes", wanted=wanted, at=place(name))


def _in_document(name: str) -> str:
    return strict_json.pointer([name])


def _in_headers(name: str) -> str:
    return "header content-type" if name == "datacontenttype" else f"header ce-{name}"


def _is_time(text: str) -> bool:
    date = _TIME.fullmatch(text)
    if date is None:
        return False
    return date[3] <= "28" or int(date[3]) <= calendar.monthrange(int(date[1]), int(date[2]))[1]


class _MediaType(NamedTuple):
    is_json: bool
    is_text: bool
    is_utf8: bool


@lru_cache(maxsize=256)
def _media_type(text: str) -> _MediaType | None:
    """What a content type says of its data; None where it is no content type.

    JSON is UTF-8 whatever a charset says: RFC 8259 defines no such parameter.
    """
    media = _MEDIA_TYPE.fullmatch(text)
    if media is None:
        return None
    charset = _CHARSET.search(text)
    is_json = media[2].lower() == "json" or media[2].lower().endswith("+json")
    is_utf8 = is_json or charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    return _MediaType(is_json, media[1].lower() == "text" and is_utf8, is_utf8)


class _Known(NamedTuple):
    """An attribute that CloudEvents defines: always a string."""

    wanted: str
    is_valid: Callable[[str], object]


_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(
    rf'({_WORD})/({_WORD})(?:[ \t]*;(?:[ \t]*{_WORD}=(?:{_WORD}|"(?:[^"\\\x7f-\U0010ffff]|\\[ -~])*"))?)*[ \t]*'
)
_CHARSET = re.compile(r';[ \t]*charset="?([^";\s]+)', re.IGNORECASE)
_TIME = re.compile(
    r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
    r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_NAME = re.compile(rf"(?!data\Z)[a-z0-9]{{1,{ATTRIBUTE_NAME_CHARACTERS_MAX}}}")
_NAME_WANTED = f"1 to {ATTRIBUTE_NAME_CHARACTERS_MAX} characters of a-z and 0-9"
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
_SHORT_CHARACTERS = ATTRIBUTE_VALUE_BYTES_MAX // 4  # never too long in UTF-8; what is printable holds nothing forbidden
_INTEGERS = 2**31
_KNOWN = {
    "specversion": _Known('"1.0"', "1.0".__eq__),
    "id": _Known("a string that is not empty", bool),
    "source": _Known("a URI reference, such as /orders or https://shop.example", re.compile(r"[^\s]+").fullmatch),
    "type": _Known("a string that is not empty, such as order.paid", bool),
    "datacontenttype": _Known("a media type, such as application/json", _media_type),
    "dataschema": _Known("a URI with its scheme", re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+").fullmatch),
    "subject": _Known("a string that is not empty", bool),
    "time": _Known("an RFC 3339 time, such as 2024-05-01T12:00:00Z", _is_time),
}
_REQUIRED = ("specversion", "id", "source", "type")
_DATA_MEMBERS = frozenset(("data", "data_base64"))
_ELSEWHERE = _DATA_MEMBERS | {"datacontenttype"}
_HEADER_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_JSON = "application/json"


# Data.


class _Data(NamedTuple):
    """Data as it stands in a structured event: the member (empty: no data), its JSON text and value; and its bytes."""

    member: str
    text: bytes
    value: Any
    bytes: bytes


def _data_bytes(body: bytes, document: dict[str, Any], content_type: str | None) -> bytes:
    """The data bytes of a structured event. A null `data_base64`, or a null `data` beside it, is not set."""
    if document.get("data_base64") is not None:
        return _decoded_base64(document, content_type)
    if "data" not in document:
        return b""
    media = _media_type(content_type or _JSON)
    if media is None or media.is_json:
        return bytes(_RAW_DATA.decode(body).data)
    return _text_bytes(document["data"], content_type, is_utf8=media.is_utf8)


def _decoded_base64(document: dict[str, Any], content_type: str | None) -> bytes:
    if document.get("data") is not None:
        raise InvalidEvent("both data and data_base64", wanted="one of them", at="/data_base64")
    try:
        data = binascii.a2b_base64(document["data_base64"], strict_mode=True)
    except (TypeError, ValueError):
        found = _show(document["data_base64"])
        raise InvalidEvent(found, wanted="a string of padded base64", at="/data_base64") from None
    media = _media_type(content_type) if content_type else None
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
        raise InvalidEvent(_show(value), wanted=wanted, at="/data")
    if not is_utf8:
        raise InvalidEvent(f"text for {content_type}", wanted="its bytes as data_base64, or UTF-8", at="/data")
    return value.encode()


def _data_of_body(content_type: str | None, body: bytes) -> _Data:
    """A binary-mode body: JSON stays JSON, text becomes a string, all else base64."""
    if not body:
        return _Data("", b"", None, b"")
    if content_type is None:
        return _data_of_untyped(body)
    media = _media_type(content_type)
    if media is not None and media.is_json:
        return _json_data(body)
    if media is not None and media.is_text and (text := _as_utf8(body)) is not None:
        return _Data("data", msgspec.json.encode(text), text, body)
    return _base64_data(body)


def _data_of_untyped(body: bytes) -> _Data:
    """Without a type: JSON if it is that to the byte, since that is what a structured event without type holds."""
    if body.strip(_SPACE) != body:
        return _base64_data(body)
    try:
        return _json_data(body)
    except InvalidJSON:
        return _base64_data(body)


def _json_data(body: bytes) -> _Data:
    value = strict_json.decode(body, depth_max=JSON_DEPTH_MAX - 1)
    text = body.strip(_SPACE)
    return _Data("data", text, value, text)


def _as_utf8(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _base64_data(body: bytes) -> _Data:
    value = binascii.b2a_base64(body, newline=False).decode()
    return _Data("data_base64", msgspec.json.encode(value), value, body)


def _composed(attributes: Mapping[str, Any], data: _Data) -> bytes:
    head = msgspec.json.encode(_ordered(attributes))
    return head[:-1] + b',"' + data.member.encode() + b'":' + data.text + b"}" if data.member else head


def _ordered(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The required ones first, as a reader looks for them, then by name: equal events get equal bytes."""
    return {name: attributes[name] for name in (*_REQUIRED, *sorted(attributes.keys() - set(_REQUIRED))) if name in attributes}


def _show(value: Any) -> str:
    """A value in a message: named if it is large, else as JSON and cut short."""
    if type(value) is dict or type(value) is list:
        return "an object" if type(value) is dict else "an array"
    text = ascii(value) if type(value) is str else msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


class _RawData(msgspec.Struct):
    data: msgspec.Raw


_SPACE = b" \t\n\r"
_SHOWN_CHARACTERS = 60
_RAW_DATA = msgspec.json.Decoder(_RawData)
_DETERMINISTIC = msgspec.json.Encoder(order="deterministic", decimal_format="number")
# One field per element and one more to see that there are too many: what follows is skipped and takes no memory,
# where a list would hold a 70-byte object for each of four million elements in an 8 MiB body.
_ELEMENTS = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Elements",
        [(f"element_{index}", msgspec.Raw | msgspec.UnsetType, UNSET) for index in range(BATCH_EVENTS_MAX + 1)],
        array_like=True,
    )
)
