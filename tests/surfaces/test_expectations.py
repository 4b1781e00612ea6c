"""Expectations as an operator sees them: put, refused, counted, and asked about what they have open."""

from typing import Any

import pytest

from tests.support.buses import ServedBus

EXPECTATION: dict[str, Any] = {
    "after": {"type": ["order.paid"]},
    "expect": {"type": ["order.shipped"]},
    "within_s": 600,
    "emit": {"missed": {"type": "order.missed"}, "met": {"type": "order.met"}},
}


def put(door: ServedBus, bus: str, name: str = "x", **changes: Any) -> Any:
    return door.put(f"/v1/buses/{bus}/expectations/{name}", json=EXPECTATION | changes)


def tell(door: ServedBus, bus: str, *kinds: str, key: str = "o/1 ü") -> None:
    for number, kind in enumerate(kinds):
        event = {"specversion": "1.0", "id": f"{key}-{kind}-{number}", "source": "/s", "type": kind, "subject": key}
        headers = {"content-type": "application/cloudevents+json"}
        answer = door.post(f"/v1/buses/{bus}/events", json=event, headers=headers)
        assert answer.status_code == 202, answer.text


def test_an_expectation_is_created_changed_listed_and_deleted(door: ServedBus, name: str) -> None:
    created = put(door, name)
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    assert (created.json()["expect"], created.json()["late_for_s"]) == (EXPECTATION["expect"], None)
    assert put(door, name).status_code == 200
    changed = put(door, name, within_s=3)
    assert (changed.status_code, changed.json()["within_s"], changed.json()["state"]["version"]) == (200, 3.0, 2)
    path = f"/v1/buses/{name}/expectations"
    put(door, name, "y", after={"type": ["z"]})
    assert [one["name"] for one in door.get(path).json()["expectations"]] == ["x", "y"]
    page = door.get(path, params={"limit": 1}).json()
    assert ([one["name"] for one in page["expectations"]], page["next"]) == (["x"], "x")
    assert door.get(f"{path}/x").json()["within_s"] == 3
    assert door.request("DELETE", f"{path}/x", headers={"if-match": '"1"'}).status_code == 412
    assert door.request("DELETE", f"{path}/x").status_code == 204
    assert door.get(f"{path}/x").status_code == 404
    assert door.request("DELETE", f"{path}/x").status_code == 404


@pytest.mark.parametrize(
    ("changes", "at", "says"),
    [
        ({"after": {}}, "/after", "an empty object"),
        ({"expect": {}}, "/expect", "an empty object"),
        ({"expect": {"type": []}}, "/expect/type", ""),
        ({"expect": {"data": {"n": [{"numeric": ["?", 1]}]}}}, "/expect/data/n/0/numeric/0", "?"),
        ({"after": "order.paid"}, "/after", "order.paid"),
        ({"after": None}, "/after", "null"),
        ({"key": "a..b"}, "/key", "a..b"),
        ({"key": ""}, "/key", ""),
        ({"within_s": 0}, "/within_s", "0"),
        ({"within_s": -1}, "/within_s", "-1"),
        ({"within_s": "soon"}, "/within_s", "soon"),
        ({"within_s": 1e12}, "/within_s", ""),
        ({"late_for_s": -1}, "/late_for_s", "-1"),
        ({"emit": {}}, "/emit", "neither missed, met nor late"),
        ({"emit": {"missed": {"type": "io.eventyard.x"}}}, "/emit/missed/type", "io.eventyard."),
        ({"emit": {"late": {"type": "a\nb"}}}, "/emit/late/type", "control characters"),
        ({"emit": {"met": {"type": ""}}}, "/emit/met/type", ""),
        ({"emit": {"rise": {"type": "x"}}}, "/emit/rise", "missed"),
        ({"max_keys": 0}, "/max_keys", "0"),
        ({"max_missed_per_s": 0}, "/max_missed_per_s", "0"),
        ({"wihtin_s": 1}, "/wihtin_s", "within_s"),
        ({"after": {"type": ["order.missed"]}}, "/after", "its own"),
        ({"expect": {"type": ["order.met"]}}, "/expect", "its own"),
    ],
)
def test_a_bad_document_is_one_clear_problem(door: ServedBus, name: str, changes: dict[str, Any], at: str, says: str) -> None:
    answer = put(door, name, **changes)
    problem = answer.json()
    assert (answer.status_code, problem["at"]) == (400, at)
    assert says in problem["detail"]
    assert door.get(f"/v1/buses/{name}/expectations").json()["expectations"] == []


def test_a_bad_name_and_a_bus_that_is_not_there_are_told(door: ServedBus, name: str) -> None:
    assert put(door, name, "-x").json()["type"].endswith("invalid-name")
    assert put(door, "nobody").status_code == 404


def test_what_is_open_is_told_and_what_is_met_is_gone(door: ServedBus, name: str) -> None:
    put(door, name)
    tell(door, name, "order.paid")
    path = f"/v1/buses/{name}/expectations/x/keys/o%2F1%20%C3%BC"
    key = door.get(path).json()
    assert (key["key"], key["state"], key["after"]["position"], key["after"]["type"]) == ("o/1 ü", "open", 2, "order.paid")
    assert key["after"]["accepted"] < key["ends"]
    tell(door, name, "order.shipped")
    gone = door.get(path)
    assert (gone.status_code, "o/1 ü" in gone.json()["detail"]) == (404, True)
    met = door.get(f"/v1/buses/{name}/events", params={"pattern": '{"type": ["order.met"]}'}).json()["events"]
    assert [event["event"]["data"]["outcome"] for event in met] == ["met"]
    state = door.get(f"/v1/buses/{name}/expectations/x").json()["state"]
    assert (state["opened"], state["met"], state["keys"], state["open"]) == (1, 1, 0, 0)


def test_what_does_not_come_is_missed_by_time_alone(door: ServedBus, name: str) -> None:
    put(door, name, within_s=0.01)
    tell(door, name, "order.paid")
    path = f"/v1/buses/{name}/events"
    missed: list[Any] = []
    while not missed:
        missed = door.get(path, params={"pattern": '{"type": ["order.missed"]}'}).json()["events"]
    assert missed[0]["event"]["data"]["waited_s"] == 0.01


def test_keys_are_listed_in_pages(door: ServedBus, name: str) -> None:
    put(door, name)
    for key in ("a", "b", "c"):
        tell(door, name, "order.paid", key=key)
    path = f"/v1/buses/{name}/expectations/x/keys"
    page = door.get(path, params={"limit": 2}).json()
    assert ([key["key"] for key in page["keys"]], page["next"]) == (["a", "b"], "b")
    assert [key["key"] for key in door.get(path, params={"after": "b"}).json()["keys"]] == ["c"]


def test_what_was_counted_is_in_the_metrics(door: ServedBus, name: str) -> None:
    put(door, name)
    tell(door, name, "order.paid", "order.paid", key="m")
    tell(door, name, "order.shipped", "order.shipped", key="m")
    tell(door, name, "order.paid", key="n")
    lines = door.get("/metrics").text.splitlines()
    labels = f'bus="{name}",expectation="x"'
    for line in (
        f"eventyard_expectation_open{{{labels}}} 1.0",
        f"eventyard_expectation_keys{{{labels}}} 1.0",
        f"eventyard_expectation_opened_total{{{labels}}} 2.0",
        f'eventyard_expectation_outcomes_total{{{labels},outcome="met"}} 1.0',
        f'eventyard_expectation_untaken_total{{because="repeated",{labels}}} 1.0',
        f'eventyard_expectation_untaken_total{{because="unexpected",{labels}}} 1.0',
    ):
        assert line in lines
