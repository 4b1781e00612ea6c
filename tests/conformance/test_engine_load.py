"""What every engine loads at a start, and that it holds nothing of a bus that was emptied."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from eventyard.core import schedule
from eventyard.core.access import EVERYTHING, AccessKey, Grant, Scope
from eventyard.core.bus_state import Queue
from eventyard.core.cause import Derivation
from eventyard.core.changes import Backfill, Changes, Filter, Intent, IntentKind, Moved, Pace
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, State
from eventyard.core.emitter import EmitterRecord, EmitterTally, Kept, Kind
from eventyard.core.health import Health
from eventyard.core.rule import Status, Tombstone
from eventyard.core.schedule import Missed, ScheduleRecord
from eventyard.ports import Engine
from tests.conformance.engines import (
    BUS,
    ENGINES,
    RULE,
    TIME,
    blocked,
    changes,
    dead,
    event,
    founding,
    leased,
    record,
    retrying,
    rule,
    waiting,
)


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    made = ENGINES[request.param](tmp_path)
    yield made
    made.close()


# Load


def test_a_new_store_loads_nothing(engine: Engine) -> None:
    assert engine.load() == []


def test_buses_load_by_number_without_the_deleted(engine: Engine) -> None:
    engine.commit([founding(1, 2, 3)])
    engine.commit([Changes(0, TIME, 1, buses=[record(2, is_deleted=True)])])

    loaded = engine.load()

    assert [bus.record for bus in loaded] == [record(0), record(1), record(3)]
    assert {bus.number: bus.is_deleted for bus in loaded[0].buses} == {1: False, 2: True, 3: False}
    assert loaded[1].buses == ()


def test_a_removed_bus_leaves_no_record(engine: Engine) -> None:
    engine.commit([founding(1, 2)])
    engine.commit([Changes(0, TIME, 1, buses=[record(2, is_deleted=True, is_removed=True)])])

    assert [bus.number for bus in engine.load()[0].buses] == [1]


def test_head_and_time_are_those_of_the_last_commit(engine: Engine) -> None:
    engine.commit([founding(1), changes(event(1), event(2))])
    engine.commit([Changes(BUS, BusTime(TIME.time_ms + 9, 77), 2, puts=[waiting(1)])])

    loaded = engine.load()[1]

    assert (loaded.head, loaded.time) == (2, BusTime(TIME.time_ms + 9, 77))


def test_a_bus_that_wrote_nothing_loads_empty(engine: Engine) -> None:
    engine.commit([founding(1)])

    loaded = engine.load()[1]

    assert (loaded.head, loaded.rules, loaded.queues, loaded.leased) == (0, (), {}, ())


def test_rules_load_as_they_were_last_put_without_the_deleted(engine: Engine) -> None:
    engine.commit([founding(1), Changes(BUS, TIME, 9, rules=[rule(1), rule(2), rule(3)])])
    changed = rule(2, pattern='{"data": {"n": [{"numeric": [">=", 1.50]}]}}', status=Status.DELETING)
    engine.commit([Changes(BUS, TIME, 9, rules=[changed, rule(3, status=Status.DELETED)])])

    assert engine.load()[1].rules == (rule(1), changed)


def test_work_loads_until_it_is_done(engine: Engine) -> None:
    backfill = Backfill(1, 0, 5, pace=Pace(per_s=0.3, last_ms=10 / 3))
    intent = Intent(9, 2, IntentKind.REDRIVE, filter=Filter("age", (2**62,), 3, 44), paced_ms=1.25)
    engine.commit([founding(1), Changes(BUS, TIME, 9, backfills=[Backfill(2, 0, 1), Backfill(1, 0, 1)], intents=[intent])])
    engine.commit([Changes(BUS, TIME, 9, backfills=[backfill, Backfill(2, 0, 9, is_done=True)])])
    loaded = engine.load()[1]
    assert (loaded.backfills, loaded.intents) == ((backfill,), (intent,))

    engine.commit([Changes(BUS, TIME, 9, intents=[msgspec.structs.replace(intent, is_done=True)])])
    assert engine.load()[1].intents == ()


def test_queues_load_with_their_counts_and_when_the_next_is_due(engine: Engine) -> None:
    engine.commit([founding(1), Changes(BUS, TIME, 5, rules=[rule(RULE)], puts=[waiting(1), waiting(2, at_ms=50), dead(3)])])
    engine.commit([Changes(BUS, TIME, 5, moves=[Moved(State.WAITING, leased(1)), Moved(State.DEAD, waiting(3, at_ms=60))])])

    assert engine.load()[1].queues == {(RULE, 0): Queue([2, 0, 1, 0, 0, 0, 0], 50)}


def test_each_run_has_a_queue_of_its_own(engine: Engine) -> None:
    engine.commit([founding(1), Changes(BUS, TIME, 5, rules=[rule(RULE)], puts=[waiting(1), retrying(1, run=4, at_ms=70)])])

    assert engine.load()[1].queues == {
        (RULE, 0): Queue([1, 0, 0, 0, 0, 0, 0], 100),
        (RULE, 4): Queue([0, 1, 0, 0, 0, 0, 0], 70),
    }


def test_a_replay_stays_when_it_is_done_until_it_is_removed(engine: Engine) -> None:
    replay = Backfill(1, 6, 9, is_done=True, first=1, last=8)
    engine.commit([founding(1), Changes(BUS, TIME, 9, backfills=[replay])])
    assert engine.load()[1].backfills == (replay,)

    engine.commit([Changes(BUS, TIME, 9, backfills=[msgspec.structs.replace(replay, is_removed=True)])])
    assert engine.load()[1].backfills == ()


def test_tombstones_load_until_they_are_removed(engine: Engine) -> None:
    tombstone = Tombstone("gone", 3, 0, 2, 9, 1_000)
    engine.commit([founding(1), Changes(BUS, TIME, 9, tombstones=[tombstone])])
    assert engine.load()[1].tombstones == (tombstone,)

    engine.commit([Changes(BUS, TIME, 9, tombstones=[msgspec.structs.replace(tombstone, is_removed=True)])])
    assert engine.load()[1].tombstones == ()


def test_keys_load_with_the_system_bus_until_they_are_removed(engine: Engine) -> None:
    key = AccessKey(
        "00010203", b"\x00digest\xff", "admin", Grant((Scope.READ, Scope.PUBLISH), ("shop",), "/shop/", ("t.*",)), 9, 1
    )
    other = AccessKey("ffffffff", b"", "gone", EVERYTHING, revoked_ms=3, revoked_by="key:00010203/admin")
    engine.commit([founding(1), Changes(0, TIME, 1, keys=[other, key])])
    assert sorted(engine.load()[0].keys, key=lambda key: key.id) == [key, other]
    assert engine.load()[1].keys == ()

    changed = msgspec.structs.replace(key, revoked_ms=7)
    engine.commit([Changes(0, TIME, 2, keys=[changed, msgspec.structs.replace(other, is_removed=True)])])
    assert engine.load()[0].keys == (changed,)


def test_rules_in_trouble_load_until_they_are_removed(engine: Engine) -> None:
    health = Health(3, is_failing=True, told=True, since_ms=9, failure="no answer", failing_at_ms=0, untold=2, first=4, last=5)
    engine.commit([founding(1), Changes(BUS, TIME, 9, health=[Health(3), Health(4, to_tell=True)])])
    engine.commit([Changes(BUS, TIME, 9, health=[health, Health(4, is_removed=True)])])
    assert engine.load()[1].health == (health,)

    engine.commit([Changes(BUS, TIME, 9, health=[Health(3, is_removed=True)])])
    assert engine.load()[1].health == ()


def test_emitters_load_until_they_are_removed(engine: Engine) -> None:
    one = EmitterRecord(3, Kind.DETECTOR, "one", 3, msgspec.Raw(b'{"a":1}'), 5, 6, swept="k")
    other = EmitterRecord(4, Kind.DETECTOR, "two", 4, msgspec.Raw(b"{}"), 5, 6)
    tally = EmitterTally(3, {"keys": 2})
    engine.commit([founding(1), Changes(BUS, TIME, 9, emitters=[one, other], emitter_tallies=[tally])])
    loaded = engine.load()[1]
    assert loaded.emitters == (one, other)
    assert [tally.counts for tally in loaded.emitter_tallies if tally.counts] == [{"keys": 2}]

    changed = msgspec.structs.replace(one, swept=None)
    removed = msgspec.structs.replace(other, is_removed=True)
    engine.commit([Changes(BUS, TIME, 9, emitters=[changed, removed], kept=[Kept(4, "k", None, b"")])])
    loaded = engine.load()[1]
    assert loaded.emitters == (changed,)
    assert [tally.counts for tally in loaded.emitter_tallies] == [{"keys": 2}]


def test_what_is_kept_of_keys_is_found_by_key_in_its_order_and_by_time(engine: Engine) -> None:
    rows = [Kept(3, "b", 70, b"1"), Kept(3, "B", None, b"2"), Kept(4, "b", 70, b"3"), Kept(3, "é", 50, b"4")]
    engine.commit([founding(1, 2), Changes(BUS, TIME, 9, kept=rows), Changes(2, TIME, 9, kept=[Kept(3, "b", 1, b"5")])])
    view = engine.view
    assert [view.kept(BUS, 3, key) for key in ("b", "none")] == [rows[0], None]
    assert [row.key for row in view.kept_after(BUS, 3, "", 9)] == ["B", "b", "é"]
    assert {row.key for row in view.kept_of(BUS, 3, ["é", "none", "b"])} == {"b", "é"}
    assert view.kept_of(BUS, 3, []) == []
    assert [row.key for row in view.kept_after(BUS, 3, "B", 1)] == ["b"]
    assert view.kept_due(BUS, 9) == [rows[3], rows[0], rows[2]]
    assert view.kept_due(BUS, 1) == [rows[3]]
    assert engine.load()[1].kept_due_ms == 50

    engine.commit([Changes(BUS, TIME, 9, kept=[Kept(3, "é", None, b""), Kept(3, "b", None, b"6"), Kept(9, "x", None, b"")])])
    assert view.kept_due(BUS, 9) == [rows[2]]
    assert view.kept(BUS, 3, "b") == Kept(3, "b", None, b"6")
    assert view.kept(BUS, 3, "é") is None


def test_schedules_load_until_they_are_deleted(engine: Engine) -> None:
    missing = Missed(5, 6, count=2, published=1, is_more=True)
    changed = msgspec.structs.replace(a_schedule(3), version=5, done_ms=77, last_ms=70, published=4, missed=missing)
    engine.commit([founding(1), Changes(BUS, TIME, 9, schedules=[a_schedule(3), a_schedule(4)])])
    engine.commit([Changes(BUS, TIME, 9, schedules=[changed, msgspec.structs.replace(a_schedule(4), is_deleted=True)])])
    assert engine.load()[1].schedules == (changed,)

    engine.commit([Changes(BUS, TIME, 9, schedules=[msgspec.structs.replace(changed, is_deleted=True)])])
    assert engine.load()[1].schedules == ()


def a_schedule(uid: int) -> ScheduleRecord:
    said, _ = schedule.parse(b'{"cron": "0 8 * * *", "zone": "Europe/Berlin", "emit": {"type": "x", "data": {"price": 1.10}}}')
    return ScheduleRecord(uid, f"schedule-{uid}", uid, said, 1, 1, 1)


def test_what_stands_in_lanes_loads_for_rules_that_keep_order(engine: Engine) -> None:
    rows = [waiting(1, lane=5), blocked(2, lane=5), dead(3, lane=6), leased(4, lane=7), waiting(8)]
    ended = Delivery(RULE, 0, 9, State.DELIVERED, 1, lane=5)
    rules = [rule(RULE, is_ordered=True), rule(8)]
    engine.commit([founding(1), Changes(BUS, TIME, 9, rules=rules, puts=[*rows, ended, waiting(1, rule=8, lane=5)])])

    assert {row.key: row for row in engine.load()[1].ordered} == {row.key: row for row in rows if row.lane}


# Emptying a bus


def test_a_bus_holds_something_until_it_is_emptied(engine: Engine) -> None:
    full = Changes(
        2,
        TIME,
        30,
        events=[event(n) for n in range(1, 31)],
        derivations=[Derivation(3, 2)],
        puts=[waiting(1), dead(2)],
        rules=[rule(1)],
        backfills=[Backfill(1, 0, 1)],
        intents=[Intent(3, 1, IntentKind.DISCARD)],
        health=[Health(1), Health(2)],
        emitters=[EmitterRecord(1, Kind.DETECTOR, "d", 1, msgspec.Raw(b"{}"), 1, 1)],
        kept=[Kept(1, "k", 1, b"1"), Kept(1, "l", 1, b"1")],
        schedules=[a_schedule(1), a_schedule(2)],
    )
    engine.commit([founding(1, 2), full, msgspec.structs.replace(full, bus=1)])
    assert engine.view.holds(2)

    engine.commit([Changes(0, TIME, 1, emptied_bus=2)])

    assert not engine.view.holds(2)
    assert engine.view.holds(1)
    assert engine.view.events(2, 1, 30, 30) == []
    assert engine.view.find_ids(2, [("/s", "e1"), ("/s", "e30")]) == {}
    assert len(engine.view.find_ids(1, [("/s", "e1"), ("/s", "e30")])) == 2


def test_a_bus_that_never_was_holds_nothing(engine: Engine) -> None:
    assert not engine.view.holds(5)


def test_a_number_used_again_starts_empty(engine: Engine) -> None:
    engine.commit([founding(1), changes(*(event(n) for n in range(1, 20)))])
    engine.commit([Changes(0, TIME, 1, emptied_bus=1, buses=[record(1, is_deleted=True, is_removed=True)])])
    engine.commit([Changes(0, TIME, 2, buses=[record(1)])])

    assert engine.load()[1].head == 0
    engine.commit([changes(event(1, id="new"))])
    assert set(engine.view.find_ids(BUS, [("/s", "e1"), ("/s", "new")])) == {("/s", "new")}
