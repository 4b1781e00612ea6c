"""An event as a handler gets it: its attributes, and its data as the handler's annotation wants it. Pure."""

import base64
import binascii
from typing import Any, Generic, TypeVar

import msgspec

from eventyard.client.errors import Reject

T = TypeVar("T")

_ABSENT = msgspec.Raw(b"null")
_CONTEXT = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"})


class CloudEvent(msgspec.Struct, Generic[T], frozen=True):
    """One event of a delivery. `time` is RFC 3339 text, as its producer wrote it; `extensions` what else it says of itself.

    `data` is None where there is none. `json` is its own text, with numbers spelt as their producer spelt them. `delivery` stays the
    same over all attempts, which `attempt` counts from 1; it is empty where the event came from something else than Eventyard.
    """

    id: str
    source: str
    type: str
    data: T
    subject: str = ""
    time: str = ""
    datacontenttype: str = ""
    dataschema: str = ""
    extensions: dict[str, Any] = {}
    json: bytes = b""
    delivery: str = ""
    attempt: int = 1
    position: int | None = None
    rule: str = ""


class Came(msgspec.Struct, frozen=True):
    """An event in structured form, with what is known of its delivery."""

    json: bytes
    delivery: str = ""
    attempt: int = 1
    position: int | None = None


class Unreadable(Reject):
    """The event is not what it should be: the same again will not help."""


class Reader:
    """Reads events whose data is of one type: Any, bytes, or what msgspec decodes (dataclasses, structs, typed dictionaries, ...)."""

    def __init__(self, rule: str, kind: Any = Any) -> None:
        self._rule = rule
        self._kind = kind
        self._decoder = None if kind in (Any, bytes) else msgspec.json.Decoder(kind)

    def read(self, came: Came) -> CloudEvent[Any]:
        """Raises Unreadable with the place in the data."""
        members = members_of(came.json)
        texts = {
            name: _text(members, name) for name in ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")
        }
        if not (texts["id"] and texts["source"] and texts["type"]):
            raise Unreadable("found an event without an id, a source and a type")
        more = {
            name: msgspec.json.decode(raw)
            for name, raw in members.items()
            if name not in _CONTEXT and name not in ("data", "data_base64")
        }
        return CloudEvent(
            **texts,
            data=self._data(members),
            extensions=more,
            json=came.json,
            delivery=came.delivery,
            attempt=came.attempt,
            position=came.position,
            rule=self._rule,
        )

    def _data(self, members: dict[str, msgspec.Raw]) -> Any:
        data = bytes(members.get("data", _ABSENT))
        is_binary = "data_base64" in members and bytes(members["data_base64"]) != b"null"
        if is_binary:
            data = _bytes(members["data_base64"])
        if self._kind is bytes or (self._kind is Any and is_binary):
            return data
        try:
            return msgspec.json.decode(data) if self._decoder is None else self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unreadable(f"cannot read the event's data: {error}") from error


def members_of(json: bytes) -> dict[str, msgspec.Raw]:
    try:
        members = msgspec.json.decode(json, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable(f"found no event in JSON: {error}") from error
    if _text(members, "specversion") != "1.0":
        raise Unreadable('found no specversion "1.0"')
    return members


def _text(members: dict[str, msgspec.Raw], name: str) -> str:
    try:
        return msgspec.json.decode(members.get(name, _ABSENT), type=str | None) or ""
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable(f"found no text as the event's {name}: {error}") from error


def _bytes(raw: msgspec.Raw) -> bytes:
    try:
        return base64.b64decode(msgspec.json.decode(raw, type=str), validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise Unreadable(f"found no base64 as the event's data_base64: {error}") from error
