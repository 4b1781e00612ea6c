"""Making an event and spelling it for the wire. An id is given here, before the first attempt, so that a retry is a duplicate."""

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

Event = Mapping[str, Any] | bytes | str
"""An event as its attributes and data, or as the JSON text of its structured form, which is sent as it stands."""


def new_event(
    *,
    type: str,  # noqa: A002 - CloudEvents' own name
    source: str,
    id: str = "",  # noqa: A002 - CloudEvents' own name
    subject: str = "",
    data: Any = msgspec.UNSET,
    **attributes: Any,
) -> dict[str, Any]:
    """A CloudEvents 1.0 event. Without an id it gets a random one; bytes as `data` are sent as `data_base64`.

    `time` is not filled in: the bus records when it accepts an event, and a second publish of the same id has to be the same event.
    """
    given = {"type": type, "source": source, "subject": subject or None, **attributes}
    event = {"specversion": "1.0", "id": id or new_id(), **{name: value for name, value in given.items() if value is not None}}
    return event | _data(data)


def given(
    event: Event | None,
    *,
    type: str = "",  # noqa: A002 - CloudEvents' own name
    source: str = "",
    id: str = "",  # noqa: A002 - CloudEvents' own name
    subject: str = "",
    data: Any = msgspec.UNSET,
    **attributes: Any,
) -> Event:
    """`event`, or one made of the rest. TypeError where both are there."""
    if event is None:
        return new_event(type=type, source=source, id=id, subject=subject, data=data, **attributes)
    if type or source or id or subject or data is not msgspec.UNSET or attributes:
        raise TypeError("found an event and attributes beside it; wanted one or the other")
    return event


def new_id() -> str:
    return str(uuid.uuid4())


def _data(data: Any) -> dict[str, Any]:
    if data is msgspec.UNSET:
        return {}
    if isinstance(data, bytes | bytearray | memoryview):
        return {"data_base64": base64.b64encode(data).decode()}
    return {"data": data}


def encode(event: Event) -> bytes:
    """The event as JSON. A mapping gets the `specversion` and `id` that it lacks; text stays as it is."""
    if isinstance(event, bytes):
        return event
    if isinstance(event, str):
        return event.encode()
    return encode_json({"specversion": "1.0", **event, "id": event.get("id") or new_id()})


def encode_json(value: Any) -> bytes:
    """JSON that spells what it was given, or ValueError: msgspec alone would write NaN as null.

    Structs, dataclasses, times, UUIDs and decimals are taken too, as msgspec writes them.
    """
    return json.dumps(value, default=msgspec.to_builtins, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
