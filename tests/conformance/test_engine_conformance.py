"""What every engine does, line by line of `ports.Engine` and `core.view.View`."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventyard.core.bus_state import Queue
from eventyard.core.cause import Derivation
from eventyard.core.changes import Changes, Moved
from eventyard.core.delivery import Delivery, Key, State
from eventyard.core.record import Stand
from eventyard.core.rule import Status
from eventyard.core.view import Known
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


# Ids


def test_a_fresh_id_is_not_known(engine: Engine) -> None:
    engine.commit([changes(event(1))])

    assert engine.view.find_ids(BUS, [("/s", "other"), ("/other", "e1")]) == {}


def test_a_known_id_answers_where_when_and_with_what_digest(engine: Engine) -> None:
    stored = event(1)
    engine.commit([changes(stored)])

    found = engine.view.find_ids(BUS, [("/s", "e1"), ("/s", "e2")])

    assert found == {("/s", "e1"): Known(1, stored.accepted_ms, stored.digest)}


def test_source_and_id_are_told_apart(engine: Engine) -> None:
    engine.commit([changes(event(1, source="/a", id="bc"))])

    assert engine.view.find_ids(BUS, [("/ab", "c"), ("/", "abc")]) == {}


def test_ids_of_another_bus_are_not_known(engine: Engine) -> None:
    engine.commit([changes(event(1), bus=2)])

    assert engine.view.find_ids(BUS, [("/s", "e1")]) == {}


def test_an_id_accepted_again_answers_with_its_later_position(engine: Engine) -> None:
    engine.commit([changes(event(1, id="same"))])
    engine.commit([changes(*(event(position) for position in range(2, 20)))])
    engine.commit([changes(event(20, id="same"))])

    assert engine.view.find_ids(BUS, [("/s", "same")])["/s", "same"].position == 20


def test_many_ids_stay_known_however_they_arrived(engine: Engine) -> None:
    position = 0
    for size in (1, 3, 17, 2, 9, 40, 1):
        engine.commit([changes(*(event(position + step) for step in range(1, size + 1)))])
        position += size

    found = engine.view.find_ids(BUS, [("/s", f"e{number}") for number in range(1, position + 10)])

    assert {key[1]: known.position for key, known in found.items()} == {f"e{n}": n for n in range(1, position + 1)}


def test_ids_of_several_buses_in_one_batch_are_kept_apart(engine: Engine) -> None:
    for part in range(10):
        batch = [changes(*(event(part * 4 + n, id=f"{bus}-{part}-{n}") for n in range(1, 5)), bus=bus) for bus in (1, 2, 3)]
        engine.commit(batch)

    for bus in (1, 2, 3):
        found = engine.view.find_ids(
            bus, [("/s", f"{other}-{r}-{n}") for other in (1, 2, 3) for r in range(10) for n in range(1, 5)]
        )
        assert {key[1] for key in found} == {f"{bus}-{r}-{n}" for r in range(10) for n in range(1, 5)}


# Events


def test_an_event_is_read_as_it_was_kept(engine: Engine) -> None:
    stored = event(1, source="/ü", id='a\\"b\\\\', note="é" * 10_000)
    stored = msgspec.structs.replace(stored, id='a"b\\')
    engine.commit([changes(stored)])

    assert engine.view.event(BUS, 1) == stored


def test_a_position_without_an_event_is_none(engine: Engine) -> None:
    engine.commit([changes(event(1))])

    assert engine.view.event(BUS, 2) is None
    assert engine.view.event(2, 1) is None


def test_events_are_read_in_order_from_both_ends(engine: Engine) -> None:
    events = [event(position) for position in range(1, 8)]
    engine.commit([changes(*events)])

    assert engine.view.events(BUS, 2, 5, 10) == events[1:5]
    assert engine.view.events(BUS, 2, 5, 3) == events[1:4]
    assert engine.view.events(BUS, 2, 5, 10, is_descending=True) == events[4:0:-1]
    assert engine.view.events(BUS, 2, 5, 3, is_descending=True) == events[4:1:-1]


def test_a_range_reaches_over_no_end(engine: Engine) -> None:
    for bus in (1, 2, 3):
        engine.commit([changes(event(1), event(2), bus=bus)])

    assert engine.view.events(2, 0, 2**53 - 1, 10) == [event(1), event(2)]
    assert engine.view.events(2, 3, 9, 10) == []
    assert engine.view.events(2, 2, 1, 10) == []
    assert engine.view.events(2, 1, 2, 0) == []


def test_a_time_answers_the_first_position_accepted_at_or_after_it(engine: Engine) -> None:
    engine.commit([changes(*(event(n, at_ms=1000 * (1 + n // 3)) for n in range(1, 30)))])

    expected = {0: 1, 1000: 1, 1001: 3, 2000: 3, 2500: 6, 9999: 27, 10_000: 27, 10_001: 30}
    assert {time_ms: engine.view.position_at(BUS, time_ms) for time_ms in expected} == expected


def test_a_time_on_a_bus_without_events_answers_one_past_the_head(engine: Engine) -> None:
    assert engine.view.position_at(BUS, 5) == 1


# Deliveries


def test_a_delivery_is_found_by_its_key(engine: Engine) -> None:
    rows = [waiting(1), leased(2), dead(3), leased(2, run=4)]
    engine.commit([Changes(BUS, TIME, 3, puts=rows)])

    assert [engine.view.delivery(BUS, row.key) for row in rows] == rows
    assert engine.view.delivery(BUS, (RULE, 0, 9)) is None
    assert engine.view.delivery(2, rows[0].key) is None


def test_a_move_replaces_the_whole_row(engine: Engine) -> None:
    engine.commit([Changes(BUS, TIME, 1, puts=[waiting(1)])])
    engine.commit([Changes(BUS, TIME, 1, moves=[Moved(State.WAITING, leased(1, at_ms=500))])])

    assert engine.view.delivery(BUS, (RULE, 0, 1)) == leased(1, at_ms=500)
    assert engine.view.due(BUS, RULE, 0, 499, 10) == []


def test_moves_of_a_stretch_change_its_rows_and_no_others(engine: Engine) -> None:
    """Rows that follow each other and are alike may be written as one: nothing of that is to be seen."""
    queues = [(RULE, 0), (RULE, 7), (RULE + 1, 0)]
    puts = [waiting(position, rule=uid, run=run, lane=position % 3) for position in range(1, 61) for uid, run in queues]
    engine.commit([founding(1), Changes(BUS, TIME, 60, puts=puts, rules=[rule(RULE), rule(RULE + 1)])])
    held = {row.key: row for row in puts}
    rng = random.Random(1)

    for _ in range(100):
        moved = _moved(rng, held, rng.sample(queues, 2))
        engine.commit([Changes(BUS, TIME, 60, moves=[Moved(held[now.key].state, now) for now in moved])])
        held.update({now.key: now for now in moved})
        assert [engine.view.delivery(BUS, now.key) for now in moved] == moved

    assert {key: engine.view.delivery(BUS, key) for key in held} == held
    for uid, run in queues:
        of_queue = [row for row in held.values() if (row.rule, row.run) == (uid, run)]
        due = sorted((row for row in of_queue if row.state.is_leasable), key=lambda row: (row.at_ms, row.position))
        assert engine.view.due(BUS, uid, run, 1_000, 1_000) == due
        assert engine.load()[1].queues[uid, run].counts == [sum(row.state is state for row in of_queue) for state in State]


_SHAPES: list[dict[str, Any]] = [
    {"state": State.LEASED, "at_ms": 40, "attempts": 1, "leases": 1, "first_ms": 4, "note": b""},
    {"state": State.DELIVERED, "at_ms": 50, "attempts": 1, "leases": 1, "first_ms": 0, "note": b""},
    {"state": State.RETRYING, "at_ms": 60, "attempts": 2, "leases": 2, "first_ms": 4, "note": b"{}"},
    {"state": State.DEAD, "at_ms": 70, "attempts": 2, "leases": 2, "first_ms": 4, "note": b"[]"},
]
_ODD: list[dict[str, Any]] = [
    {"state": State.WAITING},
    {"at_ms": 41},
    {"attempts": 9},
    {"leases": 9},
    {"first_ms": 9},
    {"note": b"odd"},
]


def _moved(rng: random.Random, held: dict[Key, Delivery], queues: list[tuple[int, int]]) -> list[Delivery]:
    """A stretch of one queue and the next of another made alike, but for one row that differs in one field.

    Only what has ended may get another lane.
    """
    first, length, shape = rng.randint(1, 21), rng.randint(1, 20), rng.choice(_SHAPES)
    keys = [
        (*queue, position)
        for at, queue in enumerate(queues)
        for position in range(first + at * length, first + (at + 1) * length)
    ]
    moved = [msgspec.structs.replace(held[key], **shape) for key in keys]
    odd = rng.randrange(len(moved))
    fields = rng.choice(_ODD) if held[keys[odd]].state.is_pending else {"lane": 9}
    moved[odd] = msgspec.structs.replace(moved[odd], **fields)
    return moved


def test_due_is_what_one_run_may_lease_by_time_and_position(engine: Engine) -> None:
    rows = [
        waiting(3, at_ms=5),
        waiting(1, at_ms=9),
        retrying(2, at_ms=5),
        waiting(4, at_ms=10),
        leased(6, at_ms=1),
        blocked(7, at_ms=1),
        dead(5, at_ms=1),
        waiting(2, at_ms=5, run=1),
    ]
    other = [waiting(1, at_ms=1, rule=8)]
    engine.commit([Changes(BUS, TIME, 5, puts=rows + other), Changes(2, TIME, 5, puts=[waiting(1, at_ms=1)])])

    assert engine.view.due(BUS, RULE, 0, 9, 10) == [rows[2], rows[0], rows[1]]
    assert engine.view.due(BUS, RULE, 0, 9, 2) == [rows[2], rows[0]]
    assert engine.view.due(BUS, RULE, 0, 4, 2) == []
    assert engine.view.due(BUS, RULE, 1, 9, 2) == [rows[-1]]


def test_the_next_due_is_the_least_time_in_the_queue(engine: Engine) -> None:
    engine.commit(
        [Changes(BUS, TIME, 3, puts=[waiting(1, at_ms=9), retrying(4, at_ms=8), leased(2, at_ms=7), dead(3, at_ms=1)])]
    )

    assert engine.view.next_due(BUS, RULE, 0) == 8
    assert engine.view.next_due(BUS, RULE, 1) is None
    assert engine.view.next_due(BUS, 8, 0) is None


def test_what_is_pending_is_read_of_one_run_or_all_the_queues_first(engine: Engine) -> None:
    queued = [waiting(4, at_ms=50), retrying(1), waiting(3, run=5)]
    held = [leased(2), blocked(3), leased(5, run=5)]
    rows = queued + held
    engine.commit([Changes(BUS, TIME, 6, puts=[*reversed(rows), dead(1, run=5), waiting(1, rule=8)])])

    assert engine.view.pending(BUS, RULE, 10) == rows
    assert engine.view.pending(BUS, RULE, 4) == rows[:4]
    assert engine.view.pending(BUS, RULE, 10, run=5) == [queued[2], held[2]]
    assert engine.view.pending(BUS, RULE, 10, below=4) == [*queued[1:], *held[:2]]
    assert engine.view.pending(BUS, RULE, 10, is_leased_too=False) == [*queued, held[1]]


def test_the_oldest_is_the_least_position_of_what_is_pending(engine: Engine) -> None:
    assert engine.view.oldest(BUS, RULE) is None
    engine.commit([Changes(BUS, TIME, 9, puts=[dead(1), blocked(3), waiting(7), leased(2, run=5)])])
    assert engine.view.oldest(BUS, RULE) == 2
    assert engine.view.oldest(BUS, RULE, 0) == 3
    engine.commit([Changes(BUS, TIME, 9, moves=[Moved(State.LEASED, dead(2, run=5))])])
    engine.commit([Changes(BUS, TIME, 9, moves=[Moved(State.BLOCKED, dead(3))])])
    assert engine.view.oldest(BUS, RULE) == 7


def test_deliveries_are_found_many_at_once(engine: Engine) -> None:
    rows = [waiting(1), leased(2), dead(3, run=4), waiting(9, rule=8)]
    engine.commit([Changes(BUS, TIME, 9, puts=rows)])

    found = engine.view.deliveries(BUS, [(RULE, 0, 5), *(row.key for row in rows)])

    assert sorted(found, key=lambda row: row.key) == sorted(rows, key=lambda row: row.key)


def test_the_dead_are_read_on_from_a_key(engine: Engine) -> None:
    rows = [dead(1), dead(2), dead(2, run=3), dead(4, at_ms=900)]
    engine.commit([Changes(BUS, TIME, 4, puts=[*reversed(rows), waiting(5), dead(1, rule=8)])])

    assert engine.view.dead(BUS, RULE, (0, -1), 10) == rows
    assert engine.view.dead(BUS, RULE, (0, -1), 2) == rows[:2]
    assert engine.view.dead(BUS, RULE, (2, 0), 10) == rows[2:]
    assert engine.view.dead(BUS, RULE, (2, 3), 10) == rows[3:]


# Retention


def test_what_is_forgotten_is_gone_with_its_deliveries(engine: Engine) -> None:
    ended = Delivery(RULE, 0, 2, State.DELIVERED, 1)
    engine.commit([founding(1), changes(*(event(n) for n in range(1, 6))), Changes(BUS, TIME, 5, puts=[ended])])
    engine.commit([Changes(BUS, TIME, 5, floor=4, forgotten=[(1, 3)])])

    assert [stored.position for stored in engine.view.events(BUS, 1, 5, 10)] == [4, 5]
    assert engine.view.delivery(BUS, ended.key) is None
    assert (engine.load()[1].floor, engine.view.floor(BUS), engine.view.floor(99)) == (4, 4, 1)


@pytest.mark.parametrize("row", [waiting(2), retrying(2), leased(2), blocked(2, lane=1), dead(2)])
def test_what_is_owed_is_not_forgotten_before_it_ended(engine: Engine, row: Delivery) -> None:
    engine.commit([founding(1), changes(*(event(n) for n in range(1, 6))), Changes(BUS, TIME, 5, puts=[row])])
    engine.commit([Changes(BUS, TIME, 5, floor=4, forgotten=[(1, 3)])])
    assert [stored.position for stored in engine.view.events(BUS, 1, 5, 10)] == [2, 4, 5]
    assert engine.view.delivery(BUS, row.key) == row

    end = Moved(row.state, Delivery(RULE, 0, 2, State.DELIVERED, 1))
    engine.commit([Changes(BUS, TIME, 5, floor=4, moves=[end], forgotten=[(2, 2)])])
    assert [stored.position for stored in engine.view.events(BUS, 1, 5, 10)] == [4, 5]


def test_an_id_is_known_when_its_event_is_forgotten(engine: Engine) -> None:
    engine.commit([founding(1), changes(*(event(n) for n in range(1, 6)))])
    engine.commit([Changes(BUS, TIME, 5, floor=6, forgotten=[(1, 5)])])

    known = engine.view.find_ids(BUS, [("/s", "e2"), ("/s", "e9")])

    assert known == {("/s", "e2"): Known(2, TIME.time_ms + 2, (2).to_bytes(16, "big"))}


def test_a_position_is_found_by_the_bytes_before_it(engine: Engine) -> None:
    events = [event(1, offset=0), event(2, offset=100), event(3, offset=250)]
    engine.commit([founding(1), changes(*events)])

    assert [engine.view.position_at_offset(BUS, offset) for offset in (0, 1, 100, 101, 250, 251)] == [1, 2, 2, 3, 3, 4]


def test_events_are_found_many_at_once(engine: Engine) -> None:
    engine.commit([founding(1), changes(event(1), event(2), event(3))])

    assert engine.view.events_at(BUS, [3, 1, 9]) == {1: event(1), 3: event(3)}
    assert engine.view.events_at(BUS, []) == {}
    assert engine.view.bodies_at(BUS, [3, 1, 9]) == {1: event(1).json, 3: event(3).json}
    assert engine.view.bodies_at(BUS, [2, 3, 4]) == {2: event(2).json, 3: event(3).json}
    assert engine.view.bodies_at(BUS, []) == {}


def test_a_queue_of_which_all_ended_is_due_never(engine: Engine) -> None:
    engine.commit([founding(1), Changes(BUS, TIME, 5, rules=[rule(RULE)], puts=[dead(1)])])

    assert engine.load()[1].queues == {(RULE, 0): Queue([0, 0, 0, 0, 0, 1, 0], None)}


def test_a_deleted_rule_leaves_no_queue_to_load(engine: Engine) -> None:
    engine.commit([founding(1), Changes(BUS, TIME, 5, rules=[rule(RULE)], puts=[dead(1)])])
    engine.commit([Changes(BUS, TIME, 5, rules=[rule(RULE, status=Status.DELETED)])])

    assert engine.load()[1].queues == {}
    assert engine.view.delivery(BUS, (RULE, 0, 1)) == dead(1)


def test_what_is_leased_loads(engine: Engine) -> None:
    rows = [leased(1), waiting(2), leased(3, rule=8), leased(3, run=1)]
    engine.commit([founding(1), Changes(BUS, TIME, 5, rules=[rule(RULE), rule(8)], puts=rows)])

    assert {row.key: row for row in engine.load()[1].leased} == {row.key: row for row in rows if row.state is State.LEASED}


# Commit and readers


def test_one_commit_keeps_the_changes_of_several_buses(engine: Engine) -> None:
    engine.commit([founding(1, 2), changes(event(1)), changes(event(1), event(2), bus=2)])

    assert [bus.head for bus in engine.load()] == [0, 1, 2]


def test_one_commit_may_hold_two_steps_of_one_bus(engine: Engine) -> None:
    engine.commit([founding(1), changes(event(1)), changes(event(2, id="e1"), event(3))])

    assert engine.load()[1].head == 3
    assert engine.view.find_ids(BUS, [("/s", "e1")])["/s", "e1"].position == 2


def test_a_reader_sees_what_is_committed(engine: Engine) -> None:
    with engine.reader() as before:
        engine.commit([changes(*(event(n) for n in range(1, 12)))])
        assert before.event(BUS, 1) == event(1)
    with engine.reader() as one, engine.reader() as other:
        assert one.events(BUS, 1, 9, 9) == other.events(BUS, 1, 9, 9)
        assert set(one.find_ids(BUS, [("/s", "e2"), ("/s", "e11"), ("/s", "e12")])) == {("/s", "e2"), ("/s", "e11")}


def test_closing_twice_is_harmless(engine: Engine) -> None:
    engine.close()
    engine.close()


# Causes


def test_what_came_of_an_event_is_found_by_its_position(engine: Engine) -> None:
    engine.commit([changes(*(event(n) for n in range(1, 9)), derivations=[Derivation(n, 2) for n in (5, 3, 8)])])
    engine.commit([changes(*(event(n) for n in range(1, 4)), bus=2, derivations=[Derivation(3, 2)])])

    assert engine.view.derived(BUS, 2, 0, 10) == [3, 5, 8]
    assert engine.view.derived(BUS, 2, 3, 1) == [5]
    assert engine.view.derived(BUS, 3, 0, 10) == []
    assert [engine.view.cause_of(BUS, position) for position in (2, 5, 9)] == [None, 2, None]


def test_a_cause_is_told_after_it_is_gone_and_goes_with_what_came_of_it(engine: Engine) -> None:
    engine.commit([changes(*(event(n) for n in range(1, 6)), derivations=[Derivation(3, 1), Derivation(4, 1)])])

    engine.commit([Changes(BUS, TIME, 5, forgotten=[(1, 3)])])

    assert [engine.view.cause_of(BUS, position) for position in (3, 4)] == [None, 1]
    assert engine.view.derived(BUS, 1, 0, 10) == [4]


# Where changes stand in a journal


def test_the_last_stand_of_each_bus_is_kept_with_its_changes_until_it_is_removed(store: Engine) -> None:
    one, two = Stand(3, b"d" * 16, 2, "a"), Stand(2**53, b"e" * 16, 9, "b")
    store.commit([founding(1, 2), changes(event(1), stand=one), changes(event(1), bus=2, stand=two)])
    assert store.stands() == {1: one, 2: two}

    store.commit([changes(event(2), stand=two), changes(event(2), bus=2)])
    store.commit([Changes(0, TIME, 1, emptied_bus=2, buses=[record(2, is_deleted=True, is_removed=True)])])
    assert store.stands() == {1: two}


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """What an engine over a journal keeps its state in."""
    made = ENGINES[request.param](tmp_path)
    yield made
    made.close()
