"""POST .../backtest/detectors, as whoever asks before a detector is put sees it."""

from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.clock import DAY_MS
from tests.support.builders import ManualClock
from tests.support.buses import ServedBus, served_bus

SOLD: dict[str, Any] = {
    "on": {"type": ["car.updated"]},
    "when": {"data": {"status": ["sold"]}},
    "emit": {"rise": {"type": "car.sold"}, "fall": {"type": "car.back"}},
}


def see(door: ServedBus, bus: str, *seen: str, key: str = "c1", kind: str = "car.updated") -> None:
    for number, status in enumerate(seen):
        event = {"specversion": "1.0", "id": f"{kind}-{key}-{number}", "source": "/s", "type": kind, "subject": key}
        assert door.publish(bus, event | {"data": {"status": status}}).status_code == 202


def put(door: ServedBus, bus: str, **changes: Any) -> int:
    answer = door.put(f"/v1/buses/{bus}/detectors/d", json=SOLD | changes)
    assert answer.is_success, answer.text
    version: int = answer.json()["state"]["version"]
    return version


def ask(door: ServedBus, bus: str, **asked: Any) -> Any:
    return door.post(f"/v1/buses/{bus}/backtest/detectors", json={"detector": SOLD} | asked)


def found(door: ServedBus, bus: str, **asked: Any) -> Any:
    """All of it."""
    answer = ask(door, bus, **asked)
    while answer.status_code == 200 and not answer.json()["done"]:
        answer = door.post(f"/v1/buses/{bus}/backtest/detectors/{answer.json()['backtest']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_would_have_been_published_is_told_with_its_keys_and_reasons(door: ServedBus, name: str) -> None:
    see(door, name, "for sale", "sold", "sold", "for sale")
    see(door, name, "for sale", "sold", key="c2")
    told = found(door, name)
    assert (told["first"], told["last"], told["next_after"], told["events"]) == (1, 6, None, 6)
    assert (told["told"], told["added"], told["removed"], told["version"], told["in_force"]) == (3, 0, 0, 0, None)
    assert told["types"] == [{"type": "car.back", "told": 1}, {"type": "car.sold", "told": 2}]
    assert told["keys"] == [
        {"key": "c1", "told": 2, "added": 0, "removed": 0},
        {"key": "c2", "told": 1, "added": 0, "removed": 0},
    ]
    counts = told["counts"]
    assert (counts["keys"], counts["rises"], counts["falls"], counts["observations"]) == (2, 2, 1, 6)
    sample = told["samples"]["told"][0]
    assert (sample["position"], sample["event"]["subject"]) == (2, "c1")
    assert sample["event"]["data"]["why"] == 'data.status "sold" is "sold"'
    assert door.get(f"/v1/buses/{name}/detectors").json()["detectors"] == []


def test_the_version_in_force_is_held_beside_it(door: ServedBus, name: str) -> None:
    version = put(door, name)
    see(door, name, "for sale", "sold", "gone", "for sale")
    gone = SOLD | {"when": {"data": {"status": ["gone"]}}}
    told = found(door, name, detector=gone, name="d")
    assert (told["name"], told["version"], told["told"], told["added"], told["removed"]) == ("d", version, 2, 2, 2)
    assert [one["position"] for one in told["samples"]["added"]] == [5, 7]
    assert [one["position"] for one in told["samples"]["removed"]] == [3, 5]
    assert told["in_force"]["rises"] == 1
    assert found(door, name, name="d")["added"] == 0


def test_it_goes_on_where_a_request_has_seen_enough(door: ServedBus, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    see(door, name, "for sale", "sold", "for sale", "sold", "for sale")
    whole = found(door, name)
    monkeypatch.setattr(limits, "BACKTEST_EVENTS_MAX", 2)
    monkeypatch.setattr(limits, "BACKTEST_MS_MAX", 60_000)
    first = ask(door, name).json()
    assert (first["done"], first["next_after"], first["told"]) == (False, 2, 1)
    see(door, name, "sold", key="later")
    path = f"/v1/buses/{name}/backtest/detectors/{first['backtest']}"
    assert door.post(path).json()["next_after"] == 4
    last = door.post(path).json()
    assert last == {**whole, "backtest": first["backtest"]}
    assert door.post(path).json() == last


def test_two_are_under_way_at_once_and_who_is_not_asked_for_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKTEST_EVENTS_MAX", 1)
    clock = ManualClock()
    with served_bus(clock=clock) as bus:
        see(bus, "default", "for sale", "sold", "for sale")
        first, second = (ask(bus, "default").json()["backtest"] for _ in range(2))
        third = ask(bus, "default")
        assert (third.status_code, third.json()["type"]) == (503, "urn:eventyard:problem:overloaded")
        clock.advance(6_000)
        path = "/v1/buses/default/backtest/detectors"
        assert bus.post(f"{path}/{first}").status_code == 200
        assert ask(bus, "default").status_code == 200
        assert (bus.post(f"{path}/{first}").status_code, bus.post(f"{path}/{second}").status_code) == (200, 404)


def test_times_choose_what_is_gone_over_and_holds_end_up_to_then() -> None:
    clock = ManualClock(1_700_006_400_000)
    with served_bus(clock=clock) as bus:
        see(bus, "default", "for sale", "sold")
        clock.advance(DAY_MS)
        see(bus, "default", "x", kind="other")
        held = {"detector": SOLD | {"for_s": 3_600}}
        told = found(bus, "default", **held)
        assert [(day["day"], day["events"], day["told"]) for day in told["days"]] == [
            ("2023-11-15", 2, 1),
            ("2023-11-16", 1, 0),
        ]
        assert told["samples"]["told"][0]["at"].startswith("2023-11-15T01:00:00")
        assert found(bus, "default", **held, until="2023-11-15T00:30:00Z")["counts"]["pending"] == 1
        assert found(bus, "default", **held, **{"from": "2023-11-16T00:00:00Z"})["events"] == 1


@pytest.mark.parametrize(
    ("asked", "at", "says"),
    [
        ({"detector": {}}, "/detector", '"on"'),
        ({"detector": SOLD | {"when": {"data": "x"}}}, "/detector/when/data", '"x"'),
        ({"detector": SOLD | {"on": {"type": ["car.sold"]}}}, "/detector/on", "car.sold"),
        ({"detector": SOLD | {"key": "data.id"}, "name": "d"}, "/detector/key", "data.id"),
        ({"detector": 7}, "/detector", "a number"),
        ({"from": "soon"}, "/from", "soon"),
        ({"samples": 101}, "/samples", "101"),
        ({"version": 1}, "/version", "a version and no name"),
        ({"name": "d", "version": 7}, "/version", "version 1"),
        ({"name": "none", "version": 7}, "/version", "version 7"),
        ({"pattern": {}}, "/pattern", "pattern"),
    ],
)
def test_what_cannot_be_tried_is_refused_with_the_place(
    door: ServedBus, name: str, asked: dict[str, Any], at: str, says: str
) -> None:
    put(door, name)
    answer = ask(door, name, **asked)
    problem = answer.json()
    assert (answer.status_code, problem["at"], says in problem["detail"]) == (
        412 if says.startswith("version") else 400,
        at,
        True,
    ), problem


def test_one_of_another_bus_or_of_nobody_is_not_there(door: ServedBus, name: str) -> None:
    see(door, name, "for sale")
    token = found(door, name)["backtest"]
    for bus, of in ((name, "0123456789abcdef"), ("default", token)):
        assert door.post(f"/v1/buses/{bus}/backtest/detectors/{of}").status_code == 404
    assert ask(door, "nobody").status_code == 404


SHIPPED: dict[str, Any] = {
    "after": {"type": ["order.paid"]},
    "expect": {"type": ["order.shipped"]},
    "within_s": 60,
    "key": "subject",
    "emit": {"missed": {"type": "order.stuck"}, "met": {"type": "order.on-time"}},
}


def test_an_expectation_is_tried_beside_the_one_in_force() -> None:
    clock = ManualClock()
    with served_bus(clock=clock) as bus:
        assert bus.put("/v1/buses/default/expectations/e", json=SHIPPED | {"within_s": 600}).status_code == 201
        see(bus, "default", "x", key="o-1", kind="order.paid")
        clock.advance(100_000)
        see(bus, "default", "x", key="o-1", kind="order.shipped")
        path = "/v1/buses/default/backtest/expectations"
        answer = bus.post(path, json={"expectation": SHIPPED, "name": "e"})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["done"], told["version"], told["told"], told["added"], told["removed"]) == (True, 1, 1, 1, 1)
        assert told["samples"]["added"][0]["event"]["type"] == "order.stuck"
        assert told["samples"]["removed"][0]["event"]["type"] == "order.on-time"
        assert (told["counts"]["missed"], told["in_force"]["met"], "withdrawn" in told["counts"]) == (1, 1, False)
        assert bus.post(f"{path}/{told['backtest']}").json() == told
        assert bus.post(f"/v1/buses/default/backtest/detectors/{told['backtest']}").status_code == 404


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"within_s": 0}, "/expectation/within_s"),
        ({"after": {"data": 7}}, "/expectation/after/data"),
        ({"expect": {}}, "/expectation/expect"),
        ({"emit": {"missed": {"type": "order.paid"}}}, "/expectation/after"),
        ({"key": "data.id"}, "/expectation/key"),
    ],
)
def test_an_expectation_that_could_not_be_saved_is_refused_with_the_place(
    door: ServedBus, name: str, changes: dict[str, Any], at: str
) -> None:
    assert door.put(f"/v1/buses/{name}/expectations/e", json=SHIPPED).status_code == 201
    answer = door.post(f"/v1/buses/{name}/backtest/expectations", json={"expectation": SHIPPED | changes, "name": "e"})
    assert (answer.status_code, answer.json()["at"]) == (400, at), answer.text
