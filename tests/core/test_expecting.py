"""Expectations in the machine, told step by step: what events and time make of keys, and what the log is told."""

import json
from typing import Any
from unittest import mock

import msgspec
import pytest

from eventyard.core import event as events
from eventyard.core import limits
from eventyard.core.commands import DeleteEmitter, Publish, RunTimers, Sweep
from eventyard.core.emitter import Kind
from eventyard.core.errors import InvalidExpectation, NotFound, VersionConflict
from eventyard.core.expectation import KeyState, Phase
from tests.support.builders import Stepped, put_detector, put_expectation

WITHIN_S = 600
BEAT: dict[str, Any] = {"after": {"type": ["beat"]}, "expect": {"type": ["beat"]}}


class Yard(Stepped):
    """A bus of orders that are paid and shipped."""

    number = 0

    def pay(self, key: str = "o1", **attributes: Any) -> int:
        return self.tell("order.paid", key, **attributes)

    def ship(self, key: str = "o1", **attributes: Any) -> int:
        return self.tell("order.shipped", key, **attributes)

    def tell(self, kind: str, key: str | None = "o1", **attributes: Any) -> int:
        """One event. Its position."""
        self.number += 1
        told = {"id": f"e{self.number}", "source": "/shop", "type": kind, "subject": key} | attributes
        (answer,) = self.do(Publish((events.make({name: value for name, value in told.items() if value is not None}, {}),)))
        position: int = answer.position
        return position

    def wait(self, seconds: float) -> int:
        """Time passes, and the keeper comes."""
        self.clock.advance(round(seconds * 1000))
        count: int = self.do(RunTimers(100))
        return count

    def told(self) -> list[dict[str, Any]]:
        """Everything that expectations have told, in the order of the log."""
        log = self.engine.view.events(1, 1, self.state.head, 10_000)
        documents = [json.loads(event.json) | {"position": event.position} for event in log]
        return [document for document in documents if "/expectations/" in document["source"]]

    def outcomes(self) -> list[str]:
        return [f"{document['data']['outcome']} {document['subject']}" for document in self.told()]

    def known(self, key: str = "o1", name: str = "x") -> KeyState | None:
        row = self.engine.view.kept(1, self.state.emitters.by_name[Kind.EXPECTATION, name].uid, key)
        return None if row is None else msgspec.json.decode(row.record, type=KeyState)

    def phase(self, key: str = "o1", name: str = "x") -> Phase:
        known = self.known(key, name)
        return Phase.NONE if known is None else known.phase

    def counts(self, name: str = "x") -> dict[str, int]:
        counts = self.state.emitters.counts(self.state.emitters.by_name[Kind.EXPECTATION, name].uid)
        return {name: count for name, count in counts.items() if count and name != "paced_us"}

    def sweep(self) -> None:
        while self.state.emitters.sweeping:
            self.do(Sweep(self.state.emitters.sweeping[0]))

    def restart(self) -> None:
        again = Yard(self.engine, self.clock)
        self.__dict__.update(again.__dict__ | {"number": self.number})


@pytest.fixture
def bus() -> Yard:
    return Yard()


# Outcomes


def test_what_comes_in_time_is_met_and_nothing_is_kept_of_it(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.clock.advance(599_999)
    bus.ship()
    bus.wait(10_000)
    assert bus.outcomes() == ["met o1"]
    assert (bus.phase(), bus.counts()) == (Phase.NONE, {"opened": 1, "met": 1})


def test_what_does_not_come_is_missed_as_its_time_is_over(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.wait(599.999)
    assert bus.outcomes() == []
    bus.wait(0.001)
    assert bus.outcomes() == ["missed o1"]


def test_what_comes_as_the_time_is_over_is_late_whether_the_keeper_came_or_not(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.clock.advance(WITHIN_S * 1000)
    bus.ship()
    assert bus.outcomes() == ["missed o1", "late o1"]
    assert (bus.phase(), bus.counts()) == (Phase.NONE, {"opened": 1, "missed": 1, "late": 1})


def test_late_is_told_for_as_long_as_the_document_says(bus: Yard) -> None:
    bus.do(put_expectation("x", late_for_s=60))
    bus.pay("a")
    bus.pay("b")
    bus.wait(WITHIN_S + 59.999)
    bus.ship("a")
    bus.clock.advance(1)
    bus.ship("b")
    assert bus.outcomes() == ["missed a", "missed b", "late a"]
    assert bus.counts()["unexpected"] == 1


def test_left_out_late_is_told_for_as_long_again(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.wait(WITHIN_S)
    assert bus.phase() is Phase.MISSED
    bus.wait(WITHIN_S)
    assert (bus.phase(), bus.counts()) == (Phase.NONE, {"opened": 1, "missed": 1, "forgotten": 1})


def test_what_was_missed_tells_of_what_opened_it(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.clock.advance(1_000)
    position = bus.pay(correlationid="cart-7")
    bus.wait(WITHIN_S + 5)
    (missed,) = bus.told()
    assert missed["data"] == {
        "expectation": "x",
        "key": "o1",
        "outcome": "missed",
        "within_s": 600.0,
        "waited_s": 600.0,
        "after": {
            "position": position,
            "source": "/shop",
            "id": "e1",
            "type": "order.paid",
            "accepted": "2023-11-14T22:13:21.000Z",
        },
        "expect": None,
    }
    assert missed["time"] == "2023-11-14T22:23:21.000Z"
    assert (missed["causationid"], missed["causationsource"], missed["correlationid"]) == ("e1", "/shop", "cart-7")
    assert (missed["type"], missed["subject"], missed["eventyardhops"]) == ("order.missed", "o1", 1)
    assert missed["source"] == "/eventyard/buses/default/expectations/x"


def test_what_was_met_tells_of_both_and_comes_of_what_was_expected(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay(correlationid="cart-7")
    bus.clock.advance(2_500)
    bus.ship(correlationid="van-1")
    (met,) = bus.told()
    assert (met["causationid"], met["correlationid"]) == ("e2", "van-1")
    assert (met["data"]["after"]["id"], met["data"]["expect"]["id"], met["data"]["waited_s"]) == ("e1", "e2", 2.5)
    assert met["time"] == met["data"]["expect"]["accepted"]
    assert bus.engine.view.derived(1, met["data"]["expect"]["position"], 0, 10) == [met["position"]]


def test_an_outcome_that_nobody_wants_told_is_still_one(bus: Yard) -> None:
    bus.do(put_expectation("x", emit={"late": {"type": "order.late"}}))
    bus.pay()
    bus.wait(WITHIN_S)
    bus.ship()
    assert bus.outcomes() == ["late o1"]
    assert bus.counts()["missed"] == 1


def test_an_outcome_is_delivered_like_any_event(bus: Yard) -> None:
    uid = bus.put("r", pattern={"type": ["order.missed"]}).uid
    bus.do(put_expectation("x"))
    bus.pay()
    bus.wait(WITHIN_S)
    assert bus.row(uid, bus.told()[0]["position"]) is not None


# Order


def test_what_was_expected_before_is_none_and_nothing_is_met_by_it(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.ship()
    bus.pay()
    bus.wait(WITHIN_S)
    assert bus.outcomes() == ["missed o1"]
    assert bus.counts() == {"unexpected": 1, "opened": 1, "missed": 1, "keys": 1}


def test_events_of_one_moment_are_in_the_order_of_the_log(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    batch = [
        events.make({"id": f"b{number}", "source": "/shop", "type": kind, "subject": key}, {})
        for number, (kind, key) in enumerate(
            [("order.paid", "a"), ("order.shipped", "a"), ("order.shipped", "b"), ("order.paid", "b")]
        )
    ]
    bus.do(Publish(tuple(batch)))
    assert (bus.outcomes(), bus.phase("b")) == (["met a"], Phase.OPEN)


def test_what_comes_again_gives_no_more_time(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    first = bus.pay()
    bus.wait(WITHIN_S - 1)
    bus.pay()
    bus.wait(1)
    assert [document["data"]["after"]["position"] for document in bus.told()] == [first]
    assert bus.counts()["repeated"] == 1


def test_one_answer_is_to_one_opening(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.pay()
    bus.ship()
    bus.ship()
    assert bus.outcomes() == ["met o1"]
    assert bus.counts() == {"opened": 1, "repeated": 1, "met": 1, "unexpected": 1}


def test_what_matches_both_is_the_answer_first_and_then_opens_anew(bus: Yard) -> None:
    bus.do(put_expectation("x", within_s=10, **BEAT))
    for _ in range(3):
        bus.tell("beat", "m1")
        bus.wait(9)
    assert bus.outcomes() == ["met m1", "met m1"]
    bus.wait(1)
    assert bus.outcomes()[2:] == ["missed m1"]
    bus.tell("beat", "m1")
    assert (bus.outcomes()[3:], bus.phase("m1")) == (["late m1"], Phase.OPEN)


def test_keys_do_not_know_each_other(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay("a")
    bus.pay("b")
    bus.ship("b")
    bus.wait(WITHIN_S)
    assert bus.outcomes() == ["met b", "missed a"]


def test_an_event_without_a_key_is_counted_and_passed_over(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.tell("order.paid", None)
    bus.tell("order.shipped", None)
    assert bus.counts() == {"unkeyed": 2}


def test_past_max_keys_nothing_more_is_opened_and_what_is_open_goes_on(bus: Yard) -> None:
    bus.do(put_expectation("x", max_keys=1))
    bus.pay("a")
    bus.pay("b")
    bus.ship("a")
    bus.pay("b")
    assert bus.outcomes() == ["met a"]
    assert bus.counts() == {"opened": 2, "over_max_keys": 1, "met": 1, "keys": 1, "open": 1}


# Restarts


def test_time_that_the_bus_is_away_does_not_count(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.wait(10)
    bus.clock.advance(86_400_000)
    bus.restart()
    bus.wait(limits.HOLDS_REST_MS / 1000)
    assert (bus.outcomes(), bus.phase()) == ([], Phase.OPEN)
    bus.ship()
    assert bus.outcomes() == ["met o1"]


def test_after_a_start_nothing_is_missed_before_those_have_come_who_were_turned_away(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.wait(WITHIN_S - 1)
    bus.restart()
    bus.wait(2)
    assert bus.outcomes() == []
    bus.ship()
    assert bus.outcomes() == ["met o1"]


def test_what_is_open_is_missed_after_a_restart_once(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.restart()
    bus.wait(WITHIN_S)
    bus.restart()
    bus.wait(WITHIN_S - 1)
    assert bus.outcomes() == ["missed o1"]


def test_ids_follow_from_what_opened_it_so_the_same_history_gives_the_same_events() -> None:
    def history(ticks: int) -> list[dict[str, Any]]:
        one = Yard()
        one.do(put_expectation("x"))
        one.pay()
        for _ in range(ticks):
            one.wait(WITHIN_S / ticks)
        one.clock.advance(1)
        one.ship()
        return [{name: value for name, value in document.items() if name != "position"} for document in one.told()]

    assert history(1) == history(6)
    assert [document["id"].split("-")[-4:] for document in history(2)] == [
        ["1", "1", "2", "missed"],
        ["1", "1", "2", "late"],
    ]


# Bounds


def test_what_is_missed_waits_for_its_turn_past_the_rate_and_none_is_lost(bus: Yard) -> None:
    with mock.patch.object(limits, "DETECTOR_EDGES_BURST_S", 2):
        bus.do(put_expectation("x", max_missed_per_s=1, late_for_s=0))
        for number in range(5):
            bus.pay(f"o{number}")
        bus.wait(WITHIN_S)
        at_once = len(bus.outcomes())
        assert (at_once, bus.counts()["put_off"]) == (3, 2)
        bus.wait(1)
        assert len(bus.outcomes()) == at_once + 1
        bus.wait(1)
        assert sorted(bus.outcomes()) == [f"missed o{number}" for number in range(5)]


def test_what_comes_while_it_waits_for_its_turn_is_late(bus: Yard) -> None:
    with mock.patch.object(limits, "DETECTOR_EDGES_BURST_S", 0):
        bus.do(put_expectation("x", max_missed_per_s=1))
        bus.pay("a")
        bus.pay("b")
        bus.wait(WITHIN_S)
        assert bus.counts()["put_off"] >= 1
        bus.restart()
        bus.ship("b")
        assert bus.outcomes()[-2:] == ["missed b", "late b"]


def test_what_has_too_many_hops_behind_it_is_counted_and_not_told(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay(eventyardhops=limits.HOPS_MAX_DEFAULT)
    bus.wait(WITHIN_S)
    assert (bus.outcomes(), bus.counts()["stopped"]) == ([], 1)


# Edits


def test_a_longer_time_is_given_to_what_is_open(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.wait(500)
    bus.do(put_expectation("x", within_s=1_000))
    bus.sweep()
    bus.wait(499)
    assert bus.outcomes() == []
    bus.wait(1)
    assert bus.told()[0]["data"]["waited_s"] == 1_000


def test_a_shorter_time_may_be_over_at_once(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.wait(500)
    bus.do(put_expectation("x", within_s=400))
    bus.sweep()
    bus.wait(0)
    assert bus.outcomes() == ["missed o1"]


@pytest.mark.parametrize("is_swept", [True, False])
def test_what_a_changed_document_would_not_have_opened_is_withdrawn(bus: Yard, is_swept: bool) -> None:
    bus.do(put_expectation("x"))
    bus.pay("o1")
    bus.pay("big-1")
    bus.do(put_expectation("x", after={"type": ["order.paid"], "subject": [{"prefix": "big"}]}))
    if is_swept:
        bus.sweep()
    bus.wait(WITHIN_S)
    assert bus.outcomes() == ["missed big-1"]
    assert bus.counts()["withdrawn"] == 1


def test_what_is_missed_stays_so_through_an_edit(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.pay()
    bus.wait(WITHIN_S)
    bus.do(put_expectation("x", within_s=10_000))
    bus.sweep()
    bus.ship()
    assert bus.outcomes() == ["missed o1", "late o1"]


def test_the_key_cannot_be_changed(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    refusal = bus.do(put_expectation("x", key="data.id"))
    assert isinstance(refusal, InvalidExpectation)
    assert refusal.at == "/key"


def test_a_deleted_one_tells_nothing_of_what_was_open(bus: Yard) -> None:
    uid = bus.do(put_expectation("x")).record.uid
    bus.pay()
    bus.do(DeleteEmitter(Kind.EXPECTATION, "x"))
    bus.wait(WITHIN_S)
    bus.sweep()
    assert (bus.outcomes(), bus.engine.view.kept(1, uid, "o1"), uid in bus.state.emitters.by_uid) == ([], None, False)
    bus.do(put_expectation("x"))
    bus.ship()
    assert bus.counts() == {"unexpected": 1}


def test_edits_are_events_and_another_version_is_refused(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    assert not bus.do(put_expectation("x")).is_changed
    assert isinstance(bus.do(put_expectation("x", within_s=1, version=7)), VersionConflict)
    bus.do(put_expectation("x", within_s=1))
    bus.do(DeleteEmitter(Kind.EXPECTATION, "x"))
    assert isinstance(bus.do(DeleteEmitter(Kind.EXPECTATION, "x")), NotFound)
    log = bus.engine.view.events(1, 1, bus.state.head, 10)
    documents = [json.loads(event.json) for event in log]
    assert [document["type"].removeprefix("io.eventyard.expectation.") for document in documents] == [
        "created",
        "changed",
        "deleted",
    ]
    assert documents[1]["data"]["expectation"]["within_s"] == 1


def test_a_detector_and_an_expectation_may_have_one_name(bus: Yard) -> None:
    bus.do(put_detector("x"))
    bus.do(put_expectation("x"))
    bus.pay()
    bus.ship()
    assert bus.outcomes() == ["met o1"]


# Circles


@pytest.mark.parametrize(("field", "kind"), [("after", "order.missed"), ("expect", "order.met"), ("after", "order.late")])
def test_one_that_would_hear_what_it_tells_is_refused(bus: Yard, field: str, kind: str) -> None:
    pattern: dict[str, Any] = {field: {"type": ["order.paid", kind]}}
    refusal = bus.do(put_expectation("x", **pattern))
    assert isinstance(refusal, InvalidExpectation)
    assert (refusal.at, f'its own "{kind}"' in refusal.detail) == (f"/{field}", True)


def test_a_circle_through_a_detector_is_refused_with_the_names(bus: Yard) -> None:
    bus.do(put_detector("watch", on={"type": ["order.missed"]}, emit={"rise": {"type": "alarm"}}))
    refusal = bus.do(put_expectation("x", expect={"type": ["alarm"]}))
    assert isinstance(refusal, InvalidExpectation)
    assert (refusal.at, "expectation x -> detector watch -> expectation x" in refusal.detail) == ("/expect", True)


def test_an_outcome_may_open_another_expectation_and_be_what_it_waits_for(bus: Yard) -> None:
    bus.do(put_expectation("x"))
    bus.do(
        put_expectation(
            "y", after={"type": ["order.missed"]}, expect={"type": ["order.late"]}, emit={"met": {"type": "made-good"}}
        )
    )
    bus.pay()
    bus.wait(WITHIN_S)
    bus.ship()
    assert [document["type"] for document in bus.told()] == ["order.missed", "order.late", "made-good"]
