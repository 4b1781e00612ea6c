"""`eventyard buses`: named logs, each with its own rules."""

import sys
from typing import Annotated

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import DEFAULT_URL, Json, Url, connect
from eventyard.cli.screen import Screen

app = typer.Typer(help='Buses: named logs with their own rules. The bus "default" is always there.')

BusName = Annotated[str, typer.Argument(metavar="NAME", help="The bus's name.")]


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


@app.command("create")
def create(name: BusName, *, url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Create a bus. That it is there already is no error.

    Example:
      eventyard buses create orders

    Next: eventyard rules put RULE --bus NAME --type TYPE --to URL

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        bus = client.create_bus(name)
    screen.document(bus)
    screen.say(f"bus {bus.name} is there since {bus.created}; its last position is {bus.head}")
    screen.advise(f"eventyard publish --bus {name} --type TYPE --source URI")
    return Exit.OK


@app.command("delete")
def delete(
    name: BusName,
    *,
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
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
        if not (is_sure or _confirmed(f"delete the bus {bus.name} with its {bus.head} events, its rules and dead letters?")):
            screen.note("nothing was deleted")
            return Exit.NO
        client.delete_bus(name)
    screen.document({"deleted": name})
    screen.say(f"bus {name} is deleted")
    return Exit.OK


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise Failure("deleting a bus cannot be undone, and there is nobody to ask", advice="add --yes")
    return typer.confirm(question, err=True)
