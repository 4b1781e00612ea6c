"""Expectations on a bus in a test: what is missed, at its very moment."""

import datetime
from pathlib import Path
from typing import Any

import pytest

from eventyard.client import ProblemError
from eventyard.testing import Bus

SHIPPED: dict[str, Any] = {
    "after": {"type": ["order.paid"]},
    "expect": {"type": ["order.shipped"]},
    "within_s": 600,
    "emit": {"missed": {"type": "order.not-shipped"}, "late": {"type": "order.shipped-late"}},
}


def pay(bus: Bus, order: str = "o-7") -> None:
    bus.publish(type="order.paid", source="/shop", subject=order)


def ship(bus: Bus, order: str = "o-7") -> None:
    bus.publish(type="order.shipped", source="/stores", subject=order)


def test_what_is_missed_is_published_at_its_very_moment_and_delivered() -> None:
    with Bus() as bus:
        bus.put_expectation("shipped", SHIPPED)
        bus.put_rule("care", {"pattern": {"type": ["order.not-shipped"]}, "target": {"http": {"url": "http://care"}}})
        care = bus.receiver("http://care")
        pay(bus)
        bus.advance(seconds=599.999)
        bus.assert_published("order.not-shipped", times=0)
        bus.advance(seconds=0.001)
        (missed,) = bus.assert_published("order.not-shipped", times=1)
        assert datetime.datetime.fromisoformat(missed["time"]) == bus.now
        assert [event["subject"] for event in care.events] == ["o-7"]


def test_what_comes_in_time_is_missed_never() -> None:
    with Bus() as bus:
        bus.put_expectation("shipped", SHIPPED)
        pay(bus)
        bus.advance(minutes=9)
        ship(bus)
        bus.advance(days=2)
        bus.assert_published("order.not-shipped", times=0)


def test_what_comes_too_late_is_told_as_late() -> None:
    with Bus() as bus:
        bus.put_expectation("shipped", {**SHIPPED, "late_for_s": 86_400})
        pay(bus)
        bus.advance(hours=23)
        ship(bus)
        (late,) = bus.assert_published("order.shipped-late", times=1)
        assert late["data"]["waited_s"] == 23 * 3_600


def test_a_schedule_can_be_what_comes_before() -> None:
    with Bus() as bus:
        bus.put_schedule("nightly", {"every_s": 3_600, "emit": {"type": "export.due", "subject": "export"}})
        bus.put_expectation(
            "exported",
            {
                "after": {"type": ["export.due"]},
                "expect": {"type": ["export.ended"]},
                "within_s": 60,
                "emit": {"missed": {"type": "export.stuck"}},
            },
        )
        bus.advance(hours=1, seconds=61)
        due, stuck = bus.published({"type": ["export.due", "export.stuck"]})[:2]
        waited = datetime.datetime.fromisoformat(stuck["time"]) - datetime.datetime.fromisoformat(due["time"])
        assert (stuck["type"], waited) == ("export.stuck", datetime.timedelta(seconds=60))


def test_what_is_missing_is_told_with_what_the_expectation_has_open() -> None:
    with Bus() as bus:
        bus.put_expectation("shipped", SHIPPED)
        pay(bus)
        pay(bus)
        with pytest.raises(AssertionError) as found:
            bus.assert_published("order.not-shipped")
        assert str(found.value).splitlines()[-2:] == [
            "  the expectation shipped was opened 1 times, met 0 times and missed 0 times, and left out 1 repeated",
            "    o-7: open since 2026-01-01T00:00:00.000Z, it is missed at 2026-01-01T00:10:00.000Z",
        ]


def test_an_expectation_comes_from_the_documents_that_are_deployed(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(
        """
expectations:
  - name: shipped
    after: {type: [order.paid]}
    expect: {type: [order.shipped]}
    within_s: 60
    emit: {missed: {type: order.not-shipped}}
"""
    )
    with Bus() as bus:
        bus.apply(tmp_path)
        pay(bus)
        bus.advance(minutes=1)
        bus.assert_published("order.not-shipped", times=1)


def test_a_document_that_is_no_expectation_is_refused_as_by_a_server() -> None:
    with Bus() as bus, pytest.raises(ProblemError, match="/within_s"):
        bus.put_expectation("shipped", {**SHIPPED, "within_s": 0})
