"""What rules said, edit by edit: what every engine keeps of it, tells of it, and lets go."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from eventyard.core import limits
from eventyard.core.changes import Changes
from eventyard.core.rule import Done
from eventyard.core.rule_history import Edit, RuleVersion
from eventyard.ports import Engine
from tests.conformance.engines import BUS, ENGINES, RULE, TIME, changes, dead, event, founding, record, waiting


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    made = ENGINES[request.param](tmp_path)
    made.commit([founding(BUS)])
    yield made
    made.close()


def version(uid: int, position: int, edit: Edit = Edit.CHANGED, *, name: str = "r") -> RuleVersion:
    return RuleVersion(
        *(uid, position, edit, name, position, 0, position + 1, 1_000),
        first=uid + 1 if edit is Edit.CREATED else 0,
        by="ann",
        because="it failed",
        resumed=(Done(1, 0, 9),),
        pattern=b'{"n": [1.10]}',
    )


def keep(engine: Engine, *versions: RuleVersion, head: int = 20) -> None:
    engine.commit([Changes(BUS, TIME, head, versions=list(versions))])


def kept(engine: Engine) -> list[tuple[int, int]]:
    return [one.key for one in engine.view.versions(BUS, 0, 1_000)]


def test_edits_are_told_by_rule_and_position_without_their_patterns(engine: Engine) -> None:
    made = [version(7, 7, Edit.CREATED), version(7, 9), version(8, 8, Edit.CREATED)]
    keep(engine, made[2], made[0])
    keep(engine, made[1])

    assert engine.view.versions(BUS, 0, 10) == [msgspec.structs.replace(one, pattern=b"") for one in made]
    assert [one.key for one in engine.view.versions(BUS, 0, 2)] == [(7, 7), (7, 9)]
    assert [one.key for one in engine.view.versions(BUS, 7, 10)] == [(8, 8)]
    assert engine.view.versions(BUS + 1, 0, 10) == []


def test_patterns_are_told_as_they_were_written_by_rule_and_position(engine: Engine) -> None:
    keep(engine, version(7, 7), msgspec.structs.replace(version(7, 9), pattern=b"{}"))
    assert engine.view.patterns_of(BUS, [(7, 9), (7, 7), (7, 8)]) == {(7, 9): b"{}", (7, 7): b'{"n": [1.10]}'}


def test_an_edit_that_is_written_twice_is_there_once(engine: Engine) -> None:
    keep(engine, version(7, 7))
    keep(engine, version(7, 7), version(7, 9))
    assert kept(engine) == [(7, 7), (7, 9)]


def test_rules_are_found_by_their_name_the_last_ones(engine: Engine) -> None:
    keep(engine, version(7, 7), version(7, 9), version(8, 8, name="other"), version(12, 12), version(15, 15))
    assert engine.view.rules_named(BUS, "r", 10) == [7, 12, 15]
    assert engine.view.rules_named(BUS, "r", 2) == [12, 15]
    assert engine.view.rules_named(BUS, "nobody", 10) == []


def test_of_one_rule_the_last_edits_are_kept(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RULE_VERSIONS_MAX", 2)
    keep(engine, version(7, 7), version(7, 8), version(7, 9), version(1, 1))
    assert kept(engine) == [(1, 1), (7, 8), (7, 9)]


def test_what_governed_only_events_that_are_gone_goes_with_them(engine: Engine) -> None:
    """An edit that was followed before the first event, and a rule that was deleted before it."""
    engine.commit([changes(*(event(position) for position in range(1, 11)))])
    keep(engine, version(1, 1), version(1, 3), version(1, 6), version(2, 2), version(2, 4, Edit.DELETED), head=10)
    engine.commit([Changes(BUS, TIME, 10, floor=5, forgotten=[(1, 4)])])
    assert kept(engine) == [(1, 3), (1, 6)], "the edit at 3 was followed by that at 6, so it governed 5 and 6"

    engine.commit([Changes(BUS, TIME, 10, floor=7, forgotten=[(5, 6)])])
    assert kept(engine) == [(1, 6)]


def test_what_governed_an_event_that_is_owed_stays_with_it(engine: Engine) -> None:
    owed = dead(2, rule=RULE)
    engine.commit([msgspec.structs.replace(changes(*(event(position) for position in range(1, 8))), puts=[owed])])
    keep(engine, version(1, 1), version(1, 5), head=7)
    engine.commit([Changes(BUS, TIME, 7, floor=7, forgotten=[(1, 6)])])
    assert kept(engine) == [(1, 1), (1, 5)]


def test_a_removal_takes_so_many_and_the_first(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RULE_VERSIONS_PER_REMOVAL", 1)
    engine.commit([changes(*(event(position) for position in range(1, 8)))])
    keep(engine, version(1, 1), version(1, 4), version(1, 5), version(2, 2), version(2, 3), head=7)
    engine.commit([Changes(BUS, TIME, 7, floor=7, forgotten=[(1, 6)])])
    assert kept(engine) == [(1, 1), (1, 4), (1, 5), (2, 3)]


def test_the_deliveries_of_one_event_are_told_by_rule_and_run(engine: Engine) -> None:
    rows = [waiting(3, rule=9), waiting(3, rule=7, run=4), waiting(3, rule=7), waiting(4, rule=7)]
    engine.commit([msgspec.structs.replace(changes(event(3), event(4), head=4), puts=rows)])

    assert engine.view.deliveries_of(BUS, 3, 0, 10) == [rows[2], rows[1], rows[0]]
    assert engine.view.deliveries_of(BUS, 3, 0, 2) == [rows[2], rows[1]]
    assert engine.view.deliveries_of(BUS, 3, 7, 10) == [rows[0]]


def test_a_bus_that_is_emptied_leaves_no_edits(engine: Engine) -> None:
    keep(engine, version(1, 1))
    assert engine.view.holds(BUS)
    engine.commit([Changes(0, TIME, 1, emptied_bus=BUS, buses=[record(BUS, is_deleted=True)])])
    assert kept(engine) == []
    assert not engine.view.holds(BUS)
