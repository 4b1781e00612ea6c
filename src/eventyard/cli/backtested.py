"""What a backtest found, as a person and as a program reads it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from eventyard.cli import events
from eventyard.cli.screen import Screen
from eventyard.cli.trials import Trial

if TYPE_CHECKING:
    from eventyard.client import Backtest, BacktestGap, Client, StoredEvent, TriedRule
    from eventyard.client.backtesting import Range

DAY_S = 86_400
HOUR_S = 3_600
GAPS_SHOWN = 5

_REASONS = {
    "retention": "retention has removed them",
    "lost": "a repair has given them up",
    "damaged": "they are damaged",
}


class Result(msgspec.Struct, frozen=True):
    """One pattern, and what of it was found."""

    trial: Trial
    found: "Backtest"
    tried: "TriedRule"

    @property
    def per_day(self) -> float | None:
        """None where less than a day was looked at: a guess would be no answer."""
        span_s = self.found.span_s
        return self.tried.matched * DAY_S / span_s if span_s >= DAY_S else None


def show(screen: Screen, client: "Client", results: Sequence[Result], ended: BaseException | None) -> None:
    """`ended`: what cut it short. Where that is a server that cannot be asked, events are told by their positions alone."""
    from eventyard.client import Unreachable  # noqa: PLC0415 - heavy, see the package

    looked_up = _LookedUp(client, is_asked=not isinstance(ended, Unreachable))
    for result in results:
        if screen.as_json:
            screen.document(_document(result, looked_up))
    if len(results) == 1:
        _show_one(screen, results[0], looked_up)
    elif results:
        _show_all(screen, results, looked_up)
    for found in {result.trial.bus: result.found for result in results}.values():
        remark_gaps(screen, found.gaps)
        if not found.is_done:
            screen.note(f"it ended early: positions up to {found.next_after} of {found.last} were looked at")


# For people


def _show_one(screen: Screen, result: Result, looked_up: "_LookedUp") -> None:
    found, tried = result.found, result.tried
    if not found.events:
        screen.say(f"{_called(result)}: no events were accepted in that time")
        return
    about = f", about {rounded(result.per_day)} a day" if result.per_day is not None else ""
    screen.say(
        f"{_called(result)}: {in_thousands(tried.matched)} of {in_thousands(found.events)} events matched, {lasting(found)}{about}"
    )
    if tried.version:
        changed = f"{in_thousands(tried.added)} newly matched, {in_thousands(tried.removed)} no longer matched"
        screen.say(f"beside version {tried.version}, which is in force: {changed}")
    if tried.failed:
        screen.say(f"{in_thousands(tried.failed)} events cost it too much to be evaluated; each would be a dead letter")
    _show_days(screen, result)
    _show_changes(screen, result, looked_up)
    if samples := tried.samples.matched:
        screen.say(f"\nmatched, {len(samples)} of {in_thousands(tried.matched)}:")
        rows = [looked_up.row(result, position) for position in samples]
        screen.table(events.COLUMNS, rows, whole=("position", "accepted"))


def _show_days(screen: Screen, result: Result) -> None:
    columns, rows = ["day", "events", "matched"], []
    if result.tried.version:
        columns += ["new", "gone"]
    by_day = {day.day: day for day in result.tried.days}
    for day in result.found.days:
        of_day = by_day.get(day.day)
        counts = (of_day.matched, of_day.added, of_day.removed) if of_day else (0, 0, 0)
        rows.append((day.day, day.events, *counts)[: len(columns)])
    screen.table(columns, rows, whole=columns)


def _show_changes(screen: Screen, result: Result, looked_up: "_LookedUp") -> None:
    tried, called = result.tried, _called(result)
    for kind, words, count in (
        ("added", "newly matched", tried.added),
        ("removed", "no longer matched", tried.removed),
    ):
        if positions := getattr(tried.samples, kind):
            screen.say(f"\n{called}: {words}, {len(positions)} of {in_thousands(count)}:")
            why = "why not until now" if kind == "added" else "why not any more"
            rows = [looked_up.changed_row(result, kind, position) for position in positions]
            screen.table(("position", "accepted", "type", why), rows, whole=("position", "accepted"))
    if positions := tried.samples.failed:
        screen.say(f"\n{called}: cannot be evaluated, {len(positions)} of {in_thousands(tried.failed)}: {_listed(positions)}")


def _show_all(screen: Screen, results: Sequence[Result], looked_up: "_LookedUp") -> None:
    for found in {result.trial.bus: result.found for result in results}.values():
        screen.say(f"{in_thousands(found.events)} events, {lasting(found)}")
    columns = ("rule", "matched", "a day", "new", "gone", "failed")
    screen.table(columns, [_row(result) for result in results], whole=("rule",))
    for result in results:
        _show_changes(screen, result, looked_up)


def _row(result: Result) -> tuple[Any, ...]:
    tried = result.tried
    changed = (tried.added, tried.removed) if tried.version else (None, None)
    per_day = None if result.per_day is None else rounded(result.per_day)
    return _called(result), tried.matched, per_day, *changed, tried.failed


def _called(result: Result) -> str:
    trial = result.trial
    if not trial.name:
        return "the pattern"
    return trial.name if trial.bus == "default" else f"{trial.bus}/{trial.name}"


def lasting(found: "Range") -> str:
    for unit_s, unit in ((DAY_S, "days"), (HOUR_S, "hours"), (60, "minutes")):
        if found.span_s >= unit_s:
            return f"in {found.span_s / unit_s:.1f} {unit}"
    return "within a minute"


def remark_gaps(screen: Screen, gaps: "Sequence[BacktestGap]") -> None:
    for gap in gaps[:GAPS_SHOWN]:
        which = f"position {gap.first}" if gap.first == gap.last else f"positions {gap.first} to {gap.last}"
        screen.note(f"{which} cannot be looked at: {_REASONS.get(gap.reason, gap.reason)}")
    if len(gaps) > GAPS_SHOWN:
        screen.note(f"... and {len(gaps) - GAPS_SHOWN} more stretches")


def in_thousands(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def rounded(number: float) -> str:
    return in_thousands(round(number)) if number >= 10 else f"{number:.1f}"


def _listed(positions: Sequence[int]) -> str:
    return ", ".join(map(str, positions))


# For programs


def _document(result: Result, looked_up: "_LookedUp") -> dict[str, Any]:
    trial, found, tried = result.trial, result.found, result.tried
    by_day = {day.day: day for day in tried.days}
    days = [
        {"day": day.day, "events": day.events, **{kind: getattr(by_day.get(day.day), kind, 0) for kind in _COUNTED}}
        for day in found.days
    ]
    return {
        "bus": trial.bus,
        "rule": trial.name,
        "version": tried.version,
        "first": found.first,
        "last": found.last,
        "next_after": found.next_after,
        "events": found.events,
        "begins": found.begins,
        "ends": found.ends,
        "matched": tried.matched,
        "added": tried.added,
        "removed": tried.removed,
        "failed": tried.failed,
        "per_day": result.per_day,
        "days": days,
        "gaps": found.gaps,
        "samples": {kind: [looked_up.document(result, kind, at) for at in getattr(tried.samples, kind)] for kind in _SAMPLED},
    }


_COUNTED = ("matched", "added", "removed")
_SAMPLED = (*_COUNTED, "failed")


# The events that are shown


class _LookedUp:
    """Events by their positions, and why one of the two patterns does not match them. What cannot be had is left out."""

    def __init__(self, client: "Client", *, is_asked: bool) -> None:
        self._client = client
        self._is_asked = is_asked
        self._events: dict[tuple[str, int], StoredEvent | None] = {}
        self._in_force: dict[tuple[str, str], bytes] = {}

    def row(self, result: Result, position: int) -> tuple[Any, ...]:
        event = self._event(result, position)
        return (str(position), *([None] * 5)) if event is None else events.row(event)

    def changed_row(self, result: Result, kind: str, position: int) -> tuple[Any, ...]:
        event = self._event(result, position)
        if event is None:
            return str(position), None, None, None
        return str(position), event.accepted, event.event.get("type"), self._why(result, kind, event) or None

    def document(self, result: Result, kind: str, position: int) -> dict[str, Any]:
        event = self._event(result, position)
        if event is None:
            return {"position": position}
        told = {"position": position, "accepted": event.accepted, "event": event.raw}
        return told | ({"why": why} if (why := self._why(result, kind, event)) else {})

    def _event(self, result: Result, position: int) -> "StoredEvent | None":
        from eventyard.client import ProblemError  # noqa: PLC0415 - heavy, see the package

        key = result.trial.bus, position
        if key not in self._events and self._is_asked:
            try:
                self._events[key] = self._client.event(position, bus=result.trial.bus)
            except ProblemError:  # Retention was faster.
                self._events[key] = None
        return self._events.get(key)

    def _why(self, result: Result, kind: str, event: "StoredEvent") -> str:
        """Why the pattern in force does not match what is added, or the new one what is removed."""
        if kind not in {"added", "removed"}:
            return ""
        pattern = result.trial.pattern if kind == "removed" else self._pattern_in_force(result)
        return self._client.test_pattern(pattern, event.json).why if pattern else ""

    def _pattern_in_force(self, result: Result) -> bytes:
        """Nothing where the rule was changed meanwhile."""
        key = result.trial.bus, result.trial.name
        if key not in self._in_force:
            rule = self._client.rule(result.trial.name, bus=result.trial.bus)
            self._in_force[key] = rule.pattern_json if rule.state.version == result.tried.version else b""
        return self._in_force[key]
