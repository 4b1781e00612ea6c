"""What one rule costs among very many: nothing walks or copies all of them for the sake of one."""

from typing import Any

import pytest

from eventyard import history
from eventyard.bus.figures import Reading
from eventyard.core import limits
from eventyard.core.commands import DeleteRule, Publish
from eventyard.core.errors import InvalidRule
from eventyard.metering import OTHER
from tests.support.builders import Stepped, an_event, put_rule
from tests.support.houses import House


class Counted(dict[Any, Any]):
    """A dictionary that counts how often all of it was gone through."""

    walks = 0

    def __iter__(self) -> Any:
        self.walks += 1
        return super().__iter__()

    def keys(self) -> Any:
        self.walks += 1
        return super().keys()

    def values(self) -> Any:
        self.walks += 1
        return super().values()

    def items(self) -> Any:
        self.walks += 1
        return super().items()

    def copy(self) -> Any:
        self.walks += 1
        return super().copy()


def counted(house: Stepped) -> list[Counted]:
    """Everything that the bus keeps by rule, rules themselves first, from here on counted."""
    found = []
    for name in ("by_uid", "by_name", "queues"):
        kept = Counted(getattr(house.state, name))
        setattr(house.state, name, kept)
        found.append(kept)
    return found


def test_the_pattern_that_the_door_has_read_is_the_one_in_the_index() -> None:
    """Reading a pattern costs more than anything else of an edit; it was read three times."""
    bus = Stepped()
    created = put_rule("one")
    uid = bus.do(created).record.uid
    assert dict(bus.state.live.items())[uid] is created.pattern
    changed = put_rule("one", pattern={"type": ["order.sent"]})
    bus.do(changed)
    assert dict(bus.state.live.items())[uid] is changed.pattern


def test_edits_steps_and_looks_around_go_through_no_list_of_all_rules() -> None:
    house = House()
    uids = [house.put(f"rule-{number}").uid for number in range(5)]
    kept = counted(house)
    house.do(put_rule("rule-3", pattern={"type": ["order.sent"]}))
    house.do(put_rule("new", start="earliest"))
    house.do(Publish((an_event(1), an_event(2))))
    house.deliver_all(uids[0])
    house.do(DeleteRule("rule-1"))
    house.do(put_rule("rule-1", start="resume"))
    house.clock.advance(3_600_000)
    house.rest()
    Reading(house.engine, house.writer.states, house.writer.meter, house.now).read()
    assert [one.walks for one in kept] == [0, 0, 0]


def test_a_look_at_backlogs_is_cut_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or with many rules nobody would take leases back meanwhile."""
    monkeypatch.setattr(limits, "RULES_LOOKED_AT_PER_STEP", 2)
    house = House()
    for number in range(5):
        house.put(f"rule-{number}", delivery={"backlog": {"max_age_s": 1}})
    house.do(Publish((an_event(1),)))
    house.retention.step()
    house.clock.advance(3_600_000)
    left = []
    for _ in range(4):
        house.clock.advance(1_000)
        house.rest()
        left.append(len(house.state.pending))
    assert left == [3, 1, 0, 0]


def test_only_rules_that_owe_something_are_looked_at_for_the_others_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METRICS_RULES_MAX", 0)
    monkeypatch.setattr(limits, "METRICS_OTHERS_READ_MAX", 1)
    house = House()
    for number in range(3):
        house.put(f"rule-{number}", pattern={"type": ["order.paid" if number else "order.sent"]})
    house.do(Publish((an_event(1), an_event(2))))
    reading = Reading(house.engine, house.writer.states, house.writer.meter, house.now)
    reading.read()
    assert (reading.rules["default", OTHER].lag, reading.unread) == (4, 1)


def test_a_bus_that_has_all_the_rules_that_it_may_takes_one_when_one_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RULES_PER_BUS_MAX", 2)
    house = House()
    for name in ("one", "two"):
        house.put(name)
    refused = house.do(put_rule("three"))
    assert isinstance(refused, InvalidRule)
    assert refused.found == "found 2 rules on this bus"
    house.put("two", description="changed")
    house.do(DeleteRule("one"))
    house.put("three")
    assert house.state.names == ["three", "two"]


def test_where_a_rule_stands_that_owes_nothing_is_not_asked_of_the_store() -> None:
    house = House()
    record = house.put("paid")
    assert history.status(NEVER_ASKED, house.state, record, house.now()).oldest_position is None


NEVER_ASKED: Any = None


def test_a_step_reads_a_bounded_number_of_queues_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "QUEUES_PER_STEP_MAX", 2)
    house = House()
    uids = [house.put(f"rule-{number}").uid for number in range(5)]
    house.do(Publish((an_event(1),)))
    for uid in uids:
        house.receiver.want(uid, 1)
    given = []
    while house.writer.step():
        given.append([lease.delivery.rule for lease in house.take()])
    assert given == [uids[0:2], uids[2:4], uids[4:]]
