"""Defects of detectors that the simulation, or reading the code to write it, brought to light: each small enough to see why."""

import pytest

from eventyard.core import limits
from eventyard.core.commands import CreateBus, Publish
from eventyard.engines.memory import MemoryEngine
from tests.core.test_detecting import Yard
from tests.support.builders import an_event, put_detector


@pytest.fixture
def bus() -> Yard:
    return Yard(MemoryEngine())


@pytest.mark.parametrize("is_ticked", [True, False])
def test_of_a_key_that_is_forgotten_no_observation_is_late_whether_somebody_came_or_not(bus: Yard, *, is_ticked: bool) -> None:
    bus.do(put_detector("d", forget_after_s=60))
    bus.see("sold")
    bus.clock.advance(60_000)
    if is_ticked:
        bus.wait(0)
    bus.see("for sale", time="2023-01-01T00:00:00Z")
    bus.see("sold")
    assert bus.edges() == ["sold c1"]
    assert "late" not in bus.counts()


def test_a_late_observation_too_finds_what_is_due_and_ends_it(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=60))
    bus.see("for sale", "sold")
    bus.clock.advance(60_000)
    bus.see("for sale", time="2023-01-01T00:00:00Z")
    assert bus.edges() == ["sold c1"]
    assert (bus.counts()["late"], bus.counts().get("pending", 0)) == (1, 0)


def test_an_edge_after_a_change_says_what_was_said_of_the_fields_that_are_asked_for_now(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=60))
    bus.see({"status": "for sale", "price": 9}, {"status": "sold", "price": 5})
    bus.do(put_detector("d", for_s=60, when={"data": {"price": [{"numeric": ["<", 7]}]}}))
    bus.wait(60)
    (edge,) = bus.told()
    assert edge["data"]["after"] == {"data.price": 5}
    assert edge["data"]["why"] == "data.price 5 is < 7"


def test_an_edge_whose_observation_is_none_after_a_change_gives_no_reason_that_is_not_so(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=60))
    bus.see("for sale", "sold")
    bus.do(put_detector("d", for_s=60, on={"type": ["car.seen"]}, when={"data": {"price": [5]}}))
    bus.wait(60)
    (edge,) = bus.told()
    assert edge["data"]["why"] == ""


def test_an_edge_that_waits_for_its_turn_holds_as_long_as_the_new_version_asks(bus: Yard) -> None:
    bus.do(put_detector("d", max_edges_per_s=1))
    for number in range(limits.DETECTOR_EDGES_BURST_S + 1):
        bus.see("for sale", "sold", key=f"c{number}")
    bus.see("for sale", "sold", key="last")
    told = len(bus.edges())
    bus.do(put_detector("d", max_edges_per_s=1, for_s=300))
    bus.wait(299)
    assert len(bus.edges()) == told
    bus.wait(1)
    assert bus.edges()[told:] == ["sold last"]


def test_a_bus_that_slept_while_another_worked_rests_after_a_start_as_well() -> None:
    bus = Yard(MemoryEngine())
    bus.writer.submit_system(CreateBus("other", "o1"), lambda _: None)
    bus.writer.step()
    bus.do(put_detector("d", for_s=300))
    bus.see("for sale", "sold")
    bus.clock.advance(299_999)
    bus.do(Publish((an_event(1),)), bus="other")
    again = Yard(bus.engine)
    again.number = 50
    again.wait(limits.HOLDS_REST_MS / 1000 - 0.001)
    again.see("for sale")
    assert again.edges() == []
