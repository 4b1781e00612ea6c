"""Rules whose target is another bus, over HTTP: what is taken, who may put them, and two servers that count the hops between them."""

from collections.abc import Iterator
from typing import Any

import pytest

from eventyard.core.access import Caller, Grant, Scope
from eventyard.core.errors import Forbidden
from tests.support.buses import ServedBus, served_bus

EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid"}


@pytest.fixture
def other() -> Iterator[ServedBus]:
    with served_bus() as bus:
        yield bus


def put(door: ServedBus, bus: str, target: Any, rule: str = "copy") -> Any:
    document = {"pattern": {"type": [{"prefix": "order."}]}, "target": target}
    return door.put(f"/v1/buses/{bus}/rules/{rule}", json=document)


def documents(door: ServedBus, bus: str) -> list[Any]:
    return [stored["event"] for stored in door.get(f"/v1/buses/{bus}/events").json()["events"]]


def ids(door: ServedBus, bus: str) -> list[str]:
    return [event["id"] for event in documents(door, bus) if not event["type"].startswith("io.eventyard.")]


def test_a_rule_brings_events_to_another_bus_and_shows_its_target(door: ServedBus, name: str) -> None:
    assert door.put(f"/v1/buses/{name}-2").is_success
    answer = put(door, name, {"bus": {"name": f"{name}-2"}})
    assert (answer.status_code, answer.json()["target"]) == (201, {"bus": {"name": f"{name}-2"}})
    door.publish(name, EVENT)
    door.wait_until(lambda: ids(door, f"{name}-2") == ["1"])
    door.wait_until(lambda: door.get(f"/v1/buses/{name}/rules/copy/status").json()["delivered"] == 1)


@pytest.mark.parametrize("target", [{"bus": {"name": "SELF"}}, {"bus": {"name": "a b"}}, {"bus": {"name": "x", "more": 1}}])
def test_a_bus_that_cannot_be_the_target_is_refused_in_its_place(door: ServedBus, name: str, target: Any) -> None:
    if target["bus"]["name"] == "SELF":
        target = {"bus": {"name": name}}
    answer = put(door, name, target)
    assert answer.status_code == 400
    assert "/target/bus" in answer.json()["detail"]


def caller(*grants: Grant) -> Caller:
    return Caller("key:1/team", grants)


def test_whoever_puts_such_a_rule_must_be_allowed_to_publish_there() -> None:
    manage = Grant((Scope.MANAGE,), ("team",))
    caller(manage, Grant((Scope.PUBLISH,), ("other",))).check_forward("other")
    caller(Grant((Scope.MANAGE, Scope.PUBLISH))).check_forward("other")
    for grants in (
        (manage,),
        (manage, Grant((Scope.PUBLISH,), ("team",))),
        (manage, Grant((Scope.PUBLISH,), ("other",), "/team/")),
        (manage, Grant((Scope.PUBLISH,), ("other",), "", ("order.paid",))),
    ):
        with pytest.raises(Forbidden):
            caller(*grants).check_forward("other")


def test_a_key_of_one_bus_cannot_write_to_another_through_a_rule(other: ServedBus) -> None:
    for bus in ("team", "vault"):
        assert other.put(f"/v1/buses/{bus}").is_success
    admin = other.post("/v1/keys", json={"name": "admin", "scopes": ["publish", "manage", "read"]}).json()["key"]
    grant = {"name": "team", "scopes": ["manage", "publish", "read"], "buses": ["team"]}
    key = other.post("/v1/keys", json=grant, headers={"authorization": f"Bearer {admin}"}).json()["key"]

    rule = {"pattern": {"type": ["t"]}, "target": {"bus": {"name": "vault"}}}
    answer = other.put("/v1/buses/team/rules/r", json=rule, headers={"authorization": f"Bearer {key}"})

    assert answer.status_code == 403
    assert "may not publish every event on bus vault" in answer.json()["detail"]
    allowed = other.put("/v1/buses/team/rules/r", json=rule, headers={"authorization": f"Bearer {admin}"})
    assert allowed.status_code == 201


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_an_event_that_comes_back_from_another_server_is_the_same_and_its_hops_go_along(
    door: ServedBus, name: str, other: ServedBus, mode: str
) -> None:
    there, back = f"{other.url}/v1/buses/default/events", f"{door.url}/v1/buses/{name}/events"
    put(door, name, {"http": {"url": there, "mode": mode}})
    put(other, "default", {"http": {"url": back, "mode": mode}})
    door.publish(name, EVENT | {"eventyardhops": 3})

    other.wait_until(lambda: other.get("/v1/buses/default/rules/copy/status").json()["delivered"] == 1)
    assert (ids(door, name), ids(other, "default")) == (["1"], ["1"])
    assert [int(event.get("eventyardhops", 0)) for event in documents(other, "default")] == [0, 3]


def test_a_rule_that_may_feed_itself_is_put_with_a_warning(door: ServedBus, name: str) -> None:
    assert door.put(f"/v1/buses/{name}-2").is_success
    assert "warnings" not in put(door, name, {"bus": {"name": f"{name}-2"}}).json()

    [circle] = put(door, f"{name}-2", {"bus": {"name": name}}).json()["warnings"]
    [nowhere] = put(door, name, {"bus": {"name": "nowhere"}}, rule="other").json()["warnings"]

    assert f"{name}-2 -> {name} -> {name}-2" in circle
    assert "there is no bus nowhere" in nowhere
    assert "warnings" not in door.get(f"/v1/buses/{name}-2/rules/copy").json()
