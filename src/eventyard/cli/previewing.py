"""`eventyard schedules preview`: the instants at which a schedule would publish, and what differs from the version in force."""

import heapq
from collections.abc import Iterator
from itertools import groupby, islice, takewhile
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from eventyard.cli import completing, differences
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.inputs import read_json
from eventyard.cli.options import DEFAULT_URL, Bus, Json, Url, connect
from eventyard.cli.places import moment
from eventyard.cli.schedules import without_state
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.core.schedule import Schedule, Timetable

_TRIED, _IN_FORCE = 0, 1


class Plan(msgspec.Struct, frozen=True):
    """A schedule that was read."""

    said: "Schedule"
    timetable: "Timetable"


class Coming(msgspec.Struct, frozen=True):
    """An instant. `change`: whether the schedule alone has it (`new`), the one in force alone (`gone`), both (`same`), or there is none (empty)."""

    instant_ms: int
    change: str


def preview(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The schedule's JSON document; - is standard input.")],
    *,
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
            metavar="SCHEDULE",
            help="Hold it against this one as it is in force.",
            autocompletion=completing.schedules,
        ),
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From here on: RFC 3339, or 2h, 3d ago; else from now.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to before here.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1_000, metavar="N", help="So many at the most.")] = 10,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """List the instants at which a schedule would publish, and what changes.

    Nothing is saved. A server is asked only for the one in force.

    Example:
      eventyard schedules preview opening.json --from 2026-03-27T00:00:00Z
      eventyard schedules preview opening.json --schedule opening

    Next: eventyard schedules put SCHEDULE FILE

    """
    screen = Screen(as_json=as_json)
    tried = _read(without_state(read_json(file if file == "-" else f"@{file.removeprefix('@')}", what="the schedule")))
    in_force, is_paused = None, False
    if schedule is not None:
        with connect(url) as client:
            there = client.schedule(schedule, bus=bus)
        in_force, is_paused = _read(msgspec.json.encode(differences.schedule_shown(there))), there.state.paused
    after_ms, until_ms = _unix_ms(from_ or "0s") - 1, None if until is None else _unix_ms(until)
    coming = list(islice(_coming(tried, in_force, after_ms, until_ms), count))
    for one in coming:
        _show(screen, one, in_force if one.change == "gone" and in_force is not None else tried)
    if not coming:
        screen.say("no instants there")
    if tried.said.jitter_s:
        screen.note(f"each is published up to {tried.said.jitter_s:g} s later")
    if in_force is not None:
        _remark(screen, tried, in_force)
    if is_paused:
        screen.note(f"the schedule {schedule} is paused: until it is resumed there is none of these")
    return Exit.OK


def _read(text: bytes) -> Plan:
    from eventyard.core import schedule  # noqa: PLC0415 - heavy, see the package
    from eventyard.core.errors import Refused  # noqa: PLC0415 - as above

    try:
        return Plan(*schedule.parse(text))
    except Refused as error:
        raise Failure(str(error), advice="correct the place that the message names") from error


def _unix_ms(text: str) -> int:
    from eventyard.core.errors import Refused  # noqa: PLC0415 - heavy, see the package
    from eventyard.core.rule import parse_time_ms  # noqa: PLC0415 - as above

    time = moment(text)
    try:
        return parse_time_ms(time if isinstance(time, str) else "" if time is None else time.isoformat(), at="the time")
    except Refused as error:
        raise Failure(str(error), advice="correct the place that the message names") from error


def _coming(tried: Plan, in_force: Plan | None, after_ms: int, until_ms: int | None) -> Iterator[Coming]:
    """By time, those of both together."""
    sides = [tried] if in_force is None else [tried, in_force]
    streams = [_instants(side, number, after_ms, until_ms) for number, side in enumerate(sides)]
    for instant_ms, of in groupby(heapq.merge(*streams), key=lambda pair: pair[0]):
        whose = {side for _, side in of}
        if in_force is None:
            yield Coming(instant_ms, "")
        else:
            yield Coming(instant_ms, "same" if len(whose) == len(sides) else "new" if _TRIED in whose else "gone")


def _instants(plan: Plan, side: int, after_ms: int, until_ms: int | None) -> Iterator[tuple[int, int]]:
    instants = plan.timetable.instants(after_ms)
    return ((instant, side) for instant in takewhile(lambda instant: until_ms is None or instant < until_ms, instants))


def _show(screen: Screen, one: Coming, plan: Plan) -> None:
    from eventyard.core import clock, zone  # noqa: PLC0415 - heavy, see the package

    instant = clock.rfc3339(one.instant_ms)
    shown = zone.moment(one.instant_ms).astimezone(zone.zone_named(plan.said.zone, at="/zone"))
    local = shown.strftime("%a %Y-%m-%d %H:%M:%S %Z")
    screen.document({"instant": instant, "local": local} | ({"change": one.change} if one.change else {}))
    screen.say(f"{instant}  {local}  {plan.said.emit.type}{f'  {one.change}' if one.change not in {'', 'same'} else ''}")


def _remark(screen: Screen, tried: Plan, in_force: Plan) -> None:
    """What else differs than the instants."""
    before, after = (differences.schedule_of(plan.said) for plan in (in_force, tried))
    named = [name for name in ("emit", "misfire", "jitter_s") if before[name] != after[name]]
    if named:
        screen.note(f"it differs in {', '.join(named)}, too, from the version in force")
