"""What an edit of a schedule makes of instants that are due: none is lost, and of what is passed over the log is told. Found by the simulation."""

from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.commands import DeleteSchedule, PauseSchedule
from eventyard.engines.memory import MemoryEngine
from tests.stages.test_schedules import HOUR, Home

PUBLISHED = {"skip": 0, "once": 1, "all": 7}


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(limits, "SCHEDULE_INSTANTS_PER_STEP", 7)
    monkeypatch.setattr(limits, "STEP_EVENTS_MAX", 5)
    return Home(MemoryEngine())


def changed(home: Home, edit: str) -> None:
    match edit:
        case "times":
            home.schedule(every_s=3600)
        case "pause":
            home.do(PauseSchedule("tick", is_paused=True))
        case "delete":
            home.do(DeleteSchedule("tick"))


def told(home: Home) -> Any:
    (missed,) = home.told("io.eventyard.schedule.missed")
    return missed["data"]


@pytest.mark.parametrize("edit", ["times", "pause", "delete"])
@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_an_edit_in_a_long_row_of_missed_instants_tells_of_all_and_loses_none_after_it(
    home: Home, edit: str, misfire: str
) -> None:
    record = home.schedule(every_s=10, misfire=misfire)
    first_ms = (record.created_ms // 10_000 + 1) * 10_000
    home.restart(HOUR)
    changed(home, edit)
    said = told(home)
    now_ms = home.state.time.time_ms
    late = range(first_ms, now_ms - limits.SCHEDULE_GRACE_MS, 10_000)
    due = range(first_ms, now_ms + 1, 10_000)
    instants = [int(event["id"].split("-")[-1]) for event in home.told()]
    assert said["more"]
    assert said["published"] <= PUBLISHED[misfire]
    assert instants[said["published"] :] == list(due)[len(late) :]


def test_an_edit_in_a_row_that_several_steps_go_through_closes_it(home: Home) -> None:
    home.schedule(every_s=60, misfire="skip")
    home.restart(9 * 60_000)
    changed(home, "delete")
    assert (told(home)["missed"], told(home)["more"]) == (8, False)


def test_what_an_edit_passes_over_is_passed_over_to_its_end_where_instants_are_spread_out(home: Home) -> None:
    record = home.schedule(every_s=90, jitter_s=90, misfire="all")
    first_ms = (record.created_ms // 90_000 + 1) * 90_000
    home.restart(HOUR)
    changed(home, "times")
    published = [int(event["id"].split("-")[-1]) for event in home.told()][: told(home)["published"]]
    assert published == list(range(first_ms, first_ms + 90_000 * len(published), 90_000))
