"""Rules whose target is another bus here: what is published there, what is settled here, and where circles end."""

import json
import random
from typing import Any

import pytest

from eventyard.core import event as events
from eventyard.core import limits
from eventyard.core.clock import BusTime
from eventyard.core.commands import CreateBus, DeleteBus, Publish, Release
from eventyard.core.delivery import State, decode_note
from eventyard.core.errors import InvalidRule, StorageFull
from eventyard.core.event import Event
from eventyard.core.system import SYSTEM_BUS
from eventyard.forwarding import Forwarder
from eventyard.writer import Writer
from tests.stages.test_writer import FlakyEngine
from tests.support.builders import ManualClock, ManualReceiver, an_event, put_rule

HOPS = limits.HOPS_MAX_DEFAULT


class Yard:
    """A writer with a forwarder, buses `default`, `audit` and `ops`, stepped by hand."""

    def __init__(self) -> None:
        self.engine, self.clock = FlakyEngine(), ManualClock()
        self.forwarder = Forwarder(self._submit, self._now, random.Random(1))
        self.writer = Writer(self.engine, self.clock, self.forwarder, ManualReceiver())
        self.writer.open(lambda: "life0")
        for name in ("audit", "ops"):
            self.writer.run_now(SYSTEM_BUS, CreateBus(name, f"life-{name}"))

    def _now(self) -> BusTime:
        return self.writer.now()

    def _submit(self, bus: str, command: Any, done: Any, *, size: int = 0) -> None:
        self.writer.submit(bus, command, done, size=size)

    def do(self, bus: str, *commands: Any) -> list[Any]:
        answers: list[Any] = []
        for command in commands:
            self.writer.submit(bus, command, answers.append)
        self.quiet()
        return answers

    def quiet(self) -> None:
        while self.writer.step():
            pass

    def log(self, bus: str) -> list[dict[str, Any]]:
        number = self.writer.numbers[bus]
        stored = self.engine.view.events(number, 1, self.writer.states[number].head, 1_000)
        return [json.loads(event.json) for event in stored]

    def ids(self, bus: str) -> list[str]:
        return [event["id"] for event in self.log(bus) if not event["type"].startswith("io.eventyard.")]

    def kinds(self, bus: str) -> list[str]:
        return [event["type"] for event in self.log(bus) if event["type"].startswith("io.eventyard.")]

    def counts(self, bus: str, rule: str) -> list[int]:
        state = self.writer.states[self.writer.numbers[bus]]
        counts: list[int] = state.queues[state.by_name[rule].uid].counts
        return counts

    def note(self, bus: str, rule: str, position: int) -> Any:
        number = self.writer.numbers[bus]
        row = self.engine.view.delivery(number, (self.writer.states[number].by_name[rule].uid, 0, position))
        assert row is not None
        return decode_note(row.note)


@pytest.fixture
def yard() -> Yard:
    return Yard()


def to(bus: str, name: str = "copy", **changes: Any) -> Any:
    return put_rule(name, target={"bus": {"name": bus}}, **changes)


def test_an_event_is_published_on_the_other_bus_as_it_is(yard: Yard) -> None:
    event = events.make({"id": "e1", "source": "/shop", "type": "order.paid", "subject": "o"}, {"n": 1})
    yard.do("default", to("audit"), Publish((event,)))

    [copy] = yard.log("audit")
    assert copy == json.loads(event.json) | {"eventyardhops": 1}
    assert yard.counts("default", "copy")[State.DELIVERED] == 1
    assert yard.forwarder.under_way == 0


def test_its_digest_is_the_same_there(yard: Yard) -> None:
    yard.do("default", to("audit"), Publish((an_event(1),)))

    [answer] = yard.do("audit", Publish((an_event(1),)))
    assert answer[0].is_duplicate


def test_what_is_there_already_counts_as_delivered(yard: Yard) -> None:
    yard.do("audit", Publish((an_event(1),)))
    yard.do("default", to("audit"), Publish((an_event(1),)))

    assert yard.ids("audit") == ["e1"]
    assert yard.counts("default", "copy")[State.DELIVERED] == 1


def test_a_circle_of_buses_ends_where_the_event_has_been(yard: Yard) -> None:
    yard.do("audit", to("ops"))
    yard.do("ops", to("default"))
    yard.do("default", to("audit"), Publish((an_event(1),)))

    assert [yard.ids(bus) for bus in ("default", "audit", "ops")] == [["e1"]] * 3
    assert [yard.log(bus)[-1].get("eventyardhops", 0) for bus in ("default", "audit", "ops")] == [0, 1, 2]
    assert [yard.counts(bus, "copy")[State.DELIVERED] for bus in ("default", "audit", "ops")] == [1, 1, 1]


def far(hops: int) -> Event:
    return events.make({"id": "e1", "source": "/shop", "type": "order.paid", "eventyardhops": hops})


def test_past_the_limit_of_hops_nothing_is_published_and_the_log_says_so(yard: Yard) -> None:
    yard.do("default", to("audit"), Publish((far(HOPS),)))

    assert yard.ids("audit") == []
    told = yard.log("default")[-1]
    assert (told["type"], told["data"]["made"], told["data"]["hops"]) == ("io.eventyard.loop.stopped", "bus", HOPS + 1)
    assert (told["causationid"], told["subject"]) == ("e1", "copy")
    assert yard.counts("default", "copy")[State.DELIVERED] == 1


def test_an_event_that_differs_from_the_one_of_its_id_there_is_a_dead_letter_with_its_reason(yard: Yard) -> None:
    yard.do("audit", Publish((an_event(1, data="other"),)))
    yard.do("default", to("audit"), Publish((an_event(1), an_event(2))))

    assert yard.counts("default", "copy")[State.DEAD] == 1
    note = yard.note("default", "copy", 2)
    assert (note.reason, note.status) == ("answer", 409)
    assert "found other content" in note.answer
    assert yard.ids("audit") == ["e1", "e2"]


def test_a_bus_that_is_gone_is_waited_for(yard: Yard) -> None:
    yard.do("default", to("later", delivery={"max_attempts": 3}), Publish((an_event(1),)))

    assert yard.counts("default", "copy")[State.RETRYING] == 1
    assert 'found no bus "later"' in yard.note("default", "copy", 2).answer
    yard.writer.run_now(SYSTEM_BUS, CreateBus("later", "life-later"))
    yard.clock.advance(10_000)
    yard.quiet()
    assert yard.ids("later") == ["e1"]
    assert yard.counts("default", "copy")[State.DELIVERED] == 1


def test_what_its_rule_says_of_a_404_holds_for_a_bus_that_is_gone(yard: Yard) -> None:
    yard.do("default", to("gone", delivery={"answers": {"404": "dead"}}), Publish((an_event(1),)))

    assert yard.counts("default", "copy")[State.DEAD] == 1


def test_a_bus_deleted_meanwhile_takes_no_more(yard: Yard) -> None:
    yard.do("default", to("audit"))
    yard.writer.run_now(SYSTEM_BUS, DeleteBus("audit"))
    yard.do("default", Publish((an_event(1),)))

    assert yard.counts("default", "copy")[State.RETRYING] == 1


def test_after_a_crash_before_its_verdict_was_written_nothing_is_there_twice(yard: Yard) -> None:
    yard.do("default", to("audit"))
    lost = list(yard.forwarder.collect())
    assert lost == []
    yard.writer.submit("default", Publish((an_event(1),)), lambda _: None)
    while not yard.ids("audit"):
        yard.writer.step()
    [(_, _, _)] = list(yard.forwarder.collect())  # The verdict, which dies with its process.
    state = yard.writer.states[1]
    assert yard.counts("default", "copy")[State.LEASED] == 1

    again = Forwarder(yard._submit, yard.writer.now, random.Random(1))
    again.follow(state.record, state.by_uid.values())
    yard.writer._receivers = (again, *yard.writer._receivers[1:])
    yard.do("default", Release(tuple(state.leased), is_push_kept=True))

    assert yard.ids("audit") == ["e1"]
    assert yard.counts("default", "copy")[State.DELIVERED] == 1


def test_a_commit_that_fails_is_made_up_for(yard: Yard) -> None:
    yard.do("default", to("audit"), Publish((an_event(1),)))
    yard.engine.error = StorageFull("found no room")
    yard.do("default", Publish((an_event(2),)))
    yard.engine.error = None
    yard.do("default", Publish((an_event(3),)))
    yard.clock.advance(10_000)
    yard.quiet()

    assert yard.ids("audit") == ["e1", "e3"]
    assert yard.counts("default", "copy")[State.DELIVERED] == 2


def test_events_of_the_bus_itself_may_be_brought_to_another_one(yard: Yard) -> None:
    yard.do("default", to("ops", "alarms", pattern={"type": [{"prefix": "io.eventyard."}]}), put_rule("other"))

    assert [event["source"] for event in yard.log("ops")] == ["/eventyard/buses/default"]


def test_many_go_together_and_their_order_stays(yard: Yard) -> None:
    many = tuple(an_event(number, data={"key": number % 3}) for number in range(100))
    yard.do("default", to("audit", delivery={"order": "key", "key": "data.key"}), Publish(many))

    there = [event["data"]["key"] for event in yard.log("audit")]
    by_key = [[e["id"] for e in yard.log("audit") if e["data"]["key"] == key] for key in range(3)]
    assert len(there) == 100
    assert by_key == [[f"e{number}" for number in range(key, 100, 3)] for key in range(3)]


def test_a_rule_that_was_paused_or_drained_brings_nothing(yard: Yard) -> None:
    yard.forwarder.drain()
    yard.do("default", to("audit"), Publish((an_event(1),)))

    assert yard.ids("audit") == []
    assert yard.counts("default", "copy")[State.WAITING] == 1


@pytest.mark.parametrize(
    "target", [{}, {"bus": {}}, {"bus": {"name": ""}}, {"bus": {"name": "a b"}}, {"bus": {"name": "a"}, "queue": {}}]
)
def test_a_target_that_is_none_is_refused(target: Any) -> None:
    with pytest.raises(InvalidRule):
        put_rule("copy", target=target)
