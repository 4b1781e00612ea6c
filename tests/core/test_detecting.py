"""Detectors in the machine, told step by step: what observations and time make of keys, and what the log is told."""

import datetime
import json
from typing import Any
from unittest import mock

import msgspec
import pytest

from eventyard.core import event as events
from eventyard.core import limits
from eventyard.core.commands import DeleteEmitter, Publish, RunTimers, Sweep
from eventyard.core.detector import KeyState, Phase
from eventyard.core.emitter import Kind
from eventyard.core.errors import InvalidDetector, NotFound, VersionConflict
from tests.support.builders import ManualClock, Stepped, put_detector, put_rule


class Yard(Stepped):
    """A bus on which cars are observed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.number = 0

    def see(self, *seen: Any, key: str = "c1", **attributes: Any) -> None:
        """Observations, published in one batch: of each its status, or all of its data."""
        batch = []
        for one in seen:
            self.number += 1
            data = one if isinstance(one, dict) else {"status": one}
            told = {"id": f"e{self.number}", "source": "/s", "type": "car.updated", "subject": key} | attributes
            batch.append(events.make({name: value for name, value in told.items() if value is not None}, data))
        self.do(Publish(tuple(batch)))

    def wait(self, seconds: float) -> int:
        """Time passes, and the keeper comes."""
        self.clock.advance(round(seconds * 1000))
        count: int = self.do(RunTimers(100))
        return count

    def told(self) -> list[dict[str, Any]]:
        """Every edge in the log, in its order."""
        log = self.engine.view.events(1, 1, self.state.head, 10_000)
        documents = [json.loads(event.json) | {"position": event.position} for event in log]
        return [document for document in documents if "/detectors/" in document["source"]]

    def edges(self) -> list[str]:
        return [f"{document['type'].removeprefix('car.')} {document['subject']}" for document in self.told()]

    def key(self, key: str = "c1", name: str = "d") -> KeyState:
        uid = self.state.emitters.by_name[Kind.DETECTOR, name].uid
        row = self.engine.view.kept(1, uid, key)
        assert row is not None
        return msgspec.json.decode(row.record, type=KeyState)

    def counts(self, name: str = "d") -> dict[str, int]:
        counts = self.state.emitters.counts(self.state.emitters.by_name[Kind.DETECTOR, name].uid)
        return {name: count for name, count in counts.items() if count and name != "paced_us"}

    def sweep(self) -> int:
        steps = 0
        while self.state.emitters.sweeping:
            self.do(Sweep(self.state.emitters.sweeping[0]))
            steps += 1
        return steps


@pytest.fixture
def bus() -> Yard:
    return Yard()


def at(bus: Yard, before_s: float = 0) -> str:
    """A time that many seconds ago, as an event tells it."""
    return events_time(bus.clock, before_s)


def events_time(clock: ManualClock, before_s: float) -> str:
    moment = datetime.datetime.fromtimestamp(clock.wall_ms / 1000 - before_s, datetime.UTC)
    return moment.isoformat().replace("+00:00", "Z")


# Edges


def test_a_car_that_is_sold_is_an_event_and_so_is_one_that_is_for_sale_again(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("for sale", "sold", "sold", "for sale")
    assert bus.edges() == ["sold c1", "back c1"]


def test_an_edge_stands_behind_its_observation_and_before_the_next_event(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("for sale", "sold", "sold")
    assert [document["position"] for document in bus.told()] == [4]


def test_an_edge_says_what_was_so_since_when_because_of_what_and_why(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("for sale")
    bus.clock.advance(1_000)
    bus.see("sold", correlationid="order-7")
    (edge,) = bus.told()
    assert edge["data"] == {
        "detector": "d",
        "key": "c1",
        "edge": "rise",
        "before": {"data.status": "for sale"},
        "after": {"data.status": "sold"},
        "since": "2023-11-14T22:13:21.000Z",
        "held_for_s": 0.0,
        "cause": {"position": 3, "source": "/s", "id": "e2", "type": "car.updated"},
        "why": 'data.status "sold" is "sold"',
    }
    assert (edge["causationid"], edge["causationsource"], edge["correlationid"]) == ("e2", "/s", "order-7")
    assert (edge["eventyardhops"], edge["subject"]) == (1, "c1")
    assert edge["source"] == "/eventyard/buses/default/detectors/d"


def test_a_fall_says_why_not(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("sold", "crushed")
    assert bus.told()[0]["data"]["why"] == 'data.status "crushed" is not "sold"'


def test_an_edge_that_nobody_wants_told_is_still_one(bus: Yard) -> None:
    bus.do(put_detector("d", emit={"fall": {"type": "car.back"}}))
    bus.see("for sale", "sold", "for sale")
    assert bus.edges() == ["back c1"]
    assert (bus.counts()["rises"], bus.counts()["falls"]) == (1, 1)


def test_an_edge_is_delivered_like_any_event(bus: Yard) -> None:
    uid = bus.put("r", pattern={"type": ["car.sold"]}).uid
    bus.do(put_detector("d"))
    bus.see("for sale", "sold")
    assert bus.row(uid, 5) is not None


def test_keys_know_nothing_of_each_other(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("for sale", key="a")
    bus.see("for sale", key="b")
    bus.see("sold", key="b")
    assert bus.edges() == ["sold b"]


def test_events_that_are_not_observations_change_nothing(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("for sale")
    bus.see("sold", type="car.seen")
    assert bus.edges() == []


def test_the_same_history_has_the_same_edges_to_the_byte() -> None:
    logs = []
    for ticks in (1, 7):
        bus = Yard()
        bus.do(put_detector("d", for_s=3))
        bus.see("for sale", "sold")
        for _ in range(ticks):
            bus.wait(7 / ticks)
        log = bus.engine.view.events(1, 1, bus.state.head, 100)
        logs.append([event.json for event in log])
    assert logs[0] == logs[1]


# Keys


@pytest.mark.parametrize(
    ("path", "data", "key"),
    [
        ("data.car.id", {"car": {"id": "x"}}, "x"),
        ("data.n", {"n": 7}, "7"),
        ("data.n", {"n": 7.0}, "7"),
        ("data.n", {"n": True}, "true"),
        ("source", {}, "/s"),
    ],
)
def test_a_key_is_a_text_a_number_or_a_truth_value(bus: Yard, path: str, data: dict[str, Any], key: str) -> None:
    bus.do(put_detector("d", key=path))
    bus.see(data | {"status": "for sale"}, data | {"status": "sold"})
    assert bus.edges() == [f"sold {key}"]


@pytest.mark.parametrize("key", [None, {"a": 1}, ["a"], "", "x" * 513, "a\nb"])
def test_what_can_be_no_key_is_counted_and_passed_over(bus: Yard, key: Any) -> None:
    bus.do(put_detector("d", key="data.key"))
    bus.see({"status": "for sale"}, {"status": "sold", "key": key})
    assert bus.counts() == {"unkeyed": 2}


def test_past_the_most_keys_new_ones_are_counted_and_passed_over(bus: Yard) -> None:
    bus.do(put_detector("d", max_keys=1))
    bus.see("for sale", key="a")
    bus.see("for sale", key="b")
    bus.see("sold", key="a")
    assert bus.edges() == ["sold a"]
    assert (bus.counts()["keys"], bus.counts()["over_max_keys"]) == (1, 1)


# Order


def test_an_observation_that_is_older_than_the_last_one_is_late(bus: Yard) -> None:
    bus.do(put_detector("d", late_by_s=60))
    bus.see("for sale", time=at(bus, 30))
    bus.see("sold", time=at(bus, 31))
    assert bus.edges() == []
    assert bus.counts()["late"] == 1


def test_of_two_of_one_time_the_later_in_the_log_is_the_later(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("for sale", "sold", time=at(bus, 5))
    assert bus.edges() == ["sold c1"]


def test_a_clock_that_runs_ahead_holds_nothing_back(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("for sale", time=at(bus, -3_600))
    bus.clock.advance(1)
    bus.see("sold", time=at(bus))
    assert bus.edges() == ["sold c1"]


def test_order_by_sequence(bus: Yard) -> None:
    bus.do(put_detector("d", order_by="sequence"))
    bus.see("for sale", sequence="9")
    bus.see("sold", sequence="10")
    bus.see("for sale", sequence="8")
    bus.see("for sale")
    assert bus.edges() == ["sold c1"]
    assert (bus.counts()["late"], bus.counts()["unordered"]) == (1, 1)


def test_order_by_position_passes_over_what_events_say_of_time(bus: Yard) -> None:
    bus.do(put_detector("d", order_by="position"))
    bus.see("for sale", time=at(bus, 5))
    bus.see("sold", time=at(bus, 50))
    assert bus.edges() == ["sold c1"]


# Holds


def test_what_has_to_hold_is_told_when_it_has_held(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=300))
    bus.see("for sale", "sold")
    assert (bus.key().phase, bus.counts()["pending"]) == (Phase.PENDING, 1)
    bus.wait(299.999)
    assert bus.edges() == []
    bus.wait(0.001)
    (edge,) = bus.told()
    assert (edge["data"]["since"], edge["time"]) == ("2023-11-14T22:13:20.000Z", "2023-11-14T22:18:20.000Z")
    assert (edge["data"]["held_for_s"], bus.counts().get("pending")) == (300, None)


def test_what_does_not_hold_long_enough_is_no_edge(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=300))
    bus.see("for sale", "sold")
    bus.wait(200)
    bus.see("for sale")
    bus.wait(500)
    assert bus.edges() == []
    assert bus.counts()["cancelled"] == 1


def test_what_held_long_enough_is_an_edge_although_nobody_came_in_time(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=5))
    bus.see("for sale", "sold")
    bus.clock.advance(6_000)
    bus.see("for sale")
    assert bus.edges() == ["sold c1", "back c1"]


def test_a_thermostat_falls_by_its_own_condition_and_not_in_between(bus: Yard) -> None:
    bus.do(
        put_detector(
            "d",
            when={"data": {"t": [{"numeric": [">", 23]}]}},
            until={"data": {"t": [{"numeric": ["<", 21]}]}},
            keep_for_s=60,
        )
    )
    bus.see({"t": 22}, {"t": 24}, {"t": 22}, {"t": 20})
    bus.wait(59)
    bus.see({"t": 22}, {"t": 20})
    bus.wait(59)
    assert bus.edges() == ["sold c1"]
    bus.wait(1)
    assert bus.edges() == ["sold c1", "back c1"]
    assert bus.told()[1]["data"]["why"] == "data.t 20 is < 21"


def test_a_backlog_of_readings_makes_no_hold_end_that_the_next_of_them_breaks(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=300))
    bus.see("for sale", time=at(bus, 3_600))
    bus.see("sold", time=at(bus, 3_500))
    assert bus.wait(1) == 0
    bus.see("for sale", time=at(bus, 3_400))
    bus.wait(1_000)
    assert bus.edges() == []


def test_a_hold_waits_for_what_may_come_late(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=300, late_by_s=30))
    bus.see("for sale")
    bus.clock.advance(1_000)
    bus.see("sold")
    bus.wait(329)
    bus.see("for sale", time=at(bus, 30.5))
    bus.wait(10)
    assert bus.edges() == []


def test_being_away_ends_no_hold_and_whoever_was_turned_away_has_a_moment(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=300))
    bus.see("for sale", "sold")
    bus.wait(299)
    bus.see("sold", key="other")
    again = Yard(bus.engine)
    again.number = 50
    again.wait(limits.HOLDS_REST_MS / 1000 - 0.001)
    assert again.edges() == []
    again.see("for sale")
    again.wait(1_000)
    assert again.edges() == []


def test_a_hold_goes_on_after_a_restart(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=300))
    bus.see("for sale", "sold")
    again = Yard(bus.engine)
    again.wait(300)
    assert again.edges() == ["sold c1"]


@pytest.mark.parametrize(("first", "edges"), [("arm", ["back c1"]), ("fire", ["sold c1", "back c1"]), ("suppress", [])])
def test_the_first_observation(bus: Yard, first: str, edges: list[str]) -> None:
    bus.do(put_detector("d", first=first))
    bus.see("sold", "for sale")
    assert bus.edges() == edges


def test_a_forgotten_key_is_new(bus: Yard) -> None:
    bus.do(put_detector("d", forget_after_s=60))
    bus.see("for sale")
    assert bus.wait(60) == 1
    assert bus.counts().get("keys") is None
    bus.see("sold")
    assert bus.edges() == []


def test_a_key_whose_time_has_come_is_forgotten_although_nobody_came(bus: Yard) -> None:
    bus.do(put_detector("d", forget_after_s=60))
    bus.see("for sale")
    bus.clock.advance(60_000)
    bus.see("sold")
    assert bus.edges() == []
    assert (bus.counts()["keys"], bus.counts()["forgotten"]) == (1, 1)


def test_many_holds_end_in_bounded_steps(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=5))
    for number in range(5):
        bus.see("for sale", "sold", key=f"c{number}")
    bus.clock.advance(5_000)
    assert [bus.do(RunTimers(2)) for _ in range(4)] == [2, 2, 1, 0]
    assert bus.edges() == [f"sold c{number}" for number in range(5)]
    assert bus.state.emitters.due_ms is None


def test_edges_past_the_rate_wait_for_their_turn_and_none_that_lasts_is_lost(bus: Yard) -> None:
    bus.do(put_detector("d", max_edges_per_s=1))
    for number in range(13):
        bus.see("for sale", "sold", key=f"c{number:02}")
    told = limits.DETECTOR_EDGES_BURST_S + 1
    assert len(bus.edges()) == told
    bus.see("for sale", key="c12")
    bus.wait(60)
    assert bus.edges() == [f"sold c{number:02}" for number in range(12)]
    assert bus.counts()["put_off"] == 2


# Detectors behind detectors


def test_an_edge_is_observed_in_the_step_that_it_is_told_in(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.do(
        put_detector(
            "again",
            on={"type": ["car.sold", "car.back"]},
            when={"type": ["car.back"]},
            emit={"rise": {"type": "car.returned"}},
        )
    )
    bus.see("for sale", "sold", "for sale")
    assert bus.edges() == ["sold c1", "back c1", "returned c1"]
    assert bus.told()[2]["causationid"] == bus.told()[1]["id"]
    assert bus.told()[2]["correlationid"] == "e2" or bus.told()[2]["correlationid"] == "e3"


def test_one_that_would_observe_what_it_emits_is_refused(bus: Yard) -> None:
    refusal = bus.do(put_detector("d", on={"type": [{"prefix": "car."}]}))
    assert isinstance(refusal, InvalidDetector)
    assert refusal.at == "/on"
    assert '"car.sold"' in refusal.detail


def test_one_that_leaves_its_own_source_out_is_not(bus: Yard) -> None:
    on = {"type": [{"prefix": "car."}], "source": [{"anything-but": {"prefix": "/eventyard/"}}]}
    assert not isinstance(bus.do(put_detector("d", on=on)), InvalidDetector)


def test_a_circle_is_refused_by_name(bus: Yard) -> None:
    bus.do(put_detector("one", on={"type": ["a"]}, emit={"rise": {"type": "b"}}))
    bus.do(put_detector("two", on={"type": ["b"]}, emit={"rise": {"type": "c"}}))
    refusal = bus.do(put_detector("three", on={"type": ["c"]}, emit={"fall": {"type": "a"}}))
    assert "three -> one -> two -> three" in refusal.detail
    assert bus.do(put_detector("three", on={"type": ["c"]}, emit={"fall": {"type": "d"}})).is_created


def test_a_row_is_only_so_long(bus: Yard) -> None:
    for number in range(limits.EMITTER_CHAIN_MAX):
        on, emit = {"type": [f"t{number}"]}, {"rise": {"type": f"t{number + 1}"}}
        assert bus.do(put_detector(f"d{number}", on=on, emit=emit)).is_created
    for heard, told in (("t8", "t9"), ("t", "t0")):
        refusal = bus.do(put_detector("more", on={"type": [heard]}, emit={"rise": {"type": told}}))
        assert isinstance(refusal, InvalidDetector)
        assert "9 detectors in a row" in refusal.detail


def test_past_the_hops_that_are_allowed_an_edge_is_not_told(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("for sale")
    bus.see("sold", eventyardhops=limits.HOPS_MAX_DEFAULT)
    assert bus.edges() == []
    assert (bus.counts()["rises"], bus.counts()["stopped"]) == (1, 1)
    bus.see("for sale", eventyardhops=limits.HOPS_MAX_DEFAULT - 1)
    assert bus.edges() == ["back c1"]


# Edits


def test_an_edit_is_an_event_and_the_same_again_is_none(bus: Yard) -> None:
    first, second = bus.do(put_detector("d")), bus.do(put_detector("d"))
    assert (first.is_created, second.is_created, second.is_changed) == (True, False, False)
    assert bus.state.head == 1
    changed = bus.do(put_detector("d", for_s=1)).record
    assert (changed.uid, changed.version, bus.state.head) == (1, 2, 2)


def test_an_edit_of_a_version_that_is_over_is_refused(bus: Yard) -> None:
    assert isinstance(bus.do(put_detector("d", version=3)), VersionConflict)
    bus.do(put_detector("d", version=0))
    assert isinstance(bus.do(put_detector("d", version=0, for_s=1)), VersionConflict)
    assert isinstance(bus.do(DeleteEmitter(Kind.DETECTOR, "d", version=9)), VersionConflict)


def test_an_edit_governs_what_comes_after_it(bus: Yard) -> None:
    """The event of the edit itself, which the detector listens to, is still judged by the version before."""
    on = {"type": ["io.eventyard.detector.changed", "io.eventyard.detector.created"]}
    kept: Any = {"on": on, "first": "fire", "emit": {"rise": {"type": "edited"}}}
    bus.do(put_detector("d", when={"data": {"name": ["d"]}}, **kept))
    bus.do(put_detector("d", when={"data": {"name": ["nobody"]}}, **kept))
    assert [document["type"] for document in bus.told()] == ["edited"]


def test_what_the_keys_are_cannot_be_changed(bus: Yard) -> None:
    bus.do(put_detector("d"))
    changes: Any
    for changes, where in (({"key": "data.id"}, "/key"), ({"order_by": "position"}, "/order_by")):
        refusal = bus.do(put_detector("d", **changes))
        assert isinstance(refusal, InvalidDetector)
        assert refusal.at == where


def test_another_condition_turns_keys_over_quietly_and_edges_go_on_from_there(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("for sale", key="a")
    bus.see("for sale", key="b")
    bus.do(put_detector("d", when={"data": {"status": ["for sale"]}}))
    bus.see("sold", key="a")
    assert bus.edges() == ["back a"]
    assert bus.sweep() > 0
    assert bus.counts()["turned"] == 2
    bus.see("sold", key="b")
    assert bus.edges() == ["back a", "back b"]


def test_a_shorter_hold_counts_for_holds_under_way(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=3_600))
    bus.see("for sale", "sold")
    bus.do(put_detector("d", for_s=60))
    bus.sweep()
    bus.wait(60)
    assert bus.edges() == ["sold c1"]
    assert bus.told()[0]["id"].endswith("-1-4-3")


def test_a_key_whose_event_is_gone_stays_where_it_was(bus: Yard) -> None:
    bus.do(put_detector("d"))
    bus.see("sold")
    with mock.patch.object(type(bus.engine.view), "event", return_value=None):
        bus.do(put_detector("d", when={"data": {"status": ["crushed"]}}))
        bus.sweep()
    assert bus.key().phase is Phase.TRUE
    bus.see("sold")
    assert bus.edges() == ["back c1"]


def test_a_sweep_goes_in_bounded_steps(bus: Yard) -> None:
    bus.do(put_detector("d"))
    for number in range(5):
        bus.see("for sale", key=f"c{number}")
    bus.do(put_detector("d", for_s=9))
    with mock.patch.object(limits, "SWEEP_KEYS_PER_STEP", 2):
        assert bus.sweep() == 4


def test_a_deleted_detector_forgets_its_keys_and_its_holds(bus: Yard) -> None:
    uid = bus.do(put_detector("d", for_s=60)).record.uid
    bus.see("for sale", "sold")
    bus.do(DeleteEmitter(Kind.DETECTOR, "d"))
    bus.see("for sale")
    assert bus.do(put_detector("d", first="fire")).record.uid != uid
    bus.wait(60)
    bus.sweep()
    assert bus.edges() == []
    assert bus.engine.view.kept_after(1, uid, "", 10) == []
    assert uid not in bus.state.emitters.by_uid
    bus.see("sold")
    assert bus.edges() == ["sold c1"]


def test_one_that_is_not_there_cannot_be_deleted(bus: Yard) -> None:
    assert isinstance(bus.do(DeleteEmitter(Kind.DETECTOR, "d")), NotFound)


def test_there_are_so_many_at_the_most(bus: Yard) -> None:
    with mock.patch.object(limits, "EMITTERS_PER_BUS_MAX", 1):
        bus.do(put_detector("a", on={"type": ["x"]}))
        assert isinstance(bus.do(put_detector("b", on={"type": ["x"]})), InvalidDetector)


@pytest.mark.parametrize("number", [0.1, 1e300, 12345678901234567890, 1.2345678901234567])
def test_what_was_said_is_kept_as_it_was_spelt(bus: Yard, number: float) -> None:
    bus.do(put_detector("d", when={"data": {"n": [{"exists": True}], "a": [{"exists": True}]}}, first="fire"))
    bus.see({"n": number, "a": [1, 2]})
    assert bus.told()[0]["data"]["after"] == {"data.n": number, "data.a": [1, 2]}


def test_what_is_too_much_to_keep_is_left_out(bus: Yard) -> None:
    bus.do(put_detector("d", when={"data": {"status": [{"prefix": "x"}]}}, first="fire"))
    bus.see("x" * limits.DETECTOR_VALUES_BYTES_MAX)
    assert (bus.told()[0]["data"]["after"], bus.told()[0]["data"]["why"]) == (None, "")


# What costs nothing


def test_rules_are_matched_ahead_although_there_are_detectors(bus: Yard) -> None:
    bus.do(put_rule("r"))
    bus.do(put_detector("d"))
    bus.see("for sale", "sold")
    assert bus.edges() == ["sold c1"]


def test_keys_that_were_seen_long_ago_are_read_from_the_store(bus: Yard) -> None:
    bus.do(put_detector("d"))
    with mock.patch.object(limits, "KEPT_CACHED_MAX", 2):
        for number in range(5):
            bus.see("for sale", key=f"c{number}")
        for number in range(5):
            bus.see("sold", key=f"c{number}")
    assert bus.edges() == [f"sold c{number}" for number in range(5)]


def test_beside_publishers_a_step_runs_out_few_timers(bus: Yard) -> None:
    bus.do(put_detector("d", for_s=5, first="fire"))
    for number in range(25):
        bus.see("sold", key=f"c{number}")
    bus.clock.advance(5_000)
    bus.see("new", key="another")
    for _ in range(2):
        assert bus.do(RunTimers(100)) == limits.TIMERS_BESIDE_PUBLISHERS == 10
    bus.clock.advance(limits.PUBLISHED_LATELY_MS)
    assert bus.do(RunTimers(100)) == 5
    assert bus.counts()["rises"] == 25
