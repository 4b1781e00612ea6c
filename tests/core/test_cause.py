"""What an event came of: how it says so, how the bus keeps it, and what passes from one to the next."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import cause as causes
from eventyard.core import event as events
from eventyard.core import machine
from eventyard.core.cause import Cause, Cited
from eventyard.core.commands import Publish, Published, Settle, Settlement
from eventyard.core.delivery import Note, Reason
from eventyard.core.errors import InvalidEvent
from eventyard.core.event import Event
from eventyard.core.verdict import Dead, Delivered, Retry
from tests.support.builders import an_event
from tests.support.houses import House


@pytest.fixture
def bus() -> House:
    return House()


def of(cause: Event, id_: str, **more: Any) -> Event:
    """An event that says what it came of, as any publisher may."""
    attributes = {"causationid": cause.id, "causationsource": cause.source} | more
    return events.make({"id": id_, "source": "/packing", "type": "order.packed"} | attributes, {"n": 1})


def published(bus: House, *all_: Event) -> list[int]:
    answers = bus.do(Publish(all_))
    assert all(isinstance(answer, Published) for answer in answers)
    return [answer.position for answer in answers]


def document(bus: House, position: int) -> dict[str, Any]:
    stored = bus.engine.view.event(1, position)
    assert stored is not None
    found: dict[str, Any] = json.loads(stored.json)
    return found


def came_of(bus: House, position: int) -> list[int]:
    return bus.engine.view.derived(1, position, 0, 100)


# Attributes


def test_what_comes_of_an_event_names_it_and_counts_one_hop_more() -> None:
    first = Cause(7, "/shop", "e1", "e1", 0)
    assert first.attributes == {"causationid": "e1", "causationsource": "/shop", "correlationid": "e1", "eventyardhops": 1}

    stored = events.make({"id": "p", "source": "/packing", "type": "t"} | first.attributes)
    assert causes.of(9, stored.json) == Cause(9, "/packing", "p", "e1", 1)
    assert (stored.cited, stored.hops) == (Cited("/shop", "e1"), 1)


@pytest.mark.parametrize("given_", ["order-7", 7, True])
def test_a_correlation_of_any_kind_is_passed_on_as_it_is_spelled(given_: str | int | bool) -> None:
    stored = events.make({"id": "p", "source": "/s", "type": "t", "correlationid": given_})

    assert causes.of(1, stored.json).correlation == {"order-7": "order-7", 7: "7", True: "true"}[given_]


def test_an_id_without_its_source_names_no_event() -> None:
    assert events.make({"id": "p", "source": "/s", "type": "t", "causationid": "e1"}).cited is None
    assert events.make({"id": "p", "source": "/s", "type": "t", "causationsource": "/shop"}).cited is None


@pytest.mark.parametrize("hops", ["many", "-1", "", "01", "1234567890", True, -1])
def test_hops_that_are_no_number_are_refused(hops: Any) -> None:
    with pytest.raises(InvalidEvent, match="hops"):
        events.make({"id": "p", "source": "/s", "type": "t", "eventyardhops": hops})


def test_hops_say_nothing_of_what_an_event_is() -> None:
    plain = events.make({"id": "p", "source": "/s", "type": "t"}, {"n": 1})
    far = events.make({"id": "p", "source": "/s", "type": "t", "eventyardhops": 9}, {"n": 1})

    assert plain.digest == far.digest
    assert events.from_binary(*_binary(far)).digest == plain.digest


def _binary(event: Event) -> tuple[dict[str, str], str | None, bytes]:
    headers, body = events.to_binary(event.json)
    content_type = headers.pop("content-type", None)
    return {name.removeprefix("ce-"): value for name, value in headers.items()}, content_type, body


@given(st.integers(0, 99), st.integers(0, 99))
def test_hops_only_ever_grow_and_nothing_else_is_touched(had: int, put: int) -> None:
    body = b'{"specversion":"1.0","data":{"eventyardhops":1.50,"\\u0061":[1e2]},"id":"p","type":"t","source":"/s","eventyardhops":%d}'
    before = events.from_structured(body % had)

    after = events.with_hops(before, put)

    assert (after.hops, causes.hops(after.json)) == (max(had, put),) * 2
    assert b'{"eventyardhops":1.50,"\\u0061":[1e2]}' in after.json
    assert events.from_structured(after.json).digest == before.digest


# On a bus


def test_an_event_that_names_a_known_one_stands_under_it(bus: House) -> None:
    order = an_event(1)
    [cause] = published(bus, order)
    [packed] = published(bus, of(order, "p"))

    assert came_of(bus, cause) == [packed]
    assert bus.engine.view.cause_of(1, packed) == cause
    assert document(bus, packed)["eventyardhops"] == 1


def test_cause_and_effect_may_come_in_one_request_in_this_order_only(bus: House) -> None:
    order, packed = an_event(1), of(an_event(1), "p")

    positions = published(bus, of(an_event(1), "early"), order, packed)

    assert [bus.engine.view.cause_of(1, position) for position in positions] == [None, None, positions[1]]


def test_nobody_is_believed_to_have_fewer_hops_than_his_cause(bus: House) -> None:
    order = an_event(1)
    first, second = of(order, "p1", eventyardhops=5), of(an_event(2), "p2")
    third = events.make({"id": "p3", "source": "/s", "type": "t", "causationid": "p1", "causationsource": "/packing"})

    positions = published(bus, order, first, second, third)

    assert [document(bus, position).get("eventyardhops", 0) for position in positions] == [0, 5, 0, 6]


def test_hops_that_the_bus_counts_can_be_matched(bus: House) -> None:
    uid = bus.put("near", pattern={"eventyardhops": [1]}).uid
    order = an_event(1)
    [_, packed] = published(bus, order, machine.foresee(bus.state.live, [of(order, "p")]).events[0])

    assert bus.row(uid, packed) is not None


def test_a_cause_that_is_not_known_here_is_only_what_the_event_says(bus: House) -> None:
    [position] = published(bus, of(an_event("elsewhere"), "p", eventyardhops=3))

    assert bus.engine.view.cause_of(1, position) is None
    assert document(bus, position)["eventyardhops"] == 3


def test_the_same_event_with_other_hops_is_the_same_event(bus: House) -> None:
    order = an_event(1)
    published(bus, order)
    [first] = bus.do(Publish((of(order, "p"),)))
    [again] = bus.do(Publish((of(order, "p", eventyardhops=4),)))

    assert (again.position, again.is_duplicate) == (first.position, True)


# Events of the bus


def test_a_dead_letter_is_told_as_what_came_of_its_event(bus: House) -> None:
    uid = bus.put("rewards").uid
    bus.receiver.want(uid, 10)
    [cause] = published(bus, events.make({"id": "e1", "source": "/shop", "type": "order.paid", "correlationid": "o-1"}))
    [lease] = bus.take()

    bus.do(Settle((Settlement(lease.delivery.key, 1, Dead(Note(reason=Reason.ANSWER, status=422))),)))

    told = [document(bus, position) for position in came_of(bus, cause)]
    assert [event["type"].rpartition(".")[2] for event in told] == ["failing", "deadlettered"]
    for event in told:
        assert (event["causationid"], event["causationsource"], event["correlationid"]) == ("e1", "/shop", "o-1")
        assert event["eventyardhops"] == 1


def test_that_a_rule_recovered_is_told_of_the_event_that_went_well(bus: House) -> None:
    uid = bus.put("rewards").uid
    bus.receiver.want(uid, 10)
    [bad, good] = published(bus, an_event(1), an_event(2))
    first, second = bus.take()
    bus.do(Settle((Settlement(first.delivery.key, 1, Retry(60_000, Note(status=503))),)))
    bus.do(Settle((Settlement(second.delivery.key, 1, Delivered(Note(status=204))),)))
    bus.clock.advance(2_000)
    bus.rest()

    kinds = {position: document(bus, position)["type"].rpartition(".")[2] for position in range(good + 1, bus.state.head + 1)}
    assert [kinds[position] for position in came_of(bus, bad)] == ["failing"]
    assert [kinds[position] for position in came_of(bus, good)] == ["recovered"]


def test_what_was_done_to_a_rule_came_of_no_event(bus: House) -> None:
    uid = bus.put("rewards").uid

    assert bus.engine.view.cause_of(1, uid) is None
    assert "causationid" not in document(bus, uid)
