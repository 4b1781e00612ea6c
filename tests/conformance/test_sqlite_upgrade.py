"""A store of version 1, as the eventyard of that version wrote it, opened by today's: everything is there and goes on."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from eventyard.backfill import BackfillStage
from eventyard.core.changes import StoredEvent
from eventyard.core.commands import Publish
from eventyard.core.delivery import Delivery, Note, State
from eventyard.core.errors import EventConflict, StorageFailed
from eventyard.core.rule import Status
from eventyard.core.verdict import Delivered, Retry
from eventyard.engines.sqlite import SqliteEngine, migrating
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.backup import back_up
from eventyard.engines.sqlite.restore import restore
from eventyard.keeper import Keeper
from tests.simulation.disk import Disk, DiskVFS, Fault
from tests.support.builders import Stepped, an_event
from tests.support.deaths import deaths
from tests.support.stores import SMALL, dump, open_and_close, opened, rows_of

ROOT = Path(__file__).resolve().parents[2]
FIRST = Path(migrating.__file__).with_name("migrations") / "0001_first.sql"
ROWS = ROOT / "tests" / "data" / "store_1.sql"
RUNNER = ROOT / "tests" / "crash" / "run_server.py"
BUS, REWARDS, OLD, FLAKY, LATE, UNREAD = 1, 1, 2, 3, 23, 24
HEAD = 27
STATES = (State.WAITING, State.LEASED, State.DELIVERED, State.DEAD, State.DISCARDED)
"""By their numbers in version 1. A waiting one with an attempt behind it has a state of its own since."""


def make_old_store(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = apsw.Connection(str(path))
    connection.pragma("page_size", 8192)
    connection.pragma("journal_mode", "WAL")
    connection.execute(FIRST.read_text())
    connection.pragma("application_id", migrating.APPLICATION_ID)
    connection.pragma("user_version", 1)
    connection.execute(ROWS.read_text())
    connection.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_old_store(tmp_path / "data" / "eventyard.db")


@pytest.fixture
def before(path: Path) -> dict[str, list[Any]]:
    return dump(path)


@pytest.fixture
def bus(path: Path) -> Iterator[Stepped]:
    """The default bus of the upgraded store, its clock where the old life ended."""
    stepped = Stepped(opened(path))
    yield stepped
    stepped.engine.close()


# What is there


def test_the_file_has_todays_schema(path: Path, tmp_path: Path) -> None:
    opened(path).close()
    opened(tmp_path / "new.db").close()

    assert schema(path) == schema(tmp_path / "new.db")


@pytest.mark.parametrize("version", range(2, len(migrating.migrations())))
def test_a_file_of_any_version_in_between_has_todays_schema_and_loads(path: Path, tmp_path: Path, version: int) -> None:
    connection = apsw.Connection(str(path))
    for text in migrating.migrations()[1:version]:
        connection.execute(text)
    connection.pragma("user_version", version)
    connection.close()
    engine = opened(path)
    assert [bus.head for bus in engine.load()] == [4, HEAD, 3]
    engine.close()
    opened(tmp_path / "new.db").close()
    assert schema(path) == schema(tmp_path / "new.db")


def schema(path: Path) -> dict[str, Any]:
    connection = apsw.Connection(str(path))
    found: dict[str, Any] = {str(name): sql for name, sql in connection.execute("SELECT name, sql FROM sqlite_schema")}
    settings = {name: connection.pragma(name) for name in ("user_version", "application_id", "auto_vacuum", "page_size")}
    connection.close()
    return found | settings


def test_every_event_is_there_with_its_digest_and_a_checksum_that_holds(path: Path, before: dict[str, list[Any]]) -> None:
    engine = opened(path)
    offsets: dict[int, int] = {}
    for place, accepted_ms, digest, _, text in before["event"]:
        number, position = places.bus(place), places.position(place)
        identity = msgspec.json.decode(text)
        offset = offsets.setdefault(number, 0)
        expected = StoredEvent(position, accepted_ms, digest, text, identity["source"], identity["id"], offset)
        assert engine.view.event(number, position) == expected
        offsets[number] += len(text)
    assert engine.damage.count == 0
    loaded = {bus.record.number: bus for bus in engine.load()}
    assert {number: bus.log_bytes for number, bus in loaded.items()} == {number: offsets[number] for number in loaded}
    assert {bus.floor for bus in loaded.values()} == {1}
    engine.close()


def test_every_delivery_is_there_in_its_state(path: Path, before: dict[str, list[Any]]) -> None:
    engine = opened(path)
    for number, position, rule, run, old, at_ms, attempts, leases, first_ms, note in before["delivery"]:
        state = State.RETRYING if STATES[old] is State.WAITING and attempts else STATES[old]
        expected = Delivery(rule, run, position, state, at_ms, attempts, leases, first_ms, note)
        assert engine.view.delivery(number, expected.key) == expected
    assert {row[4] for row in before["delivery"]} == {0, 1, 2, 3, 4}
    engine.close()


def test_counts_are_those_of_the_deliveries(path: Path, before: dict[str, list[Any]]) -> None:
    engine = opened(path)
    loaded = {bus.record.number: bus for bus in engine.load()}
    for number, rule, waiting, leased, delivered, dead, discarded in before["tally"]:
        if number not in loaded:
            continue  # The bus is being emptied.
        counts = loaded[number].queues[rule, 0].counts
        assert counts[State.WAITING] + counts[State.RETRYING] == waiting
        kept = [counts[state] for state in (State.LEASED, State.BLOCKED, State.DELIVERED, State.DEAD, State.DISCARDED)]
        assert kept == [leased, 0, delivered, dead, discarded]
    assert loaded[BUS].queues[REWARDS, 0].counts[State.RETRYING] == 1
    engine.close()


def test_buses_rules_backfills_and_intents_are_there(path: Path, before: dict[str, list[Any]]) -> None:
    engine = opened(path)
    loaded = {bus.record.number: bus for bus in engine.load()}
    assert {
        number: (bus.record.name, bus.record.incarnation, bus.head, bus.time.time_ms, bus.time.work_ms)
        for number, bus in loaded.items()
    } == {
        0: ("system", "life0", 4, 1_700_000_003_750, 3_750),
        1: ("default", "life1", HEAD, 1_700_000_003_750, 3_750),
        2: ("orders", "life-orders", 3, 1_700_000_001_000, 1_000),
    }
    assert [bus.name for bus in loaded[0].buses if bus.is_deleted] == ["gone"]
    for number, uid, text in before["rule"]:
        if number in loaded:
            (rule,) = [rule for rule in loaded[number].rules if rule.uid == uid]
            assert members(msgspec.to_builtins(rule, enc_hook=bytes)) >= members(msgspec.json.decode(text))
    (late, unread) = loaded[BUS].backfills
    assert [(one.rule, one.run, one.next_position, one.is_done, one.is_replay) for one in (late, unread)] == [
        (LATE, 0, 5, False, False),
        (UNREAD, 0, 1, False, False),
    ]
    assert [(intent.number, intent.rule, intent.kind) for intent in loaded[BUS].intents] == [
        (25, OLD, "discard"),
        (26, FLAKY, "redrive"),
    ]
    engine.close()


def members(value: Any, at: str = "") -> set[tuple[str, Any]]:
    """Every leaf of a document with its place."""
    if isinstance(value, dict):
        return {leaf for name, inner in value.items() if name != "pattern" for leaf in members(inner, f"{at}/{name}")}
    return {(at, value)}


def test_what_the_upgrade_does_not_concern_is_as_it_was(path: Path, before: dict[str, list[Any]]) -> None:
    opened(path).close()

    after = dump(path)
    assert {name: len(rows) for name, rows in after.items() if name in before} == {
        name: len(rows) for name, rows in before.items()
    }
    for name in ("rule", "id_segment", "id_bucket", "id_slice"):
        assert after[name] == before[name]


def test_a_second_opening_changes_nothing(path: Path) -> None:
    opened(path).close()
    first = dump(path)
    opened(path).close()

    assert dump(path) == first


def test_what_rules_say_is_known_from_the_upgrade_on(path: Path) -> None:
    """Of a rule that was never edited all is known; of one that was, what it said before is not; of a deleted one, that it is."""
    engine = opened(path)
    versions = {version.uid: version for version in engine.view.versions(BUS, 0, 100)}
    rules = {rule.uid: rule for rule in engine.load()[BUS].rules}
    assert versions.keys() == rules.keys()
    assert {(one.name, one.version, one.run, one.time_ms) for one in versions.values()} == {
        (rule.name, rule.version, rule.run, rule.changed_ms) for rule in rules.values()
    }
    assert {uid: (one.edit, one.first, one.cursor) for uid, one in versions.items()} == {
        REWARDS: ("changed", 0, 23),
        OLD: ("deleted", 0, 26),
        FLAKY: ("created", 4, 4),
        LATE: ("created", 1, 5),
        UNREAD: ("created", 1, 1),
    }
    patterns = engine.view.patterns_of(BUS, [version.key for version in versions.values()])
    assert {key[0]: msgspec.json.decode(text) for key, text in patterns.items()} == {
        uid: msgspec.json.decode(rule.rule.pattern) for uid, rule in rules.items()
    }
    engine.close()


# How it goes on


def test_publishing_goes_on_at_the_next_position(bus: Stepped) -> None:
    (fresh,) = bus.do(Publish((an_event("fresh"),)))
    assert (fresh.position, fresh.is_duplicate) == (HEAD + 1, False)
    (stored,) = bus.engine.view.events(BUS, HEAD + 1, HEAD + 1, 1)
    before = bus.engine.view.event(BUS, HEAD)
    assert before is not None
    assert stored.offset == before.offset + len(before.json)


@pytest.mark.parametrize(("number", "position"), [(1, 4), (8, 11), ("old-5", 16), ("flaky-1", 17), ("last", HEAD)])
def test_ids_of_the_old_life_are_known(bus: Stepped, number: int | str, position: int) -> None:
    """In the slice, in a segment of its own, and in the open segment."""
    kind = {"o": "order.old", "f": "order.flaky"}.get(str(number)[0], "order.paid")
    (again, other) = bus.do(Publish((an_event(number, kind=kind), an_event(number, data="other"))))
    assert (again.position, again.is_duplicate) == (position, True)
    assert isinstance(other, EventConflict)


def test_old_leases_are_due_and_end_like_any(bus: Stepped) -> None:
    bus.receiver.want(REWARDS, 10)
    bus.writer.step()
    assert sorted(lease.delivery.position for lease in bus.receiver.leases) == [7, 8, 9, 10, 11, 27]
    lease = next(lease for lease in bus.receiver.leases if lease.delivery.position == 7)
    assert (lease.delivery.leases, lease.delivery.attempts) == (2, 2)
    assert bus.settle(lease, Delivered(Note())) is None
    assert bus.row(REWARDS, 7).state is State.DELIVERED


def test_a_retry_waits_for_its_time(bus: Stepped) -> None:
    bus.receiver.want(REWARDS, 10)
    bus.writer.step()
    bus.clock.advance(62_250 - 3_750)
    bus.writer.step()
    assert bus.receiver.leases[-1].delivery.position == 6


def test_trouble_is_told_from_the_upgrade_on_and_kept(bus: Stepped, path: Path) -> None:
    """Whatever failed before it is not known to have: the first attempt that fails now is told."""
    assert bus.state.health == {}
    bus.receiver.want(REWARDS, 10)
    bus.writer.step()
    assert bus.settle(bus.receiver.leases[0], Retry(60_000, Note(status=503))) is None
    told = bus.engine.view.event(BUS, HEAD + 1)
    assert told is not None
    assert b'"type":"io.eventyard.delivery.failing"' in told.json
    health = bus.state.health
    bus.engine.close()
    again = opened(path)
    assert {row.rule: row for row in again.load()[1].health} == health
    again.close()


def test_what_was_half_done_is_done(bus: Stepped) -> None:
    """Backfills reach the head, the deleted rule's queue is emptied, the redrive ends, the deleted bus is gone."""
    carry_on(bus)

    assert {name: record.status for name, record in bus.state.by_name.items()} == dict.fromkeys(
        ("rewards", "flaky", "late", "unread"), Status.LIVE
    )
    assert [bus.row(LATE, position).state for position in (4, 5, 11, 12, 16, HEAD)] == [State.WAITING] * 6
    assert [bus.row(UNREAD, position).state for position in (4, 16, 21, HEAD)] == [State.WAITING] * 4
    assert {bus.row(OLD, position).state for position in range(12, 17)} == {State.DISCARDED}
    assert {msgspec.json.decode(bus.row(OLD, position).note)["reason"] for position in range(12, 17)} == {"rule-deleted"}
    assert {bus.row(FLAKY, position).state for position in range(17, 22)} == {State.WAITING}
    assert (bus.state.intents, bus.state.backfills) == ({}, {})
    assert "gone" not in bus.writer.states[0].buses
    assert not bus.engine.view.holds(3)


def test_a_redrive_under_way_leaves_alone_what_died_after_it_was_asked_for(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE delivery SET at_ms = 1700000003251 WHERE rule = 3 AND position = 21")
    connection.close()
    bus = Stepped(opened(path))
    carry_on(bus)

    assert [bus.row(FLAKY, position).state for position in (19, 20, 21)] == [State.WAITING, State.WAITING, State.DEAD]
    bus.engine.close()


def carry_on(bus: Stepped) -> None:
    """The stages, until none of them has anything to do."""
    writer = bus.writer
    backfill = BackfillStage(bus.engine, writer.states, writer.submit_own)
    keeper = Keeper(writer.states, writer.submit_own, bus.now)
    for _ in range(100):
        asked = [backfill.step(), keeper.step()]
        while writer.step():
            pass
        if not any(asked):
            return
    pytest.fail("found no end")


def test_an_old_store_is_backed_up_by_todays_eventyard_and_restored(path: Path, tmp_path: Path) -> None:
    """As one does before an upgrade, with the new command already there."""
    contents = back_up(path, tmp_path / "backup.db", lambda *_: None)
    assert contents.faults == ()
    assert dump(tmp_path / "backup.db") == dump(path)

    restore(tmp_path / "backup.db", tmp_path / "again", lambda *_: None, now_ms=1_700_000_004_000)
    engine = opened(tmp_path / "again" / "eventyard.db")
    assert [(bus.record.name, bus.head) for bus in engine.load()] == [("system", 5), ("default", HEAD + 1), ("orders", 4)]
    engine.close()


# Cut short


def test_an_upgrade_that_is_killed_leaves_the_old_store_or_the_new_one(tmp_path: Path) -> None:
    old = dump(make_old_store(tmp_path / "old.db"))
    opened(make_old_store(tmp_path / "new.db")).close()
    new = dump(tmp_path / "new.db")
    versions = []
    with deaths(f"{open_and_close.__module__}:{open_and_close.__name__}") as killed_at:
        for moment, operation, count in killing_moments():
            path = make_old_store(tmp_path / f"{moment}-{operation}-{count}.db")
            is_killed = killed_at(moment, operation, count, path)
            versions.append(version_of(path))
            assert dump(path) == (old if versions[-1] == 1 else new)
            assert is_killed or versions[-1] != 1
            opened(path).close()
            assert dump(path) == new
    assert versions.count(1) >= 5
    assert versions.count(len(migrating.migrations())) >= 3


def killing_moments() -> Iterator[tuple[str, str, int]]:
    yield from (("torn", "write", count) for count in (1, 5, 20, 40, 60, 90))
    yield from (("before", "write", count) for count in (2, 50, 80))
    yield from (("before", "sync", count) for count in (1, 2, 3, 4))
    yield ("after", "sync", 1)


def version_of(path: Path) -> int:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    version: int = connection.pragma("user_version")
    connection.close()
    return version


def test_a_power_cut_at_any_moment_of_the_upgrade_loses_nothing(tmp_path: Path) -> None:
    path = make_old_store(tmp_path / "old.db")
    old, content = dump(path), path.read_bytes()
    opened(path).close()
    new = dump(path)
    for moment in itertools.count():
        disk = disk_with(content)
        is_done = upgraded(disk, f"upgrade-{moment}", fails_after=moment)
        disk.power_cut(random.Random(moment))
        found = rows_on(disk, f"found-{moment}")
        assert found == new if is_done else found in (old, new)
        assert upgraded(disk, f"again-{moment}")
        assert rows_on(disk, f"then-{moment}") == new
        if is_done:
            break
    assert moment > 50


def disk_with(content: bytes) -> Disk:
    disk = Disk()
    file = disk.open("bus.db")
    file.content, file.durable = bytearray(content), bytearray(content)
    disk.durable_names = dict(disk.files)
    return disk


def upgraded(disk: Disk, name: str, *, fails_after: int | None = None) -> bool:
    """Whether the store on the disk could be opened and closed before the disk was gone."""
    vfs = DiskVFS(name, disk)
    changing = frozenset({"write", "sync", "truncate"})
    disk.fault = Fault(changing, apsw.IOError, fails_after, 1_000_000) if fails_after is not None else None
    try:
        SqliteEngine("bus.db", vfs=name, is_exclusive=True, layout=SMALL).close()
    except (StorageFailed, apsw.Error):
        return False
    finally:
        is_gone = disk.fault is not None and disk.fault.count < 1_000_000
        disk.fault = None
        vfs.unplug()
    return not is_gone


def rows_on(disk: Disk, name: str) -> dict[str, list[Any]]:
    vfs = DiskVFS(name, disk)
    connection = apsw.Connection("bus.db", vfs=name)
    connection.pragma("locking_mode", "EXCLUSIVE")
    found = rows_of(connection)
    vfs.unplug()
    connection.close()
    return found
