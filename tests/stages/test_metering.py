"""The meter: what it counts, under which labels, and what it never undoes."""

from typing import Any

import pytest

from eventyard.bus.figures import Reading
from eventyard.core import limits
from eventyard.core import rule as rules
from eventyard.core.commands import CreateBus, DeleteBus, DeleteRule, Publish, Purge, Redrive
from eventyard.core.delivery import Note
from eventyard.core.errors import InvalidName, NotFound, StorageFailed, StorageFull
from eventyard.core.verdict import Dead, Delivered, Retry
from eventyard.metering import BOUNDS_S, OTHER, Histogram, Meter, RuleMeter
from tests.stages.test_writer import FlakyEngine
from tests.support.builders import an_event, put_rule
from tests.support.houses import House


@pytest.fixture
def house() -> House:
    return House(FlakyEngine())


def meter_of(house: House) -> Meter:
    return house.writer.meter


def counts(house: House, name: str, bus: str = "default") -> tuple[int, int, int, int]:
    """Delivered, failed, dead, discarded."""
    meter = meter_of(house)
    rule = meter.others[bus] if name == OTHER else meter.rules[bus, name]
    return rule.delivered, rule.failed, rule.dead, rule.discarded


def reading(house: House) -> Reading:
    read = Reading(house.engine, house.writer.states, meter_of(house), house.now)
    read.read()
    return read


def settle_next(house: House, rule: int, verdict: Any) -> None:
    house.take()
    house.receiver.want(rule, 1)
    house.writer.step()
    house.receiver.wanted.clear()
    [lease] = house.take()
    assert house.settle(lease, verdict) is None


def publish(house: House, *numbers: int, bus: str = "default") -> None:
    house.do(Publish(tuple(an_event(number) for number in numbers)), bus=bus)


# Events


def test_accepted_duplicate_and_refused_are_told_apart(house: House) -> None:
    publish(house, 1, 2)
    publish(house, 1, 3)
    house.do(Publish((an_event(1, data={"other": "content"}),)))
    bus = meter_of(house).buses["default"]
    assert (bus.accepted, bus.duplicate, dict(bus.refused)) == (3, 1, {"event-conflict": 1})


def test_a_failed_commit_counts_as_one_and_its_events_as_nothing(house: House) -> None:
    assert isinstance(house.engine, FlakyEngine)
    house.engine.error = StorageFull("no space")
    publish(house, 1)
    bus = meter_of(house).buses["default"]
    assert (bus.accepted, bus.duplicate, dict(bus.refused)) == (0, 0, {})
    assert meter_of(house).failed_commits == 1
    house.engine.error = None
    publish(house, 1)
    assert bus.accepted == 1


# Deliveries


def test_every_end_of_a_delivery_counts_once(house: House) -> None:
    rule = house.put("paid").uid
    publish(house, 1, 2, 3)
    settle_next(house, rule, Delivered(Note()))
    settle_next(house, rule, Retry(60_000, Note()))
    settle_next(house, rule, Dead(Note(reason="rejected")))
    assert counts(house, "paid") == (1, 1, 1, 0)
    house.do(Redrive("paid", None))
    house.rest()
    settle_next(house, rule, Dead(Note(reason="rejected")))
    assert counts(house, "paid") == (1, 1, 2, 0)
    house.do(Purge("paid", None))
    house.rest()
    assert counts(house, "paid") == (1, 1, 2, 1)


def test_an_attempt_that_is_not_counted_has_not_failed(house: House) -> None:
    rule = house.put("paid").uid
    publish(house, 1)
    settle_next(house, rule, Retry(0, Note(failure="given back unsent"), is_counted=False))
    assert counts(house, "paid") == (0, 0, 0, 0)


def test_what_a_deleted_rule_discards_counts_until_it_is_gone(house: House) -> None:
    house.put("paid")
    publish(house, 1, 2)
    meter = meter_of(house).rules["default", "paid"]
    house.do(DeleteRule("paid"))
    house.rest()
    assert meter.discarded == 2
    assert meter_of(house).rules == {}


# Labels


def test_a_rule_created_again_goes_on_counting(house: House) -> None:
    house.put("paid")
    publish(house, 1)
    house.do(DeleteRule("paid"))
    rule = house.put("paid").uid
    publish(house, 2)
    settle_next(house, rule, Delivered(Note()))
    house.rest()
    assert counts(house, "paid") == (1, 0, 0, 1)


def test_rules_past_the_cap_count_together(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METRICS_RULES_MAX", 2)
    rules = [house.put(f"rule-{number}").uid for number in range(5)]
    publish(house, 1)
    for rule in rules:
        settle_next(house, rule, Delivered(Note()))
    assert set(meter_of(house).rules) == {("default", "rule-0"), ("default", "rule-1")}
    assert counts(house, OTHER) == (3, 0, 0, 0)


def test_a_sum_does_not_run_backwards_when_a_part_of_it_goes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METRICS_RULES_MAX", 1)
    house.put("own")
    rule = house.put("folded").uid
    publish(house, 1)
    settle_next(house, rule, Delivered(Note()))
    house.do(DeleteRule("folded"))
    house.do(DeleteRule("own"))
    house.rest()
    assert counts(house, OTHER) == (1, 0, 0, 0)
    house.put("later")
    assert set(meter_of(house).rules) == {("default", "later")}


def test_buses_past_the_cap_count_together_with_all_their_rules(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METRICS_BUSES_MAX", 1)
    create(house, "shop")
    house.do(put_rule("paid"), bus="shop")
    publish(house, 1, bus="shop")
    meter = meter_of(house)
    assert set(meter.buses) == {"default", OTHER}
    assert meter.buses[OTHER].accepted == 1
    assert [rule.labels for rule in meter.all_rules] == [(OTHER, OTHER)]


def test_a_deleted_bus_is_told_no_more(house: House) -> None:
    create(house, "shop")
    house.do(put_rule("paid"), bus="shop")
    answers: list[Any] = []
    house.writer.submit_system(DeleteBus("shop"), answers.append)
    house.rest()
    assert set(meter_of(house).buses) == {"default"}
    assert meter_of(house).all_rules == []
    with pytest.raises(NotFound):
        publish(house, 1, bus="shop")


def create(house: House, name: str) -> None:
    answers: list[Any] = []
    house.writer.submit_system(CreateBus(name, "other"), answers.append)
    house.rest()


# What waits


def test_a_rule_that_owes_nothing_is_not_behind(house: House) -> None:
    house.put("paid")
    depth = reading(house).rules["default", "paid"]
    assert (depth.lag, depth.behind_s, depth.oldest_s) == (0, 0.0, 0.0)


def test_lag_is_the_logs_time_and_age_goes_on(house: House) -> None:
    house.put("paid")
    publish(house, 1)
    house.clock.advance(5_000)
    publish(house, 2)
    house.clock.advance(7_000)
    depth = reading(house).rules["default", "paid"]
    assert (depth.lag, depth.behind_s, depth.oldest_s) == (2, 5.0, 12.0)


def test_a_rule_in_the_past_lags_by_what_it_has_yet_to_read(house: House) -> None:
    publish(house, 1, 2, 3)
    house.put("late", start="earliest")
    assert reading(house).rules["default", "late"].lag >= 3


def test_what_is_folded_tells_the_sum_and_the_worst_age(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METRICS_RULES_MAX", 0)
    house.put("first")
    publish(house, 1)
    house.clock.advance(9_000)
    house.put("second")
    publish(house, 2)
    depth = reading(house).rules["default", OTHER]
    assert (depth.lag, depth.oldest_s) == (3, 9.0)


def test_a_reading_past_its_time_leaves_ages_out_and_says_how_many(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.put("first")
    house.put("second")
    publish(house, 1)
    monkeypatch.setattr(limits, "METRICS_READ_S_MAX", -1.0)
    late = reading(house)
    depth = late.rules["default", "first"]
    assert (late.unread, depth.lag, depth.oldest_s, depth.behind_s) == (2, 1, None, None)


def late_after_one_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for the bus's bytes, for one rule, and then it is late."""
    asked = iter([False, False, True])
    monkeypatch.setattr(Reading, "_is_late", property(lambda _: next(asked)))


def test_what_a_reading_did_not_reach_is_first_in_the_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second", "third"):
        house.put(name)
    publish(house, 1)
    seen, turn = [], 0
    for _ in range(4):
        read = Reading(house.engine, house.writer.states, meter_of(house), house.now, turn)
        late_after_one_rule(monkeypatch)
        read.read()
        assert read.unread == 2
        seen += [rule for (_, rule), depth in read.rules.items() if depth.oldest_s is not None]
        turn = read.turn
    assert seen == ["first", "second", "third", "first"]


def test_rules_with_labels_of_their_own_are_read_before_all_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METRICS_RULES_MAX", 1)
    house.put("own")
    for name in ("other", "another"):
        house.put(name)
    publish(house, 1)
    late_after_one_rule(monkeypatch)
    read = reading(house)
    assert (read.rules["default", "own"].oldest_s, read.rules["default", OTHER].oldest_s) == (0.0, None)


def test_a_disk_that_cannot_be_read_costs_the_ages_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.put("paid")
    publish(house, 1)

    def refuse(*_: Any) -> int:
        raise StorageFailed("input/output error")

    monkeypatch.setattr(type(house.engine.view), "oldest", refuse)
    read = reading(house)
    assert (read.unread, read.rules["default", "paid"].lag) == (1, 1)


# Histograms


def test_a_duration_counts_in_the_first_bound_that_it_stays_within() -> None:
    histogram = Histogram()
    for duration_s in (BOUNDS_S[0], BOUNDS_S[0] * 1.01, BOUNDS_S[-1] + 1):
        histogram.observe(duration_s)
    assert (histogram.counts[0], histogram.counts[1], histogram.counts[-1]) == (1, 1, 1)


def test_each_step_and_each_commit_is_timed(house: House) -> None:
    meter = meter_of(house)
    before = sum(meter.commits.counts), sum(meter.admits.counts)
    publish(house, 1)
    assert (sum(meter.commits.counts), sum(meter.admits.counts)) == (before[0] + 1, before[1] + 1)


def test_no_name_can_be_the_one_of_all_others() -> None:
    for what in ("bus", "rule"):
        with pytest.raises(InvalidName):
            rules.check_name(OTHER, what=what)
    assert RuleMeter("b", "r").labels == ("b", "r")
