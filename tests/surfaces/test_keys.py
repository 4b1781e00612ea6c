"""Keys at the door: made and shown once, asked for from the first one on, and gone at once when they are revoked."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.access import Grant, Scope
from eventyard.surfaces.http.access import Access
from tests.support.buses import ServedBus, served_bus
from tests.support.keys import HOUR_MS, LockedBus, locked_bus
from tests.support.listeners import listening

EVENT = {"specversion": "1.0", "id": "1", "source": "/shop/a", "type": "order.paid"}


@pytest.fixture
def open_door() -> Iterator[ServedBus]:
    with served_bus() as bus:
        yield bus


@pytest.fixture(scope="module")
def bus() -> Iterator[LockedBus]:
    with locked_bus() as locked:
        assert locked.ask("PUT", "/v1/buses/shop", locked.admin).status_code == 201
        assert locked.ask("PUT", "/v1/buses/other", locked.admin).status_code == 201
        document = {"pattern": {"type": ["order.paid"]}, "target": {"queue": {}}}
        assert locked.ask("PUT", "/v1/buses/shop/rules/r", locked.admin, json=document).status_code == 201
        yield locked


def publish(bus: LockedBus, key: str, event: Any, name: str = "shop") -> Any:
    kind = "application/cloudevents-batch+json" if isinstance(event, list) else "application/cloudevents+json"
    return bus.ask("POST", f"/v1/buses/{name}/events", key, json=event, headers={"content-type": kind})


# Made and shown


def test_a_bus_without_keys_asks_for_none(open_door: ServedBus) -> None:
    assert open_door.get("/v1/keys").json() == {"keys": [], "next": None}
    assert open_door.get("/v1/buses", headers={"authorization": "Basic abc"}).status_code == 200


def test_from_the_first_key_on_every_request_needs_one(open_door: ServedBus) -> None:
    made = open_door.post("/v1/keys", json={"name": "admin", "scopes": ["manage", "read"]})
    assert made.status_code == 201
    refused = open_door.get("/v1/buses")
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:eventyard:problem:unauthenticated")
    assert refused.headers["www-authenticate"] == 'Bearer realm="eventyard"'
    assert "Bearer KEY" in refused.json()["wanted"]
    headers = {"authorization": f"Bearer {made.json()['key']}"}
    assert open_door.get("/v1/buses", headers=headers).status_code == 200
    assert open_door.get("/healthz").status_code == 200


def test_the_first_key_has_to_manage_keys(open_door: ServedBus) -> None:
    answer = open_door.post("/v1/keys", json={"name": "reader", "scopes": ["read"]})
    assert (answer.status_code, answer.json()["at"]) == (400, "/scopes")
    assert open_door.get("/v1/keys").json()["keys"] == []


def test_a_bus_never_opens_again_by_itself(open_door: ServedBus) -> None:
    made = open_door.post("/v1/keys", json={"name": "admin", "scopes": ["manage"]}).json()
    headers = {"authorization": f"Bearer {made['key']}"}
    assert open_door.delete(f"/v1/keys/{made['id']}", headers=headers).status_code == 204
    assert open_door.get("/v1/keys").status_code == 401
    assert open_door.get("/v1/keys", headers=headers).status_code == 401


def test_a_key_is_shown_once(bus: LockedBus) -> None:
    asked = {"name": "once", "scopes": ["publish"], "buses": ["shop"], "source": "/shop/", "types": ["order.*"]}
    made = bus.ask("POST", "/v1/keys", bus.admin, json=asked).json()
    key = made.pop("key")
    assert key.startswith(f"ey_{made['id']}_")
    listed = bus.ask("GET", "/v1/keys", bus.admin)
    assert key not in listed.text
    assert listed.json()["keys"][-1] == made
    assert made["last_used"] is None
    assert {name: made[name] for name in asked} == asked
    assert made["created_by"] == f"key:{bus.admin[3:11]}/admin"


@pytest.mark.parametrize(
    ("document", "at"),
    [
        ({"name": "k"}, "/"),
        ({"name": "k", "scopes": []}, "/scopes"),
        ({"name": "k", "scopes": ["everything"]}, "/scopes/0"),
        ({"name": "k", "scopes": ["read"], "buses": []}, "/buses"),
        ({"name": "k", "scopes": ["read"], "bus": "shop"}, "/bus"),
        ({"name": "k", "scopes": ["publish"], "source": "x" * 256}, "/source"),
        ({"name": "k", "scopes": ["read"], "expires": "2020-01-01T00:00:00Z"}, "/expires"),
        ({"name": "k", "scopes": ["read"], "expires": "1960-01-01T00:00:00Z"}, "/expires"),
        ({"name": "k", "scopes": ["read"], "expires": "tomorrow"}, "/expires"),
    ],
)
def test_a_key_that_cannot_be_meant_is_refused_where_it_is_wrong(bus: LockedBus, document: dict[str, Any], at: str) -> None:
    answer = bus.ask("POST", "/v1/keys", bus.admin, json=document)
    assert (answer.status_code, answer.json()["at"]) == (400, at)


def test_a_scope_that_there_is_none_of_is_told_what_there_are(bus: LockedBus) -> None:
    answer = bus.ask("POST", "/v1/keys", bus.admin, json={"name": "k", "scopes": ["everything"]}).json()
    assert answer["wanted"] == 'one of "publish", "consume", "manage", "read"'


def test_the_list_says_which_keys_are_used(bus: LockedBus) -> None:
    key = bus.key(Scope.READ)
    bus.ask("GET", "/", key[:-1] + "x")
    assert last_used(bus, key) is None
    bus.ask("GET", "/", key)
    assert str(last_used(bus, key)) >= "2"


def last_used(bus: LockedBus, key: str) -> Any:
    listed = bus.ask("GET", "/v1/keys", bus.admin).json()["keys"]
    return {each["id"]: each["last_used"] for each in listed}[key[3:11]]


# What it may do


def test_who_lacks_a_scope_is_told_which(bus: LockedBus) -> None:
    answer = bus.ask("PUT", "/v1/buses/new", bus.key(Scope.READ, Scope.PUBLISH))
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:eventyard:problem:forbidden")
    assert answer.json()["wanted"] == "the scope manage on bus new"
    assert 'error="insufficient_scope", scope="manage"' in answer.headers["www-authenticate"]


def test_a_body_is_not_read_of_who_may_not_send_it(bus: LockedBus) -> None:
    """The head alone, with a body announced that never comes, is answered."""
    head = b"POST /v1/buses/shop/events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000\r\n"
    with bus.door.connect() as connection:
        connection.sendall(head + b"content-type: application/cloudevents+json\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_key_of_one_bus_sees_that_bus_and_no_other(bus: LockedBus) -> None:
    key = bus.key(Scope.READ, buses=("shop",))
    assert [one["name"] for one in bus.ask("GET", "/v1/buses", key).json()["buses"]] == ["shop"]
    assert bus.ask("GET", "/v1/buses/shop/rules", key).status_code == 200
    for path in ("/v1/buses/other/rules", "/v1/buses/nowhere", "/readyz", "/v1/keys"):
        assert bus.ask("GET", path, key).status_code == 403


def test_a_key_publishes_within_its_bounds(bus: LockedBus) -> None:
    key = bus.key(Scope.PUBLISH, buses=("shop",), source="/shop/", types=("order.*",))
    assert publish(bus, key, EVENT | {"id": "in"}).status_code == 202
    for change, at in (({"source": "/other"}, "/source"), ({"type": "stock.low"}, "/type")):
        answer = publish(bus, key, EVENT | change)
        assert (answer.status_code, answer.json()["at"]) == (403, at)


def test_in_a_batch_each_event_is_held_to_the_bounds(bus: LockedBus) -> None:
    key = bus.key(Scope.PUBLISH, source="/shop/")
    stranger = EVENT | {"id": "s", "source": "/other"}
    answer = publish(bus, key, [EVENT | {"id": "b1"}, stranger, EVENT | {"id": "b2"}])
    assert answer.status_code == 202
    told = [verdict.get("error", {}).get("status", 202) for verdict in answer.json()["events"]]
    assert told == [202, 403, 202]
    alone = publish(bus, key, [stranger])
    assert (alone.status_code, alone.json()["events"][0]["error"]["type"]) == (403, "urn:eventyard:problem:forbidden")


def test_edits_carry_the_principal_into_the_log(bus: LockedBus) -> None:
    key, id_ = bus.make("deploy", Grant((Scope.MANAGE, Scope.READ)))
    document: dict[str, Any] = {"pattern": {"type": ["order.paid"]}, "target": {"queue": {}}}
    for method, path, body in (
        ("PUT", "/rules/audited", document),
        ("PUT", "/rules/audited", document | {"owner": "me"}),
        ("POST", "/rules/audited/pause", None),
        ("POST", "/rules/audited/resume", None),
        ("POST", "/rules/audited/seek", {"to": "latest"}),
        ("POST", "/rules/audited/replays", {"from": "earliest"}),
        ("POST", "/rules/audited/dead-letters/redrive", {"all": True}),
        ("POST", "/rules/audited/dead-letters/purge", {"all": True}),
        ("DELETE", "/rules/audited", None),
    ):
        assert bus.ask(method, f"/v1/buses/shop{path}", key, json=body).is_success
    held = bus.ask("GET", "/v1/buses/shop/events?limit=1000", key).json()["events"]
    edits = [each["event"] for each in held if each["event"].get("subject") == "audited"]
    assert [edit["type"].removeprefix("io.eventyard.") for edit in edits] == [
        *("rule.created", "rule.changed", "rule.paused", "rule.resumed", "rule.sought"),
        *("rule.replayed", "rule.redriven", "rule.purged", "rule.deleted"),
    ]
    assert {edit["data"]["principal"] for edit in edits} == {f"key:{id_}/deploy"}


# How it ends


def test_a_revoked_key_opens_nothing_from_the_answer_on(bus: LockedBus) -> None:
    key = bus.key(Scope.READ)
    assert bus.ask("GET", "/v1/buses", key).status_code == 200
    assert bus.ask("DELETE", f"/v1/keys/{key[3:11]}", bus.admin).status_code == 204
    answer = bus.ask("GET", "/v1/buses", key)
    assert (answer.status_code, answer.json()["found"]) == (401, f"found the key {key[3:11]}, which was revoked")
    assert bus.ask("DELETE", f"/v1/keys/{key[3:11]}", bus.admin).status_code == 204


def test_a_key_that_is_revoked_while_its_request_arrives_does_nothing(bus: LockedBus) -> None:
    """The head was let in; what it asks for would be done after the key was revoked."""
    key = bus.key(Scope.MANAGE)
    head = f"PUT /v1/buses/late HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\ncontent-length: 2\r\n\r\n"
    with bus.door.connect() as connection:
        connection.sendall(head.encode() + b"{")
        bus.door.wait_until(lambda: is_used(bus, key))
        bus.revoke(key)
        connection.sendall(b"}")
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
    assert bus.ask("GET", "/v1/buses/late", bus.admin).status_code == 404


def is_used(bus: LockedBus, key: str) -> bool:
    """It is looked at again after each step of the writer, of which this makes one."""
    publish(bus, bus.admin, EVENT | {"id": f"step-{key[3:11]}"}, "other")
    return bool(bus.door.yard.used_ms(key[3:11]))


@pytest.mark.parametrize(
    ("extra", "found"), [(0, "found a key that is none"), (1, f"found {limits.AUTHORIZATION_BYTES_MAX + 1} bytes")]
)
def test_the_header_is_bounded(bus: LockedBus, extra: int, found: str) -> None:
    shown = "ey_" + "0" * (limits.AUTHORIZATION_BYTES_MAX - len("Bearer ey_") + extra)
    answer = bus.ask("GET", "/v1/buses", shown)
    assert (answer.status_code, answer.json()["found"].startswith(found)) == (401, True)


def test_a_key_expires(bus: LockedBus) -> None:
    key, _ = bus.make("short", Grant((Scope.READ,)), lives_ms=HOUR_MS)
    assert bus.ask("GET", "/v1/buses", key).status_code == 200
    bus.clock.ahead_ms += HOUR_MS
    answer = bus.ask("GET", "/v1/buses", key)
    assert (answer.status_code, "expired" in answer.json()["found"]) == (401, True)


def test_a_clock_that_is_set_back_revives_no_key() -> None:
    with locked_bus() as bus:
        key, _ = bus.make("short", Grant((Scope.READ,)), lives_ms=60_000)
        bus.clock.ahead_ms += 60_000
        publish(bus, bus.admin, EVENT, "default")
        bus.clock.ahead_ms = 0
        assert bus.ask("GET", "/v1/buses", key).status_code == 401


def test_a_stream_ends_with_its_key(bus: LockedBus) -> None:
    key = bus.key(Scope.READ, buses=("shop",))
    with listening(bus.door, "/v1/buses/shop/stream", authorization=f"Bearer {key}") as stream:
        assert stream.next().name == "heartbeat"
        bus.ask("DELETE", f"/v1/keys/{key[3:11]}", bus.admin)
        last = list(stream.rest())[-1]
    assert (last.name, last.data["reason"]) == ("cut", "revoked")


def test_a_stream_ends_when_its_key_expires(bus: LockedBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PERMIT_LOOK_S", 0.01)
    key, _ = bus.make("short", Grant((Scope.READ,)), lives_ms=HOUR_MS)
    with listening(bus.door, "/v1/buses/shop/stream", authorization=f"Bearer {key}") as stream:
        assert stream.next().name == "heartbeat"
        bus.clock.ahead_ms += HOUR_MS
        last = list(stream.rest())[-1]
    assert (last.name, last.data["reason"]) == ("cut", "expired")


def test_what_begins_with_a_key_that_was_revoked_just_before_ends_at_once() -> None:
    with locked_bus() as locked:
        yard, key = locked.door.yard, locked.key(Scope.READ)
        caller = yard.identify(key.encode())
        locked.revoke(key)

        def ended_by() -> str:
            with Access(yard).permit(caller) as permit:
                return permit.ended_by

        assert locked.door.on_loop(ended_by) == "revoked"


def test_a_receive_that_waits_ends_with_its_key_and_takes_nothing(bus: LockedBus) -> None:
    key = bus.key(Scope.CONSUME, buses=("shop",))
    bus.ask("POST", "/v1/buses/shop/rules/r/receive", bus.admin, json={"max": 1000})
    answers: list[Any] = []
    path, asked = "/v1/buses/shop/rules/r/receive", {"wait_s": 20, "max": 10}
    waiting = threading.Thread(target=lambda: answers.append(bus.ask("POST", path, key, json=asked)))
    waiting.start()
    bus.door.wait_until(lambda: bool(bus.door.yard._consumers._claims))
    bus.revoke(key)
    waiting.join(20)
    assert (answers[0].status_code, answers[0].json()["found"][-7:]) == (401, "revoked")
    publish(bus, bus.admin, EVENT | {"id": "after"})
    received = bus.ask("POST", path, bus.admin, json={"max": 10, "wait_s": 5}).json()["deliveries"]
    assert [delivery["event"]["id"] for delivery in received] == ["after"]
