"""The scrubber: what it looks at, in which order, how fast, and what it says."""

import itertools
from pathlib import Path
from unittest import mock

import apsw
import pytest

from eventyard.core import limits
from eventyard.core.commands import CreateBus, DeleteBus, Publish
from eventyard.core.errors import StorageFailed
from eventyard.engines.sqlite import SqliteEngine
from eventyard.engines.sqlite.place import place
from eventyard.scrubber import Progress, Scrubber
from tests.support.builders import Stepped, an_event

BUS = 1
EVENTS = 40


class Scrubbed:
    """A bus whose scrubber is stepped by hand, at its own pace."""

    def __init__(self, path: Path) -> None:
        self.bus = Stepped(SqliteEngine(str(path)))
        self.engine = self.bus.engine
        self.numbers = itertools.count()
        self.scrubber = Scrubber(self.engine, self.bus.writer.states, self.bus.clock.monotonic_ms)

    def publish(self, count: int, *, bus: str = "default") -> None:
        self.bus.do(Publish(tuple(an_event(next(self.numbers)) for _ in range(count))), bus=bus)

    def step(self) -> bool:
        self.bus.clock.advance(limits.SCRUB_INTERVAL_MS)
        return self.scrubber.step()

    def finish(self) -> None:
        while self.step():
            pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "eventyard.db"


@pytest.fixture
def damaged(path: Path) -> Path:
    """A store of which one event is changed and one gone."""
    made = Scrubbed(path)
    made.publish(EVENTS)
    made.engine.close()
    raw = apsw.Connection(str(path))
    raw.execute("UPDATE event SET accepted_ms = accepted_ms + 1 WHERE place = ?", (place(BUS, 7),))
    raw.execute("DELETE FROM event WHERE place = ?", (place(BUS, 20),))
    raw.close()
    return path


def test_a_pass_finds_what_was_changed_and_what_is_gone(damaged: Path) -> None:
    store = Scrubbed(damaged)
    assert store.engine.damaged(BUS) == 0
    store.finish()

    assert store.engine.damaged(BUS) == 2
    assert store.engine.is_damaged(BUS, 7)
    assert store.engine.is_damaged(BUS, 20)
    assert store.scrubber.progress == Progress("", 0, 0, 1)
    store.engine.close()


def test_each_damage_is_told_once_however_many_passes_find_it(damaged: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Scrubbed(damaged)
    for _ in range(3):
        store.finish()
        store.bus.clock.advance(limits.SCRUB_REST_MS)

    assert store.scrubber.progress.passes == 3
    assert caplog.text.count("position 7 of bus 1 is damaged") == 1
    assert caplog.text.count("positions 20 to 20 of bus 1") == 1
    store.engine.close()


def test_it_keeps_its_pace(path: Path) -> None:
    store = Scrubbed(path)
    store.publish(EVENTS)
    assert store.step()
    assert not store.scrubber.step()
    store.bus.clock.advance(limits.SCRUB_INTERVAL_MS - 1)
    assert not store.scrubber.step()
    store.bus.clock.advance(1)
    assert store.scrubber.step()
    store.engine.close()


def test_a_pass_goes_through_every_bus_in_bounded_steps(path: Path) -> None:
    store = Scrubbed(path)
    store.bus.writer.submit_system(CreateBus("other", "x"), lambda _: None)
    store.bus.writer.step()
    store.publish(EVENTS)
    store.publish(EVENTS, bus="other")
    seen = []
    with mock.patch.object(limits, "SCRUB_EVENTS_PER_STEP", 15):
        while store.step():
            seen.append(store.scrubber.progress)

    names = [one.bus for one in seen if one.bus]
    assert list(dict.fromkeys(names)) == ["default", "other"]
    for bus in ("default", "other"):
        at = [one.position for one in seen if one.bus == bus]
        assert at == sorted(at)
        assert {15, 30} <= set(at)
        assert all(one.of == EVENTS for one in seen if one.bus == bus)
    store.engine.close()


def test_new_events_are_looked_at_beside_a_long_pass(path: Path) -> None:
    store = Scrubbed(path)
    store.publish(200)
    with mock.patch.object(limits, "SCRUB_EVENTS_PER_STEP", 10):
        for _ in range(40):
            store.step()
        assert store.engine.verified(BUS) >= 150
        assert store.scrubber.progress.bus == "default"
    store.engine.close()


def test_a_pass_rests_and_begins_again(path: Path) -> None:
    store = Scrubbed(path)
    store.publish(EVENTS)
    store.finish()
    assert not store.step()
    store.publish(3)
    assert store.step()
    assert not store.step()

    store.bus.clock.advance(limits.SCRUB_REST_MS)
    assert store.step()
    store.engine.close()


def test_a_bus_that_is_deleted_under_way_is_left(path: Path) -> None:
    store = Scrubbed(path)
    store.bus.writer.submit_system(CreateBus("other", "x"), lambda _: None)
    store.bus.writer.step()
    store.publish(EVENTS, bus="other")
    with mock.patch.object(limits, "SCRUB_EVENTS_PER_STEP", 5):
        while store.scrubber.progress.bus != "other":
            assert store.step()
        store.bus.writer.submit_system(DeleteBus("other"), lambda _: None)
        store.bus.writer.step()
        store.finish()

    assert store.scrubber.progress.passes == 1
    assert store.engine.damaged(2) == 0
    store.engine.close()


def test_a_disk_that_cannot_be_read_is_left_alone_for_a_while(path: Path) -> None:
    store = Scrubbed(path)
    store.publish(EVENTS)
    with mock.patch.object(store.engine, "verify", side_effect=StorageFailed("the test's disk")):
        assert not store.step()
    assert not store.step()
    store.bus.clock.advance(limits.SCRUB_FAILED_MS)
    assert store.scrubber.step()
    store.engine.close()
