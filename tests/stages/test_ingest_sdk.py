"""Events of the official CloudEvents SDK come in, and what goes out is read by it as the same event."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from eventyard.core import event as ours
from eventyard.core.errors import Refused
from eventyard.core.event import STRUCTURED, Event
from eventyard.ingest import accept

FORMAT = JSONFormat()


def of_the_sdk(data: Any, content_type: str | None, **attributes: Any) -> CloudEvent:
    typed = {} if content_type is None else {"datacontenttype": content_type}
    named = {"id": "1", "source": "/orders", "type": "order.paid", "subject": 'ž 100% "x"', "partitionkey": "a b"}
    return CloudEvent({**named, "time": datetime(2024, 5, 1, 12, tzinfo=UTC), **typed, **attributes}, data)


EVENTS = [
    of_the_sdk({"total": 49.9, "items": ["č", None, True]}, "application/json"),
    of_the_sdk({"total": 49.9}, None),
    of_the_sdk({"total": 49.9}, "application/vnd.shop+json"),
    of_the_sdk("žluť\n", "text/plain"),
    of_the_sdk(b"\x00\xff", "image/png"),
    of_the_sdk(None, None),
    of_the_sdk(None, "application/json"),
]


def accepted(message: HTTPMessage) -> Event:
    [event] = accept(message.headers.get("content-type"), message.headers.items(), message.body).events
    assert not isinstance(event, Refused)
    return event


def assert_equal(read: Any, built: CloudEvent) -> None:
    implied = {} if built.get_data() is None else {"datacontenttype": "application/json"}
    assert implied | read.get_attributes() == implied | built.get_attributes()
    assert read.get_data() == built.get_data()


@pytest.mark.parametrize("built", EVENTS)
def test_an_event_of_the_sdk_is_one_event_in_both_modes(built: CloudEvent) -> None:
    assert accepted(to_structured(built, FORMAT)).digest == accepted(to_binary(built, FORMAT)).digest


@pytest.mark.parametrize("send", [to_structured, to_binary])
@pytest.mark.parametrize("built", EVENTS)
def test_the_sdk_reads_what_goes_out_as_what_it_sent(built: CloudEvent, send: Any) -> None:
    event = accepted(send(built, FORMAT))
    headers, body = ours.to_binary(event.json)
    assert_equal(from_binary(HTTPMessage(headers, body), FORMAT), built)
    assert_equal(from_structured(HTTPMessage({"content-type": STRUCTURED}, event.json), FORMAT), built)
