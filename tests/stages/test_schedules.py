"""Schedules at work: what is published when, over restarts, edits and clocks that jump. On both engines."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventyard.core import limits, schedule
from eventyard.core.changes import Changes
from eventyard.core.commands import DeleteSchedule, PauseSchedule, PutSchedule
from eventyard.core.errors import InvalidSchedule, NotFound, StorageFailed, VersionConflict
from eventyard.core.schedule import ScheduleRecord
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.sqlite import SqliteEngine
from eventyard.ports import Engine
from eventyard.writer import Writer
from tests.support.houses import House

MINUTE = 60_000
HOUR = 60 * MINUTE
MORNING = int(datetime.datetime.fromisoformat("2026-03-28T08:00:30Z").timestamp() * 1000)


class Home(House):
    """A house in which it is half past eight, in seconds."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.clock.wall_ms = MORNING
        self.restart(0)

    def restart(self, away_ms: int) -> None:
        """End without a word, and begin so much later."""
        self.clock.wall_ms += away_ms
        self.writer = Writer(self.engine, self.clock)
        self.writer.open(lambda: "life")
        self.furnish()

    def go_on(self, by_ms: int, *, step_ms: int = 500) -> None:
        for _ in range(by_ms // step_ms):
            self.clock.advance(step_ms)
            self.rest()

    def schedule(self, name: str = "tick", **members: Any) -> ScheduleRecord:
        document = msgspec.json.encode({"emit": {"type": "shop.tick"}, **members})
        answer = self.do(PutSchedule(name, schedule.parse(document)[0]))
        if isinstance(answer, Exception):
            raise answer
        record: ScheduleRecord = answer.record
        return record

    def told(self, kind: str = "shop.tick") -> list[Any]:
        """The events of a type, in the order of the log."""
        events = (msgspec.json.decode(event.json) for event in self.engine.view.events(1, 1, self.state.head, 5_000))
        return [event for event in events if event["type"] == kind]

    def instants(self) -> list[str]:
        return [event["data"]["instant"][11:19] for event in self.told()]


@pytest.fixture(params=["memory", "sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    found: Engine = MemoryEngine() if request.param == "memory" else SqliteEngine(str(tmp_path / "bus.db"))
    yield found
    found.close()


@pytest.fixture
def home(engine: Engine) -> Home:
    return Home(engine)


def test_each_instant_is_published_once_when_it_comes(home: Home) -> None:
    record = home.schedule(cron="* * * * *", emit={"type": "shop.tick", "subject": "till", "data": {"till": 7}})
    home.go_on(3 * MINUTE)
    assert home.instants() == ["08:01:00", "08:02:00", "08:03:00"]
    first = home.told()[0]
    assert (first["id"], first["subject"], first["data"]["till"]) == (f"life1-{record.uid}-{MORNING + 30_000}", "till", 7)
    assert first["source"] == "/eventyard/buses/default/schedules/tick"
    state = home.state.schedules.by_name["tick"]
    assert (state.published, state.skipped, state.last_ms) == (3, 0, MORNING + 30_000 + 2 * MINUTE)


def test_what_a_schedule_publishes_goes_to_rules_that_match_it(home: Home) -> None:
    rule = home.put("paid", pattern={"type": ["shop.tick"]})
    home.schedule(cron="* * * * *")
    home.go_on(2 * MINUTE)
    assert len(home.rows(rule.uid)) == 2


def test_a_commit_that_fails_publishes_nothing_and_the_next_one_does(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.schedule(cron="* * * * *")
    commit = home.engine.commit
    failures = [StorageFailed("found no disk", wanted="one")]

    def fail_once(batch: Any) -> None:
        if failures and any(changes.events for changes in batch):
            raise failures.pop()
        commit(batch)

    monkeypatch.setattr(home.engine, "commit", fail_once)
    home.go_on(2 * MINUTE)
    assert not failures
    assert home.instants() == ["08:01:00", "08:02:00"]


def test_a_restart_within_a_minute_misses_nothing(home: Home) -> None:
    home.schedule(every_s=10, misfire="skip")
    home.go_on(9_500)
    home.restart(25_000)
    home.rest()
    assert home.instants() == ["08:00:40", "08:00:50", "08:01:00"]
    assert home.told("io.eventyard.schedule.missed") == []


@pytest.mark.parametrize(
    ("misfire", "expected", "skipped"),
    [
        ("skip", ["12:00:00"], 3),
        ("once", ["11:00:00", "12:00:00"], 2),
        ("all", ["09:00:00", "10:00:00", "11:00:00", "12:00:00"], 0),
    ],
)
def test_what_was_missed_while_the_bus_was_down_is_as_the_schedule_says(
    home: Home, misfire: str, expected: list[str], skipped: int
) -> None:
    home.schedule(cron="0 * * * *", misfire=misfire)
    home.restart(3 * HOUR + 58 * MINUTE)
    home.go_on(2 * MINUTE)
    assert home.instants() == expected
    (missed,) = home.told("io.eventyard.schedule.missed")
    said = missed["data"]
    assert (said["missed"], said["published"], said["more"]) == (3, 3 - skipped, False)
    assert (said["first"][11:19], said["last"][11:19]) == ("09:00:00", "11:00:00")
    assert home.state.schedules.by_name["tick"].skipped == skipped


@pytest.mark.parametrize(("misfire", "published"), [("skip", 0), ("once", 1), ("all", 20)])
def test_of_very_many_that_were_missed_a_bounded_number_is_gone_through(
    home: Home, misfire: str, published: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCHEDULE_MISSED_MAX", 20)
    monkeypatch.setattr(limits, "SCHEDULE_INSTANTS_PER_STEP", 7)
    home.schedule(every_s=1, misfire=misfire)
    home.restart(10 * HOUR)
    home.rest()
    (missed,) = home.told("io.eventyard.schedule.missed")
    assert (missed["data"]["published"], missed["data"]["more"]) == (published, True)
    on_time = [event for event in home.told() if event["time"] >= "2026-03-28T17:59:30"]
    assert len(home.told()) == len(on_time) + published - (misfire == "once") * (on_time[0]["time"] == missed["data"]["last"])
    assert len(on_time) in {61, 62}


def test_an_instant_that_is_missed_and_the_last_is_published_though_nothing_follows(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCHEDULE_INSTANTS_PER_STEP", 1)
    home.schedule(at="2026-03-28T09:00:00Z")
    home.restart(5 * HOUR)
    home.rest()
    assert home.instants() == ["09:00:00"]
    assert home.state.schedules.next_of(home.state.schedules.by_name["tick"].uid).due_ms is None


def test_instants_that_are_spread_out_are_published_once_in_their_order(home: Home) -> None:
    home.schedule(cron="* * * * *", jitter_s=50)
    for _ in range(6):
        home.go_on(MINUTE)
        home.restart(0)
    home.go_on(MINUTE)
    found = home.instants()
    assert found == sorted(set(found))
    assert len(found) in {6, 7}


def test_a_clock_that_jumps_far_is_not_followed_and_one_that_goes_back_repeats_nothing(home: Home) -> None:
    home.schedule(cron="* * * * *")
    home.go_on(MINUTE)
    home.clock.wall_ms += 5 * HOUR
    home.go_on(MINUTE)
    assert home.instants() == ["08:01:00", "08:02:00"]
    home.clock.wall_ms -= 5 * HOUR + 2 * MINUTE
    home.go_on(4 * MINUTE)
    assert home.instants()[:3] == ["08:01:00", "08:02:00", "08:03:00"]
    assert len(home.instants()) == len(set(home.instants()))


# Edits


def test_an_edit_is_an_event_and_what_was_due_comes_before_it(home: Home) -> None:
    first = home.schedule(cron="* * * * *")
    home.clock.advance(30_000)
    changed = home.schedule(cron="*/5 * * * *")
    assert home.instants() == ["08:01:00"]
    assert (changed.uid, changed.version) == (first.uid, home.state.head)
    kinds = [msgspec.json.decode(event.json)["type"] for event in home.engine.view.events(1, 1, 9, 9)]
    assert kinds == ["io.eventyard.schedule.created", "shop.tick", "io.eventyard.schedule.changed"]
    home.go_on(5 * MINUTE)
    assert home.instants() == ["08:01:00", "08:05:00"]


def test_the_same_document_again_changes_nothing(home: Home) -> None:
    before = home.schedule(cron="* * * * *")
    assert home.schedule(cron="* * * * *") == before
    assert home.state.head == 1


def test_an_edit_of_what_is_published_loses_no_instant_that_is_spread_out(home: Home) -> None:
    home.schedule(cron="0 * * * *", jitter_s=3_000)
    home.go_on(HOUR, step_ms=MINUTE)
    home.schedule(cron="0 * * * *", jitter_s=3_000, emit={"type": "shop.tick", "data": {"new": True}})
    home.go_on(HOUR, step_ms=MINUTE)
    assert home.instants()[0] == "09:00:00"


def test_a_paused_schedule_publishes_nothing_and_goes_on_from_now(home: Home) -> None:
    home.schedule(cron="* * * * *", misfire="all")
    home.do(PauseSchedule("tick", is_paused=True))
    home.go_on(3 * MINUTE)
    home.restart(HOUR)
    home.rest()
    assert home.instants() == []
    home.do(PauseSchedule("tick", is_paused=False))
    home.go_on(MINUTE)
    assert len(home.instants()) == 1
    assert [len(home.told(f"io.eventyard.schedule.{kind}")) for kind in ("paused", "resumed", "missed")] == [1, 1, 0]


def test_a_deleted_schedule_is_gone_and_one_of_its_name_is_another(home: Home) -> None:
    first = home.schedule(cron="* * * * *")
    home.do(DeleteSchedule("tick"))
    home.go_on(2 * MINUTE)
    home.restart(HOUR)
    home.rest()
    assert home.instants() == []
    assert isinstance(home.do(DeleteSchedule("tick")), NotFound)
    assert home.schedule(cron="* * * * *").uid > first.uid
    assert home.engine.load()[1].schedules == (home.state.schedules.by_name["tick"],)


def test_only_the_version_that_the_caller_saw_is_changed(home: Home) -> None:
    record = home.schedule(cron="* * * * *")
    other = schedule.parse(b'{"cron": "0 * * * *", "emit": {"type": "x"}}')[0]
    for version in (0, record.version + 1):
        assert isinstance(home.do(PutSchedule("tick", other, version=version)), VersionConflict)
        assert isinstance(home.do(DeleteSchedule("tick", version=version)), VersionConflict)
    assert home.do(PutSchedule("tick", other, version=record.version)).record.schedule == other


def test_a_schedule_with_nothing_ahead_is_refused(home: Home) -> None:
    with pytest.raises(InvalidSchedule, match="no instant that is yet to come"):
        home.schedule(at="2020-01-01T00:00:00Z")
    with pytest.raises(InvalidSchedule, match="at /end"):
        home.schedule(cron="* * * * *", end="2020-01-01T00:00:00Z")
    assert home.state.head == 0


def test_a_bus_has_so_many_schedules_and_no_more(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCHEDULES_PER_BUS_MAX", 2)
    home.schedule("one", cron="* * * * *")
    home.schedule("two", cron="* * * * *")
    with pytest.raises(InvalidSchedule, match="to delete one first"):
        home.schedule("three", cron="* * * * *")
    home.schedule("two", cron="0 * * * *")


def test_a_zone_that_has_left_the_database_stops_its_schedule_and_nothing_else(home: Home) -> None:
    home.schedule("good", cron="* * * * *")
    record = home.schedule("bad", cron="* * * * *")
    lost = msgspec.structs.replace(record.schedule, zone="Europe/Atlantis")
    home.engine.commit([msgspec.structs.replace(_changes(home), schedules=[msgspec.structs.replace(record, schedule=lost)])])
    home.restart(0)
    home.go_on(2 * MINUTE)
    assert home.instants() == ["08:01:00", "08:02:00"]


def _changes(home: Home) -> Changes:
    return Changes(1, home.state.time, home.state.head, floor=home.state.floor, log_bytes=home.state.log_bytes)
