"""An event: a CloudEvent 1.0 as the bus keeps it, and the three ways in which it travels.

Structured, an event is one JSON object. Batched, several stand in an array. Binary, its attributes are headers
and its data is the body. The bus keeps the structured form, so the other two become it at the door, and
`to_binary` undoes that for targets that want it. One law binds the ways: the same event has the same digest in
each of them.

What may stand in an event is said by `attributes` and `event_data`.

Sources: CloudEvents 1.0.2, its JSON format and its HTTP binding.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from eventyard.core import cause, strict_json
from eventyard.core.attributes import (
    DATA_MEMBERS,
    HOPS,
    JSON_TYPE,
    REQUIRED,
    in_document,
    in_headers,
    read_attributes,
    show,
    spelling,
)
from eventyard.core.cause import Cited
from eventyard.core.errors import InvalidEvent, ReservedType, TooLarge
from eventyard.core.event_data import Data, data_bytes, data_of_body
from eventyard.core.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EVENT_BYTES_MAX

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
RESERVED_TYPES = "io.eventyard."
"""Types that begin so are the bus's own."""


class Event(msgspec.Struct, frozen=True):
    """One accepted CloudEvent.

    `json` is the structured form: the very bytes that arrived where they arrived so, else composed once at the
    door. It is matched, stored and sent as it is. `digest` (16 bytes) covers the normalised attributes and the
    data bytes, whatever the content mode, so the same event in two modes has one digest. `document` is `json`
    decoded (what a pattern sees); it is never stored, and None once the event was matched ahead (`machine.foresee`).
    `cited` and `hops` are what its attributes say of its cause (`cause`).
    """

    source: str
    id: str
    type: str
    digest: bytes
    json: bytes
    document: dict[str, Any] | None
    cited: Cited | None = None
    hops: int = 0


# The ways in.


def from_structured(body: bytes) -> Event:
    """The event that one JSON object spells. Raises InvalidJSON, InvalidEvent or TooLarge."""
    _check_size(body, EVENT_BYTES_MAX)
    document = strict_json.decode(body)
    if type(document) is not dict:
        raise InvalidEvent(show(document), wanted="a JSON object")
    attributes = read_attributes(document, in_document)
    data = data_bytes(body, document, attributes.get("datacontenttype"))
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
    canonical = read_attributes({**attributes, **typed}, in_headers)
    data = data_of_body(content_type, body)
    json = _composed(canonical, data)
    _check_size(json, EVENT_BYTES_MAX)
    document = {**_ordered(canonical), **({data.member: data.value} if data.member else {})}
    return _sealed(canonical, data.bytes, json, document)


def make(attributes: Mapping[str, str | int | bool], data: Any = UNSET) -> Event:
    """An event composed here, with JSON data if any: equal arguments give equal bytes."""
    raw = b"" if data is UNSET else _DETERMINISTIC.encode(data)
    member = "" if data is UNSET else "data"
    return from_structured(_composed({"specversion": "1.0", **attributes}, Data(member, raw, data, raw)))


def with_hops(event: Event, hops: int) -> Event:
    """The same event with at least so many hops behind it. Its digest stays."""
    if hops <= event.hops:
        return event
    return msgspec.structs.replace(event, json=with_attribute(event.json, HOPS, hops), document=None, hops=hops)


def with_attribute(json: bytes, name: str, value: str | int) -> bytes:
    """A structured form that was read before, with this attribute set; all other members keep the spelling that they have."""
    members: dict[str, Any] = _MEMBERS.decode(json)
    return msgspec.json.encode(members | {name: value})


def with_attributes(event: Event, more: Mapping[str, str | int]) -> Event:
    """The event with these attributes set, which is another event: its digest covers them. Raises InvalidEvent or TooLarge."""
    members: dict[str, Any] = _MEMBERS.decode(event.json)
    json = msgspec.json.encode(members | {**more})
    _check_size(json, EVENT_BYTES_MAX)
    document: dict[str, Any] = msgspec.json.decode(json) if event.document is None else {**event.document, **more}
    attributes = read_attributes(document, in_document)
    return _sealed(attributes, data_bytes(json, document, attributes.get("datacontenttype")), json, document)


def split_batch(body: bytes) -> list[bytes]:
    """The elements of a batch, each as it was spelled, for `from_structured` to judge by itself.

    Raises InvalidJSON, InvalidEvent or TooLarge where there are no elements to judge.
    """
    _check_size(body, BATCH_BYTES_MAX)
    try:
        elements = msgspec.structs.astuple(_ELEMENTS.decode(body))
    except (msgspec.MsgspecError, RecursionError):
        found = show(strict_json.decode(body))
        raise InvalidEvent(found, wanted="a JSON array of events") from None
    if elements[BATCH_EVENTS_MAX] is not UNSET:
        raise TooLarge(f"more than {BATCH_EVENTS_MAX} events", wanted="the rest in another batch")
    return [bytes(element) for element in elements if element is not UNSET]


def refuse_reserved(event: Event) -> None:
    """The publish door's check; the bus makes such events itself. Raises ReservedType."""
    if event.type.startswith(RESERVED_TYPES):
        wanted = f"a type that does not begin with {RESERVED_TYPES}"
        raise ReservedType(show(event.type), wanted=wanted, at="/type")


def _sealed(attributes: dict[str, str], data: bytes, json: bytes, document: dict[str, Any] | None) -> Event:
    digest = _digest(attributes, data)
    source, id_, hops = attributes["source"], attributes["id"], int(attributes.get(HOPS, 0))
    return Event(source, id_, attributes["type"], digest, json, document, cause.cited(attributes), hops)


def _digest(attributes: dict[str, str], data: bytes) -> bytes:
    """Over the attributes as sorted JSON pairs, then the data.

    JSON's content type is what an absent one means (JSON format, 3.1.1), so it counts as absent. Hops do not count: an event that
    comes by two ways is one.
    """
    pairs = sorted(attributes.items())
    if HOPS in attributes:
        pairs.remove((HOPS, attributes[HOPS]))
    if attributes.get("datacontenttype") == JSON_TYPE:
        pairs.remove(("datacontenttype", JSON_TYPE))
    return blake2b(msgspec.json.encode(pairs) + data, digest_size=16).digest()


def _check_size(body: bytes, bytes_max: int) -> None:
    if len(body) > bytes_max:
        raise TooLarge(f"{len(body)} bytes", wanted=f"at most {bytes_max}")


def from_stored(json: bytes) -> Event:
    """The event that an accepted one's `json` spells, which need not be proven again."""
    document = msgspec.json.decode(json)
    attributes = read_attributes(document, in_document)
    return _sealed(attributes, data_bytes(json, document, attributes.get("datacontenttype")), json, None)


# The way out.


def to_binary(json: bytes) -> tuple[dict[str, str], bytes]:
    """An accepted event's `json` as headers (lower-case names, percent-encoded values) and body.

    Where `content-type` is not among the headers the event names none, and none may be sent.
    """
    document = msgspec.json.decode(json)
    attributes = {
        name: value if type(value) is str else spelling(value)
        for name, value in document.items()
        if name not in DATA_MEMBERS and value is not None
    }
    content_type = attributes.pop("datacontenttype", None)
    data = data_bytes(json, document, content_type)
    headers = {f"ce-{name}": quote(text, safe=_HEADER_SAFE) for name, text in attributes.items()}
    if content_type is None and data and document.get("data_base64") is None:
        content_type = JSON_TYPE  # implied so far; another mode has to say it (JSON format, 3.1.2)
    return headers | ({} if content_type is None else {"content-type": content_type}), data


def _composed(attributes: Mapping[str, Any], data: Data) -> bytes:
    head = msgspec.json.encode(_ordered(attributes))
    return head[:-1] + b',"' + data.member.encode() + b'":' + data.text + b"}" if data.member else head


def _ordered(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The required ones first, as a reader looks for them, then by name: equal events get equal bytes."""
    return {name: attributes[name] for name in (*REQUIRED, *sorted(attributes.keys() - set(REQUIRED))) if name in attributes}


_ELSEWHERE = DATA_MEMBERS | {"datacontenttype"}
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_HEADER_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
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
