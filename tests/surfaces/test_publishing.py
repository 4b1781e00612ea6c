"""POST /v1/buses/{bus}/events, as a producer sees it."""

import json
from typing import Any

import msgspec
import pytest

from eventyard.core import limits
from eventyard.core.event import BATCHED, STRUCTURED
from tests.support.buses import ServedBus

EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid", "data": {"total": 29.5}}


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (EVENT | changes).items() if value is not ...}


def test_a_structured_event_is_answered_with_its_position(door: ServedBus, name: str) -> None:
    answer = door.publish(name, EVENT)
    assert answer.status_code == 202
    assert answer.json() == {"id": "1", "source": "/shop", "position": 1, "duplicate": False}
    assert door.events(name) == [EVENT]


def test_a_binary_event_is_kept_as_the_structured_one(door: ServedBus, name: str) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "order.paid", "ce-subject": "%C3%A9"}
    answer = door.publish(name, {"total": 29.5}, "application/json", **headers)
    assert answer.status_code == 202
    assert door.events(name) == [changed(subject="é", datacontenttype="application/json")]


def test_the_same_event_again_is_answered_as_a_duplicate(door: ServedBus, name: str) -> None:
    first, second = door.publish(name, EVENT).json(), door.publish(name, EVENT).json()
    assert second == first | {"duplicate": True}
    assert len(door.events(name)) == 1


def test_other_content_under_the_same_id_is_a_conflict(door: ServedBus, name: str) -> None:
    door.publish(name, EVENT)
    answer = door.publish(name, changed(data={"total": 30}))
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:eventyard:problem:event-conflict"
    assert door.events(name) == [EVENT]


def test_a_stored_event_is_answered_to_the_byte(door: ServedBus, name: str) -> None:
    body = b'{"specversion":"1.0", "id":"1", "source":"/s", "type":"t", "data": {"n": 1.10, "m": 100000000000000000001}}'
    door.publish(name, body)
    assert body in door.get(f"/v1/buses/{name}/events").content
    assert body in door.get(f"/v1/buses/{name}/events/1").content


def test_a_batch_is_answered_with_one_verdict_for_each_event(door: ServedBus, name: str) -> None:
    batch = [EVENT, changed(id="2", type=...), changed(data={"total": 30}), EVENT, changed(id="3")]
    answer = door.publish(name, batch, BATCHED)
    assert answer.status_code == 202
    good, invalid, conflict, duplicate, last = answer.json()["events"]
    assert good == {"id": "1", "source": "/shop", "position": 1, "duplicate": False}
    assert (invalid["error"]["type"], invalid["error"]["at"]) == ("urn:eventyard:problem:invalid-event", "/1/type")
    assert conflict["error"]["status"] == 409
    assert duplicate == good | {"duplicate": True}
    assert last["position"] == 2
    assert [event["id"] for event in door.events(name)] == ["1", "3"]


def test_a_batch_of_which_nothing_was_taken_is_a_bad_request(door: ServedBus, name: str) -> None:
    answer = door.publish(name, [changed(id=...), 7], BATCHED)
    problem = answer.json()
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert [verdict["error"]["at"] for verdict in problem["events"]] == ["/0/id", "/1"]
    assert door.events(name) == []


def test_an_empty_batch_is_taken(door: ServedBus, name: str) -> None:
    answer = door.publish(name, [], BATCHED)
    assert (answer.status_code, answer.json()) == (202, {"events": []})


BAD_EVENTS: list[tuple[str, Any, str]] = [
    *((f"no {member}", changed(**{member: ...}), f"/{member}") for member in ("specversion", "id", "source", "type")),
    *((f"an empty {member}", changed(**{member: ""}), f"/{member}") for member in ("id", "source", "type", "subject")),
    *((f"{member} is a number", changed(**{member: 7}), f"/{member}") for member in ("id", "source", "type", "time")),
    ("another version", changed(specversion="0.3"), "/specversion"),
    ("a time that is none", changed(time="yesterday"), "/time"),
    ("a content type that is none", changed(datacontenttype="json"), "/datacontenttype"),
    ("a schema without scheme", changed(dataschema="schema.json"), "/dataschema"),
    ("an attribute name in capitals", changed(Shop="x"), "/Shop"),
    ("an attribute that is an object", changed(shop={"a": 1}), "/shop"),
    ("an attribute that is a fraction", changed(shop=1.5), "/shop"),
    ("a control character", changed(subject="a\x00b"), "/subject"),
    ("an attribute too long", changed(subject="x" * 3000), "/subject"),
    ("too many attributes", EVENT | {f"a{number}": "x" for number in range(100)}, ""),
    ("data twice", changed(data_base64="AA=="), "/data_base64"),
    ("base64 that is none", changed(data=..., data_base64="!"), "/data_base64"),
    ("text that is not text", changed(datacontenttype="text/plain"), "/data"),
    ("an array", [EVENT], ""),
    ("a string", "event", ""),
]


@pytest.mark.parametrize(("body", "at"), [case[1:] for case in BAD_EVENTS], ids=[case[0] for case in BAD_EVENTS])
def test_a_malformed_event_is_refused_at_its_place(door: ServedBus, name: str, body: Any, at: str) -> None:
    answer = door.publish(name, body)
    assert (answer.status_code, answer.json()["at"]) == (400, at)
    assert answer.json()["type"] == "urn:eventyard:problem:invalid-event"
    assert door.events(name) == []


BAD_JSON = {
    "nothing": b"",
    "cut off": b'{"specversion":"1.0","id":',
    "a key twice": b'{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}',
    "a key twice in the data": b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1,"a":2}}',
    "not a number": b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":NaN}',
    "a number beyond a double": b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1e400}',
    "half a pair": b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"\\ud800"}',
    "not UTF-8": b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"\xff"}',
    "too deep": b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":' + b"[" * 100 + b"]" * 100 + b"}",
    "two values": json.dumps(EVENT).encode() + b"{}",
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_what_is_not_strict_json_is_refused(door: ServedBus, name: str, body: bytes) -> None:
    answer = door.publish(name, body)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:eventyard:problem:invalid-json")
    assert door.events(name) == []


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json", "", "application/cloudevents+xml", f"{STRUCTURED}; charset=latin1"]
)
def test_a_content_type_that_says_no_event_is_refused(door: ServedBus, name: str, content_type: str) -> None:
    answer = door.publish(name, EVENT, content_type)
    assert (answer.status_code, answer.json()["at"]) == (415, "header content-type")
    assert door.events(name) == []


@pytest.mark.parametrize(
    ("headers", "at"),
    [
        ({"ce-id": "1"}, "header ce-specversion"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t%GG"}, "header ce-type"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "ce-data": "1"}, "header ce-data"),
    ],
)
def test_a_malformed_binary_event_names_the_header(door: ServedBus, name: str, headers: dict[str, str], at: str) -> None:
    answer = door.publish(name, {}, "application/json", **headers)
    assert (answer.status_code, answer.json()["at"]) == (400, at)


def test_a_type_of_the_bus_itself_is_refused(door: ServedBus, name: str) -> None:
    answer = door.publish(name, changed(type="io.eventyard.rule.created"))
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:eventyard:problem:reserved-type")


def test_the_largest_event_is_taken_and_one_byte_more_is_not(door: ServedBus, name: str) -> None:
    room = limits.EVENT_BYTES_MAX - len(msgspec.json.encode(changed(data="")))
    assert door.publish(name, msgspec.json.encode(changed(data="x" * room))).status_code == 202
    answer = door.publish(name, msgspec.json.encode(changed(id="2", data="x" * (room + 1))))
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:eventyard:problem:too-large")
    assert len(door.events(name)) == 1


def test_a_batch_of_too_many_events_is_refused(door: ServedBus, name: str) -> None:
    batch = [changed(id=str(number)) for number in range(limits.BATCH_EVENTS_MAX + 1)]
    assert door.publish(name, batch, BATCHED).status_code == 413
    assert door.publish(name, batch[1:], BATCHED).status_code == 202
    assert len(door.events(name)) == limits.BATCH_EVENTS_MAX


def test_a_bus_that_is_not_there_takes_nothing(door: ServedBus) -> None:
    answer = door.publish("nowhere", EVENT)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:eventyard:problem:not-found")


def test_publishing_knows_no_query(door: ServedBus, name: str) -> None:
    answer = door.post(f"/v1/buses/{name}/events?wait=1", json=EVENT)
    assert (answer.status_code, answer.json()["at"]) == (400, "query wait")
    assert door.events(name) == []
