"""docs/reference/events.md names every event that a bus publishes of itself, with the fields that its data has: here each is provoked."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

from eventyard.core import bus_events, incarnation, limits, schedule
from eventyard.core.access import EVERYTHING, AccessKey
from eventyard.core.changes import Filter, Retention
from eventyard.core.commands import (
    CreateBus,
    CreateKey,
    DeleteBus,
    DeleteEmitter,
    DeleteRule,
    DeleteSchedule,
    EndReplay,
    EnforceCap,
    PauseSchedule,
    Publish,
    Purge,
    PutSchedule,
    Redrive,
    Replay,
    RevokeKey,
    Seek,
    SetPaused,
    SetRetention,
    Skip,
    TrimParked,
)
from eventyard.core.delivery import Note, Reason
from eventyard.core.emitter import Kind
from eventyard.core.event import Event, make
from eventyard.core.reply import RefusedReply, Reply
from eventyard.core.verdict import Dead, Delivered, Gone, Retry, Verdict
from eventyard.writer import Writer
from tests.support.builders import an_event, put_detector, put_expectation
from tests.support.houses import House

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
NEVER = Dead(Note(reason=Reason.ANSWER, status=422))
OK = Delivered(Note(status=204))
ORDERED = {"order": "key", "key": "data.key"}


class Row(NamedTuple):
    """One row of the page: the types that it is of, what their data always has, and what it may have."""

    kinds: tuple[str, ...]
    fields: frozenset[str]
    maybe: frozenset[str]


def rows() -> Iterator[Row]:
    for kinds, fields, maybe in re.findall(
        r"^\| (`io\.eventyard\.[^|]*) \| [^|]* \| ([^|]*) \| ?([^|]*)\|$", PAGE, re.MULTILINE
    ):
        first, *more = re.findall(r"`(\S+?)`", kinds)
        named = (first, *(first.rpartition(".")[0] + other for other in more))
        yield Row(named, frozenset(re.findall(r"`(\w+)`", fields)), frozenset(re.findall(r"`(\w+)`", maybe)))


@pytest.fixture(scope="module")
def provoked() -> dict[str, list[frozenset[str]]]:
    """By type, the fields of each event's data."""
    found: dict[str, list[frozenset[str]]] = defaultdict(list)
    for story in STORIES:
        bus = House()
        for event in [*story(bus), *_log(bus, 1), *_log(bus, 0)]:
            document = json.loads(event.json)
            if document["type"].startswith("io.eventyard."):
                found[document["type"]].append(frozenset(document["data"]))
    return found


def _log(bus: House, number: int) -> list[Any]:
    return bus.engine.view.events(number, 1, bus.writer.states[number].head, 10_000)


def given(bus: House, uid: int, *events: Event) -> None:
    """These events published, each given to the rule."""
    bus.receiver.want(uid, 100)
    bus.do(Publish(events))
    bus.writer.step()


def settle_all(bus: House, verdict: Verdict) -> None:
    for lease in bus.take():
        bus.settle(lease, verdict)


# Stories


def edits(bus: House) -> list[Event]:
    bus.put("r")
    bus.put("r", description="another")
    for is_paused in (True, False):
        bus.do(SetPaused("r", is_paused))
    bus.do(Seek("r", "latest"))
    run = bus.do(Replay("r", "earliest")).run
    bus.do(EndReplay("r", run))
    bus.do(DeleteRule("r"))
    return []


def schedules(bus: House) -> list[Event]:
    daily, hourly = (
        schedule.parse(b'{"cron": "0 %s * * *", "emit": {"type": "shop.opens"}}' % hour)[0] for hour in (b"8", b"*")
    )
    bus.do(PutSchedule("s", daily))
    bus.do(PutSchedule("s", hourly))
    for is_paused in (True, False):
        bus.do(PauseSchedule("s", is_paused))
    bus.clock.wall_ms += 86_400_000
    bus.writer = Writer(bus.engine, bus.clock)
    bus.writer.open(lambda: "never")
    bus.furnish()
    bus.rest()
    bus.do(DeleteSchedule("s"))
    return []


def dead_letters(bus: House) -> list[Event]:
    uid = bus.put("r", delivery=ORDERED).uid
    given(bus, uid, *(an_event(number, data={"key": number}) for number in range(16)))
    settle_all(bus, NEVER)
    bus.clock.advance(limits.DEAD_LETTERS_TOLD_EVERY_MS)
    bus.rest()
    keys = [(uid, 0, position) for position in range(2, 10)]
    bus.do(Skip("r", (keys[0],)))
    bus.do(Redrive("r", (keys[0],), is_out_of_order=True))
    bus.do(Redrive("r", None, filter=Filter(reason="age")))
    bus.do(Purge("r", (keys[1],), reason="expired"))
    bus.do(Purge("r", None, filter=Filter(reason="age")))
    bus.do(Redrive("r", None))
    bus.do(Purge("r", None))
    return []


def trouble(bus: House) -> list[Event]:
    uid = bus.put("r").uid
    verdicts: tuple[Verdict, ...] = (NEVER, OK, Gone(Note(status=410)))
    for number, verdict in enumerate(verdicts):
        given(bus, uid, an_event(number))
        settle_all(bus, verdict)
    return []


def breakers(bus: House) -> list[Event]:
    uid = bus.put("r", delivery={"breaker": {"min_requests": 1, "open_s": 1, "successes": 1}}).uid
    given(bus, uid, an_event(1))
    settle_all(bus, Retry(0, Note(status=503)))
    bus.clock.advance(1_000)
    bus.writer.step()
    settle_all(bus, OK)
    bus.rest()
    return []


def replies(bus: House) -> list[Event]:
    uid = bus.put("r").uid
    far = make({"id": "far", "source": "/s", "type": "t", "eventyardhops": limits.HOPS_MAX_DEFAULT + 1})
    replies: tuple[Reply | RefusedReply, ...] = (RefusedReply("too-large", "found too much"), Reply(far))
    for number, reply in enumerate(replies):
        given(bus, uid, an_event(number))
        settle_all(bus, Delivered(Note(status=200), reply))
    return []


def caps(bus: House) -> list[Event]:
    uid = bus.put("r", delivery=ORDERED).uid
    given(bus, uid, an_event(1, data={"key": 1}))
    settle_all(bus, NEVER)
    bus.receiver.wanted.clear()
    bus.do(Publish(tuple(an_event(f"behind-{number}", data={"key": 1}) for number in range(3))))
    with mock.patch.object(limits, "PARKED_BEHIND_MAX", 1):
        bus.do(TrimParked(uid))
    bus.put("other")
    bus.do(Publish((an_event("waits"),)))
    bus.do(EnforceCap(bus.state.by_name["other"].uid, 0, bus.state.head + 1, "it was older"))
    return []


def systems(bus: House) -> list[Event]:
    key = AccessKey("00010203", b"digest", "admin", EVERYTHING)
    for command in (
        CreateBus("shop", "life-shop"),
        SetRetention("shop", Retention(max_age_s=60)),
        DeleteBus("shop"),
        CreateKey(key),
        RevokeKey(key.id),
    ):
        bus.writer.submit_system(command, lambda _: None)
        bus.writer.step()
    return []


def lives(bus: House) -> list[Event]:
    loaded = bus.engine.load()[1]
    restored = incarnation.restored(loaded, bus.engine.view, bus.now(), "again", 0)
    repaired = incarnation.repaired(loaded, bus.engine.view, bus.now(), "again", [(3, 4)])
    return [*restored.events, *repaired.events]  # type: ignore[list-item]  # as stored


def detectors(bus: House) -> list[Event]:
    bus.do(put_detector("d"))
    bus.do(put_detector("d", description="another"))
    bus.do(DeleteEmitter(Kind.DETECTOR, "d"))
    return []


def expectations(bus: House) -> list[Event]:
    bus.do(put_expectation("x"))
    bus.do(put_expectation("x", description="another"))
    bus.do(DeleteEmitter(Kind.EXPECTATION, "x"))
    return []


STORIES: list[Callable[[House], list[Event]]] = [
    edits,
    schedules,
    dead_letters,
    trouble,
    breakers,
    replies,
    caps,
    systems,
    lives,
    detectors,
    expectations,
]


# What the page says


def test_every_event_of_the_bus_itself_is_provoked_here(provoked: dict[str, list[frozenset[str]]]) -> None:
    assert set(provoked) == {value for name, value in vars(bus_events).items() if name.isupper()}


def test_the_page_names_every_event_and_no_other() -> None:
    told = {kind for row in rows() for kind in row.kinds}
    assert told == {value for name, value in vars(bus_events).items() if name.isupper()}


def test_the_data_of_every_event_has_the_fields_that_the_page_says(provoked: dict[str, list[frozenset[str]]]) -> None:
    for kind, events in provoked.items():
        of_kind = [row for row in rows() if kind in row.kinds]
        for fields in events:
            fits = [row for row in of_kind if row.fields <= fields <= row.fields | row.maybe]
            assert len(fits) == 1, f"{kind} has {sorted(fields)}"


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.kinds[0])
def test_whatever_the_page_says_of_an_event_is_there(row: Row, provoked: dict[str, list[frozenset[str]]]) -> None:
    events = [fields for kind in row.kinds for fields in provoked[kind] if row.fields <= fields <= row.fields | row.maybe]
    assert frozenset().union(*events) == row.fields | row.maybe


def test_every_field_is_explained() -> None:
    explained = {
        name
        for names in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ", PAGE.split("| field | says |")[1], re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    assert {name for row in rows() for name in row.fields | row.maybe} == explained


def test_how_many_there_are_is_as_the_page_says() -> None:
    assert "at most one a second for a rule" in PAGE
    assert "ten a minute for a rule" in PAGE
    assert "down to one a minute" in PAGE
    bounds = (
        limits.TROUBLE_TOLD_EVERY_MS,
        limits.TROUBLE_RESTS_MS_MAX,
        limits.DEAD_LETTERS_TOLD_EACH,
        limits.DEAD_LETTERS_TOLD_EVERY_MS,
    )
    assert bounds == (1_000, 60_000, 10, 60_000)
    assert f"a phrase of {limits.FAILURE_TOLD_CHARACTERS} characters at most" in PAGE
