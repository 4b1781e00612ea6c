"""docs/guides/schedules.md, walked as it stands."""

import json
from pathlib import Path

import msgspec

from eventyard.core import schedule
from eventyard.core.clock import rfc3339
from eventyard.core.schedule import ScheduleRecord
from tests.support.walk import Walk, walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/schedules.md", tmp_path) as walk:
        follow(walk, tmp_path)


def follow(walk: Walk, folder: Path) -> None:
    document = walk.take("json")
    (folder / "opening.json").write_text(document)
    walk.run_and_read()
    listed = walk.run()
    assert "opening" in listed
    assert "every 1 s" in listed
    walk.run_and_read()
    last = walk.run()
    assert "paused" in last
    assert "schedule pulse is deleted" in last
    assert '"io.eventyard.schedule.paused"' in walk.after("eventyard tail --json")
    assert json.loads(walk.take("json")) == published(document)
    (folder / "schedules.yaml").write_text(walk.take("yaml"))
    assert "~ schedule default/opening" in walk.after("eventyard apply -f schedules.yaml --yes")
    assert "nothing to change" in walk.after("eventyard apply -f schedules.yaml")
    exported = walk.after("eventyard export")
    assert "cron: 0 8 * * MON-SAT" in exported
    assert "schedules:" in exported
    (folder / "exported.yaml").write_text(exported)
    assert "nothing to change" in walk.after("eventyard apply -f exported.yaml")
    pruned = "eventyard apply -f none.yaml --prune --owner team-shop --yes"
    (folder / "none.yaml").write_text("buses: [{name: default}]\n")
    assert "- schedule default/opening" in walk.after(pruned)


def published(document: str) -> object:
    """What the page shows of an event, made by what makes them."""
    said, timetable = schedule.parse(document.encode())
    instant = next(timetable.instants(1_774_569_600_000))
    assert rfc3339(instant) == "2026-03-27T07:00:00.000Z"
    record = ScheduleRecord(7, "opening", 7, said, 0, 0, 0)
    return msgspec.json.decode(schedule.event_at(record, instant, bus="default", incarnation="5f0c1d2e").json)
