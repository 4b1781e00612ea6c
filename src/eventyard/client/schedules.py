"""Schedules: what publishes events at times."""

from typing import Any

import msgspec

from eventyard.client.answers import Page
from eventyard.client.building import Document, pages_of, text_of
from eventyard.client.call import JSON, Call, Request, Walk, address, answer, condition, nothing


class ScheduleState(msgspec.Struct, frozen=True):
    """Where a schedule stands: times as RFC 3339. `next`: the instants to come, one of each in a list."""

    paused: bool
    uid: int
    version: int
    created: str
    changed: str
    next: list[str] = []
    last: str | None = None
    published: int = 0
    skipped: int = 0
    catching_up: bool = False


class Schedule(msgspec.Struct, frozen=True):
    """A schedule: its document as the bus keeps it, under its name, and where it stands."""

    name: str
    emit: dict[str, Any]
    state: ScheduleState
    cron: str | None = None
    every_s: float | None = None
    at: str | None = None
    zone: str = "UTC"
    start: str | None = None
    end: str | None = None
    jitter_s: float = 0.0
    misfire: str = "once"
    description: str = ""
    owner: str = ""


class SchedulePage(Page[Schedule], frozen=True, rename={"items": "schedules"}):
    items: list[Schedule]


def put_schedule(name: str, document: Document, *, bus: str = "default", version: int | None = None) -> Call[Schedule]:
    """Create the schedule `name`, or change it to `document` (cron, every_s or at; emit, zone, ...). `version` as in `put_rule`."""
    path, body = address("buses", bus, "schedules", name), text_of(document).encode()
    return Call(Request("PUT", path, body=body, content_type=JSON, headers=condition(version)), answer(Schedule))


def schedule(name: str, *, bus: str = "default") -> Call[Schedule]:
    return Call(Request("GET", address("buses", bus, "schedules", name)), answer(Schedule))


def schedules(*, bus: str = "default", after: str | None = None) -> Walk[Schedule]:
    """Every schedule of the bus, by name; those whose names come after `after`."""
    return pages_of(address("buses", bus, "schedules"), SchedulePage, after=after)


def delete_schedule(name: str, *, bus: str = "default", version: int | None = None) -> Call[None]:
    return Call(Request("DELETE", address("buses", bus, "schedules", name), headers=condition(version)), nothing)


def pause_schedule(name: str, *, bus: str = "default") -> Call[Schedule]:
    """Publish nothing until `resume_schedule`; instants that pass meanwhile are none."""
    return Call(Request("POST", address("buses", bus, "schedules", name, "pause")), answer(Schedule))


def resume_schedule(name: str, *, bus: str = "default") -> Call[Schedule]:
    return Call(Request("POST", address("buses", bus, "schedules", name, "resume")), answer(Schedule))
