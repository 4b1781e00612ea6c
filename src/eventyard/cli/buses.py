"""`eventyard buses`: named logs, each with its own rules."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventyard.cli import asking
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import DEFAULT_URL, BusName, Json, Sure, Url, connect
from eventyard.cli.places import seconds, size
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import Bus

app = typer.Typer(help='Buses: named logs with their own rules. The bus "default" is always there.')


@app.command("list")
def list_(*, url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """List the buses by name, each with the position of its last event.

    Example:
      eventyard buses list

    Next: eventyard events list --bus NAME

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        buses = list(client.buses())
    for bus in buses:
        screen.document(bus)
    rows = [(bus.name, str(bus.head), bus.created) for bus in buses]
    screen.table(("bus", "last position", "created"), rows, whole=("bus", "last position"))
    return Exit.OK


MaxAge = Annotated[str | None, typer.Option("--max-age", metavar="TIME", help="Remove events older than this: 12h, 30d.")]
MaxBytes = Annotated[str | None, typer.Option("--max-bytes", metavar="SIZE", help="Keep so much of events: 500MB, 10GiB.")]
DeadLetters = Annotated[str | None, typer.Option("--dead-letters", metavar="TIME", help="Keep dead letters so long: 90d.")]


def _asked(max_age: str | None, max_bytes: str | None, dead_letters: str | None) -> dict[str, Any]:
    """What is to be kept, as the client takes it."""
    return {
        "max_age_s": None if max_age is None else seconds(max_age, option="--max-age"),
        "max_bytes": None if max_bytes is None else size(max_bytes, option="--max-bytes"),
        "dead_letters_s": None if dead_letters is None else seconds(dead_letters, option="--dead-letters"),
    }


@app.command("create")
def create(
    name: BusName,
    *,
    max_age: MaxAge = None,
    max_bytes: MaxBytes = None,
    dead_letters: DeadLetters = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Create a bus. That it is there already is no error.

    Example:
      eventyard buses create orders
      eventyard buses create orders --max-age 30d

    Next: eventyard rules put RULE --bus NAME --type TYPE --to URL

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        asked = _asked(max_age, max_bytes, dead_letters)
        bus = client.set_retention(name, **asked) if any(asked.values()) else client.create_bus(name)
    screen.document(bus)
    screen.say(f"bus {bus.name} is there since {bus.created}; its last position is {bus.head}")
    screen.advise(f"eventyard publish --bus {name} --type TYPE --source URI")
    return Exit.OK


@app.command("show")
def show(name: BusName, *, url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Show how far a bus's log reaches, what it weighs, and what is kept of it.

    Example:
      eventyard buses show orders

    Next: eventyard buses set-retention NAME --max-age 30d

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        bus = client.bus(name)
    screen.document(bus)
    screen.pairs(_rows(bus))
    return Exit.OK


def _rows(bus: "Bus") -> list[tuple[str, Any]]:
    keep = bus.retention
    kept = (
        []
        if keep is None
        else [("max age", _span(keep.max_age_s)), ("max bytes", keep.max_bytes), ("dead letters", _span(keep.dead_letters_s))]
    )
    return [
        ("bus", bus.name),
        ("created", bus.created),
        ("kept whole", f"positions {bus.floor} to {bus.head}" if bus.floor <= bus.head else None),
        ("bytes", bus.bytes),
        *kept,
    ]


def _span(seconds: float) -> str:
    """In the largest unit that says it whole."""
    for unit, of_unit in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= of_unit and seconds % of_unit == 0:
            return f"{seconds / of_unit:.0f}{unit}"
    return f"{seconds:g}s"


@app.command("set-retention")
def set_retention(
    name: BusName,
    *,
    max_age: MaxAge = None,
    max_bytes: MaxBytes = None,
    dead_letters: DeadLetters = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Set what a bus keeps of its log. What is left out stays as it is.

    Example:
      eventyard buses set-retention orders --max-age 30d --max-bytes 100GiB

    Next: eventyard buses show NAME

    """
    if max_age is max_bytes is dead_letters is None:
        raise Failure("found nothing to set", advice="give --max-age, --max-bytes or --dead-letters")
    screen = Screen(as_json=as_json)
    asked = _asked(max_age, max_bytes, dead_letters)
    with connect(url) as client:
        client.bus(name)  # One that is not there is not made by a name spelt wrong.
        bus = client.set_retention(name, **asked)
    screen.document(bus)
    screen.pairs(_rows(bus))
    return Exit.OK


@app.command("delete")
def delete(
    name: BusName,
    *,
    is_sure: Sure = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Delete a bus with its events, rules and dead letters. Asks first.

    Example:
      eventyard buses delete orders --yes

    Next: eventyard buses list

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        bus = client.bus(name)
        if not (
            is_sure
            or asking.certainly(
                f"delete the bus {bus.name} with its {bus.head} events, its rules and dead letters?",
                otherwise="deleting a bus cannot be undone, and there is nobody to ask",
            )
        ):
            screen.note("nothing was deleted")
            return Exit.NO
        client.delete_bus(name)
    screen.document({"deleted": name})
    screen.say(f"bus {name} is deleted")
    return Exit.OK
