"""GET .../explain, as whoever asks why sees it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import targets
from tests.support.buses import ServedBus, served_bus
from tests.support.targets import Target

SECRET = "hush-hush"


@pytest.fixture
def failing() -> Iterator[Target]:
    with Target(targets.answers(503, body=b"busy")) as target:
        yield target


def put_rule(door: ServedBus, bus: str, name: str, **changes: Any) -> Any:
    document = {"pattern": {"type": ["order.paid"]}, "target": {"queue": {}}} | changes
    answer = door.put(f"/v1/buses/{bus}/rules/{name}", json=document)
    assert answer.is_success, answer.text
    return answer.json()


def publish(door: ServedBus, bus: str, data: Any = None) -> int:
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid", "subject": "o-1", "data": data or {}}
    answer = door.publish(bus, event)
    assert answer.status_code == 202
    position: int = answer.json()["position"]
    return position


def explained(door: ServedBus, bus: str, position: int, **query: Any) -> Any:
    answer = door.get(f"/v1/buses/{bus}/events/{position}/explain", params=query)
    assert answer.is_success, answer.text
    return answer.json()


def test_every_rule_is_told_in_the_order_in_which_they_were_created(door: ServedBus, name: str) -> None:
    put_rule(door, name, "b")
    put_rule(door, name, "a", pattern={"data": {"total": [{"numeric": [">=", 20]}]}})
    position = publish(door, name, {"total": 12})

    found = explained(door, name, position)
    assert found["event"] == {"id": "1", "source": "/shop", "type": "order.paid", "subject": "o-1"}
    assert [(rule["rule"], rule["outcome"], rule["why"]) for rule in found["rules"]] == [
        ("b", "waiting", "it waits for a consumer to receive it"),
        ("a", "no-match", "data.total 12 is not >= 20"),
    ]
    assert [rule["then"]["match"] for rule in found["rules"]] == [True, False]
    assert found["next"] is None


def test_next_continues_where_the_page_ended(door: ServedBus, name: str) -> None:
    for number in range(3):
        put_rule(door, name, f"r{number}")
    position = publish(door, name)
    names, after = [], "0"
    while after is not None:
        found = explained(door, name, position, limit=2, after=after)
        names += [rule["rule"] for rule in found["rules"]]
        after = found["next"]
    assert names == ["r0", "r1", "r2"]


def test_attempts_and_what_they_came_to_are_told_and_the_targets_address_is_not(
    door: ServedBus, name: str, failing: Target
) -> None:
    url = f"{failing.url}?token={SECRET}"
    delivery = {"max_attempts": 3, "backoff": {"initial_s": 0}}
    put_rule(door, name, "r", target={"http": {"url": url}}, delivery=delivery)
    position = publish(door, name)
    door.wait_until(lambda: explained(door, name, position)["rules"][0]["outcome"] == "dead")

    answer = door.get(f"/v1/buses/{name}/events/{position}/explain", params={"rule": "r"})
    assert SECRET not in answer.text
    (rule,) = answer.json()["rules"]
    (told,) = rule["deliveries"]
    assert 'its attempts were used up (3 attempts); the last answer was 503: "busy"' in rule["why"]
    assert (told["attempts"], told["reason"], told["due"], told["ended"] is None) == (3, "attempts", None, False)
    assert [(one["count"], one["status"], one["body"], one["reason"]) for one in told["answers"]] == [
        (2, 503, "busy", ""),
        (1, 503, "busy", "attempts"),
    ]


def test_a_rule_that_nobody_knows_is_not_found(door: ServedBus, name: str) -> None:
    position = publish(door, name)
    answer = door.get(f"/v1/buses/{name}/events/{position}/explain", params={"rule": "nobody"})
    assert (answer.status_code, answer.json()["found"]) == (404, f'found no rule "nobody" on bus "{name}"')


@pytest.mark.parametrize("position", [2, 9_007_199_254_740_991])
def test_an_event_that_is_not_there_is_not_found(door: ServedBus, name: str, position: int) -> None:
    publish(door, name)
    assert door.get(f"/v1/buses/{name}/events/{position}/explain").status_code == 404


def test_who_paused_a_rule_and_who_discarded_its_deliveries_is_told() -> None:
    with served_bus() as bus:
        made = bus.post("/v1/keys", json={"name": "ann", "scopes": ["publish", "manage", "read"]}).json()
        own = {"authorization": f"Bearer {made['key']}"}
        document = {"pattern": {"type": ["order.paid"]}, "target": {"queue": {}}}
        assert bus.put("/v1/buses/default/rules/r", json=document, headers=own).status_code == 201
        event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid"}
        position = bus.publish("default", event, **own).json()["position"]
        explain = f"/v1/buses/default/events/{position}/explain"
        for method, path, words in (("POST", "/pause", "the rule is paused"), ("DELETE", "", "its rule was deleted")):
            assert bus.request(method, f"/v1/buses/default/rules/r{path}", headers=own).is_success
            (told,) = bus.get(explain, headers=own).json()["rules"]
            assert words in told["why"]
            assert re.search(r" by key:\w+/ann\b", told["why"])
        assert made["key"].split("_")[-1] not in bus.get(explain, headers=own).text


def test_a_log_without_events_says_so(door: ServedBus, name: str) -> None:
    assert door.put(f"/v1/buses/{name}", json={}).is_success
    problem = door.get(f"/v1/buses/{name}/events/1").json()
    assert (problem["found"], problem["wanted"]) == ("found no event at position 1", "an event: the log has none")
