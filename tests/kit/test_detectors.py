"""Detectors on a bus in a test: edges as they come, and holds that end at their very moment."""

import datetime
from pathlib import Path
from typing import Any

import pytest

from eventyard.client import ProblemError
from eventyard.testing import Bus

SOLD = {
    "on": {"type": ["car.updated"]},
    "key": "subject",
    "when": {"data": {"status": ["sold"]}},
    "emit": {"rise": {"type": "car.sold"}, "fall": {"type": "car.back"}},
}


def observe(bus: Bus, status: str, car: str = "car-7") -> None:
    bus.publish(type="car.updated", source="/cars", subject=car, data={"status": status})


def edges(bus: Bus) -> list[tuple[str, str]]:
    found = bus.published({"type": ["car.sold", "car.back"]})
    return [(event["type"], event["subject"]) for event in found]


def test_an_edge_is_published_once_and_delivered() -> None:
    with Bus() as bus:
        bus.put_detector("car-sold", SOLD)
        bus.put_rule("letters", {"pattern": {"type": ["car.sold"]}, "target": {"http": {"url": "http://letters"}}})
        letters = bus.receiver("http://letters")
        for status in ("for sale", "sold", "sold", "for sale"):
            observe(bus, status)
        bus.settle()
        assert edges(bus) == [("car.sold", "car-7"), ("car.back", "car-7")]
        assert [event["type"] for event in letters.events] == ["car.sold"]


def test_a_hold_ends_at_its_very_moment() -> None:
    with Bus() as bus:
        bus.put_detector("car-sold", {**SOLD, "for_s": 300})
        observe(bus, "for sale")
        observe(bus, "sold")
        bus.advance(seconds=299.999)
        assert edges(bus) == []
        bus.advance(seconds=0.001)
        (sold,) = bus.assert_published("car.sold", times=1)
        assert datetime.datetime.fromisoformat(sold["time"]) == bus.now
        assert sold["data"]["held_for_s"] == 300


def test_a_hold_that_is_broken_off_publishes_nothing() -> None:
    with Bus() as bus:
        bus.put_detector("car-sold", {**SOLD, "for_s": 300})
        for status in ("for sale", "sold"):
            observe(bus, status)
        bus.advance(minutes=4)
        observe(bus, "for sale")
        bus.advance(days=1)
        assert edges(bus) == []


def test_a_missing_edge_is_told_with_what_its_detector_knows() -> None:
    with Bus() as bus:
        bus.put_detector("car-sold", {**SOLD, "for_s": 300})
        observe(bus, "for sale")
        observe(bus, "sold")
        bus.publish(type="car.updated", data={"status": "sold"})
        with pytest.raises(AssertionError) as found:
            bus.assert_published("car.sold")
        assert str(found.value).splitlines()[-2:] == [
            "  the detector car-sold made 2 observations, and left out 1 without a key",
            "    car-7: pending since 2026-01-01T00:00:00.000Z, its hold ends at 2026-01-01T00:05:00.000Z",
        ]


def test_holds_of_many_keys_end_each_at_its_own_moment() -> None:
    with Bus() as bus:
        bus.put_detector("car-sold", {**SOLD, "for_s": 60})
        for car in ("car-1", "car-2", "car-3"):
            observe(bus, "for sale", car)
            observe(bus, "sold", car)
            bus.advance(seconds=7)
        bus.advance(hours=1)
        times = [datetime.datetime.fromisoformat(event["time"]) for event in bus.published("car.sold")]
        assert [later - times[0] for later in times] == [datetime.timedelta(seconds=seconds) for seconds in (0, 7, 14)]


def test_a_detector_comes_from_the_documents_that_are_deployed(tmp_path: Path) -> None:
    (tmp_path / "cars.yaml").write_text(
        """
detectors:
  - name: car-sold
    "on": {type: [car.updated]}
    key: subject
    when: {data: {status: [sold]}}
    first: fire
    emit: {rise: {type: car.sold}}
"""
    )
    with Bus() as bus:
        bus.apply(tmp_path)
        observe(bus, "sold")
        assert edges(bus) == [("car.sold", "car-7")]


def test_a_document_that_is_no_detector_is_refused_as_by_a_server() -> None:
    wrong: dict[str, Any] = {**SOLD, "for_s": -1}
    with Bus() as bus, pytest.raises(ProblemError, match="/for_s"):
        bus.put_detector("car-sold", wrong)
