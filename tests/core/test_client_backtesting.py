"""The client's `backtest`: what is asked, stretch by stretch, and how the answers add up."""

import datetime
from typing import Any

import httpx
import pytest

from eventyard.client import Backtest, BacktestDay, BacktestGap, Client, ProblemError, Tried, TriedDay
from tests.core.test_client_calls import Shell, Wire, asynchronously, ok, refused, synchronously

both_shells = pytest.mark.parametrize("through", [synchronously, asynchronously])
PAID = Tried({"type": ["order.paid"]}, "rewards")


def part(after: int | None, events: int = 10, **more: Any) -> dict[str, Any]:
    return {
        "first": 1,
        "last": 30,
        "next_after": after,
        "events": events,
        "begins": "2026-01-31T08:00:00.000Z",
        "ends": "2026-01-31T20:00:00.000Z",
        "days": [],
        "gaps": [],
        "rules": [rule()],
    } | more


def rule(version: int = 7, **more: Any) -> dict[str, Any]:
    counts = {"matched": 0, "added": 0, "removed": 0, "failed": 0}
    samples: dict[str, list[int]] = {"matched": [], "added": [], "removed": [], "failed": []}
    return {"name": "rewards", "version": version, **counts, "days": [], "samples": samples} | more


def day(of: str, matched: int, added: int, removed: int) -> dict[str, Any]:
    return {"day": of, "matched": matched, "added": added, "removed": removed}


def found(*parts: dict[str, Any], samples: int = 10, tried: tuple[Tried, ...] = (PAID,)) -> list[Backtest]:
    told: list[Backtest] = synchronously(Wire(*map(ok, parts)), lambda client: client.backtest(*tried, samples=samples))
    return told


@both_shells
def test_one_stretch_is_asked_for_after_the_other_to_the_end_that_was_told_first(through: Shell) -> None:
    wire = Wire(ok(part(10)), ok(part(20, last=99)), ok(part(None)))
    told = through(wire, lambda client: client.backtest(PAID, bus="shop", from_="2026-01-31T00:00:00Z", samples=3))
    assert [(one.looked_at, one.is_done) for one in told] == [(10, False), (20, False), (30, True)]
    assert {request.url.path for request in wire.requests} == {"/v1/buses/shop/backtest"}
    rules = [{"name": "rewards", "pattern": {"type": ["order.paid"]}}]
    again = [rules[0] | {"version": 7}]
    asked = {"samples": 3, "from": "2026-01-31T00:00:00Z"}
    assert wire.bodies == [
        {**asked, "rules": rules},
        {**asked, "rules": again, "after": 10, "last": 30},
        {**asked, "rules": again, "after": 20, "last": 30},
    ]


def test_a_pattern_is_sent_as_it_was_written_and_times_with_their_zone() -> None:
    wire = Wire(ok(part(None, rules=[rule()] * 2)))
    moment = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
    tried = (Tried('{"data": {"n": [1.10]}}'), Tried(b'{"type": [  "x"]}', "r"))
    synchronously(wire, lambda client: client.backtest(*tried, until=moment))
    text = wire.requests[0].content
    assert b'"pattern":{"data": {"n": [1.10]}}' in text
    assert b'"pattern":{"type": [  "x"]}' in text
    assert wire.bodies[0]["until"] == "2026-01-31T00:00:00+00:00"


def test_what_is_held_against_no_rule_asks_for_no_version() -> None:
    wire = Wire(ok(part(10, rules=[rule(0)])), ok(part(None, rules=[rule(0)])))
    synchronously(wire, lambda client: client.backtest(Tried({})))
    assert "version" not in wire.bodies[1]["rules"][0]
    wire = Wire(ok(part(10, rules=[rule(0)])), ok(part(None, rules=[rule(0)])))
    synchronously(wire, lambda client: client.backtest(Tried({}, "new")))
    assert wire.bodies[1]["rules"][0]["version"] == 0


def test_counts_add_up_and_a_day_that_was_cut_is_one_day() -> None:
    one = rule(matched=3, added=2, removed=1, failed=1, days=[day("d1", 2, 1, 0), day("d2", 1, 1, 1)])
    two = rule(matched=4, added=0, removed=2, failed=0, days=[day("d2", 3, 0, 1), day("d4", 1, 0, 1)])
    days = [{"day": "d1", "events": 5}, {"day": "d2", "events": 5}]
    more = [{"day": "d2", "events": 6}, {"day": "d4", "events": 4}]
    last = found(part(10, rules=[one], days=days), part(20), part(None, rules=[two], days=more))[-1]
    [told] = last.rules
    assert (last.events, told.matched, told.added, told.removed, told.failed) == (30, 7, 2, 3, 1)
    assert last.days == [BacktestDay("d1", 5), BacktestDay("d2", 11), BacktestDay("d4", 4)]
    assert told.days == [TriedDay("d1", 2, 1, 0), TriedDay("d2", 4, 1, 2), TriedDay("d4", 1, 0, 1)]


def test_a_gap_that_was_cut_is_one_gap() -> None:
    def gap(first: int, last: int, reason: str = "damaged") -> dict[str, Any]:
        return {"first": first, "last": last, "reason": reason}

    last = found(part(10, gaps=[gap(3, 3), gap(9, 10)]), part(20, gaps=[gap(11, 12)]), part(None, gaps=[gap(13, 14, "lost")]))[
        -1
    ]
    assert last.gaps == [BacktestGap(3, 3, "damaged"), BacktestGap(9, 12, "damaged"), BacktestGap(13, 14, "lost")]


def test_samples_are_of_the_whole_and_no_more_than_asked() -> None:
    def sampled(*positions: int) -> dict[str, Any]:
        return rule(samples={"matched": list(positions), "added": list(positions[:1]), "removed": [], "failed": []})

    told = found(
        part(10, rules=[sampled(1, 2)]), part(20, rules=[sampled(11, 12)]), part(None, rules=[sampled(21, 22)]), samples=2
    )
    assert [one.rules[0].samples.matched for one in told] == [[1, 2], [2, 12], [2, 21]]
    assert told[-1].rules[0].samples.added == [1, 21]


def test_time_goes_from_the_first_event_to_the_last() -> None:
    empty = part(20, begins=None, ends=None)
    last = found(empty, part(25), part(28, ends="2026-02-01T08:00:00.000Z"), part(None, begins=None, ends=None))[-1]
    assert (last.begins, last.ends, last.span_s) == ("2026-01-31T08:00:00.000Z", "2026-02-01T08:00:00.000Z", 86_400.0)
    assert found(part(None, begins=None, ends=None))[-1].span_s == 0.0


def test_a_refusal_on_the_way_leaves_what_was_found() -> None:
    wire = Wire(ok(part(10)), refused(412))
    told = []
    with pytest.raises(ProblemError):  # noqa: PT012 - what came before it is the claim
        for one in synchronously_one_by_one(wire):
            told.append(one)  # noqa: PERF402 - as above
    assert [one.next_after for one in told] == [10]


def synchronously_one_by_one(wire: Wire) -> Any:
    with Client(transport=httpx.MockTransport(wire)) as client:
        yield from client.backtest(PAID)
