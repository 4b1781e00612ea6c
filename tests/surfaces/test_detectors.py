"""Detectors as an operator sees them: put, refused, counted, and asked about their keys."""

from typing import Any

import pytest

from eventyard.client import Client
from eventyard.core import limits
from tests.support.buses import ServedBus

DETECTOR: dict[str, Any] = {
    "on": {"type": ["car.updated"]},
    "when": {"data": {"status": ["sold"]}},
    "emit": {"rise": {"type": "car.sold"}},
}


def put(door: ServedBus, bus: str, name: str = "d", **changes: Any) -> Any:
    return door.put(f"/v1/buses/{bus}/detectors/{name}", json=DETECTOR | changes)


def see(door: ServedBus, bus: str, *seen: str, key: str = "c/1 ü") -> None:
    for number, status in enumerate(seen):
        event = {"specversion": "1.0", "id": f"{key}-{status}-{number}", "source": "/s", "type": "car.updated", "subject": key}
        answer = door.post(
            f"/v1/buses/{bus}/events",
            json=event | {"data": {"status": status}},
            headers={"content-type": "application/cloudevents+json"},
        )
        assert answer.status_code == 202, answer.text


def test_a_detector_is_created_changed_listed_and_deleted(door: ServedBus, name: str) -> None:
    created = put(door, name)
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    assert created.json()["when"] == DETECTOR["when"]
    assert (created.json()["until"], created.json()["state"]["keys"]) == (None, 0)
    assert put(door, name).status_code == 200
    changed = put(door, name, for_s=3)
    assert (changed.status_code, changed.json()["for_s"], changed.json()["state"]["version"]) == (200, 3.0, 2)
    path = f"/v1/buses/{name}/detectors"
    put(door, name, "e", on={"type": ["x"]})
    assert [one["name"] for one in door.get(path).json()["detectors"]] == ["d", "e"]
    page = door.get(path, params={"limit": 1}).json()
    assert ([one["name"] for one in page["detectors"]], page["next"]) == (["d"], "d")
    saved = {member: value for member, value in changed.json().items() if member != "turns"}
    assert door.get(f"{path}/d").json() == {**saved, "state": door.get(f"{path}/d").json()["state"]}
    assert door.request("DELETE", f"{path}/d", headers={"if-match": '"1"'}).status_code == 412
    assert door.request("DELETE", f"{path}/d").status_code == 204
    assert door.get(f"{path}/d").status_code == 404
    assert door.request("DELETE", f"{path}/d").status_code == 404


@pytest.mark.parametrize(
    ("changes", "at", "says"),
    [
        ({"when": {}}, "/when", "an empty object"),
        ({"when": {"data": {"n": [{"numeric": ["?", 1]}]}}}, "/when/data/n/0/numeric/0", "?"),
        ({"until": {"data": "x"}}, "/until/data", ""),
        ({"on": "car.updated"}, "/on", "car.updated"),
        ({"key": "a..b"}, "/key", "a..b"),
        ({"for_s": -1}, "/for_s", "-1"),
        ({"keep_for_s": 1e12}, "/keep_for_s", ""),
        ({"late_by_s": "soon"}, "/late_by_s", "soon"),
        ({"forget_after_s": 0}, "/forget_after_s", "0"),
        ({"first": "maybe"}, "/first", '"arm", "fire", "suppress"'),
        ({"order_by": "size"}, "/order_by", "sequence"),
        ({"emit": {}}, "/emit", "neither a rise nor a fall"),
        ({"emit": {"rise": {"type": "io.eventyard.x"}}}, "/emit/rise/type", "io.eventyard."),
        ({"emit": {"fall": {"type": "a\nb"}}}, "/emit/fall/type", "control characters"),
        ({"emit": {"rise": {"type": ""}}}, "/emit/rise/type", ""),
        ({"max_keys": 0}, "/max_keys", "0"),
        ({"max_edges_per_s": 0}, "/max_edges_per_s", "0"),
        ({"wehn": {}}, "/wehn", "when"),
        ({"on": {"type": ["car.sold"]}}, "/on", "its own"),
    ],
)
def test_a_bad_document_is_one_clear_problem(door: ServedBus, name: str, changes: dict[str, Any], at: str, says: str) -> None:
    answer = put(door, name, **changes)
    problem = answer.json()
    assert (answer.status_code, problem["at"]) == (400, at)
    assert says in problem["detail"]
    assert door.get(f"/v1/buses/{name}/detectors").json()["detectors"] == []


def test_a_bad_name_and_a_bus_that_is_not_there_are_told(door: ServedBus, name: str) -> None:
    assert put(door, name, "-x").json()["type"].endswith("invalid-name")
    assert put(door, "nobody").status_code == 404


def test_an_edge_is_in_the_log_and_what_is_known_of_the_key_is_told(door: ServedBus, name: str) -> None:
    put(door, name)
    see(door, name, "for sale", "sold")
    events = door.get(f"/v1/buses/{name}/events", params={"pattern": '{"type": ["car.sold"]}'}).json()["events"]
    assert [event["event"]["subject"] for event in events] == ["c/1 ü"]
    key = door.get(f"/v1/buses/{name}/detectors/d/keys/c%2F1%20%C3%BC").json()
    assert (key["state"], key["said"], key["why"]) == ("true", {"data.status": "sold"}, 'data.status "sold" is "sold"')
    assert [(change["state"], change["told"]) for change in key["changes"]] == [("false", False), ("true", True)]
    state = door.get(f"/v1/buses/{name}/detectors/d").json()["state"]
    assert (state["keys"], state["observations"], state["rises"]) == (1, 2, 1)


def test_a_hold_tells_when_it_ends_and_is_an_edge_by_time_alone(door: ServedBus, name: str) -> None:
    put(door, name, for_s=3_600)
    put(door, name, "soon", for_s=0.01, emit={"rise": {"type": "soon"}})
    see(door, name, "for sale", "sold")
    key = door.get(f"/v1/buses/{name}/detectors/d/keys/c%2F1%20%C3%BC").json()
    assert (key["state"], key["hold_since"] < key["ends"]) == ("pending", True)
    path = f"/v1/buses/{name}/events"
    stream = door.get(path, params={"pattern": '{"type": ["soon"]}'}).json()["events"]
    while not stream:
        stream = door.get(path, params={"pattern": '{"type": ["soon"]}'}).json()["events"]
    assert stream[0]["event"]["data"]["held_for_s"] == 0.01


def test_keys_are_listed_in_pages(door: ServedBus, name: str) -> None:
    put(door, name)
    for key in ("a", "b", "c"):
        see(door, name, "for sale", key=key)
    path = f"/v1/buses/{name}/detectors/d/keys"
    page = door.get(path, params={"limit": 2}).json()
    assert ([key["key"] for key in page["keys"]], page["next"]) == (["a", "b"], "b")
    assert [key["key"] for key in door.get(path, params={"after": "b"}).json()["keys"]] == ["c"]
    answer = door.get(f"{path}/nobody")
    assert (answer.status_code, "nobody" in answer.json()["detail"]) == (404, True)


def test_what_was_counted_is_in_the_metrics(door: ServedBus, name: str) -> None:
    put(door, name)
    see(door, name, "for sale", "sold", key="m")
    lines = door.get("/metrics").text.splitlines()
    for line in (
        f'eventyard_detector_keys{{bus="{name}",detector="d"}} 1.0',
        f'eventyard_detector_edges_total{{bus="{name}",detector="d",edge="rise"}} 1.0',
        f'eventyard_detector_observations_total{{bus="{name}",detector="d"}} 2.0',
    ):
        assert line in lines


def turns(door: ServedBus, bus: str, changes: dict[str, Any], *, after: str = "", of: str = "d") -> Any:
    path = f"/v1/buses/{bus}/detectors/{of}/turns"
    return door.request("POST", path, json=DETECTOR | changes, params={"after": after} if after else {})


def test_a_change_tells_how_many_keys_it_turns_before_and_when_it_is_saved(
    door: ServedBus, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKTEST_MS_MAX", 60_000)
    assert put(door, name).json()["turns"] is None
    for key in ("a", "b", "c"):
        see(door, name, "for sale", key=key)
    see(door, name, "sold", key="d")
    wider: dict[str, Any] = {"when": {"data": {"status": ["sold", "for sale"]}}}
    told = {"keys": 4, "judged": 4, "turned": 3, "unsaid": 0, "names": ["a", "b", "c"], "next": None}
    assert turns(door, name, wider).json() == told
    assert turns(door, name, {}).json()["judged"] == 0
    assert put(door, name, **wider).json()["turns"] == told
    assert put(door, name, **wider).json()["turns"] is None
    other = turns(door, name, {"on": {"type": ["car.moved"]}}).json()
    assert (other["judged"], other["turned"], other["unsaid"]) == (4, 0, 4)
    path = f"/v1/buses/{name}/detectors/d"
    while door.get(path).json()["state"]["judging"]:
        pass
    assert door.get(path).json()["state"]["turned"] == 3


def test_of_many_keys_turns_are_told_stretch_by_stretch(door: ServedBus, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TURNS_KEYS_AT_ONCE", 1)
    monkeypatch.setattr(limits, "TURNS_KEYS_MAX", 2)
    monkeypatch.setattr(limits, "BACKTEST_MS_MAX", 60_000)
    put(door, name)
    for key in ("a", "b", "c"):
        see(door, name, "for sale", key=key)
    wider = {"when": {"data": {"status": ["for sale"]}}}
    first = turns(door, name, wider).json()
    assert (first["keys"], first["judged"], first["turned"], first["next"]) == (3, 2, 2, "b")
    last = turns(door, name, wider, after="b").json()
    assert (last["judged"], last["names"], last["next"]) == (1, ["c"], None)
    with Client(door.url) as client:
        *_, found = client.detector_turns("d", DETECTOR | wider, bus=name)
    assert (found.judged, found.turned, found.next) == (3, 3, None)


def test_turns_of_what_could_not_be_saved_are_refused(door: ServedBus, name: str) -> None:
    put(door, name)
    for changes, at in (({"key": "data.id"}, "/key"), ({"on": {"type": ["car.sold"]}}, "/on"), ({"when": 7}, "/when")):
        answer = turns(door, name, changes)
        assert (answer.status_code, answer.json()["at"]) == (400, at)
    assert turns(door, name, {}, of="new").json()["keys"] == 0
    assert turns(door, name, {}, of="not a name").status_code == 400
    assert turns(door, "nobody", {}).status_code == 404
