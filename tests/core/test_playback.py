"""The log over again for a detector or an expectation: what it would have told is what the bus told, and what differs between two is what either tells alone."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventyard.core import event as events
from eventyard.core import limits
from eventyard.core.commands import Publish, PutEmitter, RunTimers
from eventyard.core.emitter import EmitterRecord
from eventyard.core.playback import Playback
from eventyard.core.rehearsal import Rehearsal
from eventyard.core.spread import Spread
from tests.support.builders import Stepped, put_detector, put_expectation

HIGH = {"data": {"n": [{"numeric": [">=", 2]}]}}
LOW = {"data": {"n": [{"numeric": ["<", 1]}]}}
EMIT = {"rise": {"type": "up"}, "fall": {"type": "down"}}


class See(msgspec.Struct, frozen=True):
    key: str
    n: int
    kind: str = "a"


steps = st.lists(
    st.one_of(
        st.builds(See, st.sampled_from("kl"), st.integers(0, 2), st.sampled_from("aab")),
        st.sampled_from([0.3, 1.0, 1.5, 30.0]),
    ),
    max_size=30,
)
documents = st.fixed_dictionaries(
    {
        "on": st.sampled_from([{"type": ["a"]}, {"type": ["a", "b"]}]),
        "when": st.sampled_from([HIGH, {"data": {"n": [{"numeric": [">=", 1]}]}}]),
        "until": st.sampled_from([None, LOW]),
        "emit": st.sampled_from([EMIT, {"rise": {"type": "up"}}, {"rise": {"type": "high"}, "fall": {"type": "down"}}]),
        "for_s": st.sampled_from([0, 0, 1, 2]),
        "keep_for_s": st.sampled_from([0, 1]),
        "first": st.sampled_from(["arm", "fire", "suppress"]),
        "forget_after_s": st.sampled_from([None, 20]),
    }
)

expectations = st.fixed_dictionaries(
    {
        "after": st.sampled_from([{"type": ["a"]}, {"type": ["a"], "data": {"n": [2]}}]),
        "expect": st.sampled_from([{"type": ["b"]}, {"type": ["b", "a"]}, {"type": ["a", "b"], "data": {"n": [0]}}]),
        "within_s": st.sampled_from([0.5, 1, 2]),
        "late_for_s": st.sampled_from([None, 0, 5]),
        "key": st.just("subject"),
        "emit": st.sampled_from(
            [{"missed": {"type": "no"}}, {"missed": {"type": "no"}, "met": {"type": "yes"}, "late": {"type": "late"}}]
        ),
    }
)


def played(bus: Stepped, *said: dict[str, Any], ends_after_s: float = 0) -> Playback:
    """The whole log, for the first document; the second, where there is one, is in force."""
    playback = Playback(*(rehearsal(bus, **one) for one in said))
    for event in bus.engine.view.events(1, 1, bus.state.head, 100_000):
        assert playback.pass_to(event.accepted_ms, lambda: False)
        playback.hear(event)
    assert playback.pass_to(bus.now().time_ms + round(ends_after_s * 1000), lambda: False)
    playback.end()
    return playback


def rehearsal(bus: Stepped, **said: Any) -> Rehearsal:
    command = put(said)
    return Rehearsal(bus.state.record, EmitterRecord(1, command.kind, "d", 1, command.document, 0, 0), hops_max=9)


def put(said: dict[str, Any]) -> PutEmitter:
    return put_expectation("d", **said) if "within_s" in said else put_detector("d", **said)


def live(bus: Stepped, happens: list[Any], **said: Any) -> None:
    """It is there from the start, and the keeper comes often."""
    assert bus.do(put(said)).is_created
    for number, step in enumerate(happens):
        if isinstance(step, See):
            attributes = {"id": f"e{number}", "source": "/s", "type": step.kind, "subject": step.key}
            bus.do(Publish((events.make(attributes, {"n": step.n}),)))
        else:
            for _ in range(round(step * 10)):
                bus.clock.advance(100)
                bus.do(RunTimers(100))


def edges(bodies: Iterator[bytes]) -> list[Any]:
    """By what is said, whenever it is written."""
    told = [json.loads(body) for body in bodies]
    return sorted((one["time"], one["type"], one["subject"], json.dumps(one["data"])) for one in told)


def of_log(bus: Stepped) -> list[Any]:
    log = bus.engine.view.events(1, 1, bus.state.head, 100_000)
    told = (b"/detectors/" in event.json or b"/expectations/" in event.json for event in log)
    return edges(event.json for event, is_told in zip(log, told, strict=True) if is_told and b"io.eventyard" not in event.json)


@given(steps, st.one_of(documents, expectations))
@settings(max_examples=120, deadline=None)
def test_what_would_have_been_told_is_what_the_bus_told(happens: list[Any], said: dict[str, Any]) -> None:
    bus = Stepped()
    live(bus, happens, **said)
    playback = played(bus, said)
    assert edges(one.event for one in playback.told.some(100)) == of_log(bus)
    counts = bus.state.emitters.counts(1)
    for name in (
        "rises",
        "falls",
        "cancelled",
        "observations",
        "late",
        "opened",
        "met",
        "missed",
        "repeated",
        "unexpected",
        "open",
    ):
        assert playback.tried.counts.get(name, 0) == counts.get(name, 0), name


@given(steps, st.one_of(st.tuples(documents, documents), st.tuples(expectations, expectations)))
@settings(max_examples=120, deadline=None)
def test_what_differs_is_what_either_tells_alone(happens: list[Any], pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    bus = Stepped()
    said, before = pair
    live(bus, happens, on={"type": ["nothing"]})
    tried, in_force = (
        {one.name: one.at_ms for one in played(bus, document, ends_after_s=1).told.some(100)} for document in (said, before)
    )
    both = played(bus, said, before, ends_after_s=1)
    assert {one.name for one in both.added.some(100)} == tried.keys() - in_force.keys()
    assert {one.name for one in both.removed.some(100)} == in_force.keys() - tried.keys()
    assert both.moved == sum(tried[name] != in_force[name] for name in tried.keys() & in_force.keys())
    sums = [
        Counter({name: getattr(figures, name) for name in ("told", "added", "removed")}) for figures in both.by_key.values()
    ]
    assert (both.all.told, both.all.added, both.all.removed) == tuple(
        sum(counts[name] for counts in sums) for name in ("told", "added", "removed")
    )


@pytest.fixture
def bus() -> Stepped:
    return Stepped()


def see(bus: Stepped, *seen: See) -> None:
    live(bus, list(seen), on={"type": ["nothing"]})


def test_past_its_bound_on_keys_new_ones_are_counted_and_passed_over(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REHEARSED_KEYS_MAX", 1)
    see(bus, See("k", 0), See("l", 0), See("k", 2), See("l", 2))
    counts = played(bus, {"on": {"type": ["a"]}, "when": HIGH}).tried.counts
    assert (counts["keys"], counts["rises"], counts["over_max_keys"]) == (1, 1, 2)


def test_time_passes_key_by_key_where_it_is_over_in_between(bus: Stepped) -> None:
    see(bus, See("k", 0), See("l", 0), See("k", 2), See("l", 2))
    playback = Playback(rehearsal(bus, on={"type": ["a"]}, when=HIGH, for_s=1, emit=EMIT))
    log = bus.engine.view.events(1, 1, bus.state.head, 100)
    for event in log:
        assert playback.pass_to(event.accepted_ms, lambda: True)
        playback.hear(event)
    ends_ms = log[-1].accepted_ms + 5_000
    assert not playback.pass_to(ends_ms, lambda: True)
    assert playback.all.told == 1
    assert not playback.pass_to(ends_ms, lambda: True)
    assert playback.pass_to(ends_ms, lambda: True)
    assert playback.types == {"up": 2}


def test_timers_that_are_out_of_date_take_no_memory(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REHEARSED_DUE_SPARE", 10)
    some = []
    for _ in range(40):
        some += [0.1, See("k", 2), See("k", 0)]
    live(bus, some, on={"type": ["nothing"]})
    playback = played(bus, {"on": {"type": ["a"]}, "when": HIGH, "for_s": 3_600, "forget_after_s": 7_200})
    assert len(playback.tried.emitters._due) <= 13


@given(st.integers(1, 5), st.integers(0, 200))
def test_some_of_many_are_spread_over_all_of_them(count: int, many: int) -> None:
    some = Spread[int](count)
    for number in range(many):
        some.add(number)
    told = some.some(count)
    assert told == sorted(set(told))
    assert len(told) == min(count, many)
    if many >= 4 * count and count > 1:
        assert told[0] < many / 2 <= told[-1]
