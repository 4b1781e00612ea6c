"""Seek, replays and retention at the door."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import targets
from tests.support.buses import ServedBus
from tests.support.targets import Target

BATCHED = "application/cloudevents-batch+json"


@pytest.fixture
def target() -> Iterator[Target]:
    with Target(targets.answers(204)) as target:
        yield target


def publish(door: ServedBus, bus: str, *numbers: int) -> None:
    events = [
        {"specversion": "1.0", "id": str(number), "source": "/shop", "type": "order.paid", "data": {"n": number}}
        for number in numbers
    ]
    assert door.publish(bus, events, BATCHED).is_success


def put_rule(door: ServedBus, bus: str, target: Target, **changes: Any) -> str:
    path = f"/v1/buses/{bus}/rules/rewards"
    document = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": target.url}}} | changes
    assert door.put(path, json=document).is_success
    return path


def status(door: ServedBus, rule: str) -> Any:
    return door.get(f"{rule}/status").json()


def pushed(target: Target) -> list[int]:
    return sorted(json.loads(request.body)["data"]["n"] for request in target.requests)


# Seek


@pytest.mark.parametrize(
    ("to", "expected"),
    [("earliest", [1, 2, 3]), ({"position": 2}, [2, 3]), ({"time": "2001-01-01T00:00:00Z"}, [1, 2, 3]), ("latest", [])],
)
def test_a_sought_rule_goes_on_there_in_a_new_run(
    door: ServedBus, name: str, target: Target, to: Any, expected: list[int]
) -> None:
    publish(door, name, 1, 2, 3)
    rule = put_rule(door, name, target)
    answer = door.post(f"{rule}/seek", json={"to": to})
    assert (answer.status_code, answer.json()["state"]["run"]) == (200, 5)
    publish(door, name, 4)
    door.wait_until(lambda: status(door, rule)["delivered"] == len(expected) + 1)
    assert pushed(target) == [*expected, 4]
    assert {request.headers["eventyard-delivery"].rsplit("-", 1)[-1] for request in target.requests} == {"5"}
    assert door.get(f"/v1/buses/{name}/events/5").json()["event"]["type"] == "io.eventyard.rule.sought"


@pytest.mark.parametrize(
    ("to", "at"),
    [
        ({"position": 99}, "/to/position"),
        ({"time": "2999-01-01T00:00:00Z"}, "/to/time"),
        ({"time": "noon"}, "/to/time"),
        ({}, "/to"),
        ({"position": 1, "time": "2001-01-01T00:00:00Z"}, "/to"),
        ("resume", "/to"),
        (None, "/to"),
    ],
)
def test_a_place_that_is_none_is_refused(door: ServedBus, name: str, target: Target, to: Any, at: str) -> None:
    rule = put_rule(door, name, target)
    answer = door.post(f"{rule}/seek", json={"to": to})
    assert (answer.status_code, answer.json()["at"]) == (400, at)
    assert door.get(rule).json()["state"]["run"] == 0


# Replays


def test_a_replay_delivers_a_stretch_once_more_and_says_so(door: ServedBus, name: str, target: Target) -> None:
    rule = put_rule(door, name, target)
    publish(door, name, 1, 2, 3, 4)
    door.wait_until(lambda: status(door, rule)["delivered"] == 4)
    first = len(target.requests)
    asked = {"from": {"position": 3}, "until": {"position": 5}, "pattern": {"data": {"n": [3, 4]}}}
    begun = door.post(f"{rule}/replays", json=asked)
    run = begun.json()["run"]
    assert (begun.status_code, run, begun.json()["first"], begun.json()["last"]) == (202, 6, 3, 4)
    one = f"{rule}/replays/{run}"
    door.wait_until(lambda: door.get(one).json()["state"] == "done")
    told = door.get(one).json()
    assert (told["delivered"], told["pending"], told["next_position"], told["pattern"]) == (1, 0, 5, {"data": {"n": [3, 4]}})
    [again] = target.requests[first:]
    assert (json.loads(again.body)["data"]["n"], again.headers["eventyard-replay"]) == (3, "6")
    assert door.get(f"{rule}/replays").json()["replays"] == [told]
    assert door.delete(one).json() == told
    assert door.get(one).status_code == 404
    assert door.get(f"{rule}/replays").json() == {"replays": [], "next": None}


def test_a_replay_is_cancelled_with_what_it_still_owes(door: ServedBus, name: str, target: Target) -> None:
    rule = put_rule(door, name, target)
    publish(door, name, 1, 2, 3)
    door.wait_until(lambda: status(door, rule)["delivered"] == 3)
    run = door.post(f"{rule}/replays", json={"from": "earliest", "per_s": 0.001}).json()["run"]
    one = f"{rule}/replays/{run}"
    door.wait_until(lambda: door.get(one).json()["delivered"] == 1)
    cancelled = door.delete(one).json()
    assert (cancelled["state"], cancelled["per_s"], cancelled["discarded"]) == ("cancelled", 0.001, 2)
    assert door.get(one).json()["pending"] == 0
    assert len(target.requests) == 4


def test_a_rule_that_allows_replays_gets_them_without_a_mark(door: ServedBus, name: str, target: Target) -> None:
    rule = put_rule(door, name, target, replay="allow")
    publish(door, name, 1)
    assert door.post(f"{rule}/replays", json={"from": "earliest", "pace": "original"}).json()["pace"] == "original"
    target.wait_for_requests(2)
    assert all("eventyard-replay" not in request.headers for request in target.requests)


def test_a_rule_that_refuses_replays_gets_none(door: ServedBus, name: str, target: Target) -> None:
    rule = put_rule(door, name, target, replay="refuse")
    answer = door.post(f"{rule}/replays", json={"from": "earliest"})
    assert answer.status_code == 400
    assert "refuses replays" in answer.json()["found"]


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({}, "/"),
        ({"from": "latest"}, "/from"),
        ({"from": {"position": 99}}, "/from/position"),
        ({"from": {"position": 2}, "until": {"position": 2}}, "/from"),
        ({"from": "earliest", "until": "earliest"}, "/until"),
        ({"from": "earliest", "until": {"position": 99}}, "/until/position"),
        ({"from": "earliest", "until": {}}, "/until"),
        ({"from": "earliest", "pattern": {"type": "x"}}, "/pattern/type"),
        ({"from": "earliest", "pattern": []}, "/pattern"),
        ({"from": "earliest", "per_s": 0}, "/per_s"),
        ({"from": "earliest", "per_s": 1e-308}, "/per_s"),
        ({"from": "earliest", "pace": "slow"}, "/pace"),
        ({"from": "earliest", "per_s": 1, "pace": "original"}, "/pace"),
        ({"from": "earliest", "untl": 1}, "/untl"),
    ],
)
def test_a_replay_of_nothing_is_refused_at_its_place(
    door: ServedBus, name: str, target: Target, body: dict[str, Any], at: str
) -> None:
    rule = put_rule(door, name, target)
    answer = door.post(f"{rule}/replays", json=body)
    assert (answer.status_code, answer.json()["at"]) == (400, at)
    assert door.get(f"{rule}/replays").json()["replays"] == []


@pytest.mark.parametrize(("run", "code"), [("7", 404), ("0", 400), ("x", 400)])
def test_a_replay_that_is_none_is_told_so(door: ServedBus, name: str, target: Target, run: str, code: int) -> None:
    rule = put_rule(door, name, target)
    assert door.get(f"{rule}/replays/{run}").status_code == code
    assert door.delete(f"{rule}/replays/{run}").status_code == code


# Retention


def test_what_a_bus_keeps_is_set_in_part(door: ServedBus, name: str) -> None:
    path = f"/v1/buses/{name}"
    first = door.put(path, json={"retention": {"max_bytes": 5_000_000}})
    assert (first.status_code, first.json()["retention"]["max_bytes"]) == (200, 5_000_000)
    second = door.put(path, json={"retention": {"max_age_s": 60, "dead_letters_s": 30}}).json()
    assert second["retention"] == {"max_age_s": 60.0, "max_bytes": 5_000_000, "dead_letters_s": 30.0}
    assert door.put(path, json={}).json() == second == door.get(path).json()
    made = door.put(f"{path}-2", json={"retention": {"max_age_s": 9}})
    assert (made.status_code, made.json()["retention"]["max_age_s"]) == (201, 9.0)


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"retention": {"max_age_s": 0}}, "/retention/max_age_s"),
        ({"retention": {"max_bytes": -1}}, "/retention/max_bytes"),
        ({"retention": {"max_age": 1}}, "/retention/max_age"),
        ({"retenton": {}}, "/retenton"),
        ({"retention": 7}, "/retention"),
    ],
)
def test_what_no_bus_can_keep_is_refused_at_its_place(door: ServedBus, name: str, body: Any, at: str) -> None:
    answer = door.put(f"/v1/buses/{name}-new", json=body)
    assert (answer.status_code, answer.json()["at"]) == (400, at)
    assert door.get(f"/v1/buses/{name}-new").status_code == 404


def test_a_bus_tells_how_many_bytes_its_events_hold(door: ServedBus, name: str) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid"}
    door.publish(name, event)
    stored = door.get(f"/v1/buses/{name}/events/1").content
    told = door.get(f"/v1/buses/{name}").json()
    assert (told["floor"], told["bytes"]) == (1, len(json.dumps(event).encode()))
    assert json.dumps(event).encode() in stored


# A deleted rule's name


def test_a_rule_created_again_goes_on_where_it_stood(door: ServedBus, name: str, target: Target) -> None:
    rule = put_rule(door, name, target)
    publish(door, name, 1)
    door.wait_until(lambda: status(door, rule)["delivered"] == 1)
    door.post(f"{rule}/pause")
    publish(door, name, 2)
    door.delete(rule)
    publish(door, name, 3)
    document = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": target.url}}, "start": "resume"}
    door.wait_until(lambda: door.put(rule, json=document).status_code == 201)
    door.wait_until(lambda: status(door, rule)["delivered"] == 2)
    assert pushed(target) == [1, 2, 3]


def test_a_name_that_no_rule_had_cannot_be_resumed(door: ServedBus, name: str) -> None:
    document = {"pattern": {"type": ["a"]}, "target": {"http": {"url": "http://127.0.0.1:9/"}}, "start": "resume"}
    answer = door.put(f"/v1/buses/{name}/rules/new", json=document)
    assert (answer.status_code, answer.json()["at"]) == (400, "/start")
