"""Schedules as a caller sees them, and over a real clock."""

import time
from typing import Any

import pytest

from eventyard.client import Client, ProblemError
from tests.support.buses import ServedBus

OPENING = {"cron": "0 8 * * MON-SAT", "zone": "Europe/Berlin", "emit": {"type": "shop.opens"}}


def put(door: ServedBus, bus: str, document: dict[str, Any], name: str = "opening", **more: Any) -> Any:
    return door.put(f"/v1/buses/{bus}/schedules/{name}", json=document, **more)


def test_a_schedule_is_made_shown_changed_and_deleted(door: ServedBus, name: str) -> None:
    made = put(door, name, OPENING)
    assert made.status_code == 201
    shown = made.json()
    assert (shown["name"], shown["cron"], shown["misfire"], shown["jitter_s"]) == ("opening", "0 8 * * MON-SAT", "once", 0)
    assert shown["emit"] == {"type": "shop.opens", "subject": "", "data": {}}
    state = shown["state"]
    assert (len(state["next"]), state["last"], state["published"]) == (5, None, 0)
    again = put(door, name, OPENING)
    assert (again.status_code, again.headers["etag"]) == (200, made.headers["etag"])
    changed = put(door, name, OPENING | {"misfire": "skip"}, headers={"if-match": made.headers["etag"]})
    assert changed.json()["state"]["version"] > state["version"]
    assert put(door, name, OPENING, headers={"if-match": made.headers["etag"]}).status_code == 412
    path = f"/v1/buses/{name}/schedules/opening"
    assert door.get(path).json() == changed.json()
    assert door.request("DELETE", path).status_code == 204
    assert door.get(path).status_code == 404


def test_a_list_is_by_name_and_in_pages(door: ServedBus, name: str) -> None:
    for number in (2, 1, 3):
        put(door, name, OPENING, f"s-{number}")
    page = door.get(f"/v1/buses/{name}/schedules?limit=2").json()
    assert ([one["name"] for one in page["schedules"]], page["next"]) == (["s-1", "s-2"], "s-2")
    rest = door.get(f"/v1/buses/{name}/schedules?after=s-2").json()
    assert ([one["name"] for one in rest["schedules"]], rest["next"]) == (["s-3"], None)
    assert [len(one["state"]["next"]) for one in page["schedules"]] == [1, 1]


def test_a_paused_schedule_has_no_next_instant(door: ServedBus, name: str) -> None:
    put(door, name, OPENING)
    path = f"/v1/buses/{name}/schedules/opening"
    paused = door.request("POST", f"{path}/pause").json()
    assert (paused["state"]["paused"], paused["state"]["next"]) == (True, [])
    assert len(door.request("POST", f"{path}/resume").json()["state"]["next"]) == 5


def test_a_bad_document_is_a_problem_that_names_the_place(door: ServedBus, name: str) -> None:
    answer = put(door, name, OPENING | {"cron": "0 25 * * *"})
    problem = answer.json()
    assert (answer.status_code, problem["type"].rsplit("/", 1)[-1].rsplit(":", 1)[-1]) == (400, "invalid-schedule")
    assert 'found "25" for the hour' in problem["detail"]
    assert put(door, name, OPENING, "not a name").status_code == 400
    assert put(door, "nowhere", OPENING).status_code == 404


def test_the_client_has_all_of_it_and_events_come(door: ServedBus, name: str) -> None:
    with Client(door.url) as client:
        made = client.put_schedule("pulse", {"every_s": 1, "emit": {"type": "shop.pulse", "data": {"a": 1}}}, bus=name)
        assert client.schedule("pulse", bus=name).every_s == made.every_s == 1
        deadline = time.monotonic() + 30
        while not (found := [event.event for event in client.events(bus=name, pattern={"type": ["shop.pulse"]})]):
            assert time.monotonic() < deadline
        assert found[0]["id"].endswith(f"-{made.state.uid}-{found[0]['id'].rsplit('-', 1)[1]}")
        assert client.pause_schedule("pulse", bus=name).state.paused
        assert not client.resume_schedule("pulse", bus=name).state.paused
        assert [one.name for one in client.schedules(bus=name)] == ["pulse"]
        with pytest.raises(ProblemError, match="version"):
            client.delete_schedule("pulse", bus=name, version=1_000)
        client.delete_schedule("pulse", bus=name)
        assert list(client.schedules(bus=name)) == []


def test_metrics_tell_how_many_there_are(door: ServedBus, name: str) -> None:
    put(door, name, OPENING)
    text = door.get("/metrics").text
    assert f'eventyard_bus_schedules{{bus="{name}"}}' in text
    assert f'eventyard_bus_schedules_overdue_seconds{{bus="{name}"}}' in text
