"""GET .../story and `eventyard story`, as whoever asks what came of it sees them."""

import json
from typing import Any

import pytest

from eventyard.client import Client
from tests.support import targets
from tests.support.buses import ServedBus
from tests.support.targets import Target

REPLY = {"specversion": "1.0", "id": "p1", "source": "/packing", "type": "order.packed"}


def published(door: ServedBus, bus: str, id_: str, **more: Any) -> int:
    answer = door.publish(bus, {"specversion": "1.0", "id": id_, "source": "/shop", "type": "order.paid", **more})
    assert answer.status_code == 202, answer.text
    position: int = answer.json()["position"]
    return position


def story(door: ServedBus, bus: str, position: int, **query: Any) -> Any:
    answer = door.get(f"/v1/buses/{bus}/events/{position}/story", params=query)
    assert answer.is_success, answer.text
    return answer.json()


def test_a_reply_is_told_under_the_event_that_it_came_of(door: ServedBus, name: str) -> None:
    behaviour = targets.answers(200, body=json.dumps(REPLY).encode(), headers={"content-type": "application/cloudevents+json"})
    with Target(behaviour) as target:
        rule = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": target.url, "reply": True}}}
        assert door.put(f"/v1/buses/{name}/rules/packing", json=rule).is_success
        position = published(door, name, "o1", subject="order 1")
        door.wait_until(lambda: len(story(door, name, position)["events"]) == 2)

    told = story(door, name, position + 1)
    order, packed = told["events"]
    assert (told["root"], told["before"], told["cut"], told["next"]) == (position, None, False, None)
    assert order["event"] == {"id": "o1", "source": "/shop", "type": "order.paid", "subject": "order 1"}
    [delivery] = order["deliveries"]
    assert (delivery["rule"], delivery["delivery"]["outcome"], delivery["delivery"]["attempts"]) == ("packing", "delivered", 1)
    assert (packed["position"], packed["cause"], packed["depth"], packed["event"]["type"]) == (
        position + 1,
        position,
        1,
        "order.packed",
    )
    assert [one["position"] for one in story(door, name, position + 1, **{"from": "here"})["events"]] == [position + 1]


def test_pages_go_on_where_the_last_one_ended(door: ServedBus, name: str) -> None:
    first = published(door, name, "0")
    for number in range(1, 4):
        published(door, name, str(number), causationid="0", causationsource="/shop")
    with Client(door.url) as client:
        page = client.story(first, bus=name, limit=3)
        rest = client.story(first, bus=name, limit=3, after=page.next or 0)
    assert [chapter.position for chapter in [*page.events, *rest.events]] == [first, first + 1, first + 2, first + 3]
    assert (page.next, rest.next) == (str(first + 2), None)


@pytest.mark.parametrize(("query", "status"), [({"from": "there"}, 400), ({"limit": "0"}, 400), ({"limit": "501"}, 400)])
def test_what_cannot_be_asked_is_refused(door: ServedBus, name: str, query: dict[str, str], status: int) -> None:
    position = published(door, name, "1")
    assert door.get(f"/v1/buses/{name}/events/{position}/story", params=query).status_code == status


def test_what_is_not_there_has_no_story(door: ServedBus, name: str) -> None:
    assert door.get(f"/v1/buses/{name}/events/9/story").status_code == 404
    assert door.get("/v1/buses/nowhere/events/1/story").status_code == 404
