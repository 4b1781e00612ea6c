"""The official CloudEvents SDK publishes to a served bus and reads what the bus pushes."""

from collections.abc import Callable
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tests.support.buses import served_bus
from tests.support.targets import Target, answers

FORMAT = JSONFormat()


@pytest.mark.parametrize(("mode", "read"), [("structured", from_structured), ("binary", from_binary)])
@pytest.mark.parametrize("send", [to_structured, to_binary])
@pytest.mark.parametrize(
    ("content_type", "data"),
    [("application/json", {"total": 49.9, "name": "č"}), ("text/plain", "žluť\n"), ("image/png", b"\x00\xff")],
)
def test_what_the_sdk_publishes_it_reads_from_the_push(
    send: Callable[..., HTTPMessage], mode: str, read: Callable[..., Any], content_type: str, data: Any
) -> None:
    attributes = {"id": "1", "source": "/orders", "type": "order.paid", "subject": 'ž 100% "x"'}
    sent = CloudEvent({**attributes, "datacontenttype": content_type}, data)
    with served_bus() as bus, Target(answers(204)) as target:
        rule = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": target.url, "mode": mode}}}
        assert bus.put("/v1/buses/default/rules/sdk", json=rule).status_code == 201
        message = send(sent, FORMAT)
        answer = bus.post("/v1/buses/default/events", content=message.body, headers=dict(message.headers))
        assert answer.status_code == 202, answer.text
        target.wait_for_requests(1)
        got = target.requests[0]
    received = read(HTTPMessage(got.headers, got.body), FORMAT)
    assert received.get_data() == sent.get_data()
    assert received.get_attributes().items() >= {**attributes, "datacontenttype": content_type}.items()
