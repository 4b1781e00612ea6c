"""`eventyard schedules preview`, alone and beside the version in force."""

import json
from typing import Any

import pytest

from tests.support.commands import Command, Ended

OPENING: dict[str, Any] = {"cron": "0 8 * * MON-FRI", "zone": "Europe/Berlin", "emit": {"type": "shop.opens"}}
WEEK = ("--from", "2026-03-27T00:00:00Z", "--until", "2026-04-01T00:00:00Z")


@pytest.fixture
def preview(eventyard: Command, bus: str) -> Command:
    assert eventyard("schedules", "put", "opening", "-", "--bus", bus, stdin=json.dumps(OPENING)).code == 0

    def ended(*arguments: str, **changes: Any) -> Ended:
        given = arguments if "--from" in arguments else (*arguments, *WEEK)
        return eventyard("schedules", "preview", "-", "--bus", bus, *given, stdin=json.dumps(OPENING | changes))

    return ended


def test_the_instants_of_a_document_are_listed_in_its_zone(preview: Command) -> None:
    assert preview().out.splitlines() == [
        "2026-03-27T07:00:00.000Z  Fri 2026-03-27 08:00:00 CET  shop.opens",
        "2026-03-30T06:00:00.000Z  Mon 2026-03-30 08:00:00 CEST  shop.opens",
        "2026-03-31T06:00:00.000Z  Tue 2026-03-31 08:00:00 CEST  shop.opens",
    ]


def test_beside_the_version_in_force_it_is_told_what_is_new_and_what_is_gone(preview: Command) -> None:
    ended = preview("--schedule", "opening", cron="0 8 * * SAT,SUN,MON")
    assert ended.out.splitlines() == [
        "2026-03-27T07:00:00.000Z  Fri 2026-03-27 08:00:00 CET  shop.opens  gone",
        "2026-03-28T07:00:00.000Z  Sat 2026-03-28 08:00:00 CET  shop.opens  new",
        "2026-03-29T06:00:00.000Z  Sun 2026-03-29 08:00:00 CEST  shop.opens  new",
        "2026-03-30T06:00:00.000Z  Mon 2026-03-30 08:00:00 CEST  shop.opens",
        "2026-03-31T06:00:00.000Z  Tue 2026-03-31 08:00:00 CEST  shop.opens  gone",
    ]
    told = [
        one["change"]
        for one in preview("--schedule", "opening", "--count", "4", "--json", cron="0 8 * * SAT,SUN,MON").documents
    ]
    assert told == ["gone", "new", "new", "same"]


def test_what_else_differs_and_that_it_is_paused_is_remarked(preview: Command, eventyard: Command, bus: str) -> None:
    eventyard("schedules", "pause", "opening", "--bus", bus)
    ended = preview("--schedule", "opening", emit={"type": "shop.opened"}, misfire="skip")
    assert "it differs in emit, misfire, too, from the version in force" in ended.err
    assert "the schedule opening is paused" in ended.err
    assert {line.split()[-1] for line in ended.out.splitlines()} == {"shop.opened"}


def test_what_is_no_schedule_and_none_that_is_there_is_refused(preview: Command) -> None:
    assert (preview("--schedule", "nobody").code, preview(cron="61 * * * *").code) == (1, 2)
    ended = preview("--from", "soon")
    assert (ended.code, "soon" in ended.err) == (2, True)
    assert preview(start="2027-01-01T00:00:00Z").out == "no instants there\n"
