"""`eventyard schedules`: events at times."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from eventyard.cli import asking
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.inputs import read_json
from eventyard.cli.options import DEFAULT_URL, Bus, Json, ScheduleName, Sure, Url, connect
from eventyard.cli.places import seconds
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import Schedule

app = typer.Typer(help="Schedules: events at times, by cron, at intervals, or once.")

Cron = Annotated[str | None, typer.Option("--cron", metavar="FIELDS", help="Five fields, or six with the seconds first.")]
Every = Annotated[str | None, typer.Option("--every", metavar="LENGTH", help="At an interval: 90s, 15m, 2h, 3d.")]
At = Annotated[str | None, typer.Option("--at", metavar="TIME", help="Once: RFC 3339, or a local time of the zone.")]
Zone = Annotated[str | None, typer.Option("--zone", metavar="NAME", help="The time zone, as Europe/Berlin; else UTC.")]


@app.command("list")
def list_(*, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """List the schedules of a bus by name, and when each publishes next.

    Example:
      eventyard schedules list

    Next: eventyard schedules show SCHEDULE

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        found = list(client.schedules(bus=bus))
    for schedule in found:
        screen.document(schedule)
    if not found:
        screen.say(f'no schedules on bus "{bus}" yet')
        screen.advise("eventyard schedules put NAME --cron FIELDS --type TYPE")
        return Exit.OK
    rows = [(one.name, _when(one), one.emit["type"], _next(one)) for one in found]
    screen.table(("schedule", "when", "publishes", "next"), rows, whole=("schedule", "next"))
    return Exit.OK


def _when(schedule: "Schedule") -> str:
    if schedule.every_s is not None:
        return f"every {schedule.every_s:g} s"
    return f"{schedule.cron or schedule.at} {'' if schedule.zone == 'UTC' else schedule.zone}".rstrip()


def _next(schedule: "Schedule") -> str:
    return "paused" if schedule.state.paused else next(iter(schedule.state.next), "never again")


@app.command("show")
def show(name: ScheduleName, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Show one schedule: what it says, what it published, and when it publishes next.

    Example:
      eventyard schedules show opening

    Next: eventyard schedules put SCHEDULE FILE

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        schedule = client.schedule(name, bus=bus)
    screen.document(schedule)
    screen.pairs(_rows(schedule))
    return Exit.OK


def _rows(schedule: "Schedule") -> list[tuple[str, Any]]:
    state = schedule.state
    return [
        ("schedule", schedule.name),
        ("description", schedule.description or None),
        ("owner", schedule.owner or None),
        ("when", _when(schedule)),
        ("from", schedule.start),
        ("until", schedule.end),
        ("spread over", f"{schedule.jitter_s:g} s" if schedule.jitter_s else None),
        ("missed ones", schedule.misfire),
        ("publishes", msgspec.json.encode(schedule.emit).decode()),
        ("next", _next(schedule)),
        *(("then", instant) for instant in state.next[1:]),
        ("last", state.last),
        ("published", state.published),
        ("skipped", state.skipped),
        ("changed", f"{state.changed} (version {state.version})"),
    ]


@app.command("put")
def put(
    name: ScheduleName,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE|-]", help="The schedule's JSON document; - is standard input.")
    ] = None,
    *,
    cron: Cron = None,
    every: Every = None,
    at: At = None,
    zone: Zone = None,
    type_: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="The type of the events.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", metavar="TEXT", help="Their subject.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="JSON", help="Their data: a JSON object, @FILE, or -.")] = None,
    misfire: Annotated[
        str | None, typer.Option("--misfire", metavar="WHAT", help="Of what passed while the bus was down: skip, once, all.")
    ] = None,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Create or change a schedule, from a JSON document or from flags.

    Example:
      eventyard schedules put opening --cron '0 8 * * MON-FRI' --type shop.opens
      eventyard schedules put pulse --every 30s --type shop.pulse
      eventyard schedules put opening opening.json

    Next: eventyard schedules show SCHEDULE

    """
    screen = Screen(as_json=as_json)
    times = {"cron": cron, "every_s": None if every is None else seconds(every, option="--every"), "at": at}
    times |= {"zone": zone, "misfire": misfire}
    emit = {"type": type_, "subject": subject}
    document = _document(file, times, emit, data)
    with connect(url) as client:
        schedule = client.put_schedule(name, document, bus=bus)
    screen.document(schedule)
    what = "created" if schedule.state.uid == schedule.state.version else f"changed (version {schedule.state.version})"
    screen.say(f"schedule {name} {what}: {_when(schedule)} -> {schedule.emit['type']}; next {_next(schedule)}")
    screen.advise(f"eventyard schedules show {name}{'' if bus == 'default' else f' --bus {bus}'}")
    return Exit.OK


def _document(file: str | None, times: dict[str, Any], emit: dict[str, Any], data: str | None) -> bytes:
    flags = {name: value for name, value in {**times, **emit, "data": data}.items() if value is not None}
    if file is not None:
        if flags:
            named = next(iter(flags)).removesuffix("_s")
            raise Failure(f"found a file and --{named}", advice="put it into the file, or leave the file out")
        return without_state(read_json(file if file == "-" else f"@{file.removeprefix('@')}", what="the schedule"))
    if emit["type"] is None:
        raise Failure("found no --type", advice="give a file, or --type with --cron, --every or --at")
    said: dict[str, Any] = {name: value for name, value in emit.items() if value is not None}
    if data is not None:
        said["data"] = msgspec.Raw(read_json(data, what="the data"))
    return msgspec.json.encode({"emit": said} | {name: value for name, value in times.items() if value is not None})


def without_state(text: bytes) -> bytes:
    """What `schedules show --json` and `export` give is taken too: name, bus and state are no part of the document."""
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return text  # The server says what is wrong with it.
    return msgspec.json.encode({name: value for name, value in members.items() if name not in {"name", "bus", "state"}})


@app.command("pause")
def pause(name: ScheduleName, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Publish nothing for now. Instants that pass meanwhile are none.

    Example:
      eventyard schedules pause opening

    Next: eventyard schedules resume SCHEDULE

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        schedule = client.pause_schedule(name, bus=bus)
    screen.document(schedule)
    screen.say(f"schedule {name} is paused")
    return Exit.OK


@app.command("resume")
def resume(name: ScheduleName, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Go on with a paused schedule, from its first instant after now.

    Example:
      eventyard schedules resume opening

    Next: eventyard schedules show SCHEDULE

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        schedule = client.resume_schedule(name, bus=bus)
    screen.document(schedule)
    screen.say(f"schedule {name} goes on; next {_next(schedule)}")
    return Exit.OK


@app.command("delete")
def delete(
    name: ScheduleName, *, is_sure: Sure = False, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False
) -> int:
    """Delete a schedule. What it published stays in the log.

    On a terminal it asks first.

    Example:
      eventyard schedules delete opening

    Next: eventyard schedules list

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        if not (is_sure or asking.perhaps(lambda: f"delete the schedule {client.schedule(name, bus=bus).name}?")):
            screen.note("nothing was deleted")
            return Exit.NO
        client.delete_schedule(name, bus=bus)
    screen.document({"deleted": name})
    screen.say(f"schedule {name} is deleted")
    return Exit.OK
