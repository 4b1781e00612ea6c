"""Order by key: one delivery of a key at a time, in the order of the log, whatever becomes of each. The story, and the law."""

from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventyard.core import event as events
from eventyard.core import limits
from eventyard.core.commands import Lease, Publish, Purge, Redrive, Release, Replay, Seek, SetPaused, Skip
from eventyard.core.delivery import Delivery, Key, Note, Reason, State, decode_note
from eventyard.core.errors import InvalidRequest, InvalidRule, StaleLease
from eventyard.core.event import Event
from eventyard.core.order_key import lane_of_key
from eventyard.core.rule import RuleRecord, StartPosition
from eventyard.core.verdict import Dead, Delivered, GivenBack, Retry
from tests.support.builders import Stepped, put_rule
from tests.support.houses import House

OK = Delivered(Note(status=204))
LATER = Retry(1_000, Note(status=503))
NEVER = Dead(Note(reason=Reason.ANSWER, status=422))
ORDERED = {"order": "key", "key": "data.key"}

_numbers = iter(range(1, 10**9))


def keyed(key: Any, **attributes: Any) -> Event:
    """A new event; no key where it is None."""
    made = {"specversion": "1.0", "id": str(next(_numbers)), "source": "/s", "type": "order.paid"} | attributes
    return events.make(made, {} if key is None else {"key": key})


pytestmark = pytest.mark.usefixtures("untold_trouble")


@pytest.fixture
def bus() -> House:
    return House()


@pytest.fixture
def ledger(bus: House) -> RuleRecord:
    """A rule in order, at position 1."""
    record: RuleRecord = bus.put("ledger", delivery=ORDERED)
    return record


def publish(bus: Stepped, *keys: Any) -> None:
    bus.do(Publish(tuple(keyed(key) for key in keys)))


def leased(bus: House, rule: RuleRecord, count: int = 100) -> list[Lease]:
    """What a consumer of the rule gets now."""
    bus.receiver.want(rule.uid, count)
    bus.rest()
    bus.receiver.wanted.pop(rule.uid)
    return bus.take()


def positions(leases: list[Lease]) -> list[int]:
    return [lease.delivery.position for lease in leases]


def parked(bus: House, rule: RuleRecord, *keys: Any) -> list[Lease]:
    """Publish these keys, and let the first of each die. The leases that did."""
    publish(bus, *keys)
    heads = leased(bus, rule)
    for lease in heads:
        bus.settle(lease, NEVER)
    return heads


# One at a time


def test_one_delivery_of_a_key_is_leased_at_a_time(bus: House, ledger: RuleRecord) -> None:
    publish(bus, "a", "a", "b", None, None)
    assert positions(leased(bus, ledger)) == [2, 4, 5, 6]
    assert leased(bus, ledger) == []


def test_the_next_of_a_key_follows_in_the_step_that_settles_the_one_before(bus: House, ledger: RuleRecord) -> None:
    publish(bus, "a", "a", "a")
    [first] = leased(bus, ledger)
    bus.receiver.want(ledger.uid, 10)
    bus.settle(first, OK)
    assert positions(bus.take()) == [3]


def test_a_retry_holds_its_key_back_and_no_other(bus: House, ledger: RuleRecord) -> None:
    publish(bus, "a", "a", "b", "b")
    first, second = leased(bus, ledger)
    bus.settle(first, LATER)
    bus.settle(second, OK)
    assert positions(leased(bus, ledger)) == [5]
    bus.clock.advance(1_000)
    assert positions(leased(bus, ledger)) == [2]


def test_a_lease_that_runs_out_frees_no_other_of_its_key(bus: House, ledger: RuleRecord) -> None:
    publish(bus, "a", "a")
    [first] = leased(bus, ledger)
    bus.clock.advance(60_000)
    [again] = leased(bus, ledger)
    assert (again.delivery.position, again.delivery.leases) == (2, 2)
    assert isinstance(bus.settle(first, OK), StaleLease)
    bus.settle(again, OK)
    assert positions(leased(bus, ledger)) == [3]


def test_order_survives_a_restart(bus: House, ledger: RuleRecord) -> None:
    publish(bus, "a", "a", "b", "b")
    first, _ = leased(bus, ledger)
    bus.settle(first, NEVER)
    again = House(bus.engine)
    assert positions(leased(again, ledger)) == [4]
    assert again.state.lanes[ledger.uid].parked_behind == 1


def test_a_late_rule_is_fed_in_order_and_live_events_queue_up_behind(bus: House) -> None:
    publish(bus, *["a", "b"] * 300)
    late = bus.put("late", delivery=ORDERED, start="earliest")
    publish(bus, "a", "b")
    bus.rest()
    for key in (1, 0):
        got = [row.position for row in bus.deliver_all(late.uid, 1) if row.position <= 600 and row.position % 2 == key]
        assert got == sorted(got)


def test_an_event_that_the_key_cannot_be_read_of_harms_nobody(bus: House) -> None:
    plain = bus.put("plain", delivery={"order": "key"})
    bus.do(Publish((keyed(None, partitionkey=5), keyed(None, partitionkey=5), keyed(None, partitionkey=True))))
    assert positions(leased(bus, plain)) == [2, 4]


# One that dies


def test_one_that_dies_parks_its_key_and_the_others_flow(bus: House, ledger: RuleRecord) -> None:
    parked(bus, ledger, "a", "a", "a")
    publish(bus, "b", "a")
    assert positions(leased(bus, ledger)) == [5]
    lanes = bus.state.lanes[ledger.uid]
    assert (len(lanes.parked), lanes.parked_behind) == (1, 3)


def test_a_redriven_head_goes_first_and_its_key_goes_on(bus: House, ledger: RuleRecord) -> None:
    parked(bus, ledger, "a", "a")
    assert bus.do(Redrive("ledger", None)).moved == 1
    [again] = leased(bus, ledger)
    assert (again.delivery.position, again.delivery.attempts) == (2, 1)
    bus.settle(again, OK)
    assert positions(leased(bus, ledger)) == [3]
    assert bus.state.lanes[ledger.uid].parked == set()


@pytest.mark.parametrize("is_by_key", [True, False])
def test_a_skipped_head_lets_its_key_go_on(bus: House, ledger: RuleRecord, *, is_by_key: bool) -> None:
    parked(bus, ledger, 7, 7, "other", "other")
    command = Skip("ledger", lanes=(lane_of_key(7.0),)) if is_by_key else Skip("ledger", ((ledger.uid, 0, 2),))
    assert bus.do(command).moved == 1
    assert positions(leased(bus, ledger)) == [3]
    row = bus.row(ledger.uid, 2)
    assert (row.state, decode_note(row.note).reason) == (State.DISCARDED, "skipped")


def test_what_was_skipped_is_redriven_only_out_of_order(bus: House, ledger: RuleRecord) -> None:
    parked(bus, ledger, "a", "a", "a")
    bus.do(Skip("ledger", ((ledger.uid, 0, 2),)))
    [second] = leased(bus, ledger)
    assert bus.do(Redrive("ledger", ((ledger.uid, 0, 2),))).moved == 0
    assert bus.do(Redrive("ledger", ((ledger.uid, 0, 2),), is_out_of_order=True)).moved == 1
    assert leased(bus, ledger) == []  # One of a key at a time, be it out of order.
    bus.settle(second, OK)
    assert positions(leased(bus, ledger)) == [2]


def test_what_was_purged_is_never_redriven(bus: House, ledger: RuleRecord) -> None:
    parked(bus, ledger, "a", "a")
    assert bus.do(Purge("ledger", ((ledger.uid, 0, 2),))).moved == 1
    assert bus.do(Redrive("ledger", ((ledger.uid, 0, 2),), is_out_of_order=True)).moved == 0
    assert positions(leased(bus, ledger)) == [3]


def test_a_purge_takes_what_is_parked_behind_it_where_that_is_asked(bus: House, ledger: RuleRecord) -> None:
    parked(bus, ledger, "a", "a", "a", "b", "b")
    assert bus.do(Purge("ledger", ((ledger.uid, 0, 2),), is_parked_too=True)).moved == 3
    assert leased(bus, ledger) == []
    assert bus.state.lanes[ledger.uid].parked_behind == 1


def test_a_dead_letter_in_no_lane_parks_nobody(bus: House, ledger: RuleRecord) -> None:
    parked(bus, ledger, None, None)
    publish(bus, None)
    assert positions(leased(bus, ledger)) == [4]
    assert bus.do(Skip("ledger", ((ledger.uid, 0, 2),))).moved == 0


def test_a_rule_without_order_has_nothing_to_skip(bus: House) -> None:
    bus.put("plain")
    with pytest.raises(InvalidRequest, match="keeps no order"):
        raise bus.do(Skip("plain", lanes=(1,)))


@pytest.mark.usefixtures("ledger")
def test_order_cannot_be_changed_while_deliveries_stand_in_it(bus: House) -> None:
    for delivery in ({"order": "none"}, {"order": "key"}, {"order": "key", "key": "data.other"}):
        with pytest.raises(InvalidRule, match="at /delivery/order"):
            raise bus.do(put_rule("ledger", delivery=delivery))
    assert bus.do(put_rule("ledger", delivery=ORDERED | {"concurrency": 3})).is_changed


# Where it ends


def test_what_is_parked_past_its_limit_is_discarded_loudly(
    bus: House, ledger: RuleRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PARKED_BEHIND_MAX", 3)
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 2)
    parked(bus, ledger, *["a"] * 5, "b")
    bus.rest()
    assert bus.state.lanes[ledger.uid].parked_behind == 2
    assert [bus.row(ledger.uid, position).state for position in (3, 4, 5)] == [State.DISCARDED, State.DISCARDED, State.BLOCKED]
    told = bus.engine.view.event(1, bus.state.head)
    assert told is not None
    assert b'"io.eventyard.retention.cap"' in told.json
    bus.do(Redrive("ledger", None))
    assert [row.position for row in bus.deliver_all(ledger.uid)] == [2, 7, 5, 6]


def test_a_rule_with_too_many_parked_keys_is_paused(bus: House, ledger: RuleRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARKED_KEYS_MAX", 2)
    parked(bus, ledger, "a", "b", "c", "d")
    assert bus.state.by_uid[ledger.uid].is_paused
    assert bus.state.queues[ledger.uid].counts[State.DEAD] == 4


def test_all_that_is_parked_is_redriven_however_much_waits_behind(
    bus: House, ledger: RuleRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INTENT_ROWS_PER_STEP", 1)
    monkeypatch.setattr(limits, "BACKFILL_UNSETTLED_MAX", 3)
    parked(bus, ledger, *[1, 2, 3, 4] * 2)
    assert bus.do(Redrive("ledger", None)).is_running
    assert len(bus.deliver_all(ledger.uid)) == 8
    assert bus.state.intents == {}


# Runs


def test_each_run_has_its_own_order(bus: House, ledger: RuleRecord) -> None:
    publish(bus, "a", "a")
    leased(bus, ledger)
    replay = bus.do(Replay("ledger", StartPosition(position=2)))
    bus.rest()
    [replayed] = leased(bus, ledger)
    assert (replayed.delivery.run, replayed.delivery.position, replayed.is_replayed) == (replay.run, 2, True)
    bus.settle(replayed, NEVER)
    assert bus.state.lanes[ledger.uid].parked_behind_in(replay.run) == 1
    assert bus.state.lanes[ledger.uid].parked_behind_in(0) == 0
    assert bus.do(Skip("ledger", lanes=(lane_of_key("a"),))).moved == 1


# The law

KEYS = st.sampled_from(["a", "b", None])
SMALL_LIMITS = {
    "INTENT_ROWS_PER_STEP": 2,
    "BACKFILL_EVENTS_PER_STEP": 3,
    "BACKFILL_UNSETTLED_MAX": 4,
    "BACKFILL_LAST_STRETCH": 2,
    "LIVE_BACKLOG_MAX": 6,
    "PARKED_BEHIND_MAX": 3,
    "PARKED_KEYS_MAX": 3,
}


class InOrder(RuleBasedStateMachine):
    """Whatever is settled, released, expired, killed, redriven, skipped, sought or replayed, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = [mock.patch.object(limits, name, value) for name, value in SMALL_LIMITS.items()]
        for patch in self.patches:
            patch.start()
        self.bus = House()
        self.leases: list[Lease] = []
        self.brought_back: set[Key] = set()
        """What somebody put back although its key had gone on."""

    def teardown(self) -> None:
        try:
            self.settle_everything()
        finally:
            for patch in self.patches:
                patch.stop()

    @initialize(is_pulled=st.booleans())
    def found(self, is_pulled: bool) -> None:
        target: dict[str, Any] = {"target": {"queue": {}}} if is_pulled else {}
        self.uid = self.bus.put("ledger", delivery=ORDERED | {"max_attempts": 3}, **target).uid

    @property
    def record(self) -> RuleRecord:
        record: RuleRecord = self.bus.state.by_uid[self.uid]
        return record

    @rule(keys=st.lists(KEYS, min_size=1, max_size=6), count=st.integers(0, 3))
    def publish(self, keys: list[str | None], count: int) -> None:
        self.demand(count)
        publish(self.bus, *keys)

    @rule(count=st.integers(0, 4))
    def lease(self, count: int) -> None:
        self.demand(count)
        self.bus.writer.step()

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), verdict=st.sampled_from([OK, OK, LATER, NEVER, GivenBack(0, Note())]), count=st.integers(0, 2))
    def settle(self, data: st.DataObject, verdict: Any, count: int) -> None:
        self.demand(count)
        self.bus.settle(data.draw(st.sampled_from(self.leases[-8:])), verdict)

    @rule(by_ms=st.sampled_from([500, 50_000]))
    def wait(self, by_ms: int) -> None:
        self.bus.clock.advance(by_ms)
        self.bus.writer.step()
        self.bus.expire()

    @rule()
    def restart(self) -> None:
        self.demand(0)
        self.bus = House(self.bus.engine)

    @rule()
    def release(self) -> None:
        self.bus.do(Release(tuple(sorted(self.bus.state.leased))))

    @rule(is_all=st.booleans(), is_out_of_order=st.booleans(), data=st.data())
    def redrive(self, is_all: bool, is_out_of_order: bool, data: st.DataObject) -> None:
        keys = None if is_all else self.some(data, State.DEAD, State.DISCARDED)
        if is_out_of_order:
            self.brought_back |= set(keys or ())
        self.bus.do(Redrive("ledger", keys, is_out_of_order=is_out_of_order and not is_all))

    @rule(data=st.data())
    def skip(self, data: st.DataObject) -> None:
        self.bus.do(Skip("ledger", self.some(data, State.DEAD)))

    @rule(data=st.data(), is_parked_too=st.booleans())
    def purge(self, data: st.DataObject, is_parked_too: bool) -> None:
        self.bus.do(Purge("ledger", self.some(data, State.DEAD), is_parked_too=is_parked_too))

    @rule(place=st.sampled_from(["earliest", "latest"]))
    def seek(self, place: Any) -> None:
        self.bus.do(Seek("ledger", place))

    @rule(per_s=st.sampled_from([0.0, 3.0]))
    def replay(self, per_s: float) -> None:
        self.bus.do(Replay("ledger", "earliest", per_s=per_s))

    @rule(is_paused=st.booleans())
    def pause(self, is_paused: bool) -> None:
        self.bus.do(SetPaused("ledger", is_paused))

    @rule()
    def rest(self) -> None:
        self.bus.rest()

    # What must hold

    @invariant()
    def leases_are_in_order(self) -> None:
        """Each was granted on the first of its key that is owed: what stands before it has ended."""
        granted = self.bus.take()
        self.leases += granted
        rows = self.bus.rows(self.uid)
        for lease in granted:
            before = [row for row in rows if is_before(row, lease.delivery)]
            assert [row for row in before if row.state.is_owed and row.key not in self.brought_back] == []

    @invariant()
    def one_of_a_key_is_under_way(self) -> None:
        rows = [row for row in self.bus.rows(self.uid) if row.state is State.LEASED and row.lane]
        assert len({(row.run, row.lane) for row in rows}) == len(rows)

    @invariant()
    def whatever_waits_behind_nobody_may_go(self) -> None:
        """A key with deliveries behind has a head that is under way, in the queue, or dead."""
        rows = self.bus.rows(self.uid)
        heads = {(row.run, row.lane) for row in rows if row.state.is_owed and row.state is not State.BLOCKED}
        assert {(row.run, row.lane) for row in rows if row.state is State.BLOCKED} <= heads

    def demand(self, count: int) -> None:
        self.bus.receiver.want(self.uid, count)

    def some(self, data: st.DataObject, *states: State) -> tuple[Key, ...]:
        keys = [row.key for row in self.bus.rows(self.uid) if row.state in states]
        return tuple(data.draw(st.lists(st.sampled_from(keys), max_size=3))) if keys else ()

    def settle_everything(self) -> None:
        """In the end everything can be delivered: nothing is stuck behind anything."""
        if not hasattr(self, "uid"):
            return
        for _ in range(50):
            self.demand(0)
            self.bus.clock.advance(50_000)
            self.bus.rest()
            self.bus.do(SetPaused("ledger", is_paused=False))  # Too many parked keys pause it.
            self.bus.do(Redrive("ledger", None))
            self.bus.deliver_all(self.uid)
            if not any(row.state.is_owed for row in self.bus.rows(self.uid)) and not self.is_reading():
                return
        raise AssertionError([row for row in self.bus.rows(self.uid) if row.state.is_owed])

    def is_reading(self) -> bool:
        return any(not backfill.is_done for backfill in self.bus.state.backfills.values())


def is_before(row: Delivery, other: Delivery) -> bool:
    return bool(row.lane) and (row.run, row.lane) == (other.run, other.lane) and row.position < other.position


TestInOrder = InOrder.TestCase
TestInOrder.settings = settings(
    max_examples=settings().max_examples // 2,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
