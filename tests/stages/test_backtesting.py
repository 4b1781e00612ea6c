"""Patterns tried on the log: what a look says, where it ends, and what it cannot judge. On both engines."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventyard import backtesting
from eventyard.backtesting import Gap, Look, Patterns, Query, Trial
from eventyard.bus import Eventyard
from eventyard.bus.backtesting import Tried
from eventyard.core import limits, loss
from eventyard.core.clock import DAY_MS
from eventyard.core.commands import Publish, Retain
from eventyard.core.errors import InvalidPattern, NotFound, Overloaded, PatternTooCostly, Stopping, VersionConflict
from eventyard.core.pattern import language
from eventyard.core.pattern.evaluator import evaluate
from eventyard.core.spread import spread
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.sqlite import SqliteEngine
from tests.support.builders import Stepped, a_rule_document, an_event, document_of
from tests.support.buses import running_bus

LIMIT_S = 20.0


def text(pattern: Any) -> bytes:
    return json.dumps(pattern).encode()


def at_least(total: int) -> bytes:
    return text({"data": {"n": [{"numeric": [">=", total]}]}})


def one_of(*numbers: int) -> bytes:
    return text({"data": {"n": list(numbers)}})


PAID = text({"type": ["order.paid"]})


@pytest.fixture(params=["memory", "sqlite"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stepped]:
    stepped = Stepped(MemoryEngine() if request.param == "memory" else SqliteEngine(str(tmp_path / "bus.db")))
    yield stepped
    stepped.engine.close()


@pytest.fixture
def holed() -> Stepped:
    """On an engine that can lose events."""
    return Stepped(MemoryEngine())


def lose(bus: Stepped, *positions: int) -> None:
    """As damage or retention does: the rows are not there any more."""
    for position in positions:
        del bus.engine._buses[1].events[position]  # type: ignore[attr-defined]


def publish(bus: Stepped, *numbers: int, **made: Any) -> None:
    """Each at the position that is its number, on an empty bus."""
    bus.do(Publish(tuple(an_event(number, **made) for number in numbers)))


def standing() -> int:
    return 0


def look(bus: Stepped, *trials: Trial | bytes, clock_ms: Callable[[], int] = standing, **where: Any) -> Look:
    patterns = Patterns([Trial(trial) if isinstance(trial, bytes) else trial for trial in trials])
    with bus.engine.reader() as view:
        return backtesting.look(view, bus.state, patterns, Query(**where), clock_ms)


def looks(bus: Stepped, *trials: Trial | bytes, **where: Any) -> list[Look]:
    """To the end of the range."""
    found = [look(bus, *trials, **where)]
    while found[-1].next_after is not None:
        found.append(look(bus, *trials, **where | {"after": found[-1].next_after}))
    return found


# What matches


def test_every_event_that_matches_is_found_with_how_many_were_looked_at(bus: Stepped) -> None:
    publish(bus, 1, 2, 3, 4)
    found = look(bus, at_least(3))
    assert (found.first, found.last, found.next_after, found.events) == (1, 4, None, 4)
    assert found.outcomes[0].matched == [3, 4]


def test_what_changes_against_the_pattern_in_force_is_told(bus: Stepped) -> None:
    publish(bus, *range(1, 7))
    [outcome] = look(bus, Trial(one_of(1, 2, 5), one_of(2, 3, 4, 5))).outcomes
    assert (outcome.matched, outcome.added, outcome.removed) == ([1, 2, 5], [1], [3, 4])


def test_without_a_pattern_in_force_nothing_is_added_or_removed(bus: Stepped) -> None:
    publish(bus, 1, 2)
    [outcome] = look(bus, PAID).outcomes
    assert (outcome.matched, outcome.added, outcome.removed) == ([1, 2], [], [])


def test_a_pattern_that_is_in_force_as_it_is_changes_nothing(bus: Stepped) -> None:
    publish(bus, 1, 2)
    [outcome] = look(bus, Trial(PAID, PAID)).outcomes
    assert (outcome.matched, outcome.added, outcome.removed) == ([1, 2], [], [])


def test_several_patterns_are_told_apart_in_their_order(bus: Stepped) -> None:
    publish(bus, *range(1, 7))
    found = look(bus, Trial(one_of(1), one_of(2)), one_of(3), Trial(one_of(4, 5), one_of(5)), one_of(9)).outcomes
    assert [(one.matched, one.added, one.removed) for one in found] == [
        ([1], [1], [2]),
        ([3], [], []),
        ([4, 5], [4], []),
        ([], [], []),
    ]


def test_each_verdict_is_the_evaluators(bus: Stepped) -> None:
    events = [an_event(n, kind=f"k{n % 3}", data={"a": [{"x": n % 4, "y": n % 5}, {"x": n % 7}]}) for n in range(1, 60)]
    bus.do(Publish(tuple(events)))
    patterns = [
        {"type": ["k1"]},
        {"type": [{"anything-but": "k1"}], "data": {"a": {"x": [2], "y": [3]}}},
        {"$or": [{"type": ["k0"]}, {"data": {"a": {"x": [{"numeric": [">", 5]}]}}}]},
        {"data": {"a": {"z": [{"exists": False}]}}},
    ]
    found = look(bus, *map(text, patterns))
    for pattern, outcome in zip(patterns, found.outcomes, strict=True):
        wanted = language.parse(text(pattern))
        assert outcome.matched == [n for n, event in enumerate(events, 1) if evaluate(wanted, document_of(event))]


def test_what_the_bus_says_of_itself_is_matched_too(bus: Stepped) -> None:
    bus.put("rewards")
    assert look(bus, text({"type": [{"prefix": "io.eventyard."}]})).outcomes[0].matched == [1]


# By day


def test_days_are_counted_apart(bus: Stepped) -> None:
    publish(bus, 1, 2, 3)
    bus.clock.advance(2 * DAY_MS)
    publish(bus, 4, 5)
    found = look(bus, Trial(one_of(2, 4, 5), one_of(1, 4)))
    today = found.days[0].number
    assert [(day.number, day.events) for day in found.days] == [(today, 3), (today + 2, 2)]
    [outcome] = found.outcomes
    assert [found.by_day(kind) for kind in (outcome.matched, outcome.added, outcome.removed)] == [[1, 2], [1, 1], [1, 0]]
    assert found.begins_ms is not None
    assert found.ends_ms == found.begins_ms + 2 * DAY_MS


# Where it ends


def test_a_look_ends_and_the_next_goes_on_where_it_ended(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKTEST_EVENTS_MAX", 3)
    publish(bus, *range(1, 9))
    found = looks(bus, one_of(1, 3, 4, 8))
    assert [(one.first, one.events, one.next_after) for one in found] == [(1, 3, 3), (4, 3, 6), (7, 2, None)]
    assert [one.outcomes[0].matched for one in found] == [[1, 3], [4], [8]]


def test_a_look_that_ends_with_the_last_event_is_the_last(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKTEST_EVENTS_MAX", 2)
    publish(bus, 1, 2)
    assert look(bus, PAID).next_after is None


def test_a_look_ends_when_its_time_is_over_but_judges_one_event_at_least(bus: Stepped) -> None:
    publish(bus, 1, 2, 3)
    times = iter([0, limits.BACKTEST_MS_MAX])
    assert look(bus, PAID, clock_ms=lambda: next(times)).next_after == 1
    times = iter([0, limits.BACKTEST_MS_MAX - 1, limits.BACKTEST_MS_MAX])
    assert look(bus, PAID, clock_ms=lambda: next(times)).next_after == 2


def test_a_look_ends_after_so_many_days(bus: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKTEST_DAYS_MAX", 2)
    monkeypatch.setattr(limits, "SCAN_EVENTS_AT_ONCE", 1)
    for number in range(1, 6):
        publish(bus, number)
        bus.clock.advance(DAY_MS)
    assert [len(one.days) for one in looks(bus, PAID)] == [2, 2, 1]


def test_the_end_can_be_held_while_the_log_grows(bus: Stepped) -> None:
    publish(bus, 1, 2)
    last = look(bus, PAID).last
    publish(bus, 3)
    assert look(bus, PAID, last=last).outcomes[0].matched == [1, 2]
    assert look(bus, PAID, last=99).last == 3


def test_times_choose_the_stretch(bus: Stepped) -> None:
    times = []
    for number in range(1, 5):
        times.append(bus.now().time_ms)
        publish(bus, number)
        bus.clock.advance(1_000)
    found = look(bus, PAID, from_ms=times[1], until_ms=times[3])
    assert (found.first, found.last, found.outcomes[0].matched, found.gaps) == (2, 3, [2, 3], [])
    assert look(bus, PAID, from_ms=bus.now().time_ms).events == 0
    assert look(bus, PAID, until_ms=0).events == 0


def test_an_empty_log_has_nothing_to_say(bus: Stepped) -> None:
    found = look(bus, Trial(PAID, one_of(1)))
    assert (found.events, found.next_after, found.begins_ms, found.days, found.gaps) == (0, None, None, [], [])
    assert found.outcomes[0].matched == []


# What cannot be judged


def test_what_retention_removed_is_told(bus: Stepped) -> None:
    publish(bus, *range(1, 11))
    bus.do(Retain(5))
    found = look(bus, PAID)
    assert (found.gaps, found.first, found.outcomes[0].matched) == ([Gap(1, 4, "retention")], 5, [5, 6, 7, 8, 9, 10])
    assert look(bus, PAID, after=2, last=3).gaps == [Gap(3, 3, "retention")]
    assert look(bus, PAID, after=6).gaps == []


def test_of_what_was_removed_nobody_knows_whether_it_was_meant(bus: Stepped) -> None:
    """By a time before the first event that is kept: what came before that may have been accepted after it."""
    publish(bus, *range(1, 11))
    bus.clock.advance(1_000)
    between = bus.now().time_ms
    publish(bus, 11)
    bus.do(Retain(5))
    assert look(bus, PAID, from_ms=1).gaps == [Gap(1, 4, "retention")]
    assert look(bus, PAID, from_ms=between).gaps == []


def test_what_retention_takes_meanwhile_is_not_called_damage(holed: Stepped) -> None:
    publish(holed, *range(1, 11))
    lose(holed, 1, 2, 4)
    holed.engine._buses[1].floor = 6  # type: ignore[attr-defined]  # Committed, and not yet taken over by the writer.
    assert {gap.reason for gap in look(holed, PAID).gaps} == {"retention"}


def test_holes_are_told_as_what_they_are(holed: Stepped) -> None:
    publish(holed, *range(1, 13))
    lose(holed, 1, 4, 5, 6, 7, 12)
    holed.state.gaps = (loss.Gap(5, 6, "a repair", 0),)
    found = look(holed, PAID)
    assert found.gaps == [
        Gap(1, 1, "damaged"),
        Gap(4, 4, "damaged"),
        Gap(5, 6, "lost"),
        Gap(7, 7, "damaged"),
        Gap(12, 12, "damaged"),
    ]
    assert (found.events, found.outcomes[0].matched, found.next_after) == (6, [2, 3, 8, 9, 10, 11], None)


def test_a_log_that_ends_in_what_a_repair_gave_up_is_told_to_its_end(holed: Stepped) -> None:
    publish(holed, 1, 2, 3)
    lose(holed, 2, 3)
    holed.state.gaps = (loss.Gap(2, 3, "a repair", 0),)
    assert look(holed, PAID).gaps == [Gap(2, 3, "lost")]


def test_a_look_ends_after_so_many_gaps_and_the_next_tells_the_others(holed: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKTEST_GAPS_MAX", 2)
    monkeypatch.setattr(limits, "SCAN_EVENTS_AT_ONCE", 1)
    publish(holed, *range(1, 10))
    lose(holed, 2, 4, 6, 9)
    found = looks(holed, PAID)
    assert [[gap.first for gap in one.gaps] for one in found] == [[2, 4], [6, 9]]
    assert [position for one in found for position in one.outcomes[0].matched] == [1, 3, 5, 7, 8]


def costly() -> tuple[bytes, Any]:
    """Twelve arrays, a dotted key in each element: thirteen fields may stand in any of them, and one stands in none."""
    steps, names = ["a"] * 12, [f"field{number}" for number in range(13)]
    pattern = {"data": {".".join([*steps, name]): [1] for name in names}}
    data = {".".join(steps[: at + 1]): [{".".join([*steps[at + 1 :], name]): 1} for name in names] for at in range(12)}
    return text(pattern), data


def test_an_event_that_costs_one_pattern_too_much_counts_as_failed_and_the_others_judge_it(
    bus: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "eventyard.core.pattern.arrays.ARRAY_CHOICES_MAX", 200
    )  # It is tried again and again until it is too much.
    pattern, data = costly()
    for number, of in enumerate(({}, data, {}), 1):
        publish(bus, number, data=of)
    found = look(bus, pattern, PAID, Trial(PAID, pattern), Trial(pattern, PAID))
    assert [(one.matched, one.added, one.removed, one.failed) for one in found.outcomes] == [
        ([], [], [], [2]),
        ([1, 2, 3], [], [], []),
        ([1, 2, 3], [1, 2, 3], [], []),
        ([], [], [1, 2, 3], [2]),
    ]


def test_what_is_no_pattern_is_refused_at_its_place_in_the_list(bus: Stepped) -> None:
    with pytest.raises(InvalidPattern) as caught:
        look(bus, PAID, text({"type": "order.paid"}))
    assert caught.value.at == "/rules/1/pattern/type"


def wide(fields: int) -> bytes:
    return text({"data": {f"f{number}": [1] for number in range(fields)}})


def test_patterns_that_are_too_much_together_are_refused_and_one_alone_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKTEST_FIELDS_MAX", 10)
    Patterns([Trial(wide(4), wide(3)), Trial(wide(3))])
    with pytest.raises(PatternTooCostly, match="found 11 fields") as caught:
        Patterns([Trial(wide(4), wide(3)), Trial(wide(4))])
    assert caught.value.at == "/rules/1/pattern"
    with pytest.raises(PatternTooCostly, match="found 12 fields") as caught:
        Patterns([Trial(wide(4)), Trial(wide(3), wide(2)), Trial(wide(1), wide(2))])
    assert caught.value.at == "/rules/2/pattern"
    Patterns([Trial(wide(20), wide(30))])


# Samples


def test_samples_are_spread_over_all_and_never_more_than_asked() -> None:
    assert spread([1, 2, 3], 3) == [1, 2, 3]
    assert spread(list(range(100)), 4) == [12, 37, 62, 87]
    assert spread([5, 6, 7], 2) == [5, 7]
    assert spread([5, 6, 7], 0) == []


# The facade


def told(story: Callable[[Eventyard], Any]) -> None:
    async def run() -> None:
        async with asyncio.timeout(LIMIT_S), running_bus() as yard:
            await story(yard)

    asyncio.run(run())


async def put(yard: Eventyard, name: str, pattern: Any) -> int:
    version: int = (await yard.put_rule("default", name, a_rule_document(pattern=pattern, target={"queue": {}}))).record.version
    return version


def test_a_rule_is_held_against_its_version_in_force() -> None:
    async def story(yard: Eventyard) -> None:
        await yard.publish("default", [an_event(1), an_event(2, kind="order.sent")])
        version = await put(yard, "rewards", {"type": ["order.sent"]})
        found = await yard.backtest("default", [Tried(PAID, "rewards"), Tried(PAID, "nobody"), Tried(PAID)], Query())
        assert found.versions == [version, 0, 0]
        assert [(one.matched, one.added, one.removed) for one in found.look.outcomes] == [([1], [1], [2]), *[([1], [], [])] * 2]

    told(story)


def test_a_rule_in_another_version_than_wanted_is_a_conflict() -> None:
    async def story(yard: Eventyard) -> None:
        version = await put(yard, "rewards", {"type": ["order.sent"]})
        await yard.backtest("default", [Tried(PAID, "rewards", version), Tried(PAID, "nobody", 0)], Query())
        for name, wanted in (("rewards", version + 1), ("rewards", 0), ("nobody", 7)):
            with pytest.raises(VersionConflict) as caught:
                await yard.backtest("default", [Tried(PAID), Tried(PAID, name, wanted)], Query())
            assert caught.value.at == "/rules/1/version"
        with pytest.raises(NotFound):
            await yard.backtest("nowhere", [Tried(PAID)], Query())

    told(story)


def test_backtests_wait_for_their_turn_and_past_a_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKTESTS_WAITING_MAX", 2)

    async def story(yard: Eventyard) -> None:
        await yard.publish("default", [an_event(1)])
        waiting = [asyncio.create_task(yard.backtest("default", [Tried(PAID)], Query())) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await yard.backtest("default", [Tried(PAID)], Query())
        assert [found.look.events for found in await asyncio.gather(*waiting)] == [1, 1]
        assert (await yard.backtest("default", [Tried(PAID)], Query())).look.events == 1

    told(story)


def test_who_leaves_before_its_turn_takes_none_and_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKTESTS_WAITING_MAX", 1)

    async def story(yard: Eventyard) -> None:
        leaving = asyncio.create_task(yard.backtest("default", [Tried(PAID)], Query()))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert (await yard.backtest("default", [Tried(PAID)], Query())).look.events == 0

    told(story)


def test_patterns_of_a_backtest_that_goes_on_are_made_once_and_those_of_one_that_ended_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "BACKTEST_EVENTS_MAX", 1)

    async def story(yard: Eventyard) -> None:
        thread = yard._backtests
        await yard.publish("default", [an_event(number) for number in range(3)])
        first = await yard.backtest("default", [Tried(PAID)], Query())
        kept = thread._kept
        assert kept is not None
        await yard.backtest("default", [Tried(PAID)], Query(after=first.look.next_after or 0))
        assert thread._kept is kept
        await yard.backtest("default", [Tried(at_least(1))], Query())
        assert thread._kept is not kept
        await yard.backtest("default", [Tried(at_least(1))], Query(after=2))
        assert thread._kept is None

    told(story)


def test_a_bus_that_stops_looks_no_more() -> None:
    async def story(yard: Eventyard) -> None:
        yard._backtests.stop()
        with pytest.raises(Stopping):
            await yard.backtest("default", [Tried(PAID)], Query())

    told(story)
