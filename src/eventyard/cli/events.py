"""`eventyard events`: the log."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.options import DEFAULT_URL, Bus, Json, Url, connect
from eventyard.cli.patterns import compose
from eventyard.cli.places import moment
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import StoredEvent

app = typer.Typer(help="Events in the log: every accepted event is there, whether a rule matched it or not.")


@app.command("list")
def list_(
    *,
    type_: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Events of this type. May be repeated.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="URI", help="Events of this source. May be repeated.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option("--pattern", metavar="JSON", help="Events that match: JSON, @FILE, or -.")
    ] = None,
    after: Annotated[
        int | None, typer.Option("--after", metavar="POSITION", help="Events after it; with --order desc, before it.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Accepted since: RFC 3339, or 90s, 15m, 2h, 3d ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Accepted before: as --from.")] = None,
    order: Annotated[Literal["asc", "desc"], typer.Option("--order", help="Oldest or newest first.")] = "desc",
    limit: Annotated[int, typer.Option("--limit", metavar="NUMBER", min=1, help="At most so many.")] = 20,
    all_: Annotated[bool, typer.Option("--all", help="No limit.")] = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """List events of the log, newest first.

    Example:
      eventyard events list --type order.paid --from 2h
      eventyard events list --all --order asc --json > events.jsonl

    Next: eventyard events show POSITION

    """
    screen = Screen(as_json=as_json)
    wanted = compose(pattern, type_ or [], source or [])
    with connect(url) as client:
        events = client.events(
            bus=bus,
            after=after,
            from_=moment(from_),
            until=moment(until),
            pattern=wanted,
            order=order,
            limit=None if all_ else limit,
        )
        if as_json:
            for event in events:
                screen.document(event)
            return Exit.OK
        rows = [row(event) for event in events]
    if not rows:
        screen.say("no such events")
        screen.advise("eventyard publish --type TYPE --source URI --data JSON")
        return Exit.OK
    screen.table(COLUMNS, rows, whole=("position", "accepted"))
    return Exit.OK


COLUMNS = ("position", "accepted", "type", "source", "subject", "id")


def row(stored: "StoredEvent") -> tuple[object, ...]:
    event = stored.event
    return str(stored.position), stored.accepted, event.get("type"), event.get("source"), event.get("subject"), event.get("id")


@app.command("show")
def show(
    position: Annotated[int, typer.Argument(metavar="POSITION", min=1, help="The event's number in its bus.")],
    *,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Show one event in full.

    Example:
      eventyard events show 17

    Next: eventyard pattern test PATTERN EVENT

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        stored = client.event(position, bus=bus)
    screen.document(stored)
    screen.say(f"position {stored.position}, accepted {stored.accepted}")
    screen.event(stored.json)
    return Exit.OK
