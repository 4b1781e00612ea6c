"""Batches between servers: what one Eventyard pushes another takes, and says of each event what became of it."""

from tests.support.buses import ServedBus


def test_one_bus_receives_anothers_batches_and_refuses_what_it_does_not_take(door: ServedBus, name: str) -> None:
    """The target's door refuses the first bus's own events, which are not for others to publish."""
    other = f"{name}-other"
    assert door.put(f"/v1/buses/{other}").status_code == 201
    events = [{"specversion": "1.0", "id": f"e{number}", "source": "/shop", "type": "order.paid"} for number in range(7)]
    http = {"url": f"{door.url}/v1/buses/{other}/events", "batch": {"max_events": 10, "wait_s": 0.2}}
    rule = f"/v1/buses/{name}/rules/across"
    document = {"pattern": {"type": [{"prefix": ""}]}, "target": {"http": http}, "start": "earliest"}
    assert door.put(f"/v1/buses/{name}/rules/first", json=document | {"target": {"queue": {}}}).status_code == 201
    for one in events:
        door.publish(name, one)
    assert door.put(rule, json=document).status_code == 201
    door.wait_until(lambda: door.get(f"{rule}/status").json()["pending"] == 0)
    assert [one["id"] for one in door.events(other)] == [one["id"] for one in events]
    letters = door.get(f"{rule}/dead-letters").json()["dead_letters"]
    assert {letter["event"]["type"] for letter in letters} <= {"io.eventyard.rule.created", "io.eventyard.delivery.failing"}
    assert letters
    assert "reserved" in letters[0]["last_answer"]["body"]
