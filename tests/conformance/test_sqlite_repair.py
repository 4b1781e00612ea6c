"""Repair: whatever was done to a store, the repaired one is sound, says what it lacks, and gives no position twice."""

import contextlib
import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import apsw
import pytest

from eventyard.core import access
from eventyard.core.bus_state import Loaded
from eventyard.core.commands import CreateKey, Publish
from eventyard.core.delivery import Note, Reason, State, decode_note
from eventyard.core.errors import Damaged, InvalidSettings, StorageFull, StoreBehind, Unauthenticated
from eventyard.core.verdict import Delivered
from eventyard.engines.sqlite import SqliteEngine, examining, files, log_tail, marks, repairing, replacement
from eventyard.engines.sqlite.marks import DiskMarks, Marks
from eventyard.engines.sqlite.place import place
from eventyard.engines.sqlite.repairing import Repair
from eventyard.engines.sqlite.soundness import examine as check_sound
from tests.support.builders import Stepped, an_event
from tests.support.harm import crashed, cut, flip
from tests.support.stores import change, make_store, opened

PAGE = 8192
NOW_MS = 1_700_000_060_000


def quiet(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


def repaired(path: Path) -> Repair:
    plan = repairing.repair(path, quiet, now_ms=NOW_MS)
    plan.apply()
    return plan


def names_left(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "eventyard.db"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something in every table: half in the file, half in its log, as a process leaves it that dies."""
    path = tmp_path_factory.mktemp("written") / "eventyard.db"
    bus = make_store(path)
    assert isinstance(bus.engine, SqliteEngine)
    bus.engine._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    for number in range(100, 130):
        bus.do(Publish((an_event(number, data="x" * 900),)))
    copy = crashed(path)
    bus.engine.close()
    return copy


@pytest.fixture
def store(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written.parent, tmp_path / "store")
    return tmp_path / "store" / written.name


@pytest.fixture(scope="module")
def truth(written: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], bytes]:
    """Every event by bus and position."""
    copy = Path(shutil.copytree(written.parent, tmp_path_factory.mktemp("truth") / "copy")) / written.name
    raw = apsw.Connection(str(copy))
    found = {(at >> 44, at & (1 << 44) - 1): json for at, json in raw.execute("SELECT place, json FROM event")}
    raw.close()
    return found


HEADS = {0: 2, 1: 77, 2: 1}


def check_repaired(path: Path, truth: dict[tuple[int, int], bytes]) -> dict[int, list[int]]:
    """The store is sound; every event is there as it was or in a known gap; and no position that was given is given again."""
    assert check_sound(str(path), quiet).faults == ()
    assert examining.examine(path, quiet).is_sound
    bus = Stepped(opened(path))
    lost: dict[int, list[int]] = {}
    for state in list(bus.writer.states.values()):
        number = state.record.number
        assert state.head > HEADS[number] or (state.head, lost.get(number)) == (HEADS[number], None)
        for at in range(1, HEADS[number] + 1):
            found = bus.engine.view.event(number, at)
            if found is not None:
                assert found.json == truth[number, at]
            else:
                assert any(gap.first <= at <= gap.last for gap in state.gaps)
                lost.setdefault(number, []).append(at)
    answer = bus.do(Publish((an_event(f"after-{time.monotonic_ns()}"),)))[0]
    assert answer.position > HEADS[1]
    bus.engine.close()
    return lost


# Nothing to repair


def test_a_whole_store_is_sound_and_examining_it_changes_nothing(store: Path) -> None:
    before = {file.name: file.read_bytes() for file in store.parent.iterdir()}
    found = examining.examine(store, quiet)

    assert found.is_sound
    assert found.events == sum(HEADS.values())
    assert {name: store.with_name(name).read_bytes() for name in before} == before
    assert names_left(store) - {"eventyard.db-shm"} == set(before)


def test_examining_a_store_that_was_closed_leaves_no_log_beside_it(path: Path) -> None:
    make_store(path).engine.close()
    before = names_left(path)
    assert examining.examine(path, quiet).is_sound
    assert names_left(path) == before


# What was lost


def test_a_log_that_is_gone_leaves_a_gap_and_a_new_life(store: Path, truth: dict[tuple[int, int], bytes]) -> None:
    before = {bus.record.number: bus.record.incarnation for bus in _loaded(crashed(store, "before"))}
    files.log(store).unlink()
    found = examining.examine(store, quiet)
    plan = repaired(store)

    assert [loss.text for loss in found.losses] == ['bus "default" ends at position 47 and had reached 77: 48 to 77 are lost']
    assert [(loss.bus, loss.lost, loss.commits) for loss in plan.losses] == [("default", ((48, 77),), 30)]
    assert check_repaired(store, truth) == {1: list(range(48, 78))}
    after = {bus.record.number: bus.record.incarnation for bus in _loaded(store)}
    assert {number for number in after if after[number] != before[number]} == {1}


def _loaded(path: Path) -> list[Loaded]:
    engine = opened(path)
    found = engine.load()
    engine.close()
    return list(found)


def test_the_log_of_the_bus_says_what_was_lost(store: Path) -> None:
    files.log(store).unlink()
    repaired(store)
    engine = opened(store)
    found = engine.view.event(1, 78)
    assert found is not None
    document = json.loads(found.json)
    engine.close()

    assert document["type"] == "io.eventyard.bus.repaired"
    assert document["data"]["lost_positions"] == 30
    assert document["data"]["lost"] == [{"first": 48, "last": 77}]
    assert document["data"]["incarnation"] != document["data"]["previous_incarnation"] == "life1"


def test_a_flipped_bit_in_the_log_costs_one_page_and_not_all_behind_it(
    store: Path, truth: dict[tuple[int, int], bytes]
) -> None:
    data = bytearray(files.log(store).read_bytes())
    data[log_tail.HEADER_BYTES + 8 * (PAGE + 24) + 4_000] ^= 8
    files.log(store).write_bytes(data)
    lost_to_sqlite = examining.examine(store, quiet).losses
    plan = repaired(store)

    assert any("behind the damage cannot be read" in loss.text for loss in lost_to_sqlite)
    assert plan.is_log_mended
    assert len(check_repaired(store, truth).get(1, [])) <= 8


@pytest.mark.parametrize("frame", [0, 1, 5, 17, 18, 30])
def test_a_log_that_was_never_taken_in_is_repaired_wherever_it_was_hit(path: Path, frame: int) -> None:
    """To SQLite the database is empty then, and a start that made its tables anew would write over what can be saved."""
    bus = make_store(path)
    copy = crashed(path)
    bus.engine.close()
    data = bytearray(files.log(copy).read_bytes())
    data[log_tail.HEADER_BYTES + frame * (PAGE + 24) + 24 + 100] ^= 8
    files.log(copy).write_bytes(data)
    with contextlib.suppress(StoreBehind):
        opened(copy).close()
    assert files.log(copy).read_bytes() == data
    assert not examining.examine(copy, quiet).is_sound
    plan = repaired(copy)

    assert plan.is_log_mended
    assert examining.examine(copy, quiet).is_sound
    found = Stepped(opened(copy))
    assert len(found.engine.view.events(1, 1, 45, 45)) >= 40
    found.engine.close()


@pytest.mark.parametrize("seed", range(25))
def test_any_flipped_bit_in_the_log_is_repaired(store: Path, truth: dict[tuple[int, int], bytes], seed: int) -> None:
    flip(files.log(store), random.Random(seed))
    if examining.examine(store, quiet).is_sound:
        return  # In frames that a checkpoint had made worthless, or in bytes that no row uses.
    repaired(store)
    lost = check_repaired(store, truth)

    assert sum(len(of) for of in lost.values()) <= 12


@pytest.mark.parametrize("seed", range(20))
def test_a_log_cut_anywhere_is_repaired(store: Path, truth: dict[tuple[int, int], bytes], seed: int) -> None:
    cut(files.log(store), random.Random(seed))
    repaired(store)

    check_repaired(store, truth)


def test_a_database_that_is_gone_begins_anew_above_everything_that_was_given(store: Path) -> None:
    for file in (store, files.log(store)):
        file.unlink()
    plan = repaired(store)

    assert {loss.bus: loss.lost for loss in plan.losses} == {
        "system": ((1, 2),),
        "default": ((1, 77),),
        "number 2": ((1, 1),),
    }
    bus = Stepped(opened(store))
    assert bus.do(Publish((an_event("new"),)))[0].position == 79
    assert bus.state.gaps[0].last == 77
    bus.engine.close()


def test_after_another_run_of_the_machine_positions_are_left_out_that_the_marks_may_lack(store: Path) -> None:
    """Power went, and with it what the marks had not yet synced; and the log is damaged too."""
    files.log(store).unlink()
    data = bytearray(files.marks(store).read_bytes())
    data[: marks.HEADER_BYTES] = marks._header(b"another boot id!")
    files.marks(store).write_bytes(data)
    plan = repaired(store)

    assert plan.losses[0].lost == ((48, 77 + repairing.MARKS_BEHIND_MAX),)


# Single damaged events


def test_damaged_events_become_known_gaps_and_their_deliveries_dead_letters(path: Path) -> None:
    bus = make_store(path)
    record = bus.state.by_name["rewards"]
    bus.engine.close()
    change(path, "UPDATE event SET accepted_ms = accepted_ms + 1 WHERE place IN (?, ?)", place(1, 10), place(1, 30))
    change(path, "DELETE FROM event WHERE place = ?", place(1, 31))
    found = examining.examine(path, quiet)
    plan = repaired(path)

    assert [(of.bus, of.stretches) for of in found.damage] == [("default", ((10, 10), (30, 30), (31, 31)))]
    assert plan.losses[0].lost == ((10, 10), (30, 30), (31, 31))
    assert plan.losses[0].owed["rewards"] == 3
    bus = Stepped(opened(path))
    bus.receiver.want(record.uid, 200)
    while bus.writer.step() or bus.receiver.leases:
        for lease in bus.receiver.leases:
            bus.settle(lease, Delivered(Note()))
        bus.receiver.leases = []
    rows = {at: bus.row(record.uid, at) for at in (10, 30, 31)}
    assert {row.state for row in rows.values()} == {State.DEAD}
    assert {decode_note(row.note).reason for row in rows.values()} == {Reason.DAMAGED}
    bus.engine.close()


def test_counts_that_are_not_those_of_the_rows_are_made_so(path: Path) -> None:
    make_store(path).engine.close()
    change(path, "UPDATE tally SET waiting = waiting + 5")
    assert examining.examine(path, quiet).counts
    plan = repaired(path)

    assert plan.losses == ()
    assert examining.examine(path, quiet).is_sound


# A structure that is broken


def overwrite(path: Path, rng: random.Random) -> None:
    """A page full of something else, the first one aside."""
    _put_page(
        path, 1 + rng.randrange(path.stat().st_size // PAGE - 1), rng.choice((bytes(PAGE), b"\xff" * PAGE, rng.randbytes(PAGE)))
    )


def misdirect(path: Path, rng: random.Random) -> None:
    pages = path.stat().st_size // PAGE
    source = rng.randrange(pages)
    _put_page(path, 1 + rng.randrange(pages - 1), path.read_bytes()[source * PAGE : (source + 1) * PAGE])


def cut_behind_the_list_of_buses(path: Path, rng: random.Random) -> None:
    """Before it there is nothing that could be saved."""
    with path.open("r+b") as file:
        file.truncate(rng.randrange(3 * PAGE, path.stat().st_size))


def _put_page(path: Path, number: int, page: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(number * PAGE)
        file.write(page)


HARMS: list[Callable[[Path, random.Random], None]] = [overwrite, misdirect, cut_behind_the_list_of_buses]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("has_log", [True, False], ids=["with a log", "closed"])
def test_whatever_can_be_read_of_a_broken_file_is_saved(
    store: Path, truth: dict[tuple[int, int], bytes], harm: Callable[[Path, random.Random], None], seed: int, *, has_log: bool
) -> None:
    if not has_log:
        opened(store).close()
    harm(store, random.Random(seed))
    if examining.examine(store, quiet).is_sound:
        return  # A page that nothing uses, or one whose newer version stands in the log.
    repaired(store)

    check_repaired(store, truth)


def test_a_bus_whose_row_is_gone_is_known_by_the_log_of_the_system_bus(path: Path) -> None:
    make_store(path).engine.close()
    raw = apsw.Connection(str(path))
    root = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'bus'").get
    raw.close()
    _put_page(path, root - 1, b"\xff" * PAGE)
    plan = repaired(path)

    assert plan.salvaged is not None
    assert sorted(plan.salvaged.buses) == ["default", "other", "system"]
    bus = Stepped(opened(path))
    assert sorted(bus.writer.numbers) == ["default", "other"]
    assert bus.do(Publish((an_event("again"),)))[0].position > 47
    assert bus.do(Publish((an_event(3),)))[0].is_duplicate
    bus.engine.close()


def test_ids_are_known_again_after_rows_were_saved(path: Path) -> None:
    make_store(path).engine.close()
    raw = apsw.Connection(str(path))
    root = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'id_bucket'").get
    raw.close()
    _put_page(path, root - 1, b"\xff" * PAGE)
    with mock.patch("eventyard.engines.sqlite.salvaging.LAYOUT", opened.__globals__["SMALL"]):
        repaired(path)
    bus = Stepped(opened(path))

    assert all(bus.do(Publish((an_event(number),)))[0].is_duplicate for number in range(40))
    bus.engine.close()


def test_a_record_that_says_nothing_is_found_and_what_is_left_is_saved(path: Path) -> None:
    make_store(path).engine.close()
    change(path, "UPDATE rule SET record = zeroblob(length(record)) WHERE bus = 1 AND uid = 1")
    with pytest.raises(Damaged, match=r"RuleRecord .* cannot be read"):
        opened(path).load()
    assert examining.examine(path, quiet).structure == ("1 of the records in the table rule cannot be read",)
    plan = repaired(path)

    assert plan.salvaged is not None
    assert plan.salvaged.rules == [(1, 1)]
    assert examining.examine(path, quiet).is_sound


def test_what_hangs_on_a_rule_that_is_gone_is_discarded_and_told(path: Path) -> None:
    make_store(path).engine.close()
    raw = apsw.Connection(str(path))
    root = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'rule'").get
    raw.close()
    _put_page(path, root - 1, b"\xff" * PAGE)
    plan = repaired(path)

    assert plan.salvaged is not None
    assert plan.salvaged.rules
    assert plan.salvaged.orphans[1] > 0
    assert examining.examine(path, quiet).is_sound


def test_what_rules_said_is_saved(path: Path) -> None:
    bus = make_store(path)
    said = bus.engine.view.versions(1, 0, 100)
    bus.engine.close()
    raw = apsw.Connection(str(path))
    root = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'rule'").get
    raw.close()
    _put_page(path, root - 1, b"\xff" * PAGE)
    repaired(path)

    engine = opened(path)
    assert engine.view.versions(1, 0, 100) == said
    assert len(engine.view.patterns_of(1, [version.key for version in said])) == len(said) > 0
    engine.close()


KEY = access.made(access.key_text(bytes(36)), "admin", access.EVERYTHING)


def store_with_key(path: Path, *, broken: str) -> None:
    """Of the table `broken` the root page can no more be read."""
    bus = make_store(path)
    bus.writer.submit_system(CreateKey(KEY), lambda _: None)
    bus.writer.step()
    bus.engine.close()
    raw = apsw.Connection(str(path))
    root = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (broken,)).get
    raw.close()
    _put_page(path, root - 1, b"\xff" * PAGE)


def test_access_keys_are_saved(path: Path) -> None:
    store_with_key(path, broken="rule")
    repaired(path)
    engine = opened(path)
    assert [(key.id, key.digest, key.revoked_ms) for key in engine.load()[0].keys] == [(KEY.id, KEY.digest, 0)]
    engine.close()


def test_a_bus_that_may_have_lost_its_keys_stays_closed(path: Path) -> None:
    """Without any it would ask nobody for one."""
    store_with_key(path, broken="access_key")
    plan = repaired(path)
    assert plan.salvaged is not None
    assert "access_key" in plan.salvaged.tables
    engine = opened(path)
    [lost] = engine.load()[0].keys
    engine.close()
    assert lost.is_over(NOW_MS)
    for token in (b"", access.key_text(bytes(36)).encode(), b"ey_00000000_" + b"0" * 64):
        with pytest.raises(Unauthenticated):
            access.identify({lost.id: lost}, token, lambda: NOW_MS)


def test_a_first_page_that_is_gone_is_lent_from_a_new_store(path: Path) -> None:
    make_store(path).engine.close()
    _put_page(path, 0, bytes(PAGE))
    plan = repaired(path)

    assert plan.losses
    bus = Stepped(opened(path))
    assert [bus.engine.view.event(1, at) is not None for at in range(1, 46)] == [True] * 45
    assert bus.state.by_name["rewards"].rule.target.http is not None
    bus.engine.close()


def test_a_file_of_which_not_even_the_first_page_is_there_is_said_to_be_beyond_repair(path: Path) -> None:
    make_store(path).engine.close()
    path.write_bytes(b"my notes " * 10_000)

    assert "not a database" in examining.examine(path, quiet).broken
    with pytest.raises(Damaged, match="backup"):
        repairing.repair(path, quiet, now_ms=NOW_MS)
    assert path.read_bytes().startswith(b"my notes")
    assert not files.repairing(path).exists()


# Before anybody agrees, and when the repair itself is cut short


def test_until_somebody_agrees_nothing_is_changed(store: Path) -> None:
    files.log(store).unlink()
    before = {file.name: file.read_bytes() for file in store.parent.iterdir()}
    plan = repairing.repair(store, quiet, now_ms=NOW_MS)
    plan.drop()

    assert {file.name: file.read_bytes() for file in store.parent.iterdir()} == before


def test_the_files_as_they_were_are_kept(store: Path) -> None:
    files.log(store).unlink()
    before = {file.name: file.read_bytes() for file in (store, files.marks(store))}
    plan = repaired(store)

    assert plan.kept_in.name == "eventyard.damaged-20231114T221420Z"
    assert {file.name: file.read_bytes() for file in plan.kept_in.iterdir()} == before
    assert not files.repairing(store).exists()
    assert not files.repaired(store).exists()


@pytest.mark.parametrize("moment", range(1, 8))
def test_a_repair_that_dies_on_the_way_is_completed_by_the_next(
    store: Path, truth: dict[tuple[int, int], bytes], moment: int
) -> None:
    """Killed at any change of a name: the old store or the new one is there, and a start in between is refused."""
    data = bytearray(files.log(store).read_bytes())
    data[log_tail.HEADER_BYTES + 8 * (PAGE + 24) + 4_000] ^= 8
    files.log(store).write_bytes(data)
    plan = repairing.repair(store, quiet, now_ms=NOW_MS)
    calls = iter(range(1, 100))

    def dies(real: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object, **named: object) -> object:
            if next(calls) == moment:
                raise KeyboardInterrupt
            return real(*arguments, **named)

        return called

    with (
        mock.patch.object(Path, "rename", dies(Path.rename)),
        mock.patch.object(Path, "replace", dies(Path.replace)),
        mock.patch.object(Path, "unlink", dies(Path.unlink)),
        mock.patch.object(shutil, "rmtree", dies(shutil.rmtree)),
    ):
        try:
            plan.apply()
        except KeyboardInterrupt:
            is_dead = True
        else:
            is_dead = False
    if files.repaired(store).is_dir():
        with pytest.raises(InvalidSettings, match=r"decided and not carried out; wanted to complete it: eventyard doctor"):
            opened(store)
        assert replacement.finish(store)
    elif is_dead:
        repaired(store)
    assert not replacement.finish(store)
    check_repaired(store, truth)


def test_a_repair_that_finds_no_room_says_how_much_it_needs(store: Path) -> None:
    files.log(store).unlink()
    with (
        mock.patch.object(shutil, "disk_usage", return_value=mock.Mock(free=1)),
        pytest.raises(StorageFull, match=r"0 MiB free .* wanted \d+ MiB for the repaired copy"),
    ):
        repairing.repair(store, quiet, now_ms=NOW_MS)


def test_a_repaired_store_has_marks_that_fit(store: Path) -> None:
    files.log(store).unlink()
    repaired(store)
    assert Marks(DiskMarks(files.marks(store))).found[1].head == 78
    engine = SqliteEngine(str(store))
    assert engine.losses is None
    engine.close()
