"""Schedules on a bus in a test: each instant at its very moment, by the zone's own clock."""

import datetime

from eventyard.testing import Bus

OPENS = {"cron": "0 8 * * MON-SAT", "zone": "Europe/Berlin", "emit": {"type": "shop.opens"}}


def times(bus: Bus, kind: str) -> list[str]:
    return [datetime.datetime.fromisoformat(event["time"]).isoformat() for event in bus.published(kind)]


def test_each_instant_of_a_schedule_comes_at_its_moment_also_when_the_clocks_change() -> None:
    with Bus(at="2026-03-28T00:00:00Z") as bus:
        bus.put_schedule("opening", OPENS)
        bus.advance_to("2026-03-30T05:59:59.999Z")
        assert times(bus, "shop.opens") == ["2026-03-28T07:00:00+00:00"]
        bus.advance(seconds=0.001)
        assert times(bus, "shop.opens")[1:] == ["2026-03-30T06:00:00+00:00"]


def test_what_a_schedule_publishes_is_delivered_like_any_event() -> None:
    with Bus() as bus:
        bus.put_schedule("pulse", {"every_s": 900, "emit": {"type": "stock.due"}})
        bus.put_rule("count", {"pattern": {"type": ["stock.due"]}, "target": {"http": {"url": "http://stock"}}})
        stock = bus.receiver("http://stock")
        bus.advance(hours=1)
        assert [request.at.minute for request in stock.requests] == [15, 30, 45, 0]
        bus.assert_all_delivered()
